/* The catalog: what it is given it gives back, also after it failed and in the next process; and the options. */
#include "desk.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "actors/catalog.h"

static stage_t *with_catalog(const char *data) {
    stage_t *stage = stage_create(3, data);
    stage_add(stage, &catalog_class, "catalog", (bytes_t){0});
    stage_run(stage);
    assert_true(stage_is_ready(stage, "catalog"));
    return stage;
}

static bytes_t text_value(const char *text) {
    static uint8_t bytes[64];
    size_t size = strlen(text);
    bytes[0] = (uint8_t)(0xa0 | size);
    memcpy(bytes + 1, text, size);
    return (bytes_t){bytes, size + 1};
}

static void write_one(stage_t *stage, const char *kind, const char *key, const char *text) {
    msg_document_t document = {.kind = kind, .key = key, .has_value = text != NULL};
    if (text) document.value = text_value(text);
    stage_get(stage, "catalog", MSG_CATALOG_WRITE, &(msg_catalog_write_t){.documents = {1, &document}});
}

static const msg_documents_t *read_all(stage_t *stage, const char *kind) {
    return stage_get(stage, "catalog", MSG_CATALOG_READ, &(msg_catalog_read_t){.kind = kind});
}

static void assert_document(const msg_document_t *document, const char *key, const char *text) {
    bytes_t wanted = text_value(text);
    assert_string_equal(document->key, key);
    assert_int_equal(document->value.size, wanted.size);
    assert_memory_equal(document->value.data, wanted.data, wanted.size);
}

static void documents_come_back_sorted_and_only_those_of_their_kind(void **test) {
    (void)test;
    stage_t *stage = with_catalog(NULL);
    assert_int_equal(read_all(stage, "pipeline")->documents.count, 0);
    write_one(stage, "pipeline", "b", "two");
    write_one(stage, "pipeline", "a", "one");
    write_one(stage, "job", "a", "other");
    write_one(stage, "pipeline", "b", "three");
    const msg_documents_t *all = read_all(stage, "pipeline");
    assert_int_equal(all->documents.count, 2);
    assert_document(&all->documents.items[0], "a", "one");
    assert_document(&all->documents.items[1], "b", "three");
    write_one(stage, "pipeline", "b", NULL);
    write_one(stage, "pipeline", "never", NULL);
    assert_int_equal(read_all(stage, "pipeline")->documents.count, 1);
    stage_destroy(&stage);
}

static void what_was_written_outlives_a_failure(void **test) {
    (void)test;
    stage_t *stage = with_catalog(NULL);
    write_one(stage, "run", "clicks", "history");
    stage_fail(stage, "catalog");
    stage_run(stage);
    assert_document(&read_all(stage, "run")->documents.items[0], "clicks", "history");
    stage_destroy(&stage);
}

static void options_begin_with_their_defaults(void **test) {
    (void)test;
    stage_t *stage = with_catalog(NULL);
    const msg_options_t *options = stage_get(stage, "catalog", MSG_OPTIONS_GET, &(msg_options_get_t){0});
    assert_int_equal(options->recordable_sources.count, 2);
    assert_int_equal(options->recording_duration_ms, 60000);
    assert_int_equal(options->recording_count_limit, LIMIT_NONE);
    assert_true(options->has_recording_count_limit && options->enable_recording_replay);
    stage_destroy(&stage);
}

static void an_option_that_is_set_reaches_its_users_and_the_others_stay(void **test) {
    (void)test;
    static const char *const users[] = {"recorder", "limiter", "signature_checker", "job_supervisor", "test_stream_server"};
    stage_t *stage = with_catalog(NULL);
    const msg_options_t *options =
        stage_get(stage, "catalog", MSG_OPTIONS_SET, &(msg_options_set_t){.has_min_free_disk = true, .min_free_disk = 7});
    assert_int_equal(options->min_free_disk, 7);
    assert_int_equal(options->recording_duration_ms, 60000);
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        const msg_options_changed_t *told = desk_told(stage, users[i], MSG_OPTIONS_CHANGED);
        assert_int_equal(told->min_free_disk, 7);
        assert_int_equal(told->recording_duration_ms, 60000);
        assert_int_equal(told->recordable_sources.count, 2);
    }
    stage_destroy(&stage);
}

