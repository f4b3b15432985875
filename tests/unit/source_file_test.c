/* A file as a stream: its lines, their times, and that no restart loses one or gives it twice. */
#include "actors/sources/notify.h"

#include <sys/resource.h>

#include "filed.h"

static void lines_are_recorded_as_they_come(void **state) {
    append("one\ntwo\n\nth");
    start_plain(*state);
    assert_recorded(LINES("one", "two", ""));
    append("ree\nfour\n");
    stage_run(*state);
    assert_recorded(LINES("one", "two", "", "three", "four"));
    assert_int_equal(ingest.dones, 0);
}

static void an_element_that_arrives_has_the_time_of_its_arrival(void **state) {
    append("one\n");
    start_plain(*state);
    int64_t first = stage_now(*state);
    stage_advance(*state, 5000000);
    append("two\n");
    stage_run(*state);
    assert_int_equal(ingest.elements[0].time, first);
    assert_int_equal(ingest.elements[1].time, first + 5000000);
    assert_true(ingest.has_watermark);
    assert_int_equal(ingest.watermark, first + 5000000);
}

static void arrival_never_goes_back(void **state) {
    append("one\n");
    start_plain(*state);
    int64_t first = stage_now(*state);
    stage_set_now(*state, first - 3600000000);
    append("two\n");
    stage_run(*state);
    assert_int_equal(ingest.elements[1].time, first);
}

static void a_file_that_is_not_followed_ends(void **state) {
    append("one\ntwo");
    start(*state, pack("{sssf}", "path", log_path, "follow"));
    assert_recorded(LINES("one", "two"));
    assert_int_equal(ingest.dones, 1);
    append("three\n");
    stage_run(*state);
    assert_int_equal(ingest.count, 2);
}

static void from_the_end_only_later_lines_are_recorded(void **state) {
    append("old\nolder\n");
    start(*state, pack("{ssss}", "path", log_path, "from", "end"));
    assert_int_equal(ingest.count, 0);
    append("new\n");
    stage_run(*state);
    assert_recorded(LINES("new"));
}

static void from_the_end_is_where_the_end_was_even_if_the_recorder_loses_it(void **state) {
    append("old\n");
    start(*state, pack("{ssss}", "path", log_path, "from", "end"));
    append("one\n");
    ingest.source = 0;
    stage_run(*state);
    assert_int_equal(ingest.attaches, 2);
    assert_recorded(LINES("one"));
}

static void rotation_loses_nothing(void **state) {
    append("one\n");
    start_plain(*state);
    append("two\n");
    assert_int_equal(rename(log_path, old_path), 0);
    append("three\n");
    stage_run(*state);
    assert_recorded(LINES("one", "two", "three"));
    assert_int_equal(ingest.gaps, 0);
}

static void a_restart_goes_on_where_the_recording_ends(void **state) {
    stage_t *stage = *state;
    append("one\ntwo\n");
    start_plain(stage);
    stage_fail(stage, "source:1");
    append("three\n");
    stage_advance(stage, 1000000);
    assert_int_equal(ingest.attaches, 2);
    assert_recorded(LINES("one", "two", "three"));
}

static void a_restart_after_a_rotation_reads_the_rest_of_the_renamed_file(void **state) {
    stage_t *stage = *state;
    append("one\n");
    start_plain(stage);
    ingest.deaf = true;
    append("two\n");
    stage_run(stage);
    assert_int_equal(rename(log_path, old_path), 0);
    append("three\n");
    stage_fail(stage, "source:1");
    ingest.deaf = false;
    stage_advance(stage, 1000000);
    assert_recorded(LINES("one", "two", "three"));
}

/* Rotated away and deleted while the engine was down: what was written after the last line is nowhere. */
static void a_restart_after_which_the_file_is_gone_says_so_and_reads_the_new_one(void **state) {
    stage_t *stage = *state;
    append("one\n");
    start_plain(stage);
    assert_int_equal(rename(log_path, old_path), 0);
    append("two\n");
    stage_fail(stage, "source:1");
    assert_int_equal(unlink(old_path), 0);
    stage_advance(stage, 1000000);
    assert_recorded(LINES("one", "two"));
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(ingest.gap_at, 1);
    assert_int_equal(ingest.gap_lost_us, -1);
    assert_non_null(strstr(ingest.gap, "is gone: it had been read to byte 4; what came after that byte may be lost"));
    stage_fail(stage, "source:1");
    append("three\n");
    stage_advance(stage, 1000000);
    assert_recorded(LINES("one", "two", "three"));
    assert_int_equal(ingest.gaps, 1);
}

