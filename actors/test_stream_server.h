#ifndef REPRISE_TEST_STREAM_SERVER_H
#define REPRISE_TEST_STREAM_SERVER_H

#include "runtime/actor.h"

extern const actor_class_t test_stream_server_class;

#endif
