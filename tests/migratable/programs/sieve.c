/* Loops with nothing but memory in them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 1000;
    unsigned char *prime = malloc(n + 1);
    for (int round = 0; round < 3; round++) {
        memset(prime, 1, n + 1);
        for (long i = 2; i * i <= n; i++)
            if (prime[i])
                for (long j = i * i; j <= n; j += i) prime[j] = 0;
        int count = 0;
        for (int i = 2; i <= n; i++) count += prime[i];
        printf("%d %d\n", round, count);
    }
    return 0;
}
