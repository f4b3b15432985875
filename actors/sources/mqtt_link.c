/* Why there is a probe: properties of a CONNECT, and without them there is no session in MQTT 5, are taken only by the call that waits for the
 * connection (mosquitto_connect_bind_v5). So it is called when another connection has just succeeded, and then it does not wait.
 *
 * Why the log is read: the library knows which message the broker marks as given again (DUP), and why TLS failed, but tells it nowhere else. */
#include "mqtt_link.h"

#include <errno.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PROBE_US = 10 * 1000 * 1000,
    TICK_US = 1000 * 1000, /* the library counts the keep-alive in seconds */
    END_US = 300 * 1000,   /* for the broker to answer at the end, and twice as much for MQTT 3.1.1 */
    END_READS = 1000,
};

typedef int step_fn(struct mosquitto *client);

/* ---- the end ---- */

static void link_drop(mqtt_link_t *link) {
    actor_cancel(link->me, &link->timer);
    if (link->probe >= 0) {
        actor_unwatch_writable(link->me, link->probe);
        close(link->probe);
    }
    if (link->socket >= 0) {
        actor_unwatch(link->me, link->socket);
        actor_unwatch_writable(link->me, link->socket);
    }
    if (link->addresses) freeaddrinfo(link->addresses);
    if (link->client) mosquitto_destroy(link->client);
    link->probe = link->socket = -1;
    link->addresses = link->address = NULL;
    link->client = NULL;
    link->up = link->listens = link->writing = false;
    link->held = 0;
    link->fate = MQTT_STAYS;
}

void mqtt_link_close(mqtt_link_t *link) {
    if (!link->me) return;
    if (link->inside)
        link->fate = link->fate == MQTT_ENDS ? MQTT_ENDS : MQTT_CLOSES;
    else
        link_drop(link);
}

static void link_lost(mqtt_link_t *link) {
    fault_t text = link->why;
    link_drop(link);
    link->listener->down(link->state, text.text, link->for_good);
}

/* Waits until `descriptor` is ready, but not beyond a time of actor_ticks: whoever says a little again and again must not hold us. */
static short wait_until(mqtt_link_t *link, int descriptor, int events, int64_t end) {
    int64_t left = end - actor_ticks(link->me);
    struct pollfd item = {descriptor, (short)events, 0};
    return left > 0 && poll(&item, 1, (int)(left / 1000) + 1) > 0 ? item.revents : 0;
}

/* The broker closes the connection when it has read our last word. Closed by us while there is more to read, that word might not arrive. */
static void wait_for_close(mqtt_link_t *link, int descriptor) {
    char ignored[4096];
    int64_t end = actor_ticks(link->me) + END_US;
    shutdown(descriptor, SHUT_WR);
    for (int reads = 0; reads < END_READS && wait_until(link, descriptor, POLLIN, end); reads++) {
        if (recv(descriptor, ignored, sizeof ignored, MSG_DONTWAIT) <= 0) break;
    }
    close(descriptor);
}

static struct mosquitto *client_make(mqtt_link_t *link, bool clean, fault_t *why);

static void on_clean(struct mosquitto *client, void *state, int refused) {
    (void)client, (void)refused;
    *(bool *)state = true;
}

/* A connection that wants none ends a session: in MQTT 3.1.1 nothing else does. Nor is one that begins anew (MQTT 5) the same, as mosquitto 2.0.11
 * does not save it. */
