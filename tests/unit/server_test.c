/* Many replays of one recording, and a recording that grows and goes. */
#include "served.h"

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

static void a_recorder_that_has_recovered_is_asked_at_once(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    read_all(f, ANN);
    taped_elements(&f->taped, 1, 0, 1); /* nobody tells of it */
    stage_tell(f->stage, "recorder", SERVER, MSG_RECORDER_RECOVERED, &(msg_recorder_recovered_t){0});
    stage_run(f->stage);
    serve_place(f);
    assert_string_equal(read_all(f, ANN), "1: b 1@1\n");
}

static void a_recorder_that_has_recovered_is_asked_about_ended_recordings_too(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    taped_elements(&f->taped, 1, 0, 1);
    taped_ended(&f->taped, 0);
    msg_replay_open_t ask = by_recording(1);
    open_replay(f, ANN, &ask);
    assert_string_equal(read_all(f, ANN), "ok\n1: b 1@0\n");
    stage_tell(f->stage, "recorder", SERVER, MSG_RECORDER_RECOVERED, &(msg_recorder_recovered_t){0});
    stage_run(f->stage);
    stage_refuse(f->stage, stage_take(f->stage, "recorder", MSG_RECORDING_LOCATE), ERROR_NOT_FOUND, "no recording `r1`");
    stage_run(f->stage);
    assert_string_equal(read_all(f, ANN), "1: end invalidated 1\n");
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

/* How many maps this process has of files of the recording. */
static int maps_of(const fixture_t *f) {
    char line[1024];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) count += strstr(line, f->taped.folder) ? 1 : 0;
    fclose(maps);
    return count;
}

static void replay_all(fixture_t *f) {
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    assert_non_null(strstr(read_all(f, ANN), "end end 1"));
}

static void a_recording_stays_mapped_for_the_next_replay_but_not_for_long(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    taped_ended(&f->taped, 0);
    replay_all(f);
    assert_int_equal(maps_of(f), 1);
    stage_advance(f->stage, 40000000);
    replay_all(f);
    stage_advance(f->stage, 40000000);
    assert_int_equal(maps_of(f), 1);
    stage_advance(f->stage, 20000000);
    assert_int_equal(maps_of(f), 0);
}

static void a_dropped_recording_does_not_stay_mapped(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    taped_ended(&f->taped, 0);
    replay_all(f);
    stage_tell(f->stage, "recorder", SERVER, MSG_RECORDING_DROPPED, &(msg_recording_dropped_t){.recording = "r1"});
    stage_run(f->stage);
    assert_int_equal(maps_of(f), 0);
}

static void a_recording_whose_files_changed_meanwhile_is_mapped_anew(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 1, 0, 1);
    taped_ended(&f->taped, 0);
    replay_all(f);
    char path[256], aside[256];
    snprintf(path, sizeof path, "%s/000000000000.seg", f->taped.folder);
    snprintf(aside, sizeof aside, "%s/aside", f->taped.folder);
    FILE *file = fopen(aside, "w");
    assert_non_null(file);
    for (int64_t i = 0; i < (int64_t)journal_totals(f->taped.journal)->length; i++) fputc('?', file);
    fclose(file);
    assert_int_equal(rename(aside, path), 0);
    msg_replay_open_t ask = by_recording(PLENTY);
    open_replay(f, ANN, &ask);
    const stage_message_t *end = stage_peer_take_of(f->stage, ANN, MSG_END);
    assert_non_null(end);
    assert_string_equal(((const msg_end_t *)end->message)->reason, "corrupt");
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

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_slow_client_holds_up_nobody),
        TEST(a_client_that_is_gone_is_forgotten),
        TEST(what_is_appended_is_sent_at_once),
        TEST(a_recording_that_has_not_begun_is_asked_about_when_it_has),
        TEST(a_recorder_that_was_restarted_is_asked_again),
        TEST(a_recorder_that_has_recovered_is_asked_at_once),
        TEST(a_recorder_that_has_recovered_is_asked_about_ended_recordings_too),
        TEST(a_recording_that_the_recorder_does_not_know_any_more_is_invalid),
        TEST(a_dropped_recording_ends_its_replays),
        TEST(a_recording_stays_mapped_for_the_next_replay_but_not_for_long),
        TEST(a_dropped_recording_does_not_stay_mapped),
        TEST(a_recording_whose_files_changed_meanwhile_is_mapped_anew),
        TEST(a_damaged_recording_ends_with_the_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
