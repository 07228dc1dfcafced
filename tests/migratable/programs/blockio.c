/* Reads lines deep in a recursion, where each read may have to wait. */
#include <stdio.h>
#include <unistd.h>

static int ask(int depth) {
    char line[64];
    if (depth == 0) {
        int n = read(0, line, sizeof line - 1);
        if (n <= 0) return -1;
        line[n] = 0;
        printf("got [%s]\n", line);
        return n;
    }
    int answer = ask(depth - 1);
    return answer < 0 ? answer : answer + depth;
}

int main(void) {
    for (int i = 0; i < 5; i++) {
        printf("ask %d\n", i);
        fflush(stdout);
        int answer = ask(5 + i);
        printf("answer %d\n", answer);
        if (answer < 0) break;
        usleep(1000);
    }
    return 0;
}
