/* What can stand next on a command line. The shells ask here rather than have lists of their own: the commands' tables say what flags and
 * arguments there are, the engine what they can be, and so nothing goes stale.
 *
 * Names come from whoever made the pipelines: what bash would read as more than a word is quoted, and what no terminal should see is
 * left out. */
#include "complete.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "print.h"
#include "scheme.h"
#include "units.h"

enum { WORDS_MAX = 256, WORD_ROOM = 1024 };

/* A line of bash, taken apart. */
typedef struct typed {
    char *text; /* the words, without their quotes */
    char *words[WORDS_MAX];
    size_t count;
    size_t cut; /* of the last word, bash keeps so many bytes */
    char quote; /* that is open, or 0 */
} typed_t;

typedef struct completion {
    client_t *client;
    FILE *out;
    const typed_t *line; /* NULL: not from bash */
    const char *prefix;  /* before what is completed: `--flag=` */
    size_t prefix_size;
    const char *word; /* what is typed so far */
    const command_t *command;
    char *arguments[WORDS_MAX];
    size_t count;        /* arguments before the word */
    const flag_t *flag;  /* whose value the word is; NULL: none */
    bool only_arguments; /* after `--` */
} completion_t;

/* ---- what is offered ---- */

static void bash_print(const completion_t *c, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    for (; *word; word++) {
        bool ordinary = strchr(plain, *word) || (uint8_t)*word >= 0x80;
        if (c->line->quote == '"' ? strchr("\"$`\\", *word) != NULL : c->line->quote == 0 && !ordinary) {
            fputc('\\', c->out);
        }
        fputc(*word, c->out);
    }
    fputc('\n', c->out);
}

static void offer(void *completion, const char *word, const char *doc) {
    completion_t *c = completion;
    char whole[WORD_ROOM], clean[WORD_ROOM];
    size_t size = strlen(c->word);
    if (strncmp(word, c->word, size) != 0 ||
        snprintf(whole, sizeof whole, "%.*s%s", (int)c->prefix_size, c->prefix, word) >= (int)sizeof whole) {
        return;
    }
    memcpy(clean, whole, sizeof clean);
    print_clean(clean);
    if (strcmp(clean, whole) != 0 || (c->line && c->line->quote == '\'' && strchr(whole, '\''))) {
        return;
    }
    if (c->line) {
        bash_print(c, whole + c->line->cut);
    } else {
        fprintf(c->out, "%s\t%s\n", whole, doc);
    }
}

/* ---- what the engine knows ---- */

static void pipelines_offer(completion_t *c) {
    reply_t reply = {0};
    msg_pipeline_list_t ask = {0};
    if (client_ask(c->client, MSG_PIPELINE_LIST, &ask, &reply) == STATUS_OK) {
        const msg_pipelines_t *list = reply.message;
        for (size_t i = 0; i < list->pipelines.count; i++) {
            offer(c, list->pipelines.items[i].name, "pipeline");
        }
    }
    reply_fini(&reply);
}

static void recordings_offer(completion_t *c) {
    reply_t reply = {0};
    msg_recording_list_t ask = {0};
    if (client_ask(c->client, MSG_RECORDING_LIST, &ask, &reply) == STATUS_OK) {
        const msg_recordings_t *list = reply.message;
        for (size_t i = 0; i < list->recordings.count; i++) {
            const msg_recording_t *recording = &list->recordings.items[i];
            char doc[WORD_ROOM];
            snprintf(doc, sizeof doc, "recording of %s, %s", recording->pipeline, units_things(recording->elements, "element").text);
            print_clean(doc);
            offer(c, recording->recording, doc);
        }
    }
    reply_fini(&reply);
}

/* Those that can still be cancelled. */
static void jobs_offer(completion_t *c) {
    static const char *const ended[] = {"CANCELLED", "DONE", "FAILED"};
    reply_t reply = {0};
    msg_job_list_t ask = {0};
    if (client_ask(c->client, MSG_JOB_LIST, &ask, &reply) == STATUS_OK) {
        const msg_jobs_t *list = reply.message;
        for (size_t i = 0; i < list->jobs.count; i++) {
            const msg_job_t *job = &list->jobs.items[i];
            bool over = false;
            for (size_t k = 0; k < sizeof ended / sizeof ended[0]; k++) {
                over = over || strcmp(job->state, ended[k]) == 0;
            }
            char doc[WORD_ROOM];
            snprintf(doc, sizeof doc, "job of %s, %s", job->pipeline, job->state);
            print_clean(doc);
            if (!over) {
                offer(c, job->job, doc);
            }
        }
    }
    reply_fini(&reply);
}

