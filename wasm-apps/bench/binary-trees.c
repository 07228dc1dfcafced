/* binary-trees: many trees made, counted and freed, beside one that stays.
 *
 * Usage: binary-trees [depth=15]. Allocation, pointers and recursion through two small functions.
 */
#include <stdio.h>
#include <stdlib.h>

struct node {
    struct node *left, *right;
};

static struct node *grow(int depth) {
    struct node *node = malloc(sizeof *node);
    if (!node) exit(1);
    node->left = depth ? grow(depth - 1) : NULL;
    node->right = depth ? grow(depth - 1) : NULL;
    return node;
}

static long count(const struct node *node) {
    return node ? 1 + count(node->left) + count(node->right) : 0;
}

static void cut(struct node *node) {
    if (!node) return;
    cut(node->left);
    cut(node->right);
    free(node);
}

int main(int argc, char **argv) {
    int deepest = argc > 1 ? atoi(argv[1]) : 15;
    if (deepest < 1 || deepest > 24) return 2;
    struct node *lasting = grow(deepest);
    long total = 0;
    for (int depth = 4; depth <= deepest; depth += 4) {
        for (int tree = 0; tree < 1 << (deepest - depth); tree++) {
            struct node *root = grow(depth);
            total += count(root);
            cut(root);
        }
    }
    printf("binary-trees %ld %ld\n", total, count(lasting));
    return 0;
}