static void nil_takes_a_limit_away(void **test) {
    (void)test;
    stage_t *stage = with_catalog(NULL);
    msg_options_set_t set = {.has_recording_duration_ms = true, .recording_duration_ms = LIMIT_NONE};
    const msg_options_t *options = stage_get(stage, "catalog", MSG_OPTIONS_SET, &set);
    assert_int_equal(options->recording_duration_ms, LIMIT_NONE);
    stage_fail(stage, "catalog");
    stage_run(stage);
    options = stage_get(stage, "catalog", MSG_OPTIONS_GET, &(msg_options_get_t){0});
    assert_int_equal(options->recording_duration_ms, LIMIT_NONE);
    stage_destroy(&stage);
}

static void options_outlive_the_process(void **test) {
    (void)test;
    char folder[] = "/tmp/reprise-catalog-XXXXXX", path[128];
    assert_non_null(mkdtemp(folder));
    stage_t *stage = with_catalog(folder);
    const char *urns[] = {"mine:*"};
    msg_options_set_t set = {.has_recordable_sources = true, .recordable_sources = {1, urns}, .has_enable_recording_replay = true};
    stage_get(stage, "catalog", MSG_OPTIONS_SET, &set);
    stage_destroy(&stage);
    stage = with_catalog(folder);
    const msg_options_t *options = stage_get(stage, "catalog", MSG_OPTIONS_GET, &(msg_options_get_t){0});
    assert_int_equal(options->recordable_sources.count, 1);
    assert_string_equal(options->recordable_sources.items[0], "mine:*");
    assert_false(options->enable_recording_replay);
    assert_int_equal(options->recording_duration_ms, 60000);
    stage_destroy(&stage);
    static const char *const files[] = {"catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/recordings", folder);
    rmdir(path);
    assert_int_equal(rmdir(folder), 0);
}

/* As on a full disk, no file may grow. */
static void let_files_grow(bool may) {
    static struct rlimit before;
    struct rlimit now = {0, 0};
    signal(SIGXFSZ, SIG_IGN);
    if (!may) {
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        now.rlim_max = before.rlim_max;
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, may ? &before : &now), 0);
}

static void a_write_that_fails_is_refused_and_takes_nobody_down(void **test) {
    (void)test;
    stage_t *stage = with_catalog(NULL);
    write_one(stage, "run", "clicks", "history");
    msg_document_t bad[] = {{.kind = "run", .key = "a", .has_value = true, .value = text_value("x")}, {.kind = "run", .key = "clicks"}};
    msg_options_set_t set = {.has_min_free_disk = true, .min_free_disk = 7};
    let_files_grow(false);
    uint64_t write = stage_ask(stage, "writer", "catalog", MSG_CATALOG_WRITE, &(msg_catalog_write_t){.documents = {2, bad}});
    stage_run(stage);
    uint64_t option = stage_ask(stage, "setter", "catalog", MSG_OPTIONS_SET, &set);
    stage_run(stage);
    let_files_grow(true);
    assert_true(write && option);
    refusal_t no = desk_no(stage, "writer");
    assert_int_equal(no.code, ERROR_INTERNAL);
    assert_non_null(strstr(no.message, "catalog.sqlite"));
    assert_int_equal(desk_no(stage, "setter").code, ERROR_INTERNAL);
    assert_int_equal(stage_failures(stage, "catalog"), 0);
    desk_is_quiet(stage, "limiter", MSG_OPTIONS_CHANGED);
    const msg_options_t *options = stage_get(stage, "catalog", MSG_OPTIONS_GET, &(msg_options_get_t){0});
    assert_int_equal(options->min_free_disk, 268435456);
    const msg_documents_t *all = read_all(stage, "run");
    assert_int_equal(all->documents.count, 1);
    assert_document(&all->documents.items[0], "clicks", "history");
    write_one(stage, "run", "views", "later");
    assert_int_equal(read_all(stage, "run")->documents.count, 2);
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_come_back_sorted_and_only_those_of_their_kind),
        cmocka_unit_test(what_was_written_outlives_a_failure),
        cmocka_unit_test(options_begin_with_their_defaults),
        cmocka_unit_test(an_option_that_is_set_reaches_its_users_and_the_others_stay),
        cmocka_unit_test(nil_takes_a_limit_away),
        cmocka_unit_test(options_outlive_the_process),
        cmocka_unit_test(a_write_that_fails_is_refused_and_takes_nobody_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
