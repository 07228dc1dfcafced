/* seidel-2d: heat on an n x n plate, in place: each point waits for the one before.
 *
 * Usage: seidel-2d [n=500] [steps=40].
 */
#include "matrix.h"

static void step(int n, double a[n][n]) {
    for (int i = 1; i < n - 1; i++) {
        for (int j = 1; j < n - 1; j++) {
            a[i][j] = (a[i - 1][j - 1] + a[i - 1][j] + a[i - 1][j + 1] + a[i][j - 1] + a[i][j] +
                       a[i][j + 1] + a[i + 1][j - 1] + a[i + 1][j] + a[i + 1][j + 1]) /
                      9;
        }
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 500), steps = argument(argc, argv, 2, 40);
    size_t cells = (size_t)n * (size_t)n;
    double *a = numbers(cells);
    for (int t = 0; t < steps; t++) step(n, (void *)a);
    return print("seidel-2d", a, cells);
}
