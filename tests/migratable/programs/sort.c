/* Loops in loops in recursion, and a comparison called back from the C library. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void quicksort(uint32_t *a, int left, int right) {
    while (left < right) {
        uint32_t pivot = a[(left + right) / 2];
        int i = left, j = right;
        while (i <= j) {
            while (a[i] < pivot) i++;
            while (a[j] > pivot) j--;
            if (i <= j) {
                uint32_t t = a[i];
                a[i++] = a[j];
                a[j--] = t;
            }
        }
        if (j - left < right - i) {
            quicksort(a, left, j);
            left = i;
        } else {
            quicksort(a, i, right);
            right = j;
        }
    }
}

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 500;
    uint32_t *a = malloc(4 * n), *b = malloc(4 * n), seed = 12345;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < n; i++) a[i] = b[i] = seed = seed * 1664525u + 1013904223u;
        qsort(b, n, 4, compare);
        quicksort(a, 0, n - 1);
        uint64_t hash = 0;
        for (int i = 0; i < n; i++) {
            hash = hash * 31 + a[i];
            if (a[i] != b[i]) return 1;
        }
        printf("%d %016llx\n", round, (unsigned long long)hash);
    }
    return 0;
}
