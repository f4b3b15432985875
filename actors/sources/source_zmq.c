/* Messages of any ZeroMQ program: what publishers say (SUB), and what pushers hand out (PULL).
 *
 * ZeroMQ has no positions and asks nobody to send again, so this source can only be honest: a connection that ended is a gap where it
 * stands again, and so is a restart of the source. Its cursor tells the two apart: the run that it is of, how many messages were recorded,
 * and when the last one came. What is full makes it stop reading, and then libzmq does: a pusher waits, a publisher throws away. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../runtime/endpoint.h"
#include "backoff.h"
#include "feed.h"
#include "parts.h"
#include "payload.h"
#include "timing.h"

#define URN "reprise:source:zmq:v1"

enum {
    ENDPOINTS_MAX = 8,
    FRAME_ROOM = 64 * 1024 * 1024, /* a larger frame ends its connection */
    ROUND = 256,                   /* messages of one endpoint before the others get their turn */
    TURN = 16 * 1024,              /* messages without a look at the mailbox */
    QUEUE_DEFAULT = 1000,
    QUEUE_MAX = 1000 * 1000,
    CURSOR_NUMBERS = 4,
    PORTER = ENDPOINTS_MAX * 2,
};

typedef struct inlet {
    intake_t intake;
    bool unread;               /* something may be in it */
    unsigned away;             /* connections that ended and did not come back */
    int64_t away_since;        /* the first of them, by the clock */
    bool returned;             /* one did, and by the next message's number it is to be seen what was lost */
    bool restarted;            /* it was the source that was away */
    bool has_gap;              /* to be said before the next message: */
    int64_t gap_since, gap_us; /* < 0: nobody was away */
    int64_t missing, before;   /* so many messages before that number; 0: not known */
    int64_t next;              /* the number that is to come; < 0: not known */
    backoff_t backoff;
    timer_id_t again;
} inlet_t;

typedef struct listener {
    feed_t feed;
    timing_t timing;
    intake_way_t way;
    parts_t parts;       /* of the message that is read */
    const inlet_t *held; /* whose it is, where there was no room for the gap before it; NULL: there is none */
    parts_sequence_t sequence;
    void *context, *porter; /* NULL: nothing is open */
    int epoll;              /* tells of all their descriptors */
    inlet_t inlets[ENDPOINTS_MAX];
    size_t count;
    int64_t session;          /* when this run of the source began, by the clock: its name */
    int64_t number, gaps;     /* messages that it has read, and gaps that it has said */
    int64_t heard_at;         /* when it read the last message */
    bool has_lost;            /* some of them were lost with the recorder's state: */
    int64_t lost, lost_since; /* so many messages */
    timer_id_t turn;
} listener_t;

/* ---- batches ---- */

static uint32_t cursor_size(const listener_t *listener) {
    return CURSOR_NUMBERS + (listener->sequence.given ? (uint32_t)listener->count : 0);
}

static bytes_t cursor_make(listener_t *listener) {
    int64_t numbers[CURSOR_NUMBERS + ENDPOINTS_MAX] = {listener->session, listener->number, listener->heard_at, listener->gaps};
    for (size_t i = 0; i < listener->count; i++) numbers[CURSOR_NUMBERS + i] = listener->inlets[i].next;
    return feed_cursor(&listener->feed, numbers, cursor_size(listener));
}

static void batch_send(listener_t *listener) {
    feed_send(&listener->feed, cursor_make(listener), timing_watermark(&listener->timing));
}

/* ---- gaps ---- */

static void gap_of_inlet(listener_t *listener, inlet_t *inlet) {
    const char *endpoint = inlet->intake.endpoint;
    const char *what = inlet->restarted ? "this source was started anew; " : inlet->gap_us >= 0 ? "the connection had ended; " : "";
    int64_t lost_us = listener->way.subscribes ? inlet->gap_us : -1;
    if (inlet->missing > 0)
        feed_gap(&listener->feed, lost_us, "%s: %s%lld missing before message %lld", endpoint, what, (long long)inlet->missing,
                 (long long)inlet->before);
    else if (listener->way.subscribes)
        feed_gap(&listener->feed, lost_us, "%s: %swhat was published meanwhile is missing", endpoint, what);
    else
        feed_gap(&listener->feed, lost_us, "%s: %swhat was on its way may be missing", endpoint, what);
    inlet->has_gap = inlet->restarted = false;
    inlet->missing = 0;
    inlet->gap_us = -1;
}

