/* The verifier, with the test in the recorder's place. */
#include "actors/verifier.h"

#include "store.h"
#include "tests/stage/stage.h"

typedef struct booth {
    store_t store;
    stage_t *stage;
    journal_totals_t totals;
} booth_t;

static void booth_open(booth_t *booth, uint32_t records) {
    fault_t why;
    store_make(&booth->store, 1);
    journal_t *journal = store_journal(&booth->store, BIG_SEGMENT);
    for (uint32_t i = 1; i <= records; i++) ok(store_append(journal, 0, START + i, 3000, 200, i, &why), why);
    booth->totals = *journal_totals(journal);
    journal_close(&journal);
    booth->stage = stage_create(1, booth->store.data);
    stage_add(booth->stage, &verifier_class, "verifier", (bytes_t){0});
    stage_run(booth->stage);
}

static void booth_close(booth_t *booth) {
    stage_destroy(&booth->stage);
    store_remove(&booth->store);
}

static void verify_ask(booth_t *booth, const char *who) {
    stage_ask(booth->stage, who, "verifier", MSG_RECORDING_VERIFY, &(msg_recording_verify_t){.recording = "r1"});
    stage_run(booth->stage);
}

/* Answers where the recording is. */
static void locate_answer(booth_t *booth) {
    const stage_message_t *ask = stage_take(booth->stage, "recorder", MSG_RECORDING_LOCATE);
    assert_non_null(ask);
    const msg_recording_locate_t *locate = ask->message;
    assert_string_equal(locate->recording, "r1");
    assert_false(locate->follow);
    msg_recording_place_t place = {.recording = "r1",
                                   .pipeline = "p1",
                                   .folder = booth->store.folder,
                                   .start = START,
                                   .growing = true,
                                   .segment = (int64_t)booth->totals.segment,
                                   .length = (int64_t)booth->totals.length,
                                   .records = (int64_t)booth->totals.records,
                                   .elements = (int64_t)booth->totals.elements};
    place.streams.count = 1;
    place.streams.items = booth->store.streams;
    stage_answer(booth->stage, ask, &place);
    stage_run(booth->stage);
}

static const msg_recording_verified_t *verified(booth_t *booth, const char *who) {
    const stage_message_t *answer = stage_take(booth->stage, who, MSG_RECORDING_VERIFY);
    assert_non_null(answer);
    assert_false(answer->refused);
    return answer->message;
}

static void a_sound_recording_is_intact_and_counted(void **state) {
    booth_t booth;
    (void)state;
    booth_open(&booth, 20); /* more than one step */
    verify_ask(&booth, "gateway");
    locate_answer(&booth);
    const msg_recording_verified_t *result = verified(&booth, "gateway");
    assert_true(result->intact);
    assert_int_equal(result->elements, 20 * 3000);
    assert_int_equal(result->bytes, booth.totals.bytes);
    assert_int_equal(result->damage.count, 0);
    booth_close(&booth);
}

static void damage_is_reported_with_its_place(void **state) {
    booth_t booth;
    char path[SEGMENT_PATH_SIZE];
    (void)state;
    booth_open(&booth, 3);
    segment_path(booth.store.folder, 0, path);
    file_flip(path, booth.totals.length / 2, 0);
    verify_ask(&booth, "gateway");
    locate_answer(&booth);
    const msg_recording_verified_t *result = verified(&booth, "gateway");
    assert_false(result->intact);
    assert_true(result->damage.count > 0);
    assert_non_null(strstr(result->damage.items[0].segment, "000000000000.seg"));
    assert_in_range(result->damage.items[0].offset, 1, booth.totals.length / 2);
    booth_close(&booth);
}

static void several_at_once_are_all_answered(void **state) {
    booth_t booth;
    (void)state;
    booth_open(&booth, 20);
    verify_ask(&booth, "first");
    verify_ask(&booth, "second");
    locate_answer(&booth);
    locate_answer(&booth);
    assert_true(verified(&booth, "first")->intact);
    assert_true(verified(&booth, "second")->intact);
    booth_close(&booth);
}

static void a_recording_that_is_not_there_is_the_recorders_refusal(void **state) {
    booth_t booth;
    (void)state;
    booth_open(&booth, 1);
    verify_ask(&booth, "gateway");
    stage_refuse(booth.stage, stage_take(booth.stage, "recorder", MSG_RECORDING_LOCATE), ERROR_NOT_FOUND, "there is no recording r1");
    stage_run(booth.stage);
    const stage_message_t *answer = stage_take(booth.stage, "gateway", MSG_RECORDING_VERIFY);
    refusal_t no;
    assert_true(answer->refused);
    assert_int_equal(refusal_decode(answer->raw, &no), 0);
    assert_int_equal(no.code, ERROR_NOT_FOUND);
    assert_string_equal(no.message, "there is no recording r1");
    booth_close(&booth);
}

static bool has_trash(const booth_t *booth, const char *name) {
    char path[600];
    snprintf(path, sizeof path, "%s/recordings/%s", booth->store.data, name);
    return access(path, F_OK) == 0;
}

static void put_trash(const booth_t *booth, const char *name) {
    char path[600];
    snprintf(path, sizeof path, "%s/recordings/%s", booth->store.data, name);
    assert_int_equal(mkdir(path, 0755), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/recordings/%s/%d.seg", booth->store.data, name, i);
        file_write(path, (const uint8_t *)"x", 1);
    }
}

static void the_trash_is_swept_at_the_start_and_when_something_was_dropped(void **state) {
    booth_t booth;
    (void)state;
    booth_open(&booth, 1);
    put_trash(&booth, ".drop-r7.0");
    stage_run(booth.stage);
    assert_true(has_trash(&booth, ".drop-r7.0"));
    stage_fail(booth.stage, "verifier"); /* what a process left */
    stage_run(booth.stage);
    assert_false(has_trash(&booth, ".drop-r7.0"));
    put_trash(&booth, ".drop-r8.0");
    put_trash(&booth, ".drop-r8.1");
    for (int i = 0; i < 2; i++) stage_tell(booth.stage, "recorder", "verifier", MSG_TRASH_SWEEP, &(msg_trash_sweep_t){0});
    verify_ask(&booth, "gateway");
    locate_answer(&booth);
    assert_true(verified(&booth, "gateway")->intact);
    assert_false(has_trash(&booth, ".drop-r8.0") || has_trash(&booth, ".drop-r8.1"));
    booth_close(&booth);
}

/* It is neither damaged nor an error of the engine's. */
static void a_recording_that_is_deleted_meanwhile_is_not_there(void **state) {
    booth_t booth;
    fault_t why;
    (void)state;
    booth_open(&booth, 1);
    verify_ask(&booth, "gateway");
    ok(folder_remove(booth.store.folder, &why), why);
    locate_answer(&booth);
    const stage_message_t *answer = stage_take(booth.stage, "gateway", MSG_RECORDING_VERIFY);
    refusal_t no;
    assert_non_null(answer);
    assert_true(answer->refused);
    assert_int_equal(refusal_decode(answer->raw, &no), 0);
    assert_int_equal(no.code, ERROR_NOT_FOUND);
    booth_close(&booth);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_recording_is_intact_and_counted),
        cmocka_unit_test(damage_is_reported_with_its_place),
        cmocka_unit_test(several_at_once_are_all_answered),
        cmocka_unit_test(a_recording_that_is_not_there_is_the_recorders_refusal),
        cmocka_unit_test(a_recording_that_is_deleted_meanwhile_is_not_there),
        cmocka_unit_test(the_trash_is_swept_at_the_start_and_when_something_was_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
