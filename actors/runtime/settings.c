/* Settings are few and flat: each has a name, which is its flag and its key in the file, and a function that takes its text. */
#include "settings.h"

#include <czmq.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../bindings.h"
#include "../store/keyring.h"
#include "endpoint.h"

#define SEGMENT_BYTES INT64_C(134217728)
#define PORT_DEFAULT 5570
#define PORTS (ENDPOINT_COUNT + 1) /* the endpoints', and Beam's */
#define HEARTBEAT_MS 60000
#define CRASHES_DEFAULT 10
#define CRASHES_MOST 999

typedef struct draft {
    config_t config;
    bool beam_given;
    settings_action_t action;
    const char *file;
} draft_t;

typedef int take_fn(draft_t *draft, const char *text, fault_t *why);

static int take_data(draft_t *draft, const char *text, fault_t *why) {
    if (text[0] == '\0' || strlen(text) >= sizeof draft->config.data) return fault_set(why, "`data`: `%s` is no folder's name", text);
    snprintf(draft->config.data, sizeof draft->config.data, "%s", text);
    return 0;
}

static int take_keys(draft_t *draft, const char *text, fault_t *why) {
    if (text[0] == '\0' || strlen(text) >= sizeof draft->config.keys) return fault_set(why, "`keys`: `%s` is no folder's name", text);
    snprintf(draft->config.keys, sizeof draft->config.keys, "%s", text);
    return 0;
}

static int take_port(draft_t *draft, const char *text, fault_t *why) {
    char *end;
    long port = strtol(text, &end, 10);
    if (end == text || *end || port < 1 || port > 65535 - (PORTS - 1))
        return fault_set(why, "`port` must be a whole number from 1 to %d, not `%s`", 65535 - (PORTS - 1), text);
    for (int i = 0; i < ENDPOINT_COUNT; i++)
        snprintf(draft->config.endpoints[i], sizeof draft->config.endpoints[i], "tcp://127.0.0.1:%ld", port + i);
    snprintf(draft->config.beam, sizeof draft->config.beam, "127.0.0.1:%ld", port + ENDPOINT_COUNT);
    return 0;
}

static int take_endpoint(draft_t *draft, endpoint_id_t id, const char *name, const char *text, fault_t *why) {
    bool tcp = strncmp(text, "tcp://", 6) == 0, ipc = strncmp(text, "ipc://", 6) == 0;
    if (!(tcp || ipc) || text[6] == '\0' || strcmp(text, "ipc://*") == 0 || (tcp && !endpoint_has_port(text)) ||
        strlen(text) >= sizeof draft->config.endpoints[id])
        return fault_set(why, "`%s` must be an endpoint such as tcp://127.0.0.1:5570 or ipc:///run/reprise/commands, not `%s`", name, text);
    snprintf(draft->config.endpoints[id], sizeof draft->config.endpoints[id], "%s", text);
    return 0;
}

static int take_commands(draft_t *draft, const char *text, fault_t *why) {
    return take_endpoint(draft, ENDPOINT_COMMANDS, "commands", text, why);
}

static int take_ingest(draft_t *draft, const char *text, fault_t *why) {
    return take_endpoint(draft, ENDPOINT_INGEST, "ingest", text, why);
}

static int take_test_stream(draft_t *draft, const char *text, fault_t *why) {
    return take_endpoint(draft, ENDPOINT_TEST_STREAM, "test-stream", text, why);
}

static int take_notifications(draft_t *draft, const char *text, fault_t *why) {
    return take_endpoint(draft, ENDPOINT_NOTIFICATIONS, "notifications", text, why);
}

static int take_beam(draft_t *draft, const char *text, fault_t *why) {
    const char *address = strncmp(text, "tcp://", 6) == 0 ? text + 6 : text;
    bool off = strcmp(text, "off") == 0;
    if (!off && (!endpoint_has_port(address) || address[0] == ':' || strlen(address) >= sizeof draft->config.beam))
        return fault_set(why, "`beam` must be an address such as 127.0.0.1:5574, or off, not `%s`", text);
    snprintf(draft->config.beam, sizeof draft->config.beam, "%s", off ? "" : address);
    draft->beam_given = true;
    return 0;
}