static void gap_of_recorder(listener_t *listener) {
    listener->has_lost = false;
    feed_gap(&listener->feed, listener->timing.arrival - listener->lost_since,
             "messages that had come were lost with the recorder's state: %lld", (long long)listener->lost);
}

/* Says what there is to say, each gap with a place of its own. False: there is no room for it now. */
static bool gaps_say(listener_t *listener) {
    for (size_t i = 0; i <= listener->count; i++) {
        inlet_t *inlet = i > 0 ? &listener->inlets[i - 1] : NULL;
        if (!(inlet ? inlet->has_gap : listener->has_lost)) continue;
        batch_send(listener);
        if (!feed_room(&listener->feed)) return false;
        if (inlet)
            gap_of_inlet(listener, inlet);
        else
            gap_of_recorder(listener);
        listener->gaps++;
        batch_send(listener);
    }
    return true;
}

/* ---- elements ---- */

/* Fails the source, which has recorded what came before. */
static int give_up(listener_t *listener, const inlet_t *inlet, const char *text) {
    batch_send(listener);
    feed_fail(&listener->feed, "`%s`: message %lld, from %s: %s", URN, (long long)listener->number + 1, inlet->intake.endpoint, text);
    return -1;
}

static int element_add(listener_t *listener, const inlet_t *inlet, bytes_t value) {
    fault_t why;
    int64_t time;
    int got = timing_read(&listener->timing, value, 0, &time, &why);
    if (got < 0) return give_up(listener, inlet, why.text);
    if (got == TIMING_SKIP) return 0;
    bytes_t attributes = parts_attributes(&listener->parts, timing_key(&listener->timing));
    if (value.size + attributes.size > FEED_ELEMENT_MAX)
        return listener->timing.skips ? 0 : give_up(listener, inlet, "with its attributes it is too large");
    uint8_t *at = feed_element(&listener->feed, time, value.size, attributes);
    if (value.size > 0) memcpy(at, value.data, value.size);
    timing_saw(&listener->timing, (size_t)(inlet - listener->inlets), time);
    return 0;
}

static int message_add(listener_t *listener, const inlet_t *inlet) {
    size_t count = parts_elements(&listener->parts);
    for (size_t i = 0; i < count; i++)
        if (element_add(listener, inlet, parts_element(&listener->parts, i)) < 0) return -1;
    return 0;
}

/* ---- messages ---- */

typedef enum turnout { TURNOUT_TAKEN, TURNOUT_LEFT_OUT, TURNOUT_HELD, TURNOUT_FAILED } turnout_t;

/* Is it the message that was to come? A hole is said before it; one that was here already is left out. Numbers that are lower after the
 * other end was away began anew there. */
static turnout_t number_check(listener_t *listener, inlet_t *inlet) {
    fault_t why;
    int64_t number;
    if (parts_number(&listener->parts, &listener->sequence, &number, &why) < 0) {
        if (listener->timing.skips) return TURNOUT_LEFT_OUT;
        give_up(listener, inlet, why.text);
        return TURNOUT_FAILED;
    }
    if (inlet->next >= 0 && number < inlet->next && !inlet->returned) return TURNOUT_LEFT_OUT;
    bool follows = inlet->next < 0 || number == inlet->next;
    if (!follows) {
        inlet->missing = number > inlet->next ? number - inlet->next : 0;
        inlet->before = inlet->next = number;
        inlet->has_gap = true;
    }
    if (follows && inlet->returned) { /* nothing was lost */
        inlet->restarted = false;
        inlet->gap_us = -1;
    }
    inlet->returned = false;
    if (inlet->has_gap && !gaps_say(listener)) return TURNOUT_HELD;
    inlet->next = number < INT64_MAX ? number + 1 : -1;
    return TURNOUT_TAKEN;
}

/* What becomes of the message that was received. */
static turnout_t message_take(listener_t *listener, inlet_t *inlet) {
    turnout_t turnout = TURNOUT_TAKEN;
    if (!listener->parts.whole && !listener->timing.skips) {
        give_up(listener, inlet, "it has more than 64 parts, or than 15 MiB");
        return TURNOUT_FAILED;
    }
    if (!listener->parts.whole) turnout = TURNOUT_LEFT_OUT;
    if (turnout == TURNOUT_TAKEN && listener->sequence.given) turnout = number_check(listener, inlet);
    if (turnout == TURNOUT_HELD || turnout == TURNOUT_FAILED) return turnout;
    if (turnout == TURNOUT_TAKEN && message_add(listener, inlet) < 0) return TURNOUT_FAILED;
    listener->number++;
    listener->heard_at = listener->timing.arrival;
    return turnout;
}

