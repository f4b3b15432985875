/* Pipelines of Beam: what is a recordable source in a graph that anybody may have drawn. */
#include "graph.h"

#include "actors/beam/beam.h"
#include "messages/text.h"

static msgpack_zone *zone;
static beam_sources_t found;
static refusal_t no;

static int find(const char *pattern, bytes_t pipeline) {
    if (zone) msgpack_zone_free(zone);
    zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    found = (beam_sources_t){0};
    no = (refusal_t){0};
    return beam_sources(pipeline, &(names_t){1, &pattern}, zone, &found, &no);
}

/* The names of what is found, "a b". */
static const char *found_in(const char *pattern) {
    static char names[1024];
    if (find(pattern, graph_pack()) < 0) fail_msg("refused: %s", no.message);
    names[0] = '\0';
    for (size_t i = 0; i < found.count; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? " " : "", found.items[i].name);
    return names;
}

static void assert_refused(const char *pattern, const char *message) {
    assert_int_equal(find(pattern, graph_pack()), -1);
    assert_int_equal(no.code, ERROR_BAD_REQUEST);
    assert_string_equal(no.field, "pipeline.beam");
    assert_string_equal(no.message, message);
}

/* ---- what a source looks like ---- */

static void a_source_has_the_payload_of_its_spec_and_the_id_of_its_output(void **test) {
    (void)test;
    graph_begin();
    graph_transform("t1", PUBSUB, BYTES("\x0a\x00z"), "", "pc_7", "")->unique_name = (char *)"Read/Clicks";
    graph_pcollection("pc_7", UNBOUNDED);
    graph_root("t1");
    assert_string_equal(found_in(PUBSUB), "Read/Clicks");
    const msg_transform_t *source = &found.items[0];
    assert_string_equal(source->urn, PUBSUB);
    assert_string_equal(source->tag, "pc_7");
    assert_int_equal(source->payload.size, 5);
    assert_memory_equal(source->payload.data, "\xc4\x03\x0a\x00z", 5);
    assert_true(source->has_name && source->has_urn && source->has_payload && source->has_tag && !source->bounded);
}

static void a_large_payload_is_kept_whole(void **test) {
    (void)test;
    static uint8_t large[9000];
    graph_begin();
    graph_transform("t", PUBSUB, (bytes_t){large, sizeof large}, "", "pc", "");
    graph_pcollection("pc", UNBOUNDED);
    graph_root("t");
    assert_string_equal(found_in(PUBSUB), "t");
    assert_int_equal(found.items[0].payload.size, 3 + sizeof large);
    assert_memory_equal(found.items[0].payload.data, "\xc5\x23\x28", 3);
}

static void a_pipeline_of_nothing_has_no_sources(void **test) {
    (void)test;
    assert_int_equal(find("*", (bytes_t){0}), 0);
    assert_int_equal(found.count, 0);
    graph_begin();
    graph_transform("composite", NULL, (bytes_t){0}, "", "", "");
    graph_root("composite");
    assert_string_equal(found_in("*"), "");
}

static void only_urns_that_match_are_sources(void **test) {
    (void)test;
    graph_begin();
    graph_read("a", "x");
    graph_transform("b", "my:source", (bytes_t){0}, "", "a-out", "");
    graph_transform("c", "", (bytes_t){0}, "", "a-out", "");
    graph_root("a b c");
    assert_string_equal(found_in(PUBSUB), "a");
    assert_string_equal(found_in("my:*"), "b");
    assert_string_equal(found_in("*"), "a b");
    assert_string_equal(found_in("other"), "");
}

static void a_urn_that_is_no_name_matches_nothing(void **test) {
    (void)test;
    char urn[NAME_SIZE_MAX + 2];
    memset(urn, 'u', sizeof urn - 1);
    urn[sizeof urn - 1] = '\0';
    graph_begin();
    graph_transform("long", urn, (bytes_t){0}, "", "pc", "");
    graph_transform("odd", "a\nb", (bytes_t){0}, "", "pc", "");
    graph_transform("longest", urn + 1, (bytes_t){0}, "", "pc", "");
    graph_pcollection("pc", UNBOUNDED);
    graph_root("long odd longest");
    assert_string_equal(found_in("*"), "longest");
}

/* ---- bounded or not ---- */

