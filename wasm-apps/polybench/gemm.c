/* gemm: C = alpha A B + beta C, n x n matrices, row by row.
 *
 * Usage: gemm [n=500].
 */
#include "matrix.h"

static void kernel(int n, double alpha, double beta, double a[n][n], double b[n][n],
                   double c[n][n]) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) c[i][j] *= beta;
        for (int k = 0; k < n; k++) {
            for (int j = 0; j < n; j++) c[i][j] += alpha * a[i][k] * b[k][j];
        }
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 500);
    size_t cells = (size_t)n * (size_t)n;
    double *a = numbers(cells), *b = numbers(cells), *c = numbers(cells);
    kernel(n, 1.5, 1.2, (void *)a, (void *)b, (void *)c);
    return print("gemm", c, cells);
}
