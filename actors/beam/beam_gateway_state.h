/* The Beam gateway's state, and what its files do for each other: beam_gateway.c takes calls and messages, beam_opening.c finds the recording that
 * a call is about, beam_playing.c passes its replay on, beam_ports.c gives pipelines ports of their own. */
#ifndef REPRISE_BEAM_GATEWAY_STATE_H
#define REPRISE_BEAM_GATEWAY_STATE_H

#include <sys/queue.h>

#include "../runtime/actor.h"
#include "beam_port.h"

enum { BEAM_BUCKETS = 1024, BEAM_LINE_SHARED = 0 };

/* An output as the caller calls it, and the tag that it has here. */
typedef struct output {
    const char *asked, *tag;
} output_t;

typedef struct caller {
    LIST_ENTRY(caller) link, of_call, of_replay;
    uint64_t call;        /* at the port */
    msgpack_zone *zone;   /* of all that the caller named */
    names_t ids;          /* its output ids */
    const char *split;    /* shared port: where in the first of them the pipeline's name ends, in this attempt */
    const char *pipeline; /* NULL: not found yet */
    output_t *outputs;
    size_t outputs_count;
    int64_t replay; /* 0: not open */
    char recording[256];
    uint64_t events;       /* that the replay sent */
    uint64_t skip;         /* that the replay which took its place sends again */
    int64_t heard, spoken; /* when something came from the replay, and went to the caller, in ticks */
    bool watches;          /* the engine's health, and no recording */
    bool asked;            /* the server is being asked whether it still knows the replay */
} caller_t;
typedef LIST_HEAD(callers, caller) callers_t;

/* What outlives the state. */
typedef struct beam_kept {
    beam_port_t *port;
    int64_t *replays; /* that are open, for new state to close */
    size_t count, room;
} beam_kept_t;

typedef struct beam_gateway {
    actor_t *me;
    beam_kept_t *kept; /* NULL: there is no port */
    size_t callers_count;
    callers_t callers, by_call[BEAM_BUCKETS], by_replay[BEAM_BUCKETS];
    timer_id_t timer; /* set while there are callers */
    char **pipelines; /* whose each port is, in the order of the ports; NULL: nobody's */
    size_t next;      /* that is given out next, if it is free */
} beam_gateway_t;

/* ---- beam_gateway.c ---- */
void beam_gateway_begin(beam_gateway_t *g); /* takes calls from now on */
caller_t *beam_caller_of(beam_gateway_t *g, uint64_t call);
/* Ends the call, and the replay if it is open. */
void beam_caller_end(beam_gateway_t *g, caller_t *caller, call_status_t status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void beam_caller_refuse(beam_gateway_t *g, caller_t *caller, const refusal_t *no);
void beam_caller_drop(beam_gateway_t *g, caller_t *caller);

/* ---- beam_opening.c ---- */
/* Finds what an EventsRequest asks for, and opens the replay. `pipeline`: whose port was called; NULL: the shared one. */
void beam_opening_start(beam_gateway_t *g, caller_t *caller, const char *pipeline, bytes_t request);
/* Opens the replay again after the server has lost it, from where it was. */
void beam_opening_again(beam_gateway_t *g, caller_t *caller);

/* ---- beam_ports.c ---- */
void beam_ports_init(beam_gateway_t *g);
void beam_ports_fini(beam_gateway_t *g);
/* In create: reads which ports there are, and listens there; then the actor is loaded and begins. */
void beam_ports_load(beam_gateway_t *g);
/* Whose port a line is; NULL: that of all. */
const char *beam_ports_pipeline(const beam_gateway_t *g, uint32_t line);
int beam_ports_on_ask(void *state, const envelope_t *in, fault_t *why);
int beam_ports_on_release(void *state, const envelope_t *in, fault_t *why);

/* ---- beam_playing.c ---- */
void beam_playing_begin(beam_gateway_t *g, caller_t *caller, const msg_replay_t *replay);
void beam_playing_end(beam_gateway_t *g, caller_t *caller); /* the replay is not of this caller any more */
void beam_playing_close(beam_gateway_t *g, int64_t replay); /* told, and nothing more */
int beam_on_elements(void *state, const envelope_t *in, fault_t *why);
int beam_on_watermark(void *state, const envelope_t *in, fault_t *why);
int beam_on_processing_time(void *state, const envelope_t *in, fault_t *why);
int beam_on_gap(void *state, const envelope_t *in, fault_t *why);
int beam_on_end(void *state, const envelope_t *in, fault_t *why);
/* What a waiting call needs, looked at once a second. */
void beam_playing_check(beam_gateway_t *g, caller_t *caller, int64_t ticks);

#endif
