/* correlation: how n columns of n samples depend on each other, from -1 to 1.
 *
 * Usage: correlation [n=420].
 */
#include "matrix.h"

static void center(int n, double data[n][n]) {
    for (int j = 0; j < n; j++) {
        double mean = 0, squares = 0;
        for (int i = 0; i < n; i++) mean += data[i][j];
        mean /= n;
        for (int i = 0; i < n; i++) {
            data[i][j] -= mean;
            squares += data[i][j] * data[i][j];
        }
        double length = sqrt(squares);
        for (int i = 0; i < n; i++) data[i][j] = length > 0.1 ? data[i][j] / length : 0;
    }
}

static void kernel(int n, double data[n][n], double result[n][n]) {
    center(n, data);
    for (int i = 0; i < n; i++) {
        for (int j = i; j < n; j++) {
            double sum = 0;
            for (int k = 0; k < n; k++) sum += data[k][i] * data[k][j];
            result[i][j] = result[j][i] = sum;
        }
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 420);
    size_t cells = (size_t)n * (size_t)n;
    double *data = numbers(cells), *result = zeros(cells);
    kernel(n, (void *)data, (void *)result);
    return print("correlation", result, cells);
}
