/* A recording that grows while it is replayed. */
#include "actors/store/folder.h"
#include "replayed.h"

static void a_place_that_is_not_recorded_yet_is_waited_for(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 0, 1000, 2);
    tape_load(f);
    msg_replay_open_t by_element = {.has_from = true, .from = {.has_element = true, .element = 3}};
    msg_replay_open_t by_time = {.has_from = true, .from = {.has_offset_ms = true, .offset_ms = 3}};
    replay_t *first = open_as(f, &by_element, &TAG_A, 1), *second = open_as(f, &by_time, &TAG_A, 1);
    const replay_event_t *event;
    assert_int_equal(replay_next(first, &event), REPLAY_WAITS);
    assert_int_equal(replay_next(second, &event), REPLAY_WAITS);
    assert_false(replay_placed(first));
    taped_watermark(&f->taped, 0, 2000, 5);
    grow(f);
    assert_int_equal(replay_next(first, &event), REPLAY_WAITS);
    assert_int_equal(replay_next(second, &event), REPLAY_WAITS);
    taped_elements(&f->taped, 0, 3000, 2);
    taped_ended(&f->taped, 3000);
    grow(f);
    assert_int_equal(take(f, first, 100), REPLAY_OVER);
    assert_string_equal(f->text, "watermark a 5\ntime +3000\nelements a 1@3 [3]\nwatermark a max\nend end 1\n");
    f->used = 0;
    assert_int_equal(take(f, second, 100), REPLAY_OVER);
    assert_string_equal(f->text, "watermark a 5\ntime +3000\nelements a 2@2 [2 3]\nwatermark a max\nend end 2\n");
    replay_destroy(&first);
    replay_destroy(&second);
}

static void a_replay_waits_for_what_is_still_to_come(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 0, 1, 1);
    tape_load(f);
    replay_t *replay = open_as(f, &ALL, &TAG_A, 1);
    assert_int_equal(take(f, replay, 100), REPLAY_WAITS);
    assert_string_equal(f->text, "time +1\nelements a 1@0 [0]\n");
    taped_elements(&f->taped, 0, 2, 1);
    assert_int_equal(take(f, replay, 100), REPLAY_WAITS); /* nothing is published */
    grow(f);
    assert_int_equal(take(f, replay, 100), REPLAY_WAITS);
    taped_ended(&f->taped, 2);
    grow(f);
    assert_int_equal(take(f, replay, 100), REPLAY_OVER);
    assert_string_equal(f->text, "time +1\nelements a 1@0 [0]\ntime +1\nelements a 1@1 [1]\nwatermark a max\nend end 2 proven\n");
    replay_destroy(&replay);
}

static void without_follow_it_ends_at_what_there_was_when_it_was_opened(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 0, 0, 1);
    taped_elements(&f->taped, 0, 0, 1);
    tape_load(f);
    msg_replay_open_t ask = {.has_follow = true, .follow = false};
    replay_t *replay = open_as(f, &ask, &TAG_A, 1);
    taped_elements(&f->taped, 0, 0, 1);
    grow(f);
    assert_int_equal(take(f, replay, 100), REPLAY_OVER);
    assert_string_equal(f->text, "elements a 1@0 [0]\nelements a 1@1 [1]\nwatermark a max\nend end 2 proven\n");
    replay_destroy(&replay);
}

static void the_clock_starts_with_the_recording_not_with_the_replay(void **state) {
    fixture_t *f = *state;
    msg_recording_place_t place = taped_place(&f->taped);
    place.start = TAPED_START - 5000; /* nothing has attached: the recorder does not know better */
    fault_t why;
    f->tape = tape_create(&place, f->taped.segment_bytes, &why);
    assert_non_null(f->tape);
    replay_t *replay = open_as(f, &ALL, &TAG_A, 1);
    const replay_event_t *event;
    assert_int_equal(replay_next(replay, &event), REPLAY_WAITS);
    taped_elements(&f->taped, 0, 10, 1);
    msg_recording_grew_t grew = taped_grew(&f->taped);
    tape_grow(f->tape, &grew);
    assert_int_equal(replay_next(replay, &event), REPLAY_WAITS);
    place = taped_place(&f->taped);
    tape_place(f->tape, &place);
    take(f, replay, 2);
    assert_string_equal(f->text, "time +10\nelements a 1@0 [0]\n");
    replay_destroy(&replay);
}

static void following_and_reading_afterwards_give_the_same(void **state) {
    fixture_t *f = *state;
    msg_tag_t tags[] = {TAG_A, TAG_AA, TAG_B};
    tape_load(f);
    replay_t *replay = open_as(f, &ALL, tags, 3);
    uint64_t seed = 7;
    int64_t at = 0;
    for (int i = 0; i < 200; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t dice = (uint32_t)(seed >> 40);
        at += dice % 3 * 100;
        if (dice % 7 == 0)
            taped_watermark(&f->taped, dice % 2, at, i);
        else if (dice % 7 == 1)
            taped_gap(&f->taped, dice % 5 ? dice % 2 : RECORD_STREAM_ALL, at, "hole", i);
        else
            taped_elements(&f->taped, dice % 2, at, 1 + dice % 9);
        if (dice % 4 != 0) grow(f);
        take(f, replay, (int)(dice % 5));
    }
    taped_ended(&f->taped, at);
    grow(f);
    assert_int_equal(take(f, replay, 10000), REPLAY_OVER);
    replay_destroy(&replay);
    char *followed = strdup(f->text);
    assert_replay(f, &ALL, tags, 3, followed);
    free(followed);
}

