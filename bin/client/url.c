/* A source as one types it, turned into a transform's URN and payload.
 * The engine knows no URLs: a source is a URN and a payload, and which names a payload has is the source's own business. So the query is
 * handed on as it is typed, and only the scheme and the meaning of the path are known here. */
#include "url.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct scheme {
    const char *name, *urn;
    const char *path; /* the payload's name for the URL's path; NULL: there is none */
    const char *example, *doc;
} schemes[] = {
    {"file", "reprise:source:file:v1", "path", "file:///var/log/app.log", "The lines of a file, and those that are added to it."},
    {"generator", "reprise:source:generator:v1", NULL, "generator:?rate=1000&size=100",
     "Made-up elements: `rate`, `size`, `count`, `seed`."},
    {"push", "reprise:source:push:v1", NULL, "push:", "Whatever `reprise push` or another program sends."},
};
enum { SCHEMES = sizeof schemes / sizeof schemes[0] };

void url_print_help(FILE *out) {
    fprintf(out, "Sources:\n");
    for (size_t i = 0; i < SCHEMES; i++) {
        fprintf(out, "  %s\n      %s\n", schemes[i].example, schemes[i].doc);
    }
}

static const struct scheme *scheme_find(const char *url, fault_t *why) {
    size_t size = strcspn(url, ":");
    for (size_t i = 0; i < SCHEMES; i++) {
        if (strlen(schemes[i].name) == size && strncmp(schemes[i].name, url, size) == 0 && url[size] == ':') {
            return &schemes[i];
        }
    }
    char known[128] = "";
    for (size_t i = 0; i < SCHEMES; i++) {
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s`%s:`", i ? ", " : "", schemes[i].name);
    }
    fault_set(why, "`%s` is no source; a source begins with one of %s", url, known);
    return NULL;
}

/* In place; true if what came out can be a text. */
static int percent_decode(char *text, fault_t *why) {
    char *to = text;
    for (const char *at = text; *at; at++) {
        if (*at != '%') {
            *to++ = *at;
            continue;
        }
        char digits[3] = {at[1], at[1] ? at[2] : '\0', '\0'};
        if (strspn(digits, "0123456789abcdefABCDEF") != 2 || strcmp(digits, "00") == 0) {
            return fault_set(why, "`%s`: `%%` must be followed by two hex digits, and not by 00", at);
        }
        *to++ = (char)strtoul(digits, NULL, 16);
        at += 2;
    }
    *to = '\0';
    return 0;
}

static void text_pack(msgpack_packer *pk, const char *text) {
    msgpack_pack_str_with_body(pk, text, strlen(text));
}

static void number_pack(msgpack_packer *pk, const char *text) {
    char *end;
    errno = 0;
    long long whole = strtoll(text, &end, 10);
    bool exact = *end == '\0' && errno == 0;
    double value = strtod(text, NULL);
    if (exact) {
        msgpack_pack_int64(pk, whole);
    } else if (value == floor(value) && fabs(value) < 0x1p53) {
        msgpack_pack_int64(pk, (int64_t)value);
    } else {
        msgpack_pack_double(pk, value);
    }
}

static void typed_pack(msgpack_packer *pk, char *text) {
    size_t size = strlen(text);
    char *end;
    bool number = text[0] && strspn(text, "0123456789.eE+-") == size && (strtod(text, &end), *end == '\0');
    if (size > 1 && text[0] == '"' && text[size - 1] == '"') {
        text[size - 1] = '\0';
        text_pack(pk, text + 1);
    } else if (number) {
        number_pack(pk, text);
    } else if (strcmp(text, "true") == 0) {
        msgpack_pack_true(pk);
    } else if (strcmp(text, "false") == 0) {
        msgpack_pack_false(pk);
    } else if (strcmp(text, "null") == 0) {
        msgpack_pack_nil(pk);
    } else {
        text_pack(pk, text);
    }
}

static int query_pack(msgpack_packer *pk, char *query, fault_t *why) {
    char *part;
    while ((part = strsep(&query, "&"))) {
        char *value = strchr(part, '=');
        if (!value || value == part) {
            return fault_set(why, "`%s` must be `name=value`", part);
        }
        *value++ = '\0';
        if (percent_decode(part, why) == -1 || percent_decode(value, why) == -1) {
            return -1;
        }
        text_pack(pk, part);
        typed_pack(pk, value);
    }
    return 0;
}

static int path_pack(const struct scheme *scheme, msgpack_packer *pk, char *path, fault_t *why) {
    if (strncmp(path, "//localhost/", 12) == 0) {
        path += 11;
    } else if (strncmp(path, "///", 3) == 0) {
        path += 2;
    } else if (strncmp(path, "//", 2) == 0) {
        return fault_set(why, "`%s:%s` names another host; a path has three slashes: `%s`", scheme->name, path, scheme->example);
    }
    if (percent_decode(path, why) == -1) {
        return -1;
    }
    char folder[PATH_MAX], absolute[2 * PATH_MAX];
    if (path[0] != '/' && !getcwd(folder, sizeof folder)) {
        return fault_errno(why, "cannot tell the current folder");
    }
    if (snprintf(absolute, sizeof absolute, "%s%s%s", path[0] == '/' ? "" : folder, path[0] == '/' ? "" : "/", path) >=
        (int)sizeof absolute) {
        return fault_set(why, "the path %.100s… is too long", path);
    }
    text_pack(pk, scheme->path);
    text_pack(pk, absolute);
    return 0;
}

static size_t query_size(const char *query) {
    size_t parts = query ? 1 : 0;
    for (; query && *query; query++) {
        parts += *query == '&';
    }
    return parts;
}

int url_parse(const char *url, url_source_t *source, fault_t *why) {
    *source = (url_source_t){0};
    msgpack_sbuffer_init(&source->payload);
    const struct scheme *scheme = scheme_find(url, why);
    if (!scheme) {
        return -1;
    }
    source->scheme = scheme->name;
    source->urn = scheme->urn;
    char *copy = strdup(url + strlen(scheme->name) + 1), *query = copy;
    must(copy);
    char *path = strsep(&query, "?");
    if (query && *query == '\0') {
        query = NULL;
    }
    int result = 0;
    if (scheme->path && !*path) {
        result = fault_set(why, "`%s` names no %s, as `%s` does", url, scheme->path, scheme->example);
    } else if (!scheme->path && *path) {
        result = fault_set(why, "`%s`: nothing may stand between `%s:` and `?`, as in `%s`", url, scheme->name, scheme->example);
    }
    msgpack_packer pk;
    msgpack_packer_init(&pk, &source->payload, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, query_size(query) + (scheme->path ? 1 : 0));
    if (result == 0 && scheme->path) {
        result = path_pack(scheme, &pk, path, why);
    }
    if (result == 0 && query) {
        result = query_pack(&pk, query, why);
    }
    free(copy);
    return result;
}

void url_fini(url_source_t *source) {
    msgpack_sbuffer_destroy(&source->payload);
}
