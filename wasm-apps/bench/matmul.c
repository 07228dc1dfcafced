/* matmul: the product of two n x n matrices, the textbook triple loop. Prints the trace.
 *
 * Usage: matmul [n=640]. Nested loops without calls; the elements are small integers, so the
 * result is exact.
 */
#include <stdio.h>
#include <stdlib.h>

static void multiply(int n, const double *a, const double *b, double *c) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int k = 0; k < n; k++) sum += a[i * n + k] * b[k * n + j];
            c[i * n + j] = sum;
        }
    }
}

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 640;
    size_t cells = (size_t)n * (size_t)n;
    double *a = malloc(3 * cells * sizeof *a), *b = a + cells, *c = b + cells;
    if (!a) return 1;
    for (size_t i = 0; i < cells; i++) {
        a[i] = (double)(i % 7);
        b[i] = (double)(i % 11);
    }
    multiply(n, a, b, c);
    double trace = 0;
    for (int i = 0; i < n; i++) trace += c[i * n + i];
    printf("matmul %.0f\n", trace);
    return 0;
}
