/* Whatever arrives is either understood or refused, with an answer that names what is wrong. */
#include "echo.h"

#include "messages/wire.h"
#include "pack.h"

static const stage_peer_t client = {"echo", "client"};

/* Sends it and gives the refusal. */
static const refusal_t *refusal_to(stage_t *stage, bytes_t message) {
    stage_peer_send_raw(stage, client, message, (bytes_t){0});
    stage_run(stage);
    return stage_peer_refusal(stage, client);
}

static void assert_serves(stage_t *stage) {
    msg_test_stream_status_t m = ask_named("hello");
    stage_peer_request(stage, client, MSG_TEST_STREAM_STATUS, &m, (bytes_t){0}, 1);
    stage_run(stage);
    const msg_test_stream_t *answer = stage_peer_answer(stage, client, MSG_TEST_STREAM);
    assert_string_equal(answer->endpoint, "hello");
}

static void a_client_is_answered_with_a_map_that_says_ok(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    stage_peer_send_raw(stage, client, pack("{ssss}", "op", "test_stream.status", "pipeline", "p"), (bytes_t){0});
    stage_run(stage);
    const stage_message_t *m = stage_peer_take(stage, client);
    bytes_t wanted = pack("{ststsssi}", "ok", "running", "endpoint", "p", "replays", 1LL);
    assert_int_equal(m->raw.size, wanted.size);
    assert_memory_equal(m->raw.data, wanted.data, wanted.size);
    stage_destroy(&stage);
}

static void what_is_no_message_is_refused_and_named(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    const struct {
        bytes_t message;
        const char *part;
    } cases[] = {
        {BYTES(""), "cut off"},
        {BYTES("\xc1"), "0xc1"},
        {BYTES("\xdd\xff\xff\xff\xff"), "cut off"},
        {BYTES("\x81\xa2op"), "cut off"},
        {BYTES("\x01\x02"), "follow"},
        {BYTES("\x07"), "`op`"},
        {BYTES("\x93\x01\x02\x03"), "`op`"},
        {BYTES("\x80"), "`op`"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const refusal_t *no = refusal_to(stage, cases[i].message);
        assert_int_equal(no->code, ERROR_BAD_REQUEST);
        assert_text(no->message, cases[i].part);
        assert_false(stage_peer_waits(stage, client));
    }
    assert_serves(stage);
    stage_destroy(&stage);
}

static void an_operation_that_is_not_served_here_is_refused(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    const char *const ops[] = {"no.such", "job.list", "source.attach", "child.stop", "actor.fail", "", "test_stream.statu"};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        const refusal_t *no = refusal_to(stage, pack("{ss}", "op", ops[i]));
        assert_int_equal(no->code, ERROR_UNKNOWN_OP);
        assert_string_equal(no->field, "op");
        assert_text(no->message, ops[i]);
    }
    assert_int_equal(refusal_to(stage, pack("{ss}", "event", "test_stream.status"))->code, ERROR_UNKNOWN_OP);
    const refusal_t *no = refusal_to(stage, pack("{si}", "op", 3LL));
    assert_text(no->message, "`op` must be text");
    assert_serves(stage);
    stage_destroy(&stage);
}

static void a_wrong_field_is_refused_by_its_path(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    const refusal_t *no = refusal_to(stage, pack("{ss}", "op", "test_stream.status"));
    assert_int_equal(no->code, ERROR_BAD_REQUEST);
    assert_string_equal(no->field, "pipeline");
    no = refusal_to(stage, pack("{sssi}", "op", "test_stream.status", "pipeline", 1LL));
    assert_int_equal(no->code, ERROR_BAD_REQUEST);
    assert_string_equal(no->field, "pipeline");
    assert_serves(stage);
    stage_destroy(&stage);
}

/* The answer to `message`, a map with an `id`, ends with that id. */
static void assert_echoes(stage_t *stage, bytes_t message, bytes_t id) {
    stage_peer_send_raw(stage, client, message, (bytes_t){0});
    stage_run(stage);
    const stage_message_t *m = stage_peer_take(stage, client);
    assert_non_null(m);
    bytes_t echo;
    assert_true(wire_map_get(m->raw, "id", &echo));
    assert_int_equal(echo.size, id.size);
    assert_memory_equal(echo.data, id.data, id.size);
}

