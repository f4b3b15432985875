/* The test is the catalog, the pipeline tracker, the recorder and the notifier; the recording is a real one, on the disk. What a client
 * gets is written as lines of text. */
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

static const char SERVER[] = "test_stream_server";
static const stage_peer_t ANN = {SERVER, "ann"}, BOB = {SERVER, "bob"};
static const bytes_t NO_BODY = {0};
enum { PLENTY = 1000000000 };

/* ---- the house around it ---- */

static void serve_options(fixture_t *f) {
    stage_run(f->stage);
    const stage_message_t *ask = stage_take(f->stage, "catalog", MSG_OPTIONS_GET);
    assert_non_null(ask);
    msg_options_t options;
    options_default(&options);
    stage_answer(f->stage, ask, &options);
    stage_run(f->stage);
    assert_true(stage_is_ready(f->stage, SERVER));
}

static int setup(void **state) {
    fixture_t *f = calloc(1, sizeof *f);
    f->stage = stage_create(1, NULL);
    stage_set_now(f->stage, TAPED_START + INT64_C(86400000000)); /* what is replayed was recorded a day ago */
    taped_open(&f->taped, stage_config(f->stage)->data, stage_config(f->stage)->segment_bytes);
    stage_add(f->stage, &test_stream_server_class, SERVER, (bytes_t){0});
    serve_options(f);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture_t *f = *state;
    taped_close(&f->taped);
    stage_destroy(&f->stage);
    free(f);
    return 0;
}

static void serve_tags(fixture_t *f) {
    const stage_message_t *ask = stage_take(f->stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK);
    assert_non_null(ask);
    msg_tag_t tags[] = {{.tag = "a", .signature = "A"}, {.tag = "b", .signature = "B"}};
    stage_answer(f->stage, ask, &(msg_pipeline_tags_t){.tags = {2, tags}});
    stage_run(f->stage);
}

static void serve_place(fixture_t *f) {
    const stage_message_t *ask = stage_take(f->stage, "recorder", MSG_RECORDING_LOCATE);
    assert_non_null(ask);
    assert_true(((const msg_recording_locate_t *)ask->message)->follow);
    msg_recording_place_t place = taped_place(&f->taped);
    stage_answer(f->stage, ask, &place);
    stage_run(f->stage);
}

static void request(fixture_t *f, stage_peer_t peer, message_id_t id, const void *message) {
    stage_peer_request(f->stage, peer, id, message, NO_BODY, 1);
    stage_run(f->stage);
}

static void open_replay(fixture_t *f, stage_peer_t peer, const msg_replay_open_t *ask) {
    request(f, peer, MSG_REPLAY_OPEN, ask);
    if (ask->has_pipeline) serve_tags(f);
    serve_place(f);
}

static msg_replay_open_t by_recording(int64_t credit) {
    return (msg_replay_open_t){.has_recording = true, .recording = "r1", .credit = credit};
}

static msg_replay_open_t by_pipeline(int64_t credit) {
    return (msg_replay_open_t){.has_pipeline = true, .pipeline = "p1", .credit = credit};
}

static void tell_grew(fixture_t *f) {
    msg_recording_grew_t grew = taped_grew(&f->taped);
    stage_tell(f->stage, "recorder", SERVER, MSG_RECORDING_GREW, &grew);
    stage_run(f->stage);
}

static void give_credit(fixture_t *f, stage_peer_t peer, int64_t replay, int64_t bytes) {
    stage_peer_send(f->stage, peer, MSG_REPLAY_CREDIT, &(msg_replay_credit_t){.replay = replay, .bytes = bytes}, NO_BODY);
    stage_run(f->stage);
}

static const char *notified(fixture_t *f) {
    const stage_message_t *m = stage_take(f->stage, "notifier", MSG_NOTIFY);
    if (!m) return "nothing";
    const msg_notify_t *notify = m->message;
    char text[256];
    int size = snprintf(text, sizeof text, "%s %s=%s %s", notify->topic, notify->key, notify->name, notify->state);
    return stage_keep(f->stage, text, (size_t)size + 1);
}

/* ---- what a client reads ---- */

static __attribute__((format(printf, 2, 3))) void line(fixture_t *f, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    f->used += (size_t)vsnprintf(f->text + f->used, sizeof f->text - f->used, format, arguments);
    va_end(arguments);
    assert_true(f->used < sizeof f->text);
}