/* Of the pipeline or the recording that the first argument names. */
static void tags_offer(completion_t *c) {
    reply_t pipeline = {0}, recording = {0};
    bool by_pipeline;
    if (c->count == 0) {
        return;
    }
    msg_pipeline_describe_t ask = {.has_pipeline = true, .pipeline = c->arguments[0]};
    if (client_ask(c->client, MSG_PIPELINE_DESCRIBE, &ask, &pipeline) == STATUS_OK) {
        const msg_pipeline_description_t *description = pipeline.message;
        for (size_t i = 0; i < description->sources.count; i++) {
            offer(c, description->sources.items[i].tag, description->sources.items[i].urn);
        }
    } else if (client_find_recording(c->client, c->arguments[0], &recording, &by_pipeline) == STATUS_OK) {
        const msg_recording_t *description = recording.message;
        for (size_t i = 0; i < description->tags.count; i++) {
            offer(c, description->tags.items[i].tag, units_things(description->tags.items[i].elements, "element").text);
        }
    }
    reply_fini(&pipeline);
    reply_fini(&recording);
}

/* ---- what is known here ---- */

static void files_offer(completion_t *c) {
    fprintf(c->out, ":files\n");
}

static void folders_offer(completion_t *c) {
    fprintf(c->out, ":folders\n");
}

static void sources_offer(completion_t *c) {
    if (!scheme_complete(c->word, offer, c)) {
        files_offer(c);
    }
}

static void options_offer(completion_t *c) {
    for (const field_t *field = message_class(MSG_OPTIONS_SET)->record.fields; field->name; field++) {
        char text[WORD_ROOM];
        snprintf(text, sizeof text, "%s=", field->name);
        offer(c, text, field->doc);
    }
}

/* By what the help calls an argument or a flag's value. */
static const struct kind {
    const char *name;
    void (*offer)(completion_t *c);
} kinds[] = {
    {"PIPELINE", pipelines_offer}, {"RECORDING", recordings_offer},
    {"JOB", jobs_offer},           {"TAG", tags_offer},
    {"FILE", files_offer},         {"OUT", files_offer},
    {"DIR", folders_offer},        {"KEY", files_offer},
    {"SOURCE", sources_offer},     {"NAME=VALUE", options_offer},
};

/* One of `PIPELINE|JOB`: a kind, or the word itself where it is in lower case. */
static void choice_offer(completion_t *c, const char *name, size_t size) {
    char word[WORD_ROOM];
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strlen(kinds[i].name) == size && memcmp(kinds[i].name, name, size) == 0) {
            kinds[i].offer(c);
            return;
        }
    }
    if (name[0] >= 'a' && name[0] <= 'z' && snprintf(word, sizeof word, "%.*s", (int)size, name) < (int)sizeof word) {
        offer(c, word, "");
    }
}

static void choices_offer(completion_t *c, const char *choices, size_t size) {
    const char *end = choices + size;
    while (choices < end) {
        const char *bar = memchr(choices, '|', (size_t)(end - choices));
        size_t one = (size_t)((bar ? bar : end) - choices);
        choice_offer(c, choices, one);
        choices += one + 1;
    }
}

/* The synopsis names the arguments in their order: `PIPELINE TAG`, `FILE…`, `PIPELINE|RECORDING [FILE]`, `RECORDING | --all PIPELINE`,
 * where the last one says it twice. */
static void argument_offer(completion_t *c) {
    static const char etc[] = "…";
    const char *at = c->command->synopsis;
    if ((int)c->count >= c->command->arguments_max) {
        return;
    }
    for (size_t index = 0; *at; at += strspn(at, " ")) {
        const char *name = at;
        size_t size = strcspn(at, " ");
        at += size;
        if (strcmp(name, "|") == 0 || strncmp(name, "| ", 2) == 0 || strncmp(name, "--", 2) == 0) {
            index = 0;
            continue;
        }
        if (*name == '[') {
            name++, size -= 2;
        }
        bool repeats = size > strlen(etc) && memcmp(name + size - strlen(etc), etc, strlen(etc)) == 0;
        size -= repeats ? strlen(etc) : 0;
        if (index == c->count || repeats) {
            choices_offer(c, name, size);
        }
        index++;
    }
}

static void flags_offer(completion_t *c, const flag_t *flags) {
    for (; flags && flags->name; flags++) {
        char text[WORD_ROOM];
        snprintf(text, sizeof text, "--%s", flags->name);
        offer(c, text, flags->doc);
    }
}

/* ---- the line ---- */

