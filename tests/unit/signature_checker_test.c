/* The signature checker: what changed since the recording, for whoever asks first and for whoever asks again. */
#include "desk.h"

#include "actors/signature_checker.h"

static msgpack_sbuffer remembered; /* what the catalog was last given to remember */
static bool anything;

static void answer_write(stage_t *stage) {
    const msg_catalog_write_t *write = desk_answer(stage, "catalog", MSG_CATALOG_WRITE, NULL);
    assert_int_equal(write->documents.count, 1);
    assert_string_equal(write->documents.items[0].kind, "signature");
    msgpack_sbuffer_destroy(&remembered);
    msgpack_sbuffer_init(&remembered);
    anything = write->documents.items[0].has_value;
    if (anything)
        msgpack_sbuffer_write(&remembered, (const char *)write->documents.items[0].value.data, write->documents.items[0].value.size);
}

static void load(stage_t *stage, size_t count, msg_recording_job_t *recordings) {
    msg_options_t options;
    options_default(&options);
    desk_answer(stage, "catalog", MSG_OPTIONS_GET, &options);
    msg_document_t document = {
        .kind = "signature", .key = "p", .has_value = true, .value = {(const uint8_t *)remembered.data, remembered.size}};
    desk_answer(stage, "catalog", MSG_CATALOG_READ, &(msg_documents_t){.documents = {anything ? 1 : 0, &document}});
    desk_answer(stage, "recorder", MSG_RECORDING_JOBS_ASK, &(msg_recording_jobs_t){.recordings = {count, recordings}});
    assert_true(stage_is_ready(stage, "signature_checker"));
}

static stage_t *with_checker(void) {
    stage_t *stage = stage_create(5, NULL);
    anything = false;
    stage_add(stage, &signature_checker_class, "signature_checker", (bytes_t){0});
    load(stage, 0, NULL);
    return stage;
}

/* Push sources `a`, `b`… told apart by their payload. */
static const msg_comparison_t *compare_for(stage_t *stage, const char *sources, const char *request) {
    msg_transform_t transforms[8];
    static uint8_t payloads[8];
    static char names[8][2];
    size_t count = strlen(sources);
    for (size_t i = 0; i < count; i++) {
        names[i][0] = sources[i];
        payloads[i] = (uint8_t)(sources[i] - 'a');
        transforms[i] =
            (msg_transform_t){.name = names[i], .urn = "reprise:source:push:v1", .has_payload = true, .payload = {&payloads[i], 1}};
    }
    msg_signature_compare_t ask = {.pipeline = {.name = "p", .has_transforms = true, .transforms = {count, transforms}},
                                   .has_request = request != NULL,
                                   .request = request};
    return stage_get(stage, "signature_checker", MSG_SIGNATURE_COMPARE, &ask);
}

static const msg_comparison_t *compare(stage_t *stage, const char *sources) {
    return compare_for(stage, sources, NULL);
}

static const char *signature_of(char source) {
    static char texts[8][64];
    snprintf(texts[source - 'a'], sizeof texts[0], "reprise:source:push:v1|msgpack:%02x", source - 'a');
    return texts[source - 'a'];
}

static void ask_to_record(stage_t *stage, const char *sources, bool pending, const char *job, const char *request) {
    const char *items[8];
    size_t count = strlen(sources);
    for (size_t i = 0; i < count; i++) items[i] = signature_of(sources[i]);
    msg_signature_record_t record = {.pipeline = "p",
                                     .signature = {count, items},
                                     .pending = pending,
                                     .has_job = job != NULL,
                                     .job = job,
                                     .has_request = request != NULL,
                                     .request = request};
    stage_ask(stage, "tracker", "signature_checker", MSG_SIGNATURE_RECORD, &record);
}

static void record(stage_t *stage, const char *sources, bool pending, const char *job, const char *request) {
    ask_to_record(stage, sources, pending, job, request);
    answer_write(stage);
    desk_yes(stage, "tracker");
}

