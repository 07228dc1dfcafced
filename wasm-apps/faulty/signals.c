/* signals: reads the lines of /sys/signals and ends with `bye` and code 0 at the line TERM.
 *
 * Not misbehaving in itself: it is the one that must be given the chance to end well. Other
 * lines are printed as `signal: <line>`. The end of the file before a TERM is code 1.
 */
#include <stdio.h>
#include <string.h>

int main(void) {
    char line[64];
    FILE *signals = fopen("/sys/signals", "r");
    if (!signals) {
        perror("/sys/signals");
        return 1;
    }
    while (fgets(line, sizeof line, signals)) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "TERM") == 0) {
            puts("bye");
            return 0;
        }
        printf("signal: %s\n", line);
        fflush(stdout);
    }
    return 1;
}
