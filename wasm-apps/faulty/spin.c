/* spin: computes for ever, without a single host call. */
#include <stdint.h>

int main(void) {
    /* volatile: the compiler may neither remove the loop nor assume that it ends */
    for (volatile uint32_t turns = 0;; turns++) {
    }
}