static void assert_found(const msg_comparison_t *c, bool changed, bool pending, const char *added, const char *removed) {
    assert_int_equal(c->changed, changed);
    assert_int_equal(c->pending, pending);
    assert_int_equal(c->added.count, strlen(added));
    for (size_t i = 0; i < c->added.count; i++) assert_string_equal(c->added.items[i], signature_of(added[i]));
    assert_int_equal(c->removed.count, strlen(removed));
    for (size_t i = 0; i < c->removed.count; i++) assert_string_equal(c->removed.items[i], signature_of(removed[i]));
}

static void what_was_never_recorded_has_changed(void **test) {
    (void)test;
    stage_t *stage = with_checker();
    assert_found(compare(stage, "ab"), true, false, "ab", "");
    assert_found(compare(stage, ""), false, false, "", "");
    stage_destroy(&stage);
}

static void removing_a_source_keeps_a_recording_valid_and_adding_one_does_not(void **test) {
    (void)test;
    stage_t *stage = with_checker();
    record(stage, "abc", false, "j1", NULL);
    assert_found(compare(stage, "cba"), false, false, "", "");
    assert_found(compare(stage, "b"), false, false, "", "ac");
    assert_found(compare(stage, "abcd"), true, false, "d", "");
    assert_found(compare(stage, "bd"), true, false, "d", "ac");
    stage_destroy(&stage);
}

static void a_comparison_changes_nothing(void **test) {
    (void)test;
    stage_t *stage = with_checker();
    record(stage, "a", false, "j1", NULL);
    for (int i = 0; i < 2; i++) assert_found(compare(stage, "b"), true, false, "b", "a");
    desk_is_quiet(stage, "catalog", MSG_CATALOG_WRITE);
    stage_destroy(&stage);
}

static void assert_since(const msg_comparison_t *c, const char *added, const char *removed) {
    assert_int_equal(c->added_since.count, strlen(added));
    for (size_t i = 0; i < c->added_since.count; i++) assert_string_equal(c->added_since.items[i], signature_of(added[i]));
    assert_int_equal(c->removed_since.count, strlen(removed));
    for (size_t i = 0; i < c->removed_since.count; i++) assert_string_equal(c->removed_since.items[i], signature_of(removed[i]));
}

static void what_changed_since_the_last_job_is_told_whoever_saw_it_first(void **test) {
    (void)test;
    stage_t *stage = with_checker();
    record(stage, "a", true, NULL, NULL);
    assert_since(compare(stage, "a"), "a", ""); /* no job yet */
    record(stage, "a", false, "j1", NULL);
    assert_since(compare(stage, "a"), "", "");
    record(stage, "b", true, NULL, "w1");
    record(stage, "c", true, NULL, "w2");
    assert_since(compare(stage, "c"), "c", "a");
    record(stage, "c", false, "j2", "w3");
    assert_since(compare_for(stage, "c", "w3"), "c", "a"); /* the work that recorded it is begun anew */
    assert_since(compare(stage, "c"), "", "");
    stage_destroy(&stage);
}

static void a_change_stays_pending_until_a_job_has_started_also_in_new_state(void **test) {
    (void)test;
    stage_t *stage = with_checker();
    record(stage, "a", false, "j1", NULL);
    record(stage, "b", true, NULL, NULL);
    assert_found(compare(stage, "b"), false, true, "", "");
    stage_fail(stage, "signature_checker");
    stage_run(stage);
    load(stage, 0, NULL);
    assert_found(compare(stage, "b"), false, true, "", "");
    record(stage, "b", false, "j2", NULL);
    assert_found(compare(stage, "b"), false, false, "", "");
    stage_destroy(&stage);
}

static void a_write_that_is_refused_changes_nothing(void **test) {
    (void)test;
    stage_t *stage = with_checker();
    record(stage, "a", false, "j1", NULL);
    ask_to_record(stage, "b", true, NULL, NULL);
    desk_refuse(stage, "catalog", MSG_CATALOG_WRITE, ERROR_INTERNAL, "disk full");
    assert_int_equal(desk_no(stage, "tracker").code, ERROR_INTERNAL);
    assert_found(compare(stage, "a"), false, false, "", "");
    stage_ask(stage, "tracker", "signature_checker", MSG_SIGNATURE_FORGET, &(msg_signature_forget_t){.pipeline = "p"});
    desk_refuse(stage, "catalog", MSG_CATALOG_WRITE, ERROR_INTERNAL, "disk full");
    desk_no(stage, "tracker");
    assert_found(compare(stage, "a"), false, false, "", "");
    stage_destroy(&stage);
}

