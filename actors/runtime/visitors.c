/* A table of connections by routing id. libzmq does not say when one ends, but the kernel does: a connection is its descriptor and the inode of the
 * socket behind it, and a descriptor that is closed or used again has another. So those that are gone are found where it matters, before
 * sending, and swept out when the table is full. */
#include "visitors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "crowd.h"

enum { BUCKETS_LEAST = 64 };

typedef struct visitor {
    struct visitor *next; /* in its bucket */
    uint32_t serial;      /* of the connection; never 0 */
    int descriptor;
    uint64_t inode; /* 0: it was gone already when its message was read */
    user_t user;
    pass_t pass;
    bool barred;
    uint8_t size;
    uint8_t id[];
} visitor_t;

struct visitors {
    visitor_t **buckets;
    size_t bucket_count, count;
    uint32_t last; /* serial */
    int64_t at;    /* the keyring's number; 0: none is known yet */
    size_t user_count;
    char **users;
};

visitors_t *visitors_create(void) {
    visitors_t *v = calloc(1, sizeof *v);
    must(v);
    v->bucket_count = BUCKETS_LEAST;
    v->buckets = calloc(v->bucket_count, sizeof(visitor_t *));
    must(v->buckets);
    return v;
}

static void forget_users(visitors_t *v) {
    for (size_t i = 0; i < v->user_count; i++) free(v->users[i]);
    free(v->users);
    v->users = NULL;
    v->user_count = 0;
}

void visitors_destroy(visitors_t **visitors) {
    visitors_t *v = *visitors;
    if (!v) return;
    for (size_t i = 0; i < v->bucket_count; i++)
        for (visitor_t *one = v->buckets[i], *next; one; one = next) {
            next = one->next;
            free(one);
        }
    forget_users(v);
    free(v->buckets);
    free(v);
    *visitors = NULL;
}

/* ---- users ---- */

void user_format(int64_t at, permission_t permission, const char *key, const char *name, char ret_text[160]) {
    snprintf(ret_text, 160, "%lld %s %s %s", (long long)at, permission_name(permission), key, name);
}

bool user_parse(const char *text, user_t *ret_user, pass_t *ret_pass) {
    char *who, permission[16], name[sizeof ret_pass->name];
    ret_user->at = strtoll(text, &who, 10);
    if (who == text || *who++ != ' ' || sscanf(who, "%15s %*s %63s", permission, name) != 2) return false;
    snprintf(ret_user->who, sizeof ret_user->who, "%s", who);
    ret_pass->permission = permission_find(permission);
    snprintf(ret_pass->name, sizeof ret_pass->name, "%s", name);
    return ret_pass->permission != PERMISSION_NONE;
}

/* Who was let in by a newer keyring than this door has heard of is right until it has. */
static bool is_known(const visitors_t *v, const user_t *user) {
    if (user->at > v->at) return true;
    for (size_t i = 0; i < v->user_count; i++)
        if (strcmp(v->users[i], user->who) == 0) return true;
    return false;
}

/* ---- connections ---- */

static bool is_there(const visitor_t *one) {
    return one->inode && crowd_inode(one->descriptor) == one->inode;
}

static size_t bucket_of(const visitors_t *v, const uint8_t *id, size_t size) {
    uint64_t sum = size;
    for (size_t i = 0; i < size; i++) sum = (sum ^ id[i]) * UINT64_C(0x100000001b3);
    return (size_t)(sum ^ sum >> 32) & (v->bucket_count - 1);
}

static visitor_t *find(const visitors_t *v, const uint8_t *id, size_t size) {
    visitor_t *one = v->buckets[bucket_of(v, id, size)];
    while (one && (one->size != size || memcmp(one->id, id, size) != 0)) one = one->next;
    return one;
}

/* Drops those that are gone, and makes room where that was not enough. */
static void sweep(visitors_t *v) {
    visitor_t *kept = NULL;
    size_t count = 0;
    for (size_t i = 0; i < v->bucket_count; i++)
        for (visitor_t *one = v->buckets[i], *next; one; one = next) {
            next = one->next;
            if (!is_there(one)) {
                free(one);
                continue;
            }
            one->next = kept;
            kept = one;
            count++;
        }
    if (count * 2 > v->bucket_count) v->bucket_count *= 2;
    free(v->buckets);
    v->buckets = calloc(v->bucket_count, sizeof(visitor_t *));
    must(v->buckets);
    v->count = count;
    for (visitor_t *next; kept; kept = next) {
        next = kept->next;
        visitor_t **at = &v->buckets[bucket_of(v, kept->id, kept->size)];
        kept->next = *at;
        *at = kept;
    }
}

