/* The authenticator owns the clients' keys: libzmq asks it at each handshake, and those with doors are told when the keys change, so that a
 * key that was removed is worth nothing from then on, on connections that stand already too. What a key allows travels in the user id of its
 * connections, and is checked where messages come in.
 *
 * Without keys it has nothing to do. */
#include "authenticator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/tree.h"
#include "runtime/visitors.h"
#include "store/keyring.h"

enum { LOOK_US = 500 * 1000, NOTICE_US = 10 * 1000 * 1000, KEY_MOST = KEY_TEXT + 1 };

typedef struct authenticator {
    actor_t *me;
    keyring_t ring;
    int64_t at;        /* the ring's number */
    uint64_t stamp;    /* of the files that it was read from */
    int64_t quiet;     /* no notice before, in ticks */
    uint64_t unspoken; /* refusals since the last notice */
} authenticator_t;

/* ---- keys ---- */

static const char *folder_of(const authenticator_t *a) {
    return actor_config(a->me)->keys;
}

static bool has_outside(const actor_class_t *class) {
    for (size_t i = 0; i < DOORS_MAX; i++)
        if (class->doors[i].kind == DOOR_PUBLISH || (class->doors[i].kind == DOOR_ROUTER && class->doors[i].endpoint < ENDPOINT_COUNT))
            return true;
    return false;
}

/* Each as its connections' user ids say it, without the number in front. */
static void tell_doors(authenticator_t *a) {
    msg_keys_changed_t keys = {.at = a->at, .users = {a->ring.count, NULL}};
    char(*texts)[160] = calloc(a->ring.count + 1, sizeof *texts);
    keys.users.items = calloc(a->ring.count + 1, sizeof(char *));
    must(texts && keys.users.items);
    for (size_t i = 0; i < a->ring.count; i++) {
        const client_key_t *client = &a->ring.clients[i];
        user_format(a->at, client->permission, client->key, client->name, texts[i]);
        keys.users.items[i] = strchr(texts[i], ' ') + 1;
    }
    for (size_t i = 0; i < tree_count; i++)
        if (has_outside(tree[i].class)) actor_tell(a->me, tree[i].class->name, MSG_KEYS_CHANGED, &keys);
    free(keys.users.items);
    free(texts);
}

static void load(authenticator_t *a) {
    keyring_t ring;
    fault_t why;
    a->stamp = keyring_stamp(folder_of(a));
    if (keyring_load(folder_of(a), &ring, &why) < 0)
        fprintf(stderr, "reprised: %s: no client is let in\n", why.text);
    else if (ring.complaints > 0)
        fprintf(stderr, "reprised: %s%s\n", ring.complaint.text, ring.complaints > 1 ? ", and it is not the only one" : "");
    keyring_fini(&a->ring);
    a->ring = ring;
    int64_t now = actor_ticks(a->me);
    a->at = now > a->at ? now : a->at + 1;
}

/* Has anything changed? */
static bool refresh(authenticator_t *a) {
    if (keyring_stamp(folder_of(a)) == a->stamp) return false;
    load(a);
    tell_doors(a);
    return true;
}

static int look(void *state, uint64_t context, fault_t *why) {
    (void)context, (void)why;
    authenticator_t *a = state;
    refresh(a);
    actor_after(a->me, LOOK_US, look, 0);
    return 0;
}

/* ---- life ---- */

static void authenticator_destroy(void **state) {
    authenticator_t *a = *state;
    if (!a) return;
    keyring_fini(&a->ring);
    free(a);
    *state = NULL;
}

static void *authenticator_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args, (void)why;
    authenticator_t *a = calloc(1, sizeof *a);
    must(a);
    a->me = me;
    if (!folder_of(a)[0]) return a;
    load(a);
    tell_doors(a);
    actor_after(me, LOOK_US, look, 0);
    return a;
}

/* ---- messages ---- */

/* Of who comes through a file, libzmq says `localhost:USER:GROUP:PROCESS`. */
static void address_say(const char *address, char ret_text[80]) {
    unsigned user, group, process;
    int end = 0;
    const char *numbers = strchr(address, ':');
    if (numbers && sscanf(numbers, ":%u:%u:%u%n", &user, &group, &process, &end) == 3 && numbers[end] == '\0')
        snprintf(ret_text, 80, "the process %u of the user %u", process, user);
    else
        snprintf(ret_text, 80, "%.79s", address);
}

/* Who is turned away cannot be told why, so whoever looks after the engine is; not more often than can be read. */
static void notice(authenticator_t *a, const msg_zap_admit_t *m) {
    int64_t now = actor_ticks(a->me);
    char key[KEY_MOST] = "", who[80];
    a->unspoken++;
    if (now < a->quiet) return;
    if (m->key.size == KEY_BYTES) zmq_z85_encode(key, m->key.data, KEY_BYTES);
    address_say(m->address, who);
    fprintf(stderr, "reprised: the %s endpoint let %s not in: the key %s is nobody's in %s/clients", m->endpoint, who, key, folder_of(a));
    if (a->unspoken > 1) fprintf(stderr, " (and %llu more like it)", (unsigned long long)a->unspoken - 1);
    fputc('\n', stderr);
    a->unspoken = 0;
    a->quiet = now + NOTICE_US;
}

/* A client that is turned away does not come again by itself, so a key that was added a moment ago must be known. */
static const client_key_t *find(authenticator_t *a, const msg_zap_admit_t *m) {
    if (strcmp(m->mechanism, "CURVE") != 0 || m->key.size != KEY_BYTES) return NULL;
    const client_key_t *client = keyring_find(&a->ring, m->key.data);
    return client || !refresh(a) ? client : keyring_find(&a->ring, m->key.data);
}

static int on_admit(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    authenticator_t *a = state;
    const msg_zap_admit_t *m = in->message;
    const client_key_t *client = find(a, m);
    if (!client) {
        notice(a, m);
        actor_refuse(a->me, in->ticket, ERROR_UNAUTHORIZED, NULL, "this key is nobody's");
        return 0;
    }
    char user[160];
    user_format(a->at, client->permission, client->key, client->name, user);
    actor_answer(a->me, in->ticket, &(msg_zap_admitted_t){.user = user});
    return 0;
}

const actor_class_t authenticator_class = {
    .name = "authenticator",
    .doc = "Knows the clients' keys, and lets in who has one of them.",
    .create = authenticator_create,
    .destroy = authenticator_destroy,
    .takes = {[MSG_ZAP_ADMIT] = on_admit},
    .sends = {MSG_KEYS_CHANGED},
    .doors = {{DOOR_ZAP, ENDPOINT_ZAP, SCOPE_INTERNAL}},
};