static int take_beam_ports(draft_t *draft, const char *text, fault_t *why) {
    char *dash, *end = NULL;
    long first = strtol(text, &dash, 10), last = *dash == '-' ? strtol(dash + 1, &end, 10) : 0;
    if (text[0] < '0' || text[0] > '9' || !end || dash[1] < '0' || dash[1] > '9' || *end || first < 1 || last < first || last > 65535)
        return fault_set(why, "`beam-ports` must be two ports such as 5600-5699, not `%s`", text);
    draft->config.beam_first = (int32_t)first;
    draft->config.beam_last = (int32_t)last;
    return 0;
}

static int take_file(const char *name, const char *text, char *ret_path, size_t size, fault_t *why) {
    if (text[0] == '\0' || strlen(text) >= size) return fault_set(why, "`%s`: `%s` is no file's name", name, text);
    snprintf(ret_path, size, "%s", text);
    return 0;
}

static int take_beam_cert(draft_t *draft, const char *text, fault_t *why) {
    return take_file("beam-tls-cert", text, draft->config.beam_cert, sizeof draft->config.beam_cert, why);
}

static int take_beam_key(draft_t *draft, const char *text, fault_t *why) {
    return take_file("beam-tls-key", text, draft->config.beam_key, sizeof draft->config.beam_key, why);
}

static int take_beam_ca(draft_t *draft, const char *text, fault_t *why) {
    return take_file("beam-tls-ca", text, draft->config.beam_ca, sizeof draft->config.beam_ca, why);
}

static const char *const durabilities[] = {[DURABILITY_ASYNC] = "async", [DURABILITY_INTERVAL] = "interval", [DURABILITY_SYNC] = "sync"};

static int take_durability(draft_t *draft, const char *text, fault_t *why) {
    for (size_t i = 0; i < sizeof durabilities / sizeof durabilities[0]; i++) {
        if (strcmp(text, durabilities[i]) != 0) continue;
        draft->config.durability = (durability_t)i;
        return 0;
    }
    return fault_set(why, "`durability` must be async, interval or sync, not `%s`", text);
}

static int take_yes(const char *name, const char *text, bool *ret_yes, fault_t *why) {
    static const char *const words[] = {"false", "true", "0", "1", "no", "yes"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i]) != 0) continue;
        *ret_yes = i % 2 == 1;
        return 0;
    }
    return fault_set(why, "`%s` must be true or false, not `%s`", name, text);
}

static int take_chaos(draft_t *draft, const char *text, fault_t *why) {
    return take_yes("chaos", text, &draft->config.chaos, why);
}

static int take_insecure(draft_t *draft, const char *text, fault_t *why) {
    return take_yes("insecure", text, &draft->config.insecure, why);
}

static int take_no_guard(draft_t *draft, const char *text, fault_t *why) {
    bool alone = false;
    if (take_yes("no-guard", text, &alone, why) < 0) return -1;
    draft->config.guarded = !alone;
    return 0;
}

static int take_number(const char *name, const char *text, int64_t least, int64_t most, int64_t *ret_number, fault_t *why) {
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end || errno || number < least || number > most)
        return fault_set(why, "`%s` must be a whole number from %lld to %lld, not `%s`", name, (long long)least, (long long)most, text);
    *ret_number = number;
    return 0;
}

static int take_crashes(draft_t *draft, const char *text, fault_t *why) {
    return take_number("crashes", text, 0, CRASHES_MOST, &draft->config.crashes_max, why);
}

static int take_segment_bytes(draft_t *draft, const char *text, fault_t *why) {
    return take_number("segment-bytes", text, 4096, INT64_C(4294967296), &draft->config.segment_bytes, why);
}

static int take_memory_max(draft_t *draft, const char *text, fault_t *why) {
    return take_number("memory-max", text, INT64_C(134217728), INT64_C(1099511627776), &draft->config.memory_max, why);
}

