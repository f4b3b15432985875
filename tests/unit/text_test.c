#include "messages/text.h"

#include "pack.h"

typedef struct sample {
    const char *text;
    size_t size;
    bool text_ok, name_ok;
} sample_t;
#define SAMPLE(literal, text_ok, name_ok)                                                                                                  \
    { literal, sizeof(literal) - 1, text_ok, name_ok }

static void texts_and_names_are_what_unicode_says(void **state) {
    (void)state;
    static const sample_t samples[] = {
        SAMPLE("Read", true, true),
        SAMPLE("", true, false),
        SAMPLE("Z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x8e\x89", true, true),
        SAMPLE("a\nb", true, false),
        SAMPLE("a\x7f", true, false),
        SAMPLE("a\xc2\x80", true, false), /* the first of C1 */
        SAMPLE("a\xc2\x9f", true, false), /* the last of C1 */
        SAMPLE("a\xc2\xa0", true, true),  /* a space that does not break */
        SAMPLE("a\0b", false, false),
        SAMPLE("\xc0\x80", false, false),         /* NUL the long way */
        SAMPLE("\xc1\xbf", false, false),         /* too long a form */
        SAMPLE("\xe0\x9f\xbf", false, false),     /* too long a form */
        SAMPLE("\xf0\x8f\xbf\xbf", false, false), /* too long a form */
        SAMPLE("\xe0\xa0\x80", true, true),       /* the smallest of three bytes */
        SAMPLE("\xed\x9f\xbf", true, true),       /* the last before the surrogates */
        SAMPLE("\xed\xa0\x80", false, false),     /* a surrogate */
        SAMPLE("\xed\xbf\xbf", false, false),     /* a surrogate */
        SAMPLE("\xee\x80\x80", true, true),
        SAMPLE("\xf4\x8f\xbf\xbf", true, true),   /* the last code point */
        SAMPLE("\xf4\x90\x80\x80", false, false), /* one after it */
        SAMPLE("\xf8\x88\x80\x80\x80", false, false),
        SAMPLE("\x80", false, false),     /* begins in the middle */
        SAMPLE("\xe2\x82", false, false), /* ends in the middle */
        SAMPLE("\xe2\x28\xa1", false, false),
        SAMPLE("\xff", false, false),
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        bytes_t tight = bytes_tight((bytes_t){(const uint8_t *)samples[i].text, samples[i].size}, samples[i].size);
        if (text_valid((const char *)tight.data, tight.size) != samples[i].text_ok ||
            name_valid((const char *)tight.data, tight.size) != samples[i].name_ok) {
            fail_msg("sample %zu is judged wrongly", i);
        }
        free((void *)tight.data);
    }
}

static void a_name_has_at_most_255_bytes(void **state) {
    (void)state;
    char text[257];
    memset(text, 'n', sizeof text);
    assert_true(name_valid(text, 1));
    assert_true(name_valid(text, 255));
    assert_false(name_valid(text, 256));
    assert_true(text_valid(text, 256));
}

static void mending_replaces_what_is_not_text_and_drops_a_cut_end(void **state) {
    (void)state;
    static const char *const samples[][2] = {
        {"plain \xc3\xbc", "plain \xc3\xbc"},
        {"a\xff\xfe"
         "b",
         "a??b"},
        {"\xe2\x82", ""},
        {"ab\xe2\x82", "ab"},
        {"\xed\xa0\x80", "???"},
        {"\xe2\x28\xa1", "?(?"},
        {"a\nb\x1b[2J\x7f\xc2\x9b\xc2\xa0", "a?b?[2J???\xc2\xa0"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        char text[32];
        strcpy(text, samples[i][0]);
        text_mend(text);
        assert_string_equal(text, samples[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_and_names_are_what_unicode_says),
        cmocka_unit_test(a_name_has_at_most_255_bytes),
        cmocka_unit_test(mending_replaces_what_is_not_text_and_drops_a_cut_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
