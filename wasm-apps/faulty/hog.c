/* hog: takes memory, touching every page, until malloc refuses; then says so and exits with 1. */
#include <stdio.h>
#include <stdlib.h>

/* A little less than 1 MiB: with its own header it fits the allocator's power of two. */
enum { BLOCK_BYTES = 1000 * 1000, PAGE_BYTES = 4096 };

int main(void) {
    for (unsigned blocks = 0;; blocks++) {
        /* volatile: or the compiler drops stores that nobody reads */
        volatile char *block = malloc(BLOCK_BYTES);
        if (!block) {
            printf("malloc failed after %u MB\n", blocks);
            return 1;
        }
        for (size_t i = 0; i < BLOCK_BYTES; i += PAGE_BYTES) block[i] = 1;
    }
}
