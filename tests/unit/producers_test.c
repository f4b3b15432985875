#include "store.h"

#include "actors/store/producers.h"

static void each_of_many_producers_is_found_by_stream_and_name(void **state) {
    enum { COUNT = 5000 };
    producers_t producers = {0};
    char name[32];

    (void)state;
    assert_null(producers_find(&producers, 0, "p"));
    for (uint64_t round = 1; round <= 2; round++)
        for (uint32_t i = 0; i < COUNT; i++) {
            snprintf(name, sizeof name, "p%u", i / 2);
            producers_put(&producers, i % 2, &(journal_meta_t){.producer = name, .seq = round * i});
        }
    assert_int_equal(producers.count, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "p%u", i / 2);

        const msg_producer_t *found = producers_find(&producers, i % 2, name);

        assert_ptr_equal(found, &producers.items[i]);
        assert_int_equal(found->seq, 2 * i);
    }
    assert_null(producers_find(&producers, 2, "p0"));
    producers_fini(&producers);
    assert_int_equal(producers.count, 0);
}

static void a_cursor_and_a_watermark_last_until_there_are_newer_ones(void **state) {
    static const uint8_t cursor[64] = {1, 2, 3};
    producers_t producers = {0};

    (void)state;
    for (size_t size = 1; size <= sizeof cursor; size++) {
        producers_put(&producers, 0,
                      &(journal_meta_t){.producer = "p", .seq = size, .cursor = {cursor, size}, .has_watermark = true, .watermark = 5});
        producers_put(&producers, 0, &(journal_meta_t){.producer = "p", .seq = size + 1});

        const msg_producer_t *found = producers_find(&producers, 0, "p");

        assert_int_equal(found->seq, size + 1);
        assert_int_equal(found->watermark, 5);
        assert_int_equal(found->cursor.size, size);
        assert_memory_equal(found->cursor.data, cursor, size);
        assert_ptr_not_equal(found->cursor.data, cursor);
    }
    producers_fini(&producers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_of_many_producers_is_found_by_stream_and_name),
        cmocka_unit_test(a_cursor_and_a_watermark_last_until_there_are_newer_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
