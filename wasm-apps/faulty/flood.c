/* flood: prints numbered lines for ever, as fast as its host takes them. */
#include <stdio.h>

int main(void) {
    for (unsigned long i = 1;; i++) printf("flood %lu\n", i);
}