static void inlet_hear(listener_t *listener, inlet_t *inlet);

/* The next message, unless one is held. False: there is none. */
static bool message_next(listener_t *listener, inlet_t *inlet) {
    bool held = listener->held == inlet;
    listener->held = NULL;
    while (!held && (inlet->unread = parts_receive(&listener->parts, &inlet->intake))) {
        if (!intake_is_stranger(&inlet->intake, &listener->way, &listener->parts.frames[0])) break;
        actor_count(listener->feed.me, COUNTER_DROPPED, 1);
    }
    return inlet->unread;
}

/* Takes messages of one endpoint while there is room. -1: the source has failed. Whether more are to come, `unread` says. */
static int inlet_read(listener_t *listener, inlet_t *inlet) {
    for (int n = 0; n < ROUND && feed_room(&listener->feed); n++) {
        if (inlet->away > 0) inlet_hear(listener, inlet); /* that it is back is known before its first message */
        if (!listener->context) return -1;
        if (inlet->has_gap && !gaps_say(listener)) return 0;
        if (!message_next(listener, inlet)) return 0;
        switch (message_take(listener, inlet)) {
        case TURNOUT_FAILED: return -1;
        case TURNOUT_HELD: listener->held = inlet; return 0;
        default: parts_clear(&listener->parts);
        }
        if (feed_full(&listener->feed)) batch_send(listener);
    }
    return 0;
}

static int on_turn(void *state, uint64_t context, fault_t *why) {
    listener_t *listener = state;
    (void)context;
    listener->turn = 0;
    return feed_room(&listener->feed) ? listener->feed.source->produce(listener, why) : 0;
}

static bool round_read(listener_t *listener) {
    bool unread = false;
    for (size_t i = 0; i < listener->count && listener->context; i++) {
        inlet_t *inlet = &listener->inlets[i];
        if (listener->held && listener->held != inlet) continue;
        if (inlet->unread && inlet_read(listener, inlet) < 0) return false;
        unread |= inlet->unread;
    }
    return unread;
}

static int on_idle(void *state, uint64_t context, fault_t *why) {
    listener_t *listener = state;
    int64_t watermark;
    (void)context, (void)why;
    if (timing_advance(&listener->timing, feed_room(&listener->feed), &watermark)) {
        batch_send(listener);
        feed_watermark(&listener->feed, cursor_make(listener), watermark);
    }
    timing_arm(&listener->timing, on_idle);
    return 0;
}

static int listener_produce(void *state, fault_t *why) {
    listener_t *listener = state;
    (void)why;
    timing_begin(&listener->timing);
    if (listener->feed.was_full) timing_missed(&listener->timing);
    if (!gaps_say(listener)) return 0;
    int64_t end = listener->number + TURN;
    bool unread = true;
    while (unread && feed_room(&listener->feed) && listener->number < end) unread = round_read(listener);
    batch_send(listener);
    if (unread && feed_room(&listener->feed) && !listener->turn) listener->turn = actor_after(listener->feed.me, 0, on_turn, 0);
    return 0;
}

/* ---- connections ---- */

static void inlet_open(listener_t *listener, inlet_t *inlet);
static void inlet_close(listener_t *listener, inlet_t *inlet);

static void waiting_say(listener_t *listener) {
    char text[FEED_GAP_MAX];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < listener->count && used < sizeof text; i++) {
        const intake_t *intake = &listener->inlets[i].intake;
        if (intake->peers > 0) continue;
        const char *trouble = intake->trouble[0] ? intake->trouble : listener->way.binds ? "nobody has connected" : "nobody is there";
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s: %s", used > 0 ? "; " : "", intake->endpoint, trouble);
    }
    if (text[0])
        feed_waiting(&listener->feed, "zmq: %s", text);
    else
        feed_waiting(&listener->feed, NULL);
}

static int on_again(void *state, uint64_t context, fault_t *why) {
    listener_t *listener = state;
    inlet_t *inlet = &listener->inlets[context];
    (void)why;
    inlet->again = 0;
    if (inlet->intake.socket && !inlet->intake.forsaken) return 0;
    if (inlet->unread) { /* what it still holds comes first */
        inlet->again = actor_after(listener->feed.me, backoff_next(&inlet->backoff), on_again, context);
        return 0;
    }
    inlet_close(listener, inlet);
    inlet_open(listener, inlet);
    waiting_say(listener);
    return 0;
}

