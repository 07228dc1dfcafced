/* lu: A = L U, in place and without pivots.
 *
 * Usage: lu [n=600].
 */
#include "matrix.h"

static void kernel(int n, double a[n][n]) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++) {
            for (int k = 0; k < j; k++) a[i][j] -= a[i][k] * a[k][j];
            a[i][j] /= a[j][j];
        }
        for (int j = i; j < n; j++) {
            for (int k = 0; k < i; k++) a[i][j] -= a[i][k] * a[k][j];
        }
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 600);
    double *a = dominant(n);
    kernel(n, (void *)a);
    return print("lu", a, (size_t)n * (size_t)n);
}
