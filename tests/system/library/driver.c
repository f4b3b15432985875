/* Does what it is told on standard input, a line each, with one connection, one feed and one replay, and answers each line with one: what the
 * library returned, and after it what there is to tell. The test that drives it says when the engine dies. */
#include <inttypes.h>
#include <poll.h>
#include <reprise.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static reprise_t *engine;
static reprise_feed_t *feed;
static reprise_replay_t *replay;
static reprise_error_t error;
static uint64_t number; /* of the next element to push */

static const int64_t ORIGIN = INT64_C(1700000000000000);

static void said(int result) {
    if (result < 0) {
        printf("-1 %s%s: %s\n", error.code, error.retry ? " (retry)" : "", error.message);
    } else {
        printf("%d\n", result);
    }
}

static void do_connect(char words[8][256]) {
    engine = reprise_connect(words[1], &error);
    said(engine ? 0 : -1);
}

/* run PIPELINE TAG COUNT */
static void do_run(char words[8][256]) {
    reprise_run_t run;
    reprise_source_t source = {.name = words[2]};
    reprise_limits_t limits = {.count = strtoll(words[3], NULL, 10)};
    int result = reprise_run(engine, words[1], &source, 1, &limits, 10000, &run, &error);
    if (result == 0) {
        printf("0 %d %s %s %s\n", run.started, run.reason, run.job, run.recording);
    } else {
        said(result);
    }
}

/* wait PIPELINE TIMEOUT */
static void do_wait(char words[8][256]) {
    reprise_job_t job;
    int result = reprise_wait(engine, words[1], strtoll(words[2], NULL, 10), &job, &error);
    if (result == 0) {
        printf("0 %s %s %d %" PRIu64 "\n", job.state, job.stop_reason, job.is_done, job.elements);
    } else {
        said(result);
    }
}

/* feed PIPELINE TAG PRODUCER LINGER BATCH TIMEOUT; `-`: none */
static void do_feed(char words[8][256]) {
    /* the eighth word: elements of a batch */
    reprise_feed_options_t options = {.pipeline = words[1],
                                      .batch_count = (uint32_t)strtoul(words[7], NULL, 10),
                                      .tag = words[2],
                                      .producer = strcmp(words[3], "-") == 0 ? NULL : words[3],
                                      .linger_us = strtoll(words[4], NULL, 10),
                                      .batch_bytes = strtoull(words[5], NULL, 10),
                                      .timeout_ms = strtoll(words[6], NULL, 10)};
    reprise_feed_close(&feed);
    feed = reprise_feed_open(engine, &options, &error);
    said(feed ? 0 : -1);
}

/* push COUNT: numbered elements; push COUNT SIZE: elements of that size */
static void do_push(char words[8][256]) {
    uint64_t end = number + strtoull(words[1], NULL, 10);
    size_t size = strtoull(words[2], NULL, 10);
    char *large = calloc(1, size + 1), text[64];
    int result = 0;
    while (result == 0 && number < end) {
        size_t length = (size_t)snprintf(text, sizeof text, "element %" PRIu64, number);
        result = size > 0 ? reprise_push(feed, large, size, ORIGIN + (int64_t)number, &error)
                          : reprise_push(feed, text, length, ORIGIN + (int64_t)number, &error);
        number += result == 0;
    }
    free(large);
    said(result);
}

static void do_text(char words[8][256]) {
    said(reprise_push(feed, words[1], strlen(words[1]), REPRISE_NOW, &error));
}

/* with ELEMENT NAME VALUE NAME VALUE: the first value is bytes, the second text */
static void do_with(char words[8][256]) {
    reprise_attribute_t attributes[] = {{.name = words[2], .value = words[3], .size = strlen(words[3])},
                                        {.name = words[4], .value = words[5], .size = strlen(words[5]), .text = true}};
    said(reprise_push_with(feed, words[1], strlen(words[1]), ORIGIN, attributes, 2, &error));
}

static void do_watermark(char words[8][256]) {
    said(reprise_feed_watermark(feed, ORIGIN + strtoll(words[1], NULL, 10), &error));
}

