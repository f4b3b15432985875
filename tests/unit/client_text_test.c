/* What the client writes and reads as text: JSON strings, elements, tables, lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bin/client/element.h"
#include "bin/client/lines.h"
#include "bin/client/print.h"
#include "bin/client/table.h"

/* What was printed, between out_open and out_text. */
static char *out_data;
static size_t out_size;

static FILE *out_open(void) {
    return open_memstream(&out_data, &out_size);
}

static void assert_out(FILE *out, const char *expected) {
    fclose(out);
    assert_string_equal(out_data, expected);
    free(out_data);
}

static bytes_t text_bytes(const char *text) {
    return (bytes_t){(const uint8_t *)text, strlen(text)};
}

static void a_json_string_is_escaped(void **state) {
    (void)state;
    FILE *out = out_open();
    print_json(out, text_bytes("a\"b\\c\n\t\x01é\x7f"));
    assert_out(out, "\"a\\\"b\\\\c\\n\\t\\u0001é\\u007f\"");
}

static void data_that_is_not_text_is_base64(void **state) {
    (void)state;
    FILE *out = out_open();
    print_data(out, text_bytes("plain"));
    print_data(out, text_bytes("\xff"));
    print_data(out, (bytes_t){(const uint8_t *)"a\0", 2});
    print_data(out, (bytes_t){0});
    assert_out(out, "\"plain\"{\"base64\":\"/w==\"}{\"base64\":\"YQA=\"}\"\"");
}

static void control_characters_never_reach_the_terminal(void **state) {
    (void)state;
    char text[] = "a\033[31mb\nc\x7f\xc2\x9b"
                  "2Jé";
    print_clean(text);
    assert_string_equal(text, "a [31mb c   2Jé");
    FILE *out = out_open();
    print_json(out, text_bytes("a\033[31m\x7f\xc2\x9b"
                               "2J\xc2\xa0é\xc2"));
    assert_out(out, "\"a\\u001b[31m\\u007f\\u009b2J\xc2\xa0é\xc2\"");
}

static void an_element_is_printed_in_three_ways(void **state) {
    (void)state;
    static const uint8_t attributes[] = "\x82\xa1k\xa1v\xa1"
                                        "b\xc4\x01\xff";
    element_t element = {.tag = text_bytes("Read"), .event_time = -5, .payload = text_bytes("hi")};
    FILE *out = out_open();
    element_print_json(out, &element);
    assert_out(out, "{\"tag\":\"Read\",\"time\":-5,\"data\":\"hi\"}");
    element.attributes = (bytes_t){attributes, sizeof attributes - 1};
    out = out_open();
    element_print_json(out, &element);
    assert_out(out, "{\"tag\":\"Read\",\"time\":-5,\"data\":\"hi\",\"attributes\":{\"k\":\"v\",\"b\":{\"base64\":\"/w==\"}}}");
    out = out_open();
    element_print_raw(out, &element);
    element_print_hex(out, &element);
    assert_out(out, "hi6869");
}

static void the_bytes_of_a_bin_are_found(void **state) {
    (void)state;
    bytes_t bytes;
    assert_true(element_bin((bytes_t){(const uint8_t *)"\xc5\x00\x01x", 4}, &bytes));
    assert_int_equal(bytes.size, 1);
    assert_int_equal(bytes.data[0], 'x');
    assert_false(element_bin((bytes_t){(const uint8_t *)"\xa1x", 2}, &bytes));
    assert_false(element_bin((bytes_t){0}, &bytes));
}

static void a_tables_columns_line_up(void **state) {
    (void)state;
    table_t table;
    table_init(&table, (const char *const[]){"NAME", ">N", "STATE", NULL});
    table_add(&table, "é");
    table_add(&table, "%d", 1000);
    table_add(&table, "a");
    table_add(&table, "longer");
    table_add(&table, "%d", 1);
    table_add(&table, "b\nc");
    FILE *out = out_open();
    table_print(&table, out);
    table_fini(&table);
    assert_out(out, "NAME       N  STATE\n"
                    "é       1000  a\n"
                    "longer     1  b c\n");
}

