#include "messages/codec.h"

#include "generate.h"
#include "messages/wire.h"

typedef union room {
    max_align_t aligned;
    uint8_t bytes[4096];
} room_t;

static msgpack_zone zone;

static int zone_make(void **state) {
    (void)state;
    return msgpack_zone_init(&zone, 4096) ? 0 : -1;
}

static int zone_end(void **state) {
    (void)state;
    msgpack_zone_destroy(&zone);
    return 0;
}

static int decode(message_id_t id, bytes_t in, void *message, refusal_t *no) {
    assert_int_equal(wire_walk(in, no), 0);
    return message_decode(id, in, &zone, message, no);
}

static void refused(message_id_t id, bytes_t in, const char *message, const char *field) {
    room_t room;
    refusal_t no = {0};
    if (decode(id, in, &room, &no) == 0) {
        fail_msg("not refused: %s", message);
    }
    assert_string_equal(no.message, message);
    assert_string_equal(no.field, field);
    assert_int_equal(no.code, ERROR_BAD_REQUEST);
    assert_false(no.retry);
}

static void the_fields_of_a_message_are_read(void **state) {
    (void)state;
    bytes_t in = pack("{sssisisssis[iss]}", "op", "source.batch", "source", 7LL, "watermark", -5LL, "tag", "Read", "seq", 9LL, "cursor",
                      1LL, "x", "y");
    msg_source_batch_t batch;
    refusal_t no;
    assert_int_equal(decode(MSG_SOURCE_BATCH, in, &batch, &no), 0);
    assert_true(batch.has_source && batch.has_tag && batch.has_seq && batch.has_watermark && batch.has_cursor);
    assert_int_equal(batch.source, 7);
    assert_string_equal(batch.tag, "Read");
    assert_int_equal(batch.seq, 9);
    assert_int_equal(batch.watermark, -5);
    assert_memory_equal(batch.cursor.data, "\x93\x01\xa1x\xa1y", 6);
    assert_int_equal(batch.cursor.size, 6);
    assert_true(batch.cursor.data > in.data && batch.cursor.data + 6 == in.data + in.size);
}

static void absent_and_nil_fields_are_zero_and_not_there(void **state) {
    (void)state;
    msg_source_batch_t batch;
    refusal_t no;
    assert_int_equal(decode(MSG_SOURCE_BATCH, pack("{sssisnsn}", "tag", "t", "seq", 1LL, "source", "cursor"), &batch, &no), 0);
    assert_false(batch.has_source || batch.has_watermark || batch.has_cursor);
    assert_int_equal(batch.source, 0);
    assert_null(batch.cursor.data);
    refused(MSG_SOURCE_BATCH, pack("{sssn}", "tag", "t", "seq"), "`source.batch`: `seq` is missing", "seq");
}

static void a_limit_of_nil_is_there_and_is_none(void **state) {
    (void)state;
    msg_pipeline_run_t run;
    refusal_t no;
    assert_int_equal(decode(MSG_PIPELINE_RUN_ASK, pack("{sss{snsi}}", "pipeline", "p", "limits", "count", "bytes", 5LL), &run, &no), 0);
    assert_true(run.has_limits && run.limits.has_count && run.limits.has_bytes && !run.limits.has_duration_ms);
    assert_int_equal(run.limits.count, LIMIT_NONE);
    assert_int_equal(run.limits.bytes, 5);
    assert_int_equal(run.limits.duration_ms, LIMIT_NONE);
    assert_int_equal(decode(MSG_PIPELINE_RUN_ASK, pack("{ss}", "pipeline", "p"), &run, &no), 0);
    assert_false(run.has_limits);
    assert_int_equal(run.limits.count, LIMIT_NONE);
}

static void a_pipeline_is_given_by_name_or_by_definition(void **state) {
    (void)state;
    msg_pipeline_run_t run;
    refusal_t no;
    assert_int_equal(decode(MSG_PIPELINE_RUN_ASK, pack("{ss}", "pipeline", "clicks"), &run, &no), 0);
    assert_string_equal(run.pipeline, "clicks");
    assert_null(run.pipeline_definition);
    bytes_t in = pack("{s{s[{sssss{si}}{ssssst}]ss}}", "pipeline", "transforms", "name", "A", "urn", "u:a", "payload", "k", 1LL, "name",
                      "B", "urn", "u:b", "bounded", "name", "orders");
    assert_int_equal(decode(MSG_PIPELINE_RUN_ASK, in, &run, &no), 0);
    assert_string_equal(run.pipeline, "orders");
    assert_non_null(run.pipeline_definition);
    assert_string_equal(run.pipeline_definition->name, "orders");
    assert_int_equal(run.pipeline_definition->transforms.count, 2);
    const msg_transform_t *items = run.pipeline_definition->transforms.items;
    assert_memory_equal(items[0].payload.data, "\x81\xa1k\x01", 4);
    assert_false(items[0].has_bounded);
    assert_true(items[1].bounded);
    assert_string_equal(items[1].urn, "u:b");
}

