/* stdinread: answers every line of its standard input with `got: <line>`.
 *
 * Usage: stdinread
 * Ends at the line `quit` or at the end of the input. It blocks in read: a module that is
 * parked whenever nobody types.
 */
#include <stdio.h>
#include <string.h>

enum { LINE_MAX_BYTES = 4096 };

int main(void) {
    static char line[LINE_MAX_BYTES];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = '\0';
        if (strcmp(line, "quit") == 0) break;
        printf("got: %s\n", line);
        fflush(stdout);
    }
    return 0;
}
