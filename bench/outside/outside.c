/* What the systems outside have in common: see outside.h. */
#include "outside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_MS = 10000, AGAIN_MS = 10, LOG_LINE = 200 };

bool meter_add(meter_t *meter, int64_t count) {
    meter->last = clock_ns();
    if (!meter->began) {
        meter->began = meter->last;
        meter->first = count;
        return true;
    }
    meter->count += count;
    if (meter->most && meter->first + meter->count >= meter->most) return false;
    return (double)(meter->last - meter->began) < meter->seconds * 1e9;
}

void outside_pack_text(msgpack_packer *packer, const char *key, const char *value) {
    msgpack_pack_str_with_body(packer, key, strlen(key));
    msgpack_pack_str_with_body(packer, value, strlen(value));
}

int64_t outside_enough(const outside_t *outside, int64_t a_second) {
    double seconds = outside->bench->seconds;
    return (int64_t)((double)a_second * (seconds < 0.1 ? 0.1 : seconds > 3 ? 3 : seconds));
}

/* ---- a server ---- */

int outside_prepare(outside_t *outside, int *ret_port, fault_t *why) {
    const char *folder = getenv("TMPDIR");
    snprintf(outside->folder, sizeof outside->folder, "%.30s/reprise-outside-XXXXXX", folder ? folder : "/tmp");
    if (!mkdtemp(outside->folder)) {
        fault_errno(why, "cannot create the folder %s", outside->folder);
        outside->folder[0] = '\0';
        return -1;
    }
    if (ports_find(ret_port, 1, why) < 0) return -1;
    snprintf(outside->server, sizeof outside->server, "127.0.0.1:%d", *ret_port);
    return 0;
}

static bool listens(const char *server) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    address.sin_port = htons((uint16_t)atoi(strchr(server, ':') + 1));
    int tried = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool there = tried >= 0 && connect(tried, (struct sockaddr *)&address, sizeof address) == 0;
    if (tried >= 0) close(tried);
    return there;
}

static int not_started(const outside_t *outside, const char *name, const char *log, fault_t *why) {
    char line[LOG_LINE] = "", last[LOG_LINE] = "it says nothing";
    FILE *file = fopen(log, "r");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0]) memcpy(last, line, sizeof last);
    }
    if (file) fclose(file);
    return fault_set(why, "%s did not start at %s: %s (`bin/setup test` installs it)", name, outside->server, last);
}

int outside_start(outside_t *outside, const char *const *arguments, fault_t *why) {
    char log[96];
    snprintf(log, sizeof log, "%s/log", outside->folder);
    if (process_spawn(&outside->process, arguments, log, why) < 0) return -1;
    for (int64_t until = clock_ns() + START_MS * INT64_C(1000000); clock_ns() < until; poll(NULL, 0, AGAIN_MS)) {
        if (listens(outside->server)) return 0;
        if (waitpid(outside->process.id, NULL, WNOHANG) != 0) {
            outside->process.id = 0;
            break;
        }
    }
    return not_started(outside, arguments[0], log, why);
}

static int entry_remove(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

void outside_stop(outside_t *outside) {
    process_stop(&outside->process);
    if (outside->folder[0]) nftw(outside->folder, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
    outside->folder[0] = '\0';
}
