/* The order of events, limits, places, the digest, and ends. */
#include "replayed.h"

static void events_come_in_the_logs_order_with_the_time_between_them(void **state) {
    fixture_t *f = *state;
    record_some(f);
    assert_replay(f, &ALL, (msg_tag_t[]){TAG_A, TAG_B}, 2,
                  "time +100\n"
                  "elements a 3@0 [0 1 2]\n"
                  "watermark a 42\n"
                  "time +150\n"
                  "elements b 2@3 [3 4]\n"
                  "time +150\n"
                  "elements a 4@5 [5 6 7 8]\n"
                  "time +100\n"
                  "gap b 'lost the connection' 70\n"
                  "time +100\n"
                  "watermark b -7\n"
                  "time +300\n"
                  "elements a 1@9 [9]\n"
                  "watermark a max\n"
                  "watermark b max\n"
                  "end end 10 proven\n");
}

static void the_time_of_what_is_left_out_is_added_up(void **state) {
    fixture_t *f = *state;
    record_some(f);
    assert_replay(f, &ALL, (msg_tag_t[]){TAG_B}, 1,
                  "time +250\n"
                  "elements b 2@3 [3 4]\n"
                  "time +250\n"
                  "gap b 'lost the connection' 70\n"
                  "time +100\n"
                  "watermark b -7\n"
                  "watermark b max\n"
                  "end end 2 proven\n");
}

static void every_tag_that_names_a_stream_gets_its_events(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 0, 0, 2);
    taped_watermark(&f->taped, 0, 5, 42);
    taped_gap(&f->taped, 0, 5, "a hole", -1);
    taped_ended(&f->taped, 9);
    tape_load(f);
    assert_replay(f, &ALL, (msg_tag_t[]){TAG_A, TAG_AA, TAG_B}, 3,
                  "elements a 2@0 [0 1]\n"
                  "elements aa 2@0 [0 1]\n"
                  "time +5\n"
                  "watermark a 42\n"
                  "watermark aa 42\n"
                  "gap a 'a hole' -1\n"
                  "gap aa 'a hole' -1\n"
                  "watermark a max\n"
                  "watermark aa max\n"
                  "watermark b max\n"
                  "end end 4 proven\n");
}

static void a_gap_in_all_streams_has_no_tag_and_comes_once(void **state) {
    fixture_t *f = *state;
    taped_gap(&f->taped, RECORD_STREAM_ALL, 3, "the engine was restarted", 1234567);
    taped_ended(&f->taped, 3);
    tape_load(f);
    assert_replay(f, &ALL, (msg_tag_t[]){TAG_A, TAG_AA}, 2,
                  "time +3\n"
                  "gap - 'the engine was restarted' 1234567\n"
                  "watermark a max\n"
                  "watermark aa max\n"
                  "end end 0 proven\n");
}

static const msg_tag_t TAG_NEW = {.tag = "new", .signature = "C"};

static void a_tag_that_is_not_recorded_gets_only_its_last_watermark(void **state) {
    fixture_t *f = *state;
    record_some(f);
    assert_replay(f, &ALL, (msg_tag_t[]){TAG_NEW}, 1, "watermark new max\nend end 0 proven\n");
}

static void a_watermark_beyond_infinity_is_infinity(void **state) {
    fixture_t *f = *state;
    taped_watermark(&f->taped, 1, 0, INT64_MAX);
    taped_ended(&f->taped, 0);
    tape_load(f);
    assert_replay(f, &ALL, (msg_tag_t[]){TAG_B}, 1, "watermark b max\nwatermark b max\nend end 0 proven\n");
}

static void the_last_body_is_cut_at_max_elements(void **state) {
    fixture_t *f = *state;
    record_some(f);
    msg_replay_open_t ask = {.has_max_elements = true, .max_elements = 7};
    assert_replay(f, &ask, (msg_tag_t[]){TAG_A, TAG_B}, 2,
                  "time +100\n"
                  "elements a 3@0 [0 1 2]\n"
                  "watermark a 42\n"
                  "time +150\n"
                  "elements b 2@3 [3 4]\n"
                  "time +150\n"
                  "elements a 2@5 [5 6]\n"
                  "watermark a max\n"
                  "watermark b max\n"
                  "end limit 7 proven\n");
    ask.max_elements = 5; /* the limit of tags that share a stream is over both */
    assert_replay(f, &ask, (msg_tag_t[]){TAG_A, TAG_AA}, 2,
                  "time +100\n"
                  "elements a 3@0 [0 1 2]\n"
                  "elements aa 2@0 [0 1]\n"
                  "watermark a max\n"
                  "watermark aa max\n"
                  "end limit 5 proven\n");
}

