/* A folder's files as one stream: their order, their growth, their going, and that no place in it is lost. Real files and real events. */
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

static const reading_class_t *const class = &spool_reading;
static char folder[64];
static int descriptors_before;

static int descriptors_open(void) {
    int count = 0;
    DIR *open = opendir("/proc/self/fd");
    assert_non_null(open);
    while (readdir(open)) count++;
    closedir(open);
    return count;
}

/* On a disk: of a file in memory it is not known when it was made. */
static int folder_make(void **state) {
    (void)state;
    descriptors_before = descriptors_open();
    snprintf(folder, sizeof folder, "/tmp/spool_test.XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static const char *path_of(const char *name) {
    static char paths[2][400];
    static unsigned which;
    char *path = paths[which++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int folder_remove(void **state) {
    (void)state;
    assert_int_equal(descriptors_open(), descriptors_before);
    DIR *all = opendir(folder);
    for (struct dirent *entry; (entry = readdir(all));) {
        if (entry->d_name[0] != '.' || entry->d_name[1] == 'x') remove(path_of(entry->d_name));
    }
    closedir(all);
    return rmdir(folder);
}

static void append(const char *name, const char *text) {
    FILE *file = fopen(path_of(name), "a");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void renamed(const char *from, const char *to) {
    assert_int_equal(rename(path_of(from), path_of(to)), 0);
}

static void *spool_of(const char *pattern, bool follow) {
    fault_t why = {.text = ""};
    void *spool =
        class->create(&(reading_spec_t){.path = folder, .pattern = pattern, .keys = "", .follow = follow, .element_max = 100000}, &why);
    if (!spool) fail_msg("%s", why.text);
    return spool;
}

static void *opened(const char *pattern, bool follow) {
    fault_t why = {.text = ""};
    void *spool = spool_of(pattern, follow);
    if (class->start(spool, false, &why) < 0) fail_msg("%s", why.text);
    return spool;
}

static void wake(void *spool) {
    fault_t why = {.text = ""};
    if (class->wake(spool, &why) < 0) fail_msg("%s", why.text);
}

/* What it gives until there is no more, as one text: "one two !text of a gap! three". */
static const char *all(void *spool) {
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

static void assert_contains(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("\"%s\" does not say \"%s\"", text, part);
}

typedef struct place {
    msgpack_sbuffer cursor;
} place_t;

static place_t place_of(void *spool) {
    place_t place;
    msgpack_sbuffer_init(&place.cursor);
    class->place(spool, &place.cursor);
    return place;
}

static int resume_at(void *spool, const place_t *place) {
    fault_t why = {.text = ""};
    int got = class->resume(spool, (bytes_t){(const uint8_t *)place->cursor.data, place->cursor.size}, &why);
    if (got == -1) fail_msg("%s", why.text);
    return got;
}

/* Another one, in another process so to say, that goes on there. */
static void *resumed(const char *pattern, place_t *place) {
    void *spool = spool_of(pattern, true);
    assert_int_equal(resume_at(spool, place), 0);
    msgpack_sbuffer_destroy(&place->cursor);
    return spool;
}

static place_t closed(void **spool) {
    place_t place = place_of(*spool);
    class->destroy(spool);
    return place;
}

/* ---- order ---- */

static void files_are_read_in_the_order_of_their_names(void **state) {
    (void)state;
    append("b", "3\n4\n");
    append("a", "1\n2\n");
    append("c", "5\n");
    append(".x", "hidden\n");
    assert_int_equal(mkdir(path_of("aa"), 0700), 0);
    void *spool = opened(NULL, false);
    assert_string_equal(all(spool), "1 2 3 4 5");
    class->destroy(&spool);
}

static void a_pattern_chooses_among_names(void **state) {
    (void)state;
    append("app-1.log", "1\n");
    append("app-2.txt", "no\n");
    append("xapp-3.log", "no\n");
    void *spool = opened("app-*.log", true);
    assert_string_equal(all(spool), "1");
    append("app-4.log", "4\n");
    append("other", "no\n");
    assert_string_equal(all(spool), "4");
    class->destroy(&spool);
}

static void new_files_are_read_and_old_ones_are_followed(void **state) {
    (void)state;
    append("a", "1\n");
    void *spool = opened(NULL, true);
    assert_string_equal(all(spool), "1");
    append("c", "5\n");
    append("b", "3\n");
    append("a", "2\n");
    assert_string_equal(all(spool), "2 3 5");
    append("b", "6\n");
    assert_string_equal(all(spool), "6");
    assert_string_equal(all(spool), "");
    class->destroy(&spool);
}

static void a_file_that_comes_before_the_others_is_read_too(void **state) {
    (void)state;
    append("b", "1\n");
    void *spool = opened(NULL, true);
    assert_string_equal(all(spool), "1");
    append("a", "2\n");
    assert_string_equal(all(spool), "2");
    class->destroy(&spool);
}

/* In turns: one that is written to without an end does not keep the others out. */
static void large_files_take_turns(void **state) {
    (void)state;
    static char line[60000];
    memset(line, 'x', sizeof line - 2);
    line[sizeof line - 2] = '\n';
    append("a", "");
    append("b", "");
    void *spool = opened(NULL, true);
    assert_string_equal(all(spool), "");
    for (int i = 0; i < 200; i++) append("a", line);
    append("b", "b\n");
    wake(spool);
    fault_t why;
    bytes_t element;
    int at = -1, count = 0;
    for (; class->next(spool, &element, &why) == 1; count++)
        if (element.size == 1) at = count;
    assert_int_equal(count, 201);
    assert_in_range(at, 60, 100);
    class->destroy(&spool);
}

/* ---- the ends of files ---- */

static void a_last_line_without_a_newline_is_taken_when_its_file_is_closed(void **state) {
    (void)state;
    FILE *file = fopen(path_of("a"), "w");
    assert_non_null(file);
    fputs("one\ntw", file);
    fflush(file);
    void *spool = opened(NULL, true);
    assert_string_equal(all(spool), "one");
    fputs("o\nthr", file);
    fflush(file);
    assert_string_equal(all(spool), "two");
    fputs("ee", file);
    fclose(file);
    assert_string_equal(all(spool), "three");
    class->destroy(&spool);
}

static void a_file_that_is_moved_in_is_whole(void **state) {
    (void)state;
    void *spool = opened(NULL, true);
    append(".x", "one\ntwo");
    assert_string_equal(all(spool), "");
    renamed(".x", "a");
    assert_string_equal(all(spool), "one two");
    class->destroy(&spool);
}

static void without_following_it_ends_with_all_there_is(void **state) {
    (void)state;
    fault_t why;
    bytes_t element;
    append("a", "1\n2");
    append("b", "3");
    void *spool = opened(NULL, false);
    assert_string_equal(all(spool), "1 2 3");
    assert_int_equal(class->next(spool, &element, &why), READING_END);
    assert_int_equal(class->descriptor(spool), -1);
    class->destroy(&spool);
}

static void from_the_end_only_later_lines_are_read(void **state) {
    (void)state;
    fault_t why;
    char name[16];
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "%02d", i);
        append(name, i < 40 ? "old\n" : "old\nhal");
    }
    void *spool = spool_of(NULL, true);
    assert_int_equal(class->start(spool, true, &why), 0);
    assert_string_equal(all(spool), "");
    append("45", "f\n");
    append("60", "new\n");
    assert_string_equal(all(spool), "half new");
    class->destroy(&spool);
}

/* ---- names that change ---- */

static void a_renamed_file_is_followed_under_its_new_name(void **state) {
    (void)state;
    append("log", "1\n");
    void *spool = opened("log*", true);
    assert_string_equal(all(spool), "1");
    renamed("log", "log.1");
    append("log.1", "2\n");
    append("log", "3\n");
    assert_string_equal(all(spool), "2 3");
    append("log.1", "4\n");
    append("log", "5\n");
    renamed("log.1", "log.2");
    renamed("log", "log.1");
    append("log", "6\n");
    assert_string_equal(all(spool), "4 5 6");
    class->destroy(&spool);
}

/* The writer goes on with the old file until it opens the new one. */
static void a_file_that_lost_its_name_is_read_to_its_end_before_its_successor(void **state) {
    (void)state;
    append("a.log", "1\n");
    void *spool = opened("*.log", true);
    FILE *file = fopen(path_of("a.log"), "a");
    assert_non_null(file);
    assert_string_equal(all(spool), "1");
    renamed("a.log", "a.old");
    append("a.log", "");
    assert_string_equal(all(spool), "");
    fputs("2\n", file);
    fflush(file);
    append("a.log", "3\n");
    assert_string_equal(all(spool), "2 3");
    fputs("too late\n", file);
    fclose(file);
    assert_string_equal(all(spool), "");
    class->destroy(&spool);
}

static void a_deleted_file_is_read_to_its_end_and_its_successor_from_its_beginning(void **state) {
    (void)state;
    append("a", "1\n");
    append("b", "2\n");
    void *spool = opened(NULL, true);
    assert_string_equal(all(spool), "1 2");
    append("a", "3\n");
    assert_int_equal(unlink(path_of("a")), 0);
    append("a", "4\n");
    assert_string_equal(all(spool), "3 4");
    class->destroy(&spool);
}

static void a_truncated_file_has_a_gap(void **state) {
    (void)state;
    append("a", "one\ntwo\n");
    void *spool = opened(NULL, true);
    assert_string_equal(all(spool), "one two");
    assert_int_equal(truncate(path_of("a"), 0), 0);
    append("a", "three, and longer than before\n");
    const char *text = all(spool);
    assert_contains(text, "/a was truncated or replaced: it had been read to byte 8 and has 30 bytes now");
    assert_contains(text, "! three, and longer than before");
    class->destroy(&spool);
}

static void a_file_that_is_cut_between_two_reads_has_a_gap_and_no_line_of_both(void **state) {
    (void)state;
    fault_t why;
    bytes_t element;
    char line[32];
    FILE *file = fopen(path_of("a"), "w");
    for (int i = 0; i < 20000; i++) fprintf(file, "old line %d\n", i);
    assert_int_equal(fclose(file), 0);
    void *spool = opened(NULL, true);
    assert_int_equal(class->next(spool, &element, &why), 1);
    file = fopen(path_of("a"), "w");
    for (int i = 0; i < 40000; i++) fprintf(file, "a new line %d\n", i);
    assert_int_equal(fclose(file), 0);
    int got;
    while ((got = class->next(spool, &element, &why)) == 1) assert_memory_equal(element.data, "old line ", 9);
    assert_int_equal(got, READING_LOST);
    for (int i = 0; i < 40000; i++) {
        int size = snprintf(line, sizeof line, "a new line %d", i);
        assert_int_equal(class->next(spool, &element, &why), 1);
        assert_int_equal(element.size, size);
        assert_memory_equal(element.data, line, element.size);
    }
    assert_int_equal(class->next(spool, &element, &why), 0);
    class->destroy(&spool);
}

static void all_gaps_that_were_seen_at_once_are_said(void **state) {
    (void)state;
    append("a", "one\n");
    append("b", "two\n");
    void *spool = opened(NULL, true);
    assert_string_equal(all(spool), "one two");
    place_t place = closed(&spool);
    assert_int_equal(unlink(path_of("a")), 0);
    assert_int_equal(unlink(path_of("b")), 0);
    spool = resumed(NULL, &place);
    const char *text = all(spool);
    assert_contains(text, "/a is gone: it had been read to byte 4; what came after that byte may be lost; ");
    assert_contains(text, "/b is gone: it had been read to byte 4; what came after that byte may be lost!");
    class->destroy(&spool);
}

static void a_folder_that_is_gone_is_named(void **state) {
    (void)state;
    fault_t why;
    void *spool = opened(NULL, true);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(class->wake(spool, &why), -1);
    assert_contains(why.text, folder);
    assert_contains(why.text, "is gone");
    assert_int_equal(mkdir(folder, 0700), 0);
    class->destroy(&spool);
}

/* ---- places ---- */

static void reading_goes_on_where_it_was(void **state) {
    (void)state;
    append("a", "1\n2\n");
    append("b", "3\n4");
    void *spool = opened(NULL, true);
    assert_string_equal(all(spool), "1 2 3");
    place_t place = closed(&spool);
    append("a", "5\n");
    append("b", "6\n");
    append("aa", "7\n");
    append("c", "8\n");
    spool = resumed(NULL, &place);
    assert_string_equal(all(spool), "5 46 7 8");
    class->destroy(&spool);
}

static void any_place_is_a_place_to_go_on_from(void **state) {
    char name[16], expected[16];
    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "%02d", i);
        for (int k = 0; k < 3; k++) {
            char line[16];
            snprintf(line, sizeof line, k < 2 ? "%d.%d\n" : "%d.%d", i, k);
            append(name, line);
        }
    }
    place_t place = {.cursor = {0}};
    size_t largest = 0;
    for (int i = 0; i < 300; i++) {
        fault_t why;
        bytes_t element;
        void *spool = i == 0 ? opened(NULL, false) : spool_of(NULL, false);
        if (i > 0) {
            assert_int_equal(resume_at(spool, &place), 0);
            msgpack_sbuffer_destroy(&place.cursor);
        }
        assert_int_equal(class->next(spool, &element, &why), 1);
        snprintf(expected, sizeof expected, "%d.%d", i / 3, i % 3);
        assert_int_equal(element.size, strlen(expected));
        assert_memory_equal(element.data, expected, element.size);
        place = closed(&spool);
        if (place.cursor.size > largest) largest = place.cursor.size;
    }
    assert_in_range(largest, 10, 200);
    void *spool = spool_of(NULL, false);
    assert_int_equal(resume_at(spool, &place), 0);
    assert_string_equal(all(spool), "");
    msgpack_sbuffer_destroy(&place.cursor);
    class->destroy(&spool);
}

/* A thousand files, of which each is done when so many others have come. */
static void the_cursor_does_not_grow_with_the_folder(void **state) {
    char name[16], line[16];
    size_t largest = 0;
    (void)state;
    void *spool = opened(NULL, true);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "%04d", i);
        snprintf(line, sizeof line, "%d\n", i);
        append(name, line);
        line[strlen(line) - 1] = '\0';
        assert_string_equal(all(spool), line);
        if (i % 100 != 99) continue;
        place_t place = closed(&spool);
        if (place.cursor.size > largest) largest = place.cursor.size;
        spool = resumed(NULL, &place);
        assert_string_equal(all(spool), "");
    }
    assert_in_range(largest, 500, 3000);
    append("0990", "more\n");
    assert_string_equal(all(spool), "more");
    class->destroy(&spool);
}

