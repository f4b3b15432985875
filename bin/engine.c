/* The engine process. The main thread starts the switchboard and the supervisor, which starts everything else; then it waits for signals and
 * for the supervisor's word, and takes both contexts down in the order that lets clients have what they are still owed.
 *
 * Meanwhile it asks the supervisor again and again, and tells the guard of each answer: that the process lives means that the switchboard
 * passes messages and the supervisor looks after the rest. */
#include "engine.h"

#include <czmq.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "actors/runtime/crash.h"
#include "actors/runtime/host.h"
#include "actors/runtime/supervisor.h"
#include "actors/runtime/thread.h"
#include "actors/store/folder.h"
#include "life.h"
#include "status.h"

enum { STACK_BYTES = 1024 * 1024, LAST_WORDS_S = 5, TRIM_BEATS = 10, SILENCE_BEATS = 15 };

typedef struct engine {
    config_t config;
    threads_t threads;
    pthread_t switchboard, supervisor;
    void *post; /* the main thread's place at the switchboard */
    int signals, lock, guard;
    unsigned silent; /* beats since the supervisor was asked whether it lives; 0: it has answered */
    bool stopping;
    int status;
} engine_t;

static int complain(const fault_t *why, int status) {
    fprintf(stderr, "reprised: %s\n", why->text);
    return status;
}

static void send_supervisor(engine_t *engine, head_t what, const void *message) {
    bool answers = what.kind == HEAD_ANSWER;
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    message_encode(answers ? message_class(what.id)->answer : what.id, message, answers, (bytes_t){0}, &out);
    frame_t head;
    head_encode(&what, &head);
    zmq_send(engine->post, supervisor_class.name, strlen(supervisor_class.name), ZMQ_SNDMORE);
    frame_send(&head, engine->post, ZMQ_SNDMORE);
    zmq_send(engine->post, out.data, out.size, 0);
    msgpack_sbuffer_destroy(&out);
}

static void tell_supervisor_to_stop(engine_t *engine) {
    static const msg_actor_stop_t stop;
    engine->stopping = true;
    send_supervisor(engine, (head_t){HEAD_TELL, MSG_ACTOR_STOP, 0}, &stop);
}

static void say_ready(const engine_t *engine) {
    const char(*endpoints)[512] = engine->config.endpoints;
    printf("ready commands=%s ingest=%s test_stream=%s notifications=%s", endpoints[ENDPOINT_COMMANDS], endpoints[ENDPOINT_INGEST],
           endpoints[ENDPOINT_TEST_STREAM], endpoints[ENDPOINT_NOTIFICATIONS]);
    printf("%s%s\n", engine->config.beam[0] ? " beam=" : "", engine->config.beam);
    fflush(stdout);
    life_tell(engine->guard, LIFE_READY);
}

static void on_failed(engine_t *engine, bytes_t raw) {
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    msg_actor_failed_t failed = {0};
    refusal_t no;
    must(zone && message_decode(MSG_ACTOR_FAILED, raw, zone, &failed, &no) == 0);
    fprintf(stderr, "reprised: the engine %s: %s\n", failed.starting ? "cannot start" : "gives up", failed.why);
    engine->status = failed.starting ? EXIT_STATUS_FAILED : EXIT_STATUS_HUNG;
    msgpack_zone_free(zone);
    if (!engine->stopping) tell_supervisor_to_stop(engine);
}

/* Its sockets, files and locks cannot be taken from a thread that lives: they go with the process. */
static void on_hung(bytes_t raw) {
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    msg_actor_hung_t hung = {0};
    refusal_t no;
    must(zone && message_decode(MSG_ACTOR_HUNG, raw, zone, &hung, &no) == 0);
    fprintf(stderr, "reprised: the engine ends: %s\n", hung.why);
    _exit(EXIT_STATUS_HUNG);
}