static void max_elements_reached_at_the_end_of_a_record_needs_no_other(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 0, 0, 3);
    tape_load(f); /* still growing */
    msg_replay_open_t ask = {.has_max_elements = true, .max_elements = 3};
    assert_replay(f, &ask, (msg_tag_t[]){TAG_A}, 1, "elements a 3@0 [0 1 2]\nwatermark a max\nend limit 3 proven\n");
}

static void max_duration_ends_before_the_first_later_record(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 0, 2000, 1);
    taped_elements(&f->taped, 0, 2001, 1);
    tape_load(f);
    msg_replay_open_t ask = {.has_max_duration_ms = true, .max_duration_ms = 2};
    assert_replay(f, &ask, (msg_tag_t[]){TAG_A}, 1, "time +2000\nelements a 1@0 [0]\nwatermark a max\nend limit 1 proven\n");
    assert_replay(f, &ask, (msg_tag_t[]){TAG_B}, 1, "watermark b max\nend limit 0 proven\n");
}

static void max_duration_counts_from_the_place_sought(void **state) {
    fixture_t *f = *state;
    for (int i = 0; i < 6; i++) taped_elements(&f->taped, 0, i * 1000, 1);
    taped_ended(&f->taped, 6000);
    tape_load(f);
    msg_replay_open_t ask = {.has_max_duration_ms = true, .max_duration_ms = 1, .has_from = true};
    ask.from = (msg_replay_from_t){.has_offset_ms = true, .offset_ms = 3};
    assert_replay(f, &ask, (msg_tag_t[]){TAG_A}, 1,
                  "time +3000\nelements a 1@3 [3]\ntime +1000\nelements a 1@4 [4]\nwatermark a max\nend limit 2\n");
}

static void from_an_element_cuts_the_record_that_holds_it(void **state) {
    fixture_t *f = *state;
    record_some(f);
    msg_replay_open_t ask = {.has_from = true, .from = {.has_element = true, .element = 6}};
    assert_replay(f, &ask, (msg_tag_t[]){TAG_A, TAG_AA, TAG_B}, 3,
                  "watermark a 42\n"
                  "watermark aa 42\n"
                  "time +400\n"
                  "elements a 3@6 [6 7 8]\n"
                  "elements aa 3@6 [6 7 8]\n"
                  "time +100\n"
                  "gap b 'lost the connection' 70\n"
                  "time +100\n"
                  "watermark b -7\n"
                  "time +300\n"
                  "elements a 1@9 [9]\n"
                  "elements aa 1@9 [9]\n"
                  "watermark a max\n"
                  "watermark aa max\n"
                  "watermark b max\n"
                  "end end 8\n");
}

static void from_an_element_of_another_stream_goes_on_with_the_first_later_one(void **state) {
    fixture_t *f = *state;
    record_some(f);
    msg_replay_open_t ask = {.has_from = true, .from = {.has_element = true, .element = 4}, .has_max_elements = true, .max_elements = 1};
    assert_replay(f, &ask, (msg_tag_t[]){TAG_A}, 1, "watermark a 42\ntime +400\nelements a 1@5 [5]\nwatermark a max\nend limit 1\n");
}

static void from_an_offset_starts_at_the_first_record_not_before_it(void **state) {
    fixture_t *f = *state;
    for (int i = 0; i < 5; i++) taped_elements(&f->taped, 0, i * 1000, 1);
    taped_ended(&f->taped, 5000);
    tape_load(f);
    msg_replay_open_t ask = {.has_from = true, .from = {.has_offset_ms = true, .offset_ms = 4}};
    assert_replay(f, &ask, (msg_tag_t[]){TAG_A}, 1, "time +4000\nelements a 1@4 [4]\nwatermark a max\nend end 1\n");
}

static void from_the_beginning_is_a_replay_like_any(void **state) {
    fixture_t *f = *state;
    record_some(f);
    replay_t *replay = open_as(f, &ALL, (msg_tag_t[]){TAG_A}, 1);
    assert_int_equal(take(f, replay, 10000), REPLAY_OVER);
    replay_destroy(&replay);
    char *whole = strdup(f->text);
    msg_replay_open_t ask = {.has_from = true, .from = {.has_element = true, .element = 0}};
    assert_replay(f, &ask, (msg_tag_t[]){TAG_A}, 1, whole);
    ask.from = (msg_replay_from_t){.has_offset_ms = true};
    assert_replay(f, &ask, (msg_tag_t[]){TAG_A}, 1, whole);
    free(whole);
}

