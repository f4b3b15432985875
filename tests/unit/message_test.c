#include "messages/message.h"

#include "pack.h"

static void every_op_and_event_is_found_in_its_scope_and_in_no_other(void **state) {
    (void)state;
    for (int id = MSG_NONE + 1; id < MESSAGE_COUNT; id++) {
        const message_class_t *class = message_class((message_id_t)id);
        size_t size = strlen(class->wire);
        for (unsigned scope = 1; scope <= SCOPE_INTERNAL; scope <<= 1) {
            message_id_t found = message_find(scope, class->wire, size);
            if (class->kind != KIND_ANSWER && (class->scope & scope) != 0) {
                assert_int_equal(found, id);
            } else {
                assert_int_not_equal(found, id);
            }
        }
    }
}

static void what_is_nearly_an_op_is_not_found(void **state) {
    (void)state;
    assert_int_equal(message_find(SCOPE_INGEST, "source.batch", 12), MSG_SOURCE_BATCH);
    static const char *const others[] = {"", "s", "source.batc", "source.batch2", "Source.batch", "source_batch", "push2", "pus"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        bytes_t tight = bytes_tight((bytes_t){(const uint8_t *)others[i], strlen(others[i])}, strlen(others[i]));
        assert_int_equal(message_find(~0U, (const char *)tight.data, tight.size), MSG_NONE);
        free((void *)tight.data);
    }
    assert_int_equal(message_find(SCOPE_INGEST, "source.batch\0", 13), MSG_NONE);
    assert_int_equal(message_find(SCOPE_COMMANDS, "ok", 2), MSG_NONE);
}

static void fields_check(const record_class_t *record) {
    assert_non_null(record->name);
    assert_true(strlen(record->doc) > 0);
    size_t end = 0;
    for (const field_t *field = record->fields; field->name != NULL; field++) {
        assert_int_equal(field->name_size, strlen(field->name));
        assert_true(strlen(field->doc) > 0);
        assert_true(field->kind < TYPE_COUNT_);
        assert_true(field->has_offset >= end && field->has_offset < field->offset && field->offset < record->size);
        end = field->offset + 1;
        bool nested = field->kind == TYPE_LIST || field->kind == TYPE_RECORD || field->kind == TYPE_NAMED;
        assert_int_equal(field->record != NULL, nested);
        for (const field_t *other = record->fields; other < field; other++) {
            assert_string_not_equal(other->name, field->name);
        }
        if (nested) {
            fields_check(field->record);
        }
    }
}

static void every_message_has_a_table_that_fits_its_struct(void **state) {
    (void)state;
    for (int id = MSG_NONE + 1; id < MESSAGE_COUNT; id++) {
        const message_class_t *class = message_class((message_id_t)id);
        fields_check(&class->record);
        assert_ptr_equal(record_class_of((message_id_t)id), &class->record);
        if (class->kind == KIND_REQUEST) {
            assert_non_null(class->owner);
            assert_int_equal(message_class(class->answer)->kind, KIND_ANSWER);
        } else {
            assert_int_equal(class->answer, MSG_NONE);
        }
    }
}

static void a_table_points_at_the_members_of_its_struct(void **state) {
    (void)state;
    const field_t *fields = message_class(MSG_SOURCE_BATCH)->record.fields;
    assert_string_equal(fields[1].name, "tag");
    assert_int_equal(fields[1].kind, TYPE_NAME);
    assert_true(fields[1].required);
    assert_int_equal(fields[1].offset, offsetof(msg_source_batch_t, tag));
    assert_int_equal(fields[1].has_offset, offsetof(msg_source_batch_t, has_tag));
    assert_false(fields[3].required);
    assert_null(fields[7].name);
    const field_t *answer = message_class(MSG_JOB)->record.fields;
    assert_ptr_equal(answer, record_class_job.fields);
    assert_int_equal(message_class(MSG_JOB)->record.size, sizeof(msg_job_t));
}

