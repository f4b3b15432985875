/* Bindings: which source is run by what, and with which payload. */
#include "pack.h"

#include "actors/beam/proto.h"
#include "actors/bindings.h"

#define PUBSUB "beam:transform:pubsub_read:v1"
#define CLICKS                                                                                                                             \
    "clicks\n    urn = \"" PUBSUB "\"\n    when\n        topic = \"projects/*/topics/cl*\"\n"                                              \
    "    source = \"reprise:source:file:v1\"\n    coder = \"string_utf8\"\n    payload\n        path = \"/log/{topic:last}.json\"\n"       \
    "        follow = false\n        out_of_order_ms = 100\n        from = \"end\"\n"

static bindings_t *bindings;
static msgpack_zone *zone;
static fault_t why;

static int setup(void **state) {
    (void)state;
    zone = msgpack_zone_new(1024);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    bindings_destroy(&bindings);
    msgpack_zone_free(zone);
    return 0;
}

static void load(const char *text) {
    bindings_destroy(&bindings);
    bindings = bindings_create(text, &why);
    if (!bindings) fail_msg("%s", why.text);
}

static void assert_faulty(const char *text, const char *what) {
    bindings_t *made = bindings_create(text, &why);
    assert_null(made);
    assert_string_equal(why.text, what);
}

/* A Pub/Sub read of this topic, as the transform's msgpack payload. */
static bytes_t pubsub(const char *topic) {
    static char payload[8192];
    msgpack_sbuffer message, value;
    msgpack_packer packer;
    msgpack_sbuffer_init(&message);
    msgpack_sbuffer_init(&value);
    proto_put_text(&message, 1, topic);
    msgpack_sbuffer_write(&message, "\x28\x01", 2);
    msgpack_packer_init(&packer, &value, msgpack_sbuffer_write);
    msgpack_pack_bin_with_body(&packer, message.data, message.size);
    size_t size = value.size;
    assert_true(size <= sizeof payload);
    memcpy(payload, value.data, size);
    msgpack_sbuffer_destroy(&message);
    msgpack_sbuffer_destroy(&value);
    return (bytes_t){(const uint8_t *)payload, size};
}

static msg_bound_t find(const char *urn, bytes_t payload) {
    msg_bound_t bound = {0};
    int got = bindings_find(bindings, urn, payload, zone, &bound, &why);
    if (got < 0) fail_msg("%s", why.text);
    if (got == 0) assert_null(bound.urn);
    return bound;
}

static void assert_payload(const msg_bound_t *bound, bytes_t wanted) {
    assert_int_equal(bound->payload.size, wanted.size);
    assert_memory_equal(bound->payload.data, wanted.data, wanted.size);
}

static void a_source_is_bound_and_its_payload_filled(void **test) {
    (void)test;
    load(CLICKS);
    msg_bound_t bound = find(PUBSUB, pubsub("projects/p/topics/clicks"));
    assert_string_equal(bound.urn, "reprise:source:file:v1");
    assert_string_equal(bound.coder, "string_utf8");
    assert_payload(&bound, pack("{sssfsiss}", "path", "/log/clicks.json", "follow", "out_of_order_ms", 100LL, "from", "end"));
}

static void another_urn_or_another_field_is_not_bound(void **test) {
    (void)test;
    load(CLICKS);
    assert_null(find(PUBSUB, pubsub("projects/p/topics/users")).urn);
    assert_null(find("beam:transform:read:v1", pubsub("projects/p/topics/clicks")).urn);
    assert_null(find(PUBSUB, (bytes_t){0}).urn);
    load("");
    assert_null(find(PUBSUB, pubsub("projects/p/topics/clicks")).urn);
}

static void the_first_that_matches_counts(void **test) {
    (void)test;
    load(CLICKS "rest\n    urn = \"beam:*\"\n    source = \"my:worker\"\n");
    assert_string_equal(find(PUBSUB, pubsub("projects/p/topics/clicks")).urn, "reprise:source:file:v1");
    assert_string_equal(find(PUBSUB, pubsub("projects/p/topics/users")).urn, "my:worker");
}

static void a_worker_gets_the_payload_as_it_is_or_one_that_is_made(void **test) {
    (void)test;
    load("a\n    urn = \"" PUBSUB "\"\n    source = \"my:worker\"\n");
    bytes_t own = pubsub("t");
    msg_bound_t bound = find(PUBSUB, own);
    assert_payload(&bound, own);
    assert_false(bound.has_coder);
    load("a\n    urn = \"" PUBSUB
         "\"\n    source = \"my:worker\"\n    payload\n        name = \"{topic}\"\n        n = 7\n        all = true\n"
         "        flag = \"{with_attributes}\"\n");
    bound = find(PUBSUB, own);
    assert_payload(&bound, pack("{sssistsi}", "name", "t", "n", 7LL, "all", "flag", 1LL));
}

