/* The core actors. Adding one is its file and one line here. An actor may ask those above it while it starts. */
#include "tree.h"

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
    /* class, start timeout in ms */
    {&notifier_class, 5000},       {&catalog_class, 30000},         {&syncer_class, 5000},
    {&recorder_class, 60000},      {&limiter_class, 5000},          {&signature_checker_class, 5000},
    {&job_supervisor_class, 5000}, {&pipeline_tracker_class, 5000}, {&test_stream_server_class, 5000},
    {&verifier_class, 5000},       {&librarian_class, 5000},        {&gateway_class, 5000},
};
const size_t tree_count = sizeof tree / sizeof tree[0];

const actor_class_t *tree_class(size_t index) {
    if (index == 0) return &supervisor_class;
    if (index <= tree_count) return tree[index - 1].class;
    size_t count, seen = tree_count + 1;
    const source_kind_t *kinds = sources(&count);
    for (size_t i = 0; i < count; i++)
        if (kinds[i].class && seen++ == index) return kinds[i].class;
    return NULL;
}
