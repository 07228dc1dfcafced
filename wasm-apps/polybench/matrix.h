/* What the kernels share: numbers on the heap, where they come from, and what is printed of them. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static inline int argument(int argc, char **argv, int number, int otherwise) {
    return argc > number ? atoi(argv[number]) : otherwise;
}

static inline void *zeros(size_t count) {
    double *values = calloc(count, sizeof *values);
    if (!values) exit(1);
    return values;
}

/* Numbers in [0, 1), the same ones for every kernel, and more of them with each call. */
static inline void *numbers(size_t count) {
    static uint32_t seed = 1;
    double *values = zeros(count);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (double)(seed >> 8) / 16777216;
    }
    return values;
}

/* A matrix that is far from singular: large numbers on the diagonal. */
static inline void *dominant(int n) {
    double(*a)[n] = numbers((size_t)n * (size_t)n);
    for (int i = 0; i < n; i++) a[i][i] += n;
    return a;
}

/* Prints a sum that depends on every value and on where it stands. */
static inline int print(const char *name, const void *result, size_t count) {
    const double *values = result;
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += values[i] * (double)(i % 7 + 1);
    printf("%s %.10g\n", name, sum);
    return 0;
}
