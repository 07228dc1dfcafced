/* durbin: the Yule-Walker equations solved by Durbin's recursion, n unknowns.
 *
 * Usage: durbin [n=9000].
 */
#include "matrix.h"

static void kernel(int n, const double r[n], double y[n], double z[n]) {
    double alpha = -r[0], beta = 1;
    y[0] = alpha;
    for (int k = 1; k < n; k++) {
        beta *= 1 - alpha * alpha;
        double sum = r[k];
        for (int i = 0; i < k; i++) sum += r[k - i - 1] * y[i];
        alpha = -sum / beta;
        for (int i = 0; i < k; i++) z[i] = y[i] + alpha * y[k - i - 1];
        for (int i = 0; i < k; i++) y[i] = z[i];
        y[k] = alpha;
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 9000);
    double *r = numbers((size_t)n), *y = zeros((size_t)n);
    for (int i = 0; i < n; i++) r[i] /= 4 * (i + 1);
    kernel(n, r, y, zeros((size_t)n));
    return print("durbin", y, (size_t)n);
}