static void a_folder_of_any_size_is_read_in_order(void **state) {
    enum { COUNT = 3000 };
    char name[16];
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "%04d", i * 7 % COUNT);
        append(name, "x\n");
    }
    void *spool = opened(NULL, true);
    char where[300];
    for (int i = 0; i < COUNT; i++) {
        fault_t why;
        bytes_t element;
        assert_int_equal(class->next(spool, &element, &why), 1);
        class->where(spool, where, sizeof where);
        snprintf(name, sizeof name, "/%04d:1", i);
        assert_contains(where, name);
    }
    assert_string_equal(all(spool), "");
    class->destroy(&spool);
}

static void what_is_written_to_a_file_that_is_done_is_said_to_be_lost_once(void **state) {
    char name[16];
    (void)state;
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "%02d", i);
        append(name, "x\n");
    }
    void *spool = opened(NULL, true);
    assert_int_equal(strlen(all(spool)), 79);
    append("03", "y\n");
    const char *text = all(spool);
    assert_contains(text, "/03 was written to after it was done, as 32 others are followed");
    assert_null(strstr(text, " y"));
    append("03", "z\n");
    append("20", "in time\n");
    assert_string_equal(all(spool), "in time");
    class->destroy(&spool);
}

static place_t folder_done(void) {
    char name[16];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "%02d", i);
        append(name, "x\n");
    }
    void *spool = opened(NULL, true);
    assert_int_equal(strlen(all(spool)), 79);
    return closed(&spool);
}

