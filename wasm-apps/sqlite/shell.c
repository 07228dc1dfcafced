/* SQLite as a command: `sqlite -e STATEMENTS`, or the statements on standard input. In memory. */
#include <stdio.h>

#include "../script_text.h"
#include "sqlite3.h"

static int print_row(void *nothing, int count, char **values, char **names)
{
    (void)nothing;
    (void)names;
    for (int i = 0; i < count; i++)
        printf("%s%s", i == 0 ? "" : "|", values[i] == NULL ? "" : values[i]);
    putchar('\n');
    return 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    char *statements = script_text(argc, argv);
    sqlite3 *database;
    char *error = NULL;
    if (statements == NULL || sqlite3_open(":memory:", &database) != SQLITE_OK)
        return 2;
    if (sqlite3_exec(database, statements, print_row, NULL, &error) != SQLITE_OK) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    sqlite3_close(database);
    return 0;
}
