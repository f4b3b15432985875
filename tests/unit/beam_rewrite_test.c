/* Pipelines of Beam rewritten to replay: what is left of the graph, what stands in it instead, and that all else is as it came. */
#include "graph.h"

#include "actors/beam/beam.h"
#include "actors/beam/proto.h"

static msgpack_sbuffer written;
static refusal_t no;
static char described[65536];

static int rewrite_at(bytes_t pipeline, const char *url, const char *prefix) {
    static const char *pattern = PUBSUB;
    msgpack_sbuffer_clear(&written);
    no = (refusal_t){0};
    return beam_rewrite(pipeline, &(names_t){1, &pattern}, &(beam_stream_t){.url = url, .prefix = prefix}, &written, &no);
}

static bytes_t rewritten(bytes_t pipeline) {
    if (rewrite_at(pipeline, "h:1", "") < 0) fail_msg("refused: %s", no.message);
    return (bytes_t){(const uint8_t *)written.data, written.size};
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t used = strlen(described);
    vsnprintf(described + used, sizeof described - used, format, arguments);
    va_end(arguments);
}

static graph_pipeline_t *unpacked(bytes_t bytes) {
    graph_pipeline_t *pipeline = org__apache__beam__model__pipeline__v1__pipeline__unpack(NULL, bytes.size, bytes.data);
    assert_non_null(pipeline);
    return pipeline;
}

/* "roots: a b; a: urn in=pc > out=pc {c d}; … pcs: x y": the whole graph in a line. */
static const char *describe(bytes_t bytes) {
    graph_pipeline_t *pipeline = unpacked(bytes);
    described[0] = '\0';
    say("roots:");
    for (size_t i = 0; i < pipeline->n_root_transform_ids; i++) say(" %s", pipeline->root_transform_ids[i]);
    for (size_t i = 0; i < pipeline->components->n_transforms; i++) {
        const graph_transform_entry_t *entry = pipeline->components->transforms[i];
        const char *urn = entry->value->spec ? strrchr(entry->value->spec->urn, ':') : NULL;
        say("; %s:", entry->key);
        if (entry->value->spec && strcmp(entry->value->spec->urn, "beam:transform:teststream:v1") == 0)
            say(" TESTSTREAM");
        else if (urn)
            say(" read");
        for (size_t k = 0; k < entry->value->n_inputs; k++) say(" %s=%s", entry->value->inputs[k]->key, entry->value->inputs[k]->value);
        if (entry->value->n_outputs) say(" >");
        for (size_t k = 0; k < entry->value->n_outputs; k++) say(" %s=%s", entry->value->outputs[k]->key, entry->value->outputs[k]->value);
        if (entry->value->n_subtransforms) say(" {");
        for (size_t k = 0; k < entry->value->n_subtransforms; k++) say("%s%s", k ? " " : "", entry->value->subtransforms[k]);
        if (entry->value->n_subtransforms) say("}");
    }
    say("; pcs:");
    for (size_t i = 0; i < pipeline->components->n_pcollections; i++) say(" %s", pipeline->components->pcollections[i]->key);
    org__apache__beam__model__pipeline__v1__pipeline__free_unpacked(pipeline, NULL);
    return described;
}

static void assert_refused(error_code_t code, const char *field, const char *message) {
    assert_int_equal(rewrite_at(graph_pack(), "h:1", ""), -1);
    assert_string_equal(no.message, message);
    assert_int_equal(no.code, code);
    assert_string_equal(no.field, field);
    assert_int_equal(written.size, 0);
}

static void begin(void) {
    graph_begin();
    graph_coder("bytes");
}

/* A Pub/Sub read, its PCollection and its coder. */
static void source(const char *id) {
    char output[64];
    snprintf(output, sizeof output, "%s-out", id);
    graph_read(id, id);
    graph_code(output, "bytes");
}

static void plain(const char *id, const char *inputs, const char *outputs) {
    graph_transform(id, NULL, (bytes_t){0}, inputs, outputs, "");
    graph_pcollection(outputs, UNBOUNDED);
}

