/* hog: takes memory, touching every page, until malloc refuses; then says so and exits with 1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 1024 * 1024 };

int main(void) {
    for (unsigned taken_mib = 0;; taken_mib++) {
        char *block = malloc(BLOCK_BYTES);
        if (!block) {
            printf("malloc failed after %u MiB\n", taken_mib);
            return 1;
        }
        memset(block, (int)taken_mib + 1, BLOCK_BYTES);
        /* volatile: otherwise the compiler sees that nobody reads the block and drops it */
        *(volatile char *)block = 1;
    }
}
