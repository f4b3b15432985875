/* The process dies after each message that its actors send each other, in the middle of changes of sources and changes back, and the next
 * one finds what is on the disk. Whatever had happened by then, what it says of recordings makes sense, and whoever asks again gets on. */
#include "story.h"

#include <ftw.h>
#include <sys/stat.h>

enum { COUNT = 5, SOURCES = 3 };

static const msg_pipeline_t *finite(stage_t *stage, int seed) {
    bytes_t made = pack("{sisisisi}", "rate", 1000LL, "size", 20LL, "count", (long long)COUNT, "seed", (long long)seed);
    msg_transform_t transforms[] = {{.name = "Read", .urn = "reprise:source:generator:v1", .has_payload = true}};
    transforms[0].payload = (bytes_t){stage_keep(stage, made.data, made.size), made.size};
    return run_of(stage, "clicks", 1, transforms, 0).pipeline_definition;
}

/* ---- a life, which may end at any moment ---- */

/* Waits for the answer; NULL: the process has died. */
static const void *ask(stage_t *stage, message_id_t id, const void *message) {
    stage_peer_request(stage, commander, id, message, (bytes_t){0}, 1);
    stage_run(stage);
    for (int i = 0; i < PATIENCE_MS / 10 && !stage_peer_waits(stage, commander) && !stage_is_dead(stage); i++) stage_advance(stage, 10000);
    if (stage_is_dead(stage)) return NULL;
    const stage_message_t *m = stage_peer_take(stage, commander);
    if (!m || m->refused) fail_msg("%s is %s", message_class(id)->wire, m ? "refused" : "not answered");
    return stage_decode(stage, message_class(id)->answer, m->raw);
}

typedef struct deed {
    char what;  /* r: run, c: source.changed, n: job.needed, x: job.cancel, o: keep so many, f: forget, w: wait for the job */
    int number; /* of the sources, or how many */
} deed_t;

static bool do_deed(stage_t *stage, const deed_t *deed) {
    const msg_pipeline_t *made = finite(stage, deed->number);
    switch (deed->what) {
    case 'r':
        return ask(stage, MSG_PIPELINE_RUN_ASK,
                   &(msg_pipeline_run_t){.has_pipeline = true, .pipeline = "clicks", .pipeline_definition = made});
    case 'c':
        return ask(stage, MSG_SOURCE_CHANGED,
                   &(msg_source_changed_t){.has_pipeline = true, .pipeline = "clicks", .pipeline_definition = made});
    case 'n':
        return ask(stage, MSG_JOB_NEEDED, &(msg_job_needed_t){.has_pipeline = true, .pipeline = "clicks", .pipeline_definition = made});
    case 'x': return ask(stage, MSG_JOB_CANCEL, &(msg_job_cancel_t){.has_pipeline = true, .pipeline = "clicks"});
    case 'o': return ask(stage, MSG_OPTIONS_SET, &(msg_options_set_t){.has_keep_recordings = true, .keep_recordings = deed->number});
    case 'f': return ask(stage, MSG_PIPELINE_FORGET, &(msg_pipeline_forget_t){.has_pipeline = true, .pipeline = "clicks"});
    default: return ask(stage, MSG_JOB_WAIT, &(msg_job_wait_t){.has_pipeline = true, .pipeline = "clicks", .timeout_ms = 20000});
    }
}

/* What is on the disk at this moment. */
static void copy_data(stage_t *stage, char ret_folder[4096]) {
    char command[9000];
    snprintf(ret_folder, 4096, "%s/reprise-death-XXXXXX", stage_folder());
    assert_non_null(mkdtemp(ret_folder));
    snprintf(command, sizeof command, "cp -r '%s/.' '%s'", stage_config(stage)->data, ret_folder);
    assert_int_equal(system(command), 0);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status, (void)type, (void)walk;
    return remove(path);
}

/* ---- what the next process says ---- */

static bool changed(stage_t *stage, int seed) {
    msg_source_changed_t question = {
        .has_pipeline = true, .pipeline = "clicks", .pipeline_definition = finite(stage, seed), .has_update = true, .update = false};
    return ((const msg_source_changes_t *)must_get(stage, MSG_SOURCE_CHANGED, &question))->changed;
}

static const char *signature_of(stage_t *stage, int seed) {
    msg_source_signature_t question = {.has_pipeline = true, .pipeline = "clicks", .pipeline_definition = finite(stage, seed)};
    const msg_signature_t *answer = must_get(stage, MSG_SOURCE_SIGNATURE, &question);
    assert_int_equal(answer->signature.count, 1);
    return answer->signature.items[0];
}

/* At most one recording is valid, and the recorded signature is what that was made of; at most one job is under way; each has the other. */
static void assert_sane(stage_t *stage) {
    const msg_recordings_t *all = recordings(stage);
    const msg_jobs_t *jobs = must_get(stage, MSG_JOB_LIST, &(msg_job_list_t){0});
    const msg_recording_t *valid = NULL;
    size_t active = 0;
    for (size_t i = 0; i < all->recordings.count; i++) {
        const msg_recording_t *recording = &all->recordings.items[i];
        size_t n = 0;
        while (n < jobs->jobs.count && strcmp(jobs->jobs.items[n].job, recording->job) != 0) n++;
        if (n == jobs->jobs.count) fail_msg("recording %s has no job", recording->recording);
        if (!recording->has_invalidated && valid) fail_msg("%s and %s are valid", valid->recording, recording->recording);
        if (!recording->has_invalidated) valid = recording;
    }
    for (size_t i = 0; i < jobs->jobs.count; i++) active += jobs->jobs.items[i].is_running || strstr(jobs->jobs.items[i].state, "ING");
    assert_true(active <= 1);
    for (int seed = 1; valid && seed <= SOURCES; seed++)
        assert_int_equal(changed(stage, seed), strcmp(signature_of(stage, seed), valid->signature.items[0]) != 0);
    msg_recording_describe_t describe = {.has_pipeline = true, .pipeline = "clicks"};
    if (valid)
        assert_string_equal(((const msg_recording_t *)must_get(stage, MSG_RECORDING_DESCRIBE, &describe))->recording, valid->recording);
    else
        assert_int_equal(must_be_refused(stage, MSG_RECORDING_DESCRIBE, &describe), ERROR_NOT_FOUND);
}

