#include "messages/wire.h"

#include "pack.h"

/* One of every head that msgpack has. */
static const char every[] = "\xdc\x00\x2a"
                            "\x00\x7f\xe0\xff\xc0\xc2\xc3"
                            "\xcc\x80\xcd\x01\x00\xce\x00\x01\x00\x00\xcf\xff\xff\xff\xff\xff\xff\xff\xff"
                            "\xd0\x80\xd1\x80\x00\xd2\x80\x00\x00\x00\xd3\x80\x00\x00\x00\x00\x00\x00\x00"
                            "\xca\x3f\xc0\x00\x00\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"
                            "\xa1x\xd9\x01x\xda\x00\x01x\xdb\x00\x00\x00\x01x"
                            "\xc4\x01x\xc5\x00\x01x\xc6\x00\x00\x00\x01x"
                            "\xd4\x05x\xd5\x05xx\xd6\x05xxxx\xd7\x05xxxxxxxx\xd8\x05xxxxxxxxxxxxxxxx"
                            "\xc7\x01\x05x\xc8\x00\x01\x05x\xc9\x00\x00\x00\x01\x05x"
                            "\x90\x91\x00\xdd\x00\x00\x00\x01\x00"
                            "\x80\x81\x00\x00\xde\x00\x01\x00\x00\xdf\x00\x00\x00\x01\x00\x00"
                            "\xa0\xc4\x00\xc7\x00\x05";

static int walk(bytes_t in, refusal_t *no) {
    bytes_t tight = bytes_tight(in, in.size);
    int result = wire_walk(tight, no);
    free((void *)tight.data);
    return result;
}

static void one_of_every_kind_passes(void **state) {
    (void)state;
    refusal_t no;
    if (walk(BYTES(every), &no) < 0) {
        fail_msg("%s", no.message);
    }
    assert_int_equal(wire_value_size(BYTES(every)), sizeof every - 1);
}

static void a_message_cut_off_at_any_byte_is_refused(void **state) {
    (void)state;
    for (size_t size = 0; size < sizeof every - 1; size++) {
        refusal_t no = {0};
        bytes_t tight = bytes_tight(BYTES(every), size);
        assert_int_equal(wire_walk(tight, &no), -1);
        assert_int_equal(wire_value_size(tight), 0);
        assert_int_equal(no.code, ERROR_BAD_REQUEST);
        assert_text(no.message, "cut off");
        free((void *)tight.data);
    }
}

static void bytes_after_the_value_are_refused_and_counted(void **state) {
    (void)state;
    refusal_t no;
    assert_int_equal(walk(BYTES("\x81\x00\x00\x00\xc1"), &no), -1);
    assert_string_equal(no.message, "the message ends at byte 3, but 2 bytes follow");
    assert_int_equal(wire_value_size(BYTES("\x81\x00\x00\x00\xc1")), 3);
}

static void a_count_larger_than_what_follows_is_refused(void **state) {
    (void)state;
    static const bytes_t lies[] = {
        {(const uint8_t *)"\xdd\xff\xff\xff\xff", 5}, {(const uint8_t *)"\xdf\xff\xff\xff\xff", 5},
        {(const uint8_t *)"\xdf\x80\x00\x00\x00", 5}, /* twice that is 2^32 */
        {(const uint8_t *)"\xdc\xff\xff\x00", 4},     {(const uint8_t *)"\x82\x00\x00\x00", 4},
        {(const uint8_t *)"\x93\x00\x00", 3},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        refusal_t no;
        assert_int_equal(walk(lies[i], &no), -1);
    }
    refusal_t no;
    walk(lies[5], &no);
    assert_string_equal(no.message, "the message is cut off: a list of 3 at byte 0, but only 2 bytes follow");
    walk(lies[0], &no);
    assert_string_equal(no.message, "the message is cut off: a list of 4294967295 at byte 0, but only 0 bytes follow");
}

static void a_size_larger_than_what_follows_is_refused(void **state) {
    (void)state;
    static const bytes_t lies[] = {
        {(const uint8_t *)"\xc6\xff\xff\xff\xff", 5},
        {(const uint8_t *)"\xdb\xff\xff\xff\xff", 5},
        {(const uint8_t *)"\xc9\xff\xff\xff\xff\x05", 6},
        {(const uint8_t *)"\xd8\x05xxxxxxxxxxxxxxx", 17},
        {(const uint8_t *)"\xbfxx", 3},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        refusal_t no;
        assert_int_equal(walk(lies[i], &no), -1);
        assert_text(no.message, "cut off");
    }
    refusal_t no;
    walk(lies[4], &no);
    assert_string_equal(no.message, "the message is cut off: text of 31 bytes at byte 0, but only 2 bytes follow");
}

