/* Why libnats' event loop and not its callbacks: they come in threads of its own, and each message would be handed to the actor through a pipe.
 * So the actor's descriptor is the socket's, and what it does not read stays with the server, which is the back-pressure.
 *
 * libnats' own reconnecting is off: it would keep its reasons and its waiting to itself, and a NATS subject has no position to go on from anyway.
 * Its pings are off, too, as they come from its timer's thread; the source asks for an echo where it hears nothing. */
#include "nats_link.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "payload.h"

enum {
    SECRET_MAX = 4096,
    SERVERS_MAX = 16,
    SERVER_TEXT = 300,
    READ_BYTES = 256 * 1024, /* at once */
    CONNECT_MS = 3000,       /* that one server may take */
    PART_MS = 1000,
    PART_READS = 10000, /* of what had been on its way */
};

typedef enum dial_stage { DIAL_UNDER_WAY, DIAL_OVER, DIAL_LEFT } dial_stage_t;

struct nats_dial {
    atomic_int stage; /* who comes second to change it from DIAL_UNDER_WAY has the rest */
    int over;         /* an eventfd */
    natsOptions *options;
    nats_link_t *link;
    natsStatus status;
    fault_t why;
};

/* ---- the event loop ---- */

static natsStatus on_attach(void **ret_user, void *loop, natsConnection *connection, natsSock descriptor) {
    nats_link_t *link = loop;
    (void)connection;
    link->descriptor = dup(descriptor);
    *ret_user = link;
    return link->descriptor >= 0 ? NATS_OK : NATS_SYS_ERROR;
}

static natsStatus on_read_wanted(void *user, bool wanted) {
    (void)user, (void)wanted;
    return NATS_OK;
}

static natsStatus on_write_wanted(void *user, bool wanted) {
    nats_link_t *link = user;
    link->wants_write = wanted;
    return NATS_OK;
}

static natsStatus on_detach(void *user) {
    (void)user;
    return NATS_OK;
}

/* libnats prints errors where nobody handles them; they are asked for instead. */
static void on_error(natsConnection *connection, natsSubscription *subscription, natsStatus status, void *user) {
    (void)connection, (void)subscription, (void)status, (void)user;
}

/* ---- who the engine is ---- */

/* libnats puts these into the JSON of its greeting as they are. */
static char *json_inside(const char *text) {
    json_t *string = json_string(text);
    char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
    json_decref(string);
    if (!quoted) return NULL;
    size_t size = strlen(quoted);
    memmove(quoted, quoted + 1, size - 1);
    quoted[size - 2] = '\0';
    return quoted;
}

/* The secret in a file as libnats takes it, to be freed; "" where no file is given. NULL: it cannot be used. */
static char *secret_take(const nats_access_t *access, const char *field, const char *path, fault_t *why) {
    char secret[SECRET_MAX] = "";
    if (path && payload_secret(access->urn, field, path, access->keys, secret, sizeof secret, why) < 0) return NULL;
    char *inside = json_inside(secret);
    explicit_bzero(secret, sizeof secret);
    if (!inside) fault_set(why, "`%s`: `%s`: %s holds no UTF-8", access->urn, field, path);
    return inside;
}

static int who_set(const nats_access_t *access, natsOptions *options, fault_t *why) {
    const char *field = access->username ? "password_file" : "token_file";
    char *name = access->username ? json_inside(access->username) : NULL;
    char *secret = secret_take(access, field, access->username ? access->password_file : access->token_file, why);
    natsStatus status = NATS_OK;
    if (secret && name) status = natsOptions_SetUserInfo(options, name, secret);
    if (secret && !name && secret[0]) status = natsOptions_SetToken(options, secret);
    if (secret && access->creds) status = natsOptions_SetUserCredentialsFromFiles(options, access->creds, NULL);
    must(status == NATS_OK);
    bool taken = secret != NULL;
    if (taken) explicit_bzero(secret, strlen(secret));
    free(secret);
    free(name);
    return taken ? 0 : -1;
}

static int tls_set(const nats_access_t *access, natsOptions *options, fault_t *why) {
    if (!access->tls) return 0;
    if (natsOptions_SetSecure(options, true) != NATS_OK) return fault_set(why, "`%s`: `tls`: %s", access->urn, nats_GetLastError(NULL));
    if (access->tls_ca && natsOptions_LoadCATrustedCertificates(options, access->tls_ca) != NATS_OK)
        return fault_set(why, "`%s`: `tls_ca`: cannot use %s: %s", access->urn, access->tls_ca, nats_GetLastError(NULL));
    if (access->tls_cert && natsOptions_LoadCertificatesChain(options, access->tls_cert, access->tls_key) != NATS_OK)
        return fault_set(why, "`%s`: `tls_cert`: cannot use %s with the key %s: %s", access->urn, access->tls_cert, access->tls_key,
                         nats_GetLastError(NULL));
    return 0;
}

