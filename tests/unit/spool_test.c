/* A folder's files as one stream: their order, their growth, their going, and that no place in it is lost. Real files and real events. */
#include "anybody.h"
#include "spooled.h"

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

/* It is told of after it was found. */
static void a_file_that_is_moved_in_before_the_folder_is_looked_through_is_whole(void **state) {
    (void)state;
    fault_t why;
    void *spool = spool_of(NULL, true);
    append(".x", "one\ntwo");
    renamed(".x", "a");
    assert_int_equal(class->start(spool, false, &why), 0);
    assert_string_equal(all(spool), "one two");
    class->destroy(&spool);

    bytes_t element;
    append("a", "\n");
    spool = spool_of(NULL, true);
    append(".x", "three\nfour");
    renamed(".x", "b");
    assert_int_equal(class->start(spool, false, &why), 0);
    for (int i = 0; i < 3; i++) assert_int_equal(class->next(spool, &element, &why), 1); /* it is followed already */
    assert_string_equal(all(spool), "four");
    class->destroy(&spool);
}

static void a_file_that_may_not_be_read_yet_is_waited_for(void **state) {
    (void)state;
    append("a", "one\n");
    void *spool = opened(NULL, true);
    read_as_anybody(true);
    append("b", "two\n");
    assert_int_equal(chmod(path_of("b"), 0), 0);
    append("c", "three\n");
    assert_string_equal(all(spool), "one");
    assert_contains(class->waits(spool), "/b: Permission denied");
    assert_int_equal(chmod(path_of("b"), 0600), 0);
    assert_string_equal(all(spool), "two three");
    assert_null(class->waits(spool));

    append("d", "four\n");
    assert_int_equal(chmod(path_of("d"), 0), 0);
    append("e", "five\n");
    assert_string_equal(all(spool), "");
    assert_int_equal(unlink(path_of("d")), 0);
    assert_string_equal(all(spool), "five");
    assert_null(class->waits(spool));
    read_as_anybody(false);
    class->destroy(&spool);
}

static void files_of_a_folder_that_is_shut_for_a_while_are_waited_for(void **state) {
    (void)state;
    append("a", "one\n");
    void *spool = opened(NULL, true);
    assert_string_equal(all(spool), "one");
    read_as_anybody(true);
    append("b", "two\n");
    append("c", "three\n");
    assert_int_equal(chmod(folder, 0), 0);
    assert_string_equal(all(spool), "");
    assert_contains(class->waits(spool), "/b: Permission denied");
    assert_int_equal(chmod(folder, 0400), 0);
    void *ending = opened(NULL, false);
    fault_t why;
    bytes_t element;
    assert_int_equal(class->next(ending, &element, &why), -1);
    assert_contains(why.text, "/a: Permission denied");
    class->destroy(&ending);
    assert_int_equal(chmod(folder, 0700), 0);
    assert_string_equal(all(spool), "two three");
    read_as_anybody(false);
    class->destroy(&spool);
}

/* A place that cannot be looked at is neither gone nor the beginning. */
static void a_file_that_may_not_be_read_where_reading_begins_is_named(void **state) {
    (void)state;
    fault_t why;
    append("a", "one\ntwo\n");
    void *spool = opened(NULL, true);
    assert_string_equal(all(spool), "one two");
    place_t place = closed(&spool);
    read_as_anybody(true);
    assert_int_equal(chmod(path_of("a"), 0), 0);
    spool = spool_of(NULL, true);
    assert_int_equal(class->resume(spool, (bytes_t){(const uint8_t *)place.cursor.data, place.cursor.size}, &why), -1);
    assert_contains(why.text, "/a: Permission denied");
    assert_int_equal(class->start(spool, true, &why), -1);
    assert_contains(why.text, "/a: Permission denied");
    read_as_anybody(false);
    msgpack_sbuffer_destroy(&place.cursor);
    class->destroy(&spool);
}

static void a_file_that_is_renamed_is_not_whole_for_that(void **state) {
    (void)state;
    void *spool = opened(NULL, true);
    FILE *file = fopen(path_of("a"), "a");
    fputs("one\ntw", file);
    fflush(file);
    renamed("a", "b");
    assert_string_equal(all(spool), "one");
    fputs("o\nthree", file);
    fflush(file);
    assert_string_equal(all(spool), "two");
    assert_int_equal(fclose(file), 0);
    assert_string_equal(all(spool), "three");

    append("c", "four\nfive"); /* and is, if it was closed before */
    renamed("c", "d");
    assert_string_equal(all(spool), "four five");
    append("e", "six\nseven");
    wake(spool);
    renamed("e", "f");
    assert_string_equal(all(spool), "six seven");
    file = fopen(path_of("g"), "a");
    fputs("eight\n", file);
    assert_int_equal(fclose(file), 0);
    file = fopen(path_of("g"), "a");
    fputs("ni", file);
    fflush(file);
    renamed("g", "h");
    assert_string_equal(all(spool), "eight");
    fputs("ne", file);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(all(spool), "nine");
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

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(files_are_read_in_the_order_of_their_names),
        IN_FOLDER(a_pattern_chooses_among_names),
        IN_FOLDER(new_files_are_read_and_old_ones_are_followed),
        IN_FOLDER(a_file_that_comes_before_the_others_is_read_too),
        IN_FOLDER(large_files_take_turns),
        IN_FOLDER(a_last_line_without_a_newline_is_taken_when_its_file_is_closed),
        IN_FOLDER(a_file_that_is_moved_in_is_whole),
        IN_FOLDER(a_file_that_is_moved_in_before_the_folder_is_looked_through_is_whole),
        IN_FOLDER(a_file_that_may_not_be_read_yet_is_waited_for),
        IN_FOLDER(files_of_a_folder_that_is_shut_for_a_while_are_waited_for),
        IN_FOLDER(a_file_that_may_not_be_read_where_reading_begins_is_named),
        IN_FOLDER(a_file_that_is_renamed_is_not_whole_for_that),
        IN_FOLDER(without_following_it_ends_with_all_there_is),
        IN_FOLDER(from_the_end_only_later_lines_are_read),
        IN_FOLDER(a_renamed_file_is_followed_under_its_new_name),
        IN_FOLDER(a_file_that_lost_its_name_is_read_to_its_end_before_its_successor),
        IN_FOLDER(a_deleted_file_is_read_to_its_end_and_its_successor_from_its_beginning),
        IN_FOLDER(a_truncated_file_has_a_gap),
        IN_FOLDER(a_file_that_is_cut_between_two_reads_has_a_gap_and_no_line_of_both),
        IN_FOLDER(all_gaps_that_were_seen_at_once_are_said),
        IN_FOLDER(a_folder_that_is_gone_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