static void composite(const char *id, const char *outputs, const char *subtransforms) {
    graph_transform(id, NULL, (bytes_t){0}, "", outputs, subtransforms);
}

/* ---- one source ---- */

static void one_source_is_replaced_where_it_stands(void **test) {
    (void)test;
    begin();
    composite("root", "", "read map");
    source("read");
    plain("map", "read-out", "mapped");
    graph_root("root");
    assert_string_equal(describe(rewritten(graph_pack())),
                        "roots: root; root: {read map}; read: TESTSTREAM > read-out=read-out; map: read-out=read-out > mapped=mapped; "
                        "pcs: read-out mapped");
}

static void the_test_stream_has_the_coder_and_the_endpoint_and_the_sources_name(void **test) {
    (void)test;
    begin();
    source("read");
    graph.transforms[0].unique_name = (char *)"Clicks/Read";
    graph_root("read");
    assert_int_equal(rewrite_at(graph_pack(), "10.0.0.7:5574", "clicks/"), 0);
    graph_pipeline_t *pipeline = unpacked((bytes_t){(const uint8_t *)written.data, written.size});
    const graph_transform_t *made = pipeline->components->transforms[0]->value;
    assert_string_equal(made->unique_name, "Clicks/Read");
    assert_string_equal(made->outputs[0]->key, "clicks/read-out");
    assert_string_equal(made->outputs[0]->value, "read-out");
    static const char payload[] = "\x0a\x05"
                                  "bytes"
                                  "\x1a\x0f"
                                  "\x0a\x0d"
                                  "10.0.0.7:5574";
    assert_int_equal(made->spec->payload.len, sizeof payload - 1);
    assert_memory_equal(made->spec->payload.data, payload, sizeof payload - 1);
    org__apache__beam__model__pipeline__v1__pipeline__free_unpacked(pipeline, NULL);
}

static void what_stood_below_a_source_goes_with_it(void **test) {
    (void)test;
    begin();
    source("read");
    graph.transforms[0].subtransforms = graph.subtransforms[0];
    graph.subtransforms[0][0] = (char *)"impulse";
    graph.subtransforms[0][1] = (char *)"expand";
    graph.transforms[0].n_subtransforms = 2;
    plain("impulse", "", "one");
    graph_transform("expand", NULL, (bytes_t){0}, "one", "read-out", "deep");
    plain("deep", "", "lost");
    plain("map", "read-out", "mapped");
    graph_root("read map");
    assert_string_equal(describe(rewritten(graph_pack())), "roots: read map; read: TESTSTREAM > read-out=read-out; "
                                                           "map: read-out=read-out > mapped=mapped; pcs: read-out mapped");
}

static void what_another_root_leads_to_as_well_stays(void **test) {
    (void)test;
    begin();
    source("read");
    graph.transforms[0].subtransforms = graph.subtransforms[0];
    graph.subtransforms[0][0] = (char *)"shared";
    graph.transforms[0].n_subtransforms = 1;
    plain("shared", "", "one");
    graph_root("read shared");
    assert_string_equal(describe(rewritten(graph_pack())),
                        "roots: read shared; read: TESTSTREAM > read-out=read-out; shared: > one=one; pcs: read-out one");
}

static void a_cycle_below_a_source_ends(void **test) {
    (void)test;
    begin();
    source("read");
    graph.transforms[0].subtransforms = graph.subtransforms[0];
    graph.subtransforms[0][0] = (char *)"a";
    graph.subtransforms[0][1] = (char *)"nowhere";
    graph.transforms[0].n_subtransforms = 2;
    composite("a", "", "b");
    composite("b", "", "a read");
    graph_root("read");
    assert_string_equal(describe(rewritten(graph_pack())), "roots: read; read: TESTSTREAM > read-out=read-out; pcs: read-out");
}

static void a_pcollection_that_feeds_a_source_stays(void **test) {
    (void)test;
    begin();
    plain("impulse", "", "one");
    graph.pcollections[0].is_bounded = (graph_bounded_t)BOUNDED;
    graph_transform("read", PUBSUB, (bytes_t){0}, "one", "out", "");
    graph_pcollection("out", UNBOUNDED);
    graph_code("out", "bytes");
    graph_root("impulse read");
    assert_string_equal(describe(rewritten(graph_pack())),
                        "roots: impulse read; impulse: > one=one; read: TESTSTREAM > out=out; pcs: one out");
}

