/* What an actor says reaches whom it is for, as it was said. */
#include "echo.h"

#include "messages/text.h"
#include "messages/wire.h"
#include "pack.h"

static const stage_peer_t client = {"speaker", "client"};

/* What the tests see of the speaker. */
static struct {
    sent_t sent;
    size_t body_left; /* of the frame that it sent, afterwards */
    peer_t peer;
    actor_t *me;
} speaker;

static void *speaker_create(actor_t *me, bytes_t args, fault_t *why) {
    speaker.me = me;
    return echo_create(me, args, why);
}

/* Sends the peer a batch's worth of bytes. */
static int on_ping(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    frame_t body;
    frame_copy_of(&body, BYTES("12345"));
    speaker.peer = *in->peer;
    msg_source_batch_t batch = {.tag = "t", .seq = 1};
    speaker.sent = actor_send(((echo_t *)state)->me, in->peer, MSG_SOURCE_BATCH, &batch, &body);
    speaker.body_left = frame_bytes(&body).size;
    frame_fini(&body);
    return 0;
}

static int on_pong(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    actor_refuse_peer(((echo_t *)state)->me, in->peer, ERROR_NOT_FOUND, "source", "no attachment %d", 7);
    return 0;
}

/* As many fields as a fixed map header can count, with `ok`. */
static int on_describe(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const char *tags[] = {"t"};
    msg_job_t job = {.job = "j",
                     .pipeline = "p",
                     .recording = "r",
                     .state = "RUNNING",
                     .has_stop_reason = true,
                     .stop_reason = "user",
                     .has_started_at = true,
                     .has_waiting_for = true,
                     .waiting_for = {1, tags},
                     .has_error = true,
                     .error = "e"};
    job.limits = (msg_limits_t){.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .count = LIMIT_NONE};
    actor_answer(((echo_t *)state)->me, in->ticket, &job);
    return 0;
}

static int on_cancel(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    char text[700];
    for (size_t i = 0; i + 1 < sizeof text; i += 2) memcpy(text + i, "\xc3\xa9", 2);
    text[699] = '\0';
    actor_refuse(((echo_t *)state)->me, in->ticket, ERROR_CONFLICT, "job", "xx%s", text);
    return 0;
}

static const actor_class_t speaker_class = {
    .name = "speaker",
    .doc = "Speaks.",
    .create = speaker_create,
    .destroy = echo_destroy,
    .takes = {[MSG_PING] = on_ping, [MSG_PONG] = on_pong, [MSG_JOB_DESCRIBE] = on_describe, [MSG_JOB_CANCEL] = on_cancel},
    .sends = {MSG_SOURCE_BATCH, MSG_NOTIFY},
    .doors = {{DOOR_ROUTER, ENDPOINT_INGEST, SCOPE_INGEST | SCOPE_COMMANDS}, {DOOR_PUBLISH, ENDPOINT_NOTIFICATIONS, 0}},
};

static stage_t *stage_with_speaker(void) {
    stage_t *stage = stage_create(1, NULL);
    stage_add(stage, &speaker_class, "speaker", (bytes_t){0});
    stage_run(stage);
    return stage;
}

static void ping(stage_t *stage) {
    stage_peer_send(stage, client, MSG_PING, &(msg_ping_t){0}, (bytes_t){0});
    stage_run(stage);
}

static void a_message_to_a_peer_names_its_op_and_moves_its_body(void **test) {
    (void)test;
    stage_t *stage = stage_with_speaker();
    ping(stage);
    assert_int_equal(speaker.sent, SENT);
    assert_int_equal(speaker.body_left, 0);
    const stage_message_t *m = stage_peer_take_of(stage, client, MSG_SOURCE_BATCH);
    assert_non_null(m);
    bytes_t wanted = pack("{sssssi}", "op", "source.batch", "tag", "t", "seq", 1LL);
    assert_int_equal(m->raw.size, wanted.size);
    assert_memory_equal(m->raw.data, wanted.data, wanted.size);
    assert_true(m->has_body);
    assert_int_equal(m->body.size, 5);
    assert_memory_equal(m->body.data, "12345", 5);
    stage_destroy(&stage);
}

static void a_peer_that_reads_too_slowly_leaves_the_body_with_the_sender(void **test) {
    (void)test;
    stage_t *stage = stage_with_speaker();
    stage_peer_block(stage, client, true);
    ping(stage);
    assert_int_equal(speaker.sent, SENT_FULL);
    assert_int_equal(speaker.body_left, 5);
    stage_peer_block(stage, client, false);
    ping(stage);
    assert_int_equal(speaker.sent, SENT);
    assert_non_null(stage_peer_take_of(stage, client, MSG_SOURCE_BATCH));
    assert_false(stage_peer_waits(stage, client));
    stage_destroy(&stage);
}

