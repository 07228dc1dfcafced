/* nbody: the outer planets and the sun, `steps` symplectic steps. Prints the total energy.
 *
 * Usage: nbody [steps=10000000]. Floating point; reference: 1000 steps end at -0.169087605.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BODIES = 5 };

static const double PI = 3.141592653589793, DAYS = 365.24, DT = 0.01;

typedef struct {
    double x[3], v[3], mass;
} Body;

/* sun, Jupiter, Saturn, Uranus, Neptune: AU, AU per day, solar masses (scaled in prepare) */
static Body bodies[BODIES] = {
    {{0, 0, 0}, {0, 0, 0}, 1},
    {{4.84143144246472090e+00, -1.16032004402742839e+00, -1.03622044471123109e-01},
     {1.66007664274403694e-03, 7.69901118419740425e-03, -6.90460016972063023e-05},
     9.54791938424326609e-04},
    {{8.34336671824457987e+00, 4.12479856412430479e+00, -4.03523417114321381e-01},
     {-2.76742510726411899e-03, 4.99852801234917238e-03, 2.30417297573763929e-05},
     2.85885980666130812e-04},
    {{1.28943695621391310e+01, -1.51111514016986312e+01, -2.23307578892655734e-01},
     {2.96460137564761618e-03, 2.37847173959480950e-03, -2.96589568540237556e-05},
     4.36624404335156298e-05},
    {{1.53796971148509165e+01, -2.59193146099879641e+01, 1.79258772950371181e-01},
     {2.68067772490389322e-03, 1.62824170038242295e-03, -9.51592254519715870e-05},
     5.15138902046611451e-05},
};

/* Scales to years and to G = 1, and gives the sun the opposite of all other momentum. */
static void prepare(void) {
    for (int i = 0; i < BODIES; i++) {
        bodies[i].mass *= 4 * PI * PI;
        for (int k = 0; k < 3; k++) {
            bodies[i].v[k] *= DAYS;
            bodies[0].v[k] -= bodies[i].v[k] * bodies[i].mass / (4 * PI * PI);
        }
    }
}

static double distance_squared(const Body *a, const Body *b) {
    double dx = a->x[0] - b->x[0], dy = a->x[1] - b->x[1], dz = a->x[2] - b->x[2];
    return dx * dx + dy * dy + dz * dz;
}

static void attract(Body *a, Body *b) {
    double squared = distance_squared(a, b);
    double magnitude = DT / (squared * sqrt(squared));
    for (int k = 0; k < 3; k++) {
        double d = a->x[k] - b->x[k];
        a->v[k] -= d * b->mass * magnitude;
        b->v[k] += d * a->mass * magnitude;
    }
}

static void step(void) {
    for (int i = 0; i < BODIES; i++) {
        for (int j = i + 1; j < BODIES; j++) attract(&bodies[i], &bodies[j]);
    }
    for (int i = 0; i < BODIES; i++) {
        for (int k = 0; k < 3; k++) bodies[i].x[k] += DT * bodies[i].v[k];
    }
}

static double energy(void) {
    double total = 0;
    for (int i = 0; i < BODIES; i++) {
        const Body *a = &bodies[i];
        total += a->mass * (a->v[0] * a->v[0] + a->v[1] * a->v[1] + a->v[2] * a->v[2]) / 2;
        for (int j = i + 1; j < BODIES; j++) {
            total -= a->mass * bodies[j].mass / sqrt(distance_squared(a, &bodies[j]));
        }
    }
    return total;
}

int main(int argc, char **argv) {
    long steps = argc > 1 ? atol(argv[1]) : 10000000;
    prepare();
    while (steps-- > 0) step();
    printf("nbody %.9f\n", energy());
    return 0;
}
