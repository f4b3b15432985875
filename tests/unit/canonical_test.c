#include "messages/wire.h"

#include "pack.h"

typedef struct vector {
    bytes_t in, out;
} vector_t;
#define VECTOR(in, out)                                                                                                                    \
    {                                                                                                                                      \
        {(const uint8_t *)(in), sizeof(in) - 1}, {                                                                                         \
            (const uint8_t *)(out), sizeof(out) - 1                                                                                        \
        }                                                                                                                                  \
    }

static const vector_t vectors[] = {
    VECTOR("\xc0", "\xc0"),
    VECTOR("\xc2", "\xc2"),
    VECTOR("\xc3", "\xc3"),
    /* numbers: the shortest form */
    VECTOR("\xd3\0\0\0\0\0\0\0\5", "\x05"),
    VECTOR("\xcf\0\0\0\0\0\0\0\x7f", "\x7f"),
    VECTOR("\xcf\0\0\0\0\0\0\0\x80", "\xcc\x80"),
    VECTOR("\xd1\x00\xff", "\xcc\xff"),
    VECTOR("\xd3\0\0\0\0\0\0\1\0", "\xcd\x01\x00"),
    VECTOR("\xd3\0\0\0\0\0\1\0\0", "\xce\0\1\0\0"),
    VECTOR("\xcf\0\0\0\1\0\0\0\0", "\xcf\0\0\0\1\0\0\0\0"),
    VECTOR("\xd3\0\0\0\1\0\0\0\0", "\xcf\0\0\0\1\0\0\0\0"),
    VECTOR("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
    VECTOR("\xd3\xff\xff\xff\xff\xff\xff\xff\xe0", "\xe0"),
    VECTOR("\xd3\xff\xff\xff\xff\xff\xff\xff\xdf", "\xd0\xdf"),
    VECTOR("\xd3\x80\0\0\0\0\0\0\0", "\xd3\x80\0\0\0\0\0\0\0"),
    /* floats: a whole number where it is one */
    VECTOR("\xcb\x3f\xf0\0\0\0\0\0\0", "\x01"),
    VECTOR("\xca\x3f\x80\0\0", "\x01"),
    VECTOR("\xcb\x80\0\0\0\0\0\0\0", "\x00"),
    VECTOR("\xca\x80\0\0\0", "\x00"),
    VECTOR("\xcb\x3f\xf8\0\0\0\0\0\0", "\xcb\x3f\xf8\0\0\0\0\0\0"),
    VECTOR("\xca\x3f\xc0\0\0", "\xcb\x3f\xf8\0\0\0\0\0\0"),
    VECTOR("\xca\x3d\xcc\xcc\xcd", "\xcb\x3f\xb9\x99\x99\xa0\0\0\0"),
    VECTOR("\xcb\xc3\xe0\0\0\0\0\0\0", "\xd3\x80\0\0\0\0\0\0\0"),                         /* -2^63 */
    VECTOR("\xcb\x43\xe0\0\0\0\0\0\0", "\xcb\x43\xe0\0\0\0\0\0\0"),                       /* 2^63 */
    VECTOR("\xcb\x43\xdf\xff\xff\xff\xff\xff\xff", "\xcf\x7f\xff\xff\xff\xff\xff\xfc\0"), /* the float below it */
    VECTOR("\xcb\x7f\xf0\0\0\0\0\0\0", "\xcb\x7f\xf0\0\0\0\0\0\0"),
    VECTOR("\xca\xff\x80\0\0", "\xcb\xff\xf0\0\0\0\0\0\0"),
    VECTOR("\xcb\x7f\xf8\0\0\0\0\0\0", "\xcb\x7f\xf8\0\0\0\0\0\0"),
    VECTOR("\xcb\xff\xff\xff\xff\xff\xff\xff\xff", "\xcb\x7f\xf8\0\0\0\0\0\0"),
    VECTOR("\xca\x7f\xa0\0\1", "\xcb\x7f\xf8\0\0\0\0\0\0"),
    /* text and bytes: the shortest header, and never the same */
    VECTOR("\xdb\0\0\0\1x", "\xa1x"),
    VECTOR("\xda\0\1x", "\xa1x"),
    VECTOR("\xd9\1x", "\xa1x"),
    VECTOR("\xc6\0\0\0\1x", "\xc4\1x"),
    VECTOR("\xc5\0\1x", "\xc4\1x"),
    VECTOR("\xd9\x20"
           "12345678901234567890123456789012",
           "\xd9\x20"
           "12345678901234567890123456789012"),
    /* ext */
    VECTOR("\xc9\0\0\0\1\5x", "\xd4\5x"),
    VECTOR("\xc7\x10\x85xxxxxxxxxxxxxxxx", "\xd8\x85xxxxxxxxxxxxxxxx"),
    VECTOR("\xc8\0\3\5xxx", "\xc7\3\5xxx"),
    VECTOR("\xc7\0\5", "\xc7\0\5"),
    /* lists keep their order */
    VECTOR("\xdd\0\0\0\2\2\1", "\x92\2\1"),
    VECTOR("\xdc\0\0", "\x90"),
    /* maps are sorted by the bytes of their keys */
    VECTOR("\xdf\0\0\0\2\xa1"
           "b\1\xa1"
           "a\2",
           "\x82\xa1"
           "a\2\xa1"
           "b\1"),
    VECTOR("\x82\xa2"
           "aa\1\xa1"
           "b\2",
           "\x82\xa1"
           "b\2\xa2"
           "aa\1"),
    VECTOR("\x83\xa1"
           "1\1\xc4\1"
           "1\2\1\3",
           "\x83\1\3\xa1"
           "1\1\xc4\1"
           "1\2"),
    VECTOR("\x82\xcc\xff\1\xcb\x3f\xf0\0\0\0\0\0\0\2", "\x82\1\2\xcc\xff\1"),
    VECTOR("\x82\x82\2\2\1\1\3\x81\1\1\4", "\x82\x81\1\1\4\x82\1\1\2\2\3"),
    VECTOR("\x91\x82\xa1y\x82\xa1"
           "d\1\xa1"
           "c\2\xa1x\xc0",
           "\x91\x82\xa1x\xc0\xa1y\x82\xa1"
           "c\2\xa1"
           "d\1"),
    VECTOR("\xde\0\0", "\x80"),
};

static void canonical_check(bytes_t in, bytes_t expected) {
    refusal_t no;
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    msgpack_sbuffer_write(&out, "kept", 4);
    bytes_t tight = bytes_tight(in, in.size);
    assert_int_equal(wire_walk(tight, &no), 0);
    assert_int_equal(wire_canonical(tight, "payload", &out, &no), 0);
    assert_int_equal(out.size, 4 + expected.size);
    assert_memory_equal(out.data, "kept", 4);
    assert_memory_equal(out.data + 4, expected.data, expected.size);
    msgpack_sbuffer_destroy(&out);
    free((void *)tight.data);
}

static void every_vector_has_its_form(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        canonical_check(vectors[i].in, vectors[i].out);
        canonical_check(vectors[i].out, vectors[i].out);
    }
}

