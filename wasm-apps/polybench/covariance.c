/* covariance: the covariance matrix of n columns of n samples, row by row.
 *
 * Usage: covariance [n=560].
 */
#include "matrix.h"

static void kernel(int n, double data[n][n], double result[n][n]) {
    for (int j = 0; j < n; j++) {
        double mean = 0;
        for (int i = 0; i < n; i++) mean += data[i][j];
        mean /= n;
        for (int i = 0; i < n; i++) data[i][j] -= mean;
    }
    for (int k = 0; k < n; k++) {
        for (int i = 0; i < n; i++) {
            double factor = data[k][i] / (n - 1);
            for (int j = i; j < n; j++) result[i][j] += factor * data[k][j];
        }
    }
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++) result[i][j] = result[j][i];
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 560);
    size_t cells = (size_t)n * (size_t)n;
    double *data = numbers(cells), *result = zeros(cells);
    kernel(n, (void *)data, (void *)result);
    return print("covariance", result, cells);
}
