#include "messages/docs.h"

#include "messages/wire.h"
#include "pack.h"

static char *page(const char *name) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    int result = docs_print(out, name);
    fclose(out);
    assert_int_equal(result, 0);
    return text;
}

static bool client_sees(const message_class_t *class) {
    return class->kind != KIND_ANSWER && class->scope != SCOPE_INTERNAL;
}

static void every_message_that_a_client_sees_has_one_heading_and_no_other_has(void **state) {
    (void)state;
    char *text = page("protocol");
    for (int id = MSG_NONE + 1; id < MESSAGE_COUNT; id++) {
        const message_class_t *class = message_class((message_id_t)id);
        char heading[100];
        snprintf(heading, sizeof heading, "\n### `%s`\n", class->wire);
        const char *found = strstr(text, heading);
        if (client_sees(class)) {
            if (found == NULL || strstr(found + 1, heading) != NULL) {
                fail_msg("%s stands there not once", class->wire);
            }
            for (const field_t *field = class->record.fields; field->name != NULL; field++) {
                char row[100];
                snprintf(row, sizeof row, "| `%s` | ", field->name);
                assert_text(found, row);
                assert_text(found, field->doc);
            }
        } else if (class->scope == SCOPE_INTERNAL) {
            assert_null(found);
        }
    }
    free(text);
}

/* A link without a place to go to: the page is read where these are the headings' anchors. */
static void every_link_within_the_page_has_a_heading(void **state) {
    (void)state;
    char *text = page("protocol");
    char anchors[400][100];
    size_t count = 0;
    for (const char *at = strstr(text, "\n#"); at != NULL; at = strstr(at + 1, "\n#")) {
        const char *from = at + 1 + strspn(at + 1, "#") + 1;
        size_t size = 0;
        for (; *from != '\n'; from++) {
            if (strchr("`.,():", *from) == NULL) {
                anchors[count][size++] = (char)(*from == ' ' ? '-' : *from >= 'A' && *from <= 'Z' ? *from + 32 : *from);
            }
        }
        anchors[count++][size] = '\0';
        assert_true(count < 400);
    }
    size_t links = 0;
    for (const char *at = strstr(text, "](#"); at != NULL; at = strstr(at + 1, "](#"), links++) {
        char wanted[100];
        assert_int_equal(sscanf(at, "](#%99[^)])", wanted), 1);
        size_t i = 0;
        while (i < count && strcmp(anchors[i], wanted) != 0) {
            i++;
        }
        if (i == count) {
            fail_msg("nothing is called #%s", wanted);
        }
    }
    assert_true(links > 100);
    free(text);
}

static void tables_have_one_width_on_every_page(void **state) {
    (void)state;
    static const char *const names[] = {"protocol", "errors", "options", "counters"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *text = page(names[i]);
        size_t width = 0;
        for (const char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
            size_t bars = 0;
            for (const char *at = line; *line == '|' && *at != '\0'; at++) {
                bars += *at == '|' && (at == line || at[-1] != '\\');
            }
            if (width != 0 && bars != 0) {
                assert_int_equal(bars, width);
            }
            width = bars;
        }
        free(text);
    }
}

static void the_smaller_pages_have_every_entry(void **state) {
    (void)state;
    char *errors = page("errors"), *options = page("options"), *counters = page("counters");
    for (unsigned code = 0; code < ERROR_COUNT; code++) {
        assert_text(errors, error_doc((error_code_t)code));
    }
    for (unsigned counter = 0; counter < COUNTER_COUNT; counter++) {
        assert_text(counters, counter_name((counter_t)counter));
    }
    for (const field_t *field = record_class_of(MSG_OPTIONS)->fields; field->name != NULL; field++) {
        assert_text(options, field->name);
    }
    assert_text(options, "| `recording_count_limit` | LIMIT | nil | ");
    assert_text(options, "| `recording_duration_ms` | LIMIT | 60000 | ");
    assert_text(options, "| `reprise:source:*:v1`, `beam:transform:pubsub_read:v1` | ");
    free(errors);
    free(options);
    free(counters);
    assert_int_equal(docs_print(stderr, "no such page"), -1);
}

