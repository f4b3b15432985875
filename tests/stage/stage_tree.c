/* The whole tree on the stage: apart, so that a test of one actor need not be linked with all of them. */
#include "stage_state.h"

#include "actors/runtime/supervisor.h"
#include "actors/runtime/tree.h"

void stage_add_tree(stage_t *stage) {
    stage->tree = true;
    stage_add(stage, &supervisor_class, "supervisor", (bytes_t){0});
    stage_run(stage);
    for (size_t i = 0; i < tree_count; i++) {
        const char *name = tree[i].class->name;
        if (!stage_is_ready(stage, name)) fail_msg("%s is not ready: %s", name, stage_failure(stage, name));
    }
    if (!stage_take(stage, "main", MSG_ACTOR_READY)) fail_msg("the supervisor does not say that all serve");
}