static void any_value_is_echoed_as_id_in_answers_and_refusals(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    const bytes_t ids[] = {BYTES("\x00"),
                           BYTES("\xc0"),
                           BYTES("\xc3"),
                           BYTES("\xcb\x7f\xf8\0\0\0\0\0\0"),
                           BYTES("\xa3"
                                 "abc"),
                           BYTES("\xc4\x02\xff\x00"),
                           BYTES("\x92\x01\x91\xc2"),
                           BYTES("\x81\xa1"
                                 "a\x80"),
                           BYTES("\xd4\x05\x06"),
                           BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff")};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        assert_echoes(stage,
                      pack("{ssssr"
                           "r}",
                           "op", "test_stream.status", "pipeline", "p", &BYTES("\xa2id"), &ids[i]),
                      ids[i]);
        assert_echoes(stage,
                      pack("{ssr"
                           "r}",
                           "op", "no.such", &BYTES("\xa2id"), &ids[i]),
                      ids[i]);
        assert_echoes(stage,
                      pack("{sir"
                           "r}",
                           "op", 1LL, &BYTES("\xa2id"), &ids[i]),
                      ids[i]);
        assert_echoes(stage,
                      pack("{ssr"
                           "r}",
                           "op", "test_stream.status", &BYTES("\xa2id"), &ids[i]),
                      ids[i]);
        assert_echoes(stage,
                      pack("{ssssr"
                           "r}",
                           "op", "test_stream.status", "pipeline", "fail", &BYTES("\xa2id"), &ids[i]),
                      ids[i]);
    }
    stage_destroy(&stage);
}

static void a_message_over_16_mib_is_too_large(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    size_t size = (size_t)16 * 1024 * 1024;
    uint8_t *large = calloc(1, size + 1);
    const refusal_t *no = refusal_to(stage, (bytes_t){large, size + 1});
    assert_int_equal(no->code, ERROR_TOO_LARGE);
    stage_peer_send_raw(stage, client, pack("{ssss}", "op", "test_stream.status", "pipeline", "p"), (bytes_t){large, size + 1});
    stage_run(stage);
    assert_int_equal(stage_peer_refusal(stage, client)->code, ERROR_TOO_LARGE);
    stage_peer_send_raw(stage, client, pack("{ssss}", "op", "test_stream.status", "pipeline", "p"), (bytes_t){large, size});
    stage_run(stage);
    stage_peer_answer(stage, client, MSG_TEST_STREAM);
    assert_int_equal(echoes.body, size);
    free(large);
    stage_destroy(&stage);
}

static void a_body_arrives_with_its_message(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    msg_test_stream_status_t m = ask_named("p");
    stage_peer_send(stage, client, MSG_TEST_STREAM_STATUS, &m, BYTES("12345"));
    stage_run(stage);
    assert_int_equal(echoes.body, 5);
    stage_peer_send(stage, client, MSG_TEST_STREAM_STATUS, &m, BYTES(""));
    stage_run(stage);
    assert_int_equal(echoes.body, 0);
    stage_peer_send(stage, client, MSG_TEST_STREAM_STATUS, &m, (bytes_t){0});
    stage_run(stage);
    assert_int_equal(echoes.body, -1);
    stage_destroy(&stage);
}

static void a_body_is_delivered_again_with_its_request(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    msg_test_stream_status_t m = ask_named("later a");
    stage_peer_send(stage, client, MSG_TEST_STREAM_STATUS, &m, BYTES("12345"));
    stage_run(stage);
    echoes.body = -2;
    stage_fail(stage, "echo");
    stage_run(stage);
    assert_int_equal(echoes.body, 5);
    stage_destroy(&stage);
}

static void an_actor_that_does_not_take_a_request_refuses_it(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    const refusal_t *no = stage_get_refusal(stage, "echo", MSG_RECORDING_LIST, &(msg_recording_list_t){0});
    assert_int_equal(no->code, ERROR_UNKNOWN_OP);
    assert_text(no->message, "echo does not take `recording.list`");
    assert_answer(stage, ask(stage, "hello"), "hello", 1);
    stage_destroy(&stage);
}

static void a_tell_that_is_not_taken_hurts_nobody(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    stage_tell(stage, "test", "echo", MSG_LIMITS_STOP, &(msg_limits_stop_t){.job = "j"});
    stage_run(stage);
    assert_int_equal(stage_failures(stage, "echo"), 0);
    assert_answer(stage, ask(stage, "hello"), "hello", 1);
    stage_destroy(&stage);
}

static void a_bad_answer_of_another_actor_is_a_refusal(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    uint64_t number = ask(stage, "ask");
    const stage_message_t *question = stage_take(stage, "other", MSG_NONE);
    stage_answer(stage, question, &(msg_test_stream_t){.has_endpoint = true, .endpoint = "fine", .replays = -1});
    stage_run(stage);
    const stage_message_t *answer = stage_take(stage, "test", MSG_NONE);
    assert_int_equal(answer->head.number, number);
    assert_text(echoes.answered, "replays");
    stage_destroy(&stage);
}

