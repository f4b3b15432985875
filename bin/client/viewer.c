/* Reads one replay.
 * Credit is what the engine may send ahead of this reader: enough that the two never wait for each other at full speed, and returned in
 * quarters, so that it costs next to nothing. The engine pings where it has nothing to send, so long silence means that it is gone. */
#include "viewer.h"

#include <string.h>

#include "../../messages/wire.h"
#include "units.h"

enum { CREDIT = 8 * 1024 * 1024, SILENCE_MS = 6000 /* three pings */ };

status_t viewer_open(viewer_t *viewer, client_t *client, msg_replay_open_t *ask) {
    *viewer = (viewer_t){.client = client};
    status_t status = client_open_where(client, WHERE_TEST_STREAM, &viewer->channel);
    if (status != STATUS_OK) {
        return status;
    }
    letter_init(&viewer->letter);
    must(msgpack_zone_init(&viewer->zone, MSGPACK_ZONE_CHUNK_SIZE));
    viewer->held = true;
    ask->has_credit = true;
    ask->credit = CREDIT;
    status = client_ask_on(client, &viewer->channel, MSG_REPLAY_OPEN, ask, client->timeout_ms, &viewer->opened);
    if (status == STATUS_OK) {
        viewer->replay = ((const msg_replay_t *)viewer->opened.message)->replay;
    }
    return status;
}

void viewer_close(viewer_t *viewer) {
    if (viewer->channel.socket && viewer->replay && viewer->event.id != MSG_END) {
        static const uint8_t id[] = {0x01};
        msg_replay_close_t ask = {.has_replay = true, .replay = viewer->replay};
        channel_send(&viewer->channel, MSG_REPLAY_CLOSE, &ask, (bytes_t){id, sizeof id}, NULL);
    }
    if (viewer->held) {
        letter_fini(&viewer->letter);
        msgpack_zone_destroy(&viewer->zone);
    }
    reply_fini(&viewer->opened);
    channel_close(&viewer->channel);
    *viewer = (viewer_t){0};
}

static void credit_return(viewer_t *viewer) {
    viewer->owed += (int64_t)(viewer->letter.head.size + viewer->letter.body.size);
    if (viewer->owed < CREDIT / 4) {
        return;
    }
    msg_replay_credit_t more = {.has_replay = true, .replay = viewer->replay, .has_bytes = true, .bytes = viewer->owed};
    if (channel_send(&viewer->channel, MSG_REPLAY_CREDIT, &more, (bytes_t){0}, NULL)) {
        viewer->owed = 0;
    }
}

/* An event of this replay: 1; something else: 0; what cannot be: -1 and client->no. */
static int event_decode(viewer_t *viewer) {
    refusal_t *no = &viewer->client->no;
    bytes_t head = viewer->letter.head, value;
    const char *name;
    size_t size;
    if (!wire_map_get(head, "event", &value) || !wire_text(value, &name, &size)) {
        /* Only what this client sends is answered, and credit is refused where the engine does not know the replay. */
        bool refused = wire_map_get(head, "ok", &value) && value.size == 1 && value.data[0] == 0xc2 && refusal_decode(head, no) == 0;
        return refused ? -1 : 0;
    }
    message_id_t id = message_find(SCOPE_TEST_STREAM, name, size);
    if (id == MSG_NONE || message_class(id)->kind != KIND_EVENT) {
        return 0;
    }
    must(message_class(id)->record.size <= sizeof viewer->event.as);
    msgpack_zone_clear(&viewer->zone);
    if (message_decode(id, head, &viewer->zone, &viewer->event.as, no) == -1) {
        return -1;
    }
    uint32_t count = 0;
    if (id == MSG_ELEMENTS && wire_body_check(viewer->letter.body, &count, no) == -1) {
        return -1;
    }
    if (id == MSG_ELEMENTS && count != viewer->event.as.elements.count) {
        refuse(no, ERROR_CORRUPT, NULL, "an event says that it has %lld elements, and has %u", (long long)viewer->event.as.elements.count,
               count);
        return -1;
    }
    viewer->event.id = id;
    viewer->event.body = viewer->letter.body;
    return 1;
}

status_t viewer_next(viewer_t *viewer) {
    client_t *client = viewer->client;
    for (;;) {
        int64_t patience = client->timeout_ms > SILENCE_MS ? client->timeout_ms : SILENCE_MS;
        received_t received = channel_receive(&viewer->channel, viewer->channel.heard + patience, &viewer->letter);
        if (received == RECEIVED_INTERRUPT) {
            return STATUS_INTERRUPTED;
        }
        if (received == RECEIVED_NOTHING && channel_clock() >= viewer->channel.heard + patience) {
            return client_fail(client, STATUS_UNREACHABLE, "the engine at %s has been silent for %s: the replay is lost",
                               viewer->channel.endpoint, units_duration(patience * 1000).text);
        }
        if (received != RECEIVED) {
            continue;
        }
        credit_return(viewer);
        int decoded = event_decode(viewer);
        if (decoded == -1) {
            return STATUS_FAILED;
        }
        if (decoded == 1) {
            return STATUS_OK;
        }
    }
}

bool viewer_ready(const viewer_t *viewer) {
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt(viewer->channel.socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN);
}
