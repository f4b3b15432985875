/* A test-stream server on a stage. The test is the catalog, the pipeline tracker, the recorder and the notifier; the recording is a real one,
 * on the disk. What a client gets is written as lines of text. */
#ifndef REPRISE_TESTS_SERVED_H
#define REPRISE_TESTS_SERVED_H

#include "taped.h"

#include <unistd.h>

#include "actors/test_stream_server.h"
#include "tests/stage/stage.h"

typedef struct fixture {
    stage_t *stage;
    taped_t taped;
    char text[1 << 16];
    size_t used;
    int64_t bytes; /* of all frames read */
} fixture_t;

static const char SERVER[] __attribute__((unused)) = "test_stream_server";
static const stage_peer_t ANN __attribute__((unused)) = {SERVER, "ann"}, BOB __attribute__((unused)) = {SERVER, "bob"};
static const bytes_t NO_BODY __attribute__((unused)) = {0};
enum { PLENTY = 1000000000 };

/* ---- the house around it ---- */

static inline void serve_options(fixture_t *f) {
    stage_run(f->stage);
    const stage_message_t *ask = stage_take(f->stage, "catalog", MSG_OPTIONS_GET);
    assert_non_null(ask);
    msg_options_t options;
    options_default(&options);
    stage_answer(f->stage, ask, &options);
    stage_run(f->stage);
    assert_true(stage_is_ready(f->stage, SERVER));
}

static inline int setup(void **state) {
    fixture_t *f = calloc(1, sizeof *f);
    f->stage = stage_create(1, NULL);
    stage_set_now(f->stage, TAPED_START + INT64_C(86400000000)); /* what is replayed was recorded a day ago */
    taped_open(&f->taped, stage_config(f->stage)->data, stage_config(f->stage)->segment_bytes);
    stage_add(f->stage, &test_stream_server_class, SERVER, (bytes_t){0});
    serve_options(f);
    *state = f;
    return 0;
}

static inline int teardown(void **state) {
    fixture_t *f = *state;
    taped_close(&f->taped);
    stage_destroy(&f->stage);
    free(f);
    return 0;
}

static inline void serve_tags(fixture_t *f) {
    const stage_message_t *ask = stage_take(f->stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK);
    assert_non_null(ask);
    msg_tag_t tags[] = {{.tag = "a", .signature = "A"}, {.tag = "b", .signature = "B"}};
    stage_answer(f->stage, ask, &(msg_pipeline_tags_t){.tags = {2, tags}});
    stage_run(f->stage);
}

static inline void serve_place(fixture_t *f) {
    const stage_message_t *ask = stage_take(f->stage, "recorder", MSG_RECORDING_LOCATE);
    assert_non_null(ask);
    assert_true(((const msg_recording_locate_t *)ask->message)->follow);
    msg_recording_place_t place = taped_place(&f->taped);
    stage_answer(f->stage, ask, &place);
    stage_run(f->stage);
}

static inline void request(fixture_t *f, stage_peer_t peer, message_id_t id, const void *message) {
    stage_peer_request(f->stage, peer, id, message, NO_BODY, 1);
    stage_run(f->stage);
}

static inline void open_replay(fixture_t *f, stage_peer_t peer, const msg_replay_open_t *ask) {
    request(f, peer, MSG_REPLAY_OPEN, ask);
    if (ask->has_pipeline) serve_tags(f);
    serve_place(f);
}

static inline msg_replay_open_t by_recording(int64_t credit) {
    return (msg_replay_open_t){.has_recording = true, .recording = "r1", .credit = credit};
}

static inline msg_replay_open_t by_pipeline(int64_t credit) {
    return (msg_replay_open_t){.has_pipeline = true, .pipeline = "p1", .credit = credit};
}

static inline void tell_grew(fixture_t *f) {
    msg_recording_grew_t grew = taped_grew(&f->taped);
    stage_tell(f->stage, "recorder", SERVER, MSG_RECORDING_GREW, &grew);
    stage_run(f->stage);
}

