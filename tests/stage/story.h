/* Stories: what a client does and what there must be then, told with each actor failing after each of its messages. A client here does not
 * ask twice: whatever fails, the one answer is the right one. */
#ifndef REPRISE_TESTS_STORY_H
#define REPRISE_TESTS_STORY_H

#include "world.h"

#include "actors/runtime/tree.h"

enum { POINTS_MAX = 60, PATIENCE_MS = 45000 };

static inline msg_transform_t endless(stage_t *stage, const char *name) {
    return generator(stage, name, 0);
}

/* ---- one request, that must not be refused ---- */

static inline const stage_message_t *answer_of(stage_t *stage, message_id_t id, const void *message, bytes_t body) {
    stage_peer_request(stage, commander, id, message, body, 1);
    stage_run(stage);
    for (int i = 0; i < PATIENCE_MS / 10 && !stage_peer_waits(stage, commander); i++) stage_advance(stage, 10000);
    const stage_message_t *m = stage_peer_take(stage, commander);
    if (!m) fail_msg("%s is not answered", message_class(id)->wire);
    if (stage_peer_waits(stage, commander)) fail_msg("%s is answered twice", message_class(id)->wire);
    return m;
}

static inline const void *must_get_with(stage_t *stage, message_id_t id, const void *message, bytes_t body) {
    const stage_message_t *m = answer_of(stage, id, message, body);
    if (m->refused) {
        refusal_t no;
        assert_int_equal(refusal_decode(m->raw, &no), 0);
        fail_msg("%s is refused: %s: %s", message_class(id)->wire, error_name(no.code), no.message);
    }
    return stage_decode(stage, message_class(id)->answer, m->raw);
}

static inline const void *must_get(stage_t *stage, message_id_t id, const void *message) {
    return must_get_with(stage, id, message, (bytes_t){0});
}

static inline error_code_t must_be_refused(stage_t *stage, message_id_t id, const void *message) {
    const stage_message_t *m = answer_of(stage, id, message, (bytes_t){0});
    if (!m->refused) fail_msg("%s is not refused", message_class(id)->wire);
    refusal_t no;
    assert_int_equal(refusal_decode(m->raw, &no), 0);
    return no.code;
}

static inline const msg_pipeline_run_answer_t *run(stage_t *stage, const char *name, size_t count, const msg_transform_t *transforms) {
    msg_pipeline_run_t ask = run_of(stage, name, count, transforms, 0);
    return must_get(stage, MSG_PIPELINE_RUN_ASK, &ask);
}

static inline size_t jobs_count(stage_t *stage) {
    const msg_jobs_t *jobs = must_get(stage, MSG_JOB_LIST, &(msg_job_list_t){0});
    return jobs->jobs.count;
}

static inline const msg_recordings_t *recordings(stage_t *stage) {
    return must_get(stage, MSG_RECORDING_LIST, &(msg_recording_list_t){0});
}

static inline const msg_pipeline_description_t *description(stage_t *stage, const char *name) {
    return must_get(stage, MSG_PIPELINE_DESCRIBE, &(msg_pipeline_describe_t){.has_pipeline = true, .pipeline = name});
}

static inline msg_job_t job_of(stage_t *stage, const char *pipeline) {
    return *(const msg_job_t *)must_get(stage, MSG_JOB_DESCRIBE, &(msg_job_describe_t){.has_pipeline = true, .pipeline = pipeline});
}

static inline void forget(stage_t *stage, const char *pipeline) {
    must_get(stage, MSG_PIPELINE_FORGET, &(msg_pipeline_forget_t){.has_pipeline = true, .pipeline = pipeline});
}

/* ---- with each actor failing after each of its messages ---- */

typedef struct story {
    void (*before)(stage_t *stage); /* undisturbed; NULL: nothing */
    void (*during)(stage_t *stage);
    void (*after)(stage_t *stage); /* what there must be then */
} story_t;

static inline void tell(const story_t *story, const char *actor, size_t point, bool *ret_failed) {
    stage_t *stage = world_create(point, NULL);
    if (story->before) story->before(stage);
    stage_fail_after(stage, actor, point);
    story->during(stage);
    *ret_failed = stage_failures(stage, actor) > 0;
    if (!*ret_failed) stage_fail_after(stage, actor, SIZE_MAX);
    if (!stage_is_ready(stage, actor)) stage_advance(stage, 1000000);
    story->after(stage);
    assert_null(stage_take(stage, "main", MSG_ACTOR_FAILED));
    stage_destroy(&stage);
}

static inline void tell_with_failures(const story_t *story) {
    static const char *const actors[] = {"pipeline_tracker", "job_supervisor", "signature_checker", "limiter",           "catalog",
                                         "recorder",         "gateway",        "notifier",          "test_stream_server"};
    for (size_t i = 0; i < sizeof actors / sizeof actors[0]; i++) {
        bool failed = true;
        for (size_t point = 1; failed && point <= POINTS_MAX; point++) {
            print_message("%s, message %zu\n", actors[i], point);
            tell(story, actors[i], point, &failed);
        }
    }
}

/* How many seeds a test goes through: REPRISE_SEEDS where that is set. */
static inline uint64_t seeds_of(uint64_t usual) {
    const char *wanted = getenv("REPRISE_SEEDS");
    return wanted ? strtoull(wanted, NULL, 10) : usual;
}

static inline void assert_no_source_is_left(stage_t *stage) {
    stage_advance(stage, 1000000);
    const msg_actors_t *actors = must_get(stage, MSG_ENGINE_ACTORS, &(msg_engine_actors_t){0});
    for (size_t i = tree_count; i < actors->actors.count; i++) fail_msg("%s is left behind", actors->actors.items[i].name);
}

#endif
