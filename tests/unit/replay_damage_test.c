/* One bit of a recording is wrong, each in turn: a replay from the beginning shows what comes before it and ends with `corrupt`. One that
 * begins elsewhere may never come across it; if so, it shows what it would have shown. */
#include "replayed.h"

#include "actors/store/segment.h"

enum { SEGMENT_BYTES = 700, PATHS_MAX = 32 };

typedef struct damage {
    fixture_t *f;
    char paths[PATHS_MAX][SEGMENT_PATH_SIZE];
    size_t count;
} damage_t;

/* Every kind of record, in several segments. */
static void damage_begin(damage_t *damage, fixture_t *f) {
    uint64_t *numbers;
    fault_t why;

    *damage = (damage_t){.f = f};
    taped_close(&f->taped);
    nftw(f->taped.folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    taped_open(&f->taped, f->data, SEGMENT_BYTES);
    for (int64_t at = 100; at <= 400; at += 100) {
        taped_elements(&f->taped, 0, at, 6);
        taped_watermark(&f->taped, 0, at, 1000 + at);
        taped_elements(&f->taped, 1, at + 10, 1);
        taped_watermark(&f->taped, 1, at + 20, 2000 + at);
        if (at % 200 == 0) taped_gap(&f->taped, 1, at + 30, "lost the connection", 70);
        if (at == 300) taped_gap(&f->taped, RECORD_STREAM_ALL, at + 40, "the engine was restarted", -1);
        taped_elements(&f->taped, 0, at + 50, 0);
    }
    taped_stream_ended(&f->taped, 1, 700);
    taped_ended(&f->taped, 1000);
    if (segment_list(f->taped.folder, &numbers, &damage->count, &why) < 0) fail_msg("%s", why.text);
    assert_in_range(damage->count, 3, PATHS_MAX);
    for (size_t i = 0; i < damage->count; i++) segment_path(f->taped.folder, numbers[i], damage->paths[i]);
    free(numbers);
}

static size_t size_of(const char *path) {
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return (size_t)status.st_size;
}

static void flip_bit(const char *path, size_t bit) {
    FILE *file = fopen(path, "r+b");

    assert_non_null(file);
    assert_int_equal(fseek(file, (long)(bit / 8), SEEK_SET), 0);
    int byte = fgetc(file) ^ 1 << bit % 8;

    assert_int_equal(fseek(file, (long)(bit / 8), SEEK_SET), 0);
    assert_int_equal(fputc(byte, file), byte);
    fclose(file);
}

/* The events of a replay by somebody who has read nothing yet, as lines of text. */
static void replayed(fixture_t *f, const msg_replay_open_t *ask) {
    tape_destroy(&f->tape);
    tape_load(f);
    replay_t *replay = open_as(f, ask, (msg_tag_t[]){TAG_A, TAG_B}, 2);

    assert_int_equal(take(f, replay, 100000), REPLAY_OVER);
    replay_destroy(&replay);
}

/* Up to its last line, what was shown is what it would have been; and that line is the end, with the damage named. */
static void assert_ends_corrupt(const fixture_t *f, const char *whole, const char *path, size_t bit) {
    const char *last = strstr(f->text, "end corrupt ");
    size_t before = last ? (size_t)(last - f->text) : 0;

    if (!last || !strstr(last, strrchr(path, '/') + 1)) fail_msg("bit %zu of %s: %s", bit, path, f->text);
    if (strncmp(f->text, whole, before) != 0) fail_msg("bit %zu of %s: it showed\n%s", bit, path, f->text);
}

static void a_replay_across_any_flipped_bit_ends_there_with_corrupt(void **state) {
    fixture_t *f = *state;
    damage_t damage;

    damage_begin(&damage, f);
    replayed(f, &ALL);
    char *whole = strdup(f->text);

    assert_non_null(whole);
    assert_non_null(strstr(whole, "end end 28 proven"));
    for (size_t i = 0; i < damage.count; i++) {
        for (size_t bit = 0; bit < 8 * size_of(damage.paths[i]); bit++) {
            flip_bit(damage.paths[i], bit);
            replayed(f, &ALL);
            assert_ends_corrupt(f, whole, damage.paths[i], bit);
            flip_bit(damage.paths[i], bit);
        }
    }
    replayed(f, &ALL);
    assert_string_equal(f->text, whole);
    free(whole);
}

static void a_replay_from_elsewhere_is_not_led_astray_by_any_flipped_bit(void **state) {
    static const msg_replay_from_t places[] = {
        {.has_element = true, .element = 10}, {.has_element = true, .element = 27}, {.has_offset_ms = true, .offset_ms = 1}};
    fixture_t *f = *state;
    damage_t damage;

    damage_begin(&damage, f);
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        msg_replay_open_t ask = {.has_from = true, .from = places[p]};

        replayed(f, &ask);
        char *whole = strdup(f->text);

        assert_non_null(whole);
        for (size_t i = 0; i < damage.count; i++) {
            for (size_t bit = 0; bit < 8 * size_of(damage.paths[i]); bit++) {
                flip_bit(damage.paths[i], bit);
                replayed(f, &ask);
                if (strcmp(f->text, whole) != 0) assert_ends_corrupt(f, whole, damage.paths[i], bit);
                flip_bit(damage.paths[i], bit);
            }
        }
        free(whole);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_replay_across_any_flipped_bit_ends_there_with_corrupt),
        TEST(a_replay_from_elsewhere_is_not_led_astray_by_any_flipped_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