static void from_beyond_the_end_of_a_finished_recording_gives_its_watermarks_and_the_end(void **state) {
    fixture_t *f = *state;
    record_some(f);
    msg_replay_open_t ask = {.has_from = true, .from = {.has_element = true, .element = 10}};
    assert_replay(f, &ask, (msg_tag_t[]){TAG_A, TAG_B}, 2, "watermark a 42\nwatermark b -7\nwatermark a max\nwatermark b max\nend end 0\n");
    ask.from = (msg_replay_from_t){.has_offset_ms = true, .offset_ms = INT64_MAX};
    assert_replay(f, &ask, (msg_tag_t[]){TAG_A, TAG_B}, 2, "watermark a 42\nwatermark b -7\nwatermark a max\nwatermark b max\nend end 0\n");
}

static void a_seek_gives_what_a_replay_opened_there_gives(void **state) {
    fixture_t *f = *state;
    record_some(f);
    for (int taken = 0; taken < 16; taken++) { /* from the middle of anything, the last watermarks and `end` included */
        replay_t *replay = open_as(f, &ALL, (msg_tag_t[]){TAG_A, TAG_B}, 2);
        const replay_event_t *event;
        take(f, replay, taken);
        assert_int_equal(replay_next(replay, &event), REPLAY_READY); /* one is made, and dropped by the seek */
        replay_placed(replay);
        replay_seek(replay, 8, 0);
        f->used = 0;
        assert_int_equal(take(f, replay, 2), REPLAY_READY);
        assert_true(replay_placed(replay));
        assert_false(replay_placed(replay));
        assert_string_equal(f->text, "watermark a 42\ntime +400\n");
        assert_int_equal(replay_at(replay), TAPED_START + 400);
        take(f, replay, 1);
        assert_non_null(strstr(f->text, "elements a 1@8 [8]\n"));
        replay_seek(replay, -1, 0);
        f->used = 0;
        take(f, replay, 2);
        assert_string_equal(f->text, "time +100\nelements a 3@0 [0 1 2]\n");
        take(f, replay, 1000);
        assert_null(strstr(f->text, "proven"));
        replay_destroy(&replay);
    }
}

static void the_digest_of_all_is_the_recordings_own(void **state) {
    fixture_t *f = *state;
    record_some(f);
    char own[33], all[33], again[33], some[33], cut[33];
    digest_text(&journal_totals(f->taped.journal)->digest, own);
    replay_t *replay = open_as(f, &ALL, (msg_tag_t[]){TAG_A, TAG_AA, TAG_B}, 3);
    digest_at_end(replay, all);
    assert_string_equal(all, own);
    replay_destroy(&replay);
    replay = open_as(f, &ALL, (msg_tag_t[]){TAG_A, TAG_B}, 2);
    digest_at_end(replay, again);
    assert_string_equal(again, own);
    replay_destroy(&replay);
    replay = open_as(f, &ALL, (msg_tag_t[]){TAG_A}, 1);
    digest_at_end(replay, some);
    assert_string_not_equal(some, own);
    replay_destroy(&replay);
    replay = open_as(f, &(msg_replay_open_t){.has_max_elements = true, .max_elements = 9}, (msg_tag_t[]){TAG_A, TAG_B}, 2);
    digest_at_end(replay, cut);
    assert_string_not_equal(cut, own);
    replay_destroy(&replay);
}

/* Producers use one to say how far they have come. */
static void a_batch_without_elements_is_neither_sent_nor_proven(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 0, 0, 0);
    taped_elements(&f->taped, 0, 5, 2);
    char own[33], found[33];
    digest_t without = journal_totals(f->taped.journal)->digest;
    taped_elements(&f->taped, 0, 9, 0);
    taped_elements(&f->taped, 1, 9, 0);
    taped_ended(&f->taped, 10);
    digest_text(&without, own);
    digest_text(&journal_totals(f->taped.journal)->digest, found);
    assert_string_equal(found, own);
    tape_load(f);
    assert_replay(f, &ALL, (msg_tag_t[]){TAG_A, TAG_B}, 2,
                  "time +5\nelements a 2@0 [0 1]\nwatermark a max\nwatermark b max\nend end 2 proven\n");
    replay_t *replay = open_as(f, &ALL, (msg_tag_t[]){TAG_A, TAG_B}, 2);
    digest_at_end(replay, found);
    assert_string_equal(found, own);
    replay_destroy(&replay);
}

