/* The head of one msgpack value: its kind, its number or its length. The walk, the codec and the canonical form all read values
 * through it, so that there is one place that knows the format (msgpack's spec.md), and it never reads past the end it is given. */
#ifndef REPRISE_HEAD_H
#define REPRISE_HEAD_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum head_kind {
    HEAD_NIL,
    HEAD_FLAG,  /* true or false, as `whole` */
    HEAD_WHOLE, /* a whole number within int64 */
    HEAD_BIG,   /* a whole number above int64, as `big` */
    HEAD_REAL,  /* a float of either width */
    HEAD_TEXT,
    HEAD_BYTES,
    HEAD_EXT,
    HEAD_LIST,
    HEAD_MAP,
    HEAD_CUT,     /* the bytes end within the head */
    HEAD_UNKNOWN, /* 0xc1, which is no msgpack */
} head_kind_t;

typedef struct head {
    head_kind_t kind;
    uint32_t size;   /* of the head itself; the number of a number is in it */
    uint32_t length; /* bytes that follow it: TEXT, BYTES, EXT. Entries: LIST, MAP (pairs). Otherwise 0 */
    union {
        int64_t whole;
        uint64_t big;
        double real;
        int8_t type; /* EXT */
    };
} head_t;

static inline uint64_t head_load(const uint8_t *at, unsigned size) {
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    switch (size) {
    case 1: return *at;
    case 2: memcpy(&two, at, sizeof two); return be16toh(two);
    case 4: memcpy(&four, at, sizeof four); return be32toh(four);
    default: memcpy(&eight, at, sizeof eight); return be64toh(eight);
    }
}

static inline head_t head_of(head_kind_t kind, uint32_t size, uint32_t length) {
    return (head_t){.kind = kind, .size = size, .length = length};
}

/* A head whose length is a number of `wide` bytes, with `more` bytes between it and what it heads. */
static inline head_t head_long(head_kind_t kind, const uint8_t *at, size_t left, unsigned wide, unsigned more) {
    if (left < 1 + wide + more) {
        return head_of(HEAD_CUT, 0, 0);
    }
    head_t head = head_of(kind, 1 + wide + more, (uint32_t)head_load(at + 1, wide));
    if (more != 0) {
        head.type = (int8_t)at[1 + wide];
    }
    return head;
}

static inline head_t head_ext(const uint8_t *at, size_t left, uint32_t length) {
    if (left < 2) {
        return head_of(HEAD_CUT, 0, 0);
    }
    head_t head = head_of(HEAD_EXT, 2, length);
    head.type = (int8_t)at[1];
    return head;
}

static inline head_t head_number(const uint8_t *at, size_t left) {
    unsigned wide = at[0] < 0xcc ? 4U << (at[0] & 1U ? 1 : 0) : 1U << (at[0] & 3U);
    if (left < 1 + wide) {
        return head_of(HEAD_CUT, 0, 0);
    }
    uint64_t bits = head_load(at + 1, wide);
    head_t head = head_of(HEAD_WHOLE, 1 + wide, 0);
    if (at[0] == 0xca) {
        uint32_t narrow = (uint32_t)bits;
        float real;
        memcpy(&real, &narrow, sizeof real);
        head.kind = HEAD_REAL;
        head.real = (double)real;
    } else if (at[0] == 0xcb) {
        head.kind = HEAD_REAL;
        memcpy(&head.real, &bits, sizeof bits);
    } else if (at[0] < 0xd0) {
        head.kind = bits > INT64_MAX ? HEAD_BIG : HEAD_WHOLE;
        head.big = bits;
    } else {
        head.whole = wide == 1 ? (int8_t)bits : wide == 2 ? (int16_t)bits : wide == 4 ? (int32_t)bits : (int64_t)bits;
    }
    return head;
}

/* Reads the head at `at`. What it heads need not be there. Inlined always: gcc hands the struct back through memory otherwise, which
 * doubles the time of a decode. */
__attribute__((always_inline)) static inline head_t head_read(const uint8_t *at, size_t left) {
    if (left == 0) {
        return head_of(HEAD_CUT, 0, 0);
    }
    uint8_t first = at[0];
    if (first < 0x80 || first >= 0xe0) {
        head_t head = head_of(HEAD_WHOLE, 1, 0);
        head.whole = (int8_t)first;
        return head;
    }
    if (first < 0xc0) {
        return first >= 0xa0 ? head_of(HEAD_TEXT, 1, first & 0x1fU) : head_of(first >= 0x90 ? HEAD_LIST : HEAD_MAP, 1, first & 0x0fU);
    }
    switch (first) {
    case 0xc0: return head_of(HEAD_NIL, 1, 0);
    case 0xc1: return head_of(HEAD_UNKNOWN, 0, 0);
    case 0xc2:
    case 0xc3: return (head_t){.kind = HEAD_FLAG, .size = 1, .whole = first & 1};
    case 0xc4:
    case 0xc5:
    case 0xc6: return head_long(HEAD_BYTES, at, left, 1U << (first - 0xc4), 0);
    case 0xc7:
    case 0xc8:
    case 0xc9: return head_long(HEAD_EXT, at, left, 1U << (first - 0xc7), 1);
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8: return head_ext(at, left, 1U << (first - 0xd4));
    case 0xd9:
    case 0xda:
    case 0xdb: return head_long(HEAD_TEXT, at, left, 1U << (first - 0xd9), 0);
    case 0xdc:
    case 0xdd: return head_long(HEAD_LIST, at, left, 2U << (first - 0xdc), 0);
    case 0xde:
    case 0xdf: return head_long(HEAD_MAP, at, left, 2U << (first - 0xde), 0);
    default: return head_number(at, left);
    }
}

/* How many values stand inside: a map's keys and values both count. */
static inline uint64_t head_inner(const head_t *head) {
    return head->kind == HEAD_LIST ? head->length : head->kind == HEAD_MAP ? (uint64_t)head->length * 2 : 0;
}

/* How many bytes are its own: the head, and those of a text, bytes or ext. */
static inline uint64_t head_own(const head_t *head) {
    return head->size + (head->kind == HEAD_LIST || head->kind == HEAD_MAP ? 0 : (uint64_t)head->length);
}

/* What error texts call a value of that kind. */
static inline const char *head_text(const head_t *head) {
    static const char *const texts[] = {"nil",   "false",        "a number", "a number", "a number", "text",
                                        "bytes", "an ext value", "a list",   "a map",    "nothing",  "a byte that is no msgpack"};
    return head->kind == HEAD_FLAG && head->whole != 0 ? "true" : texts[head->kind];
}

/* Passes over a value that was walked before: the byte after it. One that is cut off ends at `end`. */
static inline const uint8_t *head_skip(const uint8_t *at, const uint8_t *end) {
    for (uint64_t open = 1; open > 0; open--) {
        size_t left = (size_t)(end - at);
        head_t head = head_read(at, left);
        if (head.kind >= HEAD_CUT || head_own(&head) > left) {
            return end;
        }
        open += head_inner(&head);
        at += head_own(&head);
    }
    return at;
}

#endif