static void message_line(fixture_t *f, const stage_message_t *m) {
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
static const char *read_all(fixture_t *f, stage_peer_t peer) {
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

static const refusal_t *refused(fixture_t *f, stage_peer_t peer, message_id_t id, const void *message) {
    request(f, peer, id, message);
    return stage_peer_refusal(f->stage, peer);
}

static void assert_refused(const refusal_t *no, error_code_t code, const char *part) {
    assert_string_equal(error_name(no->code), error_name(code));
    if (!strstr(no->message, part)) fail_msg("\"%s\" does not say \"%s\"", no->message, part);
}

static msg_test_stream_t status(fixture_t *f) {
    return *(const msg_test_stream_t *)stage_get(f->stage, SERVER, MSG_TEST_STREAM_STATUS, &(msg_test_stream_status_t){.pipeline = "p1"});
}

static void record_one_each(fixture_t *f) {
    taped_elements(&f->taped, 0, 1000, 2);
    taped_elements(&f->taped, 1, 2000, 1);
    taped_watermark(&f->taped, 0, 3000, 77);
    taped_ended(&f->taped, 4000);
}

/* ---- opening ---- */

static void a_replay_by_pipeline_sends_its_tags_and_starts_its_service(void **state) {
    fixture_t *f = *state;
    record_one_each(f);
    assert_false(status(f).running);
    msg_replay_open_t ask = by_pipeline(PLENTY);
    open_replay(f, ANN, &ask);
    assert_string_equal(notified(f), "test_stream.started pipeline=p1 running");
    assert_string_equal(read_all(f, ANN), "ok\n1: +1000\n1: a 2@0\n1: +1000\n1: b 1@2\n1: +1000\n1: watermark a 77\n"
                                          "1: watermark a -1\n1: watermark b -1\n1: end end 3\n");
    assert_true(status(f).running);
    open_replay(f, ANN, &ask);
    assert_string_equal(notified(f), "nothing");
}

static void a_replay_by_recording_sends_all_its_tags(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 0, 0, 1);
    taped_ended(&f->taped, 0);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    const msg_replay_t *replay = stage_peer_answer(f->stage, ANN, MSG_REPLAY);
    assert_int_equal(replay->replay, 1);
    assert_string_equal(replay->recording, "r1");
    assert_int_equal(replay->tags.count, 3);
    assert_string_equal(replay->tags.items[0], "a");
    assert_string_equal(replay->tags.items[1], "aa");
    assert_string_equal(replay->tags.items[2], "b");
    assert_string_equal(read_all(f, ANN), "1: a 1@0\n1: aa 1@0\n1: watermark a -1\n1: watermark aa -1\n1: watermark b -1\n1: end end 2\n");
    assert_string_equal(notified(f), "nothing");
}

static void tags_are_in_the_order_of_their_bytes_whatever_the_streams(void **state) {
    fixture_t *f = *state;
    const char *of_a[] = {"z", "m"}, *of_b[] = {"n"};
    f->taped.streams[0].tags = (names_t){2, of_a};
    f->taped.streams[1].tags = (names_t){1, of_b};
    taped_elements(&f->taped, 0, 0, 1);
    taped_ended(&f->taped, 0);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN),
                        "ok\n1: m 1@0\n1: z 1@0\n1: watermark m -1\n1: watermark n -1\n1: watermark z -1\n1: end end 2\n");
}

static void replays_are_numbered_by_connection(void **state) {
    fixture_t *f = *state;
    taped_ended(&f->taped, 0);
    msg_replay_open_t ask = by_recording(PLENTY);
    for (int64_t expected = 1; expected <= 2; expected++) {
        open_replay(f, ANN, &ask);
        assert_int_equal(((const msg_replay_t *)stage_peer_answer(f->stage, ANN, MSG_REPLAY))->replay, expected);
    }
    open_replay(f, BOB, &ask);
    assert_int_equal(((const msg_replay_t *)stage_peer_answer(f->stage, BOB, MSG_REPLAY))->replay, 1);
}

static void tags_select_and_an_unknown_one_is_named(void **state) {
    fixture_t *f = *state;
    record_one_each(f);
    const char *names[] = {"b", "b"};
    msg_replay_open_t ask = by_recording(PLENTY);
    ask.has_tags = true;
    ask.tags = (names_t){2, names};
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n1: +2000\n1: b 1@2\n1: watermark b -1\n1: end end 1\n");
    names[1] = "c";
    open_replay(f, ANN, &ask);
    assert_refused(stage_peer_refusal(f->stage, ANN), ERROR_NOT_FOUND, "no tag `c`; there are `a`, `aa`, `b`");
}

static void what_does_not_make_sense_is_refused_at_once(void **state) {
    fixture_t *f = *state;
    msg_replay_open_t ask = {.credit = 1};
    assert_refused(refused(f, ANN, MSG_REPLAY_OPEN, &ask), ERROR_BAD_REQUEST, "`pipeline` or `recording` is needed, and neither");
    ask = by_recording(1);
    ask.has_pipeline = true;
    ask.pipeline = "p1";
    assert_refused(refused(f, ANN, MSG_REPLAY_OPEN, &ask), ERROR_BAD_REQUEST, "not both");
    ask = by_recording(1);
    ask.has_tags = true;
    assert_refused(refused(f, ANN, MSG_REPLAY_OPEN, &ask), ERROR_BAD_REQUEST, "`tags`");
    ask = by_recording(1);
    ask.has_from = true;
    assert_refused(refused(f, ANN, MSG_REPLAY_OPEN, &ask), ERROR_BAD_REQUEST, "`from` must have `element` or `offset_ms`, and has neither");
    ask.from = (msg_replay_from_t){.has_element = true, .has_offset_ms = true};
    assert_refused(refused(f, ANN, MSG_REPLAY_OPEN, &ask), ERROR_BAD_REQUEST, "not both");
    assert_null(stage_take(f->stage, "recorder", MSG_RECORDING_LOCATE));
}

