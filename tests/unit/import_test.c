/* Imports: what is on the disk while they go on, once they are complete, and where they are given up. */
#include "actors/import.h"

#include <dirent.h>

#include "exported.h"

static import_t *begun(const exported_t *exported, const transfer_format_t *format, const msg_pipeline_tags_t *tags) {
    return import_create(&(import_spec_t){.data = exported->store.data,
                                          .recording = "r2",
                                          .job = "j2",
                                          .pipeline = "p2",
                                          .format = format,
                                          .tags = tags,
                                          .now = START,
                                          .segment_bytes = EXPORTED_SEGMENT});
}

static void feed(import_t *import, size_t file, const msgpack_sbuffer *whole, size_t piece) {
    refusal_t no;
    for (size_t at = 0; at < whole->size; at += piece) {
        size_t size = whole->size - at < piece ? whole->size - at : piece;
        if (import_feed(import, file, NULL, (bytes_t){(const uint8_t *)whole->data + at, size}, &no) < 0) fail_msg("%s", no.message);
    }
}

static void finish(import_t *import, size_t step) {
    refusal_t no;
    int more;
    while ((more = import_finish(import, step, &no)) > 0) continue;
    if (more < 0) fail_msg("%s", no.message);
}

/* Folders among the recordings. */
static size_t folders(const exported_t *exported) {
    char path[300];
    size_t count = 0;
    snprintf(path, sizeof path, "%s/recordings", exported->store.data);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    closedir(dir);
    return count;
}

static void an_import_has_the_digest_the_gaps_and_the_end_of_what_was_exported(void **state) {
    static const struct {
        const char *name;
        const transfer_format_t *format;
    } formats[] = {{"msgpack", &transfer_msgpack}, {"json", &transfer_json}};
    exported_t exported;
    char digest[33];
    (void)state;
    exported_make(&exported);
    digest_text(&exported.totals.digest, digest);
    for (size_t f = 0; f < 2; f++) {
        msgpack_sbuffer whole = exported_whole(&exported, formats[f].name, NULL, 1 << 20);
        import_t *import = begun(&exported, formats[f].format, NULL);
        feed(import, 0, &whole, 100);
        assert_int_equal(import_elements(import), exported.totals.elements);
        finish(import, 1);
        const msg_manifest_t *manifest = import_manifest(import);
        assert_string_equal(manifest->digest, digest);
        assert_string_equal(manifest->recording.state, "DONE");
        assert_string_equal(manifest->recording.stop_reason, "sources_ended");
        assert_string_equal(manifest->recording.pipeline, "p2");
        assert_int_equal(manifest->recording.started, START);
        assert_int_equal(manifest->recording.ended, START + 2000);
        assert_int_equal(manifest->gaps.count, 2);
        assert_false(manifest->recording.streams.items[0].ended);
        assert_true(manifest->recording.streams.items[1].ended);
        assert_true(manifest->recording.kept);
        import_destroy(&import);
        assert_int_equal(folders(&exported), 1);
        msgpack_sbuffer_destroy(&whole);
    }
    store_remove(&exported.store);
}

static void every_segment_is_named_for_the_disk_and_verification_finds_nothing(void **state) {
    exported_t exported;
    uint64_t *numbers;
    size_t count, named = 0;
    char folder[600];
    fault_t why;
    (void)state;
    exported_make(&exported);
    msgpack_sbuffer whole = exported_whole(&exported, "msgpack", NULL, 1 << 20);
    import_t *import = begun(&exported, &transfer_msgpack, NULL);
    for (size_t at = 0; at < whole.size; at += 1000) {
        refusal_t no;
        size_t size = whole.size - at < 1000 ? whole.size - at : 1000;
        assert_int_equal(import_feed(import, 0, NULL, (bytes_t){(const uint8_t *)whole.data + at, size}, &no), 0);
        names_t written = import_written(import);
        if (written.count > 0) named += written.count - 1; /* the last is the one that is being written */
        folder_free(&written);
    }
    finish(import, 1);
    snprintf(folder, sizeof folder, "%s/recordings/%s", exported.store.data, import_folder(import));
    ok(segment_list(folder, &numbers, &count, &why), why);
    assert_true(count > 2);
    assert_int_equal(named, count - 1);
    import_seal(import);
    verify_t *verify = verify_open(folder, (uint64_t)import_manifest(import)->segment, (uint64_t)import_manifest(import)->length, &why);
    assert_non_null(verify);
    while (verify_step(verify, 1 << 20, &why) > 0) continue;
    assert_true(verify_result(verify)->intact);
    verify_close(&verify);
    free(numbers);
    import_destroy(&import);
    msgpack_sbuffer_destroy(&whole);
    store_remove(&exported.store);
}

