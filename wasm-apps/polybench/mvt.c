/* mvt: x += A y and z += A' w, by rows and by columns.
 *
 * Usage: mvt [n=1000] [rounds=40].
 */
#include "matrix.h"

static void kernel(int n, double a[n][n], double x[n], const double y[n], double z[n],
                   const double w[n]) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) x[i] += a[i][j] * y[j];
    }
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) z[i] += a[j][i] * w[j];
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 1000), rounds = argument(argc, argv, 2, 40);
    size_t size = (size_t)n;
    double *a = numbers(size * size), *y = numbers(size), *w = numbers(size);
    double *results = zeros(2 * size);
    for (int round = 0; round < rounds; round++) {
        kernel(n, (void *)a, results, y, results + n, w);
    }
    return print("mvt", results, 2 * size);
}