static void what_others_refuse_is_refused_in_their_words(void **state) {
    fixture_t *f = *state;
    msg_replay_open_t ask = by_pipeline(1);
    request(f, ANN, MSG_REPLAY_OPEN, &ask);
    stage_refuse(f->stage, stage_take(f->stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK), ERROR_NOT_FOUND, "no pipeline `p1`");
    stage_run(f->stage);
    assert_refused(stage_peer_refusal(f->stage, ANN), ERROR_NOT_FOUND, "no pipeline `p1`");
    request(f, ANN, MSG_REPLAY_OPEN, &ask);
    serve_tags(f);
    stage_refuse(f->stage, stage_take(f->stage, "recorder", MSG_RECORDING_LOCATE), ERROR_NOT_FOUND, "no recording of `p1`");
    stage_run(f->stage);
    assert_refused(stage_peer_refusal(f->stage, ANN), ERROR_NOT_FOUND, "no recording of `p1`");
    assert_false(status(f).running);
}

static void a_recording_without_any_of_the_pipelines_sources_is_not_replayed(void **state) {
    fixture_t *f = *state;
    msg_replay_open_t ask = by_pipeline(1);
    request(f, ANN, MSG_REPLAY_OPEN, &ask);
    msg_tag_t tag = {.tag = "a", .signature = "another A"};
    stage_answer(f->stage, stage_take(f->stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK), &(msg_pipeline_tags_t){.tags = {1, &tag}});
    stage_run(f->stage);
    serve_place(f);
    assert_refused(stage_peer_refusal(f->stage, ANN), ERROR_NOT_FOUND, "`r1` has none of the sources");
}

/* ---- credit ---- */

static void an_event_is_sent_while_any_credit_is_left_and_none_without(void **state) {
    fixture_t *f = *state;
    record_one_each(f);
    msg_replay_open_t ask = by_recording(1);
    open_replay(f, ANN, &ask);
    stage_peer_answer(f->stage, ANN, MSG_REPLAY);
    static const char *const events[] = {"1: +1000\n",          "1: a 2@0\n",           "1: aa 2@0\n",         "1: +1000\n",
                                         "1: b 1@2\n",          "1: +1000\n",           "1: watermark a 77\n", "1: watermark aa 77\n",
                                         "1: watermark a -1\n", "1: watermark aa -1\n", "1: watermark b -1\n", "1: end end 5\n"};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        assert_string_equal(read_all(f, ANN), events[i]);
        int64_t size = f->bytes; /* the credit left is 1 - size */
        give_credit(f, ANN, 1, size - 1);
        assert_string_equal(read_all(f, ANN), "");
        give_credit(f, ANN, 1, 1);
    }
}

static void credit_that_comes_after_the_end_is_ignored_and_for_an_unknown_replay_refused(void **state) {
    fixture_t *f = *state;
    taped_ended(&f->taped, 0);
    give_credit(f, ANN, 1, 10);
    const refusal_t *no = stage_peer_refusal(f->stage, ANN);
    assert_refused(no, ERROR_NOT_FOUND, "no replay 1");
    assert_true(no->retry);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    give_credit(f, ANN, 1, 10);
    assert_string_equal(read_all(f, ANN), "");
    give_credit(f, ANN, 2, 10);
    assert_string_equal(read_all(f, ANN), "refused\n");
}

static void a_socket_that_is_full_is_tried_again(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    taped_ended(&f->taped, 0);
    const char *names[] = {"b"};
    msg_replay_open_t ask = by_recording(PLENTY);
    ask.has_tags = true;
    ask.tags = (names_t){1, names};
    request(f, ANN, MSG_REPLAY_OPEN, &ask);
    stage_peer_block(f->stage, ANN, true);
    serve_place(f);
    stage_advance(f->stage, 20000);
    stage_peer_block(f->stage, ANN, false);
    stage_advance(f->stage, 20000);
    read_all(f, ANN);
    assert_non_null(strstr(f->text, "1: b 1@0\n1: watermark b -1\n1: end end 1\n"));
}

