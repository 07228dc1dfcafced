/* syrk: C = alpha A A' + beta C, the lower triangle.
 *
 * Usage: syrk [n=600].
 */
#include "matrix.h"

static void kernel(int n, double alpha, double beta, double a[n][n], double c[n][n]) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j <= i; j++) {
            double sum = 0;
            for (int k = 0; k < n; k++) sum += a[i][k] * a[j][k];
            c[i][j] = alpha * sum + beta * c[i][j];
        }
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 600);
    size_t cells = (size_t)n * (size_t)n;
    double *a = numbers(cells), *c = numbers(cells);
    kernel(n, 1.5, 1.2, (void *)a, (void *)c);
    return print("syrk", c, cells);
}
