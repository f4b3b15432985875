/* The one place that a new connector is named in: its file, and a line here. What is not here needs a worker outside. */
#include "sources.h"

#include <string.h>

#include "source_file.h"
#include "source_generator.h"

static const source_kind_t kinds[] = {
    {SOURCE_GENERATOR_URN, &source_generator_class, RECORD_CLASS(generator_payload), "Elements made from a number, at a rate."},
    {SOURCE_FILE_URN, &source_file_class, RECORD_CLASS(file_payload), "The lines of a file, as it grows."},
    {"reprise:source:push:v1", NULL, NULL, "Whatever attaches to the ingest endpoint."},
};

const source_kind_t *source_kind_find(const char *urn) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].urn, urn) == 0) return &kinds[i];
    }
    return NULL;
}

const source_kind_t *sources(size_t *ret_count) {
    *ret_count = sizeof kinds / sizeof kinds[0];
    return kinds;
}
