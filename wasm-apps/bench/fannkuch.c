/* fannkuch: indexed access to tiny arrays. Prints the checksum and the most pancake flips.
 *
 * Usage: fannkuch [n=10]. Over all permutations of 1..n in the benchmark game's order: how often
 * must the first `p[0]` elements be reversed until p[0] is 1? Reference: n=7 gives 228 and 16.
 */
#include <stdio.h>
#include <stdlib.h>

enum { MAX = 12 };

static int permutation[MAX], turns[MAX];

static int count_flips(int n) {
    int p[MAX], flips = 0;
    for (int i = 0; i < n; i++) p[i] = permutation[i];
    for (; p[0] != 0; flips++) {
        for (int low = 0, high = p[0]; low < high; low++, high--) {
            int kept = p[low];
            p[low] = p[high];
            p[high] = kept;
        }
    }
    return flips;
}

/* Rotates ever longer prefixes until one has turns left. Returns 0 after the last permutation. */
static int next_permutation(int n) {
    for (int last = 1; last < n; last++) {
        int first = permutation[0];
        for (int i = 0; i < last; i++) permutation[i] = permutation[i + 1];
        permutation[last] = first;
        if (turns[last]++ < last) return 1;
        turns[last] = 0;
    }
    return 0;
}

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 10;
    if (n < 1 || n > MAX) return 2;
    for (int i = 0; i < n; i++) permutation[i] = i;
    long checksum = 0;
    int most = 0, sign = 1;
    do {
        int flips = count_flips(n);
        checksum += sign * flips;
        if (flips > most) most = flips;
        sign = -sign;
    } while (next_permutation(n));
    printf("fannkuch %ld %d\n", checksum, most);
    return 0;
}