static void a_file_that_is_empty_after_it_was_cut_has_a_gap_all_the_same(void **state) {
    stage_t *stage = *state;
    append("one\ntwo\n");
    start_plain(stage);
    stage_fail(stage, "source:1");
    assert_int_equal(truncate(log_path, 0), 0);
    stage_advance(stage, 1000000);
    assert_int_equal(ingest.gaps, 1);
    assert_non_null(strstr(ingest.gap, "was truncated or replaced: it had been read to byte 8 and has 0 bytes now"));
    stage_fail(stage, "source:1"); /* it is in the recording, and so is the place behind it */
    stage_advance(stage, 1000000);
    append("three\n");
    stage_run(stage);
    assert_int_equal(ingest.gaps, 1);
    assert_recorded(LINES("one", "two", "three"));
}

/* Whether anything was written between the last look and the cut, nobody can tell. */
static void a_file_that_is_cut_while_it_is_read_has_a_gap_behind_what_was_read(void **state) {
    append("one\n");
    start_plain(*state);
    append("two\n");
    stage_run(*state);
    assert_int_equal(truncate(log_path, 0), 0);
    append("three\n");
    stage_run(*state);
    assert_recorded(LINES("one", "two", "three"));
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(ingest.gap_at, 2);
}

static void modified_at(const char *path, int64_t second) {
    const struct timespec times[2] = {{.tv_sec = second}, {.tv_sec = second}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void a_restart_after_two_rotations_has_a_gap_between_the_file_it_stood_in_and_the_last(void **state) {
    stage_t *stage = *state;
    char older_path[96];
    snprintf(older_path, sizeof older_path, "%s/log.2", folder);
    append("one\n");
    start_plain(stage);
    ingest.deaf = true;
    append("two\n");
    stage_run(stage);
    assert_int_equal(rename(log_path, older_path), 0);
    append("three\n");
    assert_int_equal(rename(log_path, old_path), 0);
    append("four\n");
    modified_at(older_path, 1000);
    modified_at(old_path, 2000);
    stage_fail(stage, "source:1");
    ingest.deaf = false;
    stage_advance(stage, 1000000);
    assert_recorded(LINES("one", "two", "four"));
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(ingest.gap_at, 2);
    assert_non_null(strstr(ingest.gap, "what is in log.1 and 0 more files beside it may be lost"));
    assert_int_equal(unlink(older_path), 0);
}

static void a_gap_that_the_recorder_lost_is_said_again(void **state) {
    stage_t *stage = *state;
    append("one\n");
    start_plain(stage);
    ingest.deaf = true;
    assert_int_equal(truncate(log_path, 0), 0);
    append("two, which is longer\n");
    stage_run(stage);
    assert_int_equal(ingest.gaps, 0);
    ingest.deaf = false;
    stage_advance(stage, 11000000);
    assert_int_equal(ingest.attaches, 2);
    assert_recorded(LINES("one", "two, which is longer"));
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(ingest.gap_at, 1);
}

/* 60,000 lines through a small credit, while the recorder loses its state again and again. */
static void a_large_file_arrives_once_and_in_order_whatever_happens(void **state) {
    stage_t *stage = *state;
    enum { COUNT = 60000 };
    FILE *file = fopen(log_path, "w");
    assert_non_null(file);
    for (int i = 0; i < COUNT; i++) fprintf(file, "line %d %*s\n", i, i % 200, "");
    assert_int_equal(fclose(file), 0);
    ingest.credit = 300000;
    ingest.hold_acks = true;
    start_plain(stage);
    for (int i = 0; i < 6; i++) {
        if (i % 2 == 0)
            ingest.source = 0;
        else if (ingest.peer.size > 0)
            ingest_do(stage, ingest_ack);
        stage_fail(stage, i % 3 == 0 ? "source:1" : "recorder");
        stage_advance(stage, 6000000);
    }
    assert_in_range(ingest.count, 10000, COUNT - 1);
    ingest.hold_acks = false;
    stage_advance(stage, 20000000);
    assert_int_equal(ingest.count, COUNT);
    for (size_t i = 0; i < COUNT; i++) assert_int_equal(strtol(ingest.elements[i].text + 5, NULL, 10), i);
}

/* ---- JSON ---- */

static void json_lines_carry_their_event_time(void **state) {
    append("{\"ts\": 1500, \"v\": 1}\n\n{\"ts\": \"1970-01-01T00:00:03Z\"}\n");
    start(*state, pack("{ssssssss}", "path", log_path, "format", "json", "event_time", "/ts", "event_time_unit", "ms"));
    assert_recorded(LINES("{\"ts\": 1500, \"v\": 1}", "{\"ts\": \"1970-01-01T00:00:03Z\"}"));
    assert_int_equal(ingest.elements[0].time, 1500000);
    assert_int_equal(ingest.elements[1].time, 3000000);
    assert_false(ingest.has_watermark);
}

static void the_watermark_follows_the_newest_event_time(void **state) {
    append("{\"ts\": 5}\n{\"ts\": 3}\n");
    start(*state,
          pack("{sssssssssi}", "path", log_path, "format", "json", "event_time", "/ts", "event_time_unit", "s", "out_of_order_ms", 2000LL));
    assert_true(ingest.has_watermark);
    assert_int_equal(ingest.watermark, 3000000);
}

static void a_line_that_is_no_json_fails_the_source_and_is_named(void **state) {
    char expected[200];
    append("{\"a\": 1}\n{\"a\": \n");
    start(*state, pack("{ssss}", "path", log_path, "format", "json"));
    snprintf(expected, sizeof expected, "%s:2: this is not JSON: ", log_path);
    assert_memory_equal(ingest.failure, expected, strlen(expected));
    assert_recorded(LINES("{\"a\": 1}"));
    append("{\"a\": 3}\n");
    stage_run(*state);
    assert_int_equal(ingest.count, 1);
}

static void a_line_without_its_event_time_fails_the_source_and_is_named(void **state) {
    char expected[200];
    append("{\"a\": 1}\n");
    start(*state, pack("{ssssss}", "path", log_path, "format", "json", "event_time", "/ts"));
    snprintf(expected, sizeof expected, "%s:1: there is no `/ts`", log_path);
    assert_string_equal(ingest.failure, expected);
}

static void bad_lines_are_skipped_where_that_is_asked_for(void **state) {
    append("{\"ts\": 1}\nnonsense\n{\"t\": 2}\n{\"ts\": 3}\n");
    start(*state, pack("{ssssssss}", "path", log_path, "format", "json", "event_time", "/ts", "on_error", "skip"));
    assert_recorded(LINES("{\"ts\": 1}", "{\"ts\": 3}"));
    assert_string_equal(ingest.failure, "");
}

static void a_whole_number_beyond_int64_is_json(void **state) {
    append("{\"n\": 123456789012345678901234567890}\n");
    start(*state, pack("{ssss}", "path", log_path, "format", "json"));
    assert_string_equal(ingest.failure, "");
    assert_int_equal(ingest.count, 1);
}

static void a_long_run_of_skipped_lines_does_not_keep_messages_out(void **state) {
    FILE *file = fopen(log_path, "w");
    assert_non_null(file);
    for (int i = 0; i < 200000; i++) fputs("x\n", file);
    fputs("7\n", file);
    assert_int_equal(fclose(file), 0);
    start(*state, pack("{ssssss}", "path", log_path, "format", "json", "on_error", "skip"));
    stage_advance(*state, 1000);
    assert_recorded(LINES("7"));
}

static void a_silent_file_s_watermark_follows_the_clock_where_that_is_asked_for(void **state) {
    append("{\"ts\": 5}\n");
    start(*state, pack("{sssssssssisi}", "path", log_path, "format", "json", "event_time", "/ts", "event_time_unit", "s", "out_of_order_ms",
                       2000LL, "idle_ms", 60000LL));
    assert_int_equal(ingest.watermark, 3000000);
    stage_advance(*state, 50000000);
    assert_int_equal(ingest.watermark, 3000000);
    stage_advance(*state, 80000000);
    assert_in_range(ingest.watermark, stage_now(*state) - 2000000 - 60000000, stage_now(*state) - 2000000);
    int64_t before = ingest.watermark;
    append("{\"ts\": 6}\n");
    stage_run(*state);
    assert_int_equal(ingest.elements[1].time, 6000000);
    assert_true(ingest.watermark >= before);
    stage_fail(*state, "source:1");
    stage_advance(*state, 1000000);
    assert_int_equal(ingest.count, 2);
}

/* ---- msgpack ---- */

static void values_of_msgpack_are_recorded_as_they_come(void **state) {
    append("\x01\x93\x01\x02\x03\xa3one\x92\x01");
    start(*state, pack("{ssss}", "path", log_path, "format", "msgpack"));
    assert_recorded(LINES("\x01", "\x93\x01\x02\x03", "\xa3one"));
    append("\xa2tw");
    stage_run(*state);
    assert_recorded(LINES("\x01", "\x93\x01\x02\x03", "\xa3one", "\x92\x01\xa2tw"));
    stage_fail(*state, "source:1");
    append("\x05");
    stage_advance(*state, 1000000);
    assert_recorded(LINES("\x01", "\x93\x01\x02\x03", "\xa3one", "\x92\x01\xa2tw", "\x05"));
}

static void what_is_no_msgpack_fails_the_source_and_is_named(void **state) {
    char expected[200];
    append("\x01\xc1");
    start(*state, pack("{ssss}", "path", log_path, "format", "msgpack"));
    snprintf(expected, sizeof expected, "%s: byte 1 cannot be in msgpack: 0xc1", log_path);
    assert_string_equal(ingest.failure, expected);
}

/* ---- what is wrong from the start ---- */

static void assert_start_refused(stage_t *stage, bytes_t payload, const char *expected) {
    static int number;
    char name[32];
    snprintf(name, sizeof name, "refused:%d", ++number);
    stage_add(stage, &source_file_class, name, ingest_args(payload));
    stage_run(stage);
    assert_false(stage_is_ready(stage, name));
    if (!strstr(stage_failure(stage, name), expected)) fail_msg("\"%s\" does not say \"%s\"", stage_failure(stage, name), expected);
}

static void a_payload_that_makes_no_sense_is_refused_at_the_start(void **state) {
    append("");
    assert_start_refused(*state, (bytes_t){0}, "`path` is missing");
    assert_start_refused(*state, pack("{ssss}", "path", log_path, "format", "csv"),
                         "`format` must be `lines`, `json` or `msgpack`, not `csv`");
    assert_start_refused(*state, pack("{ssssss}", "path", log_path, "format", "msgpack", "key", "/k"),
                         "`key` is a JSON pointer, which needs");
    assert_start_refused(*state, pack("{ssssss}", "path", log_path, "format", "msgpack", "from", "end"), "`from` cannot be `end`");
    assert_start_refused(*state, pack("{sssi}", "path", log_path, "idle_ms", 1LL << 62), "`idle_ms` is too large");
    assert_start_refused(*state, pack("{ssss}", "path", log_path, "event_time", "/ts"), "needs the `format` `json`");
    assert_start_refused(*state, pack("{ssssss}", "path", log_path, "format", "json", "event_time", "ts"), "`arrival` or a JSON pointer");
    assert_start_refused(*state, pack("{ssss}", "path", log_path, "event_time_unit", "h"),
                         "`event_time_unit` must be `us`, `ms` or `s`, not `h`");
    assert_start_refused(*state, pack("{ssss}", "path", log_path, "follow", "yes"), "`follow` must be true or false, not text");
    assert_start_refused(*state, pack("{ssss}", "path", log_path, "form", "json"), "no field `form`");
}

static void a_missing_file_is_named_at_the_start(void **state) {
    char expected[200];
    snprintf(expected, sizeof expected, "cannot open %s: No such file or directory", log_path);
    assert_start_refused(*state, pack("{ss}", "path", log_path), expected);
}

static void what_is_short_is_named_where_nothing_more_can_be_watched(void **state) {
    struct rlimit limit;
    fault_t why;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){3, limit.rlim_max}), 0);
    int notify = notify_open("/some/log", &why);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(notify, -1);
    assert_non_null(
        strstr(why.text, "cannot watch /some/log: this user has as many instances of inotify as fs.inotify.max_user_instances allows"));
}

