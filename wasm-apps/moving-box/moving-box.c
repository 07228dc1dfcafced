/* moving-box: an ARENA box that moves on a circle.
 *
 * Usage: moving-box [interval_ms=50] [object_id=box_1]
 * Publishes ARENA object messages to the channel /ch/scene: one `create`, then an `update` with
 * the next position every interval. Ends with code 1 when the channel cannot be opened or
 * written. Knows nothing of MQTT: a channel is a file, one write(2) is one message.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { STEPS_PER_CIRCLE = 120, MESSAGE_MAX = 512 };

static const double TAU = 6.283185307179586, RADIUS_M = 3.0, HEIGHT_M = 1.0;

static int publish(int channel, const char *id, const char *action, const char *extra, long step) {
    char message[MESSAGE_MAX];
    double angle = TAU * (double)(step % STEPS_PER_CIRCLE) / STEPS_PER_CIRCLE;
    int length = snprintf(message, sizeof message,
        "{\"object_id\":\"%s\",\"action\":\"%s\",\"type\":\"object\",\"data\":{\"object_type\":\"box\","
        "\"position\":{\"x\":%.4f,\"y\":%.4f,\"z\":%.4f}%s}}",
        id, action, RADIUS_M * cos(angle), HEIGHT_M, RADIUS_M * sin(angle), extra);
    if (length < 0 || (size_t)length >= sizeof message) return 0;
    return write(channel, message, (size_t)length) == length;
}

static void pause_ms(long ms) {
    struct timespec duration = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    if (ms > 0) nanosleep(&duration, NULL);
}

int main(int argc, char **argv) {
    static const char LOOK[] = ",\"scale\":{\"x\":0.5,\"y\":0.5,\"z\":0.5},"
                               "\"material\":{\"color\":\"#2266cc\"}";
    long interval_ms = argc > 1 ? atol(argv[1]) : 50;
    const char *id = argc > 2 ? argv[2] : "box_1";
    int channel = open("/ch/scene", O_WRONLY);
    if (channel < 0) {
        perror("/ch/scene");
        return 1;
    }
    int sent = publish(channel, id, "create", LOOK, 0);
    for (long step = 1; sent; step++) {
        pause_ms(interval_ms);
        sent = publish(channel, id, "update", "", step);
    }
    fputs("moving-box: cannot publish\n", stderr);
    return 1;
}