static void try_again(listener_t *listener, inlet_t *inlet) {
    size_t i = (size_t)(inlet - listener->inlets);
    if (!inlet->again) inlet->again = actor_after(listener->feed.me, backoff_next(&inlet->backoff), on_again, i);
}

static void epoll_add(int epoll, int descriptor, size_t number) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = number};
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0);
}

static void inlet_open(listener_t *listener, inlet_t *inlet) {
    fault_t why;
    size_t i = (size_t)(inlet - listener->inlets);
    if (intake_open(&inlet->intake, listener->context, &listener->way, &why) == 0) {
        epoll_add(listener->epoll, intake_descriptor(inlet->intake.socket), 2 * i);
        epoll_add(listener->epoll, intake_descriptor(inlet->intake.monitor), 2 * i + 1);
        inlet->unread = true;
        inlet_hear(listener, inlet); /* a descriptor tells nothing until a first read has found nothing */
        return;
    }
    if (errno == EINVAL) {
        feed_fail(&listener->feed, "`%s`: `server`: %s", URN, why.text);
        return;
    }
    snprintf(inlet->intake.trouble, sizeof inlet->intake.trouble, "%.*s", (int)sizeof inlet->intake.trouble - 1, why.text);
    try_again(listener, inlet);
}

static void inlet_close(listener_t *listener, inlet_t *inlet) {
    void *const sockets[] = {inlet->intake.socket, inlet->intake.monitor};
    for (size_t i = 0; i < 2; i++)
        if (sockets[i]) epoll_ctl(listener->epoll, EPOLL_CTL_DEL, intake_descriptor(sockets[i]), NULL);
    intake_close(&inlet->intake);
    inlet->unread = false;
}

/* What is away until now, and what was away before and is not said yet, is one gap. */
static void gap_begin(const listener_t *listener, inlet_t *inlet, int64_t since) {
    int64_t now = actor_now(listener->feed.me);
    if (inlet->gap_us < 0) inlet->gap_since = since;
    inlet->gap_us = now > inlet->gap_since ? now - inlet->gap_since : 0;
    if (inlet->next >= 0)
        inlet->returned = true;
    else
        inlet->has_gap = true;
}

static void came(const listener_t *listener, inlet_t *inlet) {
    backoff_reset(&inlet->backoff);
    if (inlet->away == 0) return;
    inlet->away--;
    gap_begin(listener, inlet, inlet->away_since);
}

static void inlet_hear(listener_t *listener, inlet_t *inlet) {
    for (intake_news_t news; (news = intake_hear(&inlet->intake)) != INTAKE_NOTHING;) {
        if (news == INTAKE_CAME) came(listener, inlet);
        if (news == INTAKE_LEFT && inlet->away++ == 0) inlet->away_since = actor_now(listener->feed.me);
        if (news == INTAKE_BARRED) {
            batch_send(listener);
            feed_fail(&listener->feed, "`%s`: `server`: %s: %s", URN, inlet->intake.endpoint, inlet->intake.trouble);
            return; /* all is closed */
        }
        if (inlet->intake.forsaken) try_again(listener, inlet);
    }
    waiting_say(listener);
}

static int on_ready(void *state, int descriptor, fault_t *why) {
    listener_t *listener = state;
    struct epoll_event events[PORTER + 1];
    int count = epoll_wait(descriptor, events, PORTER + 1, 0);
    for (int i = 0; i < count && listener->context; i++) {
        uint64_t number = events[i].data.u64;
        if (number == PORTER) {
            intake_admit(listener->porter, &listener->way);
            continue;
        }
        inlet_t *inlet = &listener->inlets[number / 2];
        if (number % 2 == 1)
            inlet_hear(listener, inlet);
        else if (intake_pending(&inlet->intake))
            inlet->unread = true;
    }
    return feed_room(&listener->feed) ? listener_produce(listener, why) : 0;
}

static void listener_open(listener_t *listener) {
    if (listener->context) return;
    listener->context = zmq_ctx_new();
    must(listener->context);
    if (listener->way.binds && listener->way.guard != GUARD_NONE) {
        listener->porter = intake_porter(listener->context);
        must(listener->porter);
        epoll_add(listener->epoll, intake_descriptor(listener->porter), PORTER);
    }
    for (size_t i = 0; i < listener->count && listener->context; i++) inlet_open(listener, &listener->inlets[i]);
    waiting_say(listener);
}