static int take_heartbeat(draft_t *draft, const char *text, fault_t *why) {
    return take_number("heartbeat-ms", text, 0, 86400000, &draft->config.heartbeat_ms, why);
}

static int take_config(draft_t *draft, const char *text, fault_t *why) {
    (void)why;
    draft->file = text;
    return 0;
}

static int take_check(draft_t *draft, const char *text, fault_t *why) {
    (void)text, (void)why;
    draft->action = SETTINGS_CHECK;
    return 0;
}

static int take_help(draft_t *draft, const char *text, fault_t *why) {
    (void)text, (void)why;
    draft->action = SETTINGS_HELP;
    return 0;
}

static int take_version(draft_t *draft, const char *text, fault_t *why) {
    (void)text, (void)why;
    draft->action = SETTINGS_VERSION;
    return 0;
}

/* Settings are taken in this order wherever they stand: the file before what is in it and over it, and a port before single endpoints. */
typedef enum turn { TURN_FILE, TURN_PORT, TURN_REST } turn_t;

typedef struct setting {
    const char *name;
    const char *argument; /* NULL: a flag alone means yes */
    bool in_file;
    turn_t turn;
    take_fn *take;
    const char *doc;
} setting_t;

static const setting_t settings[] = {
    {"config", "FILE", false, TURN_FILE, take_config, "Read settings from this file (ZPL). Flags win."},
    {"data", "DIR", true, TURN_REST, take_data, "The data folder. Default: $XDG_STATE_HOME/reprise."},
    {"port", "N", true, TURN_PORT, take_port, "Listen on 127.0.0.1, ports N to N+4. Default: 5570."},
    {"commands", "ENDPOINT", true, TURN_REST, take_commands, "Where clients ask (ROUTER)."},
    {"ingest", "ENDPOINT", true, TURN_REST, take_ingest, "Where sources send elements (ROUTER)."},
    {"test-stream", "ENDPOINT", true, TURN_REST, take_test_stream, "Where replays are read (ROUTER)."},
    {"notifications", "ENDPOINT", true, TURN_REST, take_notifications, "Where news is published (PUB)."},
    {"beam", "ADDR", true, TURN_REST, take_beam, "Where Apache Beam calls (gRPC), HOST:PORT; or off."},
    {"beam-ports", "A-B", true, TURN_REST, take_beam_ports, "Give each pipeline a port of its own from these."},
    {"beam-tls-cert", "FILE", true, TURN_REST, take_beam_cert, "With these two Beam calls over TLS (PEM)."},
    {"beam-tls-key", "FILE", true, TURN_REST, take_beam_key, "The certificate's private key."},
    {"beam-tls-ca", "FILE", true, TURN_REST, take_beam_ca, "Callers need a certificate that this one signed."},
    {"durability", "POLICY", true, TURN_REST, take_durability, "async, interval (default) or sync."},
    {"segment-bytes", "N", true, TURN_REST, take_segment_bytes, "A segment file's size. Default: 134217728."},
    {"heartbeat-ms", "N", true, TURN_REST, take_heartbeat, "Close a connection silent so long. Default: 60000."},
    {"memory-max", "BYTES", true, TURN_REST, take_memory_max, "End an engine that needs more. Default: no bound."},
    {"keys", "DIR", true, TURN_REST, take_keys, "Let in only clients whose keys are in this folder."},
    {"chaos", NULL, true, TURN_REST, take_chaos, "Accept `chaos.*` requests, for tests."},
    {"insecure", NULL, true, TURN_REST, take_insecure, "Allow endpoints that other machines can reach."},
    {"crashes", "N", true, TURN_REST, take_crashes, "Give up after more crashes in a minute. Default: 10."},
    {"no-guard", NULL, true, TURN_REST, take_no_guard, "Run in one process, that nobody restarts."},
    {"check-config", NULL, false, TURN_REST, take_check, "Print the settings in force, and exit."},
    {"help", NULL, false, TURN_REST, take_help, "Print this, and exit."},
    {"version", NULL, false, TURN_REST, take_version, "Print the version, and exit."},
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

static const setting_t *find(const char *name, size_t size) {
    for (size_t i = 0; i < SETTINGS; i++)
        if (strlen(settings[i].name) == size && strncmp(settings[i].name, name, size) == 0) return &settings[i];
    return NULL;
}

/* ZPL knows no escapes: what it cannot say stands in no flag either, or --check-config would print something else. */
static bool is_sayable(const char *text) {
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f) return false;
    return !strchr(text, '"') || !strchr(text, '\'');
}

