/* Where a folder is gone on with: what was recorded, what came meanwhile, and what is gone. */
#include "spooled.h"

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
    const struct CMUnitTest tests[] = {
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
