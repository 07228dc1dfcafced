/* bicg: s = A' r and q = A p, the two products of a step of BiCG.
 *
 * Usage: bicg [n=1000] [rounds=60].
 */
#include "matrix.h"

static void kernel(int n, double a[n][n], const double r[n], const double p[n], double *s,
                   double *q) {
    for (int j = 0; j < n; j++) s[j] = 0;
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int j = 0; j < n; j++) {
            s[j] += r[i] * a[i][j];
            sum += a[i][j] * p[j];
        }
        q[i] = sum;
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 1000), rounds = argument(argc, argv, 2, 60);
    double *a = numbers((size_t)n * (size_t)n), *r = numbers((size_t)n), *p = numbers((size_t)n);
    double *results = zeros(2 * (size_t)n);
    for (int round = 0; round < rounds; round++) {
        kernel(n, (void *)a, r, p, results, results + n);
    }
    return print("bicg", results, 2 * (size_t)n);
}