static void fields_of_maps_have_names_and_those_of_other_protos_numbers(void **test) {
    (void)test;
    load("a\n    urn = \"*\"\n    when\n        kind = \"k*\"\n    source = \"w\"\n    payload\n        x = \"{kind}-{n}\"\n"
         "b\n    urn = \"*\"\n    source = \"w\"\n    payload\n        x = \"{1.2}\"\n");
    msg_bound_t bound = find("my:urn", pack("{sssi}", "kind", "kafka", "n", -3LL));
    assert_payload(&bound, pack("{ss}", "x", "kafka--3"));
    bound = find("my:urn", pack("b", "\x0a\x03\x12\x01z"));
    assert_payload(&bound, pack("{ss}", "x", "z"));
}

static void a_field_that_is_not_there_is_told_by_key_value_and_urn(void **test) {
    (void)test;
    msg_bound_t bound = {0};
    load("a\n    urn = \"*\"\n    source = \"w\"\n    payload\n        path = \"/{subscription}\"\n");
    assert_int_equal(bindings_find(bindings, PUBSUB, pubsub("t"), zone, &bound, &why), -1);
    assert_string_equal(why.text, "`bind/a/payload/path` = \"/{subscription}\": the payload of `" PUBSUB
                                  "` has no text or number called `subscription`");
    assert_int_equal(bindings_find(bindings, PUBSUB, pack("b", "\x12\x7f"), zone, &bound, &why), -1);
    static char topic[4200];
    memset(topic, 't', sizeof topic - 1);
    load("a\n    urn = \"*\"\n    source = \"w\"\n    payload\n        path = \"{topic}{topic}\"\n");
    topic[4000] = '\0';
    assert_int_equal(bindings_find(bindings, PUBSUB, pubsub(topic), zone, &bound, &why), -1);
    assert_string_equal(why.text, "`bind/a/payload/path` = \"{topic}{topic}\" becomes longer than 4096 bytes");
}

static void what_is_wrong_in_the_file_is_told_by_its_key(void **test) {
    (void)test;
    assert_faulty("a\n    source = \"w\"\n", "`bind/a/urn` must be a URN, not \"\"");
    assert_faulty("a\n    urn = \"u\"\n", "`bind/a/source` must be a URN, not \"\"");
    assert_faulty("a\n    urn = \"u\"\n    source = \"w\"\n    to = \"x\"\n",
                  "`bind/a/to`: a binding has urn, source, coder, when and payload");
    assert_faulty("a\n    urn = \"u\"\n    urn = \"v\"\n    source = \"w\"\n", "`bind/a/urn` is said twice");
    assert_faulty("a\n    urn = \"u\"\n    source = \"reprise:source:file:v1\"\n    coder = \"avro\"\n",
                  "`bind/a/coder`: `coder` must be bytes, string_utf8, or kv<K,V> of these, not `avro`");
    assert_faulty("a\n    urn = \"u\"\n    source = \"w\"\n    coder = \"bytes\"\n",
                  "`bind/a/coder`: `w` is run outside, and encodes what it sends itself");
    assert_faulty("a\n    urn = \"u\"\n    source = \"reprise:source:file:v1\"\n    payload\n        pth = \"x\"\n",
                  "`bind/a/payload/pth`: the payload of `reprise:source:file:v1` has no such field");
    assert_faulty("a\n    urn = \"u\"\n    source = \"w\"\n    payload\n        x = \"{topic\"\n",
                  "`bind/a/payload/x`: in \"{topic\" braces must be about a field, as in {topic} or {topic:last}");
    assert_faulty("a\n    urn = \"u\"\n    source = \"w\"\n    payload\n        x = \"{topic:first}\"\n",
                  "`bind/a/payload/x`: in \"{topic:first}\" braces must be about a field, as in {topic} or {topic:last}");
    assert_faulty("a\n    urn = \"u\"\n    source = \"w\"\n    payload\n        x\n            y = 1\n",
                  "`bind/a/payload/x` is a field, and has none in it");
    assert_faulty("a\n    urn = \"u\"\n    source = \"w\"\n    when\n        topic\n",
                  "`bind/a/when/topic` must be what a field has to be");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_source_is_bound_and_its_payload_filled, setup, teardown),
        cmocka_unit_test_setup_teardown(another_urn_or_another_field_is_not_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_that_matches_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_worker_gets_the_payload_as_it_is_or_one_that_is_made, setup, teardown),
        cmocka_unit_test_setup_teardown(fields_of_maps_have_names_and_those_of_other_protos_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_field_that_is_not_there_is_told_by_key_value_and_urn, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_wrong_in_the_file_is_told_by_its_key, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
