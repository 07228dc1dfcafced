/* 3mm: G = (A B) (C D), three products of n x n matrices, rows first.
 *
 * Usage: 3mm [n=340].
 */
#include "matrix.h"

static void *product(int n, double a[n][n], double b[n][n]) {
    double(*c)[n] = zeros((size_t)n * (size_t)n);
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < n; k++) {
            for (int j = 0; j < n; j++) c[i][j] += a[i][k] * b[k][j];
        }
    }
    return c;
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 340);
    size_t cells = (size_t)n * (size_t)n;
    double *a = numbers(cells), *b = numbers(cells), *c = numbers(cells), *d = numbers(cells);
    void *left = product(n, (void *)a, (void *)b), *right = product(n, (void *)c, (void *)d);
    return print("3mm", product(n, left, right), cells);
}