static void what_is_forgotten_was_never_recorded(void **test) {
    (void)test;
    stage_t *stage = with_checker();
    record(stage, "a", true, NULL, NULL);
    stage_ask(stage, "tracker", "signature_checker", MSG_SIGNATURE_FORGET, &(msg_signature_forget_t){.pipeline = "p"});
    answer_write(stage);
    assert_false(anything);
    desk_yes(stage, "tracker");
    assert_found(compare(stage, "a"), true, false, "a", "");
    stage_destroy(&stage);
}

static void the_work_that_recorded_a_change_sees_it_when_it_is_begun_anew(void **test) {
    (void)test;
    stage_t *stage = with_checker();
    record(stage, "a", false, "j1", "1-1");
    record(stage, "b", true, NULL, "1-2");
    assert_found(compare_for(stage, "b", "1-2"), true, false, "b", "a");
    assert_found(compare_for(stage, "b", "1-3"), false, true, "", "");
    record(stage, "b", true, NULL, "1-2");
    record(stage, "b", false, "j2", "1-2");
    stage_fail(stage, "signature_checker");
    stage_run(stage);
    load(stage, 0, NULL);
    assert_found(compare_for(stage, "b", "1-2"), true, false, "b", "a");
    assert_found(compare_for(stage, "b", "1-3"), false, false, "", "");
    stage_destroy(&stage);
}

static msg_recording_job_t recording_of(const char *job, const char *sources) {
    static msg_stream_t streams[4][8];
    static size_t next;
    static const char *tags[] = {"t"};
    msg_stream_t *items = streams[next++ % 4];
    for (size_t i = 0; sources[i]; i++) items[i] = (msg_stream_t){.signature = signature_of(sources[i]), .urn = "u", .tags = {1, tags}};
    return (msg_recording_job_t){.recording = "r", .job = job, .pipeline = "p", .state = "RUNNING", .streams = {strlen(sources), items}};
}

static void anew(stage_t *stage, size_t count, msg_recording_job_t *recordings) {
    stage_fail(stage, "signature_checker");
    stage_run(stage);
    load(stage, count, recordings);
}

/* It came back, and the process died before that was written down. */
static void a_valid_manifest_wins_over_the_catalog_though_a_newer_one_is_invalid(void **test) {
    (void)test;
    stage_t *stage = with_checker();
    record(stage, "b", false, "j2", NULL);
    msg_recording_job_t there[] = {recording_of("j1", "ac"), recording_of("j2", "b")};
    there[1].has_invalidated = true;
    anew(stage, 2, there);
    assert_found(compare(stage, "a"), false, false, "", "c");
    assert_found(compare(stage, "b"), true, false, "b", "ac");
    stage_destroy(&stage);
}

static void an_invalid_manifest_says_nothing_about_what_is_recorded(void **test) {
    (void)test;
    stage_t *stage = with_checker();
    record(stage, "a", false, "j1", NULL);
    record(stage, "b", true, NULL, NULL);
    msg_recording_job_t there[] = {recording_of("j1", "a"), recording_of("j2", "c")};
    there[0].has_invalidated = there[1].has_invalidated = true;
    anew(stage, 2, there);
    assert_found(compare(stage, "b"), false, true, "", "");
    anything = false;
    anew(stage, 2, there);
    assert_found(compare(stage, "a"), true, false, "a", "");
    stage_destroy(&stage);
}

static void of_two_valid_manifests_the_newer_counts_and_one_that_cannot_be_read_does_not(void **test) {
    (void)test;
    stage_t *stage = with_checker();
    record(stage, "a", false, "j1", NULL);
    msg_recording_job_t there[] = {recording_of("j1", "a"), recording_of("j2", "b"), recording_of("j3", "")};
    anew(stage, 3, there);
    assert_found(compare(stage, "b"), false, false, "", "");
    assert_found(compare(stage, "a"), true, false, "a", "b");
    stage_destroy(&stage);
}