static visitor_t *add(visitors_t *v, const uint8_t *id, size_t size) {
    if (v->count >= v->bucket_count) sweep(v);
    visitor_t *one = calloc(1, sizeof *one + size);
    must(one);
    one->size = (uint8_t)size;
    memcpy(one->id, id, size);
    visitor_t **at = &v->buckets[bucket_of(v, id, size)];
    one->next = *at;
    *at = one;
    v->count++;
    return one;
}

static void judge(visitors_t *v, visitor_t *one) {
    one->barred = !is_known(v, &one->user);
    if (one->barred && is_there(one)) shutdown(one->descriptor, SHUT_RDWR);
}

/* Another connection than the one that last spoke under this routing id, or the first. */
static bool renew(visitors_t *v, visitor_t *one, int descriptor, uint64_t inode, const char *user) {
    one->serial = ++v->last ? v->last : ++v->last;
    one->descriptor = descriptor;
    one->inode = inode;
    if (!user_parse(user, &one->user, &one->pass)) return false;
    judge(v, one);
    return true;
}

static bool is_user(const visitor_t *one, const char *user) {
    char *who;
    return strtoll(user, &who, 10) == one->user.at && *who == ' ' && strcmp(who + 1, one->user.who) == 0;
}

/* A message may be read when its connection is gone, and then has no inode; somebody else's may have had the same descriptor before. */
static bool is_same(const visitor_t *one, int descriptor, uint64_t inode, const char *user) {
    return one->serial && one->descriptor == descriptor && (one->inode == inode || inode == 0) && is_user(one, user);
}

static void extend(peer_t *peer, uint32_t serial) {
    memcpy(peer->id + peer->size, &serial, sizeof serial);
    peer->size = (uint8_t)(peer->size + sizeof serial);
}

admission_t visitors_admit(visitors_t *v, frame_t *frame, peer_t *peer, const pass_t **ret_pass) {
    const char *user = zmq_msg_gets(&frame->msg, "User-Id");
    int descriptor = zmq_msg_get(&frame->msg, ZMQ_SRCFD);
    if (peer->size > sizeof peer->id - sizeof(uint32_t)) return BARRED;
    *ret_pass = NULL;
    if (descriptor < 0 && !user) {
        extend(peer, 0);
        return ADMITTED;
    }
    if (descriptor < 0 || !user) return BARRED;
    uint64_t inode = crowd_inode(descriptor);
    visitor_t *one = find(v, peer->id, peer->size);
    if (!one) one = add(v, peer->id, peer->size);
    if (!is_same(one, descriptor, inode, user) && !renew(v, one, descriptor, inode, user)) one->barred = true;
    if (one->barred) return BARRED;
    extend(peer, one->serial);
    *ret_pass = &one->pass;
    return ADMITTED;
}

void visitors_note(visitors_t *v, frame_t *frame) {
    const pass_t *pass;
    uint64_t inode = crowd_inode(zmq_msg_get(&frame->msg, ZMQ_SRCFD));
    peer_t peer = {.size = sizeof inode};
    memcpy(peer.id, &inode, sizeof inode);
    if (inode) visitors_admit(v, frame, &peer, &pass);
}

bool visitors_reach(visitors_t *v, const peer_t *peer, size_t *ret_size) {
    uint32_t serial;
    must(peer->size >= sizeof serial);
    size_t size = peer->size - sizeof serial;
    memcpy(&serial, peer->id + size, sizeof serial);
    *ret_size = size;
    if (serial == 0) return true;
    const visitor_t *one = find(v, peer->id, size);
    return one && one->serial == serial && !one->barred && is_there(one);
}

void visitors_know(visitors_t *v, int64_t at, const names_t *users) {
    if (at < v->at) return;
    forget_users(v);
    v->users = calloc(users->count + 1, sizeof(char *));
    must(v->users);
    for (size_t i = 0; i < users->count; i++) {
        v->users[i] = strdup(users->items[i]);
        must(v->users[i]);
    }
    v->user_count = users->count;
    v->at = at;
    for (size_t i = 0; i < v->bucket_count; i++)
        for (visitor_t *one = v->buckets[i]; one; one = one->next) judge(v, one);
}