static void session_clear(mqtt_link_t *link) {
    fault_t why;
    bool answered = false;
    struct mosquitto *client = client_make(link, true, &why);
    if (!client) return;
    mosquitto_user_data_set(client, &answered);
    mosquitto_log_callback_set(client, NULL);
    mosquitto_connect_v5_callback_set(client, NULL);
    mosquitto_disconnect_v5_callback_set(client, NULL);
    mosquitto_connect_callback_set(client, on_clean);
    mosquitto_connect_async(client, link->settings->host, link->settings->port, link->settings->keep_alive);
    int64_t end = actor_ticks(link->me) + END_US;
    for (int turns = 0; turns < END_READS && !answered && mosquitto_socket(client) >= 0; turns++) {
        int ready = wait_until(link, mosquitto_socket(client), POLLIN | (mosquitto_want_write(client) ? POLLOUT : 0), end);
        if (ready == 0) break;
        if (ready & POLLOUT) mosquitto_loop_write(client, 1);
        if (mosquitto_socket(client) >= 0 && ready & ~POLLOUT) mosquitto_loop_read(client, 1);
    }
    int descriptor = answered && mosquitto_socket(client) >= 0 ? dup(mosquitto_socket(client)) : -1;
    if (descriptor >= 0) {
        mosquitto_disconnect(client);
        mosquitto_loop_write(client, 1);
        wait_for_close(link, descriptor);
    }
    mosquitto_destroy(client);
}

static void link_say_goodbye(mqtt_link_t *link) {
    mosquitto_property *properties = NULL;
    int descriptor = dup(mosquitto_socket(link->client));
    if (link->settings->v5) mosquitto_property_add_int32(&properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL, 0);
    link->inside = true;
    mosquitto_disconnect_v5(link->client, 0, properties);
    mosquitto_loop_write(link->client, 1);
    link->inside = false;
    mosquitto_property_free_all(&properties);
    if (descriptor >= 0) wait_for_close(link, descriptor);
}

void mqtt_link_end(mqtt_link_t *link) {
    if (!link->me) return;
    if (link->inside) {
        link->fate = MQTT_ENDS;
        return;
    }
    bool had_session = link->up && !link->settings->clean;
    if (link->up && mosquitto_socket(link->client) >= 0) link_say_goodbye(link);
    link_drop(link);
    if (had_session && !link->settings->v5) session_clear(link);
}

/* ---- the library ---- */

/* Runs a part of it. false: the connection is down; unless we wanted it so, that is told. */
static bool run(mqtt_link_t *link, step_fn *step) {
    link->inside = true;
    errno = 0;
    int result = step(link->client);
    int error = errno;
    link->inside = false;
    if (link->fate != MQTT_STAYS) {
        if (link->fate == MQTT_ENDS)
            mqtt_link_end(link);
        else
            link_drop(link);
        return false;
    }
    errno = error;
    if (result == MOSQ_ERR_SUCCESS && mosquitto_socket(link->client) >= 0) return true;
    if (!link->why.text[0]) fault_set(&link->why, "%s", result == MOSQ_ERR_ERRNO ? strerror(error) : mosquitto_strerror(result));
    link_lost(link);
    return false;
}

static int step_read(struct mosquitto *client) {
    return mosquitto_loop_read(client, 1);
}

static int step_write(struct mosquitto *client) {
    return mosquitto_loop_write(client, 1);
}

static void write_on(mqtt_link_t *link);

static int on_writable(void *state, int descriptor, fault_t *why) {
    mqtt_link_t *link = mqtt_link_of(state);
    (void)descriptor, (void)why;
    write_on(link);
    if (link->client && !link->writing) link->listener->readable(state);
    return 0;
}

static void write_on(mqtt_link_t *link) {
    if (!run(link, step_write)) return;
    bool more = mosquitto_want_write(link->client);
    if (more && !link->writing) actor_watch_writable(link->me, link->socket, on_writable);
    if (!more && link->writing) actor_unwatch_writable(link->me, link->socket);
    link->writing = more;
}

void mqtt_link_write(mqtt_link_t *link) {
    if (!link->client || link->inside) return;
    link->held = 0;
    write_on(link);
}

