/* sort: fills an array with pseudo-random numbers and quicksorts it. Prints a checksum.
 *
 * Usage: sort [n=4000000]. Recursion, branches and a few MB of memory that all changes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void swap(uint32_t *a, uint32_t *b) {
    uint32_t kept = *a;
    *a = *b;
    *b = kept;
}

/* Recurses into the smaller part only, so the stack stays logarithmic. */
static void sort(uint32_t *values, long count) {
    while (count > 1) {
        uint32_t pivot = values[count / 2];
        long low = 0, high = count - 1;
        while (low <= high) {
            while (values[low] < pivot) low++;
            while (values[high] > pivot) high--;
            if (low <= high) swap(&values[low++], &values[high--]);
        }
        if (high + 1 < count - low) {
            sort(values, high + 1);
            values += low;
            count -= low;
        } else {
            sort(values + low, count - low);
            count = high + 1;
        }
    }
}

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : 4000000;
    uint32_t *values = malloc((size_t)n * sizeof *values);
    if (!values) return 1;
    uint32_t seed = 1;
    for (long i = 0; i < n; i++) values[i] = seed = seed * 1664525u + 1013904223u;
    sort(values, n);
    uint32_t checksum = 0;
    for (long i = 0; i < n; i++) checksum = checksum * 31 + values[i];
    printf("sort %u\n", checksum);
    return 0;
}
