/* doitgen: every row of an n x n x n array times an n x n matrix, in place.
 *
 * Usage: doitgen [n=105].
 */
#include "matrix.h"

static void kernel(int n, double a[n][n][n], double c[n][n], double row[n]) {
    for (int r = 0; r < n; r++) {
        for (int q = 0; q < n; q++) {
            for (int p = 0; p < n; p++) {
                double sum = 0;
                for (int s = 0; s < n; s++) sum += a[r][q][s] * c[s][p];
                row[p] = sum;
            }
            for (int p = 0; p < n; p++) a[r][q][p] = row[p];
        }
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 105);
    size_t side = (size_t)n;
    double *a = numbers(side * side * side), *c = numbers(side * side);
    kernel(n, (void *)a, (void *)c, zeros(side));
    return print("doitgen", a, side * side * side);
}
