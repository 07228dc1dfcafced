/* mandelbrot: n x n points of the set, at most 100 iterations each. Prints the sum of iterations.
 *
 * Usage: mandelbrot [n=2500]. Floating point with an early exit in the innermost loop.
 */
#include <stdio.h>
#include <stdlib.h>

enum { ITERATIONS = 100 };

static int iterations(double cx, double cy) {
    double x = 0, y = 0;
    int i = 0;
    for (; i < ITERATIONS && x * x + y * y <= 4; i++) {
        double next = x * x - y * y + cx;
        y = 2 * x * y + cy;
        x = next;
    }
    return i;
}

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 2500;
    long total = 0;
    for (int row = 0; row < n; row++) {
        for (int column = 0; column < n; column++) {
            total += iterations(3.0 * column / n - 2, 2.0 * row / n - 1);
        }
    }
    printf("mandelbrot %ld\n", total);
    return 0;
}
