#include "store.h"

static void a_manifest_comes_back_with_all_that_it_says(void **state) {
    store_t store;
    msg_manifest_t *read;
    fault_t why;
    msg_gap_t gap = {.what = "a hole", .element = 7};

    (void)state;
    store_make(&store, 3);
    assert_int_equal(mkdir(store.folder, 0755), 0);
    store.streams[1].has_payload = true;
    store.streams[1].payload = (bytes_t){(const uint8_t *)"\x81\xa1k\x01", 4};
    store.manifest.gaps.count = 1;
    store.manifest.gaps.items = &gap;
    store.manifest.recording.limits.has_count = true;
    store.manifest.recording.limits.count = 500;
    ok(manifest_write(store.folder, &store.manifest, &why), why);
    ok(manifest_read(store.folder, &read, &why), why);
    assert_int_equal(read->recording.streams.count, 3);
    assert_string_equal(read->recording.streams.items[2].signature, store.signatures[2]);
    assert_memory_equal(read->recording.streams.items[1].payload.data, "\x81\xa1k\x01", 4);
    assert_int_equal(read->recording.limits.count, 500);
    assert_int_equal(read->recording.limits.bytes, LIMIT_NONE);
    assert_string_equal(read->gaps.items[0].what, "a hole");
    assert_false(read->has_digest);
    manifest_free(&read);
    assert_null(read);
    store_remove(&store); /* fails where a half made file is left */
}

/* With a manifest of a job that runs in its folder. */
static void store_written(store_t *store) {
    fault_t why;

    store_make(store, 1);
    assert_int_equal(mkdir(store->folder, 0755), 0);
    ok(manifest_write(store->folder, &store->manifest, &why), why);
}

static void a_manifest_cut_off_at_any_byte_or_longer_is_damaged(void **state) {
    store_t store;
    msg_manifest_t *read = NULL;
    char path[SEGMENT_PATH_SIZE];
    size_t size;
    fault_t why;

    (void)state;
    store_written(&store);
    snprintf(path, sizeof path, "%s/" MANIFEST_FILE, store.folder);

    uint8_t *bytes = file_read(path, &size);

    for (size_t cut = 0; cut <= size; cut++) {
        if (cut < size)
            file_write(path, bytes, cut);
        else
            file_write(path, bytes, size + 1);
        assert_int_equal(manifest_read(store.folder, &read, &why), -1);
        assert_non_null(strstr(why.text, MANIFEST_FILE " is damaged"));
        assert_null(read);
    }
    free(bytes);
    store_remove(&store);
}

static void a_manifest_with_a_stream_without_a_tag_is_refused(void **state) {
    store_t store;
    msg_manifest_t *read = NULL;
    fault_t why;

    (void)state;
    store_make(&store, 2);
    assert_int_equal(mkdir(store.folder, 0755), 0);
    store.streams[1].tags.count = 0;
    ok(manifest_write(store.folder, &store.manifest, &why), why);
    assert_int_equal(manifest_read(store.folder, &read, &why), -1);
    assert_non_null(strstr(why.text, MANIFEST_FILE ": its stream 1 has no tag"));
    assert_null(read);
    store_remove(&store);
}

static void a_manifest_that_cannot_be_written_leaves_the_old_one(void **state) {
    store_t store;
    msg_manifest_t *read;
    char path[600];
    fault_t why;

    (void)state;
    store_written(&store);
    snprintf(path, sizeof path, "%s/." MANIFEST_FILE ".new", store.folder);
    assert_int_equal(mkdir(path, 0755), 0); /* stands in the way of the new one */
    store.manifest.recording.state = "DONE";
    assert_int_equal(manifest_write(store.folder, &store.manifest, &why), -1);
    assert_non_null(strstr(why.text, path));
    ok(manifest_read(store.folder, &read, &why), why);
    assert_string_equal(read->recording.state, "RUNNING");
    manifest_free(&read);
    assert_int_equal(rmdir(path), 0);
    store_remove(&store);
}

static void state_is(const char *folder, const char *state) {
    msg_manifest_t *read;
    fault_t why;

    ok(manifest_read(folder, &read, &why), why);
    assert_string_equal(read->recording.state, state);
    manifest_free(&read);
}

static void one_that_is_announced_counts_at_once_and_takes_its_place_later(void **state) {
    store_t store;
    char next[600];
    fault_t why;

    (void)state;
    store_written(&store);
    store.manifest.recording.state = "DONE";
    ok(manifest_announce(store.folder, &store.manifest, &why), why);
    state_is(store.folder, "DONE");
    snprintf(next, sizeof next, "%s/" MANIFEST_NEXT, store.folder);
    assert_int_equal(access(next, F_OK), 0);
    ok(manifest_settle(store.folder, &why), why);
    ok(manifest_settle(store.folder, &why), why);
    assert_int_equal(access(next, F_OK), -1);
    state_is(store.folder, "DONE");

    /* one that is written later is the newer one */
    store.manifest.recording.state = "FAILED";
    ok(manifest_announce(store.folder, &store.manifest, &why), why);
    store.manifest.recording.state = "CANCELLED";
    ok(manifest_write(store.folder, &store.manifest, &why), why);
    state_is(store.folder, "CANCELLED");
    store_remove(&store);
}

/* The machine can die before its bytes are on the disk, of which then any number is there. */
static void one_that_was_announced_and_cut_off_anywhere_leaves_the_old_one(void **state) {
    store_t store;
    char next[600];
    size_t size;
    fault_t why;

    (void)state;
    store_written(&store);
    store.manifest.recording.state = "DONE";
    ok(manifest_announce(store.folder, &store.manifest, &why), why);
    snprintf(next, sizeof next, "%s/" MANIFEST_NEXT, store.folder);

    uint8_t *bytes = file_read(next, &size);

    for (size_t cut = 0; cut <= size; cut++) {
        file_write(next, bytes, cut);
        state_is(store.folder, cut < size ? "RUNNING" : "DONE");
        ok(manifest_recover(store.folder, &why), why);
        assert_int_equal(access(next, F_OK), -1);
        state_is(store.folder, cut < size ? "RUNNING" : "DONE");
    }
    free(bytes);
    store_remove(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_comes_back_with_all_that_it_says),
        cmocka_unit_test(a_manifest_cut_off_at_any_byte_or_longer_is_damaged),
        cmocka_unit_test(a_manifest_with_a_stream_without_a_tag_is_refused),
        cmocka_unit_test(a_manifest_that_cannot_be_written_leaves_the_old_one),
        cmocka_unit_test(one_that_is_announced_counts_at_once_and_takes_its_place_later),
        cmocka_unit_test(one_that_was_announced_and_cut_off_anywhere_leaves_the_old_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
