#include "store.h"

#include <sys/wait.h>

static void a_data_folder_is_created_with_those_above_it(void **state) {
    store_t store;
    char data[512], path[600];
    fault_t why;
    struct stat status;
    int lock;

    (void)state;
    store_make(&store, 1);
    snprintf(data, sizeof data, "%s/a/b", store.data);
    ok(lock = folder_lock(data, &why), why);
    snprintf(path, sizeof path, "%s/recordings", data);
    assert_int_equal(stat(path, &status), 0);
    close(lock);
    ok(folder_remove(path, &why), why);
    ok(folder_remove(data, &why), why);
    snprintf(data, sizeof data, "%s/a", store.data);
    ok(folder_remove(data, &why), why);
    store_remove(&store);
}

static void a_data_folder_that_is_created_is_nobody_elses_and_one_that_is_there_stays_as_it_is(void **state) {
    store_t store;
    char data[512], path[600];
    fault_t why;
    struct stat status;
    int lock;

    (void)state;
    store_make(&store, 1);
    snprintf(data, sizeof data, "%s/a/", store.data);
    ok(lock = folder_lock(data, &why), why);
    close(lock);
    assert_int_equal(stat(data, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_int_equal(chmod(data, 0750), 0);
    ok(lock = folder_lock(data, &why), why);
    close(lock);
    assert_int_equal(stat(data, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0750);
    snprintf(path, sizeof path, "%srecordings", data);
    ok(folder_remove(path, &why), why);
    ok(folder_remove(data, &why), why);
    store_remove(&store);
}

static void a_folder_in_use_is_refused_with_the_pid_of_who_has_it(void **state) {
    store_t store;
    fault_t why;
    char pid[32];
    int lock, child;

    (void)state;
    store_make(&store, 1);
    ok(lock = folder_lock(store.data, &why), why);
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_int_equal(folder_lock(store.data, &why), -2);
    assert_non_null(strstr(why.text, pid));
    assert_non_null(strstr(why.text, store.data));

    pid_t other = fork();

    if (other == 0) _exit(folder_lock(store.data, &why) == -2 && strstr(why.text, pid) ? 0 : 1);
    assert_int_equal(waitpid(other, &child, 0), other);
    assert_int_equal(child, 0);
    close(lock);
    ok(lock = folder_lock(store.data, &why), why);
    close(lock);
    store_remove(&store);
}

/* A process that is killed cannot let go of anything. */
static void the_lock_of_a_process_that_died_is_free(void **state) {
    store_t store;
    fault_t why;
    int ready[2], lock;
    char byte;

    (void)state;
    store_make(&store, 1);
    assert_int_equal(pipe(ready), 0);

    pid_t other = fork();

    if (other == 0) {
        if (folder_lock(store.data, &why) < 0 || write(ready[1], "r", 1) != 1) _exit(1);
        pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(folder_lock(store.data, &why), -2);
    assert_int_equal(kill(other, SIGKILL), 0);
    assert_int_equal(waitpid(other, NULL, 0), other);
    ok(lock = folder_lock(store.data, &why), why);
    close(lock);
    close(ready[0]);
    close(ready[1]);
    store_remove(&store);
}

static void recordings_are_listed_in_order_and_what_a_crash_left_is_cleared_away(void **state) {
    static const char *const folders[] = {"r2", "r10", "r1", ".new-r3", ".drop-r4"};
    store_t store;
    fault_t why;
    names_t names;
    char path[700];
    int lock;

    (void)state;
    store_make(&store, 1);
    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/recordings/%s", store.data, folders[i]);
        assert_int_equal(mkdir(path, 0755), 0);
        snprintf(path, sizeof path, "%s/recordings/%s/file", store.data, folders[i]);
        file_write(path, (const uint8_t *)"x", 1);
    }
    ok(folder_recordings(store.data, &names, &why), why);
    assert_int_equal(names.count, 3);
    assert_string_equal(names.items[0], "r1");
    assert_string_equal(names.items[1], "r10");
    assert_string_equal(names.items[2], "r2");
    folder_free(&names);
    assert_int_equal(names.count, 0);
    ok(lock = folder_lock(store.data, &why), why);
    for (size_t i = 0; i < 3; i++) ok(folder_drop(store.data, folders[i], &why), why);
    for (int i = 0; i < 8; i++) assert_int_equal(folder_sweep(store.data, &why), 1); /* four folders, each with a file */
    assert_int_equal(folder_sweep(store.data, &why), 0);
    close(lock);
    store_remove(&store); /* fails where something is left */
}

static void the_trash_counts_as_free_and_what_cannot_be_deleted_does_not_keep_the_rest(void **state) {
    store_t store;
    fault_t why;
    char path[700];
    int64_t before, with_trash;
    static uint8_t block[1 << 20];

    (void)state;
    store_make(&store, 1);
    memset(block, 1, sizeof block);
    for (int i = 0; i < 3; i++) { /* one id may be dropped again before its first is deleted */
        assert_int_equal(mkdir(store.folder, 0755), 0);
        snprintf(path, sizeof path, "%s/file", store.folder);
        file_write(path, block, sizeof block);
        ok(folder_free_bytes(store.data, &before, &why), why);
        ok(folder_drop(store.data, "r1", &why), why);
        ok(folder_free_bytes(store.data, &with_trash, &why), why);
        assert_true(with_trash >= before + (int64_t)sizeof block / 2); /* others write to the same disk */
    }
    snprintf(path, sizeof path, "%s/recordings/.drop-r1.0/folder", store.data);
    assert_int_equal(mkdir(path, 0755), 0);
    for (int i = 0; i < 20 && folder_sweep(store.data, &why) > 0; i++) continue;
    assert_int_equal(folder_sweep(store.data, &why), -1);
    assert_non_null(strstr(why.text, ".drop-r1.0"));
    for (int i = 1; i < 3; i++) {
        struct stat status;

        snprintf(path, sizeof path, "%s/recordings/.drop-r1.%d", store.data, i);
        assert_int_equal(stat(path, &status), -1);
    }
    snprintf(path, sizeof path, "%s/recordings/.drop-r1.0/folder", store.data);
    assert_int_equal(rmdir(path), 0);
    while (folder_sweep(store.data, &why) > 0) continue;
    store_remove(&store);
}

static void a_recording_that_was_dropped_is_gone_and_may_be_dropped_again(void **state) {
    store_t store;
    journal_t *journal;
    names_t names;
    fault_t why;

    (void)state;
    store_make(&store, 1);
    journal = store_journal(&store, BIG_SEGMENT);
    journal_close(&journal);
    ok(folder_drop(store.data, "r1", &why), why);
    ok(folder_recordings(store.data, &names, &why), why);
    assert_int_equal(names.count, 0);
    folder_free(&names);
    ok(folder_drop(store.data, "r1", &why), why);
    while (folder_sweep(store.data, &why) > 0) continue;
    store_remove(&store);
}

static void a_name_that_leads_elsewhere_is_refused(void **state) {
    static const char *const names[] = {"..", "../recordings", "a/b", "", ".new-x", "/etc"};
    store_t store;
    msg_manifest_t *manifest;
    fault_t why;

    (void)state;
    store_make(&store, 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(folder_drop(store.data, names[i], &why), -1);
        assert_non_null(strstr(why.text, "is not the name of a recording"));
        assert_int_equal(folder_manifest(store.data, names[i], &manifest, &why), -1);
    }
    store_remove(&store);
}

static void a_manifest_is_read_on_its_own(void **state) {
    store_t store;
    journal_t *journal;
    msg_manifest_t *manifest;
    fault_t why;

    (void)state;
    store_make(&store, 2);
    journal = store_journal(&store, BIG_SEGMENT);
    journal_close(&journal);
    ok(folder_manifest(store.data, "r1", &manifest, &why), why);
    assert_string_equal(manifest->recording.pipeline, "p1");
    assert_string_equal(manifest->recording.streams.items[1].signature, store.signatures[1]);
    manifest_free(&manifest);
    assert_int_equal(folder_manifest(store.data, "r2", &manifest, &why), -1);
    assert_non_null(strstr(why.text, "r2/" MANIFEST_FILE ": No such file"));
    store_remove(&store);
}

static void free_space_is_more_than_none_and_a_missing_folder_a_fault(void **state) {
    store_t store;
    int64_t bytes = -1;
    fault_t why;

    (void)state;
    store_make(&store, 1);
    ok(folder_free_bytes(store.data, &bytes, &why), why);
    assert_true(bytes > 0);
    assert_int_equal(folder_free_bytes("/nowhere/at/all", &bytes, &why), -1);
    assert_non_null(strstr(why.text, "/nowhere/at/all"));
    store_remove(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_data_folder_is_created_with_those_above_it),
        cmocka_unit_test(a_data_folder_that_is_created_is_nobody_elses_and_one_that_is_there_stays_as_it_is),
        cmocka_unit_test(a_folder_in_use_is_refused_with_the_pid_of_who_has_it),
        cmocka_unit_test(the_lock_of_a_process_that_died_is_free),
        cmocka_unit_test(recordings_are_listed_in_order_and_what_a_crash_left_is_cleared_away),
        cmocka_unit_test(the_trash_counts_as_free_and_what_cannot_be_deleted_does_not_keep_the_rest),
        cmocka_unit_test(a_recording_that_was_dropped_is_gone_and_may_be_dropped_again),
        cmocka_unit_test(a_name_that_leads_elsewhere_is_refused),
        cmocka_unit_test(a_manifest_is_read_on_its_own),
        cmocka_unit_test(free_space_is_more_than_none_and_a_missing_folder_a_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