/* What the recorder says of a recording that it found damaged: it has ended, and nobody knows how many records it has. */
static void a_recording_found_damaged_ends_those_who_follow_it(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 0, 1, 1);
    tape_load(f);
    replay_t *replay = open_as(f, &ALL, &TAG_A, 1);
    assert_int_equal(take(f, replay, 100), REPLAY_WAITS);
    int64_t good = (int64_t)journal_totals(f->taped.journal)->length;
    taped_elements(&f->taped, 0, 2, 1);
    taped_elements(&f->taped, 0, 3, 1);
    flip(f, good + RECORD_OVERHEAD + 8);
    msg_recording_place_t place = taped_place(&f->taped);
    place.growing = false;
    place.records = place.elements = 0;
    tape_place(f->tape, &place);
    assert_int_equal(take(f, replay, 100), REPLAY_OVER);
    assert_int_equal(strncmp(f->text, "time +1\nelements a 1@0 [0]\nend corrupt 1 ", 41), 0);
    replay_destroy(&replay);
}

static void a_damaged_recording_is_corrupt_for_whoever_reads_it(void **state) {
    fixture_t *f = *state;
    taped_elements(&f->taped, 0, 1, 1);
    flip(f, (int64_t)journal_totals(f->taped.journal)->length - 1);
    taped_elements(&f->taped, 0, 2, 1);
    msg_recording_place_t place = taped_place(&f->taped);
    place.growing = false;
    place.records = place.elements = 0;
    fault_t why;
    f->tape = tape_create(&place, f->taped.segment_bytes, &why);
    assert_non_null(f->tape);
    const msg_replay_open_t asks[] = {
        {0},
        {.has_follow = true},
        {.has_from = true, .from = {.has_element = true, .element = 1}},
        {.has_from = true, .from = {.has_offset_ms = true, .offset_ms = 1}},
    };
    for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++) {
        replay_t *replay = open_as(f, &asks[i], &TAG_A, 1);
        assert_int_equal(take(f, replay, 100), REPLAY_OVER);
        if (strncmp(f->text, "end corrupt 0", 13) != 0) fail_msg("%zu: %s", i, f->text);
        replay_destroy(&replay);
    }
}

/* The recorder deletes it and says so, but a message takes its time. */
static void a_recording_that_is_deleted_meanwhile_is_invalid_not_corrupt(void **state) {
    fixture_t *f = *state;
    taped_close(&f->taped);
    char other[64];
    snprintf(other, sizeof other, "%s/other", f->data);
    mkdir(other, 0755);
    taped_open(&f->taped, other, 1000);
    for (int i = 0; i < 100; i++) taped_elements(&f->taped, 0, 0, 1);
    taped_ended(&f->taped, 0);
    tape_load(f);
    replay_t *replay = open_as(f, &ALL, &TAG_A, 1);
    take(f, replay, 1);
    fault_t why;
    taped_check(folder_remove(f->taped.folder, &why), &why);
    assert_int_equal(take(f, replay, 1000), REPLAY_OVER);
    assert_string_equal(strstr(f->text, "end "), strstr(f->text, "end invalidated "));
    assert_null(strstr(f->text, "seg"));
    replay_destroy(&replay);
}

static void a_body_outlives_the_tape_it_was_borrowed_from(void **state) {
    fixture_t *f = *state;
    record_some(f);
    replay_t *replay = open_as(f, &ALL, &TAG_A, 1);
    take(f, replay, 1);
    const replay_event_t *event;
    assert_int_equal(replay_next(replay, &event), REPLAY_READY);
    frame_t kept;
    frame_init(&kept);
    frame_move(&kept, event->body);
    replay_taken(replay);
    replay_destroy(&replay);
    tape_destroy(&f->tape);
    uint32_t count;
    refusal_t no;
    assert_int_equal(wire_body_check(frame_bytes(&kept), &count, &no), 0);
    assert_int_equal(count, 3);
    frame_fini(&kept);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_place_that_is_not_recorded_yet_is_waited_for),
        TEST(a_replay_waits_for_what_is_still_to_come),
        TEST(without_follow_it_ends_at_what_there_was_when_it_was_opened),
        TEST(the_clock_starts_with_the_recording_not_with_the_replay),
        TEST(following_and_reading_afterwards_give_the_same),
        TEST(a_recording_found_damaged_ends_those_who_follow_it),
        TEST(a_damaged_recording_is_corrupt_for_whoever_reads_it),
        TEST(a_recording_that_is_deleted_meanwhile_is_invalid_not_corrupt),
        TEST(a_body_outlives_the_tape_it_was_borrowed_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
