/* An actor's life: its state is created, is ready, fails, is created again, and goes. The sockets, the requests it has not answered and
 * what waits for it stay where they are meanwhile: they are the runtime's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../messages/wire.h"
#include "actor_state.h"

bool peer_equal(const peer_t *a, const peer_t *b) {
    return a->door == b->door && a->size == b->size && memcmp(a->id, b->id, a->size) == 0;
}

void head_encode(const head_t *head, frame_t *ret_frame) {
    char buffer[32];
    msgpack_sbuffer out = {.data = buffer, .alloc = sizeof buffer};
    msgpack_packer packer;
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, 3);
    msgpack_pack_int(&packer, (int)head->kind);
    msgpack_pack_int(&packer, (int)head->id);
    msgpack_pack_uint64(&packer, head->number);
    frame_copy_of(ret_frame, (bytes_t){(const uint8_t *)out.data, out.size});
}

/* Of the array's three numbers the one at `in`, which goes on behind it. -1: there is none. */
static int64_t head_number(bytes_t *in) {
    int64_t number;
    size_t size = wire_value_size(*in);
    if (size == 0 || !wire_int(*in, &number) || number < 0) return -1;
    *in = (bytes_t){in->data + size, in->size - size};
    return number;
}

bool head_decode(bytes_t in, head_t *ret_head) {
    if (in.size == 0 || in.data[0] != 0x93) return false;
    bytes_t rest = {in.data + 1, in.size - 1};
    int64_t kind = head_number(&rest), id = kind < 0 ? -1 : head_number(&rest), number = id < 0 ? -1 : head_number(&rest);
    if (number < 0 || kind > HEAD_REFUSAL || id >= MESSAGE_COUNT) return false;
    *ret_head = (head_t){(head_kind_t)kind, (message_id_t)id, (uint64_t)number};
    return true;
}

static const message_id_t runtime_sends[] = {MSG_ACTOR_READY, MSG_ACTOR_FAILED, MSG_ACTOR_STOPPED};

actor_t *actor_new(const actor_class_t *class, const char *name, bytes_t args, host_t *host, const config_t *config) {
    actor_t *me = calloc(1, sizeof *me);
    must(me);
    me->class = class;
    me->host = host;
    me->config = config;
    snprintf(me->name, sizeof me->name, "%s", name);
    frame_copy_of(&me->args, args);
    me->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    size_t largest = 0;
    for (int id = 1; id < MESSAGE_COUNT; id++)
        if (message_class((message_id_t)id)->record.size > largest) largest = message_class((message_id_t)id)->record.size;
    me->decoded = malloc(largest);
    must(me->zone && me->decoded);
    msg_options_t options;
    options_default(&options);
    actor_bound(me, &options);
    msgpack_sbuffer_init(&me->out);
    for (size_t i = 0; class->sends[i] != MSG_NONE; i++) me->may_send[class->sends[i]] = true;
    for (size_t i = 0; i < sizeof runtime_sends / sizeof runtime_sends[0]; i++) me->may_send[runtime_sends[i]] = true;
    return me;
}

void actor_bound(actor_t *me, const msg_options_t *options) {
    quotas_take(&me->quotas, options);
    me->host->class->bound(me->host, me->quotas.connections_max);
}

void actor_free(actor_t **actor) {
    actor_t *me = *actor;
    if (!me) return;
    me->class->destroy(&me->state);
    if (me->kept) me->kept_destroy(&me->kept);
    tickets_fini(&me->tickets);
    asks_fini(&me->asks);
    held_fini(&me->held);
    debts_fini(&me->debts);
    debts_fini(&me->dues);
    timers_fini(&me->timers);
    frame_fini(&me->args);
    msgpack_zone_free(me->zone);
    msgpack_sbuffer_destroy(&me->out);
    free(me->decoded);
    free(me);
    *actor = NULL;
}

void actor_keep(actor_t *me, void *thing, void (*destroy)(void **thing)) {
    must(thing && !me->kept);
    me->kept = thing;
    me->kept_destroy = destroy;
}