static void a_missing_folder_is_named_at_the_start(void **state) {
    assert_start_refused(*state, pack("{ss}", "path", "/nowhere/*.log"), "cannot read the folder /nowhere: No such file or directory");
    assert_start_refused(*state, pack("{ss}", "path", "/no*where/x.log"), "cannot open /no*where/x.log: No such file or directory");
    assert_start_refused(*state, pack("{ss}", "path", "/no*where/*.log"), "wildcards may stand in the last part of a path only");
    append("");
    char path[128];
    snprintf(path, sizeof path, "%s/*", log_path);
    assert_start_refused(*state, pack("{ss}", "path", path), "/log: Not a directory");
}

/* By whatever name: a folder could be one's own, with a link in it. */
static void the_engine_s_own_key_is_not_read(void **state) {
    char keys[96], key[120];
    snprintf(keys, sizeof keys, "%s/keys", folder);
    snprintf(key, sizeof key, "%s/server.key", keys);
    assert_int_equal(mkdir(keys, 0700), 0);
    append_to(key, "secret\n");
    assert_int_equal(symlink(key, log_path), 0);
    snprintf(stage_config(*state)->keys, sizeof stage_config(*state)->keys, "%s", keys);
    assert_start_refused(*state, pack("{ss}", "path", log_path), "is the engine's own key");
    assert_start_refused(*state, pack("{ss}", "path", key), "is the engine's own key");
    start(*state, pack("{ss}", "path", folder));
    assert_non_null(strstr(ingest.failure, "/log is the engine's own key"));
    assert_int_equal(ingest.count, 0);
    assert_int_equal(unlink(key), 0);
    assert_int_equal(rmdir(keys), 0);
}