/* It is refused by the switchboard while the supervisor is not there yet. */
static void on_answer(engine_t *engine, bool lives) {
    engine->silent = 0;
    if (lives) life_tell(engine->guard, LIFE_BEAT);
}

/* One question at a time: they would pile up before a supervisor that hangs. Beats are counted, not the time: when the machine slept, that was
 * one. */
static void on_beat(engine_t *engine) {
    static const msg_actor_ping_t ask;
    if (++engine->silent > SILENCE_BEATS) {
        fprintf(stderr, "reprised: the engine ends: the supervisor has not answered for %d s\n", SILENCE_BEATS);
        _exit(EXIT_STATUS_HUNG);
    }
    if (engine->silent == 1) send_supervisor(engine, (head_t){HEAD_REQUEST, MSG_ACTOR_PING, 0}, &ask);
}

/* True when the supervisor has left. */
static bool on_message(engine_t *engine) {
    frame_t frames[3];
    for (size_t i = 0; i < 3; i++) {
        frame_init(&frames[i]);
        if (!frame_receive(&frames[i], engine->post, 0)) break;
    }
    head_t head = {0};
    must(head_decode(frame_bytes(&frames[1]), &head));
    if (head.kind == HEAD_ANSWER || head.kind == HEAD_REFUSAL)
        on_answer(engine, head.kind == HEAD_ANSWER);
    else if (head.kind == HEAD_REQUEST) /* which the supervisor makes to be sure that what it told before has arrived */
        send_supervisor(engine, (head_t){HEAD_ANSWER, head.id, head.number}, &(msg_ok_t){0});
    else if (head.id == MSG_ACTOR_READY)
        say_ready(engine);
    else if (head.id == MSG_ACTOR_FAILED)
        on_failed(engine, frame_bytes(&frames[2]));
    else if (head.id == MSG_ACTOR_HUNG)
        on_hung(frame_bytes(&frames[2]));
    else if (head.id == MSG_ACTOR_STOP) /* a client asked for it */
        life_tell(engine->guard, LIFE_STOPPING);
    for (size_t i = 0; i < 3; i++) frame_fini(&frames[i]);
    return head.id == MSG_ACTOR_STOPPED;
}

/* Asked twice, it ends at once; but whoever starts it has no need to know that a guard passes on what both have got already. The guard ends
 * the process by force. */
static void on_signal(engine_t *engine) {
    struct signalfd_siginfo info;
    if (read(engine->signals, &info, sizeof info) != (ssize_t)sizeof info) return;
    if (engine->stopping && engine->guard < 0) _exit(EXIT_STATUS_FAILED);
    if (engine->stopping) return;
    life_tell(engine->guard, LIFE_STOPPING);
    tell_supervisor_to_stop(engine);
}

static int64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Meanwhile, what was freed goes back to the system now and then: by itself the C library gives back only what lies at the end of a heap, and a
 * hundred threads leave holes in each. */
static void wait_until_stopped(engine_t *engine) {
    int64_t next = clock_ms() + LIFE_BEAT_MS;
    for (unsigned beats = 1;;) {
        zmq_pollitem_t items[] = {{engine->post, 0, ZMQ_POLLIN, 0}, {NULL, engine->signals, ZMQ_POLLIN, 0}};
        int64_t left = next - clock_ms();
        if (zmq_poll(items, 2, left > 0 ? (long)left : 0) < 0 && errno != EINTR) return;
        if (items[1].revents) on_signal(engine);
        if (items[0].revents && on_message(engine)) return;
        if (clock_ms() < next) continue;
        next = clock_ms() + LIFE_BEAT_MS;
        on_beat(engine);
        if (beats++ % TRIM_BEATS == 0) malloc_trim(0);
    }
}