static void fields_that_are_not_known_are_ignored_whatever_they_hold(void **state) {
    (void)state;
    msg_job_wait_t wait;
    refusal_t no;
    bytes_t in =
        pack("{s{s[n]}i[[]]nt[sd]bsisssisb}", "later", "a", 5LL, "x", 1.5, "raw", "timeout_ms", 10LL, "job", "j", "x", 1LL, "x", "b");
    assert_int_equal(decode(MSG_JOB_WAIT, in, &wait, &no), 0);
    assert_string_equal(wait.job, "j");
    assert_int_equal(wait.timeout_ms, 10);
}

static void a_wrong_type_is_named_with_what_was_given(void **state) {
    (void)state;
    refused(MSG_JOB_CANCEL, pack("{si}", "job", 5LL), "`job.cancel`: `job` must be text, not a number", "job");
    refused(MSG_JOB_CANCEL, pack("{sb}", "job", "x"), "`job.cancel`: `job` must be text, not bytes", "job");
    refused(MSG_JOB_CANCEL, pack("{st}", "job"), "`job.cancel`: `job` must be text, not true", "job");
    refused(MSG_JOB_CANCEL, pack("{s[]}", "pipeline"), "`job.cancel`: `pipeline` must be text or a map, not a list", "pipeline");
    refused(MSG_JOB_CANCEL, pack("[]"), "`job.cancel` must be a map, not a list", "");
    refused(MSG_PIPELINE_RUN_ASK, pack("{sss{ss}}", "pipeline", "p", "limits", "count", "5"),
            "`pipeline.run`: `limits.count` must be a whole number, not text", "limits.count");
    refused(MSG_PIPELINE_RUN_ASK, pack("{sss[]}", "pipeline", "p", "limits"), "`pipeline.run`: `limits` must be a map, not a list",
            "limits");
    refused(MSG_PIPELINE_RUN_ASK, pack("{s{sss{}}}", "pipeline", "name", "p", "transforms"),
            "`pipeline.run`: `pipeline.transforms` must be a list, not a map", "pipeline.transforms");
    refused(MSG_PIPELINE_RUN_ASK, pack("{s{sss[si]}}", "pipeline", "name", "p", "transforms", "x", 1LL),
            "`pipeline.run`: `pipeline.transforms[0]` must be a map, not text", "pipeline.transforms[0]");
    refused(MSG_JOB_WAIT, pack("{sd}", "timeout_ms", 1.5), "`job.wait`: `timeout_ms` must be a whole number, not the float 1.5",
            "timeout_ms");
    refused(MSG_SOURCE_CHANGED, pack("{sssi}", "pipeline", "p", "update", 1LL),
            "`source.changed`: `update` must be true or false, not a number", "update");
    refused(MSG_REPLAY_OPEN, pack("{siss}", "credit", 1LL, "rate", "2"), "`replay.open`: `rate` must be a number, not text", "rate");
    refused(MSG_REPLAY_OPEN, pack("{siss}", "credit", 1LL, "tags", "a"), "`replay.open`: `tags` must be a list of text, not text", "tags");
    refused(MSG_REPLAY_OPEN, pack("{sis[si]}", "credit", 1LL, "tags", "a", 1LL), "`replay.open`: `tags[1]` must be text, not a number",
            "tags[1]");
}

static void a_number_out_of_range_is_named_with_its_value(void **state) {
    (void)state;
    refused(MSG_JOB_WAIT, pack("{si}", "timeout_ms", -1LL), "`job.wait`: `timeout_ms` must be a whole number, 0 or more, not -1",
            "timeout_ms");
    refused(MSG_JOB_WAIT, pack("{su}", "timeout_ms", 1ULL << 63),
            "`job.wait`: `timeout_ms` must be a whole number within int64, not 9223372036854775808", "timeout_ms");
    refused(MSG_SOURCE_BATCH, pack("{sssi}", "tag", "t", "seq", 0LL), "`source.batch`: `seq` must be a whole number, 1 or more, not 0",
            "seq");
    refused(MSG_OPTIONS_SET, pack("{si}", "recording_count_limit", -1LL),
            "`options.set`: `recording_count_limit` must be a whole number, 1 or more, or nil, not -1", "recording_count_limit");
    refused(MSG_REPLAY_RATE, pack("{sisd}", "replay", 1LL, "rate", -0.5), "`replay.rate`: `rate` must be a number, 0 or more, not -0.5",
            "rate");
    refused(MSG_REPLAY_RATE, pack("{sisi}", "replay", 1LL, "rate", -2LL), "`replay.rate`: `rate` must be a number, 0 or more, not -2",
            "rate");
    refused(MSG_REPLAY_RATE, BYTES("\x82\xa6replay\x01\xa4rate\xcb\x7f\xf0\0\0\0\0\0\0"),
            "`replay.rate`: `rate` must be a number, 0 or more, not inf", "rate");
    msg_replay_rate_t rate;
    refusal_t no;
    assert_int_equal(decode(MSG_REPLAY_RATE, pack("{sisi}", "replay", 1LL, "rate", 2LL), &rate, &no), 0);
    assert_true(rate.rate > 1.99 && rate.rate < 2.01);
}

