/* Waits for a recording job to end, and shows meanwhile how far it is towards each of its limits. */
#ifndef REPRISE_CLIENT_WATCH_H
#define REPRISE_CLIENT_WATCH_H

#include "client.h"

/* Returns once the job has ended; `reply` holds its msg_job_t then. On Ctrl-C (after client_catch_interrupts) the job is cancelled if
 * `cancels`, and waited for; otherwise, and on the second, STATUS_INTERRUPTED. */
status_t watch_job(client_t *client, const char *job, bool cancels, reply_t *reply);

/* Says how the job ended and what can be done with its recording. STATUS_FAILED, with client->no set, for a job that failed. */
status_t watch_summary(client_t *client, const msg_job_t *job);

/* Why a run did or did not start a job, in words. */
const char *watch_reason(const char *reason);

bool watch_ended(const msg_job_t *job);

#endif