static int start(engine_t *engine, fault_t *why) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    engine->config.started = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    engine->threads = (threads_t){.network = zmq_ctx_new(), .control = zmq_ctx_new(), .config = &engine->config};
    must(engine->threads.network && engine->threads.control);
    zmq_ctx_set(engine->threads.control, ZMQ_IO_THREADS, 0);
    zmq_ctx_set(engine->threads.control, ZMQ_MAX_SOCKETS, 4096);
    zmq_ctx_set(engine->threads.network, ZMQ_MAX_SOCKETS, 16384);
    if (switchboard_start(&engine->threads, &engine->switchboard, why) < 0) return -1;
    engine->post = switchboard_connect(&engine->threads, "main");
    if (!engine->post) return fault_set(why, "cannot connect to the switchboard");
    return thread_start(&engine->threads, &supervisor_class, supervisor_class.name, supervisor_class.name, (bytes_t){0},
                        &engine->supervisor, why);
}

/* Clients get what is still queued for them; then nothing is left that could block. */
static void *close_all(void *argument) {
    engine_t *engine = argument;
    pthread_join(engine->supervisor, NULL);
    zmq_ctx_term(engine->threads.network);
    zmq_close(engine->post);
    zmq_ctx_shutdown(engine->threads.control);
    pthread_join(engine->switchboard, NULL);
    zmq_ctx_term(engine->threads.control);
    return NULL;
}

/* The sockets of a thread that hangs are never closed: the process does not wait for that. */
static void finish(engine_t *engine) {
    pthread_t closing;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LAST_WORDS_S;
    if (pthread_create(&closing, NULL, close_all, engine) != 0 || pthread_clockjoin_np(closing, NULL, CLOCK_MONOTONIC, &until) != 0)
        _exit(engine->status);
    close(engine->signals);
    close(engine->lock);
}

/* Messages of 256 KiB come and go by the thousand. By itself the C library would have the system map, clear and unmap each of them, which takes
 * a fifth of all that recording costs. */
static void keep_buffers(void) {
    enum { MAPPED_BYTES = 512 * 1024, KEPT_BYTES = 1024 * 1024 }; /* the system's to give; kept at the end of a heap */
    mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

/* Each connection has a descriptor, and each recording that is written or read; what a login shell allows is soon used up. */
static void raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) fprintf(stderr, "reprised: cannot raise the limit of open files: %s\n", strerror(errno));
}

/* Frames of one message arrive without end where somebody sends them so, and no count of ours sees them before the last: only the kernel can
 * say no. What it counts is memory of the process's own, as it is set aside; recordings that are mapped are not among it, but threads' stacks are, in
 * full, which are therefore made smaller. An allocation that fails ends the process, and the guard starts another. */
static void bound_memory(int64_t bytes) {
    if (bytes == 0) return;
    pthread_attr_t attributes;
    const struct rlimit limit = {(rlim_t)bytes, (rlim_t)bytes};
    if (setrlimit(RLIMIT_DATA, &limit) < 0) fprintf(stderr, "reprised: cannot bound the memory: %s\n", strerror(errno));
    must(pthread_attr_init(&attributes) == 0);
    if (pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0) pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
}

int engine_run(const config_t *config, int guard) {
    static engine_t one;
    engine_t *engine = &one;
    fault_t why;
    engine->config = *config;
    engine->guard = guard;
    (void)crash_stack_open(); /* for as long as the process is */
    crash_watch(engine->config.data);
    engine->lock = folder_lock(engine->config.data, &why);
    if (engine->lock == -2) return complain(&why, EXIT_STATUS_IN_USE);
    if (engine->lock < 0) return complain(&why, EXIT_STATUS_FAILED);
    sigset_t set;
    life_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* before any thread exists: they all inherit it */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow fails one write, as a full disk does */
    raise_descriptors();
    bound_memory(config->memory_max);
    keep_buffers();
    engine->signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (engine->signals < 0) {
        fault_errno(&why, "cannot wait for signals");
        return complain(&why, EXIT_STATUS_FAILED);
    }
    if (start(engine, &why) < 0) return complain(&why, EXIT_STATUS_FAILED);
    wait_until_stopped(engine);
    finish(engine);
    return engine->status;
}
