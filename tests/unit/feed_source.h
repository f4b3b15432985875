/* A source on a stage that counts, as a test's script says, and the recorder's double for it to feed. */
#ifndef REPRISE_TESTS_FEED_SOURCE_H
#define REPRISE_TESTS_FEED_SOURCE_H

#include "actors/sources/feed.h"

#include "ingest_double.h"
#include "pack.h"

/* Element n is the text of n, at time n. Its cursor is [n]. */
typedef struct counter_source {
    feed_t feed;
    int64_t next;
    bool said; /* the gap */
} counter_source_t;

/* What the test wants of it, and what happened to it. */
static struct {
    int64_t end, batch; /* elements in all; elements a batch */
    size_t size;        /* bytes of an element; 0: as its text is */
    bool ends, gathers; /* gathers: does not send what it has made */
    char fails[2000];   /* at the end; empty: it does not */
    const char *waits;  /* for what; "": for nothing any more. NULL: it says nothing */
    int64_t idles;      /* a watermark without elements; 0: none */
    int64_t places;     /* a position without elements; 0: none */
    const char *gap;    /* before element `gap_at`; NULL: there is none */
    int64_t gap_at, lost_us;
    int resumed, stopped, recorded;
    bool hears; /* that all is recorded */
    actor_t *me;
    const feed_t *feed;
} script;

static inline void counter_say_gap(counter_source_t *counter) {
    if (!script.gap || counter->said || counter->next != script.gap_at) return;
    feed_gap(&counter->feed, script.lost_us, "%s", script.gap);
    counter->said = true;
}

static inline int counter_produce(void *state, fault_t *why) {
    counter_source_t *counter = state;
    (void)why;
    while (feed_room(&counter->feed) && counter->next < script.end) {
        counter_say_gap(counter);
        for (int64_t i = 0; i < script.batch && counter->next < script.end && !feed_full(&counter->feed); i++, counter->next++) {
            char text[24];
            size_t size = (size_t)snprintf(text, sizeof text, "%lld", (long long)counter->next);
            uint8_t *at = feed_element(&counter->feed, counter->next, script.size > 0 ? script.size : size, (bytes_t){0});
            if (script.size > 0) memset(at, 'x', script.size);
            if (script.size == 0 || script.size >= size) memcpy(at, text, size);
        }
        int64_t watermark = counter->next;
        if (script.gathers) return 0;
        feed_send(&counter->feed, feed_cursor(&counter->feed, &counter->next, 1), &watermark);
    }
    counter_say_gap(counter);
    feed_send(&counter->feed, feed_cursor(&counter->feed, &counter->next, 1), NULL);
    if (counter->next == script.end && script.fails[0]) feed_fail(&counter->feed, "%s", script.fails);
    if (counter->next == script.end && script.ends) feed_done(&counter->feed);
    return 0;
}

static inline int counter_resume(void *state, bytes_t cursor, fault_t *why) {
    counter_source_t *counter = state;
    script.resumed++;
    counter->next = 0;
    counter->said = false;
    if (cursor.size > 0 && !feed_cursor_read(cursor, &counter->next, 1)) return fault_set(why, "a cursor that was not sent");
    return 0;
}

static inline int counter_recorded(void *state, fault_t *why) {
    (void)state, (void)why;
    script.recorded++;
    return 0;
}

static inline void counter_stop(void *state) {
    (void)state;
    script.stopped++;
}

static const feed_source_t counter_feed = {"test:counter", counter_resume, counter_produce, counter_stop};

static inline void counter_destroy(void **state) {
    counter_source_t *counter = *state;
    if (!counter) return;
    feed_fini(&counter->feed);
    free(counter);
    *state = NULL;
}

static inline void *counter_create(actor_t *me, bytes_t args, fault_t *why) {
    void *state = calloc(1, sizeof(counter_source_t));
    msg_generator_payload_t payload;
    counter_source_t *counter = state;
    assert_non_null(counter);
    script.me = me;
    script.feed = &counter->feed;
    if (feed_init(&counter->feed, me, &counter_feed, args, RECORD_CLASS(generator_payload), &payload, why) < 0) {
        counter_destroy(&state);
        return NULL;
    }
    if (script.hears) counter->feed.recorded = counter_recorded;
    feed_start(&counter->feed);
    return state;
}

static inline int counter_poke(void *state, const envelope_t *in, fault_t *why) {
    counter_source_t *counter = state;
    (void)in;
    if (script.waits) feed_waiting(&counter->feed, script.waits[0] ? "%s" : NULL, script.waits);
    if (script.idles) feed_watermark(&counter->feed, feed_cursor(&counter->feed, &counter->next, 1), script.idles);
    if (script.places) feed_place(&counter->feed, feed_cursor(&counter->feed, &script.places, 1));
    return counter_produce(state, why);
}

static const actor_class_t counter_class = {
    .name = "counter",
    .doc = "A source that counts.",
    .create = counter_create,
    .destroy = counter_destroy,
    .takes = {FEED_TAKES, [MSG_RECORDER_RECOVERED] = counter_poke},
    .sends = {FEED_SENDS},
    .doors = {FEED_DOOR},
};

static inline int setup(void **state) {
    memset(&script, 0, sizeof script);
    script.batch = 10;
    return ingest_setup(state);
}

static inline void start(stage_t *stage, int64_t end) {
    script.end = end;
    stage_add(stage, &counter_class, "source:7", ingest_args((bytes_t){0}));
    stage_run(stage);
}

/* There is more to produce. */
static inline void go_on(stage_t *stage, int64_t end) {
    static const msg_recorder_recovered_t poke;
    script.end = end;
    stage_tell(stage, "test", "source:7", MSG_RECORDER_RECOVERED, &poke);
    stage_run(stage);
}

/* Everything from 0 on was recorded once and in order. */
static inline void assert_recorded(int64_t end) {
    assert_int_equal(ingest.count, end);
    for (size_t i = 0; i < ingest.count; i++) {
        assert_int_equal(strtol(ingest.elements[i].text, NULL, 10), i);
        assert_int_equal(ingest.elements[i].time, i);
    }
}

static inline void nack_conflict(void) {
    msg_source_nack_t nack = {.has_source = true,
                              .source = ingest.source,
                              .tag = "Read",
                              .seq = 99,
                              .error = {.code = "conflict", .message = "expected 11", .has_expected = true, .expected = 11}};
    assert_int_equal(actor_send(ingest.me, &ingest.peer, MSG_SOURCE_NACK, &nack, NULL), SENT);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, ingest_teardown)

#endif
