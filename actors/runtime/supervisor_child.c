/* A child is what has a name; a thread carries it, and another one may later. What a thread says carries the thread's own address, so that
 * nothing that an old one still says can be taken for a word of the new one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor_state.h"

child_t *child_named(const supervisor_t *s, const char *name) {
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->children[i]->name, name) == 0) return s->children[i];
    return NULL;
}

child_t *child_at(const supervisor_t *s, const char *address) {
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->children[i]->address, address) == 0) return s->children[i];
    return NULL;
}

child_t *child_of_id(const supervisor_t *s, uint64_t id) {
    for (size_t i = 0; i < s->count; i++)
        if (s->children[i]->id == id) return s->children[i];
    return NULL;
}

const char *child_state_name(child_state_t state) {
    static const char *const names[] = {"starting", "running", "failed", "failed", "stopping", "stopped"};
    return names[state];
}

void child_tell(supervisor_t *s, const child_t *child, message_id_t id) {
    static const msg_actor_fail_t nothing;
    actor_tell(s->me, child->address, id, &nothing);
}

static left_t *left_find(const supervisor_t *s, const char *address) {
    left_t *left;
    LIST_FOREACH(left, &s->left, link) {
        if (strcmp(left->address, address) == 0) return left;
    }
    return NULL;
}

/* Others speak to a core actor by its name, and no thread of one is ever left; nobody speaks to a source. */
static void address_choose(supervisor_t *s, child_t *child) {
    snprintf(child->address, sizeof child->address, "%s", child->name);
    if (left_find(s, child->address))
        snprintf(child->address, sizeof child->address, "%.200s~%llu", child->name, (unsigned long long)++s->last_id);
}

int child_spawn(supervisor_t *s, child_t *child, fault_t *why) {
    address_choose(s, child);
    if (actor_spawn(s->me, child->class, child->name, child->address, frame_bytes(&child->args), why) < 0) return -1;
    child->threadless = child->pinged = false;
    child->silent_ms = 0;
    child->fresh = true;
    return 0;
}

child_t *child_add(supervisor_t *s, const child_spec_t *spec, const actor_class_t *class, const char *name, bytes_t args, fault_t *why) {
    if (s->count == CHILDREN_MAX) {
        fault_set(why, "cannot start %s: %d actors are running", name, CHILDREN_MAX);
        return NULL;
    }
    child_t *child = calloc(1, sizeof *child);
    must(child);
    child->id = ++s->last_id;
    child->spec = spec;
    child->class = class;
    child->source = spec == &source_spec;
    snprintf(child->name, sizeof child->name, "%s", name);
    frame_copy_of(&child->args, args);
    s->children[s->count++] = child;
    if (child_spawn(s, child, why) == 0) return child;
    child_free(s, child);
    return NULL;
}

void child_free(supervisor_t *s, child_t *child) {
    size_t at = 0;
    while (s->children[at] != child) at++;
    memmove(&s->children[at], &s->children[at + 1], (--s->count - at) * sizeof(child_t *));
    actor_cancel(s->me, &child->timer);
    for (size_t i = 0; i < FAILURES_KEPT; i++) free(child->failures[i].why);
    frame_fini(&child->args);
    free(child);
}

/* ---- threads that were left ---- */

void child_let_go(supervisor_t *s, child_t *child) {
    left_t *left = calloc(1, sizeof *left);
    must(left && child->source);
    snprintf(left->address, sizeof left->address, "%s", child->address);
    left->child = child->id;
    LIST_INSERT_HEAD(&s->left, left, link);
    if (child->state != CHILD_STOPPING) child_tell(s, child, MSG_ACTOR_STOP);
    actor_count(s->me, COUNTER_THREADS_LEFT, 1);
    child->hung++;
    child->threadless = true;
}

bool child_old_ended(supervisor_t *s, const char *address) {
    left_t *left = left_find(s, address);
    if (!left) return false;
    child_t *child = child_of_id(s, left->child);
    if (child) child->hung--;
    actor_reap(s->me, address);
    LIST_REMOVE(left, link);
    free(left);
    return true;
}

/* ---- what has happened to it ---- */

void child_remember(supervisor_t *s, child_t *child, const char *why) {
    failure_t *failure = &child->failures[child->failed++ % FAILURES_KEPT];
    free(failure->why);
    *failure = (failure_t){actor_now(s->me), strdup(why)};
    must(failure->why);
}

const failure_t *child_last_failure(const child_t *child) {
    return child->failed > 0 ? &child->failures[(child->failed - 1) % FAILURES_KEPT] : NULL;
}

void child_notify(supervisor_t *s, const char *topic, const child_t *child, size_t count) {
    const failure_t *last = child_last_failure(child);
    msg_notify_t notify = {.topic = topic,
                           .key = "actor",
                           .name = child->name,
                           .state = child_state_name(child->state),
                           .has_detail = last != NULL,
                           .detail = last ? last->why : NULL,
                           .has_count = true,
                           .count = (int64_t)count};
    actor_tell(s->me, "notifier", MSG_NOTIFY, &notify);
}
