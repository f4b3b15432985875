/* The raw peers: programs that do with libzmq what the engine does, and nothing else. They are what the engine is measured against. */
#ifndef REPRISE_BENCH_PEER_H
#define REPRISE_BENCH_PEER_H

#include "../bin/library/credentials.h"
#include "process.h"

/* What a peer does:
 *   sink    takes messages of two frames; one of a single frame is sent back, once all before it were taken
 *   append  the same, and appends the bodies to a file without a name in $TMPDIR, or /tmp
 *   source  sends messages of the sizes it is asked for: pairs of uint32, of each message's frames
 *   echo    sends back what it gets
 *   relay   passes messages of two frames from its first endpoint on to whoever says hello at its second
 * `depth`: messages that may wait at each end. */
typedef struct peer_process {
    process_t process;
    char endpoints[2][128];
} peer_process_t;
int peer_start(peer_process_t *peer, const char *kind, int64_t depth, fault_t *why);
void peer_stop(peer_process_t *peer);

/* The peer itself: does not return. */
int peer_main(const char *kind, const char *depth);

/* Connects to a peer, with as many messages waiting at each end. */
void *peer_connect(void *context, int type, const char *endpoint, int64_t depth);
/* The same to the engine, which may want keys. */
void *peer_connect_with(void *context, int type, const char *endpoint, int64_t depth, const credentials_t *keys);

#endif