static void a_batch_without_elements_changes_no_digest_that_is_checked_later(void **state) {
    fixture_t *f = *state;
    fault_t why;
    taped_elements(&f->taped, 0, 5, 2);
    taped_elements(&f->taped, 0, 9, 0);
    taped_ended(&f->taped, 10);
    char digest[33];
    digest_t expected = {{0}};
    msg_recording_place_t place = taped_place(&f->taped);
    reader_t *reader = reader_open(place.folder, 0, (uint64_t)place.length, 2, 1 << 20, &why);
    position_t position = {0};
    record_view_t record;
    assert_int_equal(reader_next(reader, &position, &record, &why), 1);
    digest_fold(&expected, RECORD_ELEMENTS, "A", TAPED_START + 5, 2, &record.body, 1);
    reader_close(&reader);
    digest_text(&expected, digest);
    msg_manifest_t manifest = *journal_manifest(f->taped.journal);
    manifest.has_digest = true;
    manifest.digest = digest;
    taped_check(journal_save(f->taped.journal, &manifest, &why), &why);
    verify_t *verify = verify_open(place.folder, 0, (uint64_t)place.length, &why);
    assert_non_null(verify);
    assert_int_equal(verify_step(verify, 1 << 20, &why), 0);
    assert_true(verify_result(verify)->intact);
    verify_close(&verify);
    journal_close(&f->taped.journal);
    uint64_t torn;
    f->taped.journal = journal_open(f->taped.folder, 1 << 20, &torn, &why);
    if (!f->taped.journal) fail_msg("%s", why.text);
}

static void the_digest_is_of_what_was_taken_and_no_more(void **state) {
    fixture_t *f = *state;
    record_some(f);
    char empty[33], found[33];
    digest_text(&(digest_t){{0}}, empty);
    replay_t *replay = open_as(f, &ALL, &TAG_A, 1);
    take(f, replay, 1); /* time */
    const replay_event_t *event;
    assert_int_equal(replay_next(replay, &event), REPLAY_READY);
    assert_int_equal(event->id, MSG_ELEMENTS);
    replay_end(replay, "closed", NULL);
    digest_at_end(replay, found);
    assert_string_equal(found, empty);
    replay_destroy(&replay);
}

static void a_cut_body_is_proven_as_it_was_sent(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 0, 5, 3);
    tape_load(f);
    replay_t *replay = open_as(f, &(msg_replay_open_t){.has_max_elements = true, .max_elements = 2}, &TAG_A, 1);
    take(f, replay, 1);
    const replay_event_t *event;
    assert_int_equal(replay_next(replay, &event), REPLAY_READY);
    digest_t expected = {{0}};
    bytes_t body = frame_bytes(event->body);
    digest_fold(&expected, RECORD_ELEMENTS, "A", TAPED_START + 5, 2, &body, 1);
    char wanted[33], found[33];
    digest_text(&expected, wanted);
    digest_at_end(replay, found);
    assert_string_equal(found, wanted);
    replay_destroy(&replay);
}

static void an_end_that_is_told_comes_alone(void **state) {
    fixture_t *f = *state;
    record_some(f);
    for (int taken = 0; taken < 16; taken++) {
        replay_t *replay = open_as(f, &ALL, (msg_tag_t[]){TAG_A, TAG_B}, 2);
        take(f, replay, taken);
        const replay_event_t *event;
        assert_int_equal(replay_next(replay, &event), REPLAY_READY);
        replay_end(replay, "stopped", NULL);
        f->used = 0;
        assert_int_equal(take(f, replay, 100), REPLAY_OVER);
        assert_int_equal(strncmp(f->text, "end stopped ", 12), 0);
        replay_destroy(&replay);
    }
}

static void damage_ends_a_replay_that_reaches_it_and_names_the_place(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 0, 1, 2);
    int64_t good = (int64_t)journal_totals(f->taped.journal)->length;
    taped_elements(&f->taped, 0, 2, 2);
    taped_ended(&f->taped, 3);
    flip(f, good + RECORD_OVERHEAD + 8);
    tape_load(f);
    replay_t *replay = open_as(f, &ALL, &TAG_A, 1);
    assert_int_equal(take(f, replay, 100), REPLAY_OVER);
    const char *start = "time +1\nelements a 2@0 [0 1]\nend corrupt 2 proven: ";
    assert_int_equal(strncmp(f->text, start, strlen(start)), 0);
    assert_non_null(strstr(f->text, "000000000000.seg"));
    replay_destroy(&replay);
}

