/* atax: y = A' (A x), a matrix and its transpose times a vector.
 *
 * Usage: atax [n=1000] [rounds=60].
 */
#include "matrix.h"

static void kernel(int n, double a[n][n], const double x[n], double y[n]) {
    for (int j = 0; j < n; j++) y[j] = 0;
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int j = 0; j < n; j++) sum += a[i][j] * x[j];
        for (int j = 0; j < n; j++) y[j] += a[i][j] * sum;
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 1000), rounds = argument(argc, argv, 2, 60);
    double *a = numbers((size_t)n * (size_t)n), *x = numbers((size_t)n), *y = zeros((size_t)n);
    for (int round = 0; round < rounds; round++) kernel(n, (void *)a, x, y);
    return print("atax", y, (size_t)n);
}
