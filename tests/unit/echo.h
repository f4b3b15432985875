/* A small actor for the tests of the runtime. It is asked TEST_STREAM_STATUS, by actors and by peers, and does what the pipeline's name
 * says; it is told CHILD_STOP. Its answer's `endpoint` is the name that it was asked with, `replays` the how-manieth message that was. */
#ifndef REPRISE_TESTS_ECHO_H
#define REPRISE_TESTS_ECHO_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/stage/stage.h"

typedef struct echo {
    actor_t *me;
    struct {
        ticket_t ticket;
        int64_t seen;
        char name[64];
    } kept[32];
    size_t count;
    int64_t seen, settled, rang;
    timer_id_t timer;
} echo_t;

/* What the tests see and set of all echoes. */
static _Thread_local struct {
    int creates, fails_to_create, settled, rang, fails_to_settle;
    int64_t body; /* bytes of the last message's body; -1: none */
    char answered[400];
    int rang_before; /* timers that went off before the last message */
} echoes;

static inline msg_test_stream_status_t ask_named(const char *name) {
    return (msg_test_stream_status_t){.has_pipeline = true, .pipeline = name};
}

static void echo_answer(echo_t *echo, ticket_t ticket, const char *name, int64_t seen) {
    actor_answer(echo->me, ticket, &(msg_test_stream_t){.running = true, .has_endpoint = true, .endpoint = name, .replays = seen});
}

static inline int echo_on_other(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    echo_t *echo = state;
    const msg_test_stream_t *m = answer->message;
    snprintf(echoes.answered, sizeof echoes.answered, "%s", m ? m->endpoint : answer->refusal->message);
    if (strcmp(echoes.answered, "poison") == 0) return fault_set(why, "told to fail by an answer");
    if (context) echo_answer(echo, context, echoes.answered, echo->seen);
    return 0;
}

static inline int echo_on_timer(void *state, uint64_t context, fault_t *why) {
    echo_t *echo = state;
    echoes.rang++;
    if (context == 1) return fault_set(why, "told to fail by its timer");
    if (context == 2) actor_after(echo->me, 0, echo_on_timer, echoes.rang < 100 ? 2 : 0);
    return 0;
}

static inline int echo_on_status(void *state, const envelope_t *in, fault_t *why) {
    echo_t *echo = state;
    const msg_test_stream_status_t *m = in->message;
    msg_test_stream_status_t ask = ask_named(m->pipeline);
    echo->seen++;
    echoes.rang_before = echoes.rang;
    echoes.body = in->body ? (int64_t)frame_bytes(in->body).size : -1;
    if (strcmp(m->pipeline, "fail") == 0) return fault_set(why, "told to fail by the test");
    if (strncmp(m->pipeline, "later", 5) == 0) {
        must(echo->count < 32);
        echo->kept[echo->count].ticket = in->ticket;
        echo->kept[echo->count].seen = echo->seen;
        snprintf(echo->kept[echo->count++].name, sizeof echo->kept[0].name, "%s", m->pipeline);
    } else if (strcmp(m->pipeline, "forward") == 0) {
        actor_forward(echo->me, in, "other");
    } else if (strcmp(m->pipeline, "forward as") == 0) {
        actor_forward_as(echo->me, in->ticket, "other", MSG_TEST_STREAM_STATUS, &ask);
    } else if (strcmp(m->pipeline, "ask") == 0) {
        actor_ask(echo->me, "other", MSG_TEST_STREAM_STATUS, &ask, echo_on_other, in->ticket);
    } else {
        echo_answer(echo, in->ticket, m->pipeline, echo->seen);
    }
    return 0;
}

static inline int echo_on_told(void *state, const envelope_t *in, fault_t *why) {
    echo_t *echo = state;
    const msg_child_stop_t *m = in->message;
    if (strcmp(m->name, "fail") == 0) return fault_set(why, "told to fail by a tell");
    if (strcmp(m->name, "undeclared") == 0) actor_tell(echo->me, "other", MSG_LIMITS_STOP, &(msg_limits_stop_t){.job = "j"});
    if (strcmp(m->name, "timer") == 0) echo->timer = actor_after(echo->me, 1000, echo_on_timer, 0);
    if (strcmp(m->name, "failing timer") == 0) actor_after(echo->me, 1000, echo_on_timer, 1);
    if (strcmp(m->name, "endless timer") == 0) actor_after(echo->me, 0, echo_on_timer, 2);
    if (strcmp(m->name, "leave") == 0) actor_leave(echo->me);
    if (strcmp(m->name, "cancel") == 0) actor_cancel(echo->me, &echo->timer);
    if (strcmp(m->name, "answer") != 0) return 0;
    for (size_t i = 0; i < echo->count; i++) echo_answer(echo, echo->kept[i].ticket, echo->kept[i].name, echo->kept[i].seen);
    echo->count = 0;
    return 0;
}

