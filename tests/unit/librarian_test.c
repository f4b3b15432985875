/* The librarian, with the test in the place of all that it asks. */
#include "actors/librarian.h"

#include <dirent.h>

#include "desk.h"
#include "exported.h"

typedef struct library {
    exported_t exported;
    msgpack_sbuffer whole; /* an export of it in msgpack */
    stage_t *stage;
} library_t;

static void library_open(library_t *library, int64_t size_limit) {
    msg_options_t options;
    exported_make(&library->exported);
    library->whole = exported_whole(&library->exported, "msgpack", NULL, 1 << 20);
    library->stage = stage_create(3, library->exported.store.data);
    stage_config(library->stage)->segment_bytes = EXPORTED_SEGMENT;
    stage_add(library->stage, &librarian_class, "librarian", (bytes_t){0});
    options_default(&options);
    options.recording_size_limit = size_limit;
    options.min_free_disk = 0;
    desk_answer(library->stage, "catalog", MSG_OPTIONS_GET, &options);
    assert_true(stage_is_ready(library->stage, "librarian"));
}

static void library_close(library_t *library) {
    stage_destroy(&library->stage);
    msgpack_sbuffer_destroy(&library->whole);
    store_remove(&library->exported.store);
}

/* Folders among the recordings; what was there before is one. */
static size_t folders(const library_t *library) {
    char path[300];
    size_t count = 0;
    snprintf(path, sizeof path, "%s/recordings", library->exported.store.data);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    closedir(dir);
    return count;
}

static bytes_t part(const library_t *library, size_t from, size_t to) {
    return (bytes_t){(const uint8_t *)library->whole.data + from, to - from};
}

static void send_piece(library_t *library, msg_recording_import_t piece) {
    piece.has_data = true;
    desk_ask(library->stage, "gateway", "librarian", MSG_RECORDING_IMPORT, &piece);
}

static void send_first(library_t *library, bytes_t data) {
    send_piece(library,
               (msg_recording_import_t){.has_format = true, .format = "msgpack", .has_pipeline = true, .pipeline = "p2", .data = data});
    desk_answer(library->stage, "job_supervisor", MSG_JOB_NUMBER, &(msg_job_numbered_t){.job = "j2", .recording = "r2"});
}

static void room(library_t *library, int64_t held) {
    desk_answer(library->stage, "recorder", MSG_ROOM_ASK, &(msg_room_t){.held = held, .least = 1});
}

/* All that is to be on the disk is; how many files that were. */
static size_t synced(library_t *library) {
    const stage_message_t *m;
    size_t count = 0;
    while ((m = stage_take(library->stage, "syncer", MSG_SYNC))) {
        stage_answer(library->stage, m, &(msg_synced_t){0});
        stage_run(library->stage);
        count++;
    }
    return count;
}

static void a_piece_is_answered_once_it_is_on_the_disk(void **state) {
    library_t library;
    (void)state;
    library_open(&library, LIMIT_NONE);
    send_first(&library, part(&library, 0, library.whole.size));
    room(&library, 0);
    assert_true(desk_waits(library.stage, "gateway"));
    assert_true(synced(&library) > 2); /* each of its segments */
    const msg_imported_t *imported = desk_yes(library.stage, "gateway");
    assert_string_equal(imported->import, "r2");
    assert_int_equal(imported->next, 2);
    assert_int_equal(imported->elements, library.exported.totals.elements);
    assert_false(imported->has_recording);
    library_close(&library);
}

/* The last piece: gives what the job supervisor is asked to take. */
static const stage_message_t *adoption(library_t *library) {
    send_first(library, part(library, 0, library->whole.size));
    room(library, 0);
    synced(library);
    desk_yes(library->stage, "gateway");
    send_piece(library, (msg_recording_import_t){.has_import = true, .import = "r2", .has_done = true, .done = true});
    room(library, 0);
    synced(library);
    return desk_take(library->stage, "job_supervisor", MSG_JOB_ADOPT);
}

