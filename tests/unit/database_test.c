#include "store.h"

#include <sqlite3.h>

#include "actors/store/database.h"

static database_t *open_in(const store_t *store) {
    fault_t why;
    database_t *database = database_open(store->data, &why);

    if (!database) fail_msg("%s", why.text);
    return database;
}

static msg_document_t document(const char *kind, const char *key, const char *value) {
    return (msg_document_t){.has_kind = true,
                            .kind = kind,
                            .has_key = true,
                            .key = key,
                            .has_value = value != NULL,
                            .value = {(const uint8_t *)value, value ? strlen(value) : 0}};
}

typedef struct listing {
    char text[256];
    int stop_after; /* 0: never */
} listing_t;

static int list_one(void *context, const char *key, bytes_t value) {
    listing_t *listing = context;
    size_t used = strlen(listing->text);

    snprintf(listing->text + used, sizeof listing->text - used, "%s=%.*s ", key, (int)value.size, (const char *)value.data);
    return listing->stop_after > 0 && --listing->stop_after == 0 ? 7 : 0;
}

static void assert_listed(database_t *database, const char *kind, const char *expected) {
    listing_t listing = {0};
    fault_t why;

    ok(database_read(database, kind, list_one, &listing, &why), why);
    assert_string_equal(listing.text, expected);
}

static void documents_come_back_sorted_and_of_their_kind_only(void **state) {
    store_t store;
    fault_t why;

    (void)state;
    store_make(&store, 1);
    database_t *database = open_in(&store);
    msg_document_t documents[] = {document("run", "b", "2"), document("run", "a", "1"), document("job", "a", "9"),
                                  document("run", "c", "")};

    ok(database_write(database, documents, 4, &why), why);
    assert_listed(database, "run", "a=1 b=2 c= ");
    assert_listed(database, "job", "a=9 ");
    assert_listed(database, "option", "");
    database_close(&database);
    assert_null(database);
    database = open_in(&store);
    assert_listed(database, "run", "a=1 b=2 c= ");
    database_close(&database);
    store_remove(&store);
}

static void a_document_is_replaced_and_one_without_a_value_is_deleted(void **state) {
    store_t store;
    fault_t why;

    (void)state;
    store_make(&store, 1);
    database_t *database = open_in(&store);
    msg_document_t first[] = {document("run", "a", "1"), document("run", "b", "2")};
    msg_document_t second[] = {document("run", "a", "3"), document("run", "b", NULL), document("run", "never", NULL)};

    ok(database_write(database, first, 2, &why), why);
    ok(database_write(database, second, 3, &why), why);
    assert_listed(database, "run", "a=3 ");
    database_close(&database);
    store_remove(&store);
}

static void reading_stops_where_the_reader_says_so(void **state) {
    store_t store;
    fault_t why;
    listing_t listing = {.stop_after = 2};

    (void)state;
    store_make(&store, 1);
    database_t *database = open_in(&store);
    msg_document_t documents[] = {document("run", "a", "1"), document("run", "b", "2"), document("run", "c", "3")};

    ok(database_write(database, documents, 3, &why), why);
    assert_int_equal(database_read(database, "run", list_one, &listing, &why), 7);
    assert_string_equal(listing.text, "a=1 b=2 ");
    assert_listed(database, "run", "a=1 b=2 c=3 ");
    database_close(&database);
    store_remove(&store);
}

/* A second connection sees what a second process would. */
static void of_a_write_that_fails_nothing_is_kept(void **state) {
    store_t store;
    fault_t why;
    char path[512];
    sqlite3 *other;

    (void)state;
    store_make(&store, 1);
    database_t *database = open_in(&store);
    msg_document_t good = document("run", "a", "1"), pair[] = {document("run", "a", "2"), document("run", "bad", "3")};

    ok(database_write(database, &good, 1, &why), why);
    snprintf(path, sizeof path, "%s/catalog.sqlite", store.data);
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other,
                                  "CREATE TRIGGER refuse BEFORE INSERT ON documents WHEN NEW.key = 'bad'"
                                  " BEGIN SELECT RAISE(ABORT, 'no such thing'); END",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(database_write(database, pair, 2, &why), -1);
    assert_non_null(strstr(why.text, "catalog.sqlite: no such thing"));
    assert_listed(database, "run", "a=1 ");
    ok(database_write(database, pair, 1, &why), why); /* and the next one is none the worse for it */
    assert_listed(database, "run", "a=2 ");
    sqlite3_close(other);
    database_close(&database);
    store_remove(&store);
}

static void a_newer_schema_is_refused_by_its_number(void **state) {
    store_t store;
    fault_t why;
    char path[512];
    sqlite3 *other;

    (void)state;
    store_make(&store, 1);
    database_t *database = open_in(&store);

    database_close(&database);
    snprintf(path, sizeof path, "%s/catalog.sqlite", store.data);
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "PRAGMA user_version = 9", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    assert_null(database_open(store.data, &why));
    assert_non_null(strstr(why.text, "catalog.sqlite has schema version 9"));
    store_remove(&store);
}

static void a_file_that_is_no_database_is_a_fault_that_names_it(void **state) {
    store_t store;
    fault_t why;
    char path[512];
    uint8_t junk[4096];

    (void)state;
    store_make(&store, 1);
    memset(junk, 'j', sizeof junk);
    snprintf(path, sizeof path, "%s/catalog.sqlite", store.data);
    file_write(path, junk, sizeof junk);
    assert_null(database_open(store.data, &why));
    assert_non_null(strstr(why.text, path));
    store_remove(&store);
    assert_null(database_open("/nowhere/at/all", &why));
    assert_non_null(strstr(why.text, "/nowhere/at/all/catalog.sqlite"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_come_back_sorted_and_of_their_kind_only),
        cmocka_unit_test(a_document_is_replaced_and_one_without_a_value_is_deleted),
        cmocka_unit_test(reading_stops_where_the_reader_says_so),
        cmocka_unit_test(of_a_write_that_fails_nothing_is_kept),
        cmocka_unit_test(a_newer_schema_is_refused_by_its_number),
        cmocka_unit_test(a_file_that_is_no_database_is_a_fault_that_names_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
