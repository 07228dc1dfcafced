/* trisolv: L x = b, n equations with a triangular matrix.
 *
 * Usage: trisolv [n=1200] [rounds=120].
 */
#include "matrix.h"

static void kernel(int n, double l[n][n], const double b[n], double x[n]) {
    for (int i = 0; i < n; i++) {
        double sum = b[i];
        for (int j = 0; j < i; j++) sum -= l[i][j] * x[j];
        x[i] = sum / l[i][i];
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 1200), rounds = argument(argc, argv, 2, 120);
    double *l = dominant(n), *b = numbers((size_t)n), *x = zeros((size_t)n);
    for (int round = 0; round < rounds; round++) kernel(n, (void *)l, b, x);
    return print("trisolv", x, (size_t)n);
}
