/* One piece of work: see work.h. */
#include "work.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ARGUMENTS = 8 };

static int64_t clock_read(clockid_t clock) {
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t server_busy(const work_t *work) {
    clockid_t clock;
    return clock_getcpuclockid(work->server, &clock) == 0 ? clock_read(clock) : 0;
}

void work_begin(work_t *work) {
    work->busy = server_busy(work);
    work->began = clock_read(CLOCK_MONOTONIC);
}

bool work_over(const work_t *work) {
    return (double)(clock_read(CLOCK_MONOTONIC) - work->began) >= work->seconds * 1e9;
}

void work_end(work_t *work, int64_t elements) {
    work->took += (double)(clock_read(CLOCK_MONOTONIC) - work->began) / 1e9;
    work->spent += server_busy(work) - work->busy;
    work->elements += elements;
}

/* For all three alike, as reprise_keep_buffers does. */
static void keep_buffers(void) {
    mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
    mallopt(M_TRIM_THRESHOLD, 32 * 1024 * 1024);
}

int work_main(int count, char **arguments, const work_kind_t *kinds) {
    keep_buffers();
    if (count != ARGUMENTS) {
        fprintf(stderr, "usage: %s WORK ENDPOINT PID SIZE BATCH RECORDED SECONDS\n", arguments[0]);
        return 2;
    }
    work_t work = {.endpoint = arguments[2],
                   .server = (pid_t)atoi(arguments[3]),
                   .size = atoll(arguments[4]),
                   .batch = atoll(arguments[5]),
                   .recorded = atoll(arguments[6]),
                   .seconds = atof(arguments[7])};
    must(work.size > 0 && work.batch > 0 && work.recorded > 0 && work.seconds > 0);
    work.bytes_size = (size_t)(work.size * work.batch);
    uint8_t *bytes = malloc(work.bytes_size);
    must(bytes);
    for (size_t i = 0; i < work.bytes_size; i++) bytes[i] = (uint8_t)(i % (size_t)work.size * 131 + 7);
    work.bytes = bytes;
    const work_kind_t *kind = kinds;
    while (kind->name && strcmp(kind->name, arguments[1]) != 0) kind++;
    fault_t why;
    int result = kind->name ? kind->run(&work, &why) : fault_set(&why, "there is no work `%s`", arguments[1]);
    if (result < 0)
        fprintf(stderr, "%s: %s\n", arguments[0], why.text);
    else
        printf("{\"elements\": %lld, \"seconds\": %.9f, \"server_ns\": %lld}\n", (long long)work.elements, work.took,
               (long long)work.spent);
    free(bytes);
    return result < 0 ? 1 : 0;
}
