/* A command of the command line: one table each, from which come its parsing, its help and its errors. */
#ifndef REPRISE_CLIENT_COMMAND_H
#define REPRISE_CLIENT_COMMAND_H

#include <stdio.h>

#include "client.h"

typedef struct flag {
    const char *name;  /* without the dashes; NULL ends a table */
    const char *value; /* what stands after it in the help, `json|raw` where there are few; NULL: it takes none */
    const char *doc;
} flag_t;

typedef struct command command_t;

enum { GIVEN_MAX = 64, ARGUMENTS_ANY = 1000 };

/* What was typed. */
typedef struct call {
    const command_t *command;
    int count; /* arguments */
    char **arguments;
    struct {
        const flag_t *flag;
        const char *value;
    } given[GIVEN_MAX]; /* flags, in the order typed */
    size_t given_count;
} call_t;

struct command {
    const char *name;
    const char *synopsis; /* the arguments; completion goes by it, too */
    const char *doc;      /* one line */
    const char *more;     /* paragraphs for its help; NULL: none */
    int arguments_min, arguments_max;
    const flag_t *flags; /* beside those that all commands take */
    status_t (*run)(client_t *client, const call_t *call);
    void (*help)(FILE *out); /* what follows the flags in its help; NULL: nothing */
    bool hidden;             /* from people: programs call it */
};

/* Every command, in the order of the help; ends with NULL. */
extern const command_t *const commands[];
/* The flags that every command takes. */
extern const flag_t common_flags[];

/* NULL: there is no such command, or no such flag in a table or among the common ones (`size`: bytes of `name`). `own` may be NULL. */
const command_t *command_find(const char *name);
const flag_t *flag_find(const flag_t *own, const char *name, size_t size);
/* Sets what a flag of common_flags says, except --help. */
status_t common_take(client_t *client, const flag_t *flag, const char *value);

/* Parses a command line and runs it; says on standard error what is wrong. The exit status. */
int command_main(int count, char **arguments);

/* The flag's value as typed last; NULL where it was not given. The flag must be in the command's table. */
const char *call_value(const call_t *call, const char *flag);
bool call_has(const call_t *call, const char *flag);
/* All its values in turn: begin with *at = 0; NULL after the last. */
const char *call_next(const call_t *call, const char *flag, size_t *at);
/* All its values as a list, which borrows them; free `items`. */
names_t call_names(const call_t *call, const char *flag);

typedef int quantity_fn(const char *text, int64_t *ret_value, fault_t *why);
/* The flag's value by one of units_parse_…; *ret_given says whether it was given. STATUS_USAGE where it is wrong. */
status_t call_quantity(client_t *client, const call_t *call, const char *flag, quantity_fn *parse, bool *ret_given, int64_t *ret_value);
/* All that --limit was given. */
status_t call_limits(client_t *client, const call_t *call, msg_limits_t *limits);

#endif
