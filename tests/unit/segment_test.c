#include "store.h"

#include "actors/store/record.h"

static void only_what_is_named_as_a_segment_is_one(void **state) {
    static const char *const names[] = {"000000000010.seg",  "000000000002.seg",  "1000000000000.seg",
                                        "0000000000003.seg", "00000000004.seg",   "000000000005.seg.bak",
                                        "00000000000a.seg",  ".000000000006.seg", "seg"};
    store_t store;
    uint64_t *numbers;
    size_t count;
    fault_t why;

    (void)state;
    store_make(&store, 1);
    assert_int_equal(mkdir(store.folder, 0755), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[600];

        snprintf(path, sizeof path, "%s/%s", store.folder, names[i]);
        file_write(path, (const uint8_t *)"x", 1);
    }
    ok(segment_list(store.folder, &numbers, &count, &why), why);
    assert_int_equal(count, 3);
    assert_int_equal(numbers[0], 2);
    assert_int_equal(numbers[1], 10);
    assert_true(numbers[2] == UINT64_C(1000000000000));
    free(numbers);
    assert_int_equal(segment_list("/nowhere/at/all", &numbers, &count, &why), -1);
    store_remove(&store);
}

/* A file of `junk` bytes, then a record with `number`, then `junk` bytes again. */
static segment_t *segment_around(const store_t *store, uint64_t number, size_t junk, size_t *ret_size) {
    record_view_t record = {.kind = RECORD_STREAM_ENDED, .number = number};
    uint8_t *bytes = malloc(2 * junk + RECORD_OVERHEAD);
    char path[SEGMENT_PATH_SIZE];
    fault_t why;
    uint64_t size;
    segment_t *segment;
    int descriptor;

    assert_non_null(bytes);
    memset(bytes, 0x98, 2 * junk + RECORD_OVERHEAD); /* as much as possible looks like the beginning of one */
    record_seal(&record, NULL, 0, bytes + junk, bytes + junk + RECORD_HEAD_SIZE);
    segment_path(store->folder, 0, path);
    file_write(path, bytes, 2 * junk + RECORD_OVERHEAD);
    free(bytes);
    ok(descriptor = segment_open(store->folder, 0, &size, &why), why);
    segment = segment_map(descriptor, size, path, &why);
    assert_non_null(segment);
    close(descriptor);
    *ret_size = size;
    return segment;
}

static void a_valid_record_is_found_wherever_it_is_if_its_number_can_be_right(void **state) {
    store_t store;

    (void)state;
    store_make(&store, 1);
    assert_int_equal(mkdir(store.folder, 0755), 0);
    for (size_t junk = 0; junk < 300; junk++) {
        size_t size;
        segment_t *segment = segment_around(&store, 7, junk, &size);

        assert_int_equal(segment_find(segment, 0, size, 7), junk);
        assert_int_equal(segment_find(segment, junk, size, 6), junk);
        assert_int_equal(segment_find(segment, 0, size, 8), size);
        assert_int_equal(segment_find(segment, 0, junk + RECORD_OVERHEAD - 1, 7), junk + RECORD_OVERHEAD - 1);
        assert_int_equal(segment_find(segment, junk + 1, size, 7), size);
        /* Between it and the last one before must be room for the records that it says were there. */
        assert_int_equal(segment_find(segment, 0, size, 7 - 5), junk >= (size_t)4 * RECORD_OVERHEAD ? junk : size);
        segment_release(&segment);
    }
    store_remove(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_named_as_a_segment_is_one),
        cmocka_unit_test(a_valid_record_is_found_wherever_it_is_if_its_number_can_be_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
