/* Whole connectors on a stage, by the first byte: any payload, any cursor, and an outside that does anything: a server's bytes, datagrams, files that
 * grow and are renamed, a recorder that loses its state, restarts. None of it fails an actor that was created, what it sends is what a recorder
 * takes, and a failure is told. Of files that only grow and are rotated, each line is recorded once.
 *
 * Nothing outside this machine is spoken to: where the payload names another server, or a path elsewhere, the recorder lets nobody attach. Kafka is
 * not among them, as its client's threads outlive it. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/sources/sources.h"
#include "messages/text.h"
/* The recorder is that of the unit tests. */
#include "draw.h"
#include "tests/unit/ingest_double.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 30, FILES_MAX = 6, PIECE_MAX = 255 };

static char folder[64], log_path[80], pipe_path[80], secret_path[80], pattern[80], redis_server[32], udp_server[32];
static int redis_listener = -1, udp_sender = -1;
static struct sockaddr_in udp_address;

static const char *const names[] = {"lines",
                                    "json",
                                    "msgpack",
                                    "start",
                                    "end",
                                    "skip",
                                    "fail",
                                    "us",
                                    "ms",
                                    "s",
                                    "arrival",
                                    "system",
                                    "/ts",
                                    "/key",
                                    "sub",
                                    "pull",
                                    "last",
                                    "join",
                                    "each",
                                    "list",
                                    "0",
                                    "1-0",
                                    "latest",
                                    "never",
                                    "all",
                                    "new",
                                    "42",
                                    "orders.>",
                                    "ORDERS",
                                    "news.*",
                                    "a,b",
                                    "sensors/+/#",
                                    "5",
                                    "3.1.1",
                                    secret_path,
                                    log_path,
                                    pipe_path,
                                    pattern,
                                    folder,
                                    "127.0.0.1:1",
                                    "tcp://127.0.0.1:1",
                                    "ipc://nowhere",
                                    "2026-11-22T14:00:00Z",
                                    "bytes",
                                    "kv<bytes,bytes>",
                                    "string_utf8",
                                    "kv<string_utf8,string_utf8>",
                                    NULL};

/* ---- closing ---- */

/* The kernel lets whoever closes a descriptor of inotify wait for some milliseconds, in which others can go on. */
enum { CLOSERS = 16, WATCHING_MAX = 64 };
static int closing[2] = {-1, -1}, watching[WATCHING_MAX];
static size_t watching_count;

int __real_inotify_init1(int flags);
int __wrap_inotify_init1(int flags);
int __real_close(int descriptor);
int __wrap_close(int descriptor);

static void *closer_run(void *none) {
    for (int descriptor; read(closing[0], &descriptor, sizeof descriptor) == sizeof descriptor;) __real_close(descriptor);
    return none;
}

int __wrap_inotify_init1(int flags) {
    int made = __real_inotify_init1(flags);
    while (made < 0 && errno == EMFILE) {
        sched_yield(); /* until one is closed */
        made = __real_inotify_init1(flags);
    }
    must(watching_count < WATCHING_MAX);
    if (made >= 0) watching[watching_count++] = made;
    return made;
}

int __wrap_close(int descriptor) {
    size_t i = 0;
    while (i < watching_count && watching[i] != descriptor) i++;
    if (i == watching_count) return __real_close(descriptor);
    watching[i] = watching[--watching_count];
    return write(closing[1], &descriptor, sizeof descriptor) == sizeof descriptor ? 0 : -1;
}

static void closers_start(void) {
    pthread_t closer;
    must(pipe2(closing, O_CLOEXEC) == 0);
    for (int i = 0; i < CLOSERS; i++) must(pthread_create(&closer, NULL, closer_run, NULL) == 0 && pthread_detach(closer) == 0);
}

typedef struct scene {
    stage_t *stage;
    draw_t draw;
    const source_kind_t *kind;
    int connection;  /* of the source with the server */
    bool is_created; /* and has not failed since */
    size_t failures; /* that were made */
    bool is_model;   /* its lines are counted; */
    bool is_folder;  /* that of a folder's files: */
    int written, files;
} scene_t;

/* ---- the outside ---- */