static inline void give_credit(fixture_t *f, stage_peer_t peer, int64_t replay, int64_t bytes) {
    stage_peer_send(f->stage, peer, MSG_REPLAY_CREDIT, &(msg_replay_credit_t){.replay = replay, .bytes = bytes}, NO_BODY);
    stage_run(f->stage);
}

static inline const char *notified(fixture_t *f) {
    const stage_message_t *m = stage_take(f->stage, "notifier", MSG_NOTIFY);
    if (!m) return "nothing";
    const msg_notify_t *notify = m->message;
    char text[256];
    int size = snprintf(text, sizeof text, "%s %s=%s %s", notify->topic, notify->key, notify->name, notify->state);
    return stage_keep(f->stage, text, (size_t)size + 1);
}

/* ---- what a client reads ---- */

static inline __attribute__((format(printf, 2, 3))) void line(fixture_t *f, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    f->used += (size_t)vsnprintf(f->text + f->used, sizeof f->text - f->used, format, arguments);
    va_end(arguments);
    assert_true(f->used < sizeof f->text);
}

static inline void message_line(fixture_t *f, const stage_message_t *m) {
    if (m->head.id == MSG_NONE) {
        line(f, "%s\n", m->refused ? "refused" : "ok");
    } else if (m->head.id == MSG_ELEMENTS) {
        const msg_elements_t *elements = m->message;
        assert_true(m->has_body);
        line(f, "%lld: %s %lld@%lld\n", (long long)elements->replay, elements->tag, (long long)elements->count,
             (long long)elements->element);
    } else if (m->head.id == MSG_WATERMARK) {
        const msg_watermark_t *watermark = m->message;
        line(f, "%lld: watermark %s %lld\n", (long long)watermark->replay, watermark->tag,
             watermark->to == WATERMARK_MAX ? -1LL : (long long)watermark->to);
    } else if (m->head.id == MSG_PROCESSING_TIME) {
        const msg_processing_time_t *time = m->message;
        line(f, "%lld: +%lld\n", (long long)time->replay, (long long)time->advance_us);
    } else if (m->head.id == MSG_END) {
        const msg_end_t *end = m->message;
        line(f, "%lld: end %s %lld\n", (long long)end->replay, end->reason, (long long)end->elements);
    } else {
        line(f, "%s\n", message_class(m->head.id)->wire);
    }
}

/* All that has come to the peer. */
static inline const char *read_all(fixture_t *f, stage_peer_t peer) {
    f->used = 0;
    f->text[0] = 0;
    f->bytes = 0;
    const stage_message_t *m;
    while ((m = stage_peer_take(f->stage, peer)) != NULL) {
        message_line(f, m);
        f->bytes += (int64_t)(m->raw.size + (m->has_body ? m->body.size : 0));
    }
    return f->text;
}

static inline const refusal_t *refused(fixture_t *f, stage_peer_t peer, message_id_t id, const void *message) {
    request(f, peer, id, message);
    return stage_peer_refusal(f->stage, peer);
}

static inline void assert_refused(const refusal_t *no, error_code_t code, const char *part) {
    assert_string_equal(error_name(no->code), error_name(code));
    if (!strstr(no->message, part)) fail_msg("\"%s\" does not say \"%s\"", no->message, part);
}

static inline msg_test_stream_t status(fixture_t *f) {
    return *(const msg_test_stream_t *)stage_get(f->stage, SERVER, MSG_TEST_STREAM_STATUS, &(msg_test_stream_status_t){.pipeline = "p1"});
}

static inline void record_one_each(fixture_t *f) {
    taped_elements(&f->taped, 0, 1000, 2);
    taped_elements(&f->taped, 1, 2000, 1);
    taped_watermark(&f->taped, 0, 3000, 77);
    taped_ended(&f->taped, 4000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
