/* The one place that knows ZAP's frames. Whatever is not a plain yes of the authenticator is a no: a refusal, an answer that cannot be read. */
#include "zap.h"

#include <stdio.h>
#include <string.h>

#include "../../messages/codec.h"
#include "../../messages/wire.h"

enum { DOMAIN = 2, ADDRESS, IDENTITY, MECHANISM, KEY };

/* Text of libzmq's own making, but the address may come from an ipc peer. */
static const char *text_of(const frame_t *frames, size_t count, size_t i, char *room, size_t size) {
    bytes_t bytes = i < count ? frame_bytes(&frames[i]) : (bytes_t){0};
    size_t kept = 0;
    for (size_t k = 0; k < bytes.size && kept + 1 < size; k++)
        if (bytes.data[k] > ' ' && bytes.data[k] <= '~') room[kept++] = (char)bytes.data[k];
    room[kept] = '\0';
    return room;
}

void zap_question(const frame_t *frames, size_t count, frame_t *ret_message) {
    char endpoint[64], address[256], mechanism[32];
    msg_zap_admit_t ask = {.endpoint = text_of(frames, count, DOMAIN, endpoint, sizeof endpoint),
                           .address = text_of(frames, count, ADDRESS, address, sizeof address),
                           .mechanism = text_of(frames, count, MECHANISM, mechanism, sizeof mechanism),
                           .key = KEY < count ? frame_bytes(&frames[KEY]) : (bytes_t){(const uint8_t *)"", 0}};
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    message_encode(MSG_ZAP_ADMIT, &ask, true, (bytes_t){0}, &out);
    frame_copy_of(ret_message, (bytes_t){(const uint8_t *)out.data, out.size});
    msgpack_sbuffer_destroy(&out);
}

static const char *user_in(const frame_t *answer, size_t *ret_size) {
    bytes_t bytes = frame_bytes(answer), ok, user;
    const char *text;
    bool yes = wire_map_get(bytes, "ok", &ok) && ok.size == 1 && ok.data[0] == 0xc3;
    if (yes && wire_map_get(bytes, "user", &user) && wire_text(user, &text, ret_size) && *ret_size > 0) return text;
    return NULL;
}

bool zap_reply(void *socket, const frame_t *answer) {
    size_t size = 0;
    const char *user = user_in(answer, &size);
    const char *const texts[] = {"1.0", "1", user ? "200" : "400", user ? "OK" : "No access"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (zmq_send(socket, texts[i], strlen(texts[i]), ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) return false;
    return zmq_send(socket, user ? user : "", size, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 && zmq_send(socket, "", 0, ZMQ_DONTWAIT) >= 0;
}