/* cursor N, 0 to 127: as a msgpack number it is its own byte */
static void do_cursor(char words[8][256]) {
    uint8_t cursor = (uint8_t)strtoul(words[1], NULL, 10);
    said(reprise_feed_set_cursor(feed, &cursor, 1, &error));
}

static void do_given(char words[8][256]) {
    size_t size;
    const uint8_t *cursor = reprise_feed_cursor(feed, &size);
    (void)words;
    printf("0 %zu %d\n", size, cursor ? cursor[0] : -1);
}

static void do_flush(char words[8][256]) {
    said(reprise_feed_flush(feed, strtoll(words[1], NULL, 10), &error));
}

static void do_done(char words[8][256]) {
    said(reprise_feed_done(feed, strtoll(words[1], NULL, 10), &error));
}

static void do_counts(char words[8][256]) {
    reprise_counts_t counts;
    (void)words;
    reprise_feed_counts(feed, &counts);
    printf("0 %" PRIu64 " %" PRIu64 " %s\n", counts.pushed, counts.recorded, reprise_feed_stopped(feed) ? reprise_feed_stopped(feed) : "-");
}

/* over TIMEOUT: waits for the feed's descriptor; 1 once it takes no more */
static void do_over(char words[8][256]) {
    struct pollfd item = {.fd = reprise_feed_descriptor(feed), .events = POLLIN};
    said(poll(&item, 1, atoi(words[1])));
}

static void do_close(char words[8][256]) {
    (void)words;
    reprise_feed_close(&feed);
    reprise_replay_close(&replay);
    said(0);
}

/* replay PIPELINE FROM MAX RATE CREDIT */
static void do_replay(char words[8][256]) {
    reprise_replay_options_t options = {.pipeline = words[1],
                                        .from_element = strtoull(words[2], NULL, 10),
                                        .max_elements = strtoull(words[3], NULL, 10),
                                        .rate = strtod(words[4], NULL),
                                        .credit = strtoull(words[5], NULL, 10)};
    reprise_replay_close(&replay);
    replay = reprise_replay_open(engine, &options, &error);
    said(replay ? 0 : -1);
}

/* next TIMEOUT: the event itself */
static void do_next(char words[8][256]) {
    reprise_event_t event;
    reprise_attribute_t attribute;
    int result = reprise_replay_next(replay, strtoll(words[1], NULL, 10), &event, &error);
    if (result != 1) {
        said(result);
        return;
    }
    switch (event.kind) {
    case REPRISE_ELEMENT:
        printf("1 element %s %" PRIu64 " %" PRId64 " %.*s", event.tag, event.number, event.time - ORIGIN, (int)event.size,
               (const char *)event.element);
        for (size_t at = 0; reprise_event_attribute(&event, &at, &attribute);) {
            printf(" %.*s=%.*s%s", (int)attribute.name_size, attribute.name, (int)attribute.size, (const char *)attribute.value,
                   attribute.text ? "(text)" : "");
        }
        printf("\n");
        break;
    case REPRISE_WATERMARK: printf("1 watermark %s %" PRId64 "\n", event.tag, event.time); break;
    case REPRISE_PROCESSING_TIME: printf("1 processing_time\n"); break;
    case REPRISE_GAP: printf("1 gap %s %s\n", event.tag ? event.tag : "-", event.text); break;
    case REPRISE_END: printf("1 end %s %" PRIu64 " %s\n", event.text, event.number, event.digest ? event.digest : "-"); break;
    }
}