static void of_two_with_one_key_the_last_counts_and_one_is_left(void **test) {
    (void)test;
    begin();
    graph_transform("read", "other", (bytes_t){0}, "", "", "");
    source("read");
    graph_root("read");
    assert_string_equal(describe(rewritten(graph_pack())), "roots: read; read: TESTSTREAM > read-out=read-out; pcs: read-out");
}

/* ---- several ---- */

static void several_roots_become_one_test_stream_with_an_output_each(void **test) {
    (void)test;
    begin();
    plain("first", "", "x");
    source("a");
    source("b");
    plain("join", "a-out b-out", "y");
    graph_root("first a join b");
    assert_string_equal(describe(rewritten(graph_pack())),
                        "roots: first reprise_test_stream join; first: > x=x; join: a-out=a-out b-out=b-out > y=y; "
                        "reprise_test_stream: TESTSTREAM > a-out=a-out b-out=b-out; pcs: x a-out b-out y");
}

static void it_stands_in_the_lowest_composite_that_has_them_all(void **test) {
    (void)test;
    begin();
    composite("root", "", "pre outer");
    plain("pre", "", "x");
    composite("outer", "", "left mid post");
    plain("left", "", "l");
    composite("mid", "a-out", "a amap");
    source("a");
    plain("amap", "a-out", "am");
    plain("post", "b-out", "p");
    source("b");
    graph.transforms[2].subtransforms[graph.transforms[2].n_subtransforms++] = (char *)"b";
    graph_root("root");
    assert_string_equal(describe(rewritten(graph_pack())),
                        "roots: root; root: {pre outer}; pre: > x=x; outer: {left reprise_test_stream mid post}; left: > l=l; "
                        "mid: a-out=a-out > a-out=a-out {amap}; amap: a-out=a-out > am=am; post: b-out=b-out > p=p; "
                        "reprise_test_stream: TESTSTREAM > a-out=a-out b-out=b-out; pcs: x l a-out am p b-out");
}

static void a_composite_of_which_nothing_is_left_goes_too(void **test) {
    (void)test;
    begin();
    composite("root", "", "one two");
    composite("one", "a-out", "inner");
    composite("inner", "a-out", "a");
    composite("two", "", "b map");
    source("a");
    source("b");
    plain("map", "b-out", "m");
    graph_root("root");
    assert_string_equal(describe(rewritten(graph_pack())),
                        "roots: root; root: {reprise_test_stream two}; two: b-out=b-out {map}; map: b-out=b-out > m=m; "
                        "reprise_test_stream: TESTSTREAM > a-out=a-out b-out=b-out; pcs: a-out b-out m");
}

static void what_a_composite_that_goes_only_passed_on_stays(void **test) {
    (void)test;
    begin();
    composite("root", "", "pre one b");
    plain("pre", "", "x");
    composite("one", "a-out x", "a");
    source("a");
    source("b");
    graph_root("root");
    assert_non_null(strstr(describe(rewritten(graph_pack())), "; pcs: x a-out b-out"));
}

static void the_composite_that_it_stands_in_stays_though_nothing_else_is_left(void **test) {
    (void)test;
    begin();
    composite("root", "", "a b");
    source("a");
    source("b");
    graph_root("root");
    assert_string_equal(describe(rewritten(graph_pack())),
                        "roots: root; root: {reprise_test_stream}; reprise_test_stream: TESTSTREAM > a-out=a-out b-out=b-out; "
                        "pcs: a-out b-out");
}

static void a_composite_that_reads_it_already_gets_no_second_input(void **test) {
    (void)test;
    begin();
    composite("root", "", "one b");
    graph_transform("one", NULL, (bytes_t){0}, "a-out", "", "a map");
    source("a");
    plain("map", "a-out", "m");
    source("b");
    graph_root("root");
    assert_non_null(strstr(describe(rewritten(graph_pack())), "; one: a-out=a-out {map};"));
}

