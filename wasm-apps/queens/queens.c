/* queens: counts the ways to put n queens on an n x n board, by plain recursion.
 *
 * Usage: queens [n=10]
 * CPU-bound, with a deep stack and no host calls between two progress lines: the program to move
 * while it computes. It deliberately looks at all pairs of queens at every step (bench/queens
 * uses bit masks), so that n=13 takes seconds. `nodes` counts the safe positions: a lost or
 * repeated piece of work shows in it even where `solutions` happens to be right.
 */
#include <stdio.h>
#include <stdlib.h>

enum { MAX = 20 };

static int size;
static int column_of_row[MAX];
static long solutions, nodes;

/* Whether no two queens in the first `rows` rows attack each other. */
static int is_safe(int rows) {
    int attacks = 0;
    for (int low = 1; low < rows; low++) {
        for (int high = 0; high < low; high++) {
            int distance = abs(column_of_row[low] - column_of_row[high]);
            attacks += distance == 0 || distance == low - high;
        }
    }
    return attacks == 0;
}

static void place(int row, int column) {
    column_of_row[row] = column;
    if (!is_safe(row + 1)) return;
    nodes++;
    if (row + 1 == size) {
        solutions++;
        return;
    }
    for (int next = 0; next < size; next++) place(row + 1, next);
}

int main(int argc, char **argv) {
    size = argc > 1 ? atoi(argv[1]) : 10;
    if (size < 1 || size > MAX) {
        fprintf(stderr, "queens: n must be 1..%d\n", MAX);
        return 2;
    }
    for (int column = 0; column < size; column++) {
        place(0, column);
        printf("column %d/%d: solutions %ld nodes %ld\n", column + 1, size, solutions, nodes);
        fflush(stdout);
    }
    printf("solutions %ld nodes %ld\n", solutions, nodes);
    return 0;
}
