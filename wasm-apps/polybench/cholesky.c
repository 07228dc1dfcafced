/* cholesky: A = L L', the factor of a symmetric positive definite matrix, in place.
 *
 * Usage: cholesky [n=900].
 */
#include "matrix.h"

static void kernel(int n, double a[n][n]) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++) {
            for (int k = 0; k < j; k++) a[i][j] -= a[i][k] * a[j][k];
            a[i][j] /= a[j][j];
        }
        for (int k = 0; k < i; k++) a[i][i] -= a[i][k] * a[i][k];
        a[i][i] = sqrt(a[i][i]);
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 900);
    double *a = dominant(n);
    kernel(n, (void *)a);
    return print("cholesky", a, (size_t)n * (size_t)n);
}
