/* ZAP (RFC 27): libzmq asks at inproc://zeromq.zap.01 of its context whether a connection is let in. Its frames on one side, the messages
 * that actors understand on the other. */
#ifndef REPRISE_ZAP_H
#define REPRISE_ZAP_H

#include "frame.h"

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"
enum { ZAP_FRAMES = 7 }; /* behind the delimiter: version, request, domain, address, identity, mechanism, key */

/* The question as a `zap.admit`. */
void zap_question(const frame_t *frames, size_t count, frame_t *ret_message);
/* Sends what was answered to that, as the frames of a ZAP reply. False: errno says why. */
bool zap_reply(void *socket, const frame_t *answer);

#endif
