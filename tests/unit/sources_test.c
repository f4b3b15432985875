/* The table of sources. */
#include "actors/sources/sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_source_is_found_by_its_urn(void **state) {
    (void)state;
    const source_kind_t *kind = source_kind_find("reprise:source:generator:v1");
    assert_non_null(kind);
    assert_string_equal(kind->class->name, "source_generator");
    kind = source_kind_find("reprise:source:file:v1");
    assert_non_null(kind);
    assert_string_equal(kind->class->name, "source_file");
}

static void a_push_source_has_no_actor(void **state) {
    (void)state;
    const source_kind_t *kind = source_kind_find("reprise:source:push:v1");
    assert_non_null(kind);
    assert_null(kind->class);
}

static void what_is_not_in_the_table_is_not_found(void **state) {
    (void)state;
    assert_null(source_kind_find("reprise:source:generator:v2"));
    assert_null(source_kind_find("reprise:source:generator"));
    assert_null(source_kind_find(""));
}

static void every_source_inside_speaks_ingest_at_its_door(void **state) {
    (void)state;
    size_t count;
    const source_kind_t *kinds = sources(&count);
    assert_true(count >= 3);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(source_kind_find(kinds[i].urn), &kinds[i]);
        assert_true(strlen(kinds[i].doc) > 0);
        if (!kinds[i].class) continue;
        assert_int_equal(kinds[i].class->doors[0].kind, DOOR_DEALER);
        assert_int_equal(kinds[i].class->doors[0].endpoint, ENDPOINT_INGEST);
        assert_int_equal(kinds[i].class->doors[0].scope, SCOPE_INGEST);
        assert_non_null(kinds[i].class->takes[MSG_SOURCE_STOP]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_is_found_by_its_urn),
        cmocka_unit_test(a_push_source_has_no_actor),
        cmocka_unit_test(what_is_not_in_the_table_is_not_found),
        cmocka_unit_test(every_source_inside_speaks_ingest_at_its_door),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
