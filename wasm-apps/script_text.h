/* Where an interpreter's script comes from: `-e SCRIPT`, or all of standard input. */
#ifndef SCRIPT_TEXT_H
#define SCRIPT_TEXT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int script_is_argument(int count, char **arguments)
{
    return count > 2 && strcmp(arguments[1], "-e") == 0;
}

/* All of standard input, ended by a zero byte, or NULL when there is no memory for it. */
static char *read_all(void)
{
    size_t length = 0, size = 1 << 12;
    char *text = malloc(size);
    while (text != NULL) {
        length += fread(text + length, 1, size - length - 1, stdin);
        if (length < size - 1)
            break;
        size *= 2;
        text = realloc(text, size);
    }
    if (text != NULL)
        text[length] = 0;
    return text;
}

static char *script_text(int count, char **arguments)
{
    return script_is_argument(count, arguments) ? arguments[2] : read_all();
}

#endif
