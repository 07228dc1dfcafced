/* sieve: the number of primes up to n, by the sieve of Eratosthenes.
 *
 * Usage: sieve [n=60000000]. Strided stores over a large memory: many dirty pages.
 */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    size_t n = argc > 1 ? (size_t)atoll(argv[1]) : 60000000;
    char *composite = calloc(n + 1, 1);
    if (!composite) return 1;
    long primes = 0;
    for (size_t i = 2; i <= n; i++) {
        if (composite[i]) continue;
        primes++;
        if (i <= n / i) {
            for (size_t multiple = i * i; multiple <= n; multiple += i) composite[multiple] = 1;
        }
    }
    printf("sieve %ld\n", primes);
    return 0;
}
