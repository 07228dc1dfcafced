/* floyd-warshall: the shortest ways between all pairs of n places.
 *
 * Usage: floyd-warshall [n=480].
 */
#include "matrix.h"

static void kernel(int n, double way[n][n]) {
    for (int k = 0; k < n; k++) {
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++) {
                double detour = way[i][k] + way[k][j];
                if (detour < way[i][j]) way[i][j] = detour;
            }
        }
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 480);
    size_t cells = (size_t)n * (size_t)n;
    double *way = numbers(cells);
    kernel(n, (void *)way);
    return print("floyd-warshall", way, cells);
}