void *actor_kept(const actor_t *me) {
    return me->kept;
}

/* The supervisor's own superior is the main thread. */
static const char *superior(const actor_t *me) {
    return strcmp(me->name, "supervisor") == 0 ? "main" : "supervisor";
}

static void tell_ready(actor_t *me) {
    static const msg_actor_ready_t ready;
    me->phase = PHASE_READY;
    if (strcmp(me->name, "supervisor") != 0) actor_tell(me, "supervisor", MSG_ACTOR_READY, &ready);
}

void actor_start(actor_t *me) {
    fault_t why = {.text = "it did not say why"};
    me->creating = true;
    me->phase = PHASE_READY;
    void *state = me->class->create(me, frame_bytes(&me->args), &why);
    me->creating = false;
    if (!state) {
        me->phase = PHASE_LOADING; /* so that the supervisor is told of a failed start */
        actor_fail(me, &why, 0);
        return;
    }
    me->state = state;
    if (me->phase == PHASE_READY) tell_ready(me);
    actor_drain(me);
}

void actor_start_failed(actor_t *me, const fault_t *why) {
    me->phase = PHASE_LOADING;
    actor_fail(me, why, 0);
}

void actor_loading(actor_t *me) {
    must(me->creating);
    me->phase = PHASE_LOADING;
}

void actor_loaded(actor_t *me) {
    must(me->phase == PHASE_LOADING);
    if (me->creating) {
        me->phase = PHASE_READY;
        return;
    }
    tell_ready(me);
}

/* Nobody knows which request a state failed on that did not fail in the handler of one: any of those that it had may be the one, and would kill
 * the next state as well. So none is given to more than STATES_MAX. */
static void hand_over(actor_t *me, bool demanded) {
    size_t count;
    parcel_t *parcels = tickets_take(&me->tickets, &count);
    for (size_t i = count; i-- > 0;) {
        parcel_t *parcel = &parcels[i];
        if (!demanded) parcel->failed++;
        if (parcel->failed < STATES_MAX) {
            held_push_first(&me->held, parcel);
            continue;
        }
        actor_refuse(me, tickets_add(&me->tickets, parcel), ERROR_UNAVAILABLE, NULL, "%s failed %u times while it had this request",
                     me->name, parcel->failed);
        parcel_fini(parcel);
    }
    free(parcels);
}

static void lose_state(actor_t *me, const fault_t *why, ticket_t killer, bool demanded) {
    bool starting = me->phase == PHASE_LOADING;
    me->phase = PHASE_FAILED;
    asks_forget(&me->asks);
    timers_clear(&me->timers);
    me->watches = 0;
    if (tickets_find(&me->tickets, killer))
        actor_refuse(me, killer, ERROR_UNAVAILABLE, NULL, "%s failed on this request and is restarted", me->name);
    me->class->destroy(&me->state);
    me->state = NULL;
    hand_over(me, demanded);
    actor_tell(me, superior(me), MSG_ACTOR_FAILED, &(msg_actor_failed_t){.why = why->text, .starting = starting});
}

void actor_fail(actor_t *me, const fault_t *why, ticket_t killer) {
    lose_state(me, why, killer, false);
}

void actor_fail_as_told(actor_t *me, const fault_t *why) {
    lose_state(me, why, 0, true);
}

/* Whoever still waits for an answer gets one: it will not come from here any more. */
void actor_leave(actor_t *me) {
    parcel_t parcel;
    while (held_take(&me->held, &parcel)) {
        if (parcel.head.kind == HEAD_REQUEST) tickets_add(&me->tickets, &parcel);
        parcel_fini(&parcel);
    }
    for (size_t i = 0; i < me->tickets.capacity; i++)
        actor_refuse(me, me->tickets.entries[i].ticket, ERROR_UNAVAILABLE, NULL, "%s is stopping", me->name);
    me->leaving = true;
}

bool actor_has_left(const actor_t *me) {
    return me->leaving;
}

