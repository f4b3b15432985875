/* What the tests of the file source share: a file in a folder, and what of it is recorded. */
#ifndef REPRISE_TEST_FILED_H
#define REPRISE_TEST_FILED_H

#include "actors/sources/source_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingest_double.h"
#include "pack.h"

static char folder[64];
static char log_path[96], old_path[96];

static inline int setup(void **state) {
    snprintf(folder, sizeof folder, "/tmp/source_file_test.XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(log_path, sizeof log_path, "%s/log", folder);
    snprintf(old_path, sizeof old_path, "%s/log.1", folder);
    return ingest_setup(state);
}

static inline int teardown(void **state) {
    unlink(log_path);
    unlink(old_path);
    if (rmdir(folder) < 0) return -1;
    return ingest_teardown(state);
}

static inline void append_to(const char *path, const char *text) {
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static inline void append(const char *text) {
    append_to(log_path, text);
}

static inline void start(stage_t *stage, bytes_t payload) {
    stage_add(stage, &source_file_class, "source:1", ingest_args(payload));
    stage_run(stage);
}

static inline void start_plain(stage_t *stage) {
    start(stage, pack("{ss}", "path", log_path));
}

static inline void assert_recorded(const char *const *lines) {
    size_t count = 0;
    for (; lines[count]; count++) {
        if (count >= ingest.count) fail_msg("\"%s\" was not recorded", lines[count]);
        assert_string_equal(ingest.elements[count].text, lines[count]);
    }
    assert_int_equal(ingest.count, count);
}
#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
