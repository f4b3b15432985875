/* What is found in the folder when the recorder starts. */
#include "studio.h"

static void segment_of(const studio_t *studio, const char *recording, char *ret_path) {
    char folder[600];
    folder_recording_path(studio->data, recording, folder, sizeof folder);
    segment_path(folder, 0, ret_path);
}

static void open_with_records(studio_t *studio) {
    studio_open(studio, DURABILITY_ASYNC);
    studio_create(studio, "1", "p");
    studio_budget(studio, "j1", LIMIT_NONE);
    source_attach(studio, "s", "j1", "a", "w");
    for (int64_t seq = 1; seq <= 5; seq++) source_batch(studio, "s", "a", seq, 3);
}

static void a_torn_tail_is_cut_off_and_said(void **state) {
    studio_t studio;
    char path[SEGMENT_PATH_SIZE];
    struct stat status;
    (void)state;
    open_with_records(&studio);
    stage_destroy(&studio.stage);
    segment_of(&studio, "r1", path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(truncate(path, status.st_size - 7), 0);
    studio_start(&studio, START + 3000000);
    const msg_recording_t *description = studio_describe(&studio, "r1");
    assert_int_equal(description->elements, 12);
    assert_int_equal(description->gaps.count, 1);
    assert_non_null(strstr(description->gaps.items[0].what, "restarted"));
    assert_non_null(strstr(description->gaps.items[0].what, "bytes at its end"));
    studio_close(&studio);
}

static void damage_fails_the_job_and_the_recording_stays_readable(void **state) {
    studio_t studio;
    char path[SEGMENT_PATH_SIZE];
    (void)state;
    open_with_records(&studio);
    int64_t size = studio_job(&studio, "r1")->bytes;
    stage_destroy(&studio.stage);
    segment_of(&studio, "r1", path);
    file_flip(path, (size_t)size / 2, 3);
    for (int i = 0; i < 2; i++) {
        studio_start(&studio, START + 3000000);
        const msg_recording_job_t *job = studio_job(&studio, "r1");
        assert_string_equal(job->state, "FAILED");
        assert_non_null(strstr(job->error, "000000000000.seg"));
        assert_int_equal(job->bytes, size);
        if (i == 0)
            assert_string_equal(((const msg_source_failed_t *)studio_take(&studio, "job_supervisor", MSG_SOURCE_FAILED))->job, "j1");
        msg_recording_locate_t locate = {.has_recording = true, .recording = "r1"};
        const msg_recording_place_t *place = stage_get(studio.stage, "recorder", MSG_RECORDING_LOCATE, &locate);
        assert_false(place->growing);
        assert_int_equal(place->length, size);
        stage_destroy(&studio.stage);
    }
    studio_start(&studio, START + 4000000);
    studio_close(&studio);
}

static void a_manifest_that_cannot_be_read_hides_nothing_else(void **state) {
    studio_t studio;
    char folder[600], path[700];
    (void)state;
    open_with_records(&studio);
    studio_create(&studio, "2", "p");
    stage_destroy(&studio.stage);
    folder_recording_path(studio.data, "r1", folder, sizeof folder);
    snprintf(path, sizeof path, "%s/" MANIFEST_FILE, folder);
    file_flip(path, 20, 1);
    studio_start(&studio, START + 3000000);
    assert_string_equal(studio_job(&studio, "r1")->state, "FAILED");
    assert_non_null(strstr(studio_job(&studio, "r1")->error, MANIFEST_FILE));
    assert_string_equal(studio_job(&studio, "r2")->state, "STARTING");
    studio_close(&studio);
}

static void recordings_are_listed_oldest_first(void **state) {
    static const char *const names[] = {"9", "5", "7"};
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    for (size_t i = 0; i < 3; i++) {
        studio_create(&studio, names[i], "p");
        stage_advance(studio.stage, 1000);
    }
    studio_restart(&studio, START + 3000000);
    const msg_recordings_t *all = stage_get(studio.stage, "recorder", MSG_RECORDING_LIST, &(msg_recording_list_t){0});
    assert_int_equal(all->recordings.count, 3);
    for (size_t i = 0; i < 3; i++) assert_string_equal(all->recordings.items[i].recording + 1, names[i]);
    msg_recording_describe_t newest = {.has_pipeline = true, .pipeline = "p"};
    assert_string_equal(((const msg_recording_t *)stage_get(studio.stage, "recorder", MSG_RECORDING_DESCRIBE, &newest))->recording, "r7");
    studio_close(&studio);
}

/* Of one that goes on after the clock was set back nobody knows how long it was away. */
static void a_restart_is_a_gap_of_all_streams_once_even_if_the_clock_went_back(void **state) {
    studio_t studio;
    (void)state;
    open_with_records(&studio);
    for (int i = 1; i <= 3; i++) {
        studio_restart(&studio, START + (i == 2 ? -50000000 : i * 3000000));
        for (int failures = 0; failures < 2; failures++) {
            const msg_recording_t *description = studio_describe(&studio, "r1");
            assert_int_equal(description->gaps.count, i);
            const msg_gap_t *gap = &description->gaps.items[i - 1];
            assert_string_equal(gap->what, "the engine was restarted");
            assert_false(gap->has_tag);
            assert_int_equal(gap->has_lost_us ? gap->lost_us : -1, i == 2 ? -1 : i == 1 ? 3000000 : 6000000);
            stage_advance(studio.stage, 1000);
            stage_fail(studio.stage, "recorder");
            studio_load(&studio);
        }
    }
    studio_close(&studio);
}

static void a_recording_that_had_not_begun_has_no_gap(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    studio_restart(&studio, START + 3000000);
    studio_budget(&studio, "j1", LIMIT_NONE);
    stage_fail(studio.stage, "recorder");
    studio_load(&studio);
    assert_int_equal(studio_describe(&studio, "r1")->gaps.count, 0);
    studio_close(&studio);
}

/* The bytes of what is there already count towards the limit of all. */
static void bytes_of_all_recordings_are_counted_after_a_restart(void **state) {
    studio_t studio;
    (void)state;
    open_with_records(&studio);
    source_batch(&studio, "s", "a", 6, 2000);
    studio_finish(&studio, "r1", "CANCELLED", "user");
    int64_t size = studio_job(&studio, "r1")->bytes;
    studio_restart(&studio, START + 3000000);
    studio_create(&studio, "2", "p");
    msg_budget_set_t budget = {.job = "j2", .start = START, .has_total_bytes = true, .total_bytes = size + 20000};
    stage_get(studio.stage, "recorder", MSG_BUDGET_SET, &budget);
    source_attach(&studio, "s", "j2", "a", "w");
    for (int64_t seq = 1; seq <= 100; seq++) source_batch(&studio, "s", "a", seq, 10);
    assert_string_equal(((const msg_budget_spent_t *)studio_take(&studio, "limiter", MSG_BUDGET_SPENT))->limit, "bytes");
    assert_in_range(studio_job(&studio, "r2")->bytes, 15000, 20000);
    studio_close(&studio);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_torn_tail_is_cut_off_and_said),
        cmocka_unit_test(damage_fails_the_job_and_the_recording_stays_readable),
        cmocka_unit_test(a_manifest_that_cannot_be_read_hides_nothing_else),
        cmocka_unit_test(recordings_are_listed_oldest_first),
        cmocka_unit_test(a_restart_is_a_gap_of_all_streams_once_even_if_the_clock_went_back),
        cmocka_unit_test(a_recording_that_had_not_begun_has_no_gap),
        cmocka_unit_test(bytes_of_all_recordings_are_counted_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
