/* poll: waits for a line of input or for a time-out, whichever comes first.
 *
 * Usage: poll [interval_ms=1000]
 * Prints `tick N` when the interval passes without input and `line: <line>` for input. Ends at
 * the line `quit` or at the end of the input. It shows a program that waits for two things.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INPUT_MAX = 4096 };

static char input[INPUT_MAX];
static size_t held;

/* Prints the complete lines held in `input` and keeps the rest. Returns 0 at `quit`. */
static int take_lines(void) {
    char *start = input, *end;
    while ((end = memchr(start, '\n', (size_t)(input + held - start)))) {
        *end = '\0';
        if (strcmp(start, "quit") == 0) return 0;
        printf("line: %s\n", start);
        start = end + 1;
    }
    fflush(stdout);
    held -= (size_t)(start - input);
    memmove(input, start, held);
    return held < sizeof input;
}

int main(int argc, char **argv) {
    int interval_ms = argc > 1 ? atoi(argv[1]) : 1000;
    struct pollfd keyboard = {.fd = STDIN_FILENO, .events = POLLIN};
    for (long tick = 0;;) {
        int ready = poll(&keyboard, 1, interval_ms);
        if (ready < 0) {
            perror("poll");
            return 1;
        }
        if (ready == 0) {
            printf("tick %ld\n", ++tick);
            fflush(stdout);
            continue;
        }
        ssize_t length = read(STDIN_FILENO, input + held, sizeof input - held);
        if (length == 0 && held > 0) printf("line: %.*s\n", (int)held, input);
        if (length <= 0) return length < 0;
        held += (size_t)length;
        if (!take_lines()) return 0;
    }
}
