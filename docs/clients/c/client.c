/* Runs a pipeline whose elements are pushed, feeds it, and prints its test stream as JSON lines.
 *
 *     client [--engine tcp://127.0.0.1:5570] PIPELINE COUNT
 *
 * The first time it records COUNT elements; after that the recording is valid, and is only replayed.
 * Where the engine has keys, REPRISE_KEY names the file of ours (NAME.key) and REPRISE_SERVER_KEY the engine's (server.pub).
 * Build it with: cc client.c -o client $(pkg-config --cflags --libs libzmq msgpack) */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <inttypes.h>
#include <msgpack.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

enum {
    TIMEOUT_MS = 10000, /* the engine says something at least every 2 s */
    CREDIT = 1 << 20,   /* bytes of events that may be under way to us */
    BATCH = 100,
};

/* A message that arrived, and the elements in its second frame, if there is one. What is unpacked points into the frames: they stay. */
typedef struct message {
    zmq_msg_t frames[2];
    msgpack_unpacked map, elements;
    bool has_elements;
    int64_t size; /* bytes of its frames: credit counts them */
} message_t;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "client: %s: %s\n", what, why);
    exit(1);
}

/* Tells a socket the key that stands as `name` in a file. */
static void use_key(void *socket, int option, const char *file, const char *name) {
    char line[512], found[64], key[64] = "";
    FILE *open = fopen(file, "r");
    if (!open) fail(file, "cannot be read");
    while (fgets(line, sizeof line, open) && !(sscanf(line, " %63[a-z-] = \"%63[^\"]", found, key) == 2 && strcmp(found, name) == 0))
        key[0] = 0;
    fclose(open);
    if (zmq_setsockopt(socket, option, key, strlen(key) + 1) < 0) fail(file, "has no such key");
}

static void *connect_to(void *context, const char *endpoint) {
    void *socket = zmq_socket(context, ZMQ_DEALER);
    int timeout = TIMEOUT_MS + 1000, linger = 0;
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout, sizeof timeout);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    const char *own = getenv("REPRISE_KEY"), *server = getenv("REPRISE_SERVER_KEY");
    if (own && server) {
        use_key(socket, ZMQ_CURVE_SERVERKEY, server, "public-key");
        use_key(socket, ZMQ_CURVE_PUBLICKEY, own, "public-key");
        use_key(socket, ZMQ_CURVE_SECRETKEY, own, "secret-key");
    }
    if (zmq_connect(socket, endpoint) < 0) fail(endpoint, zmq_strerror(zmq_errno()));
    return socket;
}

/* ---- messages out: begin, a few fields, send ---- */

static msgpack_sbuffer out;
static msgpack_packer pack;

static void pack_text(const char *text) {
    msgpack_pack_str_with_body(&pack, text, strlen(text));
}

static void field_text(const char *key, const char *value) {
    pack_text(key);
    pack_text(value);
}

static void field_int(const char *key, int64_t value) {
    pack_text(key);
    msgpack_pack_int64(&pack, value);
}

static void begin(const char *op, size_t fields) {
    msgpack_sbuffer_clear(&out);
    msgpack_packer_init(&pack, &out, msgpack_sbuffer_write);
    msgpack_pack_map(&pack, fields + 1);
    field_text("op", op);
}

/* Returns the bytes of both frames. */
static int64_t send_it(void *socket, const msgpack_sbuffer *body) {
    if (zmq_send(socket, out.data, out.size, body ? ZMQ_SNDMORE : 0) < 0 || (body && zmq_send(socket, body->data, body->size, 0) < 0))
        fail("cannot send", zmq_strerror(zmq_errno()));
    return (int64_t)(out.size + (body ? body->size : 0));
}

/* ---- messages in ---- */

static const msgpack_object *find(const msgpack_object *map, const char *key) {
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_str *found = &map->via.map.ptr[i].key.via.str;
        if (found->size == strlen(key) && memcmp(found->ptr, key, found->size) == 0) return &map->via.map.ptr[i].val;
    }
    return NULL;
}

