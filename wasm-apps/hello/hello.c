/* hello: says what it was started with, and exits with the code it was asked for.
 *
 * Usage: hello [--exit N] [ARG...]
 * Knows its arguments and environment. Refuses to know files, channels and time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

int main(int argc, char **argv) {
    int code = 0;
    puts("hello");
    for (int i = 0; i < argc; i++) {
        printf("arg %d: %s\n", i, argv[i]);
        if (strcmp(argv[i], "--exit") == 0 && i + 1 < argc) code = atoi(argv[i + 1]);
    }
    for (char **variable = environ; variable && *variable; variable++) {
        printf("env %s\n", *variable);
    }
    return code;
}
