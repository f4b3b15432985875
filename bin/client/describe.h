/* Pipelines and recordings in words. */
#ifndef REPRISE_CLIENT_DESCRIBE_H
#define REPRISE_CLIENT_DESCRIBE_H

#include "../../messages/message.h"

void describe_pipeline(const msg_pipeline_description_t *pipeline);
void describe_recording(const msg_recording_t *recording);

#endif