static bool is(const msgpack_object *map, const char *key, const char *text) {
    const msgpack_object *value = find(map, key);
    return value && value->via.str.size == strlen(text) && memcmp(value->via.str.ptr, text, strlen(text)) == 0;
}

static bool is_true(const msgpack_object *map, const char *key) {
    const msgpack_object *value = find(map, key);
    return value && value->via.boolean;
}

static int64_t int_of(const msgpack_object *map, const char *key) {
    return find(map, key)->via.i64;
}

/* To be freed. */
static char *text_of(const msgpack_object *map, const char *key) {
    return strndup(find(map, key)->via.str.ptr, find(map, key)->via.str.size);
}

/* Negative: the engine is silent. */
static int64_t receive_frame(void *socket, zmq_msg_t *frame, msgpack_unpacked *ret) {
    zmq_msg_init(frame);
    int size = zmq_msg_recv(frame, socket, 0);
    if (size < 0 && zmq_errno() == EAGAIN) return -1;
    if (size < 0) fail("cannot receive", zmq_strerror(zmq_errno()));
    msgpack_unpacked_init(ret);
    if (msgpack_unpack_next(ret, zmq_msg_data(frame), (size_t)size, NULL) != MSGPACK_UNPACK_SUCCESS) fail("the engine", "no msgpack");
    return size;
}

static void message_free(message_t *message) {
    msgpack_unpacked_destroy(&message->map);
    zmq_msg_close(&message->frames[0]);
    if (!message->has_elements) return;
    msgpack_unpacked_destroy(&message->elements);
    zmq_msg_close(&message->frames[1]);
}

/* The next message that is no ping; NULL, and nothing to free, if the engine is silent. */
static const msgpack_object *receive(void *socket, message_t *ret) {
    for (;;) {
        int more = 0;
        size_t size = sizeof more;
        ret->size = receive_frame(socket, &ret->frames[0], &ret->map);
        if (ret->size < 0) return NULL;
        zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size);
        ret->has_elements = more != 0;
        if (more) ret->size += receive_frame(socket, &ret->frames[1], &ret->elements);
        if (!is(&ret->map.data, "op", "ping")) return &ret->map.data;
        message_free(ret);
        begin("pong", 0);
        send_it(socket, NULL);
    }
}

/* Sends the request that was begun and waits for its answer; NULL if the engine is silent. */
static const msgpack_object *answer_to(void *socket, message_t *ret) {
    send_it(socket, NULL);
    for (;; message_free(ret)) {
        const msgpack_object *answer = receive(socket, ret);
        if (!answer || find(answer, "ok")) return answer;
    }
}

/* The answer, which must be one and no error. */
static const msgpack_object *need(const msgpack_object *answer) {
    if (!answer) fail("the engine", "is silent");
    if (!is_true(answer, "ok")) fail(text_of(find(answer, "error"), "code"), text_of(find(answer, "error"), "message"));
    return answer;
}

static const msgpack_object *ask(void *socket, message_t *ret) {
    return need(answer_to(socket, ret));
}

/* ---- recording ---- */

typedef struct feed {
    void *ingest;
    const char *pipeline;
    int64_t source, credit;           /* of the attachment */
    int64_t next, acked, last, count; /* batches, from 1; elements in all */
    int64_t unacked, *sizes;          /* bytes: of all batches under way, and of each */
    bool done;                        /* its end was told */
    msgpack_sbuffer body;
} feed_t;

/* The engine knows how far a producer has come: `next_seq` tells where to go on. A batch that arrives twice is stored once.
 * False: the end, which we had told, had arrived before we lost the engine. */
static bool feed_attach(feed_t *feed) {
    message_t message;
    begin("source.attach", 3);
    field_text("pipeline", feed->pipeline);
    field_text("tag", "Numbers");
    field_text("producer", "client");
    const msgpack_object *attached = answer_to(feed->ingest, &message), *error = attached ? find(attached, "error") : NULL;
    if (feed->done && error && is(error, "code", "invalid_state")) {
        message_free(&message);
        return false;
    }
    need(attached);
    feed->source = int_of(attached, "source");
    feed->credit = int_of(attached, "credit");
    feed->next = int_of(attached, "next_seq");
    feed->acked = feed->next - 1;
    feed->unacked = 0;
    feed->done = false;
    message_free(&message);
    return true;
}