static int port_make(int type, struct sockaddr_in *ret_address) {
    socklen_t size = sizeof *ret_address;
    int made = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *ret_address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    must(made >= 0 && bind(made, (struct sockaddr *)ret_address, size) == 0 &&
         getsockname(made, (struct sockaddr *)ret_address, &size) == 0);
    return made;
}

static void folder_empty(void) {
    char path[400];
    DIR *listing = opendir(folder);
    must(listing);
    for (struct dirent *entry; (entry = readdir(listing));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.') unlink(path);
    }
    closedir(listing);
}

static void folder_leave(void) {
    folder_empty();
    rmdir(folder);
}

static void prepare(void) {
    struct sockaddr_in address;
    snprintf(folder, sizeof folder, "%s/reprise-connectors-XXXXXX", stage_folder());
    must(mkdtemp(folder) && atexit(folder_leave) == 0);
    closers_start();
    snprintf(log_path, sizeof log_path, "%s/a.log", folder);
    snprintf(pipe_path, sizeof pipe_path, "%s/pipe", folder);
    snprintf(secret_path, sizeof secret_path, "%s/secret", folder);
    snprintf(pattern, sizeof pattern, "%s/*.log", folder);
    redis_listener = port_make(SOCK_STREAM, &address);
    must(listen(redis_listener, 8) == 0);
    snprintf(redis_server, sizeof redis_server, "127.0.0.1:%d", ntohs(address.sin_port));
    close(port_make(SOCK_DGRAM, &udp_address));
    snprintf(udp_server, sizeof udp_server, "127.0.0.1:%d", ntohs(udp_address.sin_port));
    udp_sender = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(udp_sender >= 0);
}

static void write_to(const char *path, int flags, bytes_t bytes) {
    int descriptor = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | flags, 0600);
    if (descriptor < 0) return;
    must(write(descriptor, bytes.data, bytes.size) >= 0 || errno == EAGAIN);
    close(descriptor);
}

/* The source's connection, if it has made one, whose words nobody minds. */
static void server_hear(scene_t *scene) {
    char heard[4096];
    if (scene->connection < 0) scene->connection = accept4(redis_listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (scene->connection >= 0 && read(scene->connection, heard, sizeof heard) > 0) continue;
}

static void server_say(scene_t *scene) {
    bytes_t bytes = draw_bytes(&scene->draw, draw_byte(&scene->draw));
    server_hear(scene);
    if (scene->connection >= 0 && send(scene->connection, bytes.data, bytes.size, MSG_NOSIGNAL) < 0) bytes.size = 0;
    if (scene->connection >= 0 && bytes.size == 0) {
        close(scene->connection);
        scene->connection = -1;
    }
}

/* ---- files ---- */

/* A second goes by with each: which file is newer must not depend on how fine the disk's clock is. */
static void line_write(scene_t *scene) {
    char line[32];
    const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1700000000 + scene->written}};
    int size = snprintf(line, sizeof line, "%d\n", scene->written++);
    write_to(log_path, O_CREAT | O_APPEND, (bytes_t){(const uint8_t *)line, (size_t)size});
    must(utimensat(AT_FDCWD, log_path, times, 0) == 0);
}

/* As logrotate does; in a folder to a name that is read there, too. */
static void rotate(scene_t *scene) {
    char path[100];
    snprintf(path, sizeof path, scene->is_folder ? "%s/b%d.log" : "%s/a.log.%d", folder, scene->files++);
    must(rename(log_path, path) == 0 || errno == ENOENT);
    line_write(scene);
}

static void files_change(scene_t *scene) {
    unsigned what = draw_byte(&scene->draw);
    if (scene->is_model) {
        if (what % 8 == 7 && scene->files < FILES_MAX) rotate(scene);
        for (unsigned i = 0; i <= what / 8 % 8; i++) line_write(scene);
        return;
    }
    static const int ways[] = {O_APPEND, O_TRUNC, O_APPEND | O_CREAT, 0};
    static char other[100];
    const char *const paths[] = {log_path, pipe_path, other, secret_path};
    snprintf(other, sizeof other, "%s/c%d.log", folder, what / 64);
    const char *path = paths[what / 4 % 4];
    bytes_t bytes = draw_bytes(&scene->draw, draw_byte(&scene->draw));
    if (what % 16 == 15)
        unlink(path);
    else if (what % 16 == 14)
        must(rename(log_path, other) == 0 || errno == ENOENT);
    else
        write_to(path, ways[what % 4], bytes);
}

