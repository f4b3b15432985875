/* How the two ends of an intake prove who they are: PLAIN, a name and a password that anybody on the way can read, or CURVE, with keys as
 * the engine's own doors have them, in the same files. Who connects to an intake is asked about by ZAP (RFC 27) in the source's own
 * context, where libzmq lets in anybody with any key unless somebody answers. */
#include <stdio.h>
#include <string.h>

#include "../runtime/zap.h"
#include "intake.h"
#include "payload.h"

/* ---- from the payload ---- */

/* The other end's key: itself, or a file with it. */
static int server_key_take(intake_way_t *way, const char *urn, const char *given, fault_t *why) {
    uint8_t bytes[KEY_BYTES];
    fault_t wrong;
    if (strlen(given) == KEY_TEXT && zmq_z85_decode(bytes, given)) {
        memcpy(way->server, given, KEY_TEXT + 1);
        return 0;
    }
    if (keyring_public(given, way->server, &wrong) == 0) return 0;
    return fault_set(why, "`%s`: `server_key` is neither a key of %d characters nor a file with one: %s", urn, KEY_TEXT, wrong.text);
}

/* Our own keys; those of nobody in particular where none are given. */
static int key_take(intake_way_t *way, const char *urn, const char *path, const char *engine, fault_t *why) {
    fault_t wrong;
    if (!path) return zmq_curve_keypair(way->public, way->secret) == 0 ? 0 : fault_set(why, "`%s`: libzmq has no CURVE", urn);
    if (payload_file_check(urn, "key_file", path, engine, why) < 0) return -1;
    if (keyring_pair(path, way->public, way->secret, &wrong) < 0) return fault_set(why, "`%s`: `key_file`: %s", urn, wrong.text);
    return 0;
}

static int keys_take(intake_way_t *way, const char *urn, const char *folder, const char *engine, fault_t *why) {
    char path[sizeof way->keys + 16];
    fault_t wrong;
    if (strlen(folder) >= sizeof way->keys) return fault_set(why, "`%s`: `keys` is no folder's name: %.64s…", urn, folder);
    snprintf(way->keys, sizeof way->keys, "%s", folder);
    snprintf(path, sizeof path, "%s/server.key", folder);
    if (payload_file_check(urn, "keys", path, engine, why) < 0) return -1;
    if (keyring_secret(folder, way->secret, &wrong) < 0) return fault_set(why, "`%s`: `keys`: %s", urn, wrong.text);
    return 0;
}

int intake_way_guard(intake_way_t *way, const char *urn, const msg_zmq_payload_t *payload, const char *engine, fault_t *why) {
    bool curve = way->binds ? payload->has_keys : payload->has_server_key;
    if (!way->binds && payload->has_keys) return fault_set(why, "`%s`: `keys` are for `bind`; to connect takes a `server_key`", urn);
    if (way->binds && (payload->has_server_key || payload->has_key_file))
        return fault_set(why, "`%s`: `%s` is to connect; `bind` takes a folder of `keys`", urn,
                         payload->has_server_key ? "server_key" : "key_file");
    if (payload->has_key_file && !curve) return fault_set(why, "`%s`: `key_file` needs the `server_key` of the other end", urn);
    if (payload->has_username != payload->has_password_file)
        return fault_set(why, "`%s`: `username` and `password_file` belong together, and one of them is missing", urn);
    if (payload->has_username && curve) return fault_set(why, "`%s`: CURVE knows no `username`: leave it out, or the keys", urn);
    way->guard = curve ? GUARD_CURVE : payload->has_username ? GUARD_PLAIN : GUARD_NONE;
    if (curve && way->binds) return keys_take(way, urn, payload->keys, engine, why);
    if (curve)
        return server_key_take(way, urn, payload->server_key, why) < 0
                   ? -1
                   : key_take(way, urn, payload->has_key_file ? payload->key_file : NULL, engine, why);
    if (way->guard == GUARD_NONE) return 0;
    if (strlen(payload->username) == 0 || strlen(payload->username) >= sizeof way->username)
        return fault_set(why, "`%s`: `username` must have 1 to %d bytes", urn, INTAKE_SECRET_MAX);
    snprintf(way->username, sizeof way->username, "%s", payload->username);
    return payload_password(urn, payload->password_file, engine, way->password, sizeof way->password, why);
}

/* ---- who is let in ---- */

void *intake_porter(void *context) {
    int none = 0;
    void *porter = zmq_socket(context, ZMQ_REP);
    if (!porter) return NULL;
    must(zmq_setsockopt(porter, ZMQ_LINGER, &none, sizeof none) == 0);
    must(zmq_bind(porter, ZAP_ENDPOINT) == 0); /* the context has no other */
    return porter;
}

/* Which frame of a question is what, as far as it matters here. */
enum { ASKED_PARTS = 9, ASKED_ID = 1, ASKED_MECHANISM = 5, ASKED_KEY = 6, ASKED_PASSWORD = 7 };

static bool is_text(const zmq_msg_t *frame, const char *text) {
    return zmq_msg_size(frame) == strlen(text) && memcmp(zmq_msg_data((zmq_msg_t *)(uintptr_t)frame), text, strlen(text)) == 0;
}

static bool is_known(const intake_way_t *way, const zmq_msg_t *key) {
    keyring_t ring;
    fault_t why;
    if (zmq_msg_size(key) != KEY_BYTES || keyring_load(way->keys, &ring, &why) < 0) return false;
    bool known = keyring_find(&ring, zmq_msg_data((zmq_msg_t *)(uintptr_t)key)) != NULL;
    keyring_fini(&ring);
    return known;
}

static bool is_welcome(const intake_way_t *way, const zmq_msg_t *asked, size_t count) {
    if (way->guard == GUARD_CURVE)
        return count > ASKED_KEY && is_text(&asked[ASKED_MECHANISM], "CURVE") && is_known(way, &asked[ASKED_KEY]);
    return count > ASKED_PASSWORD && is_text(&asked[ASKED_MECHANISM], "PLAIN") && is_text(&asked[ASKED_KEY], way->username) &&
           is_text(&asked[ASKED_PASSWORD], way->password);
}

static void reply(void *porter, zmq_msg_t *id, bool welcome) {
    const char *const texts[] = {welcome ? "200" : "400", welcome ? "OK" : "No access", "", ""};
    zmq_send(porter, "1.0", 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_msg_send(id, porter, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    for (size_t i = 0; i < 4; i++) zmq_send(porter, texts[i], strlen(texts[i]), (i < 3 ? ZMQ_SNDMORE : 0) | ZMQ_DONTWAIT);
}

void intake_admit(void *porter, const intake_way_t *way) {
    for (;;) {
        zmq_msg_t asked[ASKED_PARTS];
        size_t count = 0;
        bool more = true, any = true;
        while (more && any) {
            zmq_msg_t beyond, *frame = count < ASKED_PARTS ? &asked[count] : &beyond;
            zmq_msg_init(frame);
            any = zmq_msg_recv(frame, porter, count == 0 ? ZMQ_DONTWAIT : 0) >= 0;
            more = any && zmq_msg_more(frame);
            if (any && frame != &beyond)
                count++;
            else
                zmq_msg_close(frame);
        }
        if (count > ASKED_ID) reply(porter, &asked[ASKED_ID], is_welcome(way, asked, count));
        for (size_t i = 0; i < count; i++) zmq_msg_close(&asked[i]);
        if (count == 0) return;
    }
}
