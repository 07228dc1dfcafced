/* dirty: fills memory with what does not compress, and rewrites it at a given rate.
 *
 * Usage: dirty [KiB=73728] [KB_per_s=1000] [ticks=0: endless]
 * Every 10 ms it checks the blocks whose turn it is, writes them anew and prints `tick N`. A block
 * that does not hold what was written to it last ends it: `damaged`, exit code 1.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BLOCK 4096
#define WORDS (BLOCK / 8)
#define TICKS_PER_SECOND 100

static uint64_t mix(uint64_t x) {
    x ^= x >> 12;
    x ^= x << 25;
    return x ^ x >> 27;
}

static uint64_t seed_of(size_t block, uint64_t writing) {
    return (block + 1) * 0x9E3779B97F4A7C15u + writing;
}

static void write_block(uint64_t *words, uint64_t seed) {
    for (int i = 0; i < WORDS; i++) words[i] = seed = mix(seed);
}

static int is_intact(const uint64_t *words, uint64_t seed) {
    for (int i = 0; i < WORDS; i++)
        if (words[i] != (seed = mix(seed))) return 0;
    return 1;
}

int main(int argc, char **argv) {
    size_t blocks = (argc > 1 ? (size_t)atol(argv[1]) : 73728) * 1024 / BLOCK;
    long rate = argc > 2 ? atol(argv[2]) : 1000;
    long ticks = argc > 3 ? atol(argv[3]) : 0;
    uint64_t *memory = malloc(blocks * BLOCK);
    if (!memory || !blocks) return 2;
    for (size_t i = 0; i < blocks; i++) write_block(memory + i * WORDS, seed_of(i, 0));
    size_t next = 0;
    uint64_t writing = 1;
    double due = 0;
    struct timespec wait = {.tv_nsec = 1000000000L / TICKS_PER_SECOND};
    for (long tick = 1; ticks == 0 || tick <= ticks; tick++) {
        for (due += rate * 1000.0 / BLOCK / TICKS_PER_SECOND; due >= 1; due--) {
            uint64_t *words = memory + next * WORDS;
            if (!is_intact(words, seed_of(next, writing - 1))) {
                printf("damaged\n");
                return 1;
            }
            write_block(words, seed_of(next, writing));
            if (++next == blocks) next = 0, writing++;
        }
        printf("tick %ld\n", tick);
        fflush(stdout);
        nanosleep(&wait, NULL);
    }
    return 0;
}