/* ---- options ---- */

static int servers_set(const nats_access_t *access, natsOptions *options, fault_t *why) {
    char urls[SERVERS_MAX][SERVER_TEXT];
    const char *list[SERVERS_MAX];
    int count = 0;
    for (const char *at = access->server; at; count++) {
        const char *comma = strchr(at, ',');
        size_t size = comma ? (size_t)(comma - at) : strlen(at);
        if (count == SERVERS_MAX) return fault_set(why, "`%s`: `server` names more than %d", access->urn, SERVERS_MAX);
        if (size == 0 || size > SERVER_TEXT - 16 || memchr(at, '@', size) || memchr(at, '/', size))
            return fault_set(why, "`%s`: `server` must be host:port, or several with commas, not `%.64s`", access->urn, access->server);
        snprintf(urls[count], SERVER_TEXT, "%s://%.*s", access->tls ? "tls" : "nats", (int)size, at);
        list[count] = urls[count];
        at = comma ? comma + 1 : NULL;
    }
    if (natsOptions_SetServers(options, list, count) == NATS_OK) return 0;
    return fault_set(why, "`%s`: `server`: %s", access->urn, nats_GetLastError(NULL));
}

static natsOptions *options_create(const nats_access_t *access, nats_link_t *link, fault_t *why) {
    natsOptions *options = NULL;
    must(natsOptions_Create(&options) == NATS_OK);
    must(natsOptions_SetAllowReconnect(options, false) == NATS_OK && natsOptions_SetSendAsap(options, true) == NATS_OK &&
         natsOptions_SetPingInterval(options, 0) == NATS_OK && natsOptions_SetIOBufSize(options, READ_BYTES) == NATS_OK &&
         natsOptions_SetTimeout(options, CONNECT_MS) == NATS_OK && natsOptions_SetName(options, "reprise") == NATS_OK &&
         natsOptions_SetErrorHandler(options, on_error, NULL) == NATS_OK &&
         natsOptions_SetEventLoop(options, link, on_attach, on_read_wanted, on_write_wanted, on_detach) == NATS_OK);
    if (servers_set(access, options, why) == 0 && who_set(access, options, why) == 0 && tls_set(access, options, why) == 0) return options;
    natsOptions_Destroy(options);
    return NULL;
}

static int together_check(const nats_access_t *access, fault_t *why) {
    if ((access->username != NULL) + (access->token_file != NULL) + (access->creds != NULL) > 1)
        return fault_set(why, "`%s`: only one of `username`, `token_file` and `creds` can say who the engine is", access->urn);
    if (access->password_file && !access->username) return fault_set(why, "`%s`: `password_file` needs a `username`", access->urn);
    if (!access->tls_cert != !access->tls_key) return fault_set(why, "`%s`: `tls_cert` and `tls_key` go together", access->urn);
    return 0;
}

int nats_access_check(const nats_access_t *access, fault_t *why) {
    const char *const files[][2] = {
        {"creds", access->creds}, {"tls_ca", access->tls_ca}, {"tls_cert", access->tls_cert}, {"tls_key", access->tls_key}};
    nats_link_t link = {.descriptor = -1};
    if (together_check(access, why) < 0) return -1;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (!files[i][1]) continue;
        if (payload_file_check(access->urn, files[i][0], files[i][1], access->keys, why) < 0) return -1;
        if (euidaccess(files[i][1], R_OK) < 0) return fault_errno(why, "`%s`: `%s`: cannot read %s", access->urn, files[i][0], files[i][1]);
    }
    natsOptions *options = options_create(access, &link, why);
    natsOptions_Destroy(options);
    return options ? 0 : -1;
}

/* ---- connecting ---- */

static void dial_free(nats_dial_t *dial) {
    if (dial->link) nats_link_close(&dial->link);
    natsOptions_Destroy(dial->options);
    close(dial->over);
    free(dial);
}

static void *dial_run(void *argument) {
    nats_dial_t *dial = argument;
    dial->status = natsConnection_Connect(&dial->link->connection, dial->options);
    if (dial->status != NATS_OK) {
        const char *said = nats_GetLastError(NULL);
        fault_set(&dial->why, "%s", said && said[0] ? said : natsStatus_GetText(dial->status));
    }
    nats_ReleaseThreadMemory();
    must(eventfd_write(dial->over, 1) == 0);
    if (atomic_exchange(&dial->stage, DIAL_OVER) == DIAL_LEFT) dial_free(dial);
    return NULL;
}

