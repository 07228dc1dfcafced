/* gemver: A plus two outer products, then two products with vectors.
 *
 * Usage: gemver [n=1000] [rounds=30].
 */
#include "matrix.h"

struct vectors {
    double *u1, *v1, *u2, *v2, *w, *x, *y, *z;
};

static void kernel(int n, double a[n][n], const struct vectors *v) {
    double alpha = 1.5 / n, beta = 1.2 / n;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            a[i][j] = 0.5 * a[i][j] + v->u1[i] * v->v1[j] + v->u2[i] * v->v2[j];
        }
    }
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < n; i++) v->x[i] += beta * a[j][i] * v->y[j];
    }
    for (int i = 0; i < n; i++) v->x[i] = (v->x[i] + v->z[i]) / 2;
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int j = 0; j < n; j++) sum += a[i][j] * v->x[j];
        v->w[i] = alpha * sum;
    }
}

int main(int argc, char **argv) {
    int n = argument(argc, argv, 1, 1000), rounds = argument(argc, argv, 2, 30);
    size_t size = (size_t)n;
    double *a = numbers(size * size);
    struct vectors v = {.w = zeros(size), .x = zeros(size)};
    double **filled[] = {&v.u1, &v.v1, &v.u2, &v.v2, &v.y, &v.z};
    for (int i = 0; i < 6; i++) *filled[i] = numbers(size);
    for (int round = 0; round < rounds; round++) kernel(n, (void *)a, &v);
    return print("gemver", v.w, size);
}
