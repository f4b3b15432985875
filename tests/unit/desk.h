/* One actor on a stage, with the test in the place of those that it asks. */
#ifndef REPRISE_TEST_DESK_H
#define REPRISE_TEST_DESK_H

#include <string.h>

#include "tests/stage/stage.h"

/* The next request or tell of that id to `to`; fails the test where there is none. */
static inline const stage_message_t *desk_take(stage_t *stage, const char *to, message_id_t id) {
    stage_run(stage);
    const stage_message_t *m = stage_take(stage, to, id);
    if (!m) fail_msg("%s was not sent %s", to, message_class(id)->id);
    return m;
}

static inline const void *desk_told(stage_t *stage, const char *to, message_id_t id) {
    return desk_take(stage, to, id)->message;
}

static inline void desk_is_quiet(stage_t *stage, const char *to, message_id_t id) {
    stage_run(stage);
    if (stage_take(stage, to, id)) fail_msg("%s was sent %s", to, message_class(id)->id);
}

/* Answers the next request of that id; gives what was asked. */
static inline const void *desk_answer(stage_t *stage, const char *to, message_id_t id, const void *answer) {
    const stage_message_t *m = desk_take(stage, to, id);
    stage_answer(stage, m, answer);
    stage_run(stage);
    return m->message;
}

static inline const void *desk_refuse(stage_t *stage, const char *to, message_id_t id, error_code_t code, const char *text) {
    const stage_message_t *m = desk_take(stage, to, id);
    stage_refuse(stage, m, code, text);
    stage_run(stage);
    return m->message;
}

/* Asks as an actor of its own name, so that answers do not mix. */
static inline uint64_t desk_ask(stage_t *stage, const char *as, const char *to, message_id_t id, const void *message) {
    uint64_t number = stage_ask(stage, as, to, id, message);
    stage_run(stage);
    return number;
}

/* The answer that came to `as`. */
static inline const void *desk_yes(stage_t *stage, const char *as) {
    stage_run(stage);
    const stage_message_t *m = stage_take(stage, as, MSG_NONE);
    if (!m) fail_msg("%s is not answered", as);
    refusal_t no;
    if (m->refused && refusal_decode(m->raw, &no) == 0) fail_msg("%s is refused: %s", as, no.message);
    return m->message;
}

static inline refusal_t desk_no(stage_t *stage, const char *as) {
    stage_run(stage);
    const stage_message_t *m = stage_take(stage, as, MSG_NONE);
    if (!m) fail_msg("%s is not answered", as);
    if (!m->refused) fail_msg("%s is not refused", as);
    refusal_t no;
    assert_int_equal(refusal_decode(m->raw, &no), 0);
    return no;
}

static inline bool desk_waits(stage_t *stage, const char *as) {
    stage_run(stage);
    return stage_take(stage, as, MSG_NONE) == NULL;
}

#endif
