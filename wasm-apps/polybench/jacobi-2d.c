/* jacobi-2d: heat on an n x n plate, each step from one copy to another.
 *
 * Usage: jacobi-2d [n=500] [steps=100].
 */
#include "matrix.h"

static void step(int n, double from[n][n], double to[n][n]) {
    for (int i = 1; i < n - 1; i++) {
        for (int j = 1; j < n - 1; j++) {
            to[i][j] = 0.2 * (from[i][j] + from[i][j - 1] + from[i][j + 1] + from[i - 1][j] +
                              from[i + 1][j]);
        }
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 500), steps = argument(argc, argv, 2, 100);
    size_t cells = (size_t)n * (size_t)n;
    double *a = numbers(cells), *b = numbers(cells);
    for (int t = 0; t < steps; t++) {
        step(n, (void *)a, (void *)b);
        step(n, (void *)b, (void *)a);
    }
    return print("jacobi-2d", a, cells);
}