static bytes_t value_of(bytes_t map, const char *key) {
    bytes_t value = {0};
    assert_true(wire_map_get(map, key, &value));
    return value;
}

static void says(bytes_t map, const char *key, const char *expected) {
    const char *text;
    size_t size;
    assert_true(wire_text(value_of(map, key), &text, &size));
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(text, expected, size);
}

/* Values that stand in a row. */
static bytes_t next(bytes_t *rest) {
    bytes_t value = {rest->data, wire_value_size(*rest)};
    assert_true(value.size > 0);
    rest->data += value.size;
    rest->size -= value.size;
    return value;
}

static bytes_t items_of(bytes_t list) {
    size_t head = list.data[0] == 0xdc ? 3 : 1;
    return (bytes_t){list.data + head, list.size - head};
}

static void the_protocol_as_data_has_no_faults_without_the_flag(void **state) {
    (void)state;
    size_t sizes[2];
    for (int chaos = 0; chaos < 2; chaos++) {
        msgpack_sbuffer out;
        msgpack_packer packer;
        msgpack_sbuffer_init(&out);
        msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
        docs_protocol_ops(&packer, chaos == 1);
        sizes[chaos] = out.size;
        assert_int_equal(memmem(out.data, out.size, "chaos.", 6) != NULL, chaos);
        refusal_t no;
        assert_int_equal(wire_walk((bytes_t){(const uint8_t *)out.data, out.size}, &no), 0);
        msgpack_sbuffer_destroy(&out);
    }
    assert_true(sizes[0] < sizes[1]);
}

static void the_protocol_as_data_has_every_op_with_its_fields(void **state) {
    (void)state;
    msgpack_sbuffer out;
    msgpack_packer packer;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    docs_protocol_ops(&packer, true);
    bytes_t all = {(const uint8_t *)out.data, out.size};
    refusal_t no;
    assert_int_equal(wire_walk(all, &no), 0);
    bytes_t rest = items_of(all);
    size_t count = 0;
    static const struct {
        unsigned scope;
        const char *name;
    } scopes[] = {{SCOPE_COMMANDS, "commands"}, {SCOPE_INGEST, "ingest"}, {SCOPE_TEST_STREAM, "test_stream"}};
    for (size_t i = 0; i < 3; i++) {
        for (int id = MSG_NONE + 1; id < MESSAGE_COUNT; id++) {
            const message_class_t *class = message_class((message_id_t)id);
            if (class->kind == KIND_ANSWER || (class->scope & scopes[i].scope) == 0) {
                continue;
            }
            bytes_t op = next(&rest);
            says(op, "op", class->wire);
            says(op, "endpoint", scopes[i].name);
            says(op, "kind", class->kind == KIND_REQUEST ? "request" : class->kind == KIND_TELL ? "tell" : "event");
            says(op, "permission", permission_name(class->permission));
            bytes_t fields = items_of(value_of(op, "fields"));
            for (const field_t *field = class->record.fields; field->name != NULL; field++) {
                bytes_t map = next(&fields);
                says(map, "name", field->name);
                assert_int_equal(value_of(map, "required").data[0], field->required ? 0xc3 : 0xc2);
            }
            assert_int_equal(fields.size, 0);
            assert_int_equal(value_of(op, "answer").data[0] == 0xc0, class->kind != KIND_REQUEST);
            count++;
        }
    }
    assert_int_equal(rest.size, 0);
    assert_true(count > 50);
    out.size = 0;
    docs_protocol_errors(&packer);
    rest = items_of((bytes_t){(const uint8_t *)out.data, out.size});
    for (unsigned code = 0; code < ERROR_COUNT; code++) {
        says(next(&rest), "code", error_name((error_code_t)code));
    }
    assert_int_equal(rest.size, 0);
    msgpack_sbuffer_destroy(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_that_a_client_sees_has_one_heading_and_no_other_has),
        cmocka_unit_test(every_link_within_the_page_has_a_heading),
        cmocka_unit_test(tables_have_one_width_on_every_page),
        cmocka_unit_test(the_smaller_pages_have_every_entry),
        cmocka_unit_test(the_protocol_as_data_has_every_op_with_its_fields),
        cmocka_unit_test(the_protocol_as_data_has_no_faults_without_the_flag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
