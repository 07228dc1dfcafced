/* echo: writes every message of one channel back to another, unchanged.
 *
 * Usage: echo [in=/ch/in] [out=/ch/out]
 * One read(2) is one message, and one write(2) is one message. A read of 0 bytes is the end.
 * Refuses to know what a message means.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { MESSAGE_MAX = 64 * 1024 };

static int open_or_complain(const char *path, int mode) {
    int fd = open(path, mode);
    if (fd < 0) perror(path);
    return fd;
}

int main(int argc, char **argv) {
    static char message[MESSAGE_MAX];
    int in = open_or_complain(argc > 1 ? argv[1] : "/ch/in", O_RDONLY);
    int out = open_or_complain(argc > 2 ? argv[2] : "/ch/out", O_WRONLY);
    if (in < 0 || out < 0) return 1;
    ssize_t length;
    while ((length = read(in, message, sizeof message)) > 0) {
        if (write(out, message, (size_t)length) != length) {
            perror("write");
            return 1;
        }
    }
    if (length < 0) perror("read");
    return length < 0;
}
