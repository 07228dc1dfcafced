/* 2mm: D = A B C + D, two products of n x n matrices.
 *
 * Usage: 2mm [n=400].
 */
#include "matrix.h"

static void multiply(int n, double a[n][n], double b[n][n], double c[n][n]) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            for (int k = 0; k < n; k++) c[i][j] += a[i][k] * b[k][j];
        }
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 400);
    size_t cells = (size_t)n * (size_t)n;
    double *a = numbers(cells), *b = numbers(cells), *c = numbers(cells), *d = numbers(cells);
    double *product = zeros(cells);
    multiply(n, (void *)a, (void *)b, (void *)product);
    multiply(n, (void *)product, (void *)c, (void *)d);
    return print("2mm", d, cells);
}