static void a_missing_field_is_named_by_its_path(void **state) {
    (void)state;
    refused(MSG_PIPELINE_RUN_ASK, pack("{}"), "`pipeline.run`: `pipeline` is missing", "pipeline");
    refused(MSG_PIPELINE_RUN_ASK,
            pack("{s{sss[{ssss}{ssss}{ss}]}}", "pipeline", "name", "p", "transforms", "name", "a", "urn", "u", "name", "b", "urn", "u",
                 "name", "c"),
            "`pipeline.run`: `pipeline.transforms[2].urn` is missing", "pipeline.transforms[2].urn");
    refused(MSG_PIPELINE_RUN_ASK, pack("{s{s[]}}", "pipeline", "transforms"), "`pipeline.run`: `pipeline.name` is missing",
            "pipeline.name");
}

static void a_key_given_twice_is_refused(void **state) {
    (void)state;
    refused(MSG_JOB_CANCEL, pack("{ssss}", "job", "a", "job", "b"), "`job.cancel`: `job` is given twice", "job");
    refused(MSG_JOB_CANCEL, pack("{snss}", "job", "job", "b"), "`job.cancel`: `job` is given twice", "job");
    refused(MSG_JOB_CANCEL, pack("{ssssss}", "op", "job.cancel", "job", "a", "op", "x"), "`job.cancel`: `op` is given twice", "op");
    refused(MSG_JOB_CANCEL, pack("{sisisi}", "x", 1LL, "id", 1LL, "id", 1LL), "`job.cancel`: `id` is given twice", "id");
    refused(MSG_PIPELINE_RUN_ASK, pack("{sss{sisi}}", "pipeline", "p", "limits", "count", 1LL, "count", 1LL),
            "`pipeline.run`: `limits.count` is given twice", "limits.count");
    /* A record of its own may have an `id` that nobody knows, even twice. */
    msg_pipeline_run_t run;
    refusal_t no;
    assert_int_equal(decode(MSG_PIPELINE_RUN_ASK, pack("{sss{sisi}}", "pipeline", "p", "limits", "id", 1LL, "id", 1LL), &run, &no), 0);
}

static void a_name_that_is_none_is_refused(void **state) {
    (void)state;
    char longest[258];
    memset(longest, 'n', sizeof longest);
    longest[256] = '\0';
    refused(MSG_JOB_CANCEL, pack("{ss}", "job", longest), "`job.cancel`: `job` must be text of 1 to 255 bytes, not of 256", "job");
    refused(MSG_JOB_CANCEL, pack("{ss}", "job", ""), "`job.cancel`: `job` must be text of 1 to 255 bytes, not empty", "job");
    refused(MSG_JOB_CANCEL, pack("{ss}", "pipeline", "a\tb"), "`job.cancel`: `pipeline` has a control character in it", "pipeline");
    refused(MSG_JOB_CANCEL, pack("{ss}", "job", "\xff"), "`job.cancel`: `job` is not valid UTF-8", "job");
    refused(MSG_JOB_CANCEL,
            BYTES("\x81\xa3job\xa3"
                  "a\0b"),
            "`job.cancel`: `job` has a NUL in it", "job");
    refused(MSG_REPLAY_OPEN, pack("{sis[ss]}", "credit", 1LL, "tags", "a", ""),
            "`replay.open`: `tags[1]` must be text of 1 to 255 bytes, not empty", "tags[1]");
    longest[255] = '\0';
    msg_job_cancel_t cancel;
    refusal_t no;
    assert_int_equal(decode(MSG_JOB_CANCEL, pack("{ss}", "job", longest), &cancel, &no), 0);
    assert_string_equal(cancel.job, longest);
}

