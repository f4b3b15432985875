/* The manual pages. What can be typed comes from the tables that the programs go by, so a page knows every flag and no other; what is
 * written here is only what no table says. */
#include "manual.h"

#include <string.h>

#include "actors/runtime/settings.h"
#include "client/command.h"
#include "messages/connectors.h"
#include "roff.h"

static void see_also(FILE *out, const char *const pages[]) {
    roff_section(out, "SEE ALSO");
    fputs(".PP\n", out);
    for (; *pages; pages++) {
        fprintf(out, ".BR %s%s\n", *pages, pages[1] ? " ," : "");
    }
}

/* ---- reprise(1) ---- */

static void flags_print(FILE *out, const flag_t *flags) {
    for (; flags && flags->name; flags++) {
        char name[64];
        snprintf(name, sizeof name, "--%s", flags->name);
        roff_entry(out, name, flags->value, flags->doc);
    }
}

static void commands_print(FILE *out) {
    roff_section(out, "COMMANDS");
    for (const command_t *const *at = commands; *at; at++) {
        const command_t *command = *at;
        char title[128];
        if (command->hidden) {
            continue;
        }
        snprintf(title, sizeof title, "%s %s", command->name, command->synopsis);
        roff_subsection(out, title);
        roff_text(out, command->doc);
        if (command->more) {
            roff_text(out, command->more);
        }
        flags_print(out, command->flags);
    }
}

static void fields_print(FILE *out, const record_class_t *record) {
    roff_in(out);
    for (const field_t *field = record->fields; field->name; field++) {
        roff_entry(out, field->name, field->required ? "(required)" : NULL, field->doc);
    }
    roff_out(out);
}

static void sources_print(FILE *out) {
    size_t count;
    const connector_t *list = connectors(&count);
    roff_section(out, "SOURCES");
    roff_text(
        out,
        "A source is named by a URL, `scheme://user@server/path?field=value&…`. The server and the path are fields of the source, as the "
        "examples show; the other fields stand behind `?`. `%26` is `&` and so on, times may be written `5s`, and sizes `64KiB`. "
        "An `s` behind the scheme means TLS, where the source has `tls`. A password is never in a URL: see `password_file`.");
    for (size_t i = 0; i < count; i++) {
        roff_subsection(out, list[i].example);
        roff_text(out, list[i].doc);
        if (list[i].payload) {
            fields_print(out, list[i].payload);
        }
    }
}

static void options_print(FILE *out) {
    roff_section(out, "OPTIONS OF THE ENGINE");
    roff_text(out, "What `reprise options` shows and changes while the engine runs. A change outlives a restart.");
    for (const field_t *field = message_class(MSG_OPTIONS)->record.fields; field->name; field++) {
        roff_entry(out, field->name, NULL, field->doc);
    }
}

static void reprise_print(FILE *out) {
    roff_begin(out, "reprise", "1", "User Commands");
    roff_section(out, "NAME");
    fputs("reprise \\- record live streams once and replay them the same way every time\n", out);
    roff_section(out, "SYNOPSIS");
    fputs("\\fBreprise\\fR [\\fIFLAG\\fR ...] \\fICOMMAND\\fR [\\fIFLAG\\fR ...] [\\fIARGUMENT\\fR ...]\n", out);
    roff_section(out, "DESCRIPTION");
    roff_text(out, "`reprise` talks to an engine, `reprised`: it has sources recorded under limits, says whether a recording is still "
                   "valid, and replays "
                   "it, element for element the same to everybody who asks.");
    roff_section(out, "FLAGS OF EVERY COMMAND");
    flags_print(out, common_flags);
    roff_entry(out, "--version", NULL, "Print the version. It stands in place of a command.");
    commands_print(out);
    sources_print(out);
    options_print(out);
    roff_section(out, "EXIT STATUS");
    roff_entry(out, "0", NULL, "Done.");
    roff_entry(out, "1", NULL, "Refused, failed, or damaged.");
    roff_entry(out, "2", NULL, "Wrong arguments.");
    roff_entry(out, "3", NULL, "There is no engine, or it did not answer in time.");
    roff_section(out, "ENVIRONMENT");
    roff_entry(out, "REPRISE_ENGINE", NULL, "The engine's endpoint for commands, where `--engine` is not given.");
    roff_entry(out, "REPRISE_KEY", NULL, "Your key, where `--key` is not given.");
    roff_entry(out, "REPRISE_SERVER_KEY", NULL, "The engine's public key, where `--server-key` is not given.");
    roff_section(out, "EXAMPLES");
    roff_text(out, "Record a log for at most a minute and a gigabyte, and replay it:\n\n"
                   "  reprise record --name app file:///var/log/app.log --limit 60s,1GB\n"
                   "  reprise replay app\n\n"
                   "Show that two replays are the same:\n\n"
                   "  reprise replay app --digest");
    see_also(out, (const char *const[]){"reprised (8)", "reprised.conf (5)", NULL});
}

/* ---- reprised(8) and reprised.conf(5) ---- */

static void settings_list(FILE *out, bool of_file) {
    setting_told_t told;
    for (size_t i = 0; settings_tell(i, &told); i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s%s", of_file ? "" : "--", told.name, of_file ? " =" : "");
        if (!of_file || told.in_file) {
            roff_entry(out, name, told.argument ? told.argument : of_file ? "true|false" : NULL, told.doc);
        }
    }
}

