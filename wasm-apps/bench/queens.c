/* queens: the number of ways to put n queens on an n x n board, with bit masks.
 *
 * Usage: queens [n=15]. Recursion with almost nothing else: the worst case for a poll at entry.
 */
#include <stdio.h>
#include <stdlib.h>

static unsigned full;

static long place(unsigned columns, unsigned left, unsigned right) {
    if (columns == full) return 1;
    long solutions = 0;
    for (unsigned free = full & ~(columns | left | right); free; free &= free - 1) {
        unsigned bit = free & -free;
        solutions += place(columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return solutions;
}

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 15;
    if (n < 1 || n > 20) return 2;
    full = (1u << n) - 1;
    printf("queens %ld\n", place(0, 0, 0));
    return 0;
}