/* ---- the source ---- */

static bool is_kind(const scene_t *scene, const char *name) {
    return strstr(scene->kind->urn, name) != NULL;
}

/* Is it about what is here? */
static bool is_safe(bytes_t payload, const char *field, const char *own) {
    bytes_t value;
    refusal_t no;
    const char *text;
    size_t size;
    if (!own || wire_walk(payload, &no) < 0 || !wire_map_get(payload, field, &value) || !wire_text(value, &text, &size)) return false;
    return size >= strlen(own) && memcmp(text, own, strlen(own)) == 0 && !memmem(text, size, "..", 2) && !memchr(text, ',', size);
}

static void payload_draw(scene_t *scene, msgpack_packer *packer) {
    if (scene->is_model) {
        msgpack_pack_map(packer, 1);
        msgpack_pack_str_with_body(packer, "path", 4);
        msgpack_pack_str_with_body(packer, scene->is_folder ? pattern : log_path, strlen(scene->is_folder ? pattern : log_path));
    } else if (draw_byte(&scene->draw) % 16 == 15) {
        draw_value(&scene->draw, packer, 4);
    } else {
        draw_record(&scene->draw, scene->kind->payload, packer, 0, 3);
    }
}

static void cursor_draw(scene_t *scene) {
    msgpack_sbuffer out;
    msgpack_packer packer;
    unsigned how = draw_byte(&scene->draw);
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    bytes_t raw = how % 3 == 1 ? draw_bytes(&scene->draw, draw_byte(&scene->draw)) : (bytes_t){0};
    if (how % 3 == 2) {
        msgpack_pack_array(&packer, how / 3 % 12);
        for (unsigned i = 0; i < how / 3 % 12; i++) draw_number(&scene->draw, &packer);
        raw = (bytes_t){(const uint8_t *)out.data, out.size};
    }
    ingest.cursor_size = raw.size < sizeof ingest.cursor ? raw.size : 0;
    if (ingest.cursor_size > 0) memcpy(ingest.cursor, raw.data, ingest.cursor_size);
    msgpack_sbuffer_destroy(&out);
}

static void source_start(scene_t *scene) {
    msgpack_sbuffer payload;
    msgpack_packer packer;
    msgpack_sbuffer_init(&payload);
    msgpack_packer_init(&packer, &payload, msgpack_sbuffer_write);
    const char *own = is_kind(scene, ":file:")    ? log_path
                      : is_kind(scene, ":redis:") ? redis_server
                      : is_kind(scene, ":udp:")   ? udp_server
                                                  : "127.0.0.1:1";
    const char *field = is_kind(scene, ":file:") ? "path" : "server";
    scene->draw.pair[0] = field;
    scene->draw.pair[1] = own;
    payload_draw(scene, &packer);
    bytes_t made = {(const uint8_t *)payload.data, payload.size};
    bool talks = is_kind(scene, ":file:") || is_kind(scene, ":redis:") || is_kind(scene, ":udp:") || is_kind(scene, ":mqtt:");
    ingest.hold_attach = !is_kind(scene, ":generator:") && !(talks && is_safe(made, field, is_kind(scene, ":file:") ? folder : own));
    stage_add(scene->stage, scene->kind->class, "source:1", ingest_args(made));
    msgpack_sbuffer_destroy(&payload);
    stage_run(scene->stage);
    scene->is_created = stage_failures(scene->stage, "source:1") == 0;
    const char *why = stage_failure(scene->stage, "source:1");
    must(scene->is_created || (why[0] && text_valid(why, strlen(why))));
}

/* ---- what happens ---- */

static void lose_state(void) {
    ingest.source = 0;
}

static void outside_act(scene_t *scene) {
    if (is_kind(scene, ":redis:")) server_say(scene);
    if (is_kind(scene, ":file:")) files_change(scene);
    if (is_kind(scene, ":udp:")) {
        bytes_t bytes = draw_bytes(&scene->draw, draw_byte(&scene->draw));
        sendto(udp_sender, bytes.data ? (const void *)bytes.data : "", bytes.size, 0, (struct sockaddr *)&udp_address, sizeof udp_address);
    }
}

