/* A source as one types it, turned into a transform's URN and payload. The engine knows no URLs: a source is a URN and a payload. What
 * the parts of a URL mean for each kind of source is in its table (scheme.c); here is what holds for all. What is wrong is said here,
 * before a pipeline is made of it.
 *
 * There is no password in a URL: it would stand in the shell's history, in the list of processes, and in the recording. */
#include "url.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "given.h"

enum { FIELDS_MAX = 64 };

/* What was typed, field by field. */
typedef struct pairs {
    const connector_t *scheme;
    const char *url; /* for errors */
    size_t count;
    struct {
        const char *name, *value;
        char *made; /* the value, where it is not in the URL as it is; owned */
    } items[FIELDS_MAX];
} pairs_t;

/* In place. */
static int percent_decode(char *text, fault_t *why) {
    char *to = text;
    for (const char *at = text; *at; at++) {
        if (*at != '%') {
            *to++ = *at;
            continue;
        }
        char digits[3] = {at[1], at[1] ? at[2] : '\0', '\0'};
        if (strspn(digits, "0123456789abcdefABCDEF") != 2 || strcmp(digits, "00") == 0) {
            return fault_set(why, "`%.100s`: `%%` must be followed by two hex digits, and not by 00", at);
        }
        *to++ = (char)strtoul(digits, NULL, 16);
        at += 2;
    }
    *to = '\0';
    return 0;
}

/* The engine's folder is another: where it reads a file, it is told of the one that is meant here. */
static int path_absolute(const char *path, char **ret_absolute, fault_t *why) {
    char folder[PATH_MAX];
    if (path[0] != '/' && !getcwd(folder, sizeof folder)) {
        return fault_errno(why, "cannot tell the current folder");
    }
    must(asprintf(ret_absolute, "%s%s%s", path[0] == '/' ? "" : folder, path[0] == '/' ? "" : "/", path) != -1);
    return 0;
}

static int pair_add(pairs_t *pairs, const char *name, const char *value, fault_t *why) {
    const field_t *field = pairs->scheme->payload ? scheme_has(pairs->scheme, name) : NULL;
    char *made = NULL;
    if (pairs->scheme->payload && !field) {
        return scheme_refuse(pairs->scheme, name, why);
    }
    for (size_t i = 0; i < pairs->count; i++) {
        if (strcmp(pairs->items[i].name, name) == 0) {
            return fault_set(why, "`%.60s` is given twice", name);
        }
    }
    if (pairs->count == FIELDS_MAX) {
        return fault_set(why, "more than %d fields", FIELDS_MAX);
    }
    if (field && scheme_is_file(pairs->scheme, field) && value[0] && path_absolute(value, &made, why) == -1) {
        return -1;
    }
    pairs->items[pairs->count].name = name;
    pairs->items[pairs->count].value = made ? made : value;
    pairs->items[pairs->count++].made = made;
    return 0;
}

/* ---- the parts ---- */

static int user_take(pairs_t *pairs, char *user, fault_t *why) {
    const connector_t *scheme = pairs->scheme;
    if (strchr(user, ':') && scheme_has(scheme, "password_file")) {
        return fault_set(why, "a password does not belong into a URL, where others can read it: write it into a file of its own and "
                              "say `password_file=…`");
    }
    if (strchr(user, ':')) {
        return fault_set(why, "a password does not belong into a URL, and `%s:` takes none", scheme->scheme);
    }
    if (!scheme_has(scheme, "username")) {
        return fault_set(why, "`%s:` takes no user name, such as `%.60s`", scheme->scheme, user);
    }
    return percent_decode(user, why) == -1 ? -1 : pair_add(pairs, "username", user, why);
}

/* `//user@host:port` up to the path, which *path is afterwards. It may be left out: the query can name the field, too. */
static int authority_take(pairs_t *pairs, char **path, fault_t *why) {
    if (strncmp(*path, "//", 2) != 0) {
        return 0;
    }
    char *authority = *path + 2, *at;
    *path = authority + strcspn(authority, "/");
    if (**path) {
        *(*path)++ = '\0';
    }
    if ((at = strrchr(authority, '@'))) {
        *at = '\0';
        if (user_take(pairs, authority, why) == -1) {
            return -1;
        }
        authority = at + 1;
    }
    if (percent_decode(authority, why) == -1) {
        return -1;
    }
    return *authority ? pair_add(pairs, pairs->scheme->authority, authority, why) : 0;
}

/* Without the slashes that say that it is on this machine. NULL: it is not. */
static char *local_path(char *path) {
    if (strncmp(path, "//localhost/", 12) == 0) {
        return path + 11;
    }
    return strncmp(path, "///", 3) == 0 ? path + 2 : strncmp(path, "//", 2) == 0 ? NULL : path;
}

static int query_take(pairs_t *pairs, char *query, fault_t *why) {
    char *part;
    while ((part = strsep(&query, "&"))) {
        char *value = strchr(part, '=');
        if (!value || value == part) {
            return fault_set(why, "`%.100s` must be `name=value`", part);
        }
        *value++ = '\0';
        if (percent_decode(part, why) == -1 || percent_decode(value, why) == -1 || pair_add(pairs, part, value, why) == -1) {
            return -1;
        }
    }
    return 0;
}

