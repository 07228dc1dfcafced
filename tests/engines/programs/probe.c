/* probe: shows whether what a program holds survives a move. One subject a run, many sleeps in it.
 *
 * Usage: probe files|clock|random|partial|nonblock [steps=5]
 * Each step ends with a sleep of 1 ms, at which the module is parked and may be moved.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void nap(void) {
    struct timespec duration = {.tv_nsec = 1000000L};
    nanosleep(&duration, NULL);
}

static int fail(const char *what) {
    perror(what);
    return 1;
}

/* A directory, a file that grows by one line a step, and one that has no name any more. */
static int files(int steps) {
    char line[32], all[1024] = "";
    struct stat status;
    if (mkdir("/data", 0700)) return fail("mkdir");
    int log = open("/data/log", O_CREAT | O_RDWR | O_APPEND, 0600);
    int secret = open("/secret", O_CREAT | O_RDWR, 0600);
    if (log < 0 || secret < 0) return fail("open");
    if (write(secret, "nameless", 8) != 8 || unlink("/secret")) return fail("unlink");
    for (int step = 1; step <= steps; step++) {
        int length = snprintf(line, sizeof line, "line %d\n", step);
        if (write(log, line, (size_t)length) != length) return fail("write");
        nap();
    }
    if (rename("/data/log", "/data/old") || stat("/data/old", &status)) return fail("rename");
    if (lseek(secret, 4, SEEK_SET) != 4 || read(secret, all, 4) != 4) return fail("secret");
    printf("%s %lld\n", all, (long long)status.st_size);
    if (lseek(log, 0, SEEK_SET)) return fail("lseek");
    ssize_t length = read(log, all, sizeof all - 1);
    if (length < 0) return fail("read");
    all[length] = '\0';
    fputs(all, stdout);
    return 0;
}

/* Monotonic time never goes back, and every nap takes at least as long as it should. */
static int clocks(int steps) {
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int step = 1; step <= steps; step++) {
        nap();
        clock_gettime(CLOCK_MONOTONIC, &after);
        long long passed = (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
        printf("%s\n", passed >= 1000000LL && passed < 20000000000LL ? "forward" : "wrong");
        fflush(stdout);
        before = after;
    }
    return 0;
}

static int randomness(int steps) {
    for (int step = 1; step <= steps; step++) {
        unsigned char bytes[16];
        if (getentropy(bytes, sizeof bytes)) return fail("getentropy");
        for (size_t i = 0; i < sizeof bytes; i++) printf("%02x", bytes[i]);
        puts("");
        fflush(stdout);
        nap();
    }
    return 0;
}

static int partial(int steps) {
    for (int step = 1; step <= steps; step++) {
        printf("%d,", step);
        fflush(stdout);
        nap();
    }
    puts("end");
    fputs("no newline", stderr);
    return 0;
}

static int nonblock(void) {
    char byte;
    if (fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK)) return fail("fcntl");
    puts(read(STDIN_FILENO, &byte, 1) < 0 && errno == EAGAIN ? "again" : "wrong");
    return 0;
}

int main(int argc, char **argv) {
    const char *subject = argc > 1 ? argv[1] : "";
    int steps = argc > 2 ? atoi(argv[2]) : 5;
    if (strcmp(subject, "files") == 0) return files(steps);
    if (strcmp(subject, "clock") == 0) return clocks(steps);
    if (strcmp(subject, "random") == 0) return randomness(steps);
    if (strcmp(subject, "partial") == 0) return partial(steps);
    if (strcmp(subject, "nonblock") == 0) return nonblock();
    fputs("usage: probe files|clock|random|partial|nonblock [steps]\n", stderr);
    return 2;
}