static int take(draft_t *draft, const setting_t *setting, const char *text, fault_t *why) {
    if (is_sayable(text)) return setting->take(draft, text, why);
    return fault_set(why, "`%s` must have no control characters and not both kinds of quotes, which `%s` has", setting->name, text);
}

static int default_data(draft_t *draft, fault_t *why) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char path[sizeof draft->config.data + 1];
    if (state && state[0] == '/')
        snprintf(path, sizeof path, "%s/reprise", state);
    else
        snprintf(path, sizeof path, "%s/.local/state/reprise", home ? home : "/var/lib");
    return take(draft, find("data", 4), path, why);
}

/* The sections within `item` in ZPL again. -1: they are more than there is room for, or something in them cannot be said. */
static int bindings_write(draft_t *draft, zconfig_t *item, int depth, fault_t *why) {
    char *text = draft->config.bindings;
    for (zconfig_t *child = zconfig_child(item); child; child = zconfig_next(child)) {
        const char *value = zconfig_child(child) ? NULL : zconfig_value(child) ? zconfig_value(child) : "";
        size_t used = strlen(text), size = sizeof draft->config.bindings - used;
        if (value && !is_sayable(value))
            return fault_set(why, "`bind`: `%s` must have no control characters and not both kinds of quotes", zconfig_name(child));
        char quote = value && strchr(value, '"') ? '\'' : '"';
        int wrote = value ? snprintf(text + used, size, "%*s%s = %c%s%c\n", 4 * depth, "", zconfig_name(child), quote, value, quote)
                          : snprintf(text + used, size, "%*s%s\n", 4 * depth, "", zconfig_name(child));
        if (wrote < 0 || (size_t)wrote >= size) return fault_set(why, "`bind` has more than %zu bytes", sizeof draft->config.bindings - 1);
        if (bindings_write(draft, child, depth + 1, why) < 0) return -1;
    }
    return 0;
}

static int take_bindings(draft_t *draft, zconfig_t *item, fault_t *why) {
    draft->config.bindings[0] = '\0';
    if (zconfig_value(item) && zconfig_value(item)[0])
        return fault_set(why, "`bind` is a section and has no value, such as \"%s\"", zconfig_value(item));
    if (bindings_write(draft, item, 0, why) < 0) return -1;
    bindings_t *bindings = bindings_create(draft->config.bindings, why);
    if (!bindings) return -1;
    bindings_destroy(&bindings);
    return 0;
}

/* What the file says at this turn. */
static int read_items(draft_t *draft, zconfig_t *root, turn_t turn, fault_t *why) {
    for (zconfig_t *item = zconfig_child(root); item; item = zconfig_next(item)) {
        const char *name = zconfig_name(item), *value = zconfig_value(item);
        const setting_t *setting = find(name, strlen(name));
        if (strcmp(name, "bind") == 0) {
            if (turn == TURN_REST && take_bindings(draft, item, why) < 0) return -1;
            continue;
        }
        if (!setting || !setting->in_file) return fault_set(why, "no setting is called `%s`", name);
        if (zconfig_child(item))
            return fault_set(why, "`%s` is a setting and has none in it, such as `%s`", name, zconfig_name(zconfig_child(item)));
        if (setting->turn == turn && take(draft, setting, value ? value : "", why) < 0) return -1;
    }
    return 0;
}