static void errors_are_found_by_their_names(void **state) {
    (void)state;
    for (unsigned code = 0; code < ERROR_COUNT; code++) {
        assert_int_equal(error_find(error_name((error_code_t)code)), code);
        assert_true(strlen(error_doc((error_code_t)code)) > 0);
    }
    assert_int_equal(error_find("no such code"), ERROR_INTERNAL);
    assert_string_equal(error_name(ERROR_TOO_LARGE), "too_large");
}

static void whatever_changes_or_ends_something_needs_more_than_read(void **state) {
    (void)state;
    assert_int_equal(message_class(MSG_ENGINE_INFO)->permission, PERMISSION_READ);
    assert_int_equal(message_class(MSG_REPLAY_OPEN)->permission, PERMISSION_READ);
    assert_int_equal(message_class(MSG_PUSH)->permission, PERMISSION_WRITE);
    assert_int_equal(message_class(MSG_SOURCE_BATCH)->permission, PERMISSION_WRITE);
    assert_int_equal(message_class(MSG_ENGINE_STOP)->permission, PERMISSION_ADMIN);
    assert_int_equal(message_class(MSG_PING)->permission, PERMISSION_ENGINE);
    for (int id = MSG_NONE + 1; id < MESSAGE_COUNT; id++) {
        const message_class_t *class = message_class((message_id_t)id);
        assert_in_range(class->permission, PERMISSION_READ, PERMISSION_ENGINE);
        if (class->scope == SCOPE_INTERNAL || class->kind == KIND_ANSWER || class->kind == KIND_EVENT)
            assert_int_equal(class->permission, PERMISSION_ENGINE);
    }
}

static void a_key_may_have_no_permission_but_three(void **state) {
    (void)state;
    for (permission_t permission = PERMISSION_READ; permission <= PERMISSION_ADMIN; permission++)
        assert_int_equal(permission_find(permission_name(permission)), permission);
    assert_int_equal(permission_find("engine"), PERMISSION_NONE);
    assert_int_equal(permission_find("none"), PERMISSION_NONE);
    assert_int_equal(permission_find(""), PERMISSION_NONE);
    assert_int_equal(permission_find("Read"), PERMISSION_NONE);
}

static void counters_and_types_have_words(void **state) {
    (void)state;
    for (unsigned i = 0; i < COUNTER_COUNT; i++) {
        assert_true(strlen(counter_name((counter_t)i)) > 0 && strlen(counter_doc((counter_t)i)) > 0);
    }
    for (unsigned i = 0; i < TYPE_COUNT_; i++) {
        assert_true(strlen(field_kind_name((field_kind_t)i)) > 0 && strlen(field_kind_text((field_kind_t)i)) > 0);
        assert_true(strlen(field_kind_doc((field_kind_t)i)) > 0);
    }
    assert_string_equal(field_kind_name(TYPE_POSITIVE), "POSITIVE");
}

static void the_options_have_their_defaults(void **state) {
    (void)state;
    msg_options_t options;
    memset(&options, 0xff, sizeof options);
    options_default(&options);
    for (const field_t *field = message_class(MSG_OPTIONS)->record.fields; field->name != NULL; field++) {
        assert_true(*((const bool *)&options + field->has_offset));
    }
    assert_int_equal(options.recordable_sources.count, 2);
    assert_string_equal(options.recordable_sources.items[1], "beam:transform:pubsub_read:v1");
    assert_int_equal(options.recording_duration_ms, 60000);
    assert_int_equal(options.recording_count_limit, LIMIT_NONE);
    assert_true(options.enable_recording_replay);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_and_event_is_found_in_its_scope_and_in_no_other),
        cmocka_unit_test(what_is_nearly_an_op_is_not_found),
        cmocka_unit_test(every_message_has_a_table_that_fits_its_struct),
        cmocka_unit_test(a_table_points_at_the_members_of_its_struct),
        cmocka_unit_test(errors_are_found_by_their_names),
        cmocka_unit_test(whatever_changes_or_ends_something_needs_more_than_read),
        cmocka_unit_test(a_key_may_have_no_permission_but_three),
        cmocka_unit_test(counters_and_types_have_words),
        cmocka_unit_test(the_options_have_their_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