static void feed_send(feed_t *feed, int64_t now) {
    int64_t first = (feed->next - 1) * BATCH, end = first + BATCH < feed->count ? first + BATCH : feed->count;
    msgpack_packer elements;
    msgpack_sbuffer_clear(&feed->body);
    msgpack_packer_init(&elements, &feed->body, msgpack_sbuffer_write);
    msgpack_pack_array(&elements, (size_t)(end - first));
    for (int64_t i = first; i < end; i++) {
        char payload[32];
        size_t size = (size_t)snprintf(payload, sizeof payload, "number %" PRId64, i);
        msgpack_pack_array(&elements, 2);
        msgpack_pack_int64(&elements, now + i); /* the event time, in µs since the epoch */
        msgpack_pack_bin_with_body(&elements, payload, size);
    }
    begin("source.batch", 3);
    field_int("source", feed->source);
    field_text("tag", "Numbers");
    field_int("seq", feed->next);
    feed->unacked += feed->sizes[feed->next++] = send_it(feed->ingest, &feed->body);
}

/* True when it is over: the engine knows that the source has ended, or the job takes no more, because of a limit for example. */
static bool feed_listen(feed_t *feed) {
    message_t message;
    const msgpack_object *said = receive(feed->ingest, &message), *error = said ? find(said, "error") : NULL;
    if (!said) return !feed_attach(feed); /* the engine pings whom it knows: it was restarted, and what we sent was lost on the way */
    bool mine = !find(said, "source") || int_of(said, "source") == feed->source; /* not about an earlier attachment */
    bool over = mine && (is_true(said, "ok") || is(said, "op", "source.stop")), lost = mine && error && find(error, "retry");
    if (mine && error && !lost) fail(text_of(error, "code"), text_of(error, "message"));
    while (mine && is(said, "op", "source.ack") && feed->acked < int_of(said, "seq")) feed->unacked -= feed->sizes[++feed->acked];
    message_free(&message);
    return over || (lost && !feed_attach(feed)); /* the engine was restarted */
}

static void feed_all(void *ingest, const char *pipeline, int64_t count) {
    struct timespec clock;
    clock_gettime(CLOCK_REALTIME, &clock);
    feed_t feed = {.ingest = ingest, .pipeline = pipeline, .count = count, .last = (count + BATCH - 1) / BATCH};
    feed.sizes = calloc((size_t)feed.last + 1, sizeof *feed.sizes);
    feed_attach(&feed);
    do {
        while (feed.next <= feed.last && feed.unacked < feed.credit) feed_send(&feed, (int64_t)clock.tv_sec * 1000000);
        if (feed.acked < feed.last || feed.done) continue;
        feed.done = true;
        begin("source.done", 2);
        field_int("source", feed.source);
        field_text("tag", "Numbers");
        send_it(ingest, NULL);
    } while (!feed_listen(&feed));
    msgpack_sbuffer_destroy(&feed.body);
    free(feed.sizes);
}

/* ---- replaying ---- */

/* As JSON; bytes are taken to be text. A map gets its `elements`, unless they are NULL. */
static void print_value(const msgpack_object *value, const msgpack_object *elements) {
    switch (value->type) {
    case MSGPACK_OBJECT_STR:
    case MSGPACK_OBJECT_BIN:
        putchar('"');
        for (uint32_t i = 0; i < value->via.str.size; i++) {
            unsigned char c = (unsigned char)value->via.str.ptr[i];
            printf(c < 0x20 ? "\\u%04x" : c == '"' || c == '\\' ? "\\%c" : "%c", c);
        }
        putchar('"');
        break;
    case MSGPACK_OBJECT_ARRAY:
        putchar('[');
        for (uint32_t i = 0; i < value->via.array.size; i++) {
            if (i > 0) putchar(',');
            print_value(&value->via.array.ptr[i], NULL);
        }
        putchar(']');
        break;
    case MSGPACK_OBJECT_MAP:
        putchar('{');
        for (uint32_t i = 0; i < value->via.map.size; i++) {
            if (i > 0) putchar(',');
            print_value(&value->via.map.ptr[i].key, NULL);
            putchar(':');
            print_value(&value->via.map.ptr[i].val, NULL);
        }
        if (elements) {
            printf(",\"elements\":");
            print_value(elements, NULL);
        }
        putchar('}');
        break;
    default: msgpack_object_print(stdout, *value);
    }
}