static void files_of_one_tag_are_merged_by_time(void **state) {
    exported_t exported;
    msg_tag_t known = {.tag = "urn:1|00", .signature = "my:urn|01"};
    msg_pipeline_tags_t tags = {.tags = {1, &known}};
    (void)state;
    exported_make(&exported);
    msgpack_sbuffer first = exported_whole(&exported, "beam", "urn:0|00", 1 << 20),
                    second = exported_whole(&exported, "beam", "urn:1|00", 1 << 20);
    import_t *import = begun(&exported, &transfer_beam, &tags);
    feed(import, 0, &first, 100);
    feed(import, 1, &second, 1 << 20);
    finish(import, 100);
    const msg_manifest_t *manifest = import_manifest(import);
    assert_int_equal(manifest->recording.elements, exported.totals.elements);
    assert_int_equal(manifest->recording.started, START);
    assert_int_equal(manifest->gaps.count, 2); /* the one of all streams stood in both files */
    assert_string_equal(manifest->recording.streams.items[1].signature, "my:urn|01");
    assert_string_equal(manifest->recording.streams.items[1].urn, "my:urn");
    assert_string_equal(manifest->recording.streams.items[0].urn, "reprise:source:import:v1");
    assert_string_equal(manifest->recording.streams.items[0].signature, "reprise:source:import:v1|msgpack:a875726e3a307c3030");
    char folder[600];
    fault_t why;
    snprintf(folder, sizeof folder, "%s/recordings/%s", exported.store.data, import_folder(import));
    import_seal(import);
    reader_t *reader = reader_open(folder, (uint64_t)manifest->segment, (uint64_t)manifest->length, (uint64_t)manifest->recording.elements,
                                   EXPORTED_SEGMENT, &why);
    assert_non_null(reader);
    position_t position = {0};
    record_view_t record;
    int64_t at = 0;
    uint32_t turns = 0, last = 9;
    while (reader_next(reader, &position, &record, &why) > 0) {
        assert_true(record.at >= at);
        at = record.at;
        if (record.kind != RECORD_ELEMENTS) continue;
        turns += record.stream != last;
        last = record.stream;
    }
    assert_true(turns > 30); /* the two take turns, as they were recorded */
    reader_close(&reader);
    import_destroy(&import);
    assert_int_equal(folders(&exported), 1);
    msgpack_sbuffer_destroy(&first);
    msgpack_sbuffer_destroy(&second);
    store_remove(&exported.store);
}

/* Why it is refused, at one of the pieces or at the end. */
static refusal_t refused(import_t *import, const void *data, size_t size) {
    refusal_t no;
    if (import_feed(import, 0, NULL, (bytes_t){data, size}, &no) == 0) assert_int_equal(import_finish(import, 1 << 20, &no), -1);
    return no;
}

static void what_is_not_whole_is_no_recording_and_leaves_nothing(void **state) {
    exported_t exported;
    (void)state;
    exported_make(&exported);
    msgpack_sbuffer whole = exported_whole(&exported, "json", NULL, 1 << 20);
    for (size_t size = 0; size < whole.size; size += 97) {
        import_t *import = begun(&exported, &transfer_json, NULL);
        refusal_t no = refused(import, whole.data, size);
        assert_int_equal(no.code, ERROR_BAD_REQUEST);
        assert_non_null(strstr(no.message, "line "));
        import_destroy(&import);
        assert_int_equal(folders(&exported), 1);
    }
    msgpack_sbuffer_destroy(&whole);
    store_remove(&exported.store);
}

#define HEAD "{\"reprise\":1,\"pipeline\":\"p\",\"start\":5,\"streams\":[{\"signature\":\"u|\",\"urn\":\"u\",\"tags\":[\"a\"]}]}\n"