static int read_file(draft_t *draft, const char *path, fault_t *why) {
    if (!zsys_file_exists(path) || S_ISDIR(zsys_file_mode(path)))
        return fault_set(why, "cannot read the configuration file %s: there is no such file", path);
    zconfig_t *root = zconfig_load(path);
    if (!root) return fault_set(why, "cannot read the configuration file %s: it is not ZPL", path);
    int result = read_items(draft, root, TURN_PORT, why);
    if (result == 0) result = read_items(draft, root, TURN_REST, why);
    zconfig_destroy(&root);
    return result == 0 ? 0 : fault_set(why, "%s: %s", path, why->text);
}

/* `--name=value`, `--name value`, or `--name`: those that are taken at this turn. */
static int read_flags(draft_t *draft, int argc, char **argv, turn_t turn, fault_t *why) {
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i], *equals = strchr(argument, '=');
        if (strncmp(argument, "--", 2) != 0) return fault_set(why, "`%s` is no flag; see `reprised --help`", argument);
        size_t size = equals ? (size_t)(equals - argument) - 2 : strlen(argument) - 2;
        const setting_t *setting = find(argument + 2, size);
        if (!setting) return fault_set(why, "no flag `%.*s`; see `reprised --help`", (int)size + 2, argument);
        const char *value = equals ? equals + 1 : "true";
        if (!equals && setting->argument) {
            if (++i == argc) return fault_set(why, "`--%s` needs a value: %s", setting->name, setting->argument);
            value = argv[i];
        }
        if (setting->turn == turn && take(draft, setting, value, why) < 0) return -1;
    }
    return 0;
}

/* Keys of ours mean nothing to gRPC: where they are demanded, its callers need certificates, or nothing is served there. */
static int check_beam(draft_t *draft, fault_t *why) {
    const char *address = draft->config.beam;
    char endpoint[sizeof draft->config.beam + 8];
    snprintf(endpoint, sizeof endpoint, "tcp://%s", address);
    const config_t *config = &draft->config;
    bool guarded = config->beam_ca[0] != '\0';
    if (!config->beam_cert[0] != !config->beam_key[0])
        return fault_set(why, "`beam-tls-cert` and `beam-tls-key` belong together, and one of them is missing");
    if (guarded && !config->beam_cert[0]) return fault_set(why, "`beam-tls-ca` needs `beam-tls-cert` and `beam-tls-key`");
    if (config->keys[0] && !guarded && !draft->beam_given) draft->config.beam[0] = '\0';
    if (!address[0]) return 0;
    if (config->keys[0] && !guarded)
        return fault_set(
            why, "`beam`: with `keys` nobody is let in without a key, and %s knows none: give --beam-tls-ca, or say --beam off", address);
    if (!draft->config.insecure && !guarded && !endpoint_is_local(endpoint))
        return fault_set(
            why, "%s can be reached from other machines, and nothing guards it: give --beam-tls-ca, or say --insecure to allow that",
            address);
    for (int i = 0; i < ENDPOINT_COUNT; i++)
        if (strcmp(endpoint, draft->config.endpoints[i]) == 0) return fault_set(why, "%s is given for two endpoints", endpoint);
    return 0;
}

static int check(const draft_t *draft, fault_t *why) {
    for (int i = 0; i < ENDPOINT_COUNT; i++) {
        const char *endpoint = draft->config.endpoints[i];
        if (!draft->config.insecure && !draft->config.keys[0] && !endpoint_is_local(endpoint))
            return fault_set(why,
                             "%s can be reached from other machines, and nothing guards it: give --keys, or say --insecure to allow that",
                             endpoint);
        for (int k = 0; k < i; k++)
            if (strcmp(endpoint, draft->config.endpoints[k]) == 0) return fault_set(why, "%s is given for two endpoints", endpoint);
    }
    return 0;
}

