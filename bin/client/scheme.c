/* The kinds of sources that can be typed as URLs. What they are called, and which fields their payloads have, stands in the engine's own
 * list: a connector that is added there can be typed, is in the help and is completed, without a word here. */
#include "scheme.h"

#include <stdlib.h>
#include <string.h>

#include "print.h"

const field_t *scheme_has(const connector_t *scheme, const char *name) {
    const field_t *field = scheme->payload->fields;
    while (field->name && strcmp(field->name, name) != 0) {
        field++;
    }
    return field->name ? field : NULL;
}

const connector_t *scheme_find(const char *url, bool *ret_tls, fault_t *why) {
    size_t count, size = strcspn(url, ":");
    const connector_t *list = connectors(&count);
    char known[256] = "";
    for (const connector_t *scheme = list; url[size] && scheme < list + count; scheme++) {
        size_t own = strlen(scheme->scheme);
        bool tls = size == own + 1 && url[own] == 's' && scheme->payload && scheme_has(scheme, "tls");
        if (strncmp(scheme->scheme, url, own) == 0 && (size == own || tls)) {
            *ret_tls = tls;
            return scheme;
        }
    }
    for (const connector_t *scheme = list; scheme < list + count; scheme++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s`%s:`", scheme == list ? "" : ", ", scheme->scheme);
    }
    fault_set(why, "`%.200s` is no source; a source begins with one of %s", url, known);
    return NULL;
}

/* ---- names that are like others ---- */

enum { LIKENESS_MAX = 32 };

/* How many letters must be changed, added or left out. */
static size_t distance(const char *a, const char *b) {
    size_t row[LIKENESS_MAX + 1], sizes[] = {strlen(a), strlen(b)};
    if (sizes[0] > LIKENESS_MAX || sizes[1] > LIKENESS_MAX) {
        return LIKENESS_MAX;
    }
    for (size_t k = 0; k <= sizes[1]; k++) {
        row[k] = k;
    }
    for (size_t i = 1; i <= sizes[0]; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t k = 1; k <= sizes[1]; k++) {
            size_t above = row[k], least = corner + (a[i - 1] != b[k - 1]);
            least = above + 1 < least ? above + 1 : least;
            row[k] = row[k - 1] + 1 < least ? row[k - 1] + 1 : least;
            corner = above;
        }
    }
    return row[sizes[1]];
}

static bool is_like(const char *name, const char *other) {
    size_t size = strlen(name);
    return (size >= 3 && (strstr(other, name) || (strlen(other) >= 3 && strstr(name, other)))) ||
           distance(name, other) <= (size > 4 ? 2 : 1);
}

int scheme_refuse(const connector_t *scheme, const char *name, fault_t *why) {
    char names[400] = "";
    int all = 0;
    for (; all < 2 && !names[0]; all++) { /* those like it, or where there are none all */
        for (const field_t *field = scheme->payload->fields; field->name; field++) {
            size_t used = strlen(names), room = sizeof names - used;
            bool fits = used + strlen(field->name) + sizeof ", ``, …" <= sizeof names;
            if (!fits) {
                snprintf(names + used, room, ", …");
                break;
            }
            if (all || is_like(name, field->name)) {
                snprintf(names + used, room, "%s`%s`", used ? ", " : "", field->name);
            }
        }
    }
    return fault_set(why, "`%s:` has no field `%.60s`; %s %s", scheme->scheme, name, all == 1 ? "like it are" : "it has", names);
}

bool scheme_is_file(const connector_t *scheme, const field_t *field) {
    static const char *const files[] = {"password_file", "key_file", "tls_ca", "tls_cert", "tls_key", "keys"};
    bool file = !scheme->authority && scheme->path && strcmp(scheme->path, field->name) == 0;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        file = file || strcmp(files[i], field->name) == 0;
    }
    return file;
}

/* ---- help ---- */

void scheme_print_help(FILE *out) {
    enum { INDENT = 6, ROOM = 1024 };
    size_t count;
    const connector_t *list = connectors(&count);
    fprintf(out, "Sources, and the fields that can stand behind `?` as `name=value&…`:\n");
    for (const connector_t *scheme = list; scheme < list + count; scheme++) {
        char fields[ROOM] = "";
        for (const field_t *field = scheme->payload ? scheme->payload->fields : NULL; field && field->name; field++) {
            size_t used = strlen(fields);
            bool elsewhere = (scheme->authority && strcmp(scheme->authority, field->name) == 0) ||
                             (scheme->path && strcmp(scheme->path, field->name) == 0);
            if (!elsewhere) {
                snprintf(fields + used, sizeof fields - used, "%s%s", used ? " " : "", field->name);
            }
        }
        fprintf(out, "  %s\n", scheme->example);
        print_wrapped(out, scheme->doc, INDENT, 0);
        if (fields[0]) {
            print_wrapped(out, fields, INDENT, 0);
        }
    }
}

/* ---- completion ---- */

/* What can stand behind the last `?` or `&`, which is at `begin`. False: the name of a file. */
static bool values_offer(const connector_t *scheme, const char *word, size_t begin, scheme_offer_fn *offer, void *to) {
    static const char *const flags[] = {"true", "false"};
    const char *equals = strchr(word + begin, '=');
    char text[1024], name[64];
    if (equals) {
        snprintf(name, sizeof name, "%.*s", (int)(equals - word - (ptrdiff_t)begin), word + begin);
        const field_t *field = scheme_has(scheme, name);
        for (size_t i = 0; field && field->kind == TYPE_FLAG && i < sizeof flags / sizeof flags[0]; i++) {
            snprintf(text, sizeof text, "%.*s%s", (int)(equals + 1 - word), word, flags[i]);
            offer(to, text, "");
        }
        return !field || !scheme_is_file(scheme, field);
    }
    for (const field_t *field = scheme->payload->fields; field->name; field++) {
        snprintf(text, sizeof text, "%.*s%s=", (int)begin, word, field->name);
        offer(to, text, field->doc);
    }
    return true;
}

bool scheme_complete(const char *word, scheme_offer_fn *offer, void *to) {
    char text[64];
    bool tls;
    fault_t why;
    size_t count;
    const connector_t *list = connectors(&count);
    const char *query = strchr(word, '?');
    const connector_t *scheme = strchr(word, ':') ? scheme_find(word, &tls, &why) : NULL;
    if (scheme) {
        const char *last = query ? strrchr(query, '&') : NULL;
        size_t begin = (size_t)((last ? last : query ? query : word) + 1 - word);
        return query && scheme->payload ? values_offer(scheme, word, begin, offer, to) : scheme->authority || !scheme->path || query;
    }
    for (const connector_t *one = list; one < list + count && !strchr(word, ':'); one++) {
        snprintf(text, sizeof text, "%s:%s", one->scheme, one->authority ? "//" : one->path || !one->payload ? "" : "?");
        offer(to, text, one->doc);
    }
    return true;
}
