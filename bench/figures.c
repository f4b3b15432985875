/* Figures: on a machine that does other things too a figure means little and a ratio much, so each is printed beside its peer of the same
 * run, and what counts is the median of the rounds, in each of which both were measured. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

int64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int order(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double samples_part(double *samples, size_t count, double part) {
    must(count > 0);
    qsort(samples, count, sizeof *samples, order);
    size_t at = (size_t)(part * (double)count);
    return samples[at < count ? at : count - 1];
}

static double median(const double *values, size_t count) {
    double sorted[ROUNDS_MAX];
    memcpy(sorted, values, count * sizeof *values);
    return samples_part(sorted, count, 0.5);
}

/* Three digits that count: "1.23 M", "456 k", "78.9"; of units that have a prefix of their own, all before the point. */
static const char *short_number(const figure_t *figure, double value, char text[32]) {
    static const char *const prefixes[] = {"", " k", " M", " G"};
    bool prefixed = strcmp(figure->unit, "µs") != 0 && strcmp(figure->unit, "ns") != 0;
    size_t i = 0;
    for (; prefixed && value >= 999.5 && i + 1 < sizeof prefixes / sizeof *prefixes; i++) value /= 1000;
    snprintf(text, 32, "%.*f%s", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, prefixes[i]);
    return text;
}

static void progress_clear(const bench_t *bench) {
    (void)bench;
    if (isatty(STDERR_FILENO)) fprintf(stderr, "\r\033[K");
}

void figure_progress(const bench_t *bench, const char *what, int64_t round) {
    if (!isatty(STDERR_FILENO)) return;
    progress_clear(bench);
    fprintf(stderr, "%s: round %lld of %lld", what, (long long)round + 1, (long long)bench->rounds);
    fflush(stderr);
}

void figure_print(bench_t *bench, const figure_t *figure) {
    size_t rounds = (size_t)bench->rounds;
    double ratios[ROUNDS_MAX], least = INFINITY, most = 0, value_least = INFINITY, value_most = 0;
    for (size_t i = 0; i < rounds; i++) {
        ratios[i] = figure->peers[i] > 0 ? figure->values[i] / figure->peers[i] : 0;
        least = fmin(least, ratios[i]);
        most = fmax(most, ratios[i]);
        value_least = fmin(value_least, figure->values[i]);
        value_most = fmax(value_most, figure->values[i]);
    }
    double value = median(figure->values, rounds), peer = median(figure->peers, rounds), ratio = median(ratios, rounds);
    json_t *json = json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:s, s:f, s:f, s:f, s:f}", "name", figure->name, "what", figure->what, "unit",
                             figure->unit, "value", value, "value_least", value_least, "value_most", value_most, "peer", figure->peer,
                             "peer_value", peer, "ratio", ratio, "ratio_least", least, "ratio_most", most);
    must(json);
    if (figure->per_unit > 0) json_object_set_new(json, "mb_per_s", json_real(value * figure->per_unit));
    json_array_append_new(bench->figures, json);
    progress_clear(bench);
    if (bench->json) return;
    char mine[32], its[32], rate[48] = "", volume[32];
    if (figure->per_unit > 0) snprintf(rate, sizeof rate, "%sB/s", short_number(figure, value * figure->per_unit * 1e6, volume));
    printf("%-28s %9s %-10s %11s   %s %9s   ratio %.2f (%.2f to %.2f)   %s\n", figure->name, short_number(figure, value, mine),
           figure->unit, rate, figure->peer, short_number(figure, peer, its), ratio, least, most, figure->what);
    fflush(stdout);
}

void figures_finish(bench_t *bench, const char *command) {
    if (!bench->json) return;
    json_t *json =
        json_pack("{s:s, s:s, s:i, s:s, s:I, s:I, s:I, s:f, s:O}", "bench", command, "version", REPRISE_VERSION, "cores",
                  (int)sysconf(_SC_NPROCESSORS_ONLN), "durability", bench->durability, "size", (json_int_t)bench->size, "producers",
                  (json_int_t)bench->producers, "rounds", (json_int_t)bench->rounds, "seconds", bench->seconds, "figures", bench->figures);
    must(json);
    json_dumpf(json, stdout, isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT);
    putchar('\n');
    json_decref(json);
}