int settings_read(int argc, char **argv, config_t *ret_config, settings_action_t *ret_action, fault_t *why) {
    draft_t draft = {.config = {.durability = DURABILITY_INTERVAL,
                                .segment_bytes = SEGMENT_BYTES,
                                .heartbeat_ms = HEARTBEAT_MS,
                                .guarded = true,
                                .crashes_max = CRASHES_DEFAULT}};
    char port[16];
    snprintf(port, sizeof port, "%d", PORT_DEFAULT);
    if (default_data(&draft, why) < 0 || take_port(&draft, port, why) < 0) return -1;
    if (read_flags(&draft, argc, argv, TURN_FILE, why) < 0) return -1;
    if (draft.file && read_file(&draft, draft.file, why) < 0) return -1;
    if (read_flags(&draft, argc, argv, TURN_PORT, why) < 0 || read_flags(&draft, argc, argv, TURN_REST, why) < 0) return -1;
    if (check(&draft, why) < 0 || check_beam(&draft, why) < 0) return -1;
    if (draft.config.keys[0] && draft.action == SETTINGS_RUN && keyring_secret(draft.config.keys, draft.config.secret, why) < 0) return -1;
    *ret_config = draft.config;
    *ret_action = draft.action;
    return 0;
}

bool settings_tell(size_t index, setting_told_t *ret) {
    if (index >= SETTINGS) return false;
    const setting_t *setting = &settings[index];
    *ret = (setting_told_t){setting->name, setting->argument, setting->doc, setting->in_file};
    return true;
}

void settings_help(FILE *out) {
    fprintf(out, "reprised [FLAG…]\n"
                 "Records live streams once and replays them the same way every time.\n\n");
    for (size_t i = 0; i < SETTINGS; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", settings[i].name, settings[i].argument ? " " : "",
                 settings[i].argument ? settings[i].argument : "");
        fprintf(out, "  %-24s %s\n", left, settings[i].doc);
    }
    fprintf(out, "\nWhen everything serves, one line `ready` with the endpoints is printed.\n"
                 "Exit status: 0 after an ordered stop, 2 for bad arguments or configuration,\n"
                 "3 when another engine has the data folder, 70 when an actor hung or failed\n"
                 "too often, 1 otherwise.\n");
}

static void print_text(FILE *out, const char *name, const char *value) {
    char quote = strchr(value, '"') ? '\'' : '"';
    fprintf(out, "%s = %c%s%c\n", name, quote, value, quote);
}

static void print_bindings(const char *bindings, FILE *out) {
    if (bindings[0]) fprintf(out, "bind\n");
    for (size_t size; *bindings; bindings += size) {
        size = strcspn(bindings, "\n") + 1;
        fprintf(out, "    %.*s", (int)size, bindings);
    }
}

void settings_print(const config_t *config, FILE *out) {
    static const char *const names[ENDPOINT_COUNT] = {"commands", "ingest", "test-stream", "notifications"};
    print_text(out, "data", config->data);
    for (int i = 0; i < ENDPOINT_COUNT; i++) print_text(out, names[i], config->endpoints[i]);
    print_text(out, "beam", config->beam[0] ? config->beam : "off");
    if (config->beam_first) fprintf(out, "beam-ports = %d-%d\n", config->beam_first, config->beam_last);
    if (config->beam_cert[0]) print_text(out, "beam-tls-cert", config->beam_cert);
    if (config->beam_key[0]) print_text(out, "beam-tls-key", config->beam_key);
    if (config->beam_ca[0]) print_text(out, "beam-tls-ca", config->beam_ca);
    fprintf(out, "durability = \"%s\"\nsegment-bytes = %lld\nchaos = %s\n", durabilities[config->durability],
            (long long)config->segment_bytes, config->chaos ? "true" : "false");
    fprintf(out, "heartbeat-ms = %lld\n", (long long)config->heartbeat_ms);
    if (config->memory_max > 0) fprintf(out, "memory-max = %lld\n", (long long)config->memory_max);
    fprintf(out, "crashes = %lld\nno-guard = %s\n", (long long)config->crashes_max, config->guarded ? "false" : "true");
    if (config->keys[0]) print_text(out, "keys", config->keys);
    if (config->insecure) fprintf(out, "insecure = true\n");
    print_bindings(config->bindings, out);
}
