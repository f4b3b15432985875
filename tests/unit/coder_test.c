/* Elements as Beam's coders read them in a TestStream. */
#include "pack.h"

#include "actors/sources/coder.h"

static coder_t coder;
static fault_t why;

static void parse(const char *text) {
    if (coder_parse(text, &coder, &why) < 0) fail_msg("%s", why.text);
}

/* What stands before the value, of an element with these attributes. */
static bytes_t before(bytes_t attributes) {
    static uint8_t made[CODER_LENGTH_MAX + CODER_KEY_MAX];
    size_t length;
    bytes_t key;
    assert_int_equal(coder_key(&coder, attributes, made, &length, &key, &why), 0);
    if (key.size > 0) memcpy(made + length, key.data, key.size);
    return (bytes_t){made, length + key.size};
}

static void assert_bytes(bytes_t bytes, const void *wanted, size_t size) {
    assert_int_equal(bytes.size, size);
    if (size > 0) assert_memory_equal(bytes.data, wanted, size);
}

static void bytes_and_text_have_nothing_before_them(void **test) {
    (void)test;
    parse("bytes");
    assert_bytes(before(pack("{ss}", "key", "k")), "", 0);
    parse("string_utf8");
    assert_bytes(before((bytes_t){0}), "", 0);
}

static void a_key_has_its_length_before_it(void **test) {
    (void)test;
    parse("kv<bytes,bytes>");
    assert_bytes(before(pack("{ssss}", "a", "b", "key", "user")), "\4user", 5);
    assert_bytes(before(pack("{sb}", "key", "\xff\xfe")), "\2\xff\xfe", 3);
    assert_bytes(before(pack("{ss}", "other", "x")), "\0", 1);
    assert_bytes(before((bytes_t){0}), "\0", 1);
}

static void a_long_key_has_a_longer_length_and_one_too_long_is_refused(void **test) {
    (void)test;
    static char key[CODER_KEY_MAX + 2];
    memset(key, 'k', sizeof key - 1);
    parse("kv<string_utf8,bytes>");
    uint8_t length[CODER_LENGTH_MAX];
    size_t size;
    bytes_t found;
    assert_int_equal(coder_key(&coder, pack("{ss}", "key", key), length, &size, &found, &why), -1);
    assert_string_equal(why.text, "an element's key has 65536 bytes, and a `kv` takes no more than 65535");
    key[CODER_KEY_MAX] = '\0';
    assert_int_equal(coder_key(&coder, pack("{ss}", "key", key), length, &size, &found, &why), 0);
    assert_int_equal(size, 3);
    assert_memory_equal(length, "\xff\xff\x03", 3);
    key[128] = '\0';
    assert_bytes((bytes_t){before(pack("{ss}", "key", key)).data, 2}, "\x80\x01", 2);
}

static void what_is_no_utf8_is_told_by_its_part(void **test) {
    (void)test;
    parse("kv<string_utf8,string_utf8>");
    assert_int_equal(coder_check(&coder,
                                 BYTES("\1k"
                                       "v\xc3\xa4\0w"),
                                 &why),
                     0);
    assert_int_equal(coder_check(&coder, BYTES("\1k"), &why), 0);
    assert_int_equal(coder_check(&coder,
                                 BYTES("\1\xff"
                                       "v"),
                                 &why),
                     -1);
    assert_string_equal(why.text, "an element's key is not UTF-8, as its coder `string_utf8` needs");
    assert_int_equal(coder_check(&coder,
                                 BYTES("\1k"
                                       "v\0\xff"),
                                 &why),
                     -1);
    assert_string_equal(why.text, "an element's value is not UTF-8, as its coder `string_utf8` needs");
    parse("kv<bytes,string_utf8>");
    assert_int_equal(coder_check(&coder,
                                 BYTES("\1\xff"
                                       "v"),
                                 &why),
                     0);
    parse("bytes");
    assert_int_equal(coder_check(&coder, BYTES("\xff"), &why), 0);
}

static void other_coders_are_refused_by_name(void **test) {
    (void)test;
    assert_int_equal(coder_parse("kv<bytes>", &coder, &why), -1);
    assert_string_equal(why.text, "`coder` must be bytes, string_utf8, or kv<K,V> of these, not `kv<bytes>`");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_and_text_have_nothing_before_them),
        cmocka_unit_test(a_key_has_its_length_before_it),
        cmocka_unit_test(a_long_key_has_a_longer_length_and_one_too_long_is_refused),
        cmocka_unit_test(what_is_no_utf8_is_told_by_its_part),
        cmocka_unit_test(other_coders_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
