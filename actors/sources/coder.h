/* How an element's bytes stand for a value in Apache Beam: the coder of the PCollection that a source fills.
 *
 * A TestStream's elements are encoded in the *outer* context: Java makes and reads them with CoderUtils.encodeToByteArray (its
 * TestStreamTranslation), Python with Coder.encode and decode (apache_beam/testing/test_stream.py, runners/direct/test_stream_impl.py), and Go's
 * Prism, which needs lengths, adds them (runners/prism, handleTestStream). There `beam:coder:bytes:v1` is the bytes and
 * `beam:coder:string_utf8:v1` the text, both without a length; of a `beam:coder:kv:v1` the key is nested, that is with its length before it as a
 * varint, and the value is not, as it is the last part (Python's AbstractComponentCoderImpl.encode_to_stream, Java's KvCoder.encode). */
#ifndef REPRISE_CODER_H
#define REPRISE_CODER_H

#include "../../messages/codec.h"
#include "../../messages/fault.h"

enum { CODER_KEY_MAX = 65535, CODER_LENGTH_MAX = 3 }; /* bytes of a key, and of its length */

typedef struct coder {
    bool keyed;                /* the attribute `key` is the key; without one it is empty */
    bool text_key, text_value; /* must be UTF-8 */
} coder_t;

/* `bytes`, `string_utf8`, or `kv<K,V>` of these. */
int coder_parse(const char *text, coder_t *ret_coder, fault_t *why);

/* Writes what stands before the value; the key of an element with these attributes (a msgpack map; of size 0: none) has `ret_size` bytes, and
 * follows. -1: it is too long. */
int coder_key(const coder_t *coder, bytes_t attributes, uint8_t length[CODER_LENGTH_MAX], size_t *ret_length, bytes_t *ret_key,
              fault_t *why);

/* Is an encoded element what the coder can read? */
int coder_check(const coder_t *coder, bytes_t encoded, fault_t *why);

#endif