static void a_key_that_is_there_twice_is_refused_and_leaves_the_output_alone(void **state) {
    (void)state;
    static const struct {
        bytes_t in;
        const char *message;
    } samples[] = {
        {{(const uint8_t *)"\x83\xa1"
                           "a\1\xa1"
                           "b\2\xa1"
                           "a\3",
          10},
         "`payload`: a map has the key `a` twice"},
        {{(const uint8_t *)"\x82\xa1"
                           "a\1\xd9\1"
                           "a\1",
          8},
         "`payload`: a map has the key `a` twice"},
        {{(const uint8_t *)"\x82\1\1\xca\x3f\x80\0\0\2", 9}, "`payload`: a map has a key twice"},
        {{(const uint8_t *)"\x91\x82\x81\1\2\1\x81\1\2\1", 10}, "`payload`: a map has a key twice"},
        {{(const uint8_t *)"\x82\xa1\xff\1\xa1\xff\1", 7}, "`payload`: a map has a key twice"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        msgpack_sbuffer out;
        msgpack_sbuffer_init(&out);
        msgpack_sbuffer_write(&out, "kept", 4);
        refusal_t no = {0};
        assert_int_equal(wire_walk(samples[i].in, &no), 0);
        assert_int_equal(wire_canonical(samples[i].in, "payload", &out, &no), -1);
        assert_int_equal(out.size, 4);
        assert_int_equal(no.code, ERROR_BAD_REQUEST);
        assert_string_equal(no.message, samples[i].message);
        assert_string_equal(no.field, "payload");
        msgpack_sbuffer_destroy(&out);
    }
}

static void text_and_bytes_as_keys_are_two_keys(void **state) {
    (void)state;
    canonical_check(BYTES("\x82\xc4\1"
                          "a\1\xa1"
                          "a\2"),
                    BYTES("\x82\xa1"
                          "a\2\xc4\1"
                          "a\1"));
}

static void a_thousand_keys_in_any_order_give_one_form(void **state) {
    (void)state;
    enum { KEYS = 1000 };
    msgpack_sbuffer forms[2];
    refusal_t no;
    for (size_t order = 0; order < 2; order++) {
        msgpack_sbuffer in;
        msgpack_sbuffer_init(&in);
        msgpack_packer packer;
        msgpack_packer_init(&packer, &in, msgpack_sbuffer_write);
        msgpack_pack_map(&packer, KEYS);
        for (int i = 0; i < KEYS; i++) {
            int key = order == 0 ? i : i * 7 % KEYS;
            char text[16];
            snprintf(text, sizeof text, "key %d", key);
            msgpack_pack_str_with_body(&packer, text, strlen(text));
            msgpack_pack_int(&packer, key);
        }
        msgpack_sbuffer_init(&forms[order]);
        assert_int_equal(wire_canonical((bytes_t){(const uint8_t *)in.data, in.size}, "payload", &forms[order], &no), 0);
        assert_int_equal(forms[order].size, in.size);
        msgpack_sbuffer_destroy(&in);
    }
    assert_memory_equal(forms[0].data, forms[1].data, forms[0].size);
    msgpack_sbuffer_destroy(&forms[0]);
    msgpack_sbuffer_destroy(&forms[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vector_has_its_form),
        cmocka_unit_test(a_key_that_is_there_twice_is_refused_and_leaves_the_output_alone),
        cmocka_unit_test(text_and_bytes_as_keys_are_two_keys),
        cmocka_unit_test(a_thousand_keys_in_any_order_give_one_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