static void a_recording_is_given_away_remembered_and_its_pipeline_defined(void **state) {
    const char *made_of[] = {"urn:0|00", "urn:1|00"};
    library_t library;
    (void)state;
    library_open(&library, LIMIT_NONE);
    const stage_message_t *m = adoption(&library);
    const msg_job_adopt_t *adopt = m->message;
    assert_string_equal(adopt->folder, ".new-import-r2");
    assert_string_equal(adopt->recording.state, "DONE");
    stage_answer(library.stage, m, &(msg_job_decision_t){.reason = "recording_valid", .has_made_of = true, .made_of = {2, made_of}});
    const msg_signature_record_t *record = desk_answer(library.stage, "signature_checker", MSG_SIGNATURE_RECORD, NULL);
    assert_string_equal(record->pipeline, "p2");
    assert_string_equal(record->job, "j2");
    assert_false(record->pending);
    desk_refuse(library.stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK, ERROR_NOT_FOUND, "no pipeline");
    const msg_pipeline_define_t *define = desk_answer(library.stage, "pipeline_tracker", MSG_PIPELINE_DEFINE, NULL);
    assert_string_equal(define->pipeline.name, "p2");
    assert_int_equal(define->pipeline.transforms.count, 2);
    const msg_imported_t *imported = desk_yes(library.stage, "gateway");
    char digest[33];
    digest_text(&library.exported.totals.digest, digest);
    assert_string_equal(imported->recording, "r2");
    assert_string_equal(imported->digest, digest);
    library_close(&library);
}

static void one_that_is_not_the_pipelines_own_changes_neither_signature_nor_definition(void **state) {
    library_t library;
    (void)state;
    library_open(&library, LIMIT_NONE);
    stage_answer(library.stage, adoption(&library), &(msg_job_decision_t){.reason = "sources_changed"});
    desk_answer(library.stage, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK, &(msg_pipeline_tags_t){0});
    desk_is_quiet(library.stage, "signature_checker", MSG_SIGNATURE_RECORD);
    desk_is_quiet(library.stage, "pipeline_tracker", MSG_PIPELINE_DEFINE);
    assert_true(((const msg_imported_t *)desk_yes(library.stage, "gateway"))->has_recording);
    library_close(&library);
}

static void one_that_is_not_taken_leaves_nothing(void **state) {
    library_t library;
    (void)state;
    library_open(&library, LIMIT_NONE);
    const stage_message_t *m = adoption(&library);
    assert_int_equal(folders(&library), 2);
    stage_refuse(library.stage, m, ERROR_INVALID_STATE, "a job is running");
    assert_int_equal(desk_no(library.stage, "gateway").code, ERROR_INVALID_STATE);
    assert_int_equal(folders(&library), 1);
    library_close(&library);
}

static void a_disk_that_fails_or_is_full_ends_the_import(void **state) {
    library_t library;
    (void)state;
    library_open(&library, 10000);
    send_first(&library, part(&library, 0, 1000));
    room(&library, 9500);
    refusal_t no = desk_no(library.stage, "gateway");
    assert_int_equal(no.code, ERROR_NO_SPACE);
    assert_string_equal(no.field, "recording_size_limit");
    send_first(&library, part(&library, 0, 1000));
    room(&library, 0);
    desk_refuse(library.stage, "syncer", MSG_SYNC, ERROR_INTERNAL, "cannot sync");
    assert_int_equal(desk_no(library.stage, "gateway").code, ERROR_INTERNAL);
    assert_int_equal(folders(&library), 1);
    library_close(&library);
}

static void an_import_that_hears_nothing_is_forgotten(void **state) {
    library_t library;
    (void)state;
    library_open(&library, LIMIT_NONE);
    send_first(&library, part(&library, 0, 1000));
    room(&library, 0);
    synced(&library);
    desk_yes(library.stage, "gateway");
    stage_advance(library.stage, INT64_C(599000000));
    assert_int_equal(folders(&library), 2);
    stage_advance(library.stage, INT64_C(2000000));
    assert_int_equal(folders(&library), 1);
    send_piece(&library, (msg_recording_import_t){.has_import = true, .import = "r2"});
    assert_int_equal(desk_no(library.stage, "gateway").code, ERROR_NOT_FOUND);
    library_close(&library);
}

/* Begins imports until one is refused; how many that were. */
static int fill(library_t *library, int64_t apart) {
    for (int count = 0; count < 20; count++) {
        char recording[8];
        snprintf(recording, sizeof recording, "r%d", 10 + count);
        send_piece(library, (msg_recording_import_t){.has_format = true, .format = "msgpack", .data = part(library, 0, 1000)});
        const stage_message_t *m = stage_take(library->stage, "job_supervisor", MSG_JOB_NUMBER);
        if (!m) return count;
        stage_answer(library->stage, m, &(msg_job_numbered_t){.job = "j", .recording = recording});
        stage_run(library->stage);
        room(library, 0);
        synced(library);
        desk_yes(library->stage, "gateway");
        stage_advance(library->stage, apart);
    }
    return 20;
}

