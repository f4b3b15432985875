/* The engine's threads: one for each actor, one for the switchboard. Actors share nothing but the two ZeroMQ contexts. */
#ifndef REPRISE_THREAD_H
#define REPRISE_THREAD_H

#include <pthread.h>

#include "actor.h"

/* Two contexts, so that what clients are still owed can be flushed before the actors' own sockets are shut down. */
typedef struct threads {
    void *network; /* the doors; one I/O thread */
    void *control; /* the switchboard; inproc only */
    const config_t *config;
    int mailbox; /* messages that may wait at the switchboard for one actor; 0: twice MAILBOX_MAX */
} threads_t;

/* A request that finds a mailbox full is refused. What must not be lost ends the process: an actor that has left half a million messages
 * unread hangs, whatever the supervisor's clock says. */
enum { MAILBOX_MAX = 250000 };

#define SWITCHBOARD_ENDPOINT "inproc://switchboard"

/* Starts a thread that runs an actor, and is `address` at the switchboard. `name` and `args` are copied. The supervisor hears from there
 * ACTOR_READY or ACTOR_FAILED. */
int thread_start(const threads_t *threads, const actor_class_t *class, const char *name, const char *address, bytes_t args,
                 pthread_t *ret_thread, fault_t *why);

/* Starts the switchboard's thread; when this returns, messages can be sent. It leaves when the control context is shut down. */
int switchboard_start(const threads_t *threads, pthread_t *ret_thread, fault_t *why);

/* Connects a DEALER named `name` to the switchboard: how the main thread takes part. NULL on failure. */
void *switchboard_connect(const threads_t *threads, const char *name);

#endif