static void replay(void *stream, const char *pipeline) {
    message_t message;
    begin("replay.open", 2);
    field_text("pipeline", pipeline);
    field_int("credit", CREDIT);
    int64_t number = int_of(ask(stream, &message), "replay"), spent = 0;
    message_free(&message);
    for (bool end = false; !end; message_free(&message)) {
        const msgpack_object *event = receive(stream, &message);
        if (!event) fail("the engine", "is silent");
        end = is(event, "event", "end");
        print_value(event, message.has_elements ? &message.elements.data : NULL);
        putchar('\n');
        spent += message.size;
        if (spent < CREDIT / 2) continue;
        begin("replay.credit", 2);
        field_int("replay", number);
        field_int("bytes", spent);
        send_it(stream, NULL);
        spent = 0;
    }
}

/* ---- the whole ---- */

static char *endpoint(void *commands, const char *name) {
    message_t message;
    begin("engine.info", 0);
    char *found = text_of(find(ask(commands, &message), "endpoints"), name);
    message_free(&message);
    return found;
}

/* True when the recording waits for elements. */
static bool run(void *commands, const char *pipeline) {
    message_t message;
    begin("pipeline.run", 1);
    pack_text("pipeline");
    msgpack_pack_map(&pack, 2);
    field_text("name", pipeline);
    pack_text("transforms");
    msgpack_pack_array(&pack, 1);
    msgpack_pack_map(&pack, 2);
    field_text("name", "Numbers");
    field_text("urn", "reprise:source:push:v1");
    const msgpack_object *answer = ask(commands, &message);
    bool waits = is_true(answer, "started") || is(answer, "reason", "job_running");
    char *recording = text_of(answer, "recording"), *reason = text_of(answer, "reason");
    fprintf(stderr, "%s: %s\n", recording, reason);
    free(recording);
    free(reason);
    message_free(&message);
    return waits;
}

static void wait_for_end(void *commands, const char *pipeline) {
    message_t message;
    const msgpack_object *job = NULL;
    for (int asked = 0; !job && asked < 2; asked++) { /* the engine that was asked first may be gone, and another in its place */
        begin("job.wait", 2);
        field_text("pipeline", pipeline);
        field_int("timeout_ms", TIMEOUT_MS);
        job = answer_to(commands, &message);
    }
    need(job);
    char *state = text_of(job, "state");
    fprintf(stderr, "%s: %" PRId64 " elements recorded\n", state, int_of(job, "elements"));
    free(state);
    message_free(&message);
}

int main(int argc, char **argv) {
    bool given = argc == 5 && strcmp(argv[1], "--engine") == 0;
    if (!given && argc != 3) {
        fprintf(stderr, "usage: client [--engine ENDPOINT] PIPELINE COUNT\n");
        return 2;
    }
    const char *pipeline = argv[argc - 2];
    void *context = zmq_ctx_new(), *commands = connect_to(context, given ? argv[2] : "tcp://127.0.0.1:5570");
    char *places[] = {endpoint(commands, "ingest"), endpoint(commands, "test_stream")};
    void *ingest = connect_to(context, places[0]), *stream = connect_to(context, places[1]);
    if (run(commands, pipeline)) feed_all(ingest, pipeline, strtoll(argv[argc - 1], NULL, 10));
    wait_for_end(commands, pipeline);
    replay(stream, pipeline);
    void *sockets[] = {commands, ingest, stream};
    for (size_t i = 0; i < 3; i++) zmq_close(sockets[i]);
    zmq_ctx_term(context);
    msgpack_sbuffer_destroy(&out);
    free(places[0]);
    free(places[1]);
    return 0;
}