static void a_table_fits_into_80_columns(void **state) {
    (void)state;
    table_t table;
    table_init(&table, (const char *const[]){"A", "B", NULL});
    table_add(&table, "%s", "0123456789");
    table_add(&table, "%s", "ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé");
    FILE *out = out_open();
    table_print(&table, out);
    table_fini(&table);
    fclose(out);
    char *row = strchr(out_data, '\n') + 1;
    *strchr(row, '\n') = '\0';
    assert_int_equal(print_width(row), 80);
    assert_non_null(strstr(row, "éé…"));
    free(out_data);
}

static void the_column_that_gives_way_first_leaves_the_others_whole(void **state) {
    (void)state;
    table_t table;
    table_init(&table, (const char *const[]){"~NAME", "STATE", NULL});
    table_add(&table, "%s", "a-name-of-30-letters-in-a-list");
    table_add(&table, "%s", "fifty-five letters, none of which anybody wants to lose");
    FILE *out = out_open();
    table_print(&table, out);
    table_fini(&table);
    assert_out(out, "NAME                     STATE\n"
                    "a-name-of-30-letters-i…  fifty-five letters, none of which anybody wants to lose\n");
}

static int pipe_with(const char *text, size_t size) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], text, size), size);
    close(ends[1]);
    return ends[0];
}

static void assert_line(lines_t *lines, const char *expected) {
    bytes_t line;
    assert_true(lines_next(lines, &line));
    assert_int_equal(line.size, strlen(expected));
    assert_memory_equal(line.data, expected, line.size);
}

static void lines_lose_only_their_ends(void **state) {
    (void)state;
    fault_t why;
    bytes_t line;
    lines_t lines;
    lines_init(&lines, pipe_with("a\r\n\nb\nrest", 10), "test");
    assert_false(lines_next(&lines, &line));
    assert_int_equal(lines_read(&lines, &why), 0);
    assert_line(&lines, "a\r");
    assert_line(&lines, "");
    assert_line(&lines, "b");
    assert_false(lines_next(&lines, &line));
    assert_int_equal(lines_read(&lines, &why), 0);
    assert_true(lines.ended);
    assert_line(&lines, "rest");
    assert_false(lines_next(&lines, &line));
    close(lines.descriptor);
    lines_fini(&lines);
}

static void a_line_may_come_in_pieces(void **state) {
    (void)state;
    fault_t why;
    bytes_t line;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    lines_t lines;
    lines_init(&lines, ends[0], "test");
    assert_int_equal(write(ends[1], "x\nab", 4), 4);
    assert_int_equal(lines_read(&lines, &why), 0);
    assert_line(&lines, "x");
    assert_false(lines_next(&lines, &line));
    assert_int_equal(write(ends[1], "cd\n", 3), 3);
    assert_int_equal(lines_read(&lines, &why), 0);
    assert_line(&lines, "abcd");
    close(ends[0]);
    close(ends[1]);
    lines_fini(&lines);
}

static void a_descriptor_that_cannot_be_read_is_a_fault(void **state) {
    (void)state;
    fault_t why;
    lines_t lines;
    lines_init(&lines, -1, "the file");
    assert_int_equal(lines_read(&lines, &why), -1);
    assert_string_equal(why.text, "cannot read the file: Bad file descriptor");
    lines_fini(&lines);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_json_string_is_escaped),
        cmocka_unit_test(data_that_is_not_text_is_base64),
        cmocka_unit_test(control_characters_never_reach_the_terminal),
        cmocka_unit_test(an_element_is_printed_in_three_ways),
        cmocka_unit_test(the_bytes_of_a_bin_are_found),
        cmocka_unit_test(a_tables_columns_line_up),
        cmocka_unit_test(a_table_fits_into_80_columns),
        cmocka_unit_test(the_column_that_gives_way_first_leaves_the_others_whole),
        cmocka_unit_test(lines_lose_only_their_ends),
        cmocka_unit_test(a_line_may_come_in_pieces),
        cmocka_unit_test(a_descriptor_that_cannot_be_read_is_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