static inline int echo_settle(void *state, fault_t *why) {
    (void)state;
    echoes.settled++;
    return echoes.fails_to_settle-- > 0 ? fault_set(why, "told to fail as it settles") : 0;
}

static inline void *echo_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args;
    echoes.creates++;
    if (echoes.fails_to_create > 0) {
        echoes.fails_to_create--;
        fault_set(why, "told to fail as it starts");
        return NULL;
    }
    echo_t *echo = calloc(1, sizeof *echo);
    must(echo);
    echo->me = me;
    return echo;
}

static inline void echo_destroy(void **state) {
    free(*state);
    *state = NULL;
}

static inline int echo_on_loaded(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context;
    if (answer->refusal) return fault_set(why, "cannot load: %s", answer->refusal->message);
    actor_loaded(((echo_t *)state)->me);
    return 0;
}

static inline void *echo_create_loading(actor_t *me, bytes_t args, fault_t *why) {
    msg_test_stream_status_t ask = ask_named("load");
    echo_t *echo = echo_create(me, args, why);
    actor_loading(me);
    actor_ask(me, "other", MSG_TEST_STREAM_STATUS, &ask, echo_on_loaded, 0);
    return echo;
}

#define ECHO_CLASS(create_function)                                                                                                        \
    {                                                                                                                                      \
        .name = "echo", .doc = "Answers.", .create = (create_function), .destroy = echo_destroy, .settle = echo_settle,                    \
        .takes = {[MSG_TEST_STREAM_STATUS] = echo_on_status, [MSG_CHILD_STOP] = echo_on_told}, .sends = {MSG_TEST_STREAM_STATUS},          \
        .doors = {{DOOR_ROUTER, ENDPOINT_COMMANDS, SCOPE_COMMANDS}},                                                                       \
    }
static const actor_class_t echo_class __attribute__((unused)) = ECHO_CLASS(echo_create);
static const actor_class_t echo_loading_class __attribute__((unused)) = ECHO_CLASS(echo_create_loading);

/* A stage with one echo on it, that serves. */
static inline stage_t *stage_with(const actor_class_t *class) {
    memset(&echoes, 0, sizeof echoes);
    stage_t *stage = stage_create(1, NULL);
    stage_add(stage, class, "echo", (bytes_t){0});
    stage_run(stage);
    return stage;
}

static inline void tell(stage_t *stage, const char *name) {
    stage_tell(stage, "test", "echo", MSG_CHILD_STOP, &(msg_child_stop_t){.name = name});
    stage_run(stage);
}

static inline uint64_t ask(stage_t *stage, const char *name) {
    msg_test_stream_status_t m = ask_named(name);
    uint64_t number = stage_ask(stage, "test", "echo", MSG_TEST_STREAM_STATUS, &m);
    stage_run(stage);
    return number;
}

/* The next answer to the test is to the question of that number, and says this. */
static inline void assert_answer(stage_t *stage, uint64_t number, const char *name, int64_t seen) {
    const stage_message_t *answer = stage_take(stage, "test", MSG_NONE);
    assert_non_null(answer);
    assert_false(answer->refused);
    assert_int_equal(answer->head.number, number);
    const msg_test_stream_t *m = answer->message;
    assert_string_equal(m->endpoint, name);
    assert_int_equal(m->replays, seen);
}

static inline refusal_t assert_refused(stage_t *stage, uint64_t number, error_code_t code, const char *part) {
    refusal_t no;
    const stage_message_t *answer = stage_take(stage, "test", MSG_NONE);
    assert_non_null(answer);
    assert_true(answer->refused);
    assert_int_equal(answer->head.number, number);
    assert_int_equal(refusal_decode(answer->raw, &no), 0);
    assert_int_equal(no.code, code);
    if (!strstr(no.message, part)) fail_msg("\"%s\" does not say \"%s\"", no.message, part);
    return no;
}

#endif