static void counters_are_answered_in_every_phase(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_loading_class);
    const msg_actor_counted_t *counted = stage_get(stage, "echo", MSG_ACTOR_COUNT, &(msg_actor_count_t){0});
    assert_int_equal(counted->counters.count, 0);
    stage_fail(stage, "echo");
    stage_run(stage);
    counted = stage_get(stage, "echo", MSG_ACTOR_COUNT, &(msg_actor_count_t){0});
    assert_int_equal(counted->counters.count, 0);
    stage_destroy(&stage);
}

static void counters_outlive_a_failure(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    refusal_to(stage, BYTES("\xc1"));
    stage_fail(stage, "echo");
    stage_run(stage);
    const msg_actor_counted_t *counted = stage_get(stage, "echo", MSG_ACTOR_COUNT, &(msg_actor_count_t){0});
    assert_int_equal(counted->counters.count, 2);
    assert_string_equal(counted->counters.items[0].name, "commands");
    assert_int_equal(counted->counters.items[0].value, 1);
    assert_string_equal(counted->counters.items[1].name, "refusals");
    assert_int_equal(counted->counters.items[1].value, 1);
    stage_destroy(&stage);
}

static void requests_and_refusals_at_a_door_are_counted(void **test) {
    (void)test;
    stage_t *stage = stage_with(&echo_class);
    assert_serves(stage);
    refusal_to(stage, BYTES("\xc1"));
    refusal_to(stage, pack("{ss}", "op", "test_stream.status"));
    refusal_to(stage, pack("{ssss}", "op", "test_stream.status", "pipeline", "fail"));
    const msg_actor_counted_t *counted = stage_get(stage, "echo", MSG_ACTOR_COUNT, &(msg_actor_count_t){0});
    int64_t commands = 0, refusals = 0;
    for (size_t i = 0; i < counted->counters.count; i++) {
        if (strcmp(counted->counters.items[i].name, "commands") == 0) commands = counted->counters.items[i].value;
        if (strcmp(counted->counters.items[i].name, "refusals") == 0) refusals = counted->counters.items[i].value;
    }
    assert_int_equal(commands, 4);
    assert_int_equal(refusals, 3);
    stage_destroy(&stage);
}

/* ---- a gateway: passes on what it does not take itself; and a DEALER ---- */

static int pass(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    actor_forward(((echo_t *)state)->me, in, "owner");
    return 0;
}

static const actor_class_t passing_class = {
    .name = "echo",
    .doc = "Passes on.",
    .create = echo_create,
    .destroy = echo_destroy,
    .takes = {[MSG_TEST_STREAM_STATUS] = echo_on_status},
    .sends = {MSG_TEST_STREAM_STATUS},
    .doors = {{DOOR_ROUTER, ENDPOINT_COMMANDS, SCOPE_COMMANDS}},
    .passes = pass,
};

static void what_an_actor_passes_is_checked_and_handed_over_as_it_came(void **test) {
    (void)test;
    stage_t *stage = stage_with(&passing_class);
    bytes_t sent = pack("{sssisi}", "op", "recording.list", "id", 9LL, "unknown", 1LL);
    stage_peer_send_raw(stage, client, sent, (bytes_t){0});
    stage_run(stage);
    const stage_message_t *m = stage_take(stage, "owner", MSG_RECORDING_LIST);
    assert_non_null(m);
    assert_int_equal(m->raw.size, sent.size);
    stage_answer(stage, m, &(msg_recordings_t){.has_recordings = true});
    stage_run(stage);
    const stage_message_t *answer = stage_peer_take(stage, client);
    bytes_t wanted = pack("{sts[]si}", "ok", "recordings", "id", 9LL);
    assert_int_equal(answer->raw.size, wanted.size);
    assert_memory_equal(answer->raw.data, wanted.data, wanted.size);
    assert_int_equal(refusal_to(stage, pack("{ss}", "op", "recording.delete"))->code, ERROR_BAD_REQUEST);
    assert_int_equal(refusal_to(stage, pack("{ss}", "op", "source.done"))->code, ERROR_UNKNOWN_OP);
    assert_null(stage_take(stage, "owner", MSG_NONE));
    stage_destroy(&stage);
}

static int on_attached(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)state, (void)context, (void)why;
    snprintf(echoes.answered, sizeof echoes.answered, "%s", answer->message ? "attached" : answer->refusal->message);
    return 0;
}

static int on_ping(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    echo_t *echo = state;
    assert_non_null(in->peer);
    echo->seen++;
    actor_door_tell(echo->me, 0, MSG_PONG, &(msg_pong_t){0}, NULL);
    return 0;
}

static void *create_attaching(actor_t *me, bytes_t args, fault_t *why) {
    void *state = echo_create(me, args, why);
    actor_door_ask(me, 0, MSG_SOURCE_ATTACH, &(msg_source_attach_t){.tag = "t"}, NULL, on_attached, 0);
    return state;
}

