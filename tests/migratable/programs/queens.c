/* Recursion, calls through a table, output from the middle of the search. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*check)(int row, const int *columns);

static int size;
static long nodes;

static int safe(int row, const int *columns) {
    for (int i = 0; i < row; i++)
        if (columns[i] == columns[row] || abs(columns[i] - columns[row]) == row - i) return 0;
    return 1;
}

static volatile check is_safe = safe;

static long solve(int row, const int *columns) {
    if (row == size) return 1;
    long solutions = 0;
    int mine[16];
    memcpy(mine, columns, sizeof mine);
    for (int k = 0; k < size; k++) {
        mine[row] = k;
        nodes++;
        if (is_safe(row, mine)) {
            long found = solve(row + 1, mine);
            solutions += found;
            if (row == 1) printf("%d %d: %ld (%ld nodes)\n", mine[0], k, found, nodes);
        }
    }
    return solutions;
}

int main(int argc, char **argv) {
    size = argc > 1 ? atoi(argv[1]) : 6;
    int none[16] = {0};
    long solutions = solve(0, none);
    printf("%ld solutions, %ld nodes\n", solutions, nodes);
    return 0;
}