static void a_source_is_unbounded_as_its_output_is(void **test) {
    (void)test;
    graph_begin();
    graph_transform("bounded", "s", (bytes_t){0}, "", "b", "");
    graph_transform("unbounded", "s", (bytes_t){0}, "", "u", "");
    graph_transform("unsaid", "s", (bytes_t){0}, "", "n", "");
    graph_transform("nothing", "s", (bytes_t){0}, "", "", "");
    graph_pcollection("b", BOUNDED);
    graph_pcollection("u", UNBOUNDED);
    graph_pcollection("n", UNSAID);
    graph_root("bounded unbounded unsaid nothing");
    assert_string_equal(found_in("s"), "unbounded unsaid");
}

static void a_read_says_itself_whether_it_is_bounded(void **test) {
    (void)test;
    graph_begin();
    graph_transform("unbounded", READ, BYTES("\x0a\x02\x0a\x00\x10\x01"), "", "b", "");
    graph_transform("bounded", READ, BYTES("\x10\x02"), "", "u", "");
    graph_transform("unsaid", READ, BYTES("\x0a\x00"), "", "u", "");
    graph_transform("unsaid-bounded", READ, BYTES(""), "", "b", "");
    graph_transform("other", "s", BYTES("\x10\x02"), "", "u", "");
    graph_pcollection("b", BOUNDED);
    graph_pcollection("u", UNBOUNDED);
    graph_root("unbounded bounded unsaid unsaid-bounded other");
    assert_string_equal(found_in("*"), "unbounded unsaid other");
}

static void a_read_whose_payload_is_damaged_is_refused(void **test) {
    (void)test;
    graph_begin();
    graph_transform("t", READ, BYTES("\x0a\x05"), "", "pc", "");
    graph_pcollection("pc", UNBOUNDED);
    graph_root("t");
    assert_refused("*", "transform `t` has a payload that is no ReadPayload: at byte 1 a length of 5 passes the end: 0 bytes follow");
    assert_string_equal(found_in(PUBSUB), ""); /* who does not record reads does not look at it */
}

static void what_has_an_unbounded_input_is_no_source(void **test) {
    (void)test;
    graph_begin();
    graph_transform("split", "pardo", (bytes_t){0}, "b", "u", "");
    graph_transform("map", "pardo", (bytes_t){0}, "u", "v", "");
    graph_transform("join", "pardo", (bytes_t){0}, "b u", "w", "");
    graph_pcollection("b", BOUNDED);
    graph_pcollection("u v w", UNBOUNDED);
    graph_root("split map join");
    assert_string_equal(found_in("pardo"), "split");
}

/* ---- the way down ---- */

static void the_topmost_match_is_taken_and_nothing_below_it(void **test) {
    (void)test;
    graph_begin();
    graph_transform("outer", PUBSUB, (bytes_t){0}, "", "out", "inner");
    graph_transform("inner", PUBSUB, BYTES("x"), "", "in", "deep");
    graph_transform("deep", PUBSUB, BYTES("y"), "", "in", "not-there");
    graph_pcollection("in out", UNBOUNDED);
    graph_root("outer");
    assert_string_equal(found_in(PUBSUB), "outer");
    assert_string_equal(found.items[0].tag, "out");
}

static void reads_are_found_at_any_depth_in_the_order_of_the_roots(void **test) {
    (void)test;
    graph_begin();
    graph_read("z", "1");
    graph_read("a", "2");
    graph_read("m", "3");
    graph_transform("c1", NULL, (bytes_t){0}, "", "", "c2 a");
    graph_transform("c2", "my:composite", (bytes_t){0}, "", "", "z");
    graph_root("c1 m");
    assert_string_equal(found_in(PUBSUB), "z a m");
}

static void a_bounded_composite_is_looked_into(void **test) {
    (void)test;
    graph_begin();
    graph_transform("first", PUBSUB, (bytes_t){0}, "", "b", "read");
    graph_pcollection("b", BOUNDED);
    graph_read("read", "x");
    graph_root("first");
    assert_string_equal(found_in(PUBSUB), "read");
}

static void a_shared_subtransform_counts_once(void **test) {
    (void)test;
    graph_begin();
    graph_transform("a", NULL, (bytes_t){0}, "", "", "shared read read");
    graph_transform("b", NULL, (bytes_t){0}, "", "", "shared");
    graph_transform("shared", NULL, (bytes_t){0}, "", "", "read");
    graph_read("read", "x");
    graph_root("a b a shared read");
    assert_string_equal(found_in(PUBSUB), "read");
}

