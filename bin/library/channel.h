/* One connection to one endpoint of the engine: messages out, messages in, and no wait without an end. */
#ifndef REPRISE_LIBRARY_CHANNEL_H
#define REPRISE_LIBRARY_CHANNEL_H

#include <zmq.h>

#include "../../messages/codec.h"
#include "../../messages/fault.h"
#include "credentials.h"

typedef struct channel {
    void *socket;   /* a DEALER */
    void *monitor;  /* hears that the connection is lost; NULL: nobody listens */
    unsigned scope; /* the messages spoken there */
    int interrupts; /* a descriptor that is readable once the user wants to stop; -1: none */
    int64_t heard;  /* when the engine last said anything, in ms of channel_clock */
    char endpoint[512];
    msgpack_sbuffer out; /* reused for each message */
} channel_t;

/* What has come in: valid until the next one. */
typedef struct letter {
    zmq_msg_t frames[2];
    bytes_t head; /* a msgpack map, walked */
    bytes_t body; /* the second frame; data is NULL where there is none */
} letter_t;

typedef enum received { RECEIVED, RECEIVED_NOTHING, RECEIVED_INTERRUPT, RECEIVED_LOST } received_t;

int64_t channel_clock(void); /* ms of a clock that never jumps */

/* Connects in the background; -1 where the endpoint is no endpoint. */
int channel_open(channel_t *channel, void *context, const char *endpoint, unsigned scope, int interrupts, fault_t *why);
/* The same to an engine with keys. */
int channel_open_with(channel_t *channel, void *context, const char *endpoint, unsigned scope, int interrupts,
                      const credentials_t *credentials, fault_t *why);
void channel_close(channel_t *channel); /* accepts one that is zero or closed; what was sent still goes out for 200 ms */

/* From here on channel_receive tells once, by RECEIVED_LOST, that the connection was lost. -1 where there are too many sockets. */
int channel_watch(channel_t *channel, void *context, fault_t *why);
/* Was it, since the last time? For those that poll `monitor` themselves. */
bool channel_was_lost(channel_t *channel);

/* Waits until there is a connection to send on. */
received_t channel_reach(channel_t *channel, int64_t deadline);

/* Sends a message, `op` first and with `echo` (a msgpack value, or size 0) as its id. `body` may be NULL and is copied from.
 * False where there is no connection: then nothing was sent. */
bool channel_send(channel_t *channel, message_id_t id, const void *message, bytes_t echo, const bytes_t *body);
/* The same with a body that is handed over, and closed where there is no connection. */
bool channel_send_frame(channel_t *channel, message_id_t id, const void *message, zmq_msg_t *body);

/* The next message but pings, which are answered here. Frames that are not msgpack, which no engine sends, are dropped. */
received_t channel_receive(channel_t *channel, int64_t deadline, letter_t *letter);
void letter_init(letter_t *letter);
void letter_fini(letter_t *letter);
void letter_move(letter_t *to, letter_t *from); /* `to` was initialised; `from` is empty afterwards */

/* A number as a msgpack value, for an id. */
typedef struct echo {
    uint8_t data[9];
} echo_t;
echo_t echo_of(uint64_t number);
/* Does this answer bear it? */
bool echo_is(bytes_t head, uint64_t number);

/* `endpoint`, where it names no host of its own (`tcp://0.0.0.0:5572`), with the host of `engine`. */
void channel_reachable(const char *endpoint, const char *engine, char *ret_endpoint, size_t size);

#endif