bool mqtt_link_read(mqtt_link_t *link) {
    uint64_t before = link->packets;
    if (!link->client || link->inside) return false;
    if (!run(link, step_read)) return false;
    /* What the library does after a message may leave this error, too. */
    return link->packets != before || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static int on_readable(void *state, int descriptor, fault_t *why) {
    (void)descriptor, (void)why;
    mqtt_link_of(state)->listener->readable(state);
    return 0;
}

void mqtt_link_listen(mqtt_link_t *link, bool listens) {
    if (!link->client || link->listens == listens) return;
    link->listens = listens;
    if (listens)
        actor_watch(link->me, link->socket, on_readable);
    else
        actor_unwatch(link->me, link->socket);
}

/* The answer to a ping is behind what is not read, and is not missed as long as nothing is. */
static int on_tick(void *state, uint64_t context, fault_t *why) {
    mqtt_link_t *link = mqtt_link_of(state);
    (void)context, (void)why;
    link->timer = actor_after(link->me, TICK_US, on_tick, 0);
    if (!link->listens || !run(link, mosquitto_loop_misc)) return 0;
    if (link->held == 0) write_on(link);
    return 0;
}

/* ---- what it tells ---- */

static void on_connack(struct mosquitto *client, void *state, int refused, int flags, const mosquitto_property *properties) {
    mqtt_link_t *link = state;
    (void)client, (void)properties;
    link->packets++;
    if (link->fate != MQTT_STAYS) return;
    if (refused == 0) {
        link->up = true;
        link->listener->up(link->state, (flags & 1) != 0);
        return;
    }
    const char *text = link->settings->v5 ? mosquitto_reason_string(refused) : mosquitto_connack_string(refused);
    switch (refused) {
    case CONNACK_REFUSED_PROTOCOL_VERSION:
    case MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION:
        fault_set(&link->why, "the broker does not speak this `protocol`: %s", text);
        link->for_good = true;
        break;
    case CONNACK_REFUSED_IDENTIFIER_REJECTED:
    case MQTT_RC_CLIENTID_NOT_VALID:
        fault_set(&link->why, "the broker refuses the `client_id` `%s`: %s", link->settings->client_id, text);
        link->for_good = true;
        break;
    case CONNACK_REFUSED_BAD_USERNAME_PASSWORD:
    case CONNACK_REFUSED_NOT_AUTHORIZED:
    case MQTT_RC_BAD_USERNAME_OR_PASSWORD:
    case MQTT_RC_NOT_AUTHORIZED:
        fault_set(&link->why, "the broker refuses the `username` `%s`, or its password: %s",
                  link->settings->username ? link->settings->username : "", text);
        link->for_good = true;
        break;
    default: fault_set(&link->why, "the broker refuses the connection: %s", text); break;
    }
}

static void on_suback(struct mosquitto *client, void *state, int id, int count, const int *granted, const mosquitto_property *properties) {
    mqtt_link_t *link = state;
    (void)client, (void)id, (void)properties;
    link->packets++;
    if (link->fate == MQTT_STAYS) link->listener->subscribed(link->state, granted, (size_t)count);
}

static void on_message(struct mosquitto *client, void *state, const struct mosquitto_message *in, const mosquitto_property *properties) {
    mqtt_link_t *link = state;
    (void)client, (void)properties;
    link->packets++;
    if (in->qos > 0) link->held++;
    if (link->fate != MQTT_STAYS) return;
    mqtt_message_t message = {.topic = in->topic,
                              .payload = {in->payload, (size_t)in->payloadlen},
                              .id = (uint16_t)in->mid,
                              .qos = in->qos,
                              .retained = in->retain,
                              .again = link->again};
    link->again = false;
    link->listener->message(link->state, &message);
}

static void on_disconnect(struct mosquitto *client, void *state, int reason, const mosquitto_property *properties) {
    mqtt_link_t *link = state;
    int error = errno;
    (void)client, (void)properties;
    if (link->why.text[0]) return;
    if (reason >= MQTT_RC_UNSPECIFIED)
        fault_set(&link->why, "the broker closes the connection: %s", mosquitto_reason_string(reason));
    else
        fault_set(&link->why, "%s", reason == MOSQ_ERR_ERRNO && error != 0 ? strerror(error) : mosquitto_strerror(reason));
}

/* "Client ID received PUBLISH (d1, …": the mark of the message that is told next. */
static void on_log(struct mosquitto *client, void *state, int level, const char *text) {
    static const char words[] = "Client ", mark[] = " received PUBLISH (d";
    mqtt_link_t *link = state;
    size_t id = sizeof words - 1 + strlen(link->settings->client_id);
    (void)client;
    if (level == MOSQ_LOG_ERR && !link->why.text[0]) {
        fault_set(&link->why, "%s", text);
    } else if (level == MOSQ_LOG_DEBUG && strlen(text) > id && strncmp(text + id, mark, sizeof mark - 1) == 0) {
        link->again = text[id + sizeof mark - 1] == '1';
    }
}

/* ---- the beginning ---- */

static void library_begin(void) {
    mosquitto_lib_init();
}

static int tls_use(struct mosquitto *client, const mqtt_settings_t *settings, fault_t *why) {
    if (!settings->tls) return 0;
    if (!settings->tls_ca) mosquitto_int_option(client, MOSQ_OPT_TLS_USE_OS_CERTS, 1);
    int result = mosquitto_tls_set(client, settings->tls_ca, settings->tls_ca ? NULL : "/etc/ssl/certs", settings->tls_cert,
                                   settings->tls_key, NULL);
    if (result == MOSQ_ERR_SUCCESS) return 0;
    return fault_set(why, "TLS cannot be used with `tls_ca`, `tls_cert` and `tls_key`: %s", mosquitto_strerror(result));
}

static struct mosquitto *client_make(mqtt_link_t *link, bool clean, fault_t *why) {
    static pthread_once_t once = PTHREAD_ONCE_INIT; /* the library counts without a lock */
    const mqtt_settings_t *settings = link->settings;
    pthread_once(&once, library_begin);
    struct mosquitto *client = mosquitto_new(settings->client_id, clean, link);
    must(client);
    mosquitto_threaded_set(client, true); /* so that it writes only when it is told to */
    mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, settings->v5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
    mosquitto_int_option(client, MOSQ_OPT_RECEIVE_MAXIMUM, settings->inflight);
    mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_connect_v5_callback_set(client, on_connack);
    mosquitto_subscribe_v5_callback_set(client, on_suback);
    mosquitto_message_v5_callback_set(client, on_message);
    mosquitto_disconnect_v5_callback_set(client, on_disconnect);
    mosquitto_log_callback_set(client, on_log);
    mosquitto_username_pw_set(client, settings->username, settings->password[0] ? settings->password : NULL);
    if (tls_use(client, settings, why) == 0) return client;
    mosquitto_destroy(client);
    return NULL;
}

/* The name itself where a certificate must have it; otherwise the address that has just answered. */
static void host_choose(const mqtt_link_t *link, char *host, size_t size) {
    const struct addrinfo *address = link->address;
    if (link->settings->tls ||
        getnameinfo(address->ai_addr, address->ai_addrlen, host, (socklen_t)size, NULL, 0, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(host, size, "%s", link->settings->host);
}

static void client_connect(mqtt_link_t *link) {
    const mqtt_settings_t *settings = link->settings;
    char host[sizeof settings->host];
    mosquitto_property *properties = NULL;
    if (link->anew && settings->is_named && !settings->clean) session_clear(link);
    link->client = client_make(link, settings->clean, &link->why);
    if (!link->client) {
        link->for_good = true;
        link_lost(link);
        return;
    }
    host_choose(link, host, sizeof host);
    if (settings->v5 && !settings->clean)
        mosquitto_property_add_int32(&properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL, (uint32_t)settings->session_s);
    link->inside = true;
    int result = mosquitto_connect_bind_v5(link->client, host, settings->port, settings->keep_alive, NULL, properties);
    int error = errno;
    link->inside = false;
    mosquitto_property_free_all(&properties);
    if (result != MOSQ_ERR_SUCCESS || mosquitto_socket(link->client) < 0) {
        if (!link->why.text[0]) fault_set(&link->why, "%s", result == MOSQ_ERR_ERRNO ? strerror(error) : mosquitto_strerror(result));
        link_lost(link);
        return;
    }
    link->socket = mosquitto_socket(link->client);
    link->timer = actor_after(link->me, TICK_US, on_tick, 0);
    mqtt_link_listen(link, true);
    write_on(link);
}

static void probe_next(mqtt_link_t *link);

static void probe_end(mqtt_link_t *link) {
    actor_cancel(link->me, &link->timer);
    actor_unwatch_writable(link->me, link->probe);
    close(link->probe);
    link->probe = -1;
}

static int on_probed(void *state, int descriptor, fault_t *why) {
    mqtt_link_t *link = mqtt_link_of(state);
    int error = 0;
    socklen_t size = sizeof error;
    (void)why;
    getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
    probe_end(link);
    if (error == 0) {
        link->why.text[0] = '\0';
        client_connect(link);
        return 0;
    }
    fault_set(&link->why, "%s", strerror(error));
    link->address = link->address->ai_next;
    probe_next(link);
    return 0;
}

static int on_probe_timeout(void *state, uint64_t context, fault_t *why) {
    mqtt_link_t *link = mqtt_link_of(state);
    (void)context, (void)why;
    probe_end(link);
    fault_set(&link->why, "%s", strerror(ETIMEDOUT));
    link->address = link->address->ai_next;
    probe_next(link);
    return 0;
}

static void probe_next(mqtt_link_t *link) {
    for (; link->address; link->address = link->address->ai_next) {
        const struct addrinfo *address = link->address;
        link->probe = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (link->probe >= 0 && (connect(link->probe, address->ai_addr, address->ai_addrlen) == 0 || errno == EINPROGRESS)) {
            actor_watch_writable(link->me, link->probe, on_probed);
            link->timer = actor_after(link->me, PROBE_US, on_probe_timeout, 0);
            return;
        }
        fault_set(&link->why, "%s", strerror(errno));
        if (link->probe >= 0) close(link->probe);
        link->probe = -1;
    }
    link_lost(link);
}

void mqtt_link_init(mqtt_link_t *link, actor_t *me, const mqtt_settings_t *settings, const mqtt_listener_t *listener, void *state) {
    *link = (mqtt_link_t){.me = me, .settings = settings, .listener = listener, .state = state, .probe = -1, .socket = -1};
}

void mqtt_link_open(mqtt_link_t *link, bool anew) {
    char port[16];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    must(!mqtt_link_is_open(link));
    link->why.text[0] = '\0';
    link->for_good = link->again = false;
    link->anew = anew;
    snprintf(port, sizeof port, "%d", link->settings->port);
    int result = getaddrinfo(link->settings->host, port, &hints, &link->addresses);
    if (result != 0) {
        link->addresses = NULL;
        fault_set(&link->why, "%s", gai_strerror(result));
    }
    link->address = link->addresses;
    probe_next(link);
}

bool mqtt_link_is_open(const mqtt_link_t *link) {
    return link->client || link->probe >= 0;
}

void mqtt_link_subscribe(mqtt_link_t *link, char *const *filters, size_t count, int qos, bool retained) {
    int options = !link->settings->v5 || retained ? MQTT_SUB_OPT_SEND_RETAIN_ALWAYS : MQTT_SUB_OPT_SEND_RETAIN_NEVER;
    mosquitto_subscribe_multiple(link->client, NULL, (int)count, filters, qos, options, NULL);
}

void mqtt_link_watch_again(mqtt_link_t *link, bool watches) {
    mosquitto_log_callback_set(link->client, watches ? on_log : NULL);
}