/* Each level is twice in the one above: a walk that forgot where it had been would take 2^60 steps. */
static void what_is_shared_on_every_level_is_walked_once(void **test) {
    (void)test;
    graph_begin();
    for (int level = 0; level < 60; level++) {
        char id[8], twice[16];
        snprintf(id, sizeof id, "%d", level);
        snprintf(twice, sizeof twice, "%d %d", level + 1, level + 1);
        graph_transform(id, NULL, (bytes_t){0}, "", "", twice);
    }
    graph_read("60", "x");
    graph_root("0");
    assert_string_equal(found_in(PUBSUB), "60");
}

static void what_no_root_leads_to_is_not_in_the_pipeline(void **test) {
    (void)test;
    graph_begin();
    graph_read("a", "x");
    graph_read("b", "x");
    graph_root("b");
    assert_string_equal(found_in(PUBSUB), "b");
}

static void of_two_with_one_id_the_last_counts(void **test) {
    (void)test;
    graph_begin();
    graph_read("a", "first");
    graph_transform("a", PUBSUB, BYTES("last"), "", "pc", "");
    graph_pcollection("pc", BOUNDED);
    graph_pcollection("pc", UNBOUNDED);
    graph_root("a");
    assert_string_equal(found_in(PUBSUB), "a");
    assert_memory_equal(found.items[0].payload.data, "\xc4\x04last", 6);
    assert_string_equal(found.items[0].tag, "pc");
}

static void the_order_of_the_maps_does_not_count(void **test) {
    (void)test;
    graph_begin();
    graph_read("a", "1");
    graph_read("b", "2");
    graph_transform("c", NULL, (bytes_t){0}, "", "", "b");
    graph_root("c a");
    char first[64];
    snprintf(first, sizeof first, "%s", found_in(PUBSUB));
    graph_transform_entry_t *entry = graph.transform_list[0];
    graph.transform_list[0] = graph.transform_list[2];
    graph.transform_list[2] = entry;
    assert_string_equal(found_in(PUBSUB), first);
    assert_string_equal(first, "b a");
}

static void an_entry_without_a_value_is_one_with_nothing_in_it(void **test) {
    (void)test;
    graph_begin();
    graph_transform("empty", NULL, (bytes_t){0}, "", "", "");
    graph_transform("t", "s", (bytes_t){0}, "", "pc", "empty");
    graph_pcollection("pc", UNBOUNDED);
    graph.transform_entries[0].value = NULL;
    graph.pcollection_entries[0].value = NULL;
    graph_root("empty t");
    assert_string_equal(found_in("s"), "t");
}

/* ---- what is refused ---- */

static void a_transform_that_contains_itself_is_refused(void **test) {
    (void)test;
    graph_begin();
    graph_transform("a", NULL, (bytes_t){0}, "", "", "b");
    graph_transform("b", NULL, (bytes_t){0}, "", "", "c");
    graph_transform("c", NULL, (bytes_t){0}, "", "", "b");
    graph_root("a");
    assert_refused("*", "transform `b` contains itself");
    graph_begin();
    graph_transform("a", NULL, (bytes_t){0}, "", "", "a");
    graph_root("a");
    assert_refused("*", "transform `a` contains itself");
}

static void what_is_not_there_is_refused_by_name(void **test) {
    (void)test;
    graph_begin();
    graph_root("a");
    graph_transform("a", NULL, (bytes_t){0}, "", "", "gone");
    assert_refused("*", "transform `a` has the subtransform `gone`, which is not there");
    graph_root("b");
    graph.transforms[0].n_subtransforms = 0;
    assert_refused("*", "root_transform_ids[1] is `b`, and there is no such transform");
    graph_begin();
    graph_root("read");
    graph_transform("read", PUBSUB, (bytes_t){0}, "", "gone", "");
    assert_refused("*", "transform `read` has the output `gone`, which is not among the PCollections");
    graph_transform("read", PUBSUB, (bytes_t){0}, "lost", "gone", "");
    assert_refused("*", "transform `read` has the input `lost`, which is not among the PCollections");
}

