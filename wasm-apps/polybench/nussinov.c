/* nussinov: the most pairs that n bases of a folded RNA can form; whole numbers.
 *
 * Usage: nussinov [n=900].
 */
#include "matrix.h"

static int larger(int a, int b) {
    return a > b ? a : b;
}

static int kernel(int n, const char bases[n], int pairs[n][n]) {
    for (int i = n - 1; i >= 0; i--) {
        for (int j = i + 1; j < n; j++) {
            int best = larger(pairs[i][j - 1], pairs[i + 1][j]);
            int matching = j - i > 1 && bases[i] + bases[j] == 3;
            best = larger(best, pairs[i + 1][j - 1] + matching);
            for (int k = i + 1; k < j; k++) best = larger(best, pairs[i][k] + pairs[k + 1][j]);
            pairs[i][j] = best;
        }
    }
    return pairs[0][n - 1];
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 900);
    size_t size = (size_t)n;
    double *chosen = numbers(size);
    char *bases = zeros(size);
    for (int i = 0; i < n; i++) bases[i] = (char)(4 * chosen[i]);
    printf("nussinov %d\n", kernel(n, bases, zeros((size + 1) * size)));
    return 0;
}