static void word_take(completion_t *c, char *word) {
    size_t size = strcspn(word, "=");
    if (c->flag) { /* its value */
        if (c->flag >= common_flags && flag_find(NULL, c->flag->name, strlen(c->flag->name)) == c->flag) {
            (void)common_take(c->client, c->flag, word);
        }
        c->flag = NULL;
    } else if (c->only_arguments || strncmp(word, "-", 1) != 0 || word[1] == '\0') {
        c->arguments[c->count++] = word;
    } else if (strcmp(word, "--") == 0) {
        c->only_arguments = true;
    } else if (strncmp(word, "--", 2) == 0) {
        c->flag = flag_find(c->command ? c->command->flags : NULL, word + 2, size - 2);
        if (c->flag && !c->flag->value) {
            c->flag = NULL;
        } else if (c->flag && word[size]) {
            word_take(c, word + size + 1);
        }
    }
    if (!c->command && c->count > 0) {
        c->command = command_find(c->arguments[0]);
        c->count = 0;
    }
}

static void commands_offer(completion_t *c) {
    for (const command_t *const *command = commands; *command; command++) {
        if (!(*command)->hidden) {
            offer(c, (*command)->name, (*command)->doc);
        }
    }
}

static void last_offer(completion_t *c, char *word) {
    size_t name = strcspn(word, "=");
    c->word = word;
    if (!c->flag && !c->only_arguments && strncmp(word, "--", 2) == 0 && word[name]) {
        c->flag = flag_find(c->command ? c->command->flags : NULL, word + 2, name - 2);
        c->prefix = word;
        c->prefix_size = name + 1;
        c->word = word + name + 1;
        if (!c->flag) {
            return;
        }
    }
    if (c->flag) {
        if (c->flag->value) {
            choices_offer(c, c->flag->value, strlen(c->flag->value));
        }
    } else if (word[0] == '-' && !c->only_arguments) {
        flags_offer(c, c->command ? c->command->flags : NULL);
        flags_offer(c, common_flags);
    } else if (c->command) {
        argument_offer(c);
    } else {
        commands_offer(c);
    }
}

static void complete(completion_t *c, char *const words[], size_t count) {
    enum { PATIENCE_MS = 400 };
    if (count < 2 || count > WORDS_MAX) {
        return;
    }
    for (size_t i = 1; i + 1 < count; i++) {
        bool had = c->command != NULL;
        word_take(c, words[i]);
        if (!had && !c->command && c->arguments[0]) {
            return; /* an unknown command */
        }
    }
    /* Whoever presses a key does not wait for an engine. */
    c->client->timeout_ms = c->client->timeout_ms < PATIENCE_MS ? c->client->timeout_ms : PATIENCE_MS;
    c->client->reach_ms = c->client->timeout_ms;
    last_offer(c, words[count - 1]);
}

void complete_words(client_t *client, char *const words[], size_t count, FILE *out) {
    completion_t c = {.client = client, .out = out, .prefix = ""};
    complete(&c, words, count);
}

/* ---- bash ---- */

static void typed_begin(typed_t *typed, char *at) {
    if (typed->count == WORDS_MAX) { /* nobody completes such a line */
        typed->count = 0;
    }
    typed->words[typed->count++] = at;
    typed->cut = 0;
}

/* Takes quotes and backslashes away, as bash does. */
static void typed_split(typed_t *typed, const char *line, const char *breaks) {
    char *to = typed->text;
    bool in_word = false;
    for (; *line; line++) {
        bool blank = typed->quote == 0 && (*line == ' ' || *line == '\t' || *line == '\n');
        if (blank) {
            *to = '\0';
            to += in_word;
            in_word = false;
            continue;
        }
        if (!in_word) {
            typed_begin(typed, to);
            in_word = true;
        }
        size_t size = (size_t)(to - typed->words[typed->count - 1]);
        if (typed->quote == *line) {
            typed->quote = 0;
        } else if (typed->quote == 0 && (*line == '"' || *line == '\'')) {
            typed->quote = *line;
            typed->cut = size;
        } else if (*line == '\\' && typed->quote != '\'' && line[1]) {
            *to++ = *++line;
        } else {
            typed->cut = typed->quote == 0 && strchr(breaks, *line) ? size + 1 : typed->cut;
            *to++ = *line;
        }
    }
    *to = '\0';
    if (!in_word) {
        typed_begin(typed, to);
    }
}

void complete_line(client_t *client, const char *line, const char *breaks, FILE *out) {
    typed_t *typed = calloc(1, sizeof *typed);
    must(typed);
    typed->text = malloc(strlen(line) + 2);
    must(typed->text);
    typed_split(typed, line, breaks);
    size_t program = 0; /* settings of the environment may stand before it */
    while (program + 1 < typed->count && strchr(typed->words[program], '=')) {
        program++;
    }
    completion_t c = {.client = client, .out = out, .line = typed, .prefix = ""};
    complete(&c, typed->words + program, typed->count - program);
    free(typed->text);
    free(typed);
}