static void what_was_written_to_a_file_that_is_done_while_nobody_looked_is_said_to_be_lost(void **state) {
    (void)state;
    place_t place = folder_done();
    append("03", "y\n");
    void *spool = resumed(NULL, &place);
    assert_contains(all(spool), "/03 came or was changed while nobody looked, and 07, which is after it, is done: it is not read!");
    place = closed(&spool);
    class->destroy(&spool);
    msgpack_sbuffer_destroy(&place.cursor);
}

/* The clock of a file system goes in steps: without this, the new file could be as old as the others. */
static void clock_step(void) {
    struct stat before, now;
    append(".xclock", "1");
    assert_int_equal(stat(path_of(".xclock"), &before), 0);
    do {
        append(".xclock", "1");
        assert_int_equal(stat(path_of(".xclock"), &now), 0);
    } while (now.st_ctim.tv_sec == before.st_ctim.tv_sec && now.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
}

static void a_file_that_comes_out_of_order_while_nobody_looks_is_read(void **state) {
    (void)state;
    place_t place = folder_done();
    clock_step();
    append("035", "new\n");
    void *spool = resumed(NULL, &place);
    assert_string_equal(all(spool), "new");
    place = closed(&spool);
    spool = resumed(NULL, &place);
    assert_string_equal(all(spool), "");
    append("035", "more\n");
    assert_string_equal(all(spool), "more");
    class->destroy(&spool);
}

/* It is known of, but not begun, when the place is taken. */
static void a_file_that_came_out_of_order_and_is_not_begun_is_in_the_place(void **state) {
    (void)state;
    place_t place = folder_done();
    void *spool = resumed(NULL, &place);
    assert_string_equal(all(spool), "");
    append("035", "new\n");
    wake(spool);
    place = closed(&spool);
    spool = resumed(NULL, &place);
    assert_string_equal(all(spool), "new");
    class->destroy(&spool);
}

static void files_that_are_done_may_go(void **state) {
    (void)state;
    place_t place = folder_done();
    assert_int_equal(unlink(path_of("03")), 0);
    void *spool = resumed(NULL, &place);
    assert_string_equal(all(spool), "");
    assert_int_equal(unlink(path_of("30")), 0); /* followed, and seen to go */
    assert_string_equal(all(spool), "");
    place = closed(&spool);
    spool = resumed(NULL, &place);
    assert_string_equal(all(spool), "");
    class->destroy(&spool);
}

static void a_followed_file_that_is_gone_when_reading_goes_on_is_said_to_be_lost(void **state) {
    (void)state;
    append("a", "1\n");
    append("b", "2\n");
    void *spool = opened(NULL, true);
    assert_string_equal(all(spool), "1 2");
    place_t place = closed(&spool);
    assert_int_equal(unlink(path_of("a")), 0);
    append("b", "3\n");
    spool = resumed(NULL, &place);
    const char *text = all(spool);
    assert_contains(text, "/a is gone: it had been read to byte 2");
    assert_contains(text, "! 3");
    class->destroy(&spool);
}

static void files_that_were_renamed_while_nobody_looked_are_found(void **state) {
    (void)state;
    append("a.log", "1\n");
    append("b.log", "2\n");
    void *spool = opened("*.log", true);
    assert_string_equal(all(spool), "1 2");
    place_t place = closed(&spool);
    append("a.log", "3\n");
    append("b.log", "4\n");
    renamed("a.log", "c.log");
    renamed("b.log", "b.old");
    append("b.log", "5\n");
    spool = resumed("*.log", &place);
    assert_string_equal(all(spool), "4 3 5");
    class->destroy(&spool);
}

static void a_gap_that_was_seen_is_seen_again_from_the_place_before_it(void **state) {
    (void)state;
    append("a", "one\n");
    void *spool = opened(NULL, true);
    assert_string_equal(all(spool), "one");
    assert_int_equal(truncate(path_of("a"), 0), 0);
    append("a", "another one\n");
    wake(spool);
    fault_t why;
    bytes_t element;
    assert_int_equal(class->next(spool, &element, &why), READING_LOST);
    place_t place = closed(&spool);
    spool = resumed(NULL, &place);
    assert_contains(all(spool), "was truncated or replaced");
    place = closed(&spool);
    spool = resumed(NULL, &place);
    assert_string_equal(all(spool), "");
    class->destroy(&spool);
}

static void what_is_no_cursor_is_refused(void **state) {
    (void)state;
    append("a", "1\n");
    void *spool = opened(NULL, true);
    assert_string_equal(all(spool), "1");
    place_t place = place_of(spool);
    fault_t why;
    for (size_t size = 0; size < place.cursor.size; size++)
        assert_int_equal(class->resume(spool, (bytes_t){(const uint8_t *)place.cursor.data, size}, &why), READING_ALIEN);
    for (size_t i = 0; i < place.cursor.size; i++) { /* whatever it is then, it breaks nothing */
        place.cursor.data[i] = (char)(place.cursor.data[i] ^ 0x55);
        int got = class->resume(spool, (bytes_t){(const uint8_t *)place.cursor.data, place.cursor.size}, &why);
        assert_true(got == 0 || got == READING_ALIEN);
        place.cursor.data[i] = (char)(place.cursor.data[i] ^ 0x55);
    }
    static const char path[] = "\x94\xc4\x03/tm\x00\x90\x90";
    assert_int_equal(class->resume(spool, (bytes_t){(const uint8_t *)path, sizeof path - 1}, &why), READING_ALIEN);
    msgpack_sbuffer_destroy(&place.cursor);
    class->destroy(&spool);
}

int main(void) {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(files_are_read_in_the_order_of_their_names),
        IN_FOLDER(a_pattern_chooses_among_names),
        IN_FOLDER(new_files_are_read_and_old_ones_are_followed),
        IN_FOLDER(a_file_that_comes_before_the_others_is_read_too),
        IN_FOLDER(large_files_take_turns),
        IN_FOLDER(a_last_line_without_a_newline_is_taken_when_its_file_is_closed),
        IN_FOLDER(a_file_that_is_moved_in_is_whole),
        IN_FOLDER(without_following_it_ends_with_all_there_is),
        IN_FOLDER(from_the_end_only_later_lines_are_read),
        IN_FOLDER(a_renamed_file_is_followed_under_its_new_name),
        IN_FOLDER(a_file_that_lost_its_name_is_read_to_its_end_before_its_successor),
        IN_FOLDER(a_deleted_file_is_read_to_its_end_and_its_successor_from_its_beginning),
        IN_FOLDER(a_truncated_file_has_a_gap),
        IN_FOLDER(a_file_that_is_cut_between_two_reads_has_a_gap_and_no_line_of_both),
        IN_FOLDER(all_gaps_that_were_seen_at_once_are_said),
        IN_FOLDER(a_folder_that_is_gone_is_named),
        IN_FOLDER(reading_goes_on_where_it_was),
        IN_FOLDER(any_place_is_a_place_to_go_on_from),
        IN_FOLDER(the_cursor_does_not_grow_with_the_folder),
        IN_FOLDER(a_folder_of_any_size_is_read_in_order),
        IN_FOLDER(what_is_written_to_a_file_that_is_done_is_said_to_be_lost_once),
        IN_FOLDER(what_was_written_to_a_file_that_is_done_while_nobody_looked_is_said_to_be_lost),
        IN_FOLDER(a_file_that_comes_out_of_order_while_nobody_looks_is_read),
        IN_FOLDER(a_file_that_came_out_of_order_and_is_not_begun_is_in_the_place),
        IN_FOLDER(files_that_are_done_may_go),
        IN_FOLDER(a_followed_file_that_is_gone_when_reading_goes_on_is_said_to_be_lost),
        IN_FOLDER(files_that_were_renamed_while_nobody_looked_are_found),
        IN_FOLDER(a_gap_that_was_seen_is_seen_again_from_the_place_before_it),
        IN_FOLDER(what_is_no_cursor_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