static void a_slow_client_holds_up_nobody(void **state) {
    fixture_t *f = *state;
    for (int i = 0; i < 1000; i++) taped_elements(&f->taped, 1, 0, 1);
    taped_ended(&f->taped, 0);
    msg_replay_open_t slow = by_recording(1), fast = by_recording(PLENTY);
    open_replay(f, ANN, &slow);
    open_replay(f, BOB, &fast);
    read_all(f, BOB);
    assert_non_null(strstr(f->text, "1: b 1@999\n"));
    assert_string_equal(read_all(f, ANN), "ok\n1: b 1@0\n");
}

static void a_client_that_is_gone_is_forgotten(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 0, 0, 1);
    msg_replay_open_t ask = by_pipeline(PLENTY);
    open_replay(f, ANN, &ask);
    assert_int_equal(status(f).replays, 1);
    stage_peer_leave(f->stage, ANN);
    taped_elements(&f->taped, 0, 0, 1);
    tell_grew(f);
    assert_int_equal(status(f).replays, 0);
}

/* ---- commands to a replay ---- */

static void a_paused_replay_sends_only_what_it_is_told_to(void **state) {
    fixture_t *f = *state;
    record_one_each(f);
    msg_replay_open_t ask = by_pipeline(1);
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n1: +1000\n");
    assert_refused(refused(f, ANN, MSG_REPLAY_STEP, &(msg_replay_step_t){.replay = 1, .events = 2}), ERROR_INVALID_STATE, "not paused");
    request(f, ANN, MSG_REPLAY_PAUSE, &(msg_replay_pause_t){.replay = 1});
    give_credit(f, ANN, 1, PLENTY);
    assert_string_equal(read_all(f, ANN), "ok\n");
    request(f, ANN, MSG_REPLAY_STEP, &(msg_replay_step_t){.replay = 1, .events = 2});
    assert_string_equal(read_all(f, ANN), "ok\n1: a 2@0\n1: +1000\n");
    request(f, ANN, MSG_REPLAY_SEEK, &(msg_replay_seek_t){.replay = 1, .has_element = true, .element = 1});
    assert_string_equal(read_all(f, ANN), "ok\n");
    request(f, ANN, MSG_REPLAY_STEP, &(msg_replay_step_t){.replay = 1, .events = 2});
    assert_string_equal(read_all(f, ANN), "ok\n1: +1000\n1: a 1@1\n");
    request(f, ANN, MSG_REPLAY_RESUME, &(msg_replay_resume_t){.replay = 1});
    assert_string_equal(read_all(f, ANN), "ok\n1: +1000\n1: b 1@2\n1: +1000\n1: watermark a 77\n1: watermark a -1\n1: watermark b -1\n"
                                          "1: end end 4\n");
}

static void a_pause_forgets_the_steps_that_are_left(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    request(f, ANN, MSG_REPLAY_PAUSE, &(msg_replay_pause_t){.replay = 1});
    request(f, ANN, MSG_REPLAY_STEP, &(msg_replay_step_t){.replay = 1, .events = 100});
    request(f, ANN, MSG_REPLAY_PAUSE, &(msg_replay_pause_t){.replay = 1});
    read_all(f, ANN);
    taped_elements(&f->taped, 1, 0, 1);
    tell_grew(f);
    assert_string_equal(read_all(f, ANN), "");
}

static void a_seek_is_answered_before_the_watermarks_of_the_place(void **state) {
    fixture_t *f = *state;
    taped_watermark(&f->taped, 1, 0, 5);
    taped_elements(&f->taped, 1, 7000, 3);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n1: watermark b 5\n1: +7000\n1: b 3@0\n");
    request(f, ANN, MSG_REPLAY_SEEK, &(msg_replay_seek_t){.replay = 1, .has_offset_ms = true, .offset_ms = 7});
    assert_string_equal(read_all(f, ANN), "ok\n1: watermark b 5\n1: +7000\n1: b 3@0\n");
    msg_replay_seek_t seek = {.replay = 1};
    assert_refused(refused(f, ANN, MSG_REPLAY_SEEK, &seek), ERROR_BAD_REQUEST, "`element` or `offset_ms` is needed");
    seek.has_element = seek.has_offset_ms = true;
    assert_refused(refused(f, ANN, MSG_REPLAY_SEEK, &seek), ERROR_BAD_REQUEST, "not both");
}

static void a_close_is_answered_after_the_end_whatever_the_credit(void **state) {
    fixture_t *f = *state;
    record_one_each(f);
    msg_replay_open_t ask = by_recording(1);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    request(f, ANN, MSG_REPLAY_CLOSE, &(msg_replay_close_t){.replay = 1});
    assert_string_equal(read_all(f, ANN), "1: end closed 0\nok\n");
    const refusal_t *no = refused(f, ANN, MSG_REPLAY_PAUSE, &(msg_replay_pause_t){.replay = 1});
    assert_refused(no, ERROR_NOT_FOUND, "`replay.pause`: there is no replay 1");
    assert_true(no->retry);
}

