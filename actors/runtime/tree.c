/* The core actors. Adding one is its file and one line here. An actor may ask those above it while it starts. */
#include "tree.h"

#include "../authenticator.h"
#include "../beam/beam_gateway.h"
#include "../catalog.h"
#include "../gateway.h"
#include "../job_supervisor.h"
#include "../librarian.h"
#include "../limiter.h"
#include "../notifier.h"
#include "../pipeline_tracker.h"
#include "../recorder.h"
#include "../signature_checker.h"
#include "../sources/sources.h"
#include "../syncer.h"
#include "../test_stream_server.h"
#include "../verifier.h"
#include "supervisor.h"

const child_spec_t tree[] = {
    /* class, restart; in ms: ready within, gone within, silent for no longer than. Who waits for the disk may wait for long. */
    {&authenticator_class, PERMANENT, 5000, 5000, 30000},     {&notifier_class, PERMANENT, 5000, 5000, 10000},
    {&catalog_class, PERMANENT, 30000, 5000, 60000},          {&syncer_class, PERMANENT, 5000, 5000, 60000},
    {&recorder_class, PERMANENT, 60000, 5000, 60000},         {&limiter_class, PERMANENT, 5000, 5000, 30000},
    {&signature_checker_class, PERMANENT, 5000, 5000, 10000}, {&job_supervisor_class, PERMANENT, 5000, 5000, 10000},
    {&pipeline_tracker_class, PERMANENT, 5000, 5000, 10000},  {&test_stream_server_class, PERMANENT, 5000, 5000, 30000},
    {&verifier_class, PERMANENT, 5000, 5000, 60000},          {&librarian_class, PERMANENT, 5000, 5000, 60000},
    {&beam_gateway_class, PERMANENT, 5000, 5000, 10000},      {&gateway_class, PERMANENT, 5000, 5000, 10000},
};
const size_t tree_count = sizeof tree / sizeof tree[0];
const child_spec_t source_spec = {.restart = TRANSIENT, .start_ms = 10000, .stop_ms = 5000, .hang_ms = 10000};

/* Each actor reads again what it needs when it, or one that it needs, has failed: so nobody else goes down with it. */
const policy_t policy = {.strategy = ONE_FOR_ONE, .restarts_max = 5, .period_ms = 10000, .backoff_ms = 20, .hung_max = 3};

const actor_class_t *tree_class(size_t index) {
    if (index == 0) return &supervisor_class;
    if (index <= tree_count) return tree[index - 1].class;
    size_t count, seen = tree_count + 1;
    const source_kind_t *kinds = sources(&count);
    for (size_t i = 0; i < count; i++)
        if (kinds[i].class && seen++ == index) return kinds[i].class;
    return NULL;
}