static void reprised_print(FILE *out) {
    roff_begin(out, "reprised", "8", "System Administration");
    roff_section(out, "NAME");
    fputs("reprised \\- the engine of Reprise, which records live streams and replays them\n", out);
    roff_section(out, "SYNOPSIS");
    fputs("\\fBreprised\\fR [\\fIFLAG\\fR ...]\n", out);
    roff_section(out, "DESCRIPTION");
    roff_text(
        out,
        "`reprised` records sources into its data folder and serves the recordings as test streams, over ZeroMQ and to Apache Beam over "
        "gRPC. "
        "`reprise` tells it what to do.\n\n"
        "It is two processes: a small one, the guard, starts the engine, and starts it again when it crashes, on the same ports and with "
        "the same folder. Jobs that were running go on. When everything serves, one line `ready` with the endpoints is printed.");
    roff_section(out, "FLAGS");
    roff_text(out, "Each may be written `--name value` or `--name=value`.");
    settings_list(out, false);
    roff_section(out, "SIGNALS");
    roff_entry(out, "SIGTERM, SIGINT, SIGHUP", NULL,
               "Stop in order; SIGHUP not where it is ignored, as under `nohup`. A second one ends the engine at once.");
    roff_section(out, "EXIT STATUS");
    roff_entry(out, "0", NULL, "Stopped in order: by a signal, or by `reprise stop`.");
    roff_entry(out, "1", NULL, "It could not start, was told twice to stop, or crashed too often.");
    roff_entry(out, "2", NULL, "Wrong flags or configuration.");
    roff_entry(out, "3", NULL, "Another engine has the data folder.");
    roff_entry(out, "70", NULL,
               "An actor hung, or failed too often. The guard takes that for a crash, so it is seen only with `--no-guard`.");
    roff_section(out, "FILES");
    roff_entry(out, "$XDG_STATE_HOME/reprise, ~/.local/state/reprise", NULL, "The data folder, where `--data` is not given.");
    roff_entry(out, "recordings/", NULL, "In the data folder: each recording in a folder of its own.");
    roff_entry(out, "crashes.log", NULL, "In the data folder: the backtraces of crashes.");
    roff_entry(out, "/etc/default/reprised", NULL,
               "`REPRISED_FLAGS`, the flags of the service of systemd, whose data is in `/var/lib/reprise`.");
    see_also(out, (const char *const[]){"reprise (1)", "reprised.conf (5)", "systemctl (1)", NULL});
}

static const char bind_text[] =
    "A section `bind` says what runs a source that is written down for another system, such as a Pub/Sub read in a pipeline of Apache "
    "Beam. Each section "
    "in it is a binding, by whatever name:\n\n"
    "  bind\n"
    "      clicks\n"
    "          urn = \"beam:transform:pubsub_read:v1\"\n"
    "          when\n"
    "              topic = \"projects/*/topics/clicks\"\n"
    "          source = \"reprise:source:file:v1\"\n"
    "          payload\n"
    "              path = \"/tmp/{topic:last}.json\"\n"
    "              format = \"json\"\n\n"
    "Of a source, the first binding counts whose `urn` and whose fields of `when` are its own; `*` stands for any text.";

static void conf_print(FILE *out) {
    roff_begin(out, "reprised.conf", "5", "File Formats");
    roff_section(out, "NAME");
    fputs("reprised.conf \\- what reprised reads its settings from\n", out);
    roff_section(out, "DESCRIPTION");
    roff_text(
        out,
        "The file that `reprised --config FILE` reads may have any name. It is in ZPL, the property language of ZeroMQ: `name = value`, "
        "one "
        "a line, a value in quotes where it has blanks; a line that begins with `#` is a comment. A section is a name alone, and what is "
        "in it stands four blanks to the right.\n\n"
        "A flag of the same name wins over the file. `reprised --check-config` prints the settings in force as such a file. What can be "
        "changed while the engine runs is not in it: see `options` in reprise(1).");
    roff_section(out, "SETTINGS");
    settings_list(out, true);
    roff_section(out, "BINDINGS");
    roff_text(out, bind_text);
    roff_entry(out, "urn =", "URN", "Of the source in the pipeline.");
    roff_entry(out, "when", NULL, "A section: what fields of its payload must be, all of them.");
    roff_entry(out, "source =", "URN", "Of what runs it: a source of the engine, or one that a worker says.");
    roff_entry(out, "payload", NULL,
               "A section: what that gets. `{topic}` is a field of the source's own payload, `{topic:last}` what follows its last slash. "
               "Without this "
               "section a worker gets the source's payload as it is.");
    roff_entry(out, "coder =", "CODER",
               "For a source of the engine: how its elements are encoded, as coders of Beam would; `bytes` for example.");
    roff_section(out, "EXAMPLES");
    roff_text(out, "  data = \"/srv/reprise\"\n  port = 6000\n  durability = \"sync\"");
    see_also(out, (const char *const[]){"reprise (1)", "reprised (8)", NULL});
}

int manual_print(FILE *out, const char *page) {
    static const struct {
        const char *name;
        void (*print)(FILE *out);
    } pages[] = {{"reprise.1", reprise_print}, {"reprised.8", reprised_print}, {"reprised.conf.5", conf_print}};
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (strcmp(pages[i].name, page) == 0) {
            pages[i].print(out);
            return 0;
        }
    }
    return -1;
}
