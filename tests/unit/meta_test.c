#include "store.h"

#include "actors/store/meta.h"

static journal_meta_t meta_random(char name[300], const uint8_t *cursor) {
    size_t size = (size_t)(rand() % 255) + 1;

    memset(name, 'a' + rand() % 26, size);
    name[size] = 0;
    return (journal_meta_t){.producer = name,
                            .seq = (uint64_t)rand() >> rand() % 31,
                            .cursor = {cursor, rand() % 2 ? 5 : 0},
                            .has_watermark = rand() % 2,
                            .watermark = (rand() % 2 ? 1 : -1) * (INT64_C(1) << rand() % 62)};
}

static void metas_come_back_as_they_were_and_have_the_size_foretold(void **state) {
    static char names[70000][300];
    static journal_meta_t metas[70000];
    static const uint8_t cursor[] = {0x92, 1, 0xa2, 'h', 'i'};
    static const size_t counts[] = {0, 1, 2, 15, 16, 17, 300, 65535, 65536};

    (void)state;
    srand(1);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        msgpack_sbuffer out;
        meta_walk_t walk;
        journal_meta_t meta;

        for (size_t j = 0; j < counts[i]; j++) metas[j] = meta_random(names[j], cursor);
        msgpack_sbuffer_init(&out);
        meta_write(metas, counts[i], &out);
        assert_int_equal(out.size, meta_size(metas, counts[i]));
        assert_int_equal(meta_begin(&walk, (bytes_t){(const uint8_t *)out.data, out.size}), 0);
        for (size_t j = 0; j < counts[i]; j++) {
            assert_int_equal(meta_next(&walk, &meta), 1);
            assert_string_equal(meta.producer, metas[j].producer);
            assert_int_equal(meta.seq, metas[j].seq);
            assert_int_equal(meta.cursor.size, metas[j].cursor.size);
            assert_int_equal(meta.has_watermark, metas[j].has_watermark);
            if (meta.has_watermark) assert_true(meta.watermark == metas[j].watermark);
        }
        assert_int_equal(meta_next(&walk, &meta), 0);
        msgpack_sbuffer_destroy(&out);
    }
}

static void a_meta_cut_off_at_any_byte_is_none(void **state) {
    static const uint8_t cursor[] = {0x92, 1, 0xa2, 'h', 'i'};
    journal_meta_t metas[] = {{.producer = "p", .seq = 1000, .cursor = {cursor, 5}},
                              {.producer = "q", .has_watermark = true, .watermark = -5}};
    msgpack_sbuffer out;

    (void)state;
    msgpack_sbuffer_init(&out);
    meta_write(metas, 2, &out);
    for (size_t cut = 1; cut < out.size; cut++) {
        meta_walk_t walk;
        journal_meta_t meta;
        int more = meta_begin(&walk, (bytes_t){(const uint8_t *)out.data, cut});

        while (more >= 0 && (more = meta_next(&walk, &meta)) > 0)
            ;
        assert_int_equal(more, -1);
    }
    msgpack_sbuffer_destroy(&out);
}

static void what_is_no_meta_is_refused(void **state) {
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"\x80", 1},                          /* a map */
        {"\x91\x93\xa1p\x01\xc0", 6},         /* three parts */
        {"\x91\x94\x01\x01\xc0\xc0", 6},      /* a producer that is a number */
        {"\x91\x94\xa1p\xff\xc0\xc0", 7},     /* a number below 0 */
        {"\x91\x94\xa1p\x01\xc0\xa1w", 8},    /* a watermark that is text */
        {"\x91\x94\xa1p\x01\xc0\xc0\x01", 8}, /* something after it */
        {"\xdd\xff\xff\xff\xff", 5},          /* a count that lies */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        meta_walk_t walk;
        journal_meta_t meta;
        int more = meta_begin(&walk, (bytes_t){(const uint8_t *)cases[i].bytes, cases[i].size});

        while (more >= 0 && (more = meta_next(&walk, &meta)) > 0)
            ;
        if (more != -1) fail_msg("case %zu is taken for a meta", i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metas_come_back_as_they_were_and_have_the_size_foretold),
        cmocka_unit_test(a_meta_cut_off_at_any_byte_is_none),
        cmocka_unit_test(what_is_no_meta_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
