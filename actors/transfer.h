/* A recording in a format for others: one event after another, the same ones in each format. A format is a table of functions: it writes an
 * event as bytes, and reads events out of bytes that come in pieces. It knows no file, no journal and no actor. */
#ifndef REPRISE_TRANSFER_H
#define REPRISE_TRANSFER_H

#include "../messages/codec.h"
#include "../messages/fault.h"
#include "store/record.h"

enum {
    TRANSFER_VERSION = 1,
    TRANSFER_ITEM_MAX = 64 * 1024 * 1024, /* bytes of an item: the largest batch has 16 MiB, and base64 or escaping make it longer */
    TRANSFER_STREAMS_MAX = 10000,
};
#define TRANSFER_TIME_MAX (INT64_C(1) << 62) /* an event's time is less, and not before the epoch: so is no recording's clock */

typedef enum transfer_kind {
    TRANSFER_HEADER,
    TRANSFER_ELEMENTS,
    TRANSFER_WATERMARK,
    TRANSFER_GAP,
    TRANSFER_STREAM_ENDED,
    TRANSFER_END,
    TRANSFER_KINDS
} transfer_kind_t;

typedef struct transfer_event {
    transfer_kind_t kind;
    const msg_export_header_t *header; /* TRANSFER_HEADER */
    uint32_t stream;                   /* RECORD_STREAM_ALL: a gap in all of them */
    int64_t at;
    bytes_t body;   /* TRANSFER_ELEMENTS: an array, checked */
    uint32_t count; /* of elements in it */
    int64_t to;     /* TRANSFER_WATERMARK */
    const char *what;
    int64_t lost_us;    /* TRANSFER_GAP; < 0: not known */
    uint64_t elements;  /* TRANSFER_END: in all, */
    const char *digest; /* and their digest; NULL: it is not told */
} transfer_event_t;

/* What a reader knows between two pieces. One struct for all formats; each uses what it needs. */
typedef struct transfer_reader {
    const struct transfer_format *format;
    uint64_t offset, line;        /* where the next item begins: bytes and lines before it */
    size_t scanned;               /* bytes of it that are known not to end it */
    uint64_t open;                /* msgpack: values that are not whole yet */
    msgpack_zone *zone;           /* of the event that was read last */
    msg_export_header_t *header;  /* NULL: not read yet */
    msgpack_sbuffer body;         /* elements that are not in the bytes as such */
    uint32_t stream, left, count; /* json: elements of a record that are still to come, */
    bool wide;                    /* and whether their times are nine bytes */
    int64_t at;                   /* json, beam: the time of the event before */
    char tag[256];                /* beam: the file's; empty: not read yet */
    bool marked;                  /* beam: it has a watermark, */
    int64_t watermark;            /* which is this */
    char text[1024];              /* beam: what a gap says */
} transfer_reader_t;

typedef struct transfer_format {
    const char *name;
    bool lines;   /* an item is a line, and errors name it */
    bool one_tag; /* a file is of one tag, and ends without saying so */
    /* Appends an event. `before`: the time of the event before it; of the first after the header, the recording's start. One
     * of which nothing is written counts for none. */
    void (*write)(const msg_export_header_t *header, const transfer_event_t *event, int64_t before, msgpack_sbuffer *out);
    /* Reads one item at the start of `in`; of what follows `used` bytes nothing was looked at. 1: an event, which borrows from the reader and
     * `in`; 0: none, and with `used` 0 more bytes are needed; -1: refused. */
    int (*read)(transfer_reader_t *reader, bytes_t in, size_t *ret_used, transfer_event_t *ret_event, refusal_t *no);
} transfer_format_t;

extern const transfer_format_t transfer_msgpack, transfer_json, transfer_beam;
extern const transfer_format_t transfer_test_stream; /* is not found by its name: no file is of it, and none is read */

/* NULL, and refused, where there is no such format; `op` begins the text. */
const transfer_format_t *transfer_find(const char *op, const char *name, refusal_t *no);

transfer_reader_t *transfer_reader_create(const transfer_format_t *format);
void transfer_reader_destroy(transfer_reader_t **reader);
/* As the format's read, but a refusal says where it is. The caller says with transfer_pass that it is done with the item. */
int transfer_read(transfer_reader_t *reader, bytes_t in, size_t *ret_used, transfer_event_t *ret_event, refusal_t *no);
void transfer_pass(transfer_reader_t *reader, size_t used);
/* Nothing that it gave is used any more: it keeps only what it needs to go on. */
void transfer_rest(transfer_reader_t *reader);
/* "line 12" or "byte 4711": where the item begins that was not passed yet. */
typedef struct transfer_place {
    char text[40];
} transfer_place_t;
transfer_place_t transfer_place(const transfer_reader_t *reader);

/* ---- for the formats ---- */
/* The line at the start of `in`, without its end; false: it is not whole yet. */
bool transfer_line(transfer_reader_t *reader, bytes_t in, bytes_t *ret_line);
bool transfer_time_fits(int64_t at);
/* Takes over the header that was read. -1: it makes no sense. */
int transfer_take_header(transfer_reader_t *reader, const msg_export_header_t *header, refusal_t *no);
/* Appends an element in msgpack's shortest form; with `wide`, its time takes nine bytes all the same. `attributes`: a map; size 0: none; with
 * `exact` it is left as it is. */
void transfer_pack_element(msgpack_sbuffer *out, bool wide, int64_t event_time, bytes_t payload, bytes_t attributes, bool exact);

#endif