/* ---- the whole ---- */

/* `file-app.log`: the scheme, and the last part of the path, of letters that no shell and no list minds. */
static void name_make(url_source_t *source, const char *path) {
    const char *slash = path ? strrchr(path, '/') : NULL;
    snprintf(source->name, sizeof source->name, "%s", source->scheme->scheme);
    size_t scheme = strlen(source->name), size = scheme;
    for (const char *at = slash ? slash + 1 : path; at && *at && size < sizeof source->name - 1; at++) {
        bool plain = isalnum((unsigned char)*at) || strchr("._-", *at);
        char last = source->name[size - 1];
        if (size == scheme) {
            source->name[size++] = '-';
            last = '-';
        }
        if (plain) {
            source->name[size++] = *at;
        } else if (last != '-' && size < sizeof source->name - 1) {
            source->name[size++] = '-';
        }
    }
    while (size > scheme && strchr("._-", source->name[size - 1])) {
        size--;
    }
    source->name[size] = '\0';
}

static int pairs_pack(const pairs_t *pairs, msgpack_sbuffer *payload, fault_t *why) {
    msgpack_packer packer;
    msgpack_packer_init(&packer, payload, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, pairs->count);
    for (size_t i = 0; i < pairs->count; i++) {
        const char *name = pairs->items[i].name, *value = pairs->items[i].value;
        msgpack_pack_str_with_body(&packer, name, strlen(name));
        if (!pairs->scheme->payload) {
            given_pack_any(value, &packer);
        } else if (given_pack(scheme_has(pairs->scheme, name), value, &packer, why) == -1) {
            return -1;
        }
    }
    return 0;
}

/* The path behind an authority, or one on this machine. */
static int path_take(pairs_t *pairs, char **path, bool behind_authority, fault_t *why) {
    const connector_t *scheme = pairs->scheme;
    const char *url = pairs->url;
    if (!**path) {
        return 0;
    }
    if (scheme->authority && !behind_authority) {
        return fault_set(why, "`%.200s` names no %s, as `%s` does", url, scheme->authority, scheme->example);
    }
    if (!scheme->path) {
        return fault_set(why, "`%.200s`: nothing may stand %s, as in `%s`", url,
                         scheme->authority ? "between the server and `?`" : "between the colon and `?`", scheme->example);
    }
    if (!scheme->authority && !(*path = local_path(*path))) {
        return fault_set(why, "`%.200s` names another host; a path has three slashes: `%s`", url, scheme->example);
    }
    if (!scheme->authority && strcmp(*path, "-") == 0) {
        return fault_set(
            why, "`%.200s`: the engine cannot read this command's standard input; record `push:`, and send it with `reprise push`", url);
    }
    return percent_decode(*path, why) == -1 ? -1 : pair_add(pairs, scheme->path, *path, why);
}

static int required_check(const pairs_t *pairs, fault_t *why) {
    const connector_t *scheme = pairs->scheme;
    for (const field_t *field = scheme->payload ? scheme->payload->fields : NULL; field && field->name; field++) {
        bool given = !field->required;
        for (size_t i = 0; i < pairs->count; i++) {
            given = given || strcmp(pairs->items[i].name, field->name) == 0;
        }
        if (!given) {
            return fault_set(why, "`%.200s` names no %s, as `%s` does", pairs->url, field->name, scheme->example);
        }
    }
    return 0;
}

static int parts_take(pairs_t *pairs, char *rest, bool tls, url_source_t *source, fault_t *why) {
    char *query = rest, *path = strsep(&query, "?"), *begin = path;
    if (pairs->scheme->authority && authority_take(pairs, &path, why) == -1) {
        return -1;
    }
    if (path_take(pairs, &path, path > begin, why) == -1 || (tls && pair_add(pairs, "tls", "true", why) == -1)) {
        return -1;
    }
    if ((query && *query && query_take(pairs, query, why) == -1) || required_check(pairs, why) == -1) {
        return -1;
    }
    name_make(source, pairs->scheme->path ? path : NULL);
    return pairs_pack(pairs, &source->payload, why);
}

int url_parse(const char *url, url_source_t *source, fault_t *why) {
    bool tls = false;
    *source = (url_source_t){0};
    msgpack_sbuffer_init(&source->payload);
    pairs_t *pairs = calloc(1, sizeof *pairs);
    must(pairs);
    int result = -1;
    if ((source->scheme = pairs->scheme = scheme_find(url, &tls, why))) {
        char *rest = strdup(strchr(url, ':') + 1);
        must(rest);
        pairs->url = url;
        result = parts_take(pairs, rest, tls, source, why);
        for (size_t i = 0; i < pairs->count; i++) {
            free(pairs->items[i].made);
        }
        free(rest);
    }
    free(pairs);
    return result;
}

void url_fini(url_source_t *source) {
    msgpack_sbuffer_destroy(&source->payload);
}