/* read FIRST COUNT: to the end, or so many elements, which must be numbered from FIRST; how many there were, and the digest */
static void do_read(char words[8][256]) {
    uint64_t first = strtoull(words[1], NULL, 10), most = strtoull(words[2], NULL, 10), count = 0, wrong = 0;
    reprise_event_t event = {0};
    int result = 1;
    while ((result = reprise_replay_next(replay, 20000, &event, &error)) == 1 && event.kind != REPRISE_END) {
        char text[64];
        if (event.kind != REPRISE_ELEMENT) {
            continue;
        }
        size_t length = (size_t)snprintf(text, sizeof text, "element %" PRIu64, first + count);
        bool same = event.size == length && memcmp(event.element, text, length) == 0 && event.number == first + count &&
                    event.time == ORIGIN + (int64_t)(first + count);
        wrong += !same;
        count++;
        if (count == most) {
            break;
        }
    }
    if (result != 1) {
        said(result);
        return;
    }
    bool end = event.kind == REPRISE_END;
    printf("1 %" PRIu64 " %" PRIu64 " %s %s\n", count, wrong, end ? event.text : "-", end && event.digest ? event.digest : "-");
}

static void do_pause(char words[8][256]) {
    (void)words;
    said(reprise_replay_pause(replay, &error));
}

static void do_resume(char words[8][256]) {
    (void)words;
    said(reprise_replay_resume(replay, &error));
}

static void do_step(char words[8][256]) {
    said(reprise_replay_step(replay, strtoull(words[1], NULL, 10), &error));
}

static void do_rate(char words[8][256]) {
    said(reprise_replay_rate(replay, strtod(words[1], NULL), &error));
}

static void do_seek(char words[8][256]) {
    said(reprise_replay_seek_element(replay, strtoull(words[1], NULL, 10), &error));
}

static void do_position(char words[8][256]) {
    (void)words;
    printf("0 %" PRIu64 "\n", reprise_replay_position(replay));
}

/* interrupt: every wait ends from here on */
static void do_interrupt(char words[8][256]) {
    int ends[2];
    (void)words;
    said(pipe(ends) == 0 && write(ends[1], "x", 1) == 1 ? 0 : -1);
    reprise_interrupt_by(engine, ends[0]);
}

/* ask KEY VALUE…: a request of texts */
static void do_ask(char words[8][256]) {
    uint8_t request[2048] = {0x80};
    size_t size = 1;
    const void *answer;
    for (int i = 1; i < 8 && words[i][0]; i++) {
        size_t length = strlen(words[i]);
        request[size++] = 0xd9;
        request[size++] = (uint8_t)length;
        memcpy(request + size, words[i], length);
        size += length;
        request[0] = (uint8_t)(0x80 + i / 2);
    }
    int result = reprise_ask(engine, request, size, 5000, &answer, &size, &error);
    if (result == 0) {
        printf("0 %zu\n", size);
    } else {
        said(result);
    }
}

int main(void) {
    static const struct {
        const char *name;
        void (*run)(char words[8][256]);
    } commands[] = {{"connect", do_connect},     {"run", do_run},       {"wait", do_wait},   {"feed", do_feed},
                    {"push", do_push},           {"text", do_text},     {"with", do_with},   {"flush", do_flush},
                    {"watermark", do_watermark}, {"cursor", do_cursor}, {"given", do_given}, {"done", do_done},
                    {"counts", do_counts},       {"over", do_over},     {"close", do_close}, {"replay", do_replay},
                    {"next", do_next},           {"read", do_read},     {"pause", do_pause}, {"resume", do_resume},
                    {"step", do_step},           {"rate", do_rate},     {"seek", do_seek},   {"position", do_position},
                    {"interrupt", do_interrupt}, {"ask", do_ask}};
    char line[2048];
    while (fgets(line, sizeof line, stdin)) {
        char words[8][256] = {{0}};
        size_t i = 0;
        sscanf(line, "%255s %255s %255s %255s %255s %255s %255s %255s", words[0], words[1], words[2], words[3], words[4], words[5],
               words[6], words[7]);
        while (i < sizeof commands / sizeof *commands && strcmp(commands[i].name, words[0]) != 0) {
            i++;
        }
        if (i == sizeof commands / sizeof *commands) {
            return 2;
        }
        commands[i].run(words);
        fflush(stdout);
    }
    reprise_feed_close(&feed);
    reprise_replay_close(&replay);
    reprise_disconnect(&engine);
    return 0;
}