static void a_source_with_two_unbounded_outputs_is_refused(void **test) {
    (void)test;
    graph_begin();
    graph_transform("read", "s", (bytes_t){0}, "", "main b main dead", "");
    graph_pcollection("b", BOUNDED);
    graph_pcollection("main dead", UNBOUNDED);
    graph_root("read");
    assert_refused("s", "transform `read` has two unbounded outputs, `main` and `dead`: a recordable source has one");
    graph.pcollections[2].is_bounded = (graph_bounded_t)BOUNDED;
    assert_string_equal(found_in("s"), "read");
    assert_string_equal(found.items[0].tag, "main");
}

static void a_damaged_pipeline_is_refused_where_it_is_damaged(void **test) {
    (void)test;
    graph_begin();
    graph_read("read", "topic");
    graph_root("read");
    bytes_t packed = graph_pack();
    assert_int_equal(find("*", (bytes_t){packed.data, packed.size - 1}), -1);
    assert_string_equal(no.field, "pipeline.beam");
    assert_text(no.message, "`pipeline.beam`: root_transform_ids[0]: at byte ");
    uint8_t *topic = memmem(graph.packed, packed.size, PUBSUB, 4);
    topic[0] = 0xff;
    assert_int_equal(find("*", packed), -1);
    assert_text(no.message, "`pipeline.beam`: components.transforms[0].value.spec.urn: at byte ");
    assert_text(no.message, " is text that is not UTF-8");
}

/* ---- what would cost too much ---- */

static bytes_t entries(uint8_t key, size_t count, uint8_t *into) {
    into[0] = 0x0a;
    size_t size = 2 * count;
    for (size_t i = 1; i <= 4; i++, size >>= 7) into[i] = (uint8_t)((size & 0x7f) | (i < 4 ? 0x80 : 0));
    for (size_t i = 0; i < count; i++) memcpy(into + 5 + 2 * i, (uint8_t[]){key, 0}, 2);
    return (bytes_t){into, 5 + 2 * count};
}

static void empty_entries_without_end_are_too_large(void **test) {
    (void)test;
    uint8_t *room = malloc(5 + 2 * (BEAM_PCOLLECTIONS_MAX + 1));
    assert_non_null(room);
    assert_int_equal(find("*", entries(0x0a, BEAM_TRANSFORMS_MAX, room)), 0);
    assert_int_equal(find("*", entries(0x0a, BEAM_TRANSFORMS_MAX + 1, room)), -1);
    assert_int_equal(no.code, ERROR_TOO_LARGE);
    assert_string_equal(no.message, "`pipeline.beam`: components.transforms[50000]: at byte 100007 are more than 50000 transforms");
    assert_int_equal(find("*", entries(0x12, BEAM_PCOLLECTIONS_MAX, room)), 0);
    assert_int_equal(find("*", entries(0x12, BEAM_PCOLLECTIONS_MAX + 1, room)), -1);
    assert_int_equal(no.code, ERROR_TOO_LARGE);
    assert_text(no.message, "are more than 100000 PCollections");
    free(room);
}

static size_t put(uint8_t *out, uint8_t key, const void *bytes, size_t size) {
    out[0] = key;
    out[1] = (uint8_t)size;
    memcpy(out + 2, bytes, size);
    return size + 2;
}

/* A chain of composites as deep as transforms may be many: the stack of the process must not know. */
static void a_pipeline_as_deep_as_it_may_be_is_walked(void **test) {
    (void)test;
    uint8_t *room = malloc(40 * BEAM_TRANSFORMS_MAX), *at = room + 5;
    assert_non_null(room);
    for (unsigned i = 0; i < BEAM_TRANSFORMS_MAX; i++) {
        char id[16], next[16];
        uint8_t value[32], entry[64];
        int id_size = snprintf(id, sizeof id, "%u", i), next_size = snprintf(next, sizeof next, "%u", i + 1);
        size_t value_size = i + 1 < BEAM_TRANSFORMS_MAX ? put(value, 0x12, next, (size_t)next_size) : 0;
        size_t size = put(entry, 0x0a, id, (size_t)id_size);
        size += put(entry + size, 0x12, value, value_size);
        at += put(at, 0x0a, entry, size);
    }
    size_t size = (size_t)(at - room - 5);
    room[0] = 0x0a;
    for (size_t i = 1; i <= 4; i++, size >>= 7) room[i] = (uint8_t)((size & 0x7f) | (i < 4 ? 0x80 : 0));
    at += put(at, 0x12, "0", 1);
    assert_int_equal(find("*", (bytes_t){room, (size_t)(at - room)}), 0);
    free(room);
}

