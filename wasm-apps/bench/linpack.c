/* linpack: solves a dense system of n equations, as the LINPACK benchmark does. Prints the residual
 * over what rounding alone would leave, and the sum of the solution, in which each number is 1.
 *
 * Usage: linpack [n=1400]. Floating point along columns. The algorithm, its names, its matrix and its
 * residual are those of J. Dongarra's benchmark (netlib.org/benchmark/linpackc, public domain); the
 * code is our own.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Numbers in [-2, 2) by columns; b has the sums of the rows. Returns the largest number. */
static double matgen(int n, double a[n][n], double b[n]) {
    int seed = 1325;
    double largest = 0;
    for (int i = 0; i < n; i++) b[i] = 0;
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < n; i++) {
            seed = 3125 * seed % 65536;
            a[j][i] = (seed - 32768.0) / 16384.0;
            largest = fmax(largest, a[j][i]);
            b[i] += a[j][i];
        }
    }
    return largest;
}

/* y += t x, from number `first` on */
static void daxpy(int first, int n, double t, const double *x, double *y) {
    for (int i = first; i < n; i++) y[i] += t * x[i];
}

static int idamax(int first, int n, const double *x) {
    int at = first;
    for (int i = first + 1; i < n; i++) {
        if (fabs(x[i]) > fabs(x[at])) at = i;
    }
    return at;
}

static void swap(double *column, int i, int j) {
    double kept = column[i];
    column[i] = column[j];
    column[j] = kept;
}

/* Factors a by Gaussian elimination with partial pivoting. Returns 0 if a is singular. */
static int dgefa(int n, double a[n][n], int pivots[n]) {
    for (int k = 0; k < n; k++) {
        int pivot = pivots[k] = idamax(k, n, a[k]);
        if (a[k][pivot] == 0) return 0;
        swap(a[k], k, pivot);
        double t = -1 / a[k][k];
        for (int i = k + 1; i < n; i++) a[k][i] *= t;
        for (int j = k + 1; j < n; j++) {
            swap(a[j], k, pivot);
            daxpy(k + 1, n, a[j][k], a[k], a[j]);
        }
    }
    return 1;
}

/* Solves for b, in its place. */
static void dgesl(int n, double a[n][n], const int pivots[n], double b[n]) {
    for (int k = 0; k < n; k++) {
        swap(b, k, pivots[k]);
        daxpy(k + 1, n, b[k], a[k], b);
    }
    for (int k = n - 1; k >= 0; k--) {
        b[k] /= a[k][k];
        for (int i = 0; i < k; i++) b[i] -= b[k] * a[k][i];
    }
}

/* max |a x - b| / (n max(a) max|x| epsilon), of the matrix made anew: its factors have replaced it */
static double residual(int n, double a[n][n], double b[n], const double x[n]) {
    double scale = n * matgen(n, a, b) * fabs(x[idamax(0, n, x)]) * DBL_EPSILON;
    for (int j = 0; j < n; j++) daxpy(0, n, -x[j], a[j], b);
    return fabs(b[idamax(0, n, b)]) / scale;
}

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 1400;
    double(*a)[n] = malloc((size_t)n * sizeof *a), *b = malloc(sizeof *a), *x = malloc(sizeof *a);
    int *pivots = malloc((size_t)n * sizeof *pivots);
    if (!a || !b || !x || !pivots) return 1;
    matgen(n, a, x);
    if (!dgefa(n, a, pivots)) return 2;
    dgesl(n, a, pivots, x);
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    printf("linpack %.6f %.6f\n", residual(n, a, b, x), sum);
    return 0;
}
