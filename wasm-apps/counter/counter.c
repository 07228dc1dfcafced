/* counter: prints `count 1`, `count 2`, ... with a pause after each line.
 *
 * Usage: counter [interval_ms=100] [count=0: endless]
 * Its whole state is one integer, so a lost or repeated step shows in the output.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void pause_ms(long ms) {
    struct timespec duration = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    if (ms > 0) nanosleep(&duration, NULL);
}

int main(int argc, char **argv) {
    long interval_ms = argc > 1 ? atol(argv[1]) : 100;
    long count = argc > 2 ? atol(argv[2]) : 0;
    for (long i = 1; count == 0 || i <= count; i++) {
        printf("count %ld\n", i);
        fflush(stdout);
        pause_ms(interval_ms);
    }
    return 0;
}
