/* What the tests of folders share: one with files, a spool of it, and places in it. */
#ifndef REPRISE_TEST_SPOOLED_H
#define REPRISE_TEST_SPOOLED_H

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "actors/sources/spool.h"

#include "descriptors.h"

static const reading_class_t *const class = &spool_reading;
static char folder[64];
static int descriptors_before;

/* On a disk: of a file in memory it is not known when it was made. */
static inline int folder_make(void **state) {
    (void)state;
    descriptors_before = descriptors_open();
    snprintf(folder, sizeof folder, "/tmp/spool_test.XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline const char *path_of(const char *name) {
    static char paths[2][400];
    static unsigned which;
    char *path = paths[which++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static inline int folder_remove(void **state) {
    (void)state;
    assert_int_equal(descriptors_open(), descriptors_before);
    DIR *all = opendir(folder);
    for (struct dirent *entry; (entry = readdir(all));) {
        if (entry->d_name[0] != '.' || entry->d_name[1] == 'x') remove(path_of(entry->d_name));
    }
    closedir(all);
    return rmdir(folder);
}

static inline void append(const char *name, const char *text) {
    FILE *file = fopen(path_of(name), "a");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static inline void renamed(const char *from, const char *to) {
    assert_int_equal(rename(path_of(from), path_of(to)), 0);
}

static inline void *spool_of(const char *pattern, bool follow) {
    fault_t why = {.text = ""};
    void *spool =
        class->create(&(reading_spec_t){.path = folder, .pattern = pattern, .keys = "", .follow = follow, .element_max = 100000}, &why);
    if (!spool) fail_msg("%s", why.text);
    return spool;
}

static inline void *opened(const char *pattern, bool follow) {
    fault_t why = {.text = ""};
    void *spool = spool_of(pattern, follow);
    if (class->start(spool, false, &why) < 0) fail_msg("%s", why.text);
    return spool;
}

static inline void wake(void *spool) {
    fault_t why = {.text = ""};
    if (class->wake(spool, &why) < 0) fail_msg("%s", why.text);
}

/* What it gives until there is no more, as one text: "one two !text of a gap! three". */
static inline const char *all(void *spool) {
    static char text[100000];
    size_t size = 0;
    text[0] = '\0';
    wake(spool);
    for (;;) {
        fault_t why = {.text = ""};
        bytes_t element;
        int got = class->next(spool, &element, &why);
        if (got < 0) fail_msg("%s", why.text);
        if (got == 0 || got == READING_END) return text;
        const char *space = size > 0 ? " " : "";
        if (got == READING_LOST)
            size += (size_t)snprintf(text + size, sizeof text - size, "%s!%s!", space, class->lost(spool));
        else
            size += (size_t)snprintf(text + size, sizeof text - size, "%s%.*s", space, (int)element.size, (const char *)element.data);
        assert_true(size < sizeof text);
    }
}

static inline void assert_contains(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("\"%s\" does not say \"%s\"", text, part);
}

typedef struct place {
    msgpack_sbuffer cursor;
} place_t;

static inline place_t place_of(void *spool) {
    place_t place;
    msgpack_sbuffer_init(&place.cursor);
    class->place(spool, &place.cursor);
    return place;
}

static inline int resume_at(void *spool, const place_t *place) {
    fault_t why = {.text = ""};
    int got = class->resume(spool, (bytes_t){(const uint8_t *)place->cursor.data, place->cursor.size}, &why);
    if (got == -1) fail_msg("%s", why.text);
    return got;
}

/* Another one, in another process so to say, that goes on there. */
static inline void *resumed(const char *pattern, place_t *place) {
    void *spool = spool_of(pattern, true);
    assert_int_equal(resume_at(spool, place), 0);
    msgpack_sbuffer_destroy(&place->cursor);
    return spool;
}

static inline place_t closed(void **spool) {
    place_t place = place_of(*spool);
    class->destroy(spool);
    return place;
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

#endif
