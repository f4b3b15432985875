#include "messages/codec.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "generate.h"

static msgpack_sbuffer out;

static int out_make(void **state) {
    (void)state;
    msgpack_sbuffer_init(&out);
    return 0;
}

static int out_end(void **state) {
    (void)state;
    msgpack_sbuffer_destroy(&out);
    return 0;
}

static void written(bytes_t expected) {
    assert_int_equal(out.size, expected.size);
    assert_memory_equal(out.data, expected.data, expected.size);
}

static void a_request_begins_with_its_op_and_its_id(void **state) {
    (void)state;
    msg_job_wait_t wait = {.has_job = true, .job = "j1", .timeout_ms = 300};
    message_encode(MSG_JOB_WAIT, &wait, true, BYTES("\x93\x01\x02\x03"), &out);
    written(pack("{sss[iii]sssi}", "op", "job.wait", "id", 1LL, 2LL, 3LL, "job", "j1", "timeout_ms", 300LL));
}

static void an_event_begins_with_its_name(void **state) {
    (void)state;
    msg_watermark_t watermark = {.replay = 1, .tag = "Read", .to = -1};
    message_encode(MSG_WATERMARK, &watermark, true, BYTES(""), &out);
    written(pack("{sssisssi}", "event", "watermark", "replay", 1LL, "tag", "Read", "to", -1LL));
}

static void an_answer_begins_with_ok(void **state) {
    (void)state;
    message_encode(MSG_OK, &(msg_ok_t){0}, true, BYTES("\xa1x"), &out);
    written(pack("{stss}", "ok", "id", "x"));
}

static void inside_the_engine_only_the_fields_are_written(void **state) {
    (void)state;
    msg_source_batch_t batch = {.tag = "t", .seq = 1, .source = 5, .cursor = BYTES("\x05")};
    message_encode(MSG_SOURCE_BATCH, &batch, false, BYTES(""), &out);
    written(pack("{sssi}", "tag", "t", "seq", 1LL));
}

static void what_is_appended_leaves_what_was_there(void **state) {
    (void)state;
    message_encode(MSG_OK, &(msg_ok_t){0}, false, BYTES(""), &out);
    message_encode(MSG_PING, &(msg_ping_t){0}, true, BYTES(""), &out);
    written(BYTES("\x80\x81\xa2op\xa4ping"));
}

static void values_are_written_as_their_types_say(void **state) {
    (void)state;
    msg_replay_rate_t rate = {.replay = 1, .rate = 2};
    message_encode(MSG_REPLAY_RATE, &rate, false, BYTES(""), &out);
    written(BYTES("\x82\xa6replay\x01\xa4rate\xcb\x40\0\0\0\0\0\0\0")); /* a REAL is a float64, whole or not */
    out.size = 0;
    msg_limits_t limits = {.has_count = true, .count = LIMIT_NONE, .has_bytes = true, .bytes = 7};
    record_encode(RECORD_CLASS(limits), &limits, &out);
    written(pack("{sisn}", "bytes", 7LL, "count"));
    out.size = 0;
    msg_protocol_t protocol = {.protocol = 1, .ops = BYTES("\x91\x01")};
    message_encode(MSG_PROTOCOL, &protocol, false, BYTES(""), &out);
    written(pack("{sis[i]sn}", "protocol", 1LL, "ops", 1LL, "errors")); /* a required value that is empty is nil */
    out.size = 0;
    msg_signature_t signature = {.signature = {2, (const char *[]){"a", "b"}}};
    message_encode(MSG_SIGNATURE, &signature, false, BYTES(""), &out);
    written(pack("{s[ss]}", "signature", "a", "b"));
}

static void a_pipeline_is_written_as_its_name_or_its_definition(void **state) {
    (void)state;
    msg_pipeline_track_t track = {.pipeline = "p"};
    message_encode(MSG_PIPELINE_TRACK, &track, false, BYTES(""), &out);
    written(pack("{ss}", "pipeline", "p"));
    out.size = 0;
    msg_transform_t transform = {.name = "t", .urn = "u", .has_payload = true, .payload = BYTES("\xc4\x01x")};
    msg_pipeline_t pipeline = {.name = "p", .has_transforms = true, .transforms = {1, &transform}};
    track.pipeline_definition = &pipeline;
    message_encode(MSG_PIPELINE_TRACK, &track, false, BYTES(""), &out);
    written(pack("{s{sss[{sssssb}]}}", "pipeline", "name", "p", "transforms", "name", "t", "urn", "u", "payload", "x"));
}

static void a_required_text_that_is_not_set_ends_the_process_with_its_name(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        message_encode(MSG_SOURCE_BATCH, &(msg_source_batch_t){.seq = 1}, false, BYTES(""), &out);
        _exit(0);
    }
    close(ends[1]);
    char text[512] = {0};
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_text(text, "`tag` of `source_batch` is set");
}

/* What msgpack-c itself makes of the bytes. */
static void every_message_is_msgpack_with_its_own_fields(void **state) {
    (void)state;
    generator_t g = {.seed = 42, .full = true};
    assert_true(msgpack_zone_init(&g.zone, 8192));
    union {
        max_align_t aligned;
        uint8_t bytes[4096];
    } room;
    for (int id = MSG_NONE + 1; id < MESSAGE_COUNT; id++) {
        const record_class_t *record = record_class_of((message_id_t)id);
        generate_record(&g, record, room.bytes);
        out.size = 0;
        message_encode((message_id_t)id, &room, true, BYTES("\x01"), &out);
        msgpack_unpacked unpacked;
        msgpack_unpacked_init(&unpacked);
        size_t at = 0;
        assert_int_equal(msgpack_unpack_next(&unpacked, out.data, out.size, &at), MSGPACK_UNPACK_SUCCESS);
        assert_int_equal(at, out.size);
        assert_int_equal(unpacked.data.type, MSGPACK_OBJECT_MAP);
        uint32_t i = 2;
        for (const field_t *field = record->fields; field->name != NULL; field++, i++) {
            assert_true(i < unpacked.data.via.map.size);
            msgpack_object_str key = unpacked.data.via.map.ptr[i].key.via.str;
            assert_int_equal(key.size, field->name_size);
            assert_memory_equal(key.ptr, field->name, key.size);
        }
        assert_int_equal(unpacked.data.via.map.size, i);
        msgpack_unpacked_destroy(&unpacked);
    }
    msgpack_zone_destroy(&g.zone);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_begins_with_its_op_and_its_id, out_make, out_end),
        cmocka_unit_test_setup_teardown(an_event_begins_with_its_name, out_make, out_end),
        cmocka_unit_test_setup_teardown(an_answer_begins_with_ok, out_make, out_end),
        cmocka_unit_test_setup_teardown(inside_the_engine_only_the_fields_are_written, out_make, out_end),
        cmocka_unit_test_setup_teardown(what_is_appended_leaves_what_was_there, out_make, out_end),
        cmocka_unit_test_setup_teardown(values_are_written_as_their_types_say, out_make, out_end),
        cmocka_unit_test_setup_teardown(a_pipeline_is_written_as_its_name_or_its_definition, out_make, out_end),
        cmocka_unit_test_setup_teardown(a_required_text_that_is_not_set_ends_the_process_with_its_name, out_make, out_end),
        cmocka_unit_test_setup_teardown(every_message_is_msgpack_with_its_own_fields, out_make, out_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
