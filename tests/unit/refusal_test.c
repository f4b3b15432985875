#include "messages/codec.h"

#include "messages/text.h"
#include "messages/wire.h"
#include "pack.h"

static void encoded(const refusal_t *no, bytes_t echo, bytes_t expected) {
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    refusal_encode(no, echo, &out);
    assert_int_equal(out.size, expected.size);
    assert_memory_equal(out.data, expected.data, expected.size);
    refusal_t back;
    assert_int_equal(refusal_decode((bytes_t){(const uint8_t *)out.data, out.size}, &back), 0);
    assert_int_equal(back.code, no->code);
    assert_string_equal(back.message, no->message);
    assert_string_equal(back.field, no->field);
    assert_int_equal(back.retry, no->retry);
    assert_int_equal(back.expected, no->expected);
    msgpack_sbuffer_destroy(&out);
}

static void a_refusal_is_made_whole(void **state) {
    (void)state;
    refusal_t no;
    memset(&no, 0xff, sizeof no);
    assert_int_equal(refuse(&no, ERROR_NOT_FOUND, NULL, "no job `%s`", "j1"), -1);
    assert_int_equal(no.code, ERROR_NOT_FOUND);
    assert_string_equal(no.message, "no job `j1`");
    assert_string_equal(no.field, "");
    assert_false(no.retry);
    assert_int_equal(no.expected, 0);
}

static void a_refusal_can_be_wrapped_in_itself(void **state) {
    (void)state;
    refusal_t no;
    refuse(&no, ERROR_BAD_REQUEST, "body[1]", "element 1 is short");
    refuse(&no, no.code, no.field, "`push`: %s", no.message);
    assert_string_equal(no.message, "`push`: element 1 is short");
    assert_string_equal(no.field, "body[1]");
}

static void whatever_goes_into_it_comes_out_as_text(void **state) {
    (void)state;
    char text[1000];
    for (size_t i = 0; i + 2 < sizeof text; i += 2) {
        memcpy(text + i, "\xc3\xbc", 3);
    }
    refusal_t no;
    for (size_t shift = 0; shift < 2; shift++) {
        refuse(&no, ERROR_INTERNAL, text + shift, "%s", text + shift);
        assert_true(text_valid(no.message, strlen(no.message)));
        assert_true(text_valid(no.field, strlen(no.field)));
        assert_true(strlen(no.message) > 300);
    }
}

static void it_is_written_with_what_it_has(void **state) {
    (void)state;
    refusal_t no;
    refuse(&no, ERROR_UNKNOWN_OP, NULL, "no op");
    encoded(&no, BYTES(""), pack("{sfs{ssss}}", "ok", "error", "code", "unknown_op", "message", "no op"));
    encoded(&no, BYTES("\x07"), pack("{sfsis{ssss}}", "ok", "id", 7LL, "error", "code", "unknown_op", "message", "no op"));
    refuse(&no, ERROR_CONFLICT, "seq", "skipped");
    no.retry = true;
    no.expected = 300;
    encoded(&no, BYTES(""),
            pack("{sfs{sssssssts"
                 "i}}",
                 "ok", "error", "code", "conflict", "message", "skipped", "field", "seq", "retry", "expected", 300LL));
}

static void what_is_no_refusal_is_not_read_as_one(void **state) {
    (void)state;
    refusal_t no = {.expected = 77};
    const bytes_t others[] = {
        pack("{st}", "ok"),
        pack("{sf}", "ok"),
        pack("{sts{ssss}}", "ok", "error", "code", "limit", "message", "x"),
        pack("{sfs{ss}}", "ok", "error", "code", "limit"),
        pack("{sfs{ss}}", "ok", "error", "message", "x"),
        pack("{sfss}", "ok", "error", "x"),
        pack("[f]"),
        BYTES(""),
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(refusal_decode(others[i], &no), -1);
    }
    assert_int_equal(no.expected, 77);
    assert_int_equal(refusal_decode(pack("{sfs{ssss}}", "ok", "error", "code", "of tomorrow", "message", "x"), &no), 0);
    assert_int_equal(no.code, ERROR_INTERNAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_is_made_whole),
        cmocka_unit_test(a_refusal_can_be_wrapped_in_itself),
        cmocka_unit_test(whatever_goes_into_it_comes_out_as_text),
        cmocka_unit_test(it_is_written_with_what_it_has),
        cmocka_unit_test(what_is_no_refusal_is_not_read_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