static void one_that_was_left_makes_way_for_another(void **state) {
    library_t library;
    (void)state;
    library_open(&library, LIMIT_NONE);
    assert_int_equal(fill(&library, INT64_C(7000000)), 8); /* the first one is silent for 56 s */
    assert_int_equal(desk_no(library.stage, "gateway").code, ERROR_LIMIT);
    assert_int_equal(folders(&library), 9);
    stage_advance(library.stage, INT64_C(5000000));
    assert_int_equal(fill(&library, 0), 1);
    assert_int_equal(desk_no(library.stage, "gateway").code, ERROR_LIMIT);
    assert_int_equal(folders(&library), 9);
    send_piece(&library, (msg_recording_import_t){.has_import = true, .import = "r11"});
    room(&library, 0);
    synced(&library);
    desk_yes(library.stage, "gateway");
    library_close(&library);
}

static void a_second_piece_waits_for_the_first_and_an_end_to_it_does_not(void **state) {
    library_t library;
    (void)state;
    library_open(&library, LIMIT_NONE);
    send_first(&library, part(&library, 0, 1000));
    desk_ask(library.stage, "second", "librarian", MSG_RECORDING_IMPORT, &(msg_recording_import_t){.has_import = true, .import = "r2"});
    assert_int_equal(desk_no(library.stage, "second").code, ERROR_CONFLICT);
    room(&library, 0);
    msg_recording_import_t abandon = {.has_import = true, .import = "r2", .has_abandon = true, .abandon = true};
    desk_ask(library.stage, "second", "librarian", MSG_RECORDING_IMPORT, &abandon);
    desk_yes(library.stage, "second");
    assert_int_equal(desk_no(library.stage, "gateway").code, ERROR_CONFLICT);
    assert_int_equal(folders(&library), 1);
    synced(&library);
    assert_true(stage_is_ready(library.stage, "librarian"));
    library_close(&library);
}

static void a_state_that_fails_leaves_nothing_of_its_imports(void **state) {
    library_t library;
    msg_options_t options;
    (void)state;
    library_open(&library, LIMIT_NONE);
    send_first(&library, part(&library, 0, 1000));
    room(&library, 0);
    synced(&library);
    desk_yes(library.stage, "gateway");
    stage_fail(library.stage, "librarian");
    options_default(&options);
    desk_answer(library.stage, "catalog", MSG_OPTIONS_GET, &options);
    assert_int_equal(folders(&library), 1);
    library_close(&library);
}

static void an_export_asks_where_the_recording_is(void **state) {
    library_t library;
    (void)state;
    library_open(&library, LIMIT_NONE);
    msg_recording_export_t ask = {.has_recording = true, .recording = "r1", .format = "msgpack"};
    desk_ask(library.stage, "gateway", "librarian", MSG_RECORDING_EXPORT, &ask);
    desk_answer(library.stage, "recorder", MSG_RECORDING_LOCATE, &library.exported.place);
    const msg_exported_t *exported = desk_yes(library.stage, "gateway");
    assert_true(exported->complete);
    assert_int_equal(exported->data.size, library.whole.size);
    assert_memory_equal(exported->data.data, library.whole.data, library.whole.size);
    desk_ask(library.stage, "gateway", "librarian", MSG_RECORDING_EXPORT, &ask);
    desk_refuse(library.stage, "recorder", MSG_RECORDING_LOCATE, ERROR_NOT_FOUND, "there is no recording r1");
    assert_int_equal(desk_no(library.stage, "gateway").code, ERROR_NOT_FOUND);
    library_close(&library);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_piece_is_answered_once_it_is_on_the_disk),
        cmocka_unit_test(a_recording_is_given_away_remembered_and_its_pipeline_defined),
        cmocka_unit_test(one_that_is_not_the_pipelines_own_changes_neither_signature_nor_definition),
        cmocka_unit_test(one_that_is_not_taken_leaves_nothing),
        cmocka_unit_test(a_disk_that_fails_or_is_full_ends_the_import),
        cmocka_unit_test(an_import_that_hears_nothing_is_forgotten),
        cmocka_unit_test(one_that_was_left_makes_way_for_another),
        cmocka_unit_test(a_second_piece_waits_for_the_first_and_an_end_to_it_does_not),
        cmocka_unit_test(a_state_that_fails_leaves_nothing_of_its_imports),
        cmocka_unit_test(an_export_asks_where_the_recording_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
