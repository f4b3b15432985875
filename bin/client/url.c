/* A source as one types it, turned into a transform's URN and payload.
 * The engine knows no URLs: a source is a URN and a payload. What the parts of a URL mean for each kind of source is in its table (scheme.c); here
 * is what holds for all. What is wrong is said here, before a pipeline is made of it.
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

static int pair_add(pairs_t *pairs, const char *name, const char *value, fault_t *why) {
    if (pairs->scheme->payload && !scheme_field(pairs->scheme, name, why)) {
        return -1;
    }
    for (size_t i = 0; i < pairs->count; i++) {
        if (strcmp(pairs->items[i].name, name) == 0) {
            return fault_set(why, "`%.60s` is given twice", name);
        }
    }
    if (pairs->count == FIELDS_MAX) {
        return fault_set(why, "more than %d fields", FIELDS_MAX);
    }
    pairs->items[pairs->count].name = name;
    pairs->items[pairs->count++].value = value;
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

/* `//user@host:port` up to the path, which *path is afterwards. */
static int authority_take(pairs_t *pairs, char **path, fault_t *why) {
    const connector_t *scheme = pairs->scheme;
    char *authority = *path + 2, *at;
    if (strncmp(*path, "//", 2) != 0 || strcspn(authority, "/") == 0) {
        return fault_set(why, "`%.200s` names no %s, as `%s` does", pairs->url, scheme->authority, scheme->example);
    }
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
    if (!*authority) {
        return fault_set(why, "`%.200s` names no %s, as `%s` does", pairs->url, scheme->authority, scheme->example);
    }
    return pair_add(pairs, scheme->authority, authority, why);
}

/* A path on this machine, absolute: the engine's folder is another. */
static int local_path(const connector_t *scheme, char *path, char *ret_absolute, size_t size, fault_t *why) {
    if (strncmp(path, "//localhost/", 12) == 0) {
        path += 11;
    } else if (strncmp(path, "///", 3) == 0) {
        path += 2;
    } else if (strncmp(path, "//", 2) == 0) {
        return fault_set(why, "`%s:%.200s` names another host; a path has three slashes: `%s`", scheme->scheme, path, scheme->example);
    }
    char folder[PATH_MAX];
    if (percent_decode(path, why) == -1) {
        return -1;
    }
    if (path[0] != '/' && !getcwd(folder, sizeof folder)) {
        return fault_errno(why, "cannot tell the current folder");
    }
    if (snprintf(ret_absolute, size, "%s%s%s", path[0] == '/' ? "" : folder, path[0] == '/' ? "" : "/", path) >= (int)size) {
        return fault_set(why, "the path %.100s… is too long", path);
    }
    return 0;
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

static int path_take(pairs_t *pairs, char *path, char *absolute, size_t size, fault_t *why) {
    const connector_t *scheme = pairs->scheme;
    const field_t *field = scheme->path ? scheme_has(scheme, scheme->path) : NULL;
    if (!scheme->path && *path) {
        return fault_set(why, "`%.200s`: nothing may stand %s, as in `%s`", pairs->url,
                         scheme->authority ? "between the server and `?`" : "between the colon and `?`", scheme->example);
    }
    if (!*path) {
        return field && field->required ? fault_set(why, "`%.200s` names no %s, as `%s` does", pairs->url, scheme->path, scheme->example)
                                        : 0;
    }
    if (!scheme->authority) {
        return local_path(scheme, path, absolute, size, why) == -1 ? -1 : pair_add(pairs, scheme->path, absolute, why);
    }
    return percent_decode(path, why) == -1 ? -1 : pair_add(pairs, scheme->path, path, why);
}

static int parts_take(pairs_t *pairs, char *rest, bool tls, char *absolute, size_t size, url_source_t *source, fault_t *why) {
    char *query = rest, *path = strsep(&query, "?");
    if (pairs->scheme->authority && authority_take(pairs, &path, why) == -1) {
        return -1;
    }
    if (path_take(pairs, path, absolute, size, why) == -1 || (tls && pair_add(pairs, "tls", "true", why) == -1)) {
        return -1;
    }
    if (query && *query && query_take(pairs, query, why) == -1) {
        return -1;
    }
    name_make(source, pairs->scheme->path ? path : NULL);
    return pairs_pack(pairs, &source->payload, why);
}

int url_parse(const char *url, url_source_t *source, fault_t *why) {
    char absolute[2 * PATH_MAX];
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
        result = parts_take(pairs, rest, tls, absolute, sizeof absolute, source, why);
        free(rest);
    }
    free(pairs);
    return result;
}

void url_fini(url_source_t *source) {
    msgpack_sbuffer_destroy(&source->payload);
}
