/* The gateway: each request goes to the actor that owns it, and each is answered. */
#include "counter.h"

#include <unistd.h>

#include "messages/wire.h"

static void a_request_goes_to_its_owner_and_its_answer_comes_back_with_the_id(void **test) {
    (void)test;
    stage_t *stage = counter();
    ask_from(stage, client, MSG_JOB_LIST, &(msg_job_list_t){0}, (bytes_t){0});
    assert_true(peer_waits_still(stage, client));
    desk_answer(stage, "job_supervisor", MSG_JOB_LIST, &(msg_jobs_t){0});
    const stage_message_t *m = stage_peer_take(stage, client);
    bytes_t echo;
    int64_t number = 0;
    assert_false(m->refused);
    assert_true(wire_map_get(m->raw, "id", &echo) && wire_int(echo, &number));
    assert_int_equal(number, 1);
    stage_destroy(&stage);
}

static void a_refusal_comes_back_whole(void **test) {
    (void)test;
    stage_t *stage = counter();
    ask_from(stage, client, MSG_JOB_DESCRIBE, &(msg_job_describe_t){.has_job = true, .job = "j9"}, (bytes_t){0});
    const stage_message_t *asked = desk_take(stage, "job_supervisor", MSG_JOB_DESCRIBE);
    refusal_t said;
    refuse(&said, ERROR_NOT_FOUND, "job", "no job `j9`");
    said.retry = true;
    stage_refuse_as(stage, asked, &said);
    refusal_t no = peer_no(stage, client);
    assert_int_equal(no.code, ERROR_NOT_FOUND);
    assert_string_equal(no.message, "no job `j9`");
    assert_string_equal(no.field, "job");
    assert_true(no.retry);
    stage_destroy(&stage);
}

static void every_request_of_a_client_has_an_owner_that_is_asked(void **test) {
    (void)test;
    for (int id = 1; id < MESSAGE_COUNT; id++) {
        const message_class_t *class = message_class((message_id_t)id);
        if (class->kind != KIND_REQUEST || !(class->scope & SCOPE_COMMANDS)) continue;
        assert_non_null(class->owner);
        if (strcmp(class->owner, "gateway") == 0) assert_non_null(gateway_class.takes[id]);
    }
}

static void garbage_is_answered(void **test) {
    (void)test;
    static const struct {
        const char *bytes;
        size_t size;
        error_code_t code;
    } garbage[] = {{"\xc1", 1, ERROR_BAD_REQUEST},
                   {"", 0, ERROR_BAD_REQUEST},
                   {"\x93\x01\x02\x03", 4, ERROR_BAD_REQUEST},
                   {"\x80", 1, ERROR_BAD_REQUEST},
                   {"\x81\xa2op\x07", 5, ERROR_BAD_REQUEST},
                   {"\x81\xa2op\xa4what", 9, ERROR_UNKNOWN_OP},
                   {"\x81\xa2op\xab"
                    "budget.set",
                    15, ERROR_BAD_REQUEST},
                   {"\x81\xa2op\xaa"
                    "budget.set",
                    15, ERROR_UNKNOWN_OP},
                   {"\x81\xa2op\xa8job.wait", 13, ERROR_BAD_REQUEST}};
    stage_t *stage = counter();
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        stage_peer_send_raw(stage, client, (bytes_t){(const uint8_t *)garbage[i].bytes, garbage[i].size}, (bytes_t){0});
        assert_int_equal(peer_no(stage, client).code, garbage[i].code);
    }
    assert_int_equal(stage_failures(stage, "gateway"), 0);
    stage_destroy(&stage);
}

static void an_id_comes_back_unless_it_is_large(void **test) {
    (void)test;
    stage_t *stage = counter();
    for (uint16_t size = 4093; size <= 4094; size++) { /* and three bytes in front */
        uint8_t message[4200] = "\x82\xa2op\xa4what\xa2id\xc5";
        size_t head = 13;
        message[head] = (uint8_t)(size >> 8);
        message[head + 1] = (uint8_t)size;
        bytes_t echo;
        stage_peer_send_raw(stage, client, (bytes_t){message, head + 2 + size}, (bytes_t){0});
        stage_run(stage);
        const stage_message_t *m = stage_peer_take(stage, client);
        refusal_t no;
        assert_int_equal(refusal_decode(m->raw, &no), 0);
        assert_int_equal(no.code, size == 4093 ? ERROR_UNKNOWN_OP : ERROR_TOO_LARGE);
        assert_int_equal(wire_map_get(m->raw, "id", &echo), size == 4093);
        if (size == 4093) assert_int_equal(echo.size, 4096);
    }
    stage_destroy(&stage);
}