static void a_close_waits_for_a_socket_that_is_full(void **state) {
    fixture_t *f = *state;
    msg_replay_open_t ask = by_recording(1);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    stage_peer_block(f->stage, ANN, true);
    request(f, ANN, MSG_REPLAY_CLOSE, &(msg_replay_close_t){.replay = 1});
    assert_string_equal(read_all(f, ANN), "");
    stage_peer_block(f->stage, ANN, false);
    stage_advance(f->stage, 10000);
    assert_string_equal(read_all(f, ANN), "1: end closed 0\nok\n");
}

static void replays_of_others_are_not_there(void **state) {
    fixture_t *f = *state;
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    assert_refused(refused(f, BOB, MSG_REPLAY_CLOSE, &(msg_replay_close_t){.replay = 1}), ERROR_NOT_FOUND, "no replay 1");
}

/* ---- pace ---- */

static void at_a_rate_events_come_when_they_are_due(void **state) {
    fixture_t *f = *state;
    for (int i = 0; i < 5; i++) taped_elements(&f->taped, 1, i * 1000000, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    ask.has_rate = true;
    ask.rate = 2;
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n1: b 1@0\n");
    stage_advance(f->stage, 499999);
    assert_string_equal(read_all(f, ANN), "");
    stage_advance(f->stage, 1);
    assert_string_equal(read_all(f, ANN), "1: +1000000\n1: b 1@1\n");
    stage_advance(f->stage, 250000);
    request(f, ANN, MSG_REPLAY_PAUSE, &(msg_replay_pause_t){.replay = 1});
    stage_advance(f->stage, 900000);
    assert_string_equal(read_all(f, ANN), "ok\n");
    request(f, ANN, MSG_REPLAY_RESUME, &(msg_replay_resume_t){.replay = 1});
    stage_advance(f->stage, 249999);
    assert_string_equal(read_all(f, ANN), "ok\n");
    stage_advance(f->stage, 1);
    assert_string_equal(read_all(f, ANN), "1: +1000000\n1: b 1@2\n");
    stage_advance(f->stage, 250000);
    request(f, ANN, MSG_REPLAY_RATE, &(msg_replay_rate_t){.replay = 1, .rate = 0.5});
    stage_advance(f->stage, 999999);
    assert_string_equal(read_all(f, ANN), "ok\n");
    stage_advance(f->stage, 1);
    assert_string_equal(read_all(f, ANN), "1: +1000000\n1: b 1@3\n");
    request(f, ANN, MSG_REPLAY_RATE, &(msg_replay_rate_t){.replay = 1, .rate = 0});
    assert_string_equal(read_all(f, ANN), "ok\n1: +1000000\n1: b 1@4\n");
}

static void a_rate_given_on_the_way_starts_where_the_replay_is(void **state) {
    fixture_t *f = *state;
    for (int i = 0; i < 3; i++) taped_elements(&f->taped, 1, i * 1000000, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    ask.has_max_elements = true;
    ask.max_elements = 1000;
    open_replay(f, ANN, &ask);
    stage_advance(f->stage, 500000);
    read_all(f, ANN);
    request(f, ANN, MSG_REPLAY_PAUSE, &(msg_replay_pause_t){.replay = 1});
    request(f, ANN, MSG_REPLAY_RATE, &(msg_replay_rate_t){.replay = 1, .rate = 1});
    request(f, ANN, MSG_REPLAY_SEEK, &(msg_replay_seek_t){.replay = 1, .has_element = true, .element = 1});
    stage_advance(f->stage, 3000000);
    request(f, ANN, MSG_REPLAY_RESUME, &(msg_replay_resume_t){.replay = 1});
    assert_string_equal(read_all(f, ANN), "ok\nok\nok\nok\n1: +1000000\n1: b 1@1\n");
    stage_advance(f->stage, 999999);
    assert_string_equal(read_all(f, ANN), "");
    stage_advance(f->stage, 1);
    assert_string_equal(read_all(f, ANN), "1: +1000000\n1: b 1@2\n");
}

static void a_rate_given_to_a_replay_that_waits_for_credit_starts_at_its_last_event(void **state) {
    fixture_t *f = *state;
    for (int i = 0; i < 3; i++) taped_elements(&f->taped, 1, i * 1000000, 1);
    msg_replay_open_t ask = by_recording(1);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    while (!strstr(read_all(f, ANN), "1: b 1@1\n")) give_credit(f, ANN, 1, 1);
    request(f, ANN, MSG_REPLAY_RATE, &(msg_replay_rate_t){.replay = 1, .rate = 1});
    give_credit(f, ANN, 1, PLENTY);
    stage_advance(f->stage, 999999);
    assert_string_equal(read_all(f, ANN), "ok\n");
    stage_advance(f->stage, 1);
    assert_string_equal(read_all(f, ANN), "1: +1000000\n1: b 1@2\n");
}

static void a_place_sought_is_where_the_pace_starts(void **state) {
    fixture_t *f = *state;
    for (int i = 0; i < 3; i++) taped_elements(&f->taped, 1, i * 1000000, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    ask.has_rate = true;
    ask.rate = 1;
    ask.has_from = true;
    ask.from = (msg_replay_from_t){.has_offset_ms = true, .offset_ms = 500};
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n");
    stage_advance(f->stage, 500000);
    assert_string_equal(read_all(f, ANN), "1: +1000000\n1: b 1@1\n");
    request(f, ANN, MSG_REPLAY_SEEK, &(msg_replay_seek_t){.replay = 1, .has_offset_ms = true, .offset_ms = 1900});
    stage_advance(f->stage, 99999);
    assert_string_equal(read_all(f, ANN), "ok\n");
    stage_advance(f->stage, 1);
    assert_string_equal(read_all(f, ANN), "1: +2000000\n1: b 1@2\n");
}

static void a_step_does_not_wait_for_the_pace(void **state) {
    fixture_t *f = *state;
    for (int i = 0; i < 3; i++) taped_elements(&f->taped, 1, i * 1000000, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    ask.has_rate = true;
    ask.rate = 1;
    open_replay(f, ANN, &ask);
    request(f, ANN, MSG_REPLAY_PAUSE, &(msg_replay_pause_t){.replay = 1});
    request(f, ANN, MSG_REPLAY_STEP, &(msg_replay_step_t){.replay = 1, .events = 2});
    assert_string_equal(read_all(f, ANN), "ok\n1: b 1@0\nok\nok\n1: +1000000\n1: b 1@1\n");
    request(f, ANN, MSG_REPLAY_RESUME, &(msg_replay_resume_t){.replay = 1});
    stage_advance(f->stage, 999999);
    assert_string_equal(read_all(f, ANN), "ok\n");
    stage_advance(f->stage, 1);
    assert_string_equal(read_all(f, ANN), "1: +1000000\n1: b 1@2\n");
}

/* ---- a recording that grows, and goes ---- */

static void what_is_appended_is_sent_at_once(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    open_replay(f, BOB, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n1: b 1@0\n");
    read_all(f, BOB);
    taped_elements(&f->taped, 1, 9, 2);
    tell_grew(f);
    assert_string_equal(read_all(f, ANN), "1: +9\n1: b 2@1\n");
    assert_string_equal(read_all(f, BOB), "1: +9\n1: b 2@1\n");
    taped_ended(&f->taped, 9);
    tell_grew(f);
    assert_string_equal(read_all(f, ANN), "1: watermark a -1\n1: watermark aa -1\n1: watermark b -1\n1: end end 3\n");
}

static void a_recording_that_has_not_begun_is_asked_about_when_it_has(void **state) {
    fixture_t *f = *state;
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n");
    taped_elements(&f->taped, 1, 6, 1);
    tell_grew(f);
    assert_string_equal(read_all(f, ANN), "");
    serve_place(f);
    assert_string_equal(read_all(f, ANN), "1: +6\n1: b 1@0\n");
    tell_grew(f);
    assert_null(stage_take(f->stage, "recorder", MSG_RECORDING_LOCATE));
}

static void a_recorder_that_was_restarted_is_asked_again(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    taped_elements(&f->taped, 1, 0, 1); /* nobody tells of it */
    stage_advance(f->stage, 2000000);
    serve_place(f);
    assert_string_equal(read_all(f, ANN), "ping\n1: b 1@1\n");
}

static void a_recording_that_the_recorder_does_not_know_any_more_is_invalid(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    stage_advance(f->stage, 4000000);
    stage_refuse(f->stage, stage_take(f->stage, "recorder", MSG_RECORDING_LOCATE), ERROR_NOT_FOUND, "no recording `r1`");
    stage_run(f->stage);
    read_all(f, ANN);
    assert_non_null(strstr(f->text, "1: end invalidated 1\n"));
}

static void a_dropped_recording_ends_its_replays(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    taped_elements(&f->taped, 1, 0, 1);
    msg_replay_open_t ask = by_recording(1);
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n1: b 1@0\n");
    stage_tell(f->stage, "recorder", SERVER, MSG_RECORDING_DROPPED, &(msg_recording_dropped_t){.recording = "r1"});
    stage_run(f->stage);
    assert_string_equal(read_all(f, ANN), "1: end invalidated 1\n");
}

static void a_damaged_recording_ends_with_the_place(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    taped_ended(&f->taped, 0);
    char path[256];
    snprintf(path, sizeof path, "%s/000000000000.seg", f->taped.folder);
    FILE *file = fopen(path, "r+b");
    fseek(file, (long)journal_totals(f->taped.journal)->length - RECORD_OVERHEAD - 1, SEEK_SET);
    fputc('?', file);
    fclose(file);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    const stage_message_t *end = stage_peer_take_of(f->stage, ANN, MSG_END);
    assert_non_null(end);
    assert_string_equal(((const msg_end_t *)end->message)->reason, "corrupt");
    assert_non_null(strstr(((const msg_end_t *)end->message)->error, "000000000000.seg"));
}

/* ---- services ---- */

static void a_service_is_started_once_and_stopped_with_its_replays(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    uint64_t number = stage_ask(f->stage, "gateway", SERVER, MSG_TEST_STREAM_START, &(msg_test_stream_start_t){.pipeline = "p1"});
    assert_true(number > 0);
    stage_run(f->stage);
    serve_tags(f);
    assert_string_equal(notified(f), "test_stream.started pipeline=p1 running");
    msg_replay_open_t piped = by_pipeline(1), recorded = by_recording(1);
    open_replay(f, ANN, &piped);
    open_replay(f, BOB, &recorded);
    assert_string_equal(notified(f), "nothing");
    msg_test_stream_t now = status(f);
    assert_true(now.running);
    assert_int_equal(now.replays, 1);
    assert_string_equal(now.endpoint, stage_config(f->stage)->endpoints[ENDPOINT_TEST_STREAM]);
    read_all(f, ANN);
    read_all(f, BOB);
    const msg_test_stream_stop_t stop = {.pipeline = "p1"};
    assert_true(((const msg_test_stream_stopped_t *)stage_get(f->stage, SERVER, MSG_TEST_STREAM_STOP, &stop))->stopped);
    assert_string_equal(read_all(f, ANN), "1: end stopped 1\n");
    assert_string_equal(read_all(f, BOB), "");
    assert_string_equal(notified(f), "test_stream.stopped pipeline=p1 stopped");
    assert_false(((const msg_test_stream_stopped_t *)stage_get(f->stage, SERVER, MSG_TEST_STREAM_STOP, &stop))->stopped);
    assert_string_equal(notified(f), "nothing");
    now = status(f);
    assert_false(now.running);
    assert_false(now.has_endpoint);
}

static void a_pipeline_that_nobody_knows_has_no_test_stream(void **state) {
    fixture_t *f = *state;
    stage_ask(f->stage, "gateway", SERVER, MSG_TEST_STREAM_START, &(msg_test_stream_start_t){.pipeline = "p1"});
    stage_run(f->stage);
    stage_refuse(f->stage, stage_take(f->stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK), ERROR_NOT_FOUND, "no pipeline `p1`");
    stage_run(f->stage);
    const stage_message_t *answer = stage_take(f->stage, "gateway", MSG_NONE);
    assert_non_null(answer);
    assert_true(answer->refused);
    assert_false(status(f).running);
}

static void a_definition_is_stored_before_its_stream_is_served(void **state) {
    fixture_t *f = *state;
    msg_pipeline_t definition = {.name = "p1"};
    stage_ask(f->stage, "gateway", SERVER, MSG_TEST_STREAM_START,
              &(msg_test_stream_start_t){.pipeline = "p1", .pipeline_definition = &definition});
    stage_run(f->stage);
    const stage_message_t *define = stage_take(f->stage, "pipeline_tracker", MSG_PIPELINE_DEFINE);
    assert_non_null(define);
    assert_false(status(f).running);
    stage_answer(f->stage, define, NULL);
    stage_run(f->stage);
    assert_true(status(f).running);
}

static void an_invalid_recording_ends_the_replays_of_its_pipeline(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    msg_replay_open_t piped = by_pipeline(1), recorded = by_recording(1);
    open_replay(f, ANN, &piped);
    open_replay(f, BOB, &recorded);
    notified(f);
    read_all(f, ANN);
    read_all(f, BOB);
    stage_tell(f->stage, "job_supervisor", SERVER, MSG_TEST_STREAM_INVALIDATE, &(msg_test_stream_invalidate_t){.pipeline = "p1"});
    stage_run(f->stage);
    assert_string_equal(read_all(f, ANN), "1: end invalidated 1\n");
    assert_string_equal(read_all(f, BOB), "");
    assert_string_equal(notified(f), "test_stream.stopped pipeline=p1 stopped");
}

/* ---- liveness ---- */

static void an_idle_client_is_asked_whether_it_lives_and_a_silent_one_is_let_go(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    msg_options_changed_t options = {0};
    options_default((msg_options_t *)&options);
    options.replay_timeout_ms = 10000;
    stage_tell(f->stage, "catalog", SERVER, MSG_OPTIONS_CHANGED, &options);
    msg_replay_open_t ask = by_pipeline(PLENTY);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    for (int i = 0; i < 20; i++) {
        stage_advance(f->stage, 2000000);
        stage_peer_send(f->stage, ANN, MSG_PONG, &(msg_pong_t){0}, NO_BODY);
        stage_run(f->stage);
    }
    read_all(f, ANN);
    assert_non_null(strstr(f->text, "ping\nping\n"));
    assert_int_equal(status(f).replays, 1);
    stage_advance(f->stage, 9000000);
    assert_int_equal(status(f).replays, 1);
    stage_advance(f->stage, 4000000);
    assert_int_equal(status(f).replays, 0);
    read_all(f, ANN);
    stage_advance(f->stage, 10000000);
    assert_string_equal(read_all(f, ANN), "");
}

static void a_client_is_left_alone_while_it_is_being_sent_to(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    for (int i = 0; i < 8; i++) {
        stage_advance(f->stage, 1000000);
        taped_elements(&f->taped, 1, 0, 1);
        tell_grew(f);
    }
    read_all(f, ANN);
    assert_null(strstr(f->text, "ping"));
}

static void a_client_of_a_failed_server_is_told_to_open_again(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    msg_replay_open_t ask = by_recording(1);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    stage_fail(f->stage, SERVER);
    stage_run(f->stage);
    stage_advance(f->stage, 1000000);
    serve_options(f);
    read_all(f, ANN);
    const refusal_t *no = refused(f, ANN, MSG_REPLAY_RESUME, &(msg_replay_resume_t){.replay = 1});
    assert_refused(no, ERROR_NOT_FOUND, "no replay 1");
    assert_true(no->retry);
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n1: b 1@0\n");
}

static void a_failure_in_the_middle_of_an_opening_opens_it_again(void **state) {
    fixture_t *f = *state;
    taped_ended(&f->taped, 0);
    msg_replay_open_t ask = by_pipeline(PLENTY);
    request(f, ANN, MSG_REPLAY_OPEN, &ask);
    serve_tags(f);
    stage_ask(f->stage, "gateway", SERVER, MSG_TEST_STREAM_START, &(msg_test_stream_start_t){.pipeline = "p1"});
    stage_run(f->stage);
    while (stage_take(f->stage, "recorder", MSG_NONE) || stage_take(f->stage, "pipeline_tracker", MSG_NONE)) continue;
    stage_fail(f->stage, SERVER);
    stage_run(f->stage);
    stage_advance(f->stage, 1000000);
    serve_options(f);
    serve_tags(f);
    serve_tags(f); /* of the start */
    serve_place(f);
    assert_string_equal(read_all(f, ANN), "ok\n1: watermark a -1\n1: watermark b -1\n1: end end 0\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_replay_by_pipeline_sends_its_tags_and_starts_its_service),
        TEST(a_replay_by_recording_sends_all_its_tags),
        TEST(tags_are_in_the_order_of_their_bytes_whatever_the_streams),
        TEST(replays_are_numbered_by_connection),
        TEST(tags_select_and_an_unknown_one_is_named),
        TEST(what_does_not_make_sense_is_refused_at_once),
        TEST(what_others_refuse_is_refused_in_their_words),
        TEST(a_recording_without_any_of_the_pipelines_sources_is_not_replayed),
        TEST(an_event_is_sent_while_any_credit_is_left_and_none_without),
        TEST(credit_that_comes_after_the_end_is_ignored_and_for_an_unknown_replay_refused),
        TEST(a_socket_that_is_full_is_tried_again),
        TEST(a_slow_client_holds_up_nobody),
        TEST(a_client_that_is_gone_is_forgotten),
        TEST(a_paused_replay_sends_only_what_it_is_told_to),
        TEST(a_pause_forgets_the_steps_that_are_left),
        TEST(a_seek_is_answered_before_the_watermarks_of_the_place),
        TEST(a_close_is_answered_after_the_end_whatever_the_credit),
        TEST(a_close_waits_for_a_socket_that_is_full),
        TEST(replays_of_others_are_not_there),
        TEST(at_a_rate_events_come_when_they_are_due),
        TEST(a_rate_given_on_the_way_starts_where_the_replay_is),
        TEST(a_rate_given_to_a_replay_that_waits_for_credit_starts_at_its_last_event),
        TEST(a_place_sought_is_where_the_pace_starts),
        TEST(a_step_does_not_wait_for_the_pace),
        TEST(what_is_appended_is_sent_at_once),
        TEST(a_recording_that_has_not_begun_is_asked_about_when_it_has),
        TEST(a_recorder_that_was_restarted_is_asked_again),
        TEST(a_recording_that_the_recorder_does_not_know_any_more_is_invalid),
        TEST(a_dropped_recording_ends_its_replays),
        TEST(a_damaged_recording_ends_with_the_place),
        TEST(a_service_is_started_once_and_stopped_with_its_replays),
        TEST(a_pipeline_that_nobody_knows_has_no_test_stream),
        TEST(a_definition_is_stored_before_its_stream_is_served),
        TEST(an_invalid_recording_ends_the_replays_of_its_pipeline),
        TEST(an_idle_client_is_asked_whether_it_lives_and_a_silent_one_is_let_go),
        TEST(a_client_is_left_alone_while_it_is_being_sent_to),
        TEST(a_client_of_a_failed_server_is_told_to_open_again),
        TEST(a_failure_in_the_middle_of_an_opening_opens_it_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