/* Nothing lingers, so the context ends at once. */
static void listener_close(listener_t *listener) {
    if (!listener->context) return;
    for (size_t i = 0; i < listener->count; i++) {
        actor_cancel(listener->feed.me, &listener->inlets[i].again);
        inlet_close(listener, &listener->inlets[i]);
    }
    if (listener->porter) zmq_close(listener->porter);
    zmq_ctx_term(listener->context);
    listener->context = listener->porter = NULL;
}

static void listener_stop(void *state) {
    listener_t *listener = state;
    actor_cancel(listener->feed.me, &listener->turn);
    timing_disarm(&listener->timing);
    listener_close(listener);
}

/* Another run of this source has recorded what stands before: what came since then is lost. */
static void restart_note(listener_t *listener, int64_t since, const int64_t *next) {
    for (size_t i = 0; i < listener->count; i++) {
        inlet_t *inlet = &listener->inlets[i];
        inlet->restarted = true;
        inlet->next = listener->sequence.given ? next[i] : -1;
        if (inlet->intake.peers > 0) {
            gap_begin(listener, inlet, since);
        } else {
            inlet->away = inlet->away > 0 ? inlet->away : 1;
            inlet->away_since = since;
        }
    }
}

/* Numbers of this run that this run has not come to are not its own. */
static bool cursor_read(const listener_t *listener, bytes_t cursor, int64_t *numbers) {
    uint32_t size = cursor_size(listener);
    if (cursor.size == 0) return true;
    if (!feed_cursor_read(cursor, numbers, size)) return false;
    for (uint32_t i = 0; i < size; i++)
        if (numbers[i] < (i < CURSOR_NUMBERS ? 0 : -1)) return false;
    return numbers[0] != listener->session || (numbers[1] <= listener->number && numbers[3] <= listener->gaps);
}

static int listener_resume(void *state, bytes_t cursor, fault_t *why) {
    listener_t *listener = state;
    int64_t numbers[CURSOR_NUMBERS + ENDPOINTS_MAX] = {listener->session, 0, listener->session, 0};
    (void)why;
    timing_begin(&listener->timing);
    if (!cursor_read(listener, cursor, numbers)) {
        feed_fail(&listener->feed, "the cursor of the recording is not one of `%s`", URN);
        return 0;
    }
    if (numbers[0] == listener->session) { /* the recorder lost its state */
        listener->has_lost = numbers[1] < listener->number || numbers[3] < listener->gaps;
        listener->lost = listener->number - numbers[1];
        listener->lost_since = numbers[2];
    } else {
        restart_note(listener, numbers[2], numbers + CURSOR_NUMBERS);
    }
    listener_open(listener);
    if (!listener->context) return 0;
    if (cursor.size == 0 && !listener->has_lost) feed_place(&listener->feed, cursor_make(listener));
    timing_arm(&listener->timing, on_idle);
    return 0;
}

static const feed_source_t listener_source = {URN, listener_resume, listener_produce, listener_stop};

/* ---- life ---- */

static int server_take(listener_t *listener, const char *server, fault_t *why) {
    for (const char *at = server;; at++) {
        fault_t wrong;
        size_t size = strcspn(at, ",");
        if (listener->count == ENDPOINTS_MAX) return fault_set(why, "`%s`: `server` has more than %d endpoints", URN, ENDPOINTS_MAX);
        inlet_t *inlet = &listener->inlets[listener->count++];
        if (intake_init(&inlet->intake, at, size, &wrong) < 0) return fault_set(why, "`%s`: `server` has %s", URN, wrong.text);
        inlet->next = inlet->gap_us = -1;
        inlet->backoff.random = (uint64_t)listener->session + listener->count;
        at += size;
        if (*at == '\0') return 0;
    }
}

/* What binds where other machines come to wants to know who they are. */
static int reach_check(const listener_t *listener, fault_t *why) {
    bool guarded = listener->way.guard == GUARD_CURVE || actor_config(listener->feed.me)->insecure;
    for (size_t i = 0; i < listener->count && listener->way.binds; i++) {
        const char *endpoint = listener->inlets[i].intake.endpoint;
        if (!guarded && !endpoint_is_local(endpoint))
            return fault_set(why,
                             "`%s`: `bind`: %s can be reached from other machines, and nothing guards it: give `keys`, or start the engine "
                             "with --insecure",
                             URN, endpoint);
    }
    return 0;
}

