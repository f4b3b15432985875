/* The canonical form behind a source's signature: two payloads that mean the same are the same bytes, whatever library wrote them.
 *
 * A map is written in the order in which it came, and only turned into sorted order when it is not: what clients send is small and
 * often sorted, and a frame that is neither costs a copy a level. Levels are as many as the walk lets pass, so recursion is bounded. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "head.h"
#include "text.h"
#include "wire.h"

typedef struct canonical {
    const uint8_t *at, *end;
    const char *what;
    msgpack_sbuffer *out;
    msgpack_packer packer;
    refusal_t *no;
} canonical_t;

/* One pair of a map, as offsets into what was written. */
typedef struct pair {
    size_t key, value, end;
} pair_t;

static int value_write(canonical_t *c);

static int real_write(canonical_t *c, double real) {
    if (real >= -0x1p63 && real < 0x1p63 && real == trunc(real)) {
        return msgpack_pack_int64(&c->packer, (int64_t)real); /* -0.0 as well */
    }
    return msgpack_pack_double(&c->packer, isnan(real) ? (double)NAN : real); /* one NaN for all of them */
}

static int key_compare(const uint8_t *base, const pair_t *a, const pair_t *b) {
    size_t a_size = a->value - a->key, b_size = b->value - b->key;
    int order = memcmp(base + a->key, base + b->key, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static int pair_compare(const void *a, const void *b, void *base) {
    return key_compare(base, a, b);
}

static int twice_refuse(const canonical_t *c, const pair_t *pair) {
    const char *text;
    size_t size;
    bytes_t key = {(const uint8_t *)c->out->data + pair->key, pair->value - pair->key};
    if (wire_text(key, &text, &size) && size < 100 && name_valid(text, size)) {
        return refuse(c->no, ERROR_BAD_REQUEST, c->what, "`%s`: a map has the key `%.*s` twice", c->what, (int)size, text);
    }
    return refuse(c->no, ERROR_BAD_REQUEST, c->what, "`%s`: a map has a key twice", c->what);
}

/* Brings the pairs that were written from `start` on into the order of their keys. */
static int pairs_sort(const canonical_t *c, pair_t *pairs, size_t count, size_t start) {
    uint8_t *base = (uint8_t *)c->out->data;
    bool sorted = true;
    for (size_t i = 1; i < count && sorted; i++) {
        sorted = key_compare(base, &pairs[i - 1], &pairs[i]) < 0;
    }
    if (sorted) {
        return 0;
    }
    qsort_r(pairs, count, sizeof *pairs, pair_compare, base);
    for (size_t i = 1; i < count; i++) {
        if (key_compare(base, &pairs[i - 1], &pairs[i]) == 0) {
            return twice_refuse(c, &pairs[i]);
        }
    }
    size_t size = c->out->size - start, used = 0;
    uint8_t *ordered = malloc(size);
    must(ordered != NULL);
    for (size_t i = 0; i < count; i++) {
        memcpy(ordered + used, base + pairs[i].key, pairs[i].end - pairs[i].key);
        used += pairs[i].end - pairs[i].key;
    }
    memcpy(base + start, ordered, size);
    free(ordered);
    return 0;
}

static int map_write(canonical_t *c, uint32_t count) {
    msgpack_pack_map(&c->packer, count);
    if (count == 0) {
        return 0;
    }
    size_t start = c->out->size;
    pair_t *pairs = malloc(count * sizeof *pairs);
    must(pairs != NULL);
    int result = 0;
    for (uint32_t i = 0; i < count && result == 0; i++) {
        pairs[i].key = c->out->size;
        result = value_write(c);
        pairs[i].value = c->out->size;
        result = result == 0 ? value_write(c) : result;
        pairs[i].end = c->out->size;
    }
    if (result == 0) {
        result = pairs_sort(c, pairs, count, start);
    }
    free(pairs);
    return result;
}

static int list_write(canonical_t *c, uint32_t count) {
    msgpack_pack_array(&c->packer, count);
    for (uint32_t i = 0; i < count; i++) {
        if (value_write(c) < 0) {
            return -1;
        }
    }
    return 0;
}

static int value_write(canonical_t *c) {
    head_t head = head_read(c->at, (size_t)(c->end - c->at));
    must(head.kind < HEAD_CUT && head_own(&head) <= (size_t)(c->end - c->at));
    const uint8_t *inside = c->at + head.size;
    c->at += head_own(&head);
    int written = 0;
    switch (head.kind) {
    case HEAD_NIL: written = msgpack_pack_nil(&c->packer); break;
    case HEAD_FLAG: written = (head.whole ? msgpack_pack_true : msgpack_pack_false)(&c->packer); break;
    case HEAD_WHOLE: written = msgpack_pack_int64(&c->packer, head.whole); break;
    case HEAD_BIG: written = msgpack_pack_uint64(&c->packer, head.big); break;
    case HEAD_REAL: written = real_write(c, head.real); break;
    case HEAD_TEXT: written = msgpack_pack_str_with_body(&c->packer, inside, head.length); break;
    case HEAD_BYTES: written = msgpack_pack_bin_with_body(&c->packer, inside, head.length); break;
    case HEAD_EXT: written = msgpack_pack_ext_with_body(&c->packer, inside, head.length, head.type); break;
    case HEAD_LIST: return list_write(c, head.length);
    default: return map_write(c, head.length);
    }
    must(written == 0);
    return 0;
}

int wire_canonical(bytes_t in, const char *what, msgpack_sbuffer *out, refusal_t *no) {
    size_t before = out->size;
    canonical_t c = {.at = in.data, .end = in.data + in.size, .what = what, .out = out, .no = no};
    msgpack_packer_init(&c.packer, out, msgpack_sbuffer_write);
    if (value_write(&c) < 0) {
        out->size = before;
        return -1;
    }
    return 0;
}
