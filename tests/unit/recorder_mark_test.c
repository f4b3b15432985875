/* Recordings that a change of sources has made invalid, and the room that all of them take. */
#include "studio.h"

static void mark(studio_t *studio, const char *recording, bool invalid) {
    stage_get(studio->stage, "recorder", MSG_RECORDING_MARK, &(msg_recording_mark_t){.recording = recording, .invalid = invalid});
}

/* Recordings r1 and r2 of pipeline `p`, both ended. */
static void open_with_two(studio_t *studio) {
    studio_open(studio, DURABILITY_ASYNC);
    for (int i = 1; i <= 2; i++) {
        char name[2] = {(char)('0' + i), 0}, recording[3] = {'r', name[0], 0};
        studio_create(studio, name, "p");
        studio_finish(studio, recording, "CANCELLED", "count");
        studio_sync(studio);
        stage_advance(studio->stage, 1000);
    }
}

static const char *newest(studio_t *studio) {
    msg_recording_locate_t locate = {.has_pipeline = true, .pipeline = "p"};
    msg_recording_describe_t describe = {.has_pipeline = true, .pipeline = "p"};
    const msg_recording_place_t *place = stage_get(studio->stage, "recorder", MSG_RECORDING_LOCATE, &locate);
    const msg_recording_t *described = stage_get(studio->stage, "recorder", MSG_RECORDING_DESCRIBE, &describe);
    assert_string_equal(place->recording, described->recording);
    return place->recording;
}

static void the_recording_of_a_pipeline_is_the_newest_that_is_valid(void **state) {
    studio_t studio;
    (void)state;
    open_with_two(&studio);
    assert_string_equal(newest(&studio), "r2");
    mark(&studio, "r2", true);
    assert_string_equal(newest(&studio), "r1");
    mark(&studio, "r1", true);
    msg_recording_locate_t locate = {.has_pipeline = true, .pipeline = "p"};
    msg_recording_describe_t describe = {.has_pipeline = true, .pipeline = "p"};
    const refusal_t *no = stage_get_refusal(studio.stage, "recorder", MSG_RECORDING_LOCATE, &locate);
    assert_int_equal(no->code, ERROR_NOT_FOUND);
    assert_string_equal(no->message, "the sources of pipeline `p` have changed; its recordings are invalid");
    no = stage_get_refusal(studio.stage, "recorder", MSG_RECORDING_DESCRIBE, &describe);
    assert_non_null(strstr(no->message, "invalid"));
    locate = (msg_recording_locate_t){.has_recording = true, .recording = "r2"};
    assert_string_equal(((const msg_recording_place_t *)stage_get(studio.stage, "recorder", MSG_RECORDING_LOCATE, &locate))->recording,
                        "r2");
    mark(&studio, "r1", false);
    assert_string_equal(newest(&studio), "r1");
    studio_close(&studio);
}

static void a_recording_that_somebody_keeps_meanwhile_is_spared_by_who_spares(void **state) {
    studio_t studio;
    (void)state;
    open_with_two(&studio);
    stage_get(studio.stage, "recorder", MSG_RECORDING_KEEP, &(msg_recording_keep_t){.recording = "r1", .kept = true});
    msg_recording_drop_t drop = {.recording = "r1", .has_spares = true, .spares = true};
    assert_int_equal(stage_get_refusal(studio.stage, "recorder", MSG_RECORDING_DROP, &drop)->code, ERROR_CONFLICT);
    assert_true(studio_describe(&studio, "r1")->kept);
    drop.recording = "r2";
    stage_get(studio.stage, "recorder", MSG_RECORDING_DROP, &drop);
    stage_get(studio.stage, "recorder", MSG_RECORDING_DROP, &(msg_recording_drop_t){.recording = "r1"});
    const msg_recordings_t *all = stage_get(studio.stage, "recorder", MSG_RECORDING_LIST, &(msg_recording_list_t){0});
    assert_int_equal(all->recordings.count, 0);
    studio_close(&studio);
}

static void a_mark_outlives_the_process_until_it_is_taken_back(void **state) {
    studio_t studio;
    (void)state;
    open_with_two(&studio);
    int64_t when = stage_now(studio.stage);
    assert_false(studio_describe(&studio, "r1")->has_invalidated);
    mark(&studio, "r1", true);
    studio_restart(&studio, START + 3000000);
    const msg_recording_t *described = studio_describe(&studio, "r1");
    assert_true(described->has_invalidated);
    assert_int_equal(described->invalidated, when);
    assert_int_equal(studio_job(&studio, "r1")->invalidated, when);
    assert_int_equal(described->gaps.count, 0);
    assert_true(described->has_digest);
    mark(&studio, "r1", false);
    studio_restart(&studio, START + 4000000);
    assert_false(studio_describe(&studio, "r1")->has_invalidated);
    studio_close(&studio);
}

