/* A small family for the tests of the supervisor: one, two (which loads: the test answers it as `gate`) and three, and a kind of source. Each
 * test program is a tree of its own: it defines `tree` and `policy`. */
#ifndef REPRISE_TESTS_FAMILY_H
#define REPRISE_TESTS_FAMILY_H

#include "echo.h"

#include "actors/runtime/supervisor.h"
#include "actors/runtime/tree.h"
#include "actors/sources/sources.h"
#include "messages/wire.h"

static char said[256]; /* who came (+) and who went (-) */
static bool stubborn;  /* three does not leave when told */
static bool slow;      /* three loads, too */
static bool dozy;      /* the source is never ready */
static int broken;     /* how many of the source's creates fail */

static void say(const char *sign, actor_t *me) {
    size_t size = strlen(said);
    snprintf(said + size, sizeof said - size, "%s%s ", sign, actor_name(me));
}

static void *named_create(actor_t *me, bytes_t args, fault_t *why) {
    say("+", me);
    return echo_create(me, args, why);
}

static void *two_create(actor_t *me, bytes_t args, fault_t *why) {
    msg_test_stream_status_t ask = ask_named("load");
    void *state = named_create(me, args, why);
    actor_loading(me);
    actor_ask(me, "gate", MSG_TEST_STREAM_STATUS, &ask, echo_on_loaded, 0);
    return state;
}

static void *three_create(actor_t *me, bytes_t args, fault_t *why) {
    return slow ? two_create(me, args, why) : named_create(me, args, why);
}

static void *source_create(actor_t *me, bytes_t args, fault_t *why) {
    if (broken > 0) {
        broken--;
        fault_set(why, "`payload.rate` must be a number");
        return NULL;
    }
    if (dozy) actor_loading(me);
    return named_create(me, args, why);
}

static void named_destroy(void **state) {
    if (*state) say("-", ((echo_t *)*state)->me);
    echo_destroy(state);
}

static int three_on_stop(void *state, const envelope_t *in, fault_t *why) {
    (void)in, (void)why;
    if (!stubborn) actor_leave(((echo_t *)state)->me);
    return 0;
}

#define TAKES                                                                                                                              \
    { [MSG_TEST_STREAM_STATUS] = echo_on_status, [MSG_CHILD_STOP] = echo_on_told }
static const actor_class_t one_class = {.name = "one", .create = named_create, .destroy = named_destroy, .takes = TAKES};
static const actor_class_t two_class = {
    .name = "two", .create = two_create, .destroy = named_destroy, .takes = TAKES, .sends = {MSG_TEST_STREAM_STATUS}};
static const actor_class_t three_class = {
    .name = "three",
    .create = three_create,
    .destroy = named_destroy,
    .takes = {[MSG_ACTOR_STOP] = three_on_stop, [MSG_TEST_STREAM_STATUS] = echo_on_status, [MSG_CHILD_STOP] = echo_on_told},
    .sends = {MSG_TEST_STREAM_STATUS}};
static const actor_class_t source_class = {.name = "source", .create = source_create, .destroy = named_destroy, .takes = TAKES};

const actor_class_t *tree_class(size_t index) {
    return index < tree_count ? tree[index].class : NULL;
}

const source_kind_t *source_kind_find(const char *urn) {
    static const source_kind_t kinds[] = {{"test:source", &source_class, NULL, "A source."}, {"test:outside", NULL, NULL, "From outside."}};
    for (size_t i = 0; i < 2; i++)
        if (strcmp(kinds[i].urn, urn) == 0) return &kinds[i];
    return NULL;
}

/* ---- the stage ---- */

static inline void open_gate(stage_t *stage) {
    const stage_message_t *m = stage_take(stage, "gate", MSG_TEST_STREAM_STATUS);
    assert_non_null(m);
    stage_answer(stage, m, &(msg_test_stream_t){.running = true});
    stage_run(stage);
}

static inline stage_t *stage_started(void) {
    memset(&echoes, 0, sizeof echoes);
    said[0] = '\0';
    stubborn = slow = dozy = false;
    broken = 0;
    stage_t *stage = stage_create(1, NULL);
    stage_add(stage, &supervisor_class, "supervisor", (bytes_t){0});
    stage_run(stage);
    return stage;
}

static inline stage_t *stage_serving(void) {
    stage_t *stage = stage_started();
    open_gate(stage);
    assert_non_null(stage_take(stage, "main", MSG_ACTOR_READY));
    return stage;
}

static inline void let_fail(stage_t *stage, const char *name) {
    stage_tell(stage, "test", name, MSG_CHILD_STOP, &(msg_child_stop_t){.name = "fail"});
    stage_run(stage);
}

static inline const msg_actor_failed_t *given_up(stage_t *stage) {
    const stage_message_t *m = stage_take(stage, "main", MSG_ACTOR_FAILED);
    return m ? m->message : NULL;
}

static inline void assert_given_up(stage_t *stage, const char *why, bool starting) {
    const msg_actor_failed_t *failed = given_up(stage);
    assert_non_null(failed);
    assert_string_equal(failed->why, why);
    assert_int_equal(failed->starting, starting);
}

static inline msg_child_start_t child(const char *name, const char *urn) {
    return (msg_child_start_t){.name = name, .urn = urn, .args = {(const uint8_t *)"\x80", 1}};
}

/* Starts the source `s`, which serves. */
static inline void start_source(stage_t *stage) {
    msg_child_start_t start = child("s", "test:source");
    stage_get(stage, "supervisor", MSG_CHILD_START, &start);
}

/* What is said of an actor, now; NULL: it is not there. Those that hang do not say what they have counted, and are not waited for long. */
static inline const msg_actor_state_t *state_of(stage_t *stage, const char *name) {
    stage_ask(stage, "watcher", "supervisor", MSG_ENGINE_ACTORS, &(msg_engine_actors_t){0});
    stage_run(stage);
    const stage_message_t *answer = stage_take(stage, "watcher", MSG_ENGINE_ACTORS);
    if (!answer) stage_advance(stage, 500000);
    if (!answer) answer = stage_take(stage, "watcher", MSG_ENGINE_ACTORS);
    assert_non_null(answer);
    const msg_actors_t *m = answer->message;
    for (size_t i = 0; i < m->actors.count; i++)
        if (strcmp(m->actors.items[i].name, name) == 0) return &m->actors.items[i];
    return NULL;
}

/* The total of a counter, over all actors that answer. */
static inline int64_t total(stage_t *stage, const char *name) {
    stage_ask(stage, "watcher", "supervisor", MSG_ENGINE_STATS, &(msg_engine_stats_t){0});
    stage_run(stage);
    const stage_message_t *answer = stage_take(stage, "watcher", MSG_ENGINE_STATS);
    if (!answer) stage_advance(stage, 500000);
    if (!answer) answer = stage_take(stage, "watcher", MSG_ENGINE_STATS);
    assert_non_null(answer);
    bytes_t value;
    int64_t number = -1;
    assert_true(wire_map_get(((const msg_stats_t *)answer->message)->counters, name, &value) && wire_int(value, &number));
    return number;
}

/* From now on, or for so long. */
static inline void let_hang(stage_t *stage, const char *name, int64_t ms) {
    stage_get(stage, "supervisor", MSG_CHAOS_HANG, &(msg_chaos_hang_t){.actor = name, .has_ms = ms > 0, .ms = ms});
}

#endif