bool actor_takes_peers(const actor_t *me) {
    return me->phase == PHASE_READY && me->held.count == 0;
}

const actor_class_t *actor_class_of(const actor_t *me) {
    return me->class;
}

size_t actor_mailbox(const actor_t *me) {
    return me->held.count;
}

/* ---- the world ---- */

int64_t actor_now(actor_t *me) {
    return me->host->class->now(me->host);
}

int64_t actor_ticks(actor_t *me) {
    return me->host->class->ticks(me->host);
}

const config_t *actor_config(const actor_t *me) {
    return me->config;
}

const char *actor_name(const actor_t *me) {
    return me->name;
}

void actor_count(actor_t *me, counter_t counter, uint64_t n) {
    me->counters[counter] += n;
}

int actor_spawn(actor_t *me, const actor_class_t *class, const char *name, const char *address, bytes_t args, fault_t *why) {
    return me->host->class->spawn(me->host, class, name, address, args, why);
}

void actor_reap(actor_t *me, const char *address) {
    me->host->class->reap(me->host, address);
}

/* ---- time and descriptors ---- */

timer_id_t actor_after(actor_t *me, int64_t us, timer_fn *then, uint64_t context) {
    return timers_set(&me->timers, actor_ticks(me) + (us > 0 ? us : 0), then, context);
}

void actor_cancel(actor_t *me, timer_id_t *timer) {
    if (*timer) timers_cancel(&me->timers, *timer);
    *timer = 0;
}

int64_t actor_due(const actor_t *me) {
    return timers_due(&me->timers);
}

/* Those due now, and no others: one that sets itself again at once must not keep messages out. */
void actor_run_timers(actor_t *me) {
    int64_t now = actor_ticks(me);
    timer_id_t last = me->timers.last_id;
    timer_entry_t entry;
    while (me->state && me->timers.count > 0 && me->timers.heap[0].id <= last && timers_take(&me->timers, now, &entry)) {
        fault_t why;
        if (entry.then(me->state, entry.context, &why) < 0) actor_fail(me, &why, 0);
    }
    actor_drain(me);
}

void actor_settle(actor_t *me) {
    fault_t why;
    if (me->phase == PHASE_READY && me->class->settle && me->class->settle(me->state, &why) < 0) actor_fail(me, &why, 0);
}

static void watch_add(actor_t *me, int descriptor, short events, watch_fn *then) {
    must(me->watches < WATCHES_MAX);
    me->watched[me->watches] = (struct pollfd){.fd = descriptor, .events = events};
    me->watchers[me->watches++] = then;
}

static size_t watch_find(const actor_t *me, int descriptor, short events) {
    size_t i = 0;
    while (i < me->watches && (me->watched[i].fd != descriptor || me->watched[i].events != events)) i++;
    return i;
}

static void watch_remove(actor_t *me, int descriptor, short events) {
    size_t i = watch_find(me, descriptor, events);
    if (i == me->watches) return;
    me->watches--;
    me->watched[i] = me->watched[me->watches];
    me->watchers[i] = me->watchers[me->watches];
}

void actor_watch(actor_t *me, int descriptor, watch_fn *then) {
    watch_add(me, descriptor, POLLIN, then);
}

void actor_unwatch(actor_t *me, int descriptor) {
    watch_remove(me, descriptor, POLLIN);
}

void actor_watch_writable(actor_t *me, int descriptor, watch_fn *then) {
    watch_add(me, descriptor, POLLOUT, then);
}

void actor_unwatch_writable(actor_t *me, int descriptor) {
    watch_remove(me, descriptor, POLLOUT);
}

const struct pollfd *actor_watched(const actor_t *me, size_t *ret_count) {
    *ret_count = me->watches;
    return me->watched;
}

void actor_ready_for(actor_t *me, const struct pollfd *polled) {
    size_t i = watch_find(me, polled->fd, polled->events);
    fault_t why;
    if (i < me->watches && me->watchers[i](me->state, polled->fd, &why) < 0) actor_fail(me, &why, 0);
}
