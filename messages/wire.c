/* msgpack-c believes every count that a frame declares: five bytes make it ask for 137 GB. So every frame from outside is walked here
 * first, once, without allocating: what has passed is whole, not too deep and not too many, and everything after may rely on it.
 * A few readers of single values stand here too, for those who need one field of a message and not all of it. */
#include "wire.h"

#include <string.h>

#include "head.h"
#include "text.h"

typedef enum flaw { FLAW_NONE, FLAW_CUT, FLAW_UNKNOWN, FLAW_COUNT, FLAW_SIZE, FLAW_DEEP, FLAW_MANY } flaw_t;

typedef struct walk {
    size_t at;        /* the byte that the walk stands on, or ended before */
    unsigned deepest; /* nesting seen so far */
    flaw_t flaw;      /* why it did not go on */
    head_t head;      /* of the value that the flaw is in */
} walk_t;

static void value_walk(bytes_t in, uint64_t nodes_max, walk_t *walk) {
    uint64_t open[WIRE_DEPTH_MAX + 1]; /* values still to come on each level above this one */
    unsigned depth = 0;
    uint64_t here = 1, nodes = 0;
    size_t at = 0;
    walk->flaw = FLAW_NONE;
    walk->deepest = 0;
    for (;;) {
        head_t head = head_read(in.data + at, in.size - at);
        uint64_t own = head_own(&head), inner = head_inner(&head), left = in.size - at;
        nodes++;
        here--;
        if (head.kind >= HEAD_CUT || own > left || inner > left - own || nodes + inner > nodes_max ||
            (depth == WIRE_DEPTH_MAX && (head.kind == HEAD_LIST || head.kind == HEAD_MAP))) {
            walk->flaw = head.kind == HEAD_CUT       ? FLAW_CUT
                         : head.kind == HEAD_UNKNOWN ? FLAW_UNKNOWN
                         : own > left                ? FLAW_SIZE
                         : inner > left - own        ? FLAW_COUNT
                         : nodes + inner > nodes_max ? FLAW_MANY
                                                     : FLAW_DEEP;
            walk->head = head;
            break;
        }
        at += own;
        if (depth >= walk->deepest && (head.kind == HEAD_LIST || head.kind == HEAD_MAP)) {
            walk->deepest = depth + 1;
        }
        if (inner > 0) {
            open[depth++] = here;
            here = inner;
        }
        while (here == 0 && depth > 0) {
            here = open[--depth];
        }
        if (here == 0) {
            break;
        }
    }
    walk->at = at;
}

static int flaw_refuse(const walk_t *walk, size_t size, refusal_t *no) {
    switch (walk->flaw) {
    case FLAW_CUT: return refuse(no, ERROR_BAD_REQUEST, NULL, "the message is cut off: no value at byte %zu of %zu", walk->at, size);
    case FLAW_UNKNOWN: return refuse(no, ERROR_BAD_REQUEST, NULL, "no msgpack: the byte 0xc1 at byte %zu means nothing", walk->at);
    case FLAW_SIZE:
        return refuse(no, ERROR_BAD_REQUEST, NULL, "the message is cut off: %s of %u bytes at byte %zu, but only %zu bytes follow",
                      head_text(&walk->head), walk->head.length, walk->at, size - walk->at - walk->head.size);
    case FLAW_COUNT:
        return refuse(no, ERROR_BAD_REQUEST, NULL, "the message is cut off: %s of %u at byte %zu, but only %zu bytes follow",
                      head_text(&walk->head), walk->head.length, walk->at, size - walk->at - walk->head.size);
    case FLAW_DEEP:
        return refuse(no, ERROR_BAD_REQUEST, NULL, "the message is nested deeper than %d at byte %zu", WIRE_DEPTH_MAX, walk->at);
    case FLAW_MANY:
        return refuse(no, ERROR_BAD_REQUEST, NULL, "the message has more than %d values, seen at byte %zu", WIRE_NODES_MAX, walk->at);
    default: return refuse(no, ERROR_BAD_REQUEST, NULL, "the message ends at byte %zu, but %zu bytes follow", walk->at, size - walk->at);
    }
}

static int whole_walk(bytes_t in, uint64_t nodes_max, refusal_t *no) {
    walk_t walk;
    value_walk(in, nodes_max, &walk);
    return walk.flaw == FLAW_NONE && walk.at == in.size ? 0 : flaw_refuse(&walk, in.size, no);
}

int wire_walk(bytes_t in, refusal_t *no) {
    return whole_walk(in, WIRE_NODES_MAX, no);
}

int wire_walk_own(bytes_t in, refusal_t *no) {
    return whole_walk(in, UINT64_MAX / 2, no);
}

size_t wire_value_size(bytes_t in) {
    walk_t walk;
    value_walk(in, WIRE_NODES_MAX, &walk);
    return walk.flaw == FLAW_NONE ? walk.at : 0;
}

unsigned wire_depth(bytes_t value) {
    walk_t walk;
    value_walk(value, WIRE_NODES_MAX, &walk);
    return walk.deepest;
}

bool wire_map_get(bytes_t in, const char *key, bytes_t *ret_value) {
    const uint8_t *at = in.data, *end = in.data + in.size;
    head_t map = head_read(at, in.size);
    if (map.kind != HEAD_MAP) {
        return false;
    }
    size_t size = strlen(key);
    at += map.size;
    for (uint32_t i = 0; i < map.length && at < end; i++) {
        head_t head = head_read(at, (size_t)(end - at));
        const uint8_t *value = head.kind == HEAD_TEXT && head_own(&head) <= (size_t)(end - at) ? at + head_own(&head) : head_skip(at, end);
        const uint8_t *next = head_skip(value, end);
        if (next > value && head.kind == HEAD_TEXT && head.length == size && memcmp(at + head.size, key, size) == 0) {
            *ret_value = (bytes_t){value, (size_t)(next - value)};
            return true;
        }
        at = next;
    }
    return false;
}

bool wire_text(bytes_t value, const char **ret_text, size_t *ret_size) {
    head_t head = head_read(value.data, value.size);
    if (head.kind != HEAD_TEXT || head_own(&head) > value.size) {
        return false;
    }
    *ret_text = (const char *)value.data + head.size;
    *ret_size = head.length;
    return true;
}

bool wire_int(bytes_t value, int64_t *ret_value) {
    head_t head = head_read(value.data, value.size);
    if (head.kind != HEAD_WHOLE) {
        return false;
    }
    *ret_value = head.whole;
    return true;
}

/* Each `*` takes as little as will do, and takes one byte more whenever the rest does not match: only the last `*` can be to blame. */
bool wire_matches(const char *pattern, const char *urn) {
    const char *star = NULL, *resume = NULL;
    while (*urn != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            resume = urn;
        } else if (*pattern == *urn) {
            pattern++;
            urn++;
        } else if (star != NULL) {
            pattern = star;
            urn = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}