static void an_id_or_a_name_that_is_taken_is_not_taken_again(void **test) {
    (void)test;
    begin();
    source("a");
    source("b");
    plain("reprise_test_stream_7", "", "x");
    plain("reprise_test_stream", "", "y");
    graph.transforms[3].unique_name = (char *)"reprise_test_stream_11";
    graph_root("a b");
    assert_non_null(strstr(describe(rewritten(graph_pack())), "roots: reprise_test_stream_12;"));
}

static void one_source_in_two_places_has_two_outputs(void **test) {
    (void)test;
    begin();
    source("a");
    source("b");
    graph.specs[1].payload = graph.specs[0].payload;
    graph_root("a b");
    assert_non_null(strstr(describe(rewritten(graph_pack())), "TESTSTREAM > a-out=a-out b-out=b-out;"));
}

/* ---- all else ---- */

static void without_a_source_every_byte_is_as_it_was(void **test) {
    (void)test;
    static const uint8_t odd[] = {0x0a, 0x80, 0x00, 0x9a, 0x06, 0x01, 'x'}; /* a length in two bytes, and a field that nobody knows */
    bytes_t out = rewritten((bytes_t){odd, sizeof odd});
    assert_int_equal(out.size, sizeof odd);
    assert_memory_equal(out.data, odd, sizeof odd);
    assert_int_equal(rewritten((bytes_t){0}).size, 0);
}

static void put_field(msgpack_sbuffer *out, uint32_t number, const msgpack_sbuffer *in) {
    proto_put(out, number, (bytes_t){(const uint8_t *)in->data, in->size});
}

static void what_is_not_known_is_kept_byte_for_byte(void **test) {
    (void)test;
    enum { PARTS = 6 };
    msgpack_sbuffer pipeline, components, entry, value, wanted, wanted_components;
    msgpack_sbuffer *all[PARTS] = {&pipeline, &components, &entry, &value, &wanted, &wanted_components};
    for (size_t i = 0; i < PARTS; i++) msgpack_sbuffer_init(all[i]);
    begin();
    source("read");
    graph_root("read");
    bytes_t made = graph_pack();
    proto_field_t field, inner;
    assert_int_equal(proto_next(&made, &field), 1); /* the components */
    for (bytes_t rest = field.value; proto_next(&rest, &inner) == 1;) {
        msgpack_sbuffer_write(&components, (const char *)inner.whole.data, inner.whole.size);
        if (inner.number != 1) msgpack_sbuffer_write(&wanted_components, (const char *)inner.whole.data, inner.whole.size);
    }
    /* A transform with fields that nobody knows, and a list that is not changed; environments; fields out of order. */
    proto_put_text(&value, 5, "Map");
    proto_put_text(&value, 2, "sub");
    proto_put_text(&value, 7, "environment");
    proto_put_text(&value, 1234, "later");
    put_field(&entry, 2, &value);
    proto_put_text(&entry, 1, "map");
    msgpack_sbuffer_clear(&value);
    put_field(&components, 1, &entry);
    put_field(&wanted_components, 1, &entry);
    proto_put_text(&components, 5, "environments");
    proto_put_text(&wanted_components, 5, "environments");
    proto_put_text(&pipeline, 4, "beam:requirement:pardo:stateful:v1");
    put_field(&pipeline, 1, &components);
    proto_put_text(&pipeline, 2, "read");
    proto_put_text(&pipeline, 99, "later");
    bytes_t out = rewritten((bytes_t){(const uint8_t *)pipeline.data, pipeline.size});
    /* The TestStream stands where the read stood; it is taken out of what is compared. */
    for (bytes_t rest = out; proto_next(&rest, &field) == 1;) {
        if (field.number != 1) {
            msgpack_sbuffer_write(&wanted, (const char *)field.whole.data, field.whole.size);
            continue;
        }
        assert_int_equal(proto_next(&field.value, &inner), 1);
        assert_int_equal(inner.number, 1);
        assert_int_equal(field.value.size, wanted_components.size);
        assert_memory_equal(field.value.data, wanted_components.data, wanted_components.size);
    }
    msgpack_sbuffer_clear(&value);
    proto_put_text(&value, 4, "beam:requirement:pardo:stateful:v1");
    proto_put_text(&value, 2, "read");
    proto_put_text(&value, 99, "later");
    assert_int_equal(wanted.size, value.size);
    assert_memory_equal(wanted.data, value.data, value.size);
    for (size_t i = 0; i < PARTS; i++) msgpack_sbuffer_destroy(all[i]);
}

