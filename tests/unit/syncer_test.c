/* The syncer: files to the disk, and what cannot be. */
#include "actors/syncer.h"

#include "rebooted.h"
#include "store.h"
#include "tests/stage/stage.h"

/* A syncer, and a file that it can bring to the disk. */
static stage_t *with_file(char ret_path[5000]) {
    stage_t *stage = stage_create(1, NULL);
    snprintf(ret_path, 5000, "%s/x.seg", stage_config(stage)->data);
    file_write(ret_path, (const uint8_t *)"abc", 3);
    stage_add(stage, &syncer_class, "syncer", (bytes_t){0});
    stage_run(stage);
    return stage;
}

static void a_file_is_brought_to_the_disk(void **state) {
    char path[5000];
    (void)state;
    stage_t *stage = with_file(path);
    const msg_synced_t *synced = stage_get(stage, "syncer", MSG_SYNC, &(msg_sync_t){.path = path, .token = 42});
    assert_int_equal(synced->token, 42);
    const msg_actor_counted_t *counted = stage_get(stage, "syncer", MSG_ACTOR_COUNT, &(msg_actor_count_t){0});
    assert_int_equal(counted->counters.count, 1);
    assert_string_equal(counted->counters.items[0].name, "syncs");
    assert_int_equal(counted->counters.items[0].value, 1);
    stage_destroy(&stage);
}

static void a_file_that_cannot_be_synced_is_named(void **state) {
    char path[5000];
    (void)state;
    stage_t *stage = with_file(path);
    const refusal_t *no = stage_get_refusal(stage, "syncer", MSG_SYNC, &(msg_sync_t){.path = "/nowhere/1.seg"});
    assert_int_equal(no->code, ERROR_INTERNAL);
    assert_non_null(strstr(no->message, "/nowhere/1.seg: No such file or directory"));
    no = stage_get_refusal(stage, "syncer", MSG_SYNC, &(msg_sync_t){.path = "/dev/null"}); /* opens, but knows no fdatasync */
    assert_non_null(strstr(no->message, "cannot sync /dev/null: Invalid argument"));
    stage_destroy(&stage);
}

static void as_many_calls_fail_as_were_asked_to(void **state) {
    char path[5000];
    (void)state;
    stage_t *stage = with_file(path);
    const refusal_t *no = stage_get_refusal(stage, "syncer", MSG_CHAOS_SYNC, &(msg_chaos_sync_t){.syncs = 1, .error = "EVIL"});
    assert_int_equal(no->code, ERROR_BAD_REQUEST);
    stage_get(stage, "syncer", MSG_CHAOS_SYNC, &(msg_chaos_sync_t){.syncs = 2, .error = "EIO"});
    for (int i = 0; i < 2; i++) {
        no = stage_get_refusal(stage, "syncer", MSG_SYNC, &(msg_sync_t){.path = path});
        assert_non_null(strstr(no->message, "x.seg: Input/output error"));
    }
    stage_get(stage, "syncer", MSG_SYNC, &(msg_sync_t){.path = path});
    stage_destroy(&stage);
}

static void a_checkpoint_is_written_over_the_one_before_and_makes_no_folder(void **state) {
    char path[5000], folder[4096];
    checkpoint_t read = {0};
    (void)state;
    stage_t *stage = with_file(path);
    snprintf(folder, sizeof folder, "%s", stage_config(stage)->data);
    for (int i = 0; i < 2; i++) {
        msg_checkpoint_write_t order = {.folder = folder, .segment = 1000 - i, .length = 70000 - i, .settle = i == 0};
        stage_tell(stage, "recorder", "syncer", MSG_CHECKPOINT_WRITE, &order);
        stage_run(stage);
    }
    assert_false(checkpoint_is_of_another_run(folder, &read));
    machine_restarts_as_it_is(folder);
    assert_true(checkpoint_is_of_another_run(folder, &read));
    assert_int_equal(read.segment, 999);
    assert_int_equal(read.length, 69999);
    strcat(folder, "/gone");
    stage_tell(stage, "recorder", "syncer", MSG_CHECKPOINT_WRITE, &(msg_checkpoint_write_t){.folder = folder});
    stage_run(stage);
    assert_int_equal(access(folder, F_OK), -1);
    stage_get(stage, "syncer", MSG_SYNC, &(msg_sync_t){.path = path}); /* it lives */
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_brought_to_the_disk),
        cmocka_unit_test(a_file_that_cannot_be_synced_is_named),
        cmocka_unit_test(as_many_calls_fail_as_were_asked_to),
        cmocka_unit_test(a_checkpoint_is_written_over_the_one_before_and_makes_no_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