static int64_t counted(stage_t *stage, const char *name) {
    const msg_actor_counted_t *m = stage_get(stage, "speaker", MSG_ACTOR_COUNT, &(msg_actor_count_t){0});
    for (size_t i = 0; i < m->counters.count; i++)
        if (strcmp(m->counters.items[i].name, name) == 0) return m->counters.items[i].value;
    return 0;
}

static void what_a_peer_that_has_gone_does_not_get_is_counted(void **test) {
    (void)test;
    stage_t *stage = stage_with_speaker();
    stage_peer_send(stage, client, MSG_PING, &(msg_ping_t){0}, (bytes_t){0});
    stage_peer_leave(stage, client);
    stage_run(stage);
    assert_int_equal(speaker.sent, SENT_GONE);
    assert_int_equal(speaker.body_left, 5);
    assert_int_equal(counted(stage, "undelivered"), 1);
    msg_job_describe_t describe = {.has_job = true, .job = "j"};
    stage_peer_send(stage, client, MSG_JOB_DESCRIBE, &describe, (bytes_t){0});
    stage_peer_leave(stage, client);
    stage_run(stage);
    assert_int_equal(counted(stage, "undelivered"), 2);
    stage_destroy(&stage);
}

static void an_id_is_echoed_even_where_the_answer_is_as_large_as_a_small_map_may_be(void **test) {
    (void)test;
    stage_t *stage = stage_with_speaker();
    msg_job_describe_t describe = {.has_job = true, .job = "j"};
    stage_peer_request(stage, client, MSG_JOB_DESCRIBE, &describe, (bytes_t){0}, 77);
    stage_run(stage);
    const stage_message_t *m = stage_peer_take(stage, client);
    refusal_t no;
    assert_int_equal(wire_walk(m->raw, &no), 0);
    assert_int_equal(m->raw.data[0], 0xde);
    bytes_t echo;
    int64_t number = 0;
    assert_true(wire_map_get(m->raw, "id", &echo) && wire_int(echo, &number));
    assert_int_equal(number, 77);
    const msg_job_t *job = stage_decode(stage, MSG_JOB, m->raw);
    assert_string_equal(job->error, "e");
    stage_destroy(&stage);
}

static void a_refusal_names_its_field_and_is_utf_8_however_long_it_is(void **test) {
    (void)test;
    stage_t *stage = stage_with_speaker();
    msg_job_cancel_t cancel = {.has_job = true, .job = "j"};
    stage_peer_send(stage, client, MSG_JOB_CANCEL, &cancel, (bytes_t){0});
    stage_run(stage);
    const stage_message_t *m = stage_peer_take(stage, client);
    bytes_t error, message;
    const char *text = "";
    size_t size = 0;
    assert_true(wire_map_get(m->raw, "error", &error) && wire_map_get(error, "message", &message) && wire_text(message, &text, &size));
    assert_true(size > 300);
    assert_true(text_valid(text, size));
    refusal_t no;
    assert_int_equal(refusal_decode(m->raw, &no), 0);
    assert_int_equal(no.code, ERROR_CONFLICT);
    assert_false(no.retry);
    assert_string_equal(no.field, "job");
    stage_destroy(&stage);
}

static void a_peer_that_names_what_is_not_known_is_told_to_begin_again(void **test) {
    (void)test;
    stage_t *stage = stage_with_speaker();
    stage_peer_send(stage, client, MSG_PONG, &(msg_pong_t){0}, (bytes_t){0});
    stage_run(stage);
    const refusal_t *no = stage_peer_refusal(stage, client);
    assert_int_equal(no->code, ERROR_NOT_FOUND);
    assert_true(no->retry);
    assert_string_equal(no->message, "no attachment 7");
    stage_destroy(&stage);
}

static void a_notification_has_a_topic_and_a_payload(void **test) {
    (void)test;
    stage_t *stage = stage_with_speaker();
    actor_publish(speaker.me, 1, "job.state", BYTES("\x80"));
    const stage_message_t *m = stage_take_published(stage, "speaker");
    assert_string_equal(m->topic, "job.state");
    assert_int_equal(m->raw.size, 1);
    assert_null(stage_take_published(stage, "speaker"));
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_to_a_peer_names_its_op_and_moves_its_body),
        cmocka_unit_test(a_peer_that_reads_too_slowly_leaves_the_body_with_the_sender),
        cmocka_unit_test(what_a_peer_that_has_gone_does_not_get_is_counted),
        cmocka_unit_test(an_id_is_echoed_even_where_the_answer_is_as_large_as_a_small_map_may_be),
        cmocka_unit_test(a_refusal_names_its_field_and_is_utf_8_however_long_it_is),
        cmocka_unit_test(a_peer_that_names_what_is_not_known_is_told_to_begin_again),
        cmocka_unit_test(a_notification_has_a_topic_and_a_payload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