/* A run of any of the sources ends with a complete recording of those. */
static void assert_runs(stage_t *stage, int seed) {
    msg_pipeline_run_t order = {.has_pipeline = true, .pipeline = "clicks", .pipeline_definition = finite(stage, seed)};
    must_get(stage, MSG_PIPELINE_RUN_ASK, &order);
    const msg_job_wait_t wait = {.has_pipeline = true, .pipeline = "clicks", .timeout_ms = PATIENCE_MS / 2};
    assert_true(((const msg_job_t *)must_get(stage, MSG_JOB_WAIT, &wait))->is_done);
    const msg_recording_t *recording =
        must_get(stage, MSG_RECORDING_DESCRIBE, &(msg_recording_describe_t){.has_pipeline = true, .pipeline = "clicks"});
    assert_string_equal(recording->signature.items[0], signature_of(stage, seed));
    assert_int_equal(recording->elements, COUNT);
    assert_sane(stage);
    const msg_pipeline_run_answer_t *again = must_get(stage, MSG_PIPELINE_RUN_ASK, &order);
    assert_string_equal(again->reason, "recording_valid");
    assert_string_equal(again->recording, recording->recording);
}

static void assert_forgotten(stage_t *stage) {
    static const char *const kinds[] = {"pipeline", "signature", "run", "job"};
    forget(stage, "clicks");
    assert_int_equal(recordings(stage)->recordings.count, 0);
    assert_int_equal(jobs_count(stage), 0);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const msg_documents_t *left = stage_get(stage, "catalog", MSG_CATALOG_READ, &(msg_catalog_read_t){.kind = kinds[i]});
        if (left->documents.count > 0) fail_msg("the catalog remembers %s `%s`", kinds[i], left->documents.items[0].key);
    }
}

/* ---- dying ---- */

/* Lives until message `point`, then goes on as another process; false: it did not die. */
static bool die_at(const deed_t *deeds, size_t point, uint64_t seed) {
    char folder[4096];
    stage_t *stage = world_create(seed, NULL);
    stage_die_after(stage, point);
    for (const deed_t *deed = deeds; deed->what && do_deed(stage, deed); deed++) continue;
    bool died = stage_is_dead(stage);
    copy_data(stage, folder);
    int64_t now = stage_now(stage);
    stage_destroy(&stage);
    stage = stage_create(seed, folder);
    stage_set_now(stage, now + 1000000);
    stage_add_tree(stage);
    stage_advance(stage, 1000000); /* what had not ended goes on, and ends by itself */
    assert_sane(stage);
    int first = 1 + (int)(point % SOURCES);
    for (int i = 0; i < SOURCES; i++) assert_runs(stage, 1 + (first + i) % SOURCES);
    assert_forgotten(stage);
    stage_destroy(&stage);
    assert_int_equal(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    return died;
}

/* At each message with REPRISE_SEEDS=1 or more, in so many orders; otherwise at every third. */
static void die_everywhere(const deed_t *deeds) {
    uint64_t orders = seeds_of(0);
    for (uint64_t seed = 1; seed <= (orders ? orders : 1); seed++)
        for (size_t point = 1;; point += orders ? 1 : 3) {
            print_message("seed %llu, message %zu\n", (unsigned long long)seed, point);
            if (!die_at(deeds, point, seed)) break;
        }
}

static void a_process_that_dies_while_sources_change_and_change_back_leaves_what_makes_sense(void **test) {
    (void)test;
    die_everywhere((const deed_t[]){{'o', 1}, {'r', 1}, {'w', 0}, {'r', 2}, {'w', 0}, {'r', 1}, {'r', 3}, {'r', 1}, {0, 0}});
}

static void a_process_that_dies_while_a_change_is_asked_about_leaves_what_makes_sense(void **test) {
    (void)test;
    die_everywhere(
        (const deed_t[]){{'o', 2}, {'r', 1}, {'w', 0}, {'c', 2}, {'n', 1}, {'c', 3}, {'c', 1}, {'r', 2}, {'x', 0}, {'c', 1}, {0, 0}});
}

static void a_process_that_dies_while_nothing_is_kept_leaves_what_makes_sense(void **test) {
    (void)test;
    die_everywhere((const deed_t[]){{'r', 1}, {'w', 0}, {'c', 2}, {'r', 2}, {'r', 3}, {'f', 0}, {'r', 1}, {0, 0}});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_that_dies_while_sources_change_and_change_back_leaves_what_makes_sense),
        cmocka_unit_test(a_process_that_dies_while_a_change_is_asked_about_leaves_what_makes_sense),
        cmocka_unit_test(a_process_that_dies_while_nothing_is_kept_leaves_what_makes_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