static void what_is_passed_over_is_passed_over_in_portions(void **state) {
    fixture_t *f = *state;
    for (int i = 0; i < 5000; i++) taped_elements(&f->taped, 1, 0, 1);
    taped_elements(&f->taped, 0, 0, 1);
    tape_load(f);
    replay_t *replay = open_as(f, &ALL, &TAG_A, 1);
    const replay_event_t *event;
    int busy = 0;
    while (replay_next(replay, &event) == REPLAY_BUSY) busy++;
    assert_in_range(busy, 4, 5000);
    take(f, replay, 1);
    assert_string_equal(f->text, "elements a 1@5000 [5000]\n");
    replay_destroy(&replay);
}

static void much_that_is_passed_over_is_passed_over_in_smaller_portions(void **state) {
    fixture_t *f = *state;
    for (int i = 0; i < 16; i++) taped_elements(&f->taped, 1, 0, 20000);
    tape_load(f);
    int64_t bytes = (int64_t)journal_totals(f->taped.journal)->bytes;
    replay_t *replay = open_as(f, &ALL, &TAG_A, 1);
    const replay_event_t *event;
    int busy = 0;
    while (replay_next(replay, &event) == REPLAY_BUSY) busy++;
    assert_in_range(busy, bytes / (2 << 20), 16);
    replay_destroy(&replay);
}

static void sizes_are_right_for_numbers_of_every_length(void **state) {
    fixture_t *f = *state;
    int64_t at = 0;
    for (int bit = 0; bit < 40; bit++) { /* event_line compares each size with the encoded message */
        at += INT64_C(1) << bit;
        taped_watermark(&f->taped, 0, at, INT64_C(1) << bit);
        taped_watermark(&f->taped, 1, at, -(INT64_C(1) << bit));
        taped_watermark(&f->taped, 1, at, -(INT64_C(1) << bit) - 1);
        taped_elements(&f->taped, 0, at, bit < 12 ? 1u << bit : 1);
    }
    taped_ended(&f->taped, at);
    tape_load(f);
    replay_t *replay = open_as(f, &ALL, (msg_tag_t[]){TAG_A, TAG_B}, 2);
    replay_state_t result;
    while ((result = take(f, replay, 1)) == REPLAY_READY) f->used = 0;
    assert_int_equal(result, REPLAY_OVER);
    replay_destroy(&replay);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(events_come_in_the_logs_order_with_the_time_between_them),
        TEST(the_time_of_what_is_left_out_is_added_up),
        TEST(every_tag_that_names_a_stream_gets_its_events),
        TEST(a_gap_in_all_streams_has_no_tag_and_comes_once),
        TEST(a_tag_that_is_not_recorded_gets_only_its_last_watermark),
        TEST(a_watermark_beyond_infinity_is_infinity),
        TEST(the_last_body_is_cut_at_max_elements),
        TEST(max_elements_reached_at_the_end_of_a_record_needs_no_other),
        TEST(max_duration_ends_before_the_first_later_record),
        TEST(max_duration_counts_from_the_place_sought),
        TEST(from_an_element_cuts_the_record_that_holds_it),
        TEST(from_an_element_of_another_stream_goes_on_with_the_first_later_one),
        TEST(from_an_offset_starts_at_the_first_record_not_before_it),
        TEST(from_the_beginning_is_a_replay_like_any),
        TEST(from_beyond_the_end_of_a_finished_recording_gives_its_watermarks_and_the_end),
        TEST(a_seek_gives_what_a_replay_opened_there_gives),
        TEST(the_digest_of_all_is_the_recordings_own),
        TEST(a_batch_without_elements_is_neither_sent_nor_proven),
        TEST(a_batch_without_elements_changes_no_digest_that_is_checked_later),
        TEST(the_digest_is_of_what_was_taken_and_no_more),
        TEST(a_cut_body_is_proven_as_it_was_sent),
        TEST(an_end_that_is_told_comes_alone),
        TEST(damage_ends_a_replay_that_reaches_it_and_names_the_place),
        TEST(what_is_passed_over_is_passed_over_in_portions),
        TEST(much_that_is_passed_over_is_passed_over_in_smaller_portions),
        TEST(sizes_are_right_for_numbers_of_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