/* A thread that nobody waits for. */
static void thread_start(void *(*run)(void *), void *argument) {
    pthread_t thread;
    pthread_attr_t attributes;
    must(pthread_attr_init(&attributes) == 0 && pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
    must(pthread_create(&thread, &attributes, run, argument) == 0);
    pthread_attr_destroy(&attributes);
}

nats_dial_t *nats_dial_start(const nats_access_t *access, fault_t *why) {
    nats_link_t *link = calloc(1, sizeof *link);
    must(link);
    link->descriptor = -1;
    natsOptions *options = options_create(access, link, why);
    if (!options) {
        free(link);
        return NULL;
    }
    nats_dial_t *dial = calloc(1, sizeof *dial);
    must(dial);
    dial->link = link;
    dial->options = options;
    dial->over = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    must(dial->over >= 0);
    thread_start(dial_run, dial);
    return dial;
}

int nats_dial_descriptor(const nats_dial_t *dial) {
    return dial->over;
}

nats_dialled_t nats_dial_end(nats_dial_t **dial, nats_link_t **ret_link, fault_t *why) {
    nats_dial_t *ended = *dial;
    if (atomic_load(&ended->stage) != DIAL_OVER) return NATS_DIALLING;
    *dial = NULL;
    natsStatus status = ended->status;
    if (status == NATS_OK) {
        *ret_link = ended->link;
        ended->link = NULL;
    } else {
        *why = ended->why;
    }
    dial_free(ended);
    if (status == NATS_OK) return NATS_DIALLED;
    return status == NATS_CONNECTION_AUTH_FAILED || status == NATS_INVALID_ARG ? NATS_REFUSED : NATS_UNREACHED;
}

void nats_dial_leave(nats_dial_t **dial) {
    nats_dial_t *left = *dial;
    *dial = NULL;
    if (left && atomic_exchange(&left->stage, DIAL_LEFT) == DIAL_OVER) dial_free(left);
}

/* ---- connected ---- */

void nats_link_read(nats_link_t *link) {
    natsConnection_ProcessReadEvent(link->connection);
}

void nats_link_write(nats_link_t *link) {
    natsConnection_ProcessWriteEvent(link->connection);
}

nats_health_t nats_link_health(nats_link_t *link, fault_t *why) {
    const char *said = NULL;
    bool is_closed = natsConnection_IsClosed(link->connection);
    natsStatus status = natsConnection_GetLastError(link->connection, &said);
    if (!is_closed && status != NATS_NOT_PERMITTED) return NATS_WELL;
    fault_set(why, "%s", said && said[0] ? said : natsStatus_GetText(status));
    return status == NATS_NOT_PERMITTED ? NATS_FORBIDDEN : NATS_CLOSED;
}

/* libnats would wait for what is not written yet: then the socket is shut, and it closes at once. */
void nats_link_close(nats_link_t **link) {
    nats_link_t *closed = *link;
    *link = NULL;
    if (!closed) return;
    if (closed->connection && closed->wants_write) nats_link_write(closed);
    if (closed->connection && closed->wants_write) {
        shutdown(closed->descriptor, SHUT_RDWR);
        nats_link_read(closed);
    }
    natsConnection_Destroy(closed->connection);
    if (closed->descriptor >= 0) close(closed->descriptor);
    free(closed);
}

/* ---- leaving ---- */

typedef struct part {
    nats_link_t *link;
    natsSubscription *answer;
} part_t;

/* Has the answer come, or will it not? */
static bool part_is_over(part_t *part) {
    struct pollfd socket = {.fd = part->link->descriptor, .events = POLLIN};
    natsMsg *message = NULL;
    if (part->link->wants_write) socket.events |= POLLOUT;
    if (poll(&socket, 1, PART_MS) <= 0) return true;
    if (socket.revents & POLLOUT) nats_link_write(part->link);
    if (socket.revents & ~POLLOUT) nats_link_read(part->link);
    natsStatus status = natsSubscription_NextMsg(&message, part->answer, 0);
    natsMsg_Destroy(message);
    return status != NATS_TIMEOUT;
}

static void *part_run(void *argument) {
    part_t *part = argument;
    for (int reads = 0; reads < PART_READS && !part_is_over(part); reads++) continue;
    natsSubscription_Destroy(part->answer);
    nats_link_close(&part->link);
    nats_ReleaseThreadMemory();
    free(part);
    return NULL;
}

/* A socket that is closed while there is something to read is reset, and the request could be lost with it. */
void nats_link_part(nats_link_t **link, const char *subject) {
    natsInbox *inbox = NULL;
    part_t *part = calloc(1, sizeof *part);
    must(part && natsInbox_Create(&inbox) == NATS_OK);
    part->link = *link;
    *link = NULL;
    if (natsConnection_SubscribeSync(&part->answer, part->link->connection, inbox) == NATS_OK &&
        natsConnection_PublishRequest(part->link->connection, subject, inbox, "", 0) == NATS_OK) {
        thread_start(part_run, part);
    } else {
        natsSubscription_Destroy(part->answer);
        nats_link_close(&part->link);
        free(part);
    }
    natsInbox_Destroy(inbox);
}