static void the_engine_says_who_it_is(void **test) {
    (void)test;
    stage_t *stage = counter();
    stage_advance(stage, 1500000);
    ask_from(stage, client, MSG_ENGINE_INFO, &(msg_engine_info_t){0}, (bytes_t){0});
    const msg_engine_t *engine = peer_yes(stage, client, MSG_ENGINE);
    assert_string_equal(engine->version, REPRISE_VERSION);
    assert_int_equal(engine->protocol, 1);
    assert_int_equal(engine->pid, getpid());
    assert_int_equal(engine->uptime_ms, 1500);
    assert_string_equal(engine->endpoints.commands, "tcp://127.0.0.1:5570");
    assert_string_equal(engine->endpoints.notifications, "tcp://127.0.0.1:5573");
    assert_false(engine->endpoints.has_beam);
    stage_destroy(&stage);
}

static void the_protocol_is_given_as_data(void **test) {
    (void)test;
    stage_t *stage = counter();
    ask_from(stage, client, MSG_ENGINE_PROTOCOL, &(msg_engine_protocol_t){0}, (bytes_t){0});
    const msg_protocol_t *protocol = peer_yes(stage, client, MSG_PROTOCOL);
    refusal_t no;
    assert_int_equal(wire_walk(protocol->ops, &no), 0);
    assert_int_equal(wire_walk(protocol->errors, &no), 0);
    assert_int_equal(protocol->errors.data[0], 0x90 | ERROR_COUNT);
    stage_destroy(&stage);
}

static void failures_are_made_only_where_that_is_allowed(void **test) {
    (void)test;
    stage_t *stage = counter();
    msg_chaos_fail_t fail = {.actor = "recorder"};
    ask_from(stage, client, MSG_CHAOS_FAIL, &fail, (bytes_t){0});
    desk_answer(stage, "supervisor", MSG_CHAOS_FAIL, NULL);
    peer_yes(stage, client, MSG_OK);
    stage_config(stage)->chaos = false;
    ask_from(stage, client, MSG_CHAOS_FAIL, &fail, (bytes_t){0});
    refusal_t no = peer_no(stage, client);
    assert_int_equal(no.code, ERROR_UNKNOWN_OP);
    assert_non_null(strstr(no.message, "--chaos"));
    desk_is_quiet(stage, "supervisor", MSG_CHAOS_FAIL);
    stage_destroy(&stage);
}

/* ---- definitions ---- */

static const msg_pipeline_t *clicks(void) {
    static msg_transform_t transform = {.name = "Read", .urn = "reprise:source:push:v1"};
    static const msg_pipeline_t pipeline = {.name = "clicks", .has_transforms = true, .transforms = {1, &transform}};
    return &pipeline;
}

static void a_definition_is_stored_before_another_actor_is_asked_by_name(void **test) {
    (void)test;
    stage_t *stage = counter();
    msg_job_cancel_t cancel = {.has_pipeline = true, .pipeline = "clicks", .pipeline_definition = clicks()};
    ask_from(stage, client, MSG_JOB_CANCEL, &cancel, (bytes_t){0});
    desk_is_quiet(stage, "job_supervisor", MSG_JOB_CANCEL);
    const msg_pipeline_define_t *define = desk_answer(stage, "pipeline_tracker", MSG_PIPELINE_DEFINE, NULL);
    assert_string_equal(define->pipeline.transforms.items[0].name, "Read");
    const msg_job_cancel_t *asked = desk_answer(stage, "job_supervisor", MSG_JOB_CANCEL, &(msg_job_cancelled_t){.cancelled = false});
    assert_string_equal(asked->pipeline, "clicks");
    assert_null(asked->pipeline_definition);
    peer_yes(stage, client, MSG_JOB_CANCELLED);
    stage_destroy(&stage);
}

static void a_definition_that_is_refused_refuses_the_request(void **test) {
    (void)test;
    stage_t *stage = counter();
    msg_job_cancel_t cancel = {.has_pipeline = true, .pipeline = "clicks", .pipeline_definition = clicks()};
    ask_from(stage, client, MSG_JOB_CANCEL, &cancel, (bytes_t){0});
    desk_refuse(stage, "pipeline_tracker", MSG_PIPELINE_DEFINE, ERROR_BAD_REQUEST, "a tag twice");
    assert_int_equal(peer_no(stage, client).code, ERROR_BAD_REQUEST);
    desk_is_quiet(stage, "job_supervisor", MSG_JOB_CANCEL);
    stage_destroy(&stage);
}

static void the_tracker_gets_definitions_itself(void **test) {
    (void)test;
    stage_t *stage = counter();
    msg_pipeline_run_t run = {.has_pipeline = true, .pipeline = "clicks", .pipeline_definition = clicks()};
    ask_from(stage, client, MSG_PIPELINE_RUN_ASK, &run, (bytes_t){0});
    assert_non_null(((const msg_pipeline_run_t *)desk_told(stage, "pipeline_tracker", MSG_PIPELINE_RUN_ASK))->pipeline_definition);
    desk_is_quiet(stage, "pipeline_tracker", MSG_PIPELINE_DEFINE);
    stage_destroy(&stage);
}

