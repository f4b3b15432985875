/* The limiter turns limits into budgets. A job gets what it may record (elements, bytes, until when) as one message to the recorder, which
 * counts it down at each append: so a count is exact, and nobody polls. The limiter itself watches what the recorder cannot see coming,
 * the clock and the disk, and has jobs ended that are over.
 *
 * It keeps nothing that the recordings' manifests do not say: when it starts it reads them again. */
#include "limiter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/duration.h"
#include "store/folder.h"

#define DISK_PERIOD_US INT64_C(1000000)
#define RETRY_US INT64_C(100000)

enum { ROOM_TRIES = 3 }; /* a recorder that fails on one question may answer the next */

/* Limits that are worked out for a new job, while the recorder says how much room there is. */
typedef struct resolving {
    struct resolving *next;
    ticket_t ticket; /* also names it in the context of the question */
    msg_limits_t limits;
    msg_room_ask_t ask;
    int tries;
} resolving_t;

typedef struct limited {
    uint64_t id;
    char job[256], recording[256];
    msg_limits_t limits;
    int64_t start;    /* µs since the epoch; 0: not yet */
    ticket_t starter; /* waits until the recorder has the budget */
    timer_id_t deadline;
    timer_id_t again; /* the recorder did not get its budget */
    bool reached;     /* its end was asked for */
} limited_t;

typedef struct limiter {
    actor_t *me;
    limited_t **jobs;
    size_t count, capacity;
    uint64_t last_id;
    int64_t duration_ms, size_limit, count_limit, min_free_disk; /* the options */
    timer_id_t disk_timer;
    resolving_t *resolving;
} limiter_t;

static int on_options(void *state, const answer_t *answer, uint64_t context, fault_t *why);
static int on_recordings(void *state, const answer_t *answer, uint64_t context, fault_t *why);

/* ---- life ---- */

static void limiter_destroy(void **state) {
    limiter_t *l = *state;
    if (!l) return;
    for (size_t i = 0; i < l->count; i++) free(l->jobs[i]);
    free(l->jobs);
    while (l->resolving) {
        resolving_t *next = l->resolving->next;
        free(l->resolving);
        l->resolving = next;
    }
    free(l);
    *state = NULL;
}

static void *limiter_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args, (void)why;
    limiter_t *l = calloc(1, sizeof *l);
    must(l);
    l->me = me;
    actor_loading(me);
    actor_ask(me, "catalog", MSG_OPTIONS_GET, &(msg_options_get_t){0}, on_options, 0);
    return l;
}

/* ---- jobs ---- */

static limited_t *find_job(limiter_t *l, const char *job) {
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->jobs[i]->job, job) == 0) return l->jobs[i];
    return NULL;
}

static limited_t *job_of_id(limiter_t *l, uint64_t id) {
    for (size_t i = 0; i < l->count; i++)
        if (l->jobs[i]->id == id) return l->jobs[i];
    return NULL;
}

static void remove_job(limiter_t *l, limited_t *job) {
    actor_cancel(l->me, &job->deadline);
    actor_cancel(l->me, &job->again);
    actor_refuse(l->me, job->starter, ERROR_INVALID_STATE, NULL, "the job has ended");
    for (size_t i = 0; i < l->count; i++)
        if (l->jobs[i] == job) l->jobs[i] = l->jobs[l->count - 1];
    l->count--;
    free(job);
}

static void limit_reached(limiter_t *l, limited_t *job, const char *limit) {
    if (job->reached) return;
    job->reached = true;
    actor_tell(l->me, "job_supervisor", MSG_LIMIT_REACHED, &(msg_limit_reached_t){.job = job->job, .limit = limit});
    actor_tell(l->me, "notifier", MSG_NOTIFY, &(msg_notify_t){.topic = "limit.reached", .key = "job", .name = job->job, .state = limit});
}

static int on_deadline(void *state, uint64_t id, fault_t *why) {
    (void)why;
    limiter_t *l = state;
    limited_t *job = job_of_id(l, id);
    if (!job) return 0;
    job->deadline = 0;
    limit_reached(l, job, "duration");
    return 0;
}

static int on_disk_check(void *state, uint64_t context, fault_t *why) {
    (void)context;
    limiter_t *l = state;
    l->disk_timer = 0;
    if (l->count == 0) return 0;
    int64_t free_bytes;
    if (folder_free_bytes(actor_config(l->me)->data, &free_bytes, why) < 0) return -1;
    for (size_t i = 0; free_bytes < l->min_free_disk && i < l->count; i++) limit_reached(l, l->jobs[i], "free_disk");
    l->disk_timer = actor_after(l->me, DISK_PERIOD_US, on_disk_check, 0);
    return 0;
}