static const actor_class_t dealer_class = {
    .name = "echo",
    .doc = "Attaches.",
    .create = create_attaching,
    .destroy = echo_destroy,
    .takes = {[MSG_PING] = on_ping},
    .sends = {MSG_SOURCE_ATTACH, MSG_PONG},
    .doors = {{DOOR_DEALER, ENDPOINT_INGEST, SCOPE_INGEST}},
};

static void a_question_at_a_door_is_answered_there(void **test) {
    (void)test;
    stage_t *stage = stage_with(&dealer_class);
    const stage_message_t *attach = stage_take(stage, "ingest", MSG_SOURCE_ATTACH);
    assert_non_null(attach);
    assert_string_equal(attach->from, "echo");
    stage_answer(stage, attach, &(msg_source_attached_t){.source = 1, .job = "j", .next_seq = 1, .credit = 1});
    stage_door_tell(stage, "echo", 0, MSG_PING, &(msg_ping_t){0}, (bytes_t){0});
    stage_run(stage);
    assert_string_equal(echoes.answered, "attached");
    assert_non_null(stage_take(stage, "ingest", MSG_PONG));
    stage_destroy(&stage);
}

static void a_question_at_a_door_may_be_refused(void **test) {
    (void)test;
    stage_t *stage = stage_with(&dealer_class);
    stage_refuse(stage, stage_take(stage, "ingest", MSG_SOURCE_ATTACH), ERROR_NOT_FOUND, "no tag `t`");
    stage_run(stage);
    assert_string_equal(echoes.answered, "no tag `t`");
    stage_destroy(&stage);
}

static int on_attach(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    echo_t *echo = state;
    const msg_source_attach_t *m = in->message;
    actor_answer(echo->me, in->ticket, &(msg_source_attached_t){.source = 3, .job = m->tag, .next_seq = 1, .credit = 1});
    actor_send(echo->me, in->peer, MSG_PING, &(msg_ping_t){0}, NULL);
    return 0;
}

static int on_pong(void *state, const envelope_t *in, fault_t *why) {
    (void)why, (void)in;
    echo_t *echo = state;
    echo->seen++;
    echoes.rang++;
    return 0;
}

static const actor_class_t router_class = {
    .name = "router",
    .doc = "Is attached to.",
    .create = echo_create,
    .destroy = echo_destroy,
    .takes = {[MSG_SOURCE_ATTACH] = on_attach, [MSG_PONG] = on_pong},
    .sends = {MSG_PING},
    .doors = {{DOOR_ROUTER, ENDPOINT_INGEST, SCOPE_INGEST}},
};

static void a_dealer_speaks_with_the_router_of_its_endpoint(void **test) {
    (void)test;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        memset(&echoes, 0, sizeof echoes);
        stage_t *stage = stage_create(seed, NULL);
        stage_add(stage, &router_class, "router", (bytes_t){0});
        stage_add(stage, &dealer_class, "one", (bytes_t){0});
        stage_add(stage, &dealer_class, "two", (bytes_t){0});
        stage_run(stage);
        assert_string_equal(echoes.answered, "attached");
        assert_int_equal(echoes.rang, 2);
        stage_destroy(&stage);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_is_answered_with_a_map_that_says_ok),
        cmocka_unit_test(what_is_no_message_is_refused_and_named),
        cmocka_unit_test(an_operation_that_is_not_served_here_is_refused),
        cmocka_unit_test(a_wrong_field_is_refused_by_its_path),
        cmocka_unit_test(any_value_is_echoed_as_id_in_answers_and_refusals),
        cmocka_unit_test(a_message_over_16_mib_is_too_large),
        cmocka_unit_test(a_body_arrives_with_its_message),
        cmocka_unit_test(a_body_is_delivered_again_with_its_request),
        cmocka_unit_test(an_actor_that_does_not_take_a_request_refuses_it),
        cmocka_unit_test(a_tell_that_is_not_taken_hurts_nobody),
        cmocka_unit_test(a_bad_answer_of_another_actor_is_a_refusal),
        cmocka_unit_test(counters_are_answered_in_every_phase),
        cmocka_unit_test(counters_outlive_a_failure),
        cmocka_unit_test(requests_and_refusals_at_a_door_are_counted),
        cmocka_unit_test(what_an_actor_passes_is_checked_and_handed_over_as_it_came),
        cmocka_unit_test(a_question_at_a_door_is_answered_there),
        cmocka_unit_test(a_question_at_a_door_may_be_refused),
        cmocka_unit_test(a_dealer_speaks_with_the_router_of_its_endpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
