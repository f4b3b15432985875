/* The notifier tells subscribers what happened. What it says are hints: a subscriber that is slow, or not there, misses them, and the
 * guarantee is in the commands. It numbers them, so that a subscriber sees that it missed some. */
#include "notifier.h"

#include <stdlib.h>
#include <string.h>

typedef struct notifier {
    actor_t *me;
    uint64_t seq;
    msgpack_sbuffer out;
} notifier_t;

static void *notifier_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args, (void)why;
    notifier_t *n = calloc(1, sizeof *n);
    must(n);
    n->me = me;
    msgpack_sbuffer_init(&n->out);
    return n;
}

static void notifier_destroy(void **state) {
    notifier_t *n = *state;
    if (!n) return;
    msgpack_sbuffer_destroy(&n->out);
    free(n);
    *state = NULL;
}

static void pack_text(msgpack_packer *packer, const char *key, const char *value) {
    msgpack_pack_str_with_body(packer, key, strlen(key));
    msgpack_pack_str_with_body(packer, value, strlen(value));
}

static void pack_number(msgpack_packer *packer, const char *key, int64_t value) {
    msgpack_pack_str_with_body(packer, key, strlen(key));
    msgpack_pack_int64(packer, value);
}

static int on_notify(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    notifier_t *n = state;
    const msg_notify_t *m = in->message;
    n->out.size = 0;
    msgpack_packer packer;
    msgpack_packer_init(&packer, &n->out, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, 5U + m->has_detail + m->has_count);
    pack_number(&packer, "seq", (int64_t)++n->seq);
    pack_number(&packer, "boot", actor_config(n->me)->started);
    pack_number(&packer, "at", actor_now(n->me));
    pack_text(&packer, m->key, m->name);
    pack_text(&packer, "state", m->state);
    if (m->has_detail) pack_text(&packer, "detail", m->detail);
    if (m->has_count) pack_number(&packer, "count", m->count);
    actor_publish(n->me, 0, m->topic, (bytes_t){(const uint8_t *)n->out.data, n->out.size});
    actor_count(n->me, COUNTER_NOTIFICATIONS, 1);
    return 0;
}

static int on_options_changed(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    notifier_t *n = state;
    msg_options_t options = options_changed(in->message);
    actor_bound(n->me, &options);
    return 0;
}

const actor_class_t notifier_class = {
    .name = "notifier",
    .doc = "Publishes what happened to whoever subscribes.",
    .create = notifier_create,
    .destroy = notifier_destroy,
    .takes = {[MSG_NOTIFY] = on_notify, [MSG_OPTIONS_CHANGED] = on_options_changed},
    .doors = {{DOOR_PUBLISH, ENDPOINT_NOTIFICATIONS, 0}},
};
