/* What Lua's standard library asks of C and WASI does not have: each says that it failed. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

FILE *tmpfile(void)
{
    errno = ENOSYS;
    return NULL;
}

char *tmpnam(char *name)
{
    (void)name;
    errno = ENOSYS;
    return NULL;
}

int system(const char *command)
{
    (void)command;
    return 0;
}