static void a_cursor_of_something_else_fails_the_source(void **state) {
    memcpy(ingest.cursor, "\xa1x", 2);
    ingest.cursor_size = 2;
    append("one\n");
    start_plain(*state);
    assert_string_equal(ingest.failure, "the cursor of the recording is not one of `reprise:source:file:v1`");
    assert_int_equal(ingest.count, 0);
}

static void a_stop_ends_it(void **state) {
    append("one\n");
    start_plain(*state);
    ingest_do(*state, ingest_stop);
    append("two\n");
    stage_run(*state);
    assert_recorded(LINES("one"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(lines_are_recorded_as_they_come),
        TEST(an_element_that_arrives_has_the_time_of_its_arrival),
        TEST(arrival_never_goes_back),
        TEST(a_file_that_is_not_followed_ends),
        TEST(from_the_end_only_later_lines_are_recorded),
        TEST(from_the_end_is_where_the_end_was_even_if_the_recorder_loses_it),
        TEST(rotation_loses_nothing),
        TEST(a_restart_goes_on_where_the_recording_ends),
        TEST(a_restart_after_a_rotation_reads_the_rest_of_the_renamed_file),
        TEST(a_restart_after_which_the_file_is_gone_says_so_and_reads_the_new_one),
        TEST(a_file_that_is_empty_after_it_was_cut_has_a_gap_all_the_same),
        TEST(a_file_that_is_cut_while_it_is_read_has_a_gap_behind_what_was_read),
        TEST(a_restart_after_two_rotations_has_a_gap_between_the_file_it_stood_in_and_the_last),
        TEST(a_gap_that_the_recorder_lost_is_said_again),
        TEST(a_large_file_arrives_once_and_in_order_whatever_happens),
        TEST(json_lines_carry_their_event_time),
        TEST(the_watermark_follows_the_newest_event_time),
        TEST(a_line_that_is_no_json_fails_the_source_and_is_named),
        TEST(a_line_without_its_event_time_fails_the_source_and_is_named),
        TEST(bad_lines_are_skipped_where_that_is_asked_for),
        TEST(a_whole_number_beyond_int64_is_json),
        TEST(a_long_run_of_skipped_lines_does_not_keep_messages_out),
        TEST(a_payload_that_makes_no_sense_is_refused_at_the_start),
        TEST(a_missing_file_is_named_at_the_start),
        TEST(a_cursor_of_something_else_fails_the_source),
        TEST(a_silent_file_s_watermark_follows_the_clock_where_that_is_asked_for),
        TEST(values_of_msgpack_are_recorded_as_they_come),
        TEST(what_is_no_msgpack_fails_the_source_and_is_named),
        TEST(a_missing_folder_is_named_at_the_start),
        TEST(what_is_short_is_named_where_nothing_more_can_be_watched),
        TEST(the_engine_s_own_key_is_not_read),
        TEST(a_stop_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