static int shape_take(listener_t *listener, const msg_zmq_payload_t *payload, fault_t *why) {
    static const char *const sockets[] = {"sub", "pull", NULL}, *const shapes[] = {"last", "join", "each", "list", NULL};
    unsigned kind;
    intake_way_t *way = &listener->way;
    if (payload_choice(URN, "socket", payload->socket, sockets, &kind, why) < 0 ||
        payload_choice(URN, "parts", payload->parts, shapes, &listener->parts.shape, why) < 0)
        return -1;
    way->subscribes = kind == 0;
    way->binds = payload->bind;
    way->frame_max = FRAME_ROOM;
    way->queue = payload->has_queue ? (int)payload->queue : QUEUE_DEFAULT;
    if (payload->has_queue && payload->queue > QUEUE_MAX)
        return fault_set(why, "`%s`: `queue` must be at most %d, not %lld", URN, QUEUE_MAX, (long long)payload->queue);
    if (payload->has_topics && !way->subscribes) return fault_set(why, "`%s`: `topics` are for `sub`, and this is a `pull`", URN);
    way->topics = payload->has_topics ? payload->topics : NULL;
    if (listener->parts.shape == PARTS_LIST && (listener->timing.pointer || listener->timing.key))
        return fault_set(why, "`%s`: a `list` of parts is no JSON, which `%s` needs", URN, listener->timing.pointer ? "event_time" : "key");
    return 0;
}

static int sequence_take(listener_t *listener, const msg_zmq_payload_t *payload, fault_t *why) {
    unsigned shape = listener->parts.shape;
    if (!payload->has_sequence) return 0;
    if (listener->way.binds) return fault_set(why, "`%s`: `sequence` is of one sender, and where it binds there may be several", URN);
    if (parts_sequence_take(&listener->sequence, URN, payload->sequence, why) < 0) return -1;
    if (listener->sequence.pointer && (shape == PARTS_LIST || shape == PARTS_EACH))
        return fault_set(why, "`%s`: `sequence` is a JSON pointer, and with `parts` `%s` a message is not one element of JSON", URN,
                         payload->parts);
    return 0;
}

static void listener_destroy(void **state) {
    listener_t *listener = *state;
    if (!listener) return;
    listener_close(listener);
    if (listener->epoll >= 0) close(listener->epoll);
    parts_fini(&listener->parts);
    timing_fini(&listener->timing);
    feed_fini(&listener->feed);
    free(listener);
    *state = NULL;
}

static void *listener_create(actor_t *me, bytes_t args, fault_t *why) {
    msg_zmq_payload_t payload;
    void *state = calloc(1, sizeof(listener_t));
    must(state);
    listener_t *listener = state;
    listener->epoll = epoll_create1(EPOLL_CLOEXEC);
    parts_init(&listener->parts);
    if (listener->epoll < 0) {
        fault_errno(why, "cannot watch sockets");
        goto fail;
    }
    if (feed_init(&listener->feed, me, &listener_source, args, RECORD_CLASS(zmq_payload), &payload, why) < 0) goto fail;
    listener->session = listener->heard_at = actor_now(me);
    if (timing_init(&listener->timing, me, URN, TIMING_SYSTEM_NONE, TIMING_GIVEN(&payload), why) < 0) goto fail;
    if (server_take(listener, payload.server, why) < 0 || shape_take(listener, &payload, why) < 0 ||
        sequence_take(listener, &payload, why) < 0 || intake_way_guard(&listener->way, URN, &payload, actor_config(me)->keys, why) < 0 ||
        reach_check(listener, why) < 0)
        goto fail;
    timing_lanes(&listener->timing, listener->count);
    actor_watch(me, listener->epoll, on_ready);
    feed_start(&listener->feed);
    return state;
fail:
    listener_destroy(&state);
    return NULL;
}

/* ---- the class ---- */

const actor_class_t source_zmq_class = {
    .name = "source_zmq",
    .doc = "Reads what ZeroMQ programs publish and push.",
    .create = listener_create,
    .destroy = listener_destroy,
    .takes = {FEED_TAKES},
    .sends = {FEED_SENDS},
    .doors = {FEED_DOOR},
};