/* ---- names ---- */

static const char *named(const char *text) {
    if (!zone) zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    return beam_name(text, zone);
}

static void a_name_of_beam_stays_as_it_is_where_it_can(void **test) {
    (void)test;
    assert_string_equal(named("Read/Clicks (1)"), "Read/Clicks (1)");
    assert_string_equal(named("ref_PCollection_é~"), "ref_PCollection_é~");
}

static void a_long_or_odd_name_is_cut_and_told_apart(void **test) {
    (void)test;
    char one[400], other[400];
    memset(one, 'a', sizeof one);
    memset(other, 'a', sizeof other);
    one[sizeof one - 1] = other[sizeof other - 1] = '\0';
    other[sizeof other - 2] = 'b';
    assert_int_equal(strlen(named(one)), NAME_SIZE_MAX);
    assert_memory_equal(named(one), one, NAME_SIZE_MAX - 17);
    assert_string_not_equal(named(one), named(other));
    assert_string_equal(named(one), named(one));
    assert_string_equal(named("a\nb\xc2\x85z"), "a?b??z~7817dcc8cbbf7044");
    assert_string_equal(named(""), "~2d06800538d394c2");
    memcpy(one + NAME_SIZE_MAX - 18, "\xc3\xa9", 2); /* a character that the cut goes through */
    const char *cut = named(one);
    assert_true(name_valid(cut, strlen(cut)));
    assert_int_equal(strlen(cut), NAME_SIZE_MAX - 1);
}

static void names_and_tags_of_sources_are_such_names(void **test) {
    (void)test;
    char id[301];
    memset(id, 'i', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    graph_begin();
    graph_transform("t", PUBSUB, (bytes_t){0}, "", id, "")->unique_name = (char *)"";
    graph_pcollection(id, UNBOUNDED);
    graph_root("t");
    assert_string_equal(found_in(PUBSUB), "t"); /* named by its id, as it has no name */
    assert_string_equal(found.items[0].tag, named(id));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_has_the_payload_of_its_spec_and_the_id_of_its_output),
        cmocka_unit_test(a_large_payload_is_kept_whole),
        cmocka_unit_test(a_pipeline_of_nothing_has_no_sources),
        cmocka_unit_test(only_urns_that_match_are_sources),
        cmocka_unit_test(a_urn_that_is_no_name_matches_nothing),
        cmocka_unit_test(a_source_is_unbounded_as_its_output_is),
        cmocka_unit_test(a_read_says_itself_whether_it_is_bounded),
        cmocka_unit_test(a_read_whose_payload_is_damaged_is_refused),
        cmocka_unit_test(what_has_an_unbounded_input_is_no_source),
        cmocka_unit_test(the_topmost_match_is_taken_and_nothing_below_it),
        cmocka_unit_test(reads_are_found_at_any_depth_in_the_order_of_the_roots),
        cmocka_unit_test(a_bounded_composite_is_looked_into),
        cmocka_unit_test(a_shared_subtransform_counts_once),
        cmocka_unit_test(what_is_shared_on_every_level_is_walked_once),
        cmocka_unit_test(what_no_root_leads_to_is_not_in_the_pipeline),
        cmocka_unit_test(of_two_with_one_id_the_last_counts),
        cmocka_unit_test(the_order_of_the_maps_does_not_count),
        cmocka_unit_test(an_entry_without_a_value_is_one_with_nothing_in_it),
        cmocka_unit_test(a_transform_that_contains_itself_is_refused),
        cmocka_unit_test(what_is_not_there_is_refused_by_name),
        cmocka_unit_test(a_source_with_two_unbounded_outputs_is_refused),
        cmocka_unit_test(a_damaged_pipeline_is_refused_where_it_is_damaged),
        cmocka_unit_test(empty_entries_without_end_are_too_large),
        cmocka_unit_test(a_pipeline_as_deep_as_it_may_be_is_walked),
        cmocka_unit_test(a_name_of_beam_stays_as_it_is_where_it_can),
        cmocka_unit_test(a_long_or_odd_name_is_cut_and_told_apart),
        cmocka_unit_test(names_and_tags_of_sources_are_such_names),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (zone) msgpack_zone_free(zone);
    return failed;
}
