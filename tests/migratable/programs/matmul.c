/* A nest of loops over doubles, in one function. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 16;
    double *a = malloc(8 * n * n), *b = malloc(8 * n * n), *c = malloc(8 * n * n);
    for (int i = 0; i < n * n; i++) {
        a[i] = (i % 17) * .5;
        b[i] = (i % 13) * .25;
    }
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                double sum = 0;
                for (int k = 0; k < n; k++) sum += a[i * n + k] * b[k * n + j];
                c[i * n + j] = sum;
            }
        double trace = 0;
        for (int i = 0; i < n * n; i++) trace += c[i] * (i & 7);
        printf("%d %.6f\n", round, trace);
        a[round] = trace * 1e-6;
    }
    return 0;
}