static void pushes_and_fetches_bring_definitions_too(void **test) {
    (void)test;
    stage_t *stage = counter();
    msg_push_t push = {.has_pipeline = true, .pipeline = "clicks", .pipeline_definition = clicks(), .tag = "Read"};
    ask_from(stage, client, MSG_PUSH, &push, stage_body(stage, 2, 0, 10));
    desk_is_quiet(stage, "ingest", MSG_SOURCE_ATTACH);
    desk_answer(stage, "pipeline_tracker", MSG_PIPELINE_DEFINE, NULL);
    assert_string_equal(((const msg_source_attach_t *)desk_told(stage, "ingest", MSG_SOURCE_ATTACH))->pipeline, "clicks");
    msg_recording_fetch_t fetch = {.has_pipeline = true, .pipeline = "clicks", .pipeline_definition = clicks()};
    ask_from(stage, other, MSG_RECORDING_FETCH, &fetch, (bytes_t){0});
    desk_answer(stage, "pipeline_tracker", MSG_PIPELINE_DEFINE, NULL);
    assert_string_equal(((const msg_replay_open_t *)desk_told(stage, "test-stream", MSG_REPLAY_OPEN))->pipeline, "clicks");
    stage_destroy(&stage);
}

/* ---- failures ---- */

static void what_was_passed_on_is_answered_though_the_gateway_fails(void **test) {
    (void)test;
    stage_t *stage = counter();
    ask_from(stage, client, MSG_JOB_LIST, &(msg_job_list_t){0}, (bytes_t){0});
    const stage_message_t *asked = desk_take(stage, "job_supervisor", MSG_JOB_LIST);
    stage_fail(stage, "gateway");
    stage_run(stage);
    desk_is_quiet(stage, "job_supervisor", MSG_JOB_LIST);
    stage_answer(stage, asked, &(msg_jobs_t){0});
    peer_yes(stage, client, MSG_JOBS);
    stage_destroy(&stage);
}

static void a_definition_under_way_when_it_fails_is_stored_and_the_request_goes_on(void **test) {
    (void)test;
    stage_t *stage = counter();
    msg_job_cancel_t cancel = {.has_pipeline = true, .pipeline = "clicks", .pipeline_definition = clicks()};
    ask_from(stage, client, MSG_JOB_CANCEL, &cancel, (bytes_t){0});
    const stage_message_t *old = desk_take(stage, "pipeline_tracker", MSG_PIPELINE_DEFINE);
    stage_fail(stage, "gateway");
    stage_run(stage);
    stage_answer(stage, old, NULL);
    desk_is_quiet(stage, "job_supervisor", MSG_JOB_CANCEL);
    desk_answer(stage, "pipeline_tracker", MSG_PIPELINE_DEFINE, NULL);
    desk_answer(stage, "job_supervisor", MSG_JOB_CANCEL, &(msg_job_cancelled_t){.cancelled = false});
    peer_yes(stage, client, MSG_JOB_CANCELLED);
    stage_destroy(&stage);
}

static void an_idle_endpoint_that_asks_is_told_that_the_gateway_lives(void **test) {
    (void)test;
    stage_t *stage = counter();
    stage_door_tell(stage, "gateway", 1, MSG_PING, &(msg_ping_t){0}, (bytes_t){0});
    desk_take(stage, "ingest", MSG_PONG);
    stage_door_tell(stage, "gateway", 2, MSG_PING, &(msg_ping_t){0}, (bytes_t){0});
    desk_take(stage, "test-stream", MSG_PONG);
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_goes_to_its_owner_and_its_answer_comes_back_with_the_id),
        cmocka_unit_test(a_refusal_comes_back_whole),
        cmocka_unit_test(every_request_of_a_client_has_an_owner_that_is_asked),
        cmocka_unit_test(garbage_is_answered),
        cmocka_unit_test(an_id_comes_back_unless_it_is_large),
        cmocka_unit_test(the_engine_says_who_it_is),
        cmocka_unit_test(the_protocol_is_given_as_data),
        cmocka_unit_test(failures_are_made_only_where_that_is_allowed),
        cmocka_unit_test(a_definition_is_stored_before_another_actor_is_asked_by_name),
        cmocka_unit_test(a_definition_that_is_refused_refuses_the_request),
        cmocka_unit_test(the_tracker_gets_definitions_itself),
        cmocka_unit_test(pushes_and_fetches_bring_definitions_too),
        cmocka_unit_test(what_was_passed_on_is_answered_though_the_gateway_fails),
        cmocka_unit_test(a_definition_under_way_when_it_fails_is_stored_and_the_request_goes_on),
        cmocka_unit_test(an_idle_endpoint_that_asks_is_told_that_the_gateway_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