/* What is taken must still be read when the engine has wrapped it in its own maps, on the disk for example. */
static void a_value_of_a_client_is_less_deep_than_a_message(void **state) {
    (void)state;
    uint8_t deep[WIRE_DEPTH_MAX];
    memset(deep, 0x91, sizeof deep);
    deep[WIRE_VALUE_DEPTH_MAX] = 0x01;
    bytes_t taken = {deep, WIRE_VALUE_DEPTH_MAX + 1};
    msg_source_batch_t batch;
    refusal_t no;
    assert_int_equal(decode(MSG_SOURCE_BATCH, pack("{sssisr}", "tag", "t", "seq", 1LL, "cursor", &taken), &batch, &no), 0);
    deep[WIRE_VALUE_DEPTH_MAX] = 0x80;
    refused(MSG_SOURCE_BATCH, pack("{sssisr}", "tag", "t", "seq", 1LL, "cursor", &taken),
            "`source.batch`: `cursor` is nested deeper than 32", "cursor");
    msg_source_args_t args;
    assert_int_equal(decode(MSG_SOURCE_ARGS, pack("{sssssr}", "job", "j", "tag", "t", "payload", &taken), &args, &no), 0);
}

static void a_record_alone_is_refused_in_its_own_name(void **state) {
    (void)state;
    msg_pipeline_t pipeline;
    refusal_t no;
    bytes_t in = pack("{sss[{}]}", "name", "p", "transforms");
    assert_int_equal(record_decode(RECORD_CLASS(pipeline), "clicks.json", in, &zone, &pipeline, &no), -1);
    assert_string_equal(no.message, "`clicks.json`: `transforms[0].name` is missing");
    assert_int_equal(
        record_decode(RECORD_CLASS(pipeline), "clicks.json", pack("{sss[]}", "name", "p", "transforms"), &zone, &pipeline, &no), 0);
    assert_string_equal(pipeline.name, "p");
}

static void round_trip(generator_t *g, message_id_t id) {
    const record_class_t *record = record_class_of(id);
    room_t made, read;
    refusal_t no = {0};
    msgpack_sbuffer first, second;
    assert_true(record->size <= sizeof made);
    generate_record(g, record, made.bytes);
    msgpack_sbuffer_init(&first);
    message_encode(id, &made, generate_below(g, 2) == 0, generate_below(g, 2) == 0 ? BYTES("\x07") : BYTES(""), &first);
    bytes_t in = bytes_tight((bytes_t){(const uint8_t *)first.data, first.size}, first.size);
    if (decode(id, in, &read, &no) < 0) {
        fail_msg("%s with seed %llu: %s", message_class(id)->id, (unsigned long long)g->seed, no.message);
    }
    if (!record_same(record, made.bytes, read.bytes)) {
        fail_msg("%s with seed %llu came back different", message_class(id)->id, (unsigned long long)g->seed);
    }
    uint8_t *copy = record_copy(record, &read);
    memset((void *)in.data, 0xc1, in.size);
    msgpack_zone_clear(&zone);
    assert_true(record_same(record, made.bytes, copy));
    msgpack_sbuffer_init(&second);
    record_encode(record, copy, &second);
    assert_int_equal(wire_walk((bytes_t){(const uint8_t *)second.data, second.size}, &no), 0);
    record_free(record, (void **)&copy);
    assert_null(copy);
    free((void *)in.data);
    msgpack_sbuffer_destroy(&first);
    msgpack_sbuffer_destroy(&second);
    msgpack_zone_clear(&g->zone);
}

static void every_message_comes_back_as_it_was(void **state) {
    (void)state;
    generator_t g = {.seed = UINT64_C(88172645463325252)};
    assert_true(msgpack_zone_init(&g.zone, 8192));
    for (int round = 0; round < 60; round++) {
        g.full = round % 3 == 0;
        for (int id = MSG_NONE + 1; id < MESSAGE_COUNT; id++) {
            round_trip(&g, (message_id_t)id);
        }
    }
    msgpack_zone_destroy(&g.zone);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fields_of_a_message_are_read),
        cmocka_unit_test(absent_and_nil_fields_are_zero_and_not_there),
        cmocka_unit_test(a_limit_of_nil_is_there_and_is_none),
        cmocka_unit_test(a_pipeline_is_given_by_name_or_by_definition),
        cmocka_unit_test(fields_that_are_not_known_are_ignored_whatever_they_hold),
        cmocka_unit_test(a_wrong_type_is_named_with_what_was_given),
        cmocka_unit_test(a_number_out_of_range_is_named_with_its_value),
        cmocka_unit_test(a_missing_field_is_named_by_its_path),
        cmocka_unit_test(a_key_given_twice_is_refused),
        cmocka_unit_test(a_name_that_is_none_is_refused),
        cmocka_unit_test(a_value_of_a_client_is_less_deep_than_a_message),
        cmocka_unit_test(a_record_alone_is_refused_in_its_own_name),
        cmocka_unit_test(every_message_comes_back_as_it_was),
    };
    return cmocka_run_group_tests(tests, zone_make, zone_end);
}