/* A supervisor that failed asks again: when it became invalid is not moved, and nothing is written. */
static void a_mark_that_is_there_already_changes_nothing(void **state) {
    studio_t studio;
    char path[600];
    struct stat before, after;
    (void)state;
    open_with_two(&studio);
    for (int invalid = 1; invalid >= 0; invalid--) {
        mark(&studio, "r1", invalid);
        int64_t when = studio_describe(&studio, "r1")->invalidated;
        snprintf(path, sizeof path, "%s/recordings/r1/" MANIFEST_FILE, studio.data);
        assert_int_equal(stat(path, &before), 0);
        stage_advance(studio.stage, 1000);
        mark(&studio, "r1", invalid);
        assert_int_equal(stat(path, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
        assert_int_equal(studio_describe(&studio, "r1")->invalidated, when);
    }
    studio_close(&studio);
}

static void only_a_recording_that_has_ended_is_marked(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio_create(&studio, "1", "p");
    studio_budget(&studio, "j1", LIMIT_NONE);
    msg_recording_mark_t ask = {.recording = "r1", .invalid = true};
    assert_int_equal(stage_get_refusal(studio.stage, "recorder", MSG_RECORDING_MARK, &ask)->code, ERROR_INVALID_STATE);
    assert_string_equal(newest(&studio), "r1");
    ask.recording = "r2";
    assert_int_equal(stage_get_refusal(studio.stage, "recorder", MSG_RECORDING_MARK, &ask)->code, ERROR_NOT_FOUND);
    studio_close(&studio);
}

/* With `interval` the last sync of an ended recording may be under way still. */
static void a_recording_may_be_marked_before_its_last_sync_is_over(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_INTERVAL);
    studio_create(&studio, "1", "p");
    studio_budget(&studio, "j1", LIMIT_NONE);
    source_attach(&studio, "s", "j1", "a", "w");
    source_batch(&studio, "s", "a", 1, 3);
    studio_finish(&studio, "r1", "CANCELLED", "user");
    mark(&studio, "r1", true);
    assert_true(studio_sync(&studio) > 0);
    assert_true(studio_describe(&studio, "r1")->has_invalidated);
    studio_restart(&studio, START + 3000000);
    assert_true(studio_describe(&studio, "r1")->has_invalidated);
    assert_int_equal(studio_describe(&studio, "r1")->elements, 3);
    studio_close(&studio);
}

static void who_follows_an_invalid_recording_hears_of_its_deletion(void **state) {
    studio_t studio;
    (void)state;
    open_with_two(&studio);
    msg_recording_locate_t locate = {.has_recording = true, .recording = "r1", .follow = true};
    mark(&studio, "r1", true);
    stage_ask(studio.stage, "follower", "recorder", MSG_RECORDING_LOCATE, &locate);
    stage_run(studio.stage);
    studio_take(&studio, "follower", MSG_RECORDING_LOCATE);
    mark(&studio, "r1", false);
    mark(&studio, "r1", true);
    stage_get(studio.stage, "recorder", MSG_RECORDING_DROP, &(msg_recording_drop_t){.recording = "r1"});
    studio_take(&studio, "follower", MSG_RECORDING_DROPPED);
    assert_string_equal(newest(&studio), "r2");
    studio_close(&studio);
}

/* ---- room ---- */

static int64_t room_of(studio_t *studio, int64_t streams, int64_t *ret_least) {
    msg_room_ask_t ask = {.has_streams = streams > 0, .streams = streams};
    const msg_room_t *room = stage_get(studio->stage, "recorder", MSG_ROOM_ASK, &ask);
    *ret_least = room->least;
    return room->held;
}

static void room_is_what_all_recordings_have_and_keep_back(void **state) {
    studio_t studio;
    int64_t least;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    assert_int_equal(room_of(&studio, 0, &least), 0);
    studio_create(&studio, "1", "p");
    studio_budget(&studio, "j1", LIMIT_NONE);
    int64_t written = studio_job(&studio, "r1")->bytes;
    assert_true(room_of(&studio, 0, &least) > written);
    studio_finish(&studio, "r1", "CANCELLED", "user");
    studio_sync(&studio);
    written = studio_job(&studio, "r1")->bytes;
    assert_int_equal(room_of(&studio, 0, &least), written);
    studio_restart(&studio, START + 3000000);
    assert_int_equal(room_of(&studio, 0, &least), written);
    stage_get(studio.stage, "recorder", MSG_RECORDING_DROP, &(msg_recording_drop_t){.recording = "r1"});
    assert_int_equal(room_of(&studio, 0, &least), 0);
    studio_close(&studio);
}

/* The least is enough for one element of two streams, and half of it is not. */
static void with_the_least_room_one_small_element_fits(void **state) {
    for (int64_t part = 1; part <= 2; part++) {
        studio_t studio;
        int64_t least;
        (void)state;
        studio_open(&studio, DURABILITY_ASYNC);
        room_of(&studio, 2, &least);
        studio_create(&studio, "1", "p");
        msg_budget_set_t budget = {.job = "j1", .has_bytes = true, .bytes = least / part, .start = START};
        stage_get(studio.stage, "recorder", MSG_BUDGET_SET, &budget);
        source_ask(&studio, "s", "j1", "a", "w");
        source_batch(&studio, "s", "a", 1, 1);
        const msg_recording_job_t *job = studio_finish(&studio, "r1", "CANCELLED", "bytes");
        assert_int_equal(job->elements, part == 1 ? 1 : 0);
        assert_true(job->bytes <= least);
        studio_close(&studio);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_recording_of_a_pipeline_is_the_newest_that_is_valid),
        cmocka_unit_test(a_recording_that_somebody_keeps_meanwhile_is_spared_by_who_spares),
        cmocka_unit_test(a_mark_outlives_the_process_until_it_is_taken_back),
        cmocka_unit_test(a_mark_that_is_there_already_changes_nothing),
        cmocka_unit_test(only_a_recording_that_has_ended_is_marked),
        cmocka_unit_test(a_recording_may_be_marked_before_its_last_sync_is_over),
        cmocka_unit_test(who_follows_an_invalid_recording_hears_of_its_deletion),
        cmocka_unit_test(room_is_what_all_recordings_have_and_keep_back),
        cmocka_unit_test(with_the_least_room_one_small_element_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
