/* The command line: which command, which flags, and the help.
 * All of it is driven by the commands' tables, so that what `--help` says is what is taken. The flags that every command takes may stand
 * before the command or after it. */
#include "command.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "print.h"
#include "units.h"

const flag_t common_flags[] = {
    {"engine", "ENDPOINT", "The engine's endpoint for commands. Default: $REPRISE_ENGINE, or tcp://127.0.0.1:5570."},
    {"json", NULL, "Print one JSON document instead of text."},
    {"timeout", "TIME", "Wait this long for an answer, `10s` by default; with it, as long for the engine to be there."},
    {"key", "FILE", "Your key, where the engine has keys. Default: $REPRISE_KEY."},
    {"server-key", "KEY", "The engine's public key, or its file. Default: $REPRISE_SERVER_KEY."},
    {"help", NULL, "Print this help."},
    {0},
};

enum { FLAGS_MAX = 24, FLAG_HELP = 5, FLAG_COLUMN = 24 };

/* ---- help ---- */

static void flags_print(FILE *out, const flag_t *flags) {
    for (; flags && flags->name; flags++) {
        int at = fprintf(out, "  --%s%s%s", flags->name, flags->value ? " " : "", flags->value ? flags->value : "");
        print_wrapped(out, flags->doc, FLAG_COLUMN, at);
    }
}

static void command_help(const command_t *command) {
    printf("reprise %s%s%s\n%s\n", command->name, command->synopsis[0] ? " " : "", command->synopsis, command->doc);
    if (command->more) {
        printf("\n%s\n", command->more);
    }
    printf("\n");
    flags_print(stdout, command->flags);
    flags_print(stdout, common_flags);
    if (command->help) {
        printf("\n");
        command->help(stdout);
    }
}

static void general_help(void) {
    printf("reprise [--engine ENDPOINT] COMMAND …\n"
           "Records live streams once and replays them the same way every time.\n\n");
    for (const command_t *const *command = commands; *command; command++) {
        if (!(*command)->hidden) {
            printf("  %-12s %s\n", (*command)->name, (*command)->doc);
        }
    }
    printf("\nEvery command takes:\n");
    flags_print(stdout, common_flags);
    printf("\n`reprise COMMAND --help` tells more, and `reprise --version` the version. Exit\n"
           "status: 0 done, 1 refused or failed, 2 wrong arguments, 3 no engine or no answer\n"
           "in time.\n");
}

/* ---- parsing ---- */

const command_t *command_find(const char *name) {
    for (const command_t *const *command = commands; *command; command++) {
        if (strcmp((*command)->name, name) == 0) {
            return *command;
        }
    }
    return NULL;
}

const flag_t *flag_find(const flag_t *own, const char *name, size_t size) {
    for (const flag_t *table = common_flags; table; table = table == common_flags ? own : NULL) {
        for (const flag_t *flag = table; flag->name; flag++) {
            if (strlen(flag->name) == size && memcmp(flag->name, name, size) == 0) {
                return flag;
            }
        }
    }
    return NULL;
}

/* The flags of both tables as getopt_long wants them; the value of one is its index. */
static void flags_gather(const flag_t *own, const flag_t *all[], struct option options[]) {
    size_t count = 0;
    for (const flag_t *table = common_flags; table; table = table == common_flags ? own : NULL) {
        for (const flag_t *flag = table; flag->name; flag++) {
            must(count < FLAGS_MAX);
            all[count] = flag;
            options[count] = (struct option){flag->name, flag->value ? required_argument : no_argument, NULL, 256 + (int)count};
            count++;
        }
    }
    options[count] = (struct option){0};
}

status_t common_take(client_t *client, const flag_t *flag, const char *value) {
    fault_t why;
    switch (flag - common_flags) {
    case 0:
        client->engine = value;
        client->engine_given = true;
        return STATUS_OK;
    case 1: client->json = true; return STATUS_OK;
    case 3: client->key = value; return STATUS_OK;
    case 4: client->server_key = value; return STATUS_OK;
    default:
        if (units_parse_duration(value, &client->timeout_ms, &why) == -1) {
            return client_fail(client, STATUS_USAGE, "--timeout: %s", why.text);
        }
        client->reach_ms = client->timeout_ms;
        return STATUS_OK;
    }
}

/* Flags until the first argument (`first`), or all of them. *ret_help: --help was among them. */
static status_t flags_take(client_t *client, call_t *call, const flag_t *own, int count, char **arguments, bool first, bool *ret_help) {
    static const flag_t none[] = {{0}};
    const flag_t *all[FLAGS_MAX + 1];
    struct option options[FLAGS_MAX + 1];
    flags_gather(own ? own : none, all, options);
    opterr = 0;
    optind = 0; /* glibc: begin anew */
    int found;
    while ((found = getopt_long(count, arguments, first ? "+:h" : ":h", options, NULL)) != -1) {
        if (found == ':') {
            return client_fail(client, STATUS_USAGE, "`%s` needs a value", arguments[optind - 1]);
        }
        if (found == '?') {
            return client_fail(client, STATUS_USAGE, "there is no option `%s`", arguments[optind - 1]);
        }
        const flag_t *flag = found == 'h' ? &common_flags[FLAG_HELP] : all[found - 256];
        if (flag == &common_flags[FLAG_HELP]) {
            *ret_help = true;
            return STATUS_OK;
        }
        if (flag >= common_flags && flag < common_flags + FLAG_HELP) {
            status_t status = common_take(client, flag, optarg);
            if (status != STATUS_OK) {
                return status;
            }
            continue;
        }
        if (call->given_count == GIVEN_MAX) {
            return client_fail(client, STATUS_USAGE, "more than %d options", GIVEN_MAX);
        }
        call->given[call->given_count].flag = flag;
        call->given[call->given_count++].value = optarg;
    }
    return STATUS_OK;
}

