/* The recorder takes over recordings that were written elsewhere in its data folder. */
#include "studio.h"

#define WAITING ".new-import-r9"

/* A complete recording `r9` of pipeline `p`, in a folder that nobody sees. */
static msg_manifest_t waiting(const studio_t *studio, store_t *scratch) {
    char folder[512];
    fault_t why;
    store_make(scratch, 1);
    msg_manifest_t manifest = scratch->manifest;
    manifest.recording.recording = "r9";
    manifest.recording.job = "j9";
    manifest.recording.pipeline = "p";
    folder_recording_path(studio->data, WAITING, folder, sizeof folder);
    journal_t *journal = journal_create(folder, &manifest, START, 1024 * 1024, &why);
    if (!journal) fail_msg("%s", why.text);
    ok(store_append(journal, 0, START, 5, 20, 1, &why), why);
    ok(journal_ended(journal, START + 7, &why), why);
    manifest.recording.state = "DONE";
    manifest.recording.elements = 5;
    manifest.recording.bytes = (int64_t)journal_totals(journal)->bytes;
    manifest.has_segment = manifest.has_length = manifest.has_records = true;
    manifest.length = (int64_t)journal_totals(journal)->length;
    manifest.records = (int64_t)journal_totals(journal)->records;
    ok(journal_save(journal, &manifest, &why), why);
    journal_close(&journal);
    return manifest;
}

static msg_recording_adopt_t order(bool invalid) {
    return (msg_recording_adopt_t){.recording = "r9", .folder = WAITING, .invalid = invalid};
}

static int64_t held(studio_t *studio) {
    return ((const msg_room_t *)stage_get(studio->stage, "recorder", MSG_ROOM_ASK, &(msg_room_ask_t){0}))->held;
}

static const msg_recording_job_t *adopt(studio_t *studio, bool invalid) {
    msg_recording_adopt_t ask = order(invalid);
    const msg_recording_jobs_t *jobs = stage_get(studio->stage, "recorder", MSG_RECORDING_ADOPT, &ask);
    assert_int_equal(jobs->recordings.count, 1);
    return &jobs->recordings.items[0];
}

static void it_is_there_is_counted_and_outlives_a_restart(void **state) {
    studio_t studio;
    store_t scratch;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    msg_manifest_t manifest = waiting(&studio, &scratch);
    assert_int_equal(held(&studio), 0);
    assert_string_equal(adopt(&studio, false)->job, "j9");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(held(&studio), manifest.recording.bytes);
        const msg_recording_t *there = studio_describe(&studio, "r9");
        assert_int_equal(there->elements, 5);
        assert_false(there->has_invalidated);
        studio_restart(&studio, START + 1000);
    }
    store_remove(&scratch);
    studio_close(&studio);
}

static void asked_again_it_is_there_already(void **state) {
    studio_t studio;
    store_t scratch;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    waiting(&studio, &scratch);
    adopt(&studio, false);
    assert_string_equal(adopt(&studio, false)->recording, "r9");
    store_remove(&scratch);
    studio_close(&studio);
}

static void one_that_is_not_the_pipelines_own_is_invalid_on_the_disk(void **state) {
    studio_t studio;
    store_t scratch;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    waiting(&studio, &scratch);
    adopt(&studio, true);
    studio_restart(&studio, START + 1000);
    assert_true(studio_describe(&studio, "r9")->has_invalidated);
    store_remove(&scratch);
    studio_close(&studio);
}

static void what_would_exceed_the_limit_of_all_or_is_not_there_is_refused(void **state) {
    studio_t studio;
    store_t scratch;
    msg_options_t options;
    msg_options_changed_t changed;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    msg_manifest_t manifest = waiting(&studio, &scratch);
    options_default(&options);
    options.recording_size_limit = manifest.recording.bytes - 1;
    memcpy(&changed, &options, sizeof changed);
    stage_tell(studio.stage, "catalog", "recorder", MSG_OPTIONS_CHANGED, &changed);
    stage_run(studio.stage);
    msg_recording_adopt_t ask = order(false);
    const refusal_t *no = stage_get_refusal(studio.stage, "recorder", MSG_RECORDING_ADOPT, &ask);
    assert_int_equal(no->code, ERROR_NO_SPACE);
    assert_string_equal(no->field, "recording_size_limit");
    changed.recording_size_limit = manifest.recording.bytes;
    stage_tell(studio.stage, "catalog", "recorder", MSG_OPTIONS_CHANGED, &changed);
    stage_run(studio.stage);
    adopt(&studio, false);
    ask.recording = "r8";
    ask.folder = ".new-import-r8";
    assert_int_equal(stage_get_refusal(studio.stage, "recorder", MSG_RECORDING_ADOPT, &ask)->code, ERROR_INTERNAL);
    store_remove(&scratch);
    studio_close(&studio);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_there_is_counted_and_outlives_a_restart),
        cmocka_unit_test(asked_again_it_is_there_already),
        cmocka_unit_test(one_that_is_not_the_pipelines_own_is_invalid_on_the_disk),
        cmocka_unit_test(what_would_exceed_the_limit_of_all_or_is_not_there_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
