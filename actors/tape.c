/* A tape: see tape.h. The reader never looks past what is published to it here. */
#include "tape.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const record_class_t *place_class(void) {
    return &message_class(MSG_RECORDING_PLACE)->record;
}

tape_t *tape_create(const msg_recording_place_t *place, int64_t segment_bytes, fault_t *why) {
    reader_t *reader =
        reader_open(place->folder, (uint64_t)place->segment, (uint64_t)place->length, (uint64_t)place->elements, segment_bytes, why);
    if (!reader) return NULL;
    tape_t *tape = calloc(1, sizeof *tape);
    must(tape);
    LIST_INIT(&tape->players);
    tape->reader = reader;
    tape->place = record_copy(place_class(), place);
    tape->growing = true;
    tape_place(tape, place);
    return tape;
}

void tape_destroy(tape_t **tape) {
    if (!*tape) return;
    reader_close(&(*tape)->reader);
    record_free(place_class(), (void **)&(*tape)->place);
    free(*tape);
    *tape = NULL;
}

/* True where this is no step back. */
static bool publish(tape_t *tape, int64_t segment, int64_t length, int64_t records, int64_t elements) {
    if (segment < tape->segment || (segment == tape->segment && length < tape->length)) return false;
    tape->segment = segment;
    tape->length = length;
    tape->records = (uint64_t)records;
    tape->elements = (uint64_t)elements;
    reader_publish(tape->reader, (uint64_t)segment, (uint64_t)length, tape->elements);
    return true;
}

void tape_place(tape_t *tape, const msg_recording_place_t *place) {
    /* Nobody knows how much there is in one that was found damaged: whoever reads it finds out. */
    bool counted = place->growing || place->records > 0;
    if (!publish(tape, place->segment, place->length, counted ? place->records : INT64_MAX, counted ? place->elements : INT64_MAX)) return;
    tape->growing = place->growing;
    if (tape->begun) return;
    tape->start = place->start;
    tape->begun = !place->growing || place->records > 1; /* the first record is the segment's header */
}

void tape_grow(tape_t *tape, const msg_recording_grew_t *grew) {
    if (publish(tape, grew->segment, grew->length, grew->records, grew->elements) && tape->begun) tape->growing = grew->growing;
}

bool tape_is_current(const tape_t *tape) {
    return !tape->growing && reader_is_current(tape->reader);
}

bool tape_is_gone(const tape_t *tape) {
    return access(tape->place->folder, F_OK) < 0;
}

int tape_stream(const tape_t *tape, const char *signature) {
    for (size_t i = 0; i < tape->place->streams.count; i++)
        if (strcmp(tape->place->streams.items[i].signature, signature) == 0) return (int)i;
    return -1;
}