static void source_restart(scene_t *scene) {
    stage_fail(scene->stage, "source:1");
    scene->failures++;
}

static void step(scene_t *scene) {
    unsigned what = draw_byte(&scene->draw);
    switch (what % 16) {
    case 0: ingest.hold_acks = !ingest.hold_acks || is_kind(scene, ":generator:"); break;
    case 1: ingest_do(scene->stage, ingest_ack); break;
    case 2: lose_state(); break;
    case 3: source_restart(scene); break;
    case 4:
        ingest.deaf = !ingest.deaf;
        lose_state(); /* as it would not know the numbers that come now */
        break;
    case 5: stage_advance(scene->stage, (int64_t)(what / 16) * (is_kind(scene, ":generator:") ? 1000 : 1000000)); break;
    case 6: ingest.credit = 1 + (what / 16) * INT64_C(200); break;
    case 7:
        if (scene->is_model) break;
        cursor_draw(scene);
        lose_state();
        break;
    case 8:
        if (scene->is_model || what < 240) break;
        ingest_do(scene->stage, ingest_stop);
        break;
    default: outside_act(scene);
    }
    if (what % 16 > 8 && what / 16 % 4 == 3) return; /* nobody has looked yet */
    stage_run(scene->stage);
    server_hear(scene);
    /* One that is started again where its file is no more, fails as one does that is started there at first. */
    bool may_fail = is_kind(scene, ":file:") && !scene->is_model && scene->failures > 0;
    must(may_fail || stage_failures(scene->stage, "source:1") == scene->failures);
    must(text_valid(ingest.failure, strlen(ingest.failure)) && text_valid(ingest.gap, strlen(ingest.gap)));
}

/* All is taken at last: each line once, unless it was said that some may be missing. In one file also in their order; in a folder the files are read
 * side by side. */
static void lines_check(scene_t *scene) {
    uint8_t *seen = calloc((size_t)scene->written + 1, 1);
    must(seen);
    if (ingest.deaf) lose_state();
    ingest.hold_acks = ingest.deaf = false;
    ingest_do(scene->stage, ingest_ack);
    stage_advance(scene->stage, 60000000);
    must(ingest.failure[0] == '\0');
    for (size_t i = 0; i < ingest.count && ingest.gaps == 0; i++) {
        int number = atoi(ingest.elements[i].text);
        must(number >= 0 && number < scene->written && !seen[number]);
        seen[number] = 1;
    }
    must(ingest.gaps > 0 || ingest.count == (size_t)scene->written);
    free(seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t count;
    const source_kind_t *kinds = sources(&count);
    if (folder[0] == '\0') prepare();
    scene_t scene = {.draw = {.data = data, .size = size, .names = names}, .connection = -1};
    unsigned which = draw_byte(&scene.draw);
    scene.kind = &kinds[which % count];
    if (!scene.kind->class || is_kind(&scene, ":kafka:")) return -1;
    scene.is_model = is_kind(&scene, ":file:") && which >= 128;
    scene.is_folder = scene.is_model && draw_byte(&scene.draw) % 2 == 0;
    ingest_reset();
    ingest.hold_acks = is_kind(&scene, ":generator:"); /* it has no end, and no time goes by */
    ingest.credit = 16 * 1024;
    scene.stage = stage_create(1, NULL);
    stage_add(scene.stage, &ingest_class, "recorder", (bytes_t){0});
    must(mkfifo(pipe_path, 0600) == 0);
    write_to(secret_path, O_CREAT, (bytes_t){(const uint8_t *)"word\n", 5});
    line_write(&scene);
    if (!scene.is_model) cursor_draw(&scene);
    source_start(&scene);
    for (int i = 0; i < STEPS_MAX && scene.draw.size > 0 && scene.is_created && ingest.failure[0] == '\0'; i++) step(&scene);
    if (scene.is_model && scene.is_created) lines_check(&scene);
    stage_destroy(&scene.stage);
    if (scene.connection >= 0) close(scene.connection);
    while ((scene.connection = accept(redis_listener, NULL, NULL)) >= 0) close(scene.connection);
    ingest_reset();
    folder_empty();
    return 0;
}