static void the_manifest_of_a_newer_job_wins_over_the_catalog(void **test) {
    (void)test;
    stage_t *stage = with_checker();
    record(stage, "a", true, "j1", NULL);
    stage_fail(stage, "signature_checker");
    stage_run(stage);
    msg_recording_job_t recording = recording_of("j2", "ba");
    load(stage, 1, &recording);
    assert_found(compare(stage, "ab"), false, false, "", "");
    assert_found(compare(stage, "c"), true, false, "c", "ab");
    stage_destroy(&stage);
}

static void a_recording_that_is_valid_came_back_after_the_change_that_is_pending(void **test) {
    (void)test;
    stage_t *stage = with_checker();
    record(stage, "a", false, "j2", NULL);
    record(stage, "b", true, NULL, NULL);
    msg_recording_job_t there = recording_of("j2", "a");
    there.has_invalidated = true;
    anew(stage, 1, &there);
    assert_found(compare(stage, "b"), false, true, "", "");
    there.has_invalidated = false;
    anew(stage, 1, &there);
    assert_found(compare(stage, "a"), false, false, "", "");
    assert_found(compare(stage, "b"), true, false, "b", "a");
    stage_destroy(&stage);
}

static void which_urns_are_recordable_can_be_changed(void **test) {
    (void)test;
    stage_t *stage = with_checker();
    msg_options_t options;
    options_default(&options);
    const char *urns[] = {"mine:*"};
    options.recordable_sources = (names_t){1, urns};
    msg_options_changed_t changed;
    memcpy(&changed, &options, sizeof changed);
    stage_tell(stage, "catalog", "signature_checker", MSG_OPTIONS_CHANGED, &changed);
    assert_int_equal(compare(stage, "a")->sources.count, 0);
    stage_destroy(&stage);
}

static void a_definition_that_contradicts_itself_is_refused(void **test) {
    (void)test;
    stage_t *stage = with_checker();
    uint8_t one = 1, two = 2;
    msg_transform_t transforms[] = {
        {.name = "A", .urn = "reprise:source:push:v1", .has_payload = true, .payload = {&one, 1}, .has_tag = true, .tag = "t"},
        {.name = "B", .urn = "reprise:source:push:v1", .has_payload = true, .payload = {&two, 1}, .has_tag = true, .tag = "t"}};
    msg_signature_compare_t ask = {.pipeline = {.name = "p", .has_transforms = true, .transforms = {2, transforms}}};
    const refusal_t *no = stage_get_refusal(stage, "signature_checker", MSG_SIGNATURE_COMPARE, &ask);
    assert_int_equal(no->code, ERROR_BAD_REQUEST);
    assert_string_equal(no->field, "pipeline.transforms[1].tag");
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_never_recorded_has_changed),
        cmocka_unit_test(removing_a_source_keeps_a_recording_valid_and_adding_one_does_not),
        cmocka_unit_test(a_comparison_changes_nothing),
        cmocka_unit_test(what_changed_since_the_last_job_is_told_whoever_saw_it_first),
        cmocka_unit_test(a_change_stays_pending_until_a_job_has_started_also_in_new_state),
        cmocka_unit_test(a_write_that_is_refused_changes_nothing),
        cmocka_unit_test(what_is_forgotten_was_never_recorded),
        cmocka_unit_test(the_work_that_recorded_a_change_sees_it_when_it_is_begun_anew),
        cmocka_unit_test(a_valid_manifest_wins_over_the_catalog_though_a_newer_one_is_invalid),
        cmocka_unit_test(an_invalid_manifest_says_nothing_about_what_is_recorded),
        cmocka_unit_test(of_two_valid_manifests_the_newer_counts_and_one_that_cannot_be_read_does_not),
        cmocka_unit_test(the_manifest_of_a_newer_job_wins_over_the_catalog),
        cmocka_unit_test(a_recording_that_is_valid_came_back_after_the_change_that_is_pending),
        cmocka_unit_test(which_urns_are_recordable_can_be_changed),
        cmocka_unit_test(a_definition_that_contradicts_itself_is_refused),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    msgpack_sbuffer_destroy(&remembered);
    return result;
}
