/* What the tests of workers share: jobs that need some, and what these say and are told. */
#ifndef REPRISE_TEST_CREW_H
#define REPRISE_TEST_CREW_H

#include "studio.h"

enum { SECOND = 1000000 };
#define TELEX "urn:telex"
#define TELEGRAPH "urn:telegraph"

/* Recording r<name> of job j<name>: stream A, tag `a`, is run by a worker; so is B, tag `b`, where `both`. */
static inline void create_for_workers(studio_t *studio, const char *name, bool both) {
    static const char *of_a[] = {"a"}, *of_b[] = {"b"};
    static msg_stream_t streams[2];
    char recording[32], job[32];
    snprintf(recording, sizeof recording, "r%s", name);
    snprintf(job, sizeof job, "j%s", name);
    streams[0] = (msg_stream_t){.signature = "A", .urn = TELEX, .tags = {1, of_a}, .has_worker = true, .worker = true};
    streams[0].has_payload = true;
    streams[0].payload = (bytes_t){(const uint8_t *)"\x07", 1};
    streams[1] = (msg_stream_t){.signature = "B", .urn = TELEGRAPH, .tags = {1, of_b}, .has_worker = both, .worker = both};
    msg_recording_create_t create = {.recording = recording,
                                     .job = job,
                                     .pipeline = "p",
                                     .limits = {.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .count = LIMIT_NONE}};
    create.streams.count = 2;
    create.streams.items = streams;
    stage_get(studio->stage, "recorder", MSG_RECORDING_CREATE, &create);
}

static inline void open_job(studio_t *studio, bool both) {
    studio_open(studio, DURABILITY_ASYNC);
    create_for_workers(studio, "1", both);
    studio_budget(studio, "j1", LIMIT_NONE);
}

static inline void say_ready(studio_t *studio, const char *peer, size_t count, const char **urns) {
    msg_worker_ready_t ready = {.urns = {count, urns}, .has_worker = true, .worker = peer};
    stage_peer_request(studio->stage, source_named(peer), MSG_WORKER_READY, &ready, (bytes_t){0}, 1);
    stage_run(studio->stage);
}

/* It is ready for TELEX, and both where `both`. */
static inline void ready(studio_t *studio, const char *peer, bool both) {
    const char *urns[] = {TELEX, TELEGRAPH};
    say_ready(studio, peer, both ? 2 : 1, urns);
    stage_peer_answer(studio->stage, source_named(peer), MSG_OK);
}

static inline const msg_source_start_t *started(studio_t *studio, const char *peer, const char *tag) {
    const msg_source_start_t *start = source_take(studio, peer, MSG_SOURCE_START);
    assert_string_equal(start->tag, tag);
    return start;
}

/* Attaches as it was told to. */
static inline const msg_source_attached_t *obey(studio_t *studio, const char *peer, const char *tag) {
    const msg_source_start_t *start = started(studio, peer, tag);
    return source_attach(studio, peer, start->job, start->tag, start->producer);
}

/* Pings are answered by all but the named. */
static inline void wait_with(studio_t *studio, int64_t us, const char *first, const char *second) {
    for (int64_t passed = 0; passed < us; passed += SECOND / 2) {
        stage_advance(studio->stage, SECOND / 2);
        if (first) stage_peer_send(studio->stage, source_named(first), MSG_PONG, &(msg_pong_t){0}, (bytes_t){0});
        if (second) stage_peer_send(studio->stage, source_named(second), MSG_PONG, &(msg_pong_t){0}, (bytes_t){0});
        stage_run(studio->stage);
    }
}

static inline const void *take_of(studio_t *studio, const char *peer, message_id_t id) {
    const stage_message_t *m = stage_peer_take_of(studio->stage, source_named(peer), id);
    if (!m) fail_msg("%s was not sent %s", peer, message_class(id)->wire);
    return m->message;
}

static inline void assert_notified(studio_t *studio, const char *topic, const char *name, const char *state) {
    const msg_notify_t *notify = studio_take(studio, "notifier", MSG_NOTIFY);
    assert_string_equal(notify->topic, topic);
    assert_string_equal(notify->key, "worker");
    assert_string_equal(notify->name, name);
    assert_string_equal(notify->state, state);
    assert_string_equal(notify->detail, TELEX);
}

static inline const msg_workers_t *listed(studio_t *studio) {
    return stage_get(studio->stage, "recorder", MSG_WORKER_LIST, &(msg_worker_list_t){0});
}

#endif