static limited_t *add_job(limiter_t *l, const char *job, const char *recording, const msg_limits_t *limits) {
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 16;
        l->jobs = realloc(l->jobs, l->capacity * sizeof(limited_t *));
        must(l->jobs);
    }
    limited_t *added = calloc(1, sizeof *added);
    must(added);
    added->id = ++l->last_id;
    snprintf(added->job, sizeof added->job, "%s", job);
    snprintf(added->recording, sizeof added->recording, "%s", recording);
    added->limits = *limits;
    l->jobs[l->count++] = added;
    if (!l->disk_timer) l->disk_timer = actor_after(l->me, DISK_PERIOD_US, on_disk_check, 0);
    return added;
}

/* ---- budgets ---- */

static int on_budget_set(void *state, const answer_t *answer, uint64_t id, fault_t *why);

static void send_budget(limiter_t *l, limited_t *job) {
    msg_budget_set_t budget = {.job = job->job, .start = job->start};
    budget.has_elements = budget.has_bytes = budget.has_total_bytes = true;
    budget.elements = job->limits.count;
    budget.bytes = job->limits.bytes;
    budget.total_bytes = l->size_limit;
    if (job->limits.duration_ms != LIMIT_NONE) {
        budget.has_until = true;
        budget.until = job->start + us_of_ms(job->limits.duration_ms);
        if (!job->deadline) job->deadline = actor_after(l->me, budget.until - actor_now(l->me), on_deadline, job->id);
    }
    actor_ask(l->me, "recorder", MSG_BUDGET_SET, &budget, on_budget_set, job->id);
}

static int on_budget_again(void *state, uint64_t id, fault_t *why) {
    (void)why;
    limiter_t *l = state;
    limited_t *job = job_of_id(l, id);
    if (!job) return 0;
    job->again = 0;
    send_budget(l, job);
    return 0;
}

static int on_budget_set(void *state, const answer_t *answer, uint64_t id, fault_t *why) {
    (void)why;
    limiter_t *l = state;
    limited_t *job = job_of_id(l, id);
    if (!job) return 0;
    if (answer->message) {
        actor_answer(l->me, job->starter, &(msg_limits_started_t){.start = job->start});
        job->starter = 0;
    } else if (answer->refusal->code != ERROR_UNAVAILABLE) {
        actor_refuse_as(l->me, job->starter, answer->refusal);
        job->starter = 0;
        remove_job(l, job);
    } else if (!job->again) { /* it failed and will say RECORDER_RECOVERED when it is back; or it did not get this, and says nothing */
        job->again = actor_after(l->me, RETRY_US, on_budget_again, id);
    }
    return 0;
}

/* ---- the options, and what the recordings say ---- */

static void take_options(limiter_t *l, const msg_options_t *options) {
    l->duration_ms = options->recording_duration_ms;
    l->size_limit = options->recording_size_limit;
    l->count_limit = options->recording_count_limit;
    l->min_free_disk = options->min_free_disk;
}

static int on_options(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context;
    limiter_t *l = state;
    if (!answer->message) return fault_set(why, "cannot read the options: %s", answer->refusal->message);
    take_options(l, answer->message);
    actor_ask(l->me, "recorder", MSG_RECORDING_JOBS_ASK, &(msg_recording_jobs_ask_t){0}, on_recordings, 0);
    return 0;
}

static int on_recordings(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)context;
    limiter_t *l = state;
    if (!answer->message) return fault_set(why, "cannot read the recordings: %s", answer->refusal->message);
    const msg_recording_jobs_t *jobs = answer->message;
    for (size_t i = 0; i < jobs->recordings.count; i++) {
        const msg_recording_job_t *recording = &jobs->recordings.items[i];
        if (recording->has_stop_reason || !recording->has_started) continue; /* it has ended, or is about to */
        limited_t *job = add_job(l, recording->job, recording->recording, &recording->limits);
        job->start = recording->started;
        send_budget(l, job);
        if (recording->has_spent) limit_reached(l, job, recording->spent);
    }
    actor_loaded(l->me);
    return 0;
}

static int on_options_changed(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    limiter_t *l = state;
    int64_t size_limit = l->size_limit;
    take_options(l, in->message);
    for (size_t i = 0; size_limit != l->size_limit && i < l->count; i++)
        if (l->jobs[i]->start) send_budget(l, l->jobs[i]);
    return 0;
}

/* ---- the limits of a new job ---- */

/* Could a job with these limits record anything? One that cannot would end at once, and look like a success. */
static int room_check(const limiter_t *l, const msg_limits_t *limits, const msg_room_t *room, refusal_t *no) {
    if (limits->bytes != LIMIT_NONE && limits->bytes < room->least)
        return refuse(no, ERROR_BAD_REQUEST, "limits.bytes",
                      "`limits.bytes` is %lld: nothing can be recorded in it; a small element with what belongs to it needs %lld bytes",
                      (long long)limits->bytes, (long long)room->least);
    if (l->size_limit != LIMIT_NONE && l->size_limit - room->held < room->least)
        return refuse(no, ERROR_NO_SPACE, "recording_size_limit",
                      "the recordings take %lld bytes, `recording_size_limit` is %lld, and another recording needs %lld at least",
                      (long long)room->held, (long long)l->size_limit, (long long)room->least);
    return 0;
}