static void what_is_rewritten_has_no_source_left(void **test) {
    (void)test;
    begin();
    composite("root", "", "a b");
    source("a");
    source("b");
    graph_root("root");
    msgpack_sbuffer once;
    msgpack_sbuffer_init(&once);
    bytes_t out = rewritten(graph_pack());
    msgpack_sbuffer_write(&once, (const char *)out.data, out.size);
    out = rewritten((bytes_t){(const uint8_t *)once.data, once.size});
    assert_int_equal(out.size, once.size);
    assert_memory_equal(out.data, once.data, once.size);
    msgpack_sbuffer_destroy(&once);
}

/* ---- what cannot be replayed ---- */

static void sources_with_two_coders_are_refused(void **test) {
    (void)test;
    begin();
    graph_coder("text");
    source("a");
    source("b");
    graph_code("b-out", "text");
    graph_root("a b");
    assert_refused(ERROR_BAD_REQUEST, "rewrite",
                   "PCollection `a-out` has the coder `bytes`, and `b-out` has `text`: one TestStream replays them, and has one coder");
}

static void a_pcollection_without_a_coder_is_refused(void **test) {
    (void)test;
    graph_begin();
    graph_read("a", "x");
    graph_root("a");
    assert_refused(ERROR_BAD_REQUEST, "rewrite", "PCollection `a-out` has no coder");
    graph_code("a-out", "bytes");
    assert_refused(ERROR_BAD_REQUEST, "rewrite", "PCollection `a-out` has the coder `bytes`, which is not among the coders");
}

static void a_second_output_of_a_source_that_is_needed_is_refused(void **test) {
    (void)test;
    begin();
    source("a");
    graph_transform("read", PUBSUB, (bytes_t){0}, "", "main errors", "");
    graph_pcollection("main", UNBOUNDED);
    graph_pcollection("errors", BOUNDED);
    graph_code("main", "bytes");
    graph_root("read");
    assert_non_null(strstr(describe(rewritten(graph_pack())), "read: TESTSTREAM > main=main; pcs: a-out main"));
    plain("log", "errors", "logged");
    graph_root("log");
    assert_refused(ERROR_BAD_REQUEST, "rewrite",
                   "transform `log` refers to PCollection `errors`, which only a recorded source, or what is below it, makes");
}

static void a_pipeline_that_is_damaged_or_contains_itself_is_refused(void **test) {
    (void)test;
    assert_int_equal(rewrite_at(BYTES("\x0a\x05"), "h:1", ""), -1);
    assert_string_equal(no.field, "pipeline.beam");
    begin();
    composite("a", "", "b");
    composite("b", "", "a");
    graph_root("a");
    assert_refused(ERROR_BAD_REQUEST, "pipeline.beam", "transform `a` contains itself");
}

/* ---- very large ones ---- */