static void nesting_ends_at_the_limit(void **state) {
    (void)state;
    static const char heads[][2] = {"\x91", "\x81"};
    for (size_t kind = 0; kind < 2; kind++) {
        for (size_t depth = 62; depth < 67; depth++) {
            char in[200];
            size_t size = 0;
            for (size_t i = 0; i < depth; i++) {
                in[size++] = heads[kind][0];
                if (kind == 1) {
                    in[size++] = 0;
                }
            }
            in[size++] = 0;
            refusal_t no;
            assert_int_equal(walk((bytes_t){(const uint8_t *)in, size}, &no), depth <= WIRE_DEPTH_MAX ? 0 : -1);
            if (depth > WIRE_DEPTH_MAX) {
                assert_text(no.message, "nested deeper than 64");
            }
        }
    }
}

static void the_depth_of_a_value_counts_lists_and_maps(void **state) {
    (void)state;
    assert_int_equal(wire_depth(BYTES("\x01")), 0);
    assert_int_equal(wire_depth(BYTES("\x90")), 1);
    assert_int_equal(wire_depth(BYTES("\x92\x91\x80\x01")), 3);
    assert_int_equal(wire_depth(BYTES("\x92\x01\x81\x01\x02")), 2);
    assert_int_equal(wire_depth(BYTES("\x81\x91\x01\x91\x91\x01")), 3);
}

static void a_million_levels_are_refused_without_being_entered(void **state) {
    (void)state;
    size_t size = 1000000;
    uint8_t *deep = malloc(size);
    memset(deep, 0x91, size);
    refusal_t no;
    assert_int_equal(wire_walk((bytes_t){deep, size}, &no), -1);
    assert_string_equal(no.message, "the message is nested deeper than 64 at byte 64");
    free(deep);
}

static void more_values_than_the_limit_are_refused(void **state) {
    (void)state;
    size_t count = WIRE_NODES_MAX;
    uint8_t *many = calloc(1, count + 5);
    refusal_t no;
    for (size_t over = 0; over < 2; over++) {
        size_t items = count - 1 + over; /* the list itself is one value */
        memcpy(many, (const uint8_t[]){0xdd, 0, (uint8_t)(items >> 16), (uint8_t)(items >> 8), (uint8_t)items}, 5);
        assert_int_equal(wire_walk((bytes_t){many, items + 5}, &no), over == 0 ? 0 : -1);
    }
    assert_text(no.message, "more than 1048576 values");
    free(many);
}

static void the_byte_that_means_nothing_is_refused(void **state) {
    (void)state;
    refusal_t no;
    assert_int_equal(walk(BYTES("\x92\x01\xc1"), &no), -1);
    assert_string_equal(no.message, "no msgpack: the byte 0xc1 at byte 2 means nothing");
    assert_int_equal(walk(BYTES(""), &no), -1);
    assert_text(no.message, "no value at byte 0 of 0");
}

static void a_key_of_a_map_is_found_whatever_stands_before_it(void **state) {
    (void)state;
    bytes_t inner = BYTES("\x82\xa2op\x01\x93\x01\x02\x90\xc4\x02op");
    bytes_t map = pack("{sri{}[ss]ssssisn}", "opp", &inner, 7LL, "op", "x", "o", "op", "found", "n", 9LL, "id");
    bytes_t value;
    const char *text;
    size_t size;
    assert_true(wire_map_get(map, "op", &value));
    assert_true(wire_text(value, &text, &size));
    assert_memory_equal(text, "found", 5);
    assert_int_equal(size, 5);
    assert_true(wire_map_get(map, "opp", &value));
    assert_int_equal(value.size, inner.size);
    assert_memory_equal(value.data, inner.data, inner.size);
    assert_false(wire_map_get(map, "absent", &value));
    assert_false(wire_map_get(map, "", &value));
    assert_false(wire_map_get(pack("[ss]", "op", "x"), "op", &value));
    assert_false(wire_map_get(BYTES(""), "op", &value));
}

