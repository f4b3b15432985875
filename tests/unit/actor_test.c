/* An actor's life on the stage: it fails and comes back, and nobody who asked it is forgotten. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/stage/stage.h"

/* A small actor: it keeps what it was told, answers at once or later, and fails when it is told to. Its messages are borrowed from the
 * lists: CATALOG_READ{kind} is a question, CHILD_STOP{name} a tell. */
typedef struct echo {
    actor_t *me;
    ticket_t kept[16];
    size_t count;
    int64_t told;
} echo_t;

static void *echo_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args, (void)why;
    echo_t *echo = calloc(1, sizeof *echo);
    echo->me = me;
    return echo;
}

static void echo_destroy(void **state) {
    free(*state);
    *state = NULL;
}

static void echo_answer(echo_t *echo, ticket_t ticket, const char *key) {
    msg_document_t document = {.kind = "echo", .key = key};
    actor_answer(echo->me, ticket, &(msg_documents_t){.documents = {1, &document}});
}

/* "later": waits for the next tell. "fail": the actor fails on it. "forward": another answers. */
static int on_read(void *state, const envelope_t *in, fault_t *why) {
    echo_t *echo = state;
    const msg_catalog_read_t *m = in->message;
    if (strcmp(m->kind, "fail") == 0) return fault_set(why, "told to fail by the test");
    if (strcmp(m->kind, "later") == 0) {
        echo->kept[echo->count++] = in->ticket;
    } else if (strcmp(m->kind, "forward") == 0) {
        actor_forward(echo->me, in, "other");
    } else {
        char key[64];
        snprintf(key, sizeof key, "%s %lld", m->kind, (long long)echo->told);
        echo_answer(echo, in->ticket, key);
    }
    return 0;
}

static int on_stop(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    echo_t *echo = state;
    const msg_child_stop_t *m = in->message;
    echo->told++;
    for (size_t i = 0; i < echo->count; i++) echo_answer(echo, echo->kept[i], m->name);
    echo->count = 0;
    return 0;
}

static const actor_class_t echo_class = {
    .name = "echo",
    .doc = "Answers.",
    .create = echo_create,
    .destroy = echo_destroy,
    .takes = {[MSG_CATALOG_READ] = on_read, [MSG_CHILD_STOP] = on_stop},
    .sends = {MSG_CATALOG_READ},
};

static const char *read_key(stage_t *stage, const char *kind) {
    const msg_documents_t *documents = stage_get(stage, "echo", MSG_CATALOG_READ, &(msg_catalog_read_t){.kind = kind});
    assert_int_equal(documents->documents.count, 1);
    return documents->documents.items[0].key;
}

static void an_actor_answers_what_it_is_asked(void **test) {
    (void)test;
    stage_t *stage = stage_create(1, NULL);
    stage_add(stage, &echo_class, "echo", (bytes_t){0});
    assert_string_equal(read_key(stage, "hello"), "hello 0");
    assert_true(stage_is_ready(stage, "echo"));
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_actor_answers_what_it_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