/* A chain of composites, each with a source of its own and the next one. */
static void chain(msgpack_sbuffer *out, size_t depth) {
    msgpack_sbuffer components, entry, value, spec;
    msgpack_sbuffer_init(&components);
    for (size_t i = 0; i < depth; i++) {
        for (int part = 0; part < 3; part++) {
            char key[32], read[32], output[32], next[32];
            snprintf(key, sizeof key, "c%zu", i);
            snprintf(read, sizeof read, "r%zu", i);
            snprintf(output, sizeof output, "o%zu", i);
            snprintf(next, sizeof next, "c%zu", i + 1);
            msgpack_sbuffer_init(&entry);
            msgpack_sbuffer_init(&value);
            msgpack_sbuffer_init(&spec);
            proto_put_text(&entry, 1, part == 0 ? key : part == 1 ? read : output);
            if (part == 0) {
                proto_put_text(&value, 2, read);
                if (i + 1 < depth) proto_put_text(&value, 2, next);
            } else if (part == 1) {
                proto_put_text(&spec, 1, PUBSUB);
                put_field(&value, 1, &spec);
                msgpack_sbuffer_clear(&spec);
                proto_put_text(&spec, 1, "out");
                proto_put_text(&spec, 2, output);
                put_field(&value, 4, &spec);
            } else {
                proto_put_text(&value, 2, "bytes");
            }
            put_field(&entry, 2, &value);
            put_field(&components, part < 2 ? 1 : 2, &entry);
            msgpack_sbuffer_destroy(&entry);
            msgpack_sbuffer_destroy(&value);
            msgpack_sbuffer_destroy(&spec);
        }
    }
    msgpack_sbuffer_init(&entry);
    proto_put_text(&entry, 1, "bytes");
    put_field(&components, 4, &entry);
    put_field(out, 1, &components);
    proto_put_text(out, 2, "c0");
    msgpack_sbuffer_destroy(&entry);
    msgpack_sbuffer_destroy(&components);
}

static void a_deep_chain_of_sources_is_rewritten_and_a_deeper_one_refused(void **test) {
    (void)test;
    msgpack_sbuffer pipeline;
    msgpack_sbuffer_init(&pipeline);
    chain(&pipeline, 300);
    assert_non_null(strstr(describe(rewritten((bytes_t){(const uint8_t *)pipeline.data, pipeline.size})),
                           "roots: c0; c0: {reprise_test_stream}; reprise_test_stream: TESTSTREAM > o0=o0"));
    msgpack_sbuffer_clear(&pipeline);
    chain(&pipeline, 20000);
    assert_int_equal(rewrite_at((bytes_t){(const uint8_t *)pipeline.data, pipeline.size}, "h:1", ""), -1);
    assert_int_equal(no.code, ERROR_TOO_LARGE);
    assert_string_equal(no.message, "the sources stand within more than 100000 composites, each counted for itself");
    msgpack_sbuffer_destroy(&pipeline);
}

int main(void) {
    msgpack_sbuffer_init(&written);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_source_is_replaced_where_it_stands),
        cmocka_unit_test(the_test_stream_has_the_coder_and_the_endpoint_and_the_sources_name),
        cmocka_unit_test(what_stood_below_a_source_goes_with_it),
        cmocka_unit_test(what_another_root_leads_to_as_well_stays),
        cmocka_unit_test(a_cycle_below_a_source_ends),
        cmocka_unit_test(a_pcollection_that_feeds_a_source_stays),
        cmocka_unit_test(of_two_with_one_key_the_last_counts_and_one_is_left),
        cmocka_unit_test(several_roots_become_one_test_stream_with_an_output_each),
        cmocka_unit_test(it_stands_in_the_lowest_composite_that_has_them_all),
        cmocka_unit_test(a_composite_of_which_nothing_is_left_goes_too),
        cmocka_unit_test(what_a_composite_that_goes_only_passed_on_stays),
        cmocka_unit_test(the_composite_that_it_stands_in_stays_though_nothing_else_is_left),
        cmocka_unit_test(a_composite_that_reads_it_already_gets_no_second_input),
        cmocka_unit_test(an_id_or_a_name_that_is_taken_is_not_taken_again),
        cmocka_unit_test(one_source_in_two_places_has_two_outputs),
        cmocka_unit_test(without_a_source_every_byte_is_as_it_was),
        cmocka_unit_test(what_is_not_known_is_kept_byte_for_byte),
        cmocka_unit_test(what_is_rewritten_has_no_source_left),
        cmocka_unit_test(sources_with_two_coders_are_refused),
        cmocka_unit_test(a_pcollection_without_a_coder_is_refused),
        cmocka_unit_test(a_second_output_of_a_source_that_is_needed_is_refused),
        cmocka_unit_test(a_pipeline_that_is_damaged_or_contains_itself_is_refused),
        cmocka_unit_test(a_deep_chain_of_sources_is_rewritten_and_a_deeper_one_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    msgpack_sbuffer_destroy(&written);
    return failed;
}