/* The contract asks for a walk before; a caller that forgets it shall not hang for a minute. */
static void a_map_that_lies_ends_where_its_bytes_end(void **state) {
    (void)state;
    bytes_t value;
    assert_false(wire_map_get(BYTES("\xdf\xff\xff\xff\xff\xa1x\x01"), "op", &value));
    assert_false(wire_map_get(BYTES("\xdf\xff\xff\xff\xff\xa2op"), "op", &value));
    bytes_t tight = bytes_tight(BYTES("\x81\xa2o"), 3);
    assert_false(wire_map_get(tight, "op", &value));
    free((void *)tight.data);
    assert_true(wire_map_get(BYTES("\xdf\xff\xff\xff\xff\xa2op\x01"), "op", &value));
}

static void numbers_are_read_in_every_width(void **state) {
    (void)state;
    int64_t whole = 0;
    static const struct {
        const char *bytes;
        size_t size;
        int64_t whole;
    } samples[] = {
        {"\x7f", 1, 127},
        {"\xe0", 1, -32},
        {"\xcc\xff", 2, 255},
        {"\xcd\xff\xff", 3, 65535},
        {"\xce\xff\xff\xff\xff", 5, 4294967295},
        {"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9, INT64_MAX},
        {"\xd0\x80", 2, -128},
        {"\xd1\x80\x00", 3, -32768},
        {"\xd2\x80\x00\x00\x00", 5, INT32_MIN},
        {"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9, INT64_MIN},
        {"\xd3\0\0\0\0\0\0\0\5", 9, 5},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        assert_true(wire_int((bytes_t){(const uint8_t *)samples[i].bytes, samples[i].size}, &whole));
        assert_int_equal(whole, samples[i].whole);
        assert_false(wire_int((bytes_t){(const uint8_t *)samples[i].bytes, samples[i].size - 1}, &whole));
    }
    assert_false(wire_int(BYTES("\xcf\x80\0\0\0\0\0\0\0"), &whole));
    assert_false(wire_int(BYTES("\xcb\x3f\xf0\0\0\0\0\0\0"), &whole));
    assert_false(wire_int(BYTES("\xa1"
                                "5"),
                          &whole));
    const char *text;
    size_t size;
    assert_false(wire_text(BYTES("\xa5"
                                 "abcd"),
                           &text, &size));
    assert_false(wire_text(BYTES("\xc4\x01"
                                 "a"),
                           &text, &size));
    assert_false(wire_text(BYTES(""), &text, &size));
}

static void a_star_stands_for_any_text(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *urn;
        bool matches;
    } samples[] = {
        {"reprise:source:*:v1", "reprise:source:file:v1", true},
        {"reprise:source:*:v1", "reprise:source::v1", true},
        {"reprise:source:*:v1", "reprise:source:a:v1:b:v1", true},
        {"reprise:source:*:v1", "reprise:source:file:v2", false},
        {"reprise:source:*:v1", "reprise:source:file:v11", false},
        {"reprise:source:*:v1", "reprise:source:v1", false},
        {"beam:transform:pubsub_read:v1", "beam:transform:pubsub_read:v1", true},
        {"beam:transform:pubsub_read:v1", "beam:transform:pubsub_read:v", false},
        {"*", "", true},
        {"*", "x", true},
        {"**", "x", true},
        {"", "", true},
        {"", "x", false},
        {"x", "", false},
        {"*a*b", "xaxxb", true},
        {"*a*b", "xaxxbc", false},
        {"a*a", "a", false},
        {"*aab", "aaab", true},
        {"a.c", "abc", false},
        {"a?c", "abc", false},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        if (wire_matches(samples[i].pattern, samples[i].urn) != samples[i].matches) {
            fail_msg("\"%s\" against \"%s\"", samples[i].pattern, samples[i].urn);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_every_kind_passes),
        cmocka_unit_test(a_message_cut_off_at_any_byte_is_refused),
        cmocka_unit_test(bytes_after_the_value_are_refused_and_counted),
        cmocka_unit_test(a_count_larger_than_what_follows_is_refused),
        cmocka_unit_test(a_size_larger_than_what_follows_is_refused),
        cmocka_unit_test(nesting_ends_at_the_limit),
        cmocka_unit_test(the_depth_of_a_value_counts_lists_and_maps),
        cmocka_unit_test(a_million_levels_are_refused_without_being_entered),
        cmocka_unit_test(more_values_than_the_limit_are_refused),
        cmocka_unit_test(the_byte_that_means_nothing_is_refused),
        cmocka_unit_test(a_key_of_a_map_is_found_whatever_stands_before_it),
        cmocka_unit_test(a_map_that_lies_ends_where_its_bytes_end),
        cmocka_unit_test(numbers_are_read_in_every_width),
        cmocka_unit_test(a_star_stands_for_any_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
