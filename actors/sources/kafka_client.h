/* A client of Kafka as a payload describes it: servers, TLS, who the engine is there, and the settings that are librdkafka's own. */
#ifndef REPRISE_KAFKA_CLIENT_H
#define REPRISE_KAFKA_CLIENT_H

#include <librdkafka/rdkafka.h>

#include "../../messages/codec.h"
#include "../../messages/fault.h"

/* `keys`: the folder of the engine's own keys, of which no file is read. NULL: a field is wrong, and `why` names it. */
rd_kafka_t *kafka_client_create(const char *urn, const msg_kafka_payload_t *payload, const char *keys, fault_t *why);

#endif
