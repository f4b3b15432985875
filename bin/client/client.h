/* The engine as the commands see it: asks it, and keeps why it said no. */
#ifndef REPRISE_CLIENT_CLIENT_H
#define REPRISE_CLIENT_CLIENT_H

#include <jansson.h>

#include "../library/channel.h"
#include "../library/reprise.h"

/* Exit statuses. */
typedef enum status {
    STATUS_OK = 0,
    STATUS_FAILED = 1, /* refused, failed, damaged */
    STATUS_USAGE = 2,
    STATUS_UNREACHABLE = 3, /* no engine, or no answer in time */
    STATUS_INTERRUPTED = 130,
} status_t;

typedef struct client {
    const char *engine;           /* the endpoint for commands; borrowed */
    bool engine_given;            /* by --engine, so that hints must repeat it */
    const char *key, *server_key; /* files; NULL: as the environment says */
    bool json;                    /* one JSON document on standard output, and nothing else */
    bool printed;                 /* that document is out */
    int64_t timeout_ms;           /* of one request */
    int64_t reach_ms;             /* to wait for a connection */
    void *context;
    credentials_t credentials;
    channel_t commands;
    uint64_t asked; /* requests so far: the next one's id */
    int interrupts; /* a signalfd, -1 before client_catch_interrupts */
    refusal_t no;   /* why the last thing failed; the message is empty where that has been said already */
} client_t;

/* An answer; zero before its first use, and may be used again. */
typedef struct reply {
    letter_t letter;
    bytes_t raw; /* the whole map */
    msgpack_zone zone;
    bool held;
    const void *message; /* of the class that answers the request */
} reply_t;

void client_init(client_t *client);
void client_fini(client_t *client);

/* Asks on the commands endpoint. What is not STATUS_OK leaves why in client->no. */
status_t client_ask(client_t *client, message_id_t id, const void *message, reply_t *reply);
status_t client_ask_within(client_t *client, message_id_t id, const void *message, int64_t timeout_ms, reply_t *reply);
/* As client_ask, but goes on asking while the engine restarts or a part of it does, until the time-out; `patience_ms` is for one answer, as
 * what was sent into a restart has none. For requests that may be sent twice. */
status_t client_ask_again(client_t *client, message_id_t id, const void *message, int64_t patience_ms, reply_t *reply);
void reply_fini(reply_t *reply);

/* Opens a channel to another of the engine's endpoints: the one in `endpoint`, reachable from here, and waits for the connection. */
status_t client_open(client_t *client, const char *endpoint, unsigned scope, channel_t *channel);
typedef enum where { WHERE_INGEST, WHERE_TEST_STREAM } where_t;
status_t client_open_where(client_t *client, where_t where, channel_t *channel);

/* The same engine through libreprise, for feeds and replays: whoever gets it disconnects it. Its waits end with Ctrl-C, too. */
status_t client_library(client_t *client, reprise_t **ret_engine);
/* Sets client->no from an error of libreprise and returns the status. */
status_t client_problem(client_t *client, const reprise_error_t *error);

/* Asks on a channel of another endpoint, and waits for its answer; what else comes in meanwhile is dropped. */
status_t client_ask_on(client_t *client, channel_t *channel, message_id_t id, const void *message, int64_t timeout_ms, reply_t *reply);

/* From here on Ctrl-C does not end the process but interrupts the waits, with STATUS_INTERRUPTED. */
void client_catch_interrupts(client_t *client);
/* Takes what was caught, so that the next wait can wait. */
void client_interrupt_taken(client_t *client);

/* Sets client->no and returns the status. */
status_t client_fail(client_t *client, status_t status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Does client->no have this code? */
bool client_refused(const client_t *client, error_code_t code);

/* Prints the answer as a JSON document, without the id. */
void client_print(client_t *client, const reply_t *reply);
void client_print_json(client_t *client, json_t *json); /* takes the reference */
/* The answer as JSON, without `id` and `ok`. */
json_t *reply_json(const reply_t *reply);

/* A recording by its own name, or else a pipeline's: `ret_by_pipeline` tells which. The answer is a msg_recording_t. */
status_t client_find_recording(client_t *client, const char *name, reply_t *reply, bool *ret_by_pipeline);
/* Fails where the engine knows no pipeline of that name: `name` is `otherwise`. What a request changes of one that is not there is nothing, and
 * no error; whoever typed the name wants to know. */
status_t client_know_pipeline(client_t *client, const char *name, const char *otherwise);

#endif