static void what_no_recording_has_is_refused(void **state) {
    static const struct {
        const char *lines, *problem;
    } wrong[] = {
        {"{\"event\":\"watermark\",\"tag\":\"a\",\"at\":4,\"to\":1}\n", "line 2: its time is earlier"},
        {"{\"event\":\"watermark\",\"tag\":\"a\",\"at\":5,\"to\":1}\n{\"event\":\"watermark\",\"tag\":\"a\",\"at\":5,\"to\":1}\n",
         "line 3: its watermark does not advance"},
        {"{\"event\":\"stream_ended\",\"tag\":\"a\",\"at\":5}\n{\"tag\":\"a\",\"time\":1,\"data\":\"\"}\n", "line 3: its stream has ended"},
        {"{\"event\":\"end\",\"at\":5,\"count\":0}\n{\"event\":\"end\",\"at\":5,\"count\":0}\n", "line 3: something stands after the end"},
        {"{\"event\":\"end\",\"at\":5,\"count\":1}\n", "line 2: the file has 0 elements"},
        {"{\"event\":\"end\",\"at\":5,\"count\":0,\"digest\":\"1\"}\n", "line 2: the digest of what was read is 0000"},
        {"{\"event\":\"end\",\"at\":4611686018427387904,\"count\":0}\n", "line 2: its time is not 0 to 2^62"},
        {"", "line 2: the file is cut off: it has no end"},
    };
    exported_t exported;
    (void)state;
    exported_make(&exported);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[600];
        int size = snprintf(text, sizeof text, HEAD "%s", wrong[i].lines);
        import_t *import = begun(&exported, &transfer_json, NULL);
        refusal_t no = refused(import, text, (size_t)size);
        if (strncmp(no.message, wrong[i].problem, strlen(wrong[i].problem)) != 0) fail_msg("%s: %s", wrong[i].lines, no.message);
        import_destroy(&import);
    }
    assert_int_equal(folders(&exported), 1);
    store_remove(&exported.store);
}

static void what_would_not_fit_into_a_manifest_is_refused(void **state) {
    static const char early[] = "{\"reprise\":1,\"pipeline\":\"p\",\"start\":-1,\"streams\":[]}\n";
    exported_t exported;
    char *text = malloc(10000 + sizeof HEAD);
    (void)state;
    assert_non_null(text);
    exported_make(&exported);
    import_t *import = begun(&exported, &transfer_json, NULL);
    refusal_t no = refused(import, early, sizeof early - 1);
    assert_non_null(strstr(no.message, "line 1: `start` must be 0 to 2^62"));
    import_destroy(&import);
    import = begun(&exported, &transfer_json, NULL);
    int size = sprintf(text, HEAD "{\"event\":\"gap\",\"at\":5,\"what\":\"%08193d\"}\n", 0);
    no = refused(import, text, (size_t)size);
    assert_non_null(strstr(no.message, "line 2: what it says has more than 8,192 bytes"));
    import_destroy(&import);
    free(text);
    store_remove(&exported.store);
}

/* What is in memory of a file is the beginning of an item, and nothing of those before it. */
static void only_what_is_not_whole_waits(void **state) {
    exported_t exported;
    refusal_t no;
    (void)state;
    exported_make(&exported);
    import_t *import = begun(&exported, &transfer_json, NULL);
    char *line = malloc(100000);
    assert_non_null(line);
    memset(line, 'x', 100000);
    assert_int_equal(import_feed(import, 0, NULL, (bytes_t){(const uint8_t *)HEAD, strlen(HEAD)}, &no), 0);
    assert_int_equal(import_waiting(import), 0);
    static const char begin[] = "{\"tag\":\"a\",\"time\":1,\"data\":\"";
    memcpy(line, begin, sizeof begin - 1);
    assert_int_equal(import_feed(import, 0, NULL, (bytes_t){(const uint8_t *)line, 100000}, &no), 0);
    assert_in_range(import_waiting(import), 100000, 130000);
    assert_int_equal(import_feed(import, 0, NULL, (bytes_t){(const uint8_t *)"\"}\n{", 4}, &no), 0);
    assert_int_equal(import_elements(import), 1);
    assert_in_range(import_waiting(import), 1, 10);
    assert_int_equal(import_files(import), 1);
    import_destroy(&import);
    free(line);
    store_remove(&exported.store);
}

static void what_an_earlier_state_left_is_cleared_and_nothing_else(void **state) {
    exported_t exported;
    char path[600];
    fault_t why;
    (void)state;
    exported_make(&exported);
    snprintf(path, sizeof path, "%s/recordings/.new-import-r9", exported.store.data);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(folders(&exported), 2);
    ok(import_clear(exported.store.data, &why), why);
    assert_int_equal(folders(&exported), 1);
    assert_int_equal(access(exported.store.folder, F_OK), 0);
    store_remove(&exported.store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_import_has_the_digest_the_gaps_and_the_end_of_what_was_exported),
        cmocka_unit_test(every_segment_is_named_for_the_disk_and_verification_finds_nothing),
        cmocka_unit_test(files_of_one_tag_are_merged_by_time),
        cmocka_unit_test(what_is_not_whole_is_no_recording_and_leaves_nothing),
        cmocka_unit_test(what_no_recording_has_is_refused),
        cmocka_unit_test(what_would_not_fit_into_a_manifest_is_refused),
        cmocka_unit_test(only_what_is_not_whole_waits),
        cmocka_unit_test(what_an_earlier_state_left_is_cleared_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
