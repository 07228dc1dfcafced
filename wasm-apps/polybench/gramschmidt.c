/* gramschmidt: A = Q R, n columns made orthogonal one after the other.
 *
 * Usage: gramschmidt [n=360].
 */
#include "matrix.h"

static void kernel(int n, double a[n][n], double r[n][n], double q[n][n]) {
    for (int k = 0; k < n; k++) {
        double squares = 0;
        for (int i = 0; i < n; i++) squares += a[i][k] * a[i][k];
        r[k][k] = sqrt(squares);
        for (int i = 0; i < n; i++) q[i][k] = a[i][k] / r[k][k];
        for (int j = k + 1; j < n; j++) {
            double sum = 0;
            for (int i = 0; i < n; i++) sum += q[i][k] * a[i][j];
            for (int i = 0; i < n; i++) a[i][j] -= q[i][k] * sum;
            r[k][j] = sum;
        }
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 360);
    size_t cells = (size_t)n * (size_t)n;
    double *r = zeros(cells);
    kernel(n, dominant(n), (void *)r, zeros(cells));
    return print("gramschmidt", r, cells);
}