static status_t command_run(client_t *client, call_t *call, int count, char **arguments) {
    const command_t *command = call->command;
    bool help = false;
    status_t status = flags_take(client, call, command->flags, count, arguments, false, &help);
    if (status != STATUS_OK) {
        return status;
    }
    if (help) {
        command_help(command);
        return STATUS_OK;
    }
    call->count = count - optind;
    call->arguments = arguments + optind;
    if (call->count < command->arguments_min || call->count > command->arguments_max) {
        return client_fail(client, STATUS_USAGE, "too %s arguments: `reprise %s%s%s`",
                           call->count < command->arguments_min ? "few" : "many", command->name, command->synopsis[0] ? " " : "",
                           command->synopsis);
    }
    return command->run(client, call);
}

/* ---- errors ---- */

static void error_print(client_t *client, const call_t *call, status_t status) {
    refusal_t no = client->no;
    print_clean(no.message);
    if (client->json && !client->printed && status != STATUS_USAGE) {
        json_t *error = json_pack("{s:s, s:s}", "code", error_name(no.code), "message", no.message);
        if (no.field[0]) {
            json_object_set_new(error, "field", json_string(no.field));
        }
        if (no.retry) {
            json_object_set_new(error, "retry", json_true());
        }
        client_print_json(client, json_pack("{s:b, s:o}", "ok", 0, "error", error));
    }
    fflush(stdout);
    fprintf(stderr, "reprise: %s\n", no.message);
    if (status == STATUS_USAGE) {
        fprintf(stderr, "reprise: see `reprise %s%s--help`\n", call->command ? call->command->name : "", call->command ? " " : "");
    }
}

static status_t line_run(client_t *client, call_t *call, int count, char **arguments) {
    if (count > 1 && strcmp(arguments[1], "--version") == 0) {
        printf("reprise %s\n", REPRISE_VERSION);
        return STATUS_OK;
    }
    bool help = false;
    status_t status = flags_take(client, call, NULL, count, arguments, true, &help);
    if (status != STATUS_OK) {
        return status;
    }
    if (help) {
        general_help();
        return STATUS_OK;
    }
    if (optind == count) {
        return client_fail(client, STATUS_USAGE, "which command?");
    }
    int at = optind;
    call->command = command_find(arguments[at]);
    if (!call->command) {
        return client_fail(client, STATUS_USAGE, "there is no command `%s`", arguments[at]);
    }
    return command_run(client, call, count - at, arguments + at);
}

int command_main(int count, char **arguments) {
    client_t client;
    client_init(&client);
    const char *engine = getenv("REPRISE_ENGINE");
    if (engine && *engine) {
        client.engine = engine;
    }
    call_t call = {0};
    status_t status = line_run(&client, &call, count, arguments);
    if (status != STATUS_OK && client.no.message[0] && status != STATUS_INTERRUPTED) {
        error_print(&client, &call, status);
    }
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == STATUS_OK) {
        perror("reprise: cannot write to standard output");
        status = STATUS_FAILED;
    }
    client_fini(&client);
    return (int)status;
}

/* ---- what was typed ---- */

const char *call_next(const call_t *call, const char *flag, size_t *at) {
    const flag_t *known = call->command->flags;
    while (known->name && strcmp(known->name, flag) != 0) {
        known++;
    }
    must(known->name);
    while (*at < call->given_count) {
        size_t i = (*at)++;
        if (call->given[i].flag == known) {
            return call->given[i].value ? call->given[i].value : "";
        }
    }
    return NULL;
}

const char *call_value(const call_t *call, const char *flag) {
    const char *value, *last = NULL;
    size_t at = 0;
    while ((value = call_next(call, flag, &at))) {
        last = value;
    }
    return last;
}

bool call_has(const call_t *call, const char *flag) {
    return call_value(call, flag) != NULL;
}

names_t call_names(const call_t *call, const char *flag) {
    names_t names = {0, calloc(GIVEN_MAX, sizeof *names.items)};
    must(names.items);
    const char *value;
    size_t at = 0;
    while ((value = call_next(call, flag, &at))) {
        names.items[names.count++] = value;
    }
    return names;
}

status_t call_quantity(client_t *client, const call_t *call, const char *flag, quantity_fn *parse, bool *ret_given, int64_t *ret_value) {
    const char *text = call_value(call, flag);
    *ret_given = text != NULL;
    fault_t why;
    if (text && parse(text, ret_value, &why) == -1) {
        return client_fail(client, STATUS_USAGE, "--%s: %s", flag, why.text);
    }
    return STATUS_OK;
}

status_t call_limits(client_t *client, const call_t *call, msg_limits_t *limits) {
    const char *text;
    size_t at = 0;
    fault_t why;
    *limits = (msg_limits_t){.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .count = LIMIT_NONE};
    while ((text = call_next(call, "limit", &at))) {
        if (units_parse_limits(text, limits, &why) == -1) {
            return client_fail(client, STATUS_USAGE, "--limit: %s", why.text);
        }
    }
    return STATUS_OK;
}