static int on_room(void *state, const answer_t *answer, uint64_t ticket, fault_t *why) {
    (void)why;
    limiter_t *l = state;
    resolving_t **at = &l->resolving, *resolving;
    refusal_t no;
    while ((*at)->ticket != ticket) at = &(*at)->next;
    resolving = *at;
    if (answer->refusal && answer->refusal->code == ERROR_UNAVAILABLE && ++resolving->tries < ROOM_TRIES) {
        actor_ask(l->me, "recorder", MSG_ROOM_ASK, &resolving->ask, on_room, ticket);
        return 0;
    }
    if (answer->refusal)
        actor_refuse_as(l->me, ticket, answer->refusal);
    else if (room_check(l, &resolving->limits, answer->message, &no) < 0)
        actor_refuse_as(l->me, ticket, &no);
    else
        actor_answer(l->me, ticket, &(msg_limits_resolved_t){.limits = resolving->limits});
    *at = resolving->next;
    free(resolving);
    return 0;
}

static int on_resolve(void *state, const envelope_t *in, fault_t *why) {
    limiter_t *l = state;
    const msg_limits_resolve_t *m = in->message;
    int64_t free_bytes;
    if (folder_free_bytes(actor_config(l->me)->data, &free_bytes, why) < 0) return -1;
    if (free_bytes < l->min_free_disk) {
        actor_refuse(l->me, in->ticket, ERROR_NO_SPACE, "min_free_disk", "%lld bytes are free in %s; `min_free_disk` is %lld",
                     (long long)free_bytes, actor_config(l->me)->data, (long long)l->min_free_disk);
        return 0;
    }
    resolving_t *resolving = calloc(1, sizeof *resolving);
    must(resolving);
    *resolving = (resolving_t){.next = l->resolving, .ticket = in->ticket, .ask = {.has_streams = m->has_streams, .streams = m->streams}};
    msg_limits_t *limits = &resolving->limits;
    limits->has_duration_ms = limits->has_bytes = limits->has_count = true;
    limits->duration_ms = m->has_limits && m->limits.has_duration_ms ? m->limits.duration_ms : l->duration_ms;
    limits->bytes = m->has_limits && m->limits.has_bytes ? m->limits.bytes : LIMIT_NONE;
    limits->count = m->has_limits && m->limits.has_count ? m->limits.count : l->count_limit;
    l->resolving = resolving;
    actor_ask(l->me, "recorder", MSG_ROOM_ASK, &resolving->ask, on_room, in->ticket);
    return 0;
}

/* ---- messages ---- */

static int on_start(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    limiter_t *l = state;
    const msg_limits_start_t *m = in->message;
    limited_t *job = find_job(l, m->job);
    if (job && job->start && !job->starter) {
        actor_answer(l->me, in->ticket, &(msg_limits_started_t){.start = job->start});
        return 0;
    }
    if (!job) job = add_job(l, m->job, m->recording, &m->limits);
    actor_refuse(l->me, job->starter, ERROR_CONFLICT, NULL, "asked again");
    job->starter = in->ticket;
    if (!job->start) job->start = actor_now(l->me); /* its budget may be there already */
    send_budget(l, job);
    return 0;
}

static int on_stop(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    limiter_t *l = state;
    const msg_limits_stop_t *m = in->message;
    limited_t *job = find_job(l, m->job);
    if (job) remove_job(l, job);
    return 0;
}

static int on_spent(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    limiter_t *l = state;
    const msg_budget_spent_t *m = in->message;
    limited_t *job = find_job(l, m->job);
    if (job) limit_reached(l, job, m->limit);
    return 0;
}

static int on_recovered(void *state, const envelope_t *in, fault_t *why) {
    (void)in, (void)why;
    limiter_t *l = state;
    for (size_t i = 0; i < l->count; i++) send_budget(l, l->jobs[i]);
    return 0;
}

const actor_class_t limiter_class = {
    .name = "limiter",
    .doc = "Gives each job its budget, watches the clock and the disk, ends jobs that are over.",
    .create = limiter_create,
    .destroy = limiter_destroy,
    .takes =
        {
            [MSG_LIMITS_RESOLVE] = on_resolve,
            [MSG_LIMITS_START] = on_start,
            [MSG_LIMITS_STOP] = on_stop,
            [MSG_BUDGET_SPENT] = on_spent,
            [MSG_RECORDER_RECOVERED] = on_recovered,
            [MSG_OPTIONS_CHANGED] = on_options_changed,
        },
    .sends = {MSG_OPTIONS_GET, MSG_RECORDING_JOBS_ASK, MSG_BUDGET_SET, MSG_ROOM_ASK, MSG_LIMIT_REACHED, MSG_NOTIFY},
};
