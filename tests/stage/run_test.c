/* Whole runs: what a user does, in many orders, with every actor failing at every point, and with the process dying. */
#include "world.h"

#include <sys/stat.h>
#include <unistd.h>

#include "actors/runtime/tree.h"

enum { LIMIT = 195 }; /* elements: the last batch is cut */

static void assert_ended_at_the_limit(const msg_job_t *job, int64_t limit) {
    assert_string_equal(job->state, "CANCELLED");
    assert_string_equal(job->stop_reason, "count");
    assert_true(job->is_done);
    assert_int_equal(job->elements, limit);
}

static void assert_same(const seen_t *a, const seen_t *b) {
    assert_non_null(a->digest);
    assert_string_equal(a->digest, b->digest);
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a->bytes, b->bytes, a->size);
}

/* Each element of a push source, once and in order. */
static void assert_pushed(const seen_t *seen, int64_t count) {
    char wanted[1 << 14];
    size_t size = 0;
    for (int64_t i = 0; i < count; i++) size += (size_t)snprintf(wanted + size, sizeof wanted - size, "%lld ", (long long)i);
    assert_int_equal(seen->elements, count);
    assert_int_equal(seen->payload_size, size);
    assert_memory_equal(seen->payload, wanted, size);
}

static void a_run_records_to_its_limit_and_replays_the_same_each_time(void **test) {
    (void)test;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        stage_t *stage = world_create(seed, NULL);
        msg_transform_t transforms[] = {generator(stage, "Read", 0)};
        msg_pipeline_run_t run = run_of(stage, "clicks", 1, transforms, 500);
        const msg_pipeline_run_answer_t *answer = world_ask(stage, MSG_PIPELINE_RUN_ASK, &run);
        assert_true(answer->started);
        assert_string_equal(answer->reason, "first_run");
        assert_ended_at_the_limit(world_wait(stage, "clicks"), 500);
        seen_t *first = world_replay(stage, "clicks", "one"), *second = world_replay(stage, "clicks", "two");
        assert_int_equal(first->elements, 500);
        assert_string_equal(first->reason, "end");
        assert_same(first, second);
        answer = world_ask(stage, MSG_PIPELINE_RUN_ASK, &run);
        assert_false(answer->started);
        assert_string_equal(answer->reason, "recording_valid");
        stage_destroy(&stage);
    }
}

static void a_finite_source_ends_its_job_by_itself(void **test) {
    (void)test;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        stage_t *stage = world_create(seed, NULL);
        msg_transform_t transforms[] = {generator(stage, "Read", 50)};
        msg_pipeline_run_t run = run_of(stage, "clicks", 1, transforms, 0);
        world_ask(stage, MSG_PIPELINE_RUN_ASK, &run);
        const msg_job_t *job = world_wait(stage, "clicks");
        assert_string_equal(job->state, "DONE");
        assert_string_equal(job->stop_reason, "sources_ended");
        assert_int_equal(job->elements, 50);
        assert_int_equal(world_replay(stage, "clicks", "one")->elements, 50);
        stage_destroy(&stage);
    }
}

static void changed_sources_start_a_job_and_removed_ones_do_not(void **test) {
    (void)test;
    stage_t *stage = world_create(1, NULL);
    msg_transform_t two[] = {generator(stage, "A", 50), generator(stage, "B", 60)},
                    other[] = {generator(stage, "A", 50), generator(stage, "B", 70)};
    msg_pipeline_run_t run = run_of(stage, "clicks", 2, two, 0);
    world_ask(stage, MSG_PIPELINE_RUN_ASK, &run);
    assert_int_equal(world_wait(stage, "clicks")->elements, 110);
    msg_pipeline_run_t less = run_of(stage, "clicks", 1, two, 0);
    const msg_pipeline_run_answer_t *answer = world_ask(stage, MSG_PIPELINE_RUN_ASK, &less);
    assert_false(answer->started);
    assert_string_equal(answer->reason, "recording_valid");
    assert_int_equal(answer->removed.count, 1);
    msg_pipeline_run_t changed = run_of(stage, "clicks", 2, other, 0);
    answer = world_ask(stage, MSG_PIPELINE_RUN_ASK, &changed);
    assert_true(answer->started);
    assert_string_equal(answer->reason, "sources_changed");
    assert_int_equal(answer->added.count, 1);
    assert_int_equal(world_wait(stage, "clicks")->elements, 120);
    stage_destroy(&stage);
}

/* ---- push sources ---- */

static void ask_to_run(stage_t *stage) {
    msg_transform_t transforms[] = {push_source("Read")};
    msg_pipeline_run_t run = run_of(stage, "clicks", 1, transforms, LIMIT);
    world_ask(stage, MSG_PIPELINE_RUN_ASK, &run);
}

static void push_to_the_end(stage_t *stage, producer_t *producer) {
    for (int i = 0; i < 3000 && !producer->stopped; i++) {
        producer_step(stage, producer);
        stage_advance(stage, 10000);
    }
    if (!producer->stopped) fail_msg("the source is not told that its job has ended");
}

static void a_push_source_is_recorded_to_the_element_and_followed_as_it_grows(void **test) {
    (void)test;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        stage_t *stage = world_create(seed, NULL);
        ask_to_run(stage);
        producer_t producer = producer_of("clicks", "Read", "feeder");
        stage_peer_t reader = {"test_stream_server", "follower"};
        seen_t *followed = stage_keep(stage, NULL, sizeof *followed);
        world_open(stage, reader, "clicks");
        push_to_the_end(stage, &producer);
        assert_ended_at_the_limit(world_wait(stage, "clicks"), LIMIT);
        assert_true(see(stage, reader, followed));
        assert_pushed(followed, LIMIT);
        assert_same(followed, world_replay(stage, "clicks", "later"));
        stage_destroy(&stage);
    }
}

/* ---- failures ---- */

/* What a user sees, whatever fails: the run ends at its limit, nothing is lost, nothing comes twice. */
static void run_generator(stage_t *stage) {
    msg_transform_t transforms[] = {generator(stage, "Read", 0)};
    msg_pipeline_run_t run = run_of(stage, "clicks", 1, transforms, LIMIT);
    world_ask(stage, MSG_PIPELINE_RUN_ASK, &run);
    assert_ended_at_the_limit(world_wait(stage, "clicks"), LIMIT);
}

static void run_push(stage_t *stage) {
    ask_to_run(stage);
    producer_t producer = producer_of("clicks", "Read", "feeder");
    push_to_the_end(stage, &producer);
    assert_ended_at_the_limit(world_wait(stage, "clicks"), LIMIT);
}

static seen_t *generated(void) {
    static seen_t seen;
    if (seen.elements > 0) return &seen;
    stage_t *stage = world_create(1, NULL);
    run_generator(stage);
    seen = *world_replay(stage, "clicks", "one");
    stage_destroy(&stage);
    return &seen;
}

static void assert_generated(const seen_t *seen) {
    const seen_t *wanted = generated();
    assert_int_equal(seen->elements, wanted->elements);
    assert_int_equal(seen->payload_size, wanted->payload_size);
    assert_memory_equal(seen->payload, wanted->payload, seen->payload_size);
}

/* Fails the actor after each of its first messages in turn, until it has no more in a run. */
static void fail_at_each(const char *name, void (*run)(stage_t *), bool push) {
    enum { POINTS = 40 };
    for (size_t point = 1; point <= POINTS; point++) {
        stage_t *stage = world_create(point, NULL);
        stage_fail_after(stage, name, point);
        run(stage);
        bool failed = stage_failures(stage, name) > 0;
        assert_true(stage_is_ready(stage, name));
        seen_t *seen = world_replay(stage, "clicks", "one");
        if (push) assert_pushed(seen, LIMIT);
        if (!push) assert_generated(seen);
        assert_null(stage_take(stage, "main", MSG_ACTOR_FAILED));
        stage_destroy(&stage);
        if (!failed) break;
    }
}

static void a_generator_run_goes_on_whichever_actor_fails_and_when(void **test) {
    for (size_t i = 0; i < tree_count; i++) fail_at_each(tree[i].class->name, run_generator, false);
    (void)test;
}

static void a_push_run_goes_on_whichever_actor_fails_and_when(void **test) {
    for (size_t i = 0; i < tree_count; i++) fail_at_each(tree[i].class->name, run_push, true);
    (void)test;
}

static void a_run_survives_one_failure_of_every_actor_at_any_moment(void **test) {
    (void)test;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        stage_t *stage = world_create(seed, NULL);
        srand((unsigned)seed);
        for (size_t i = 0; i < tree_count; i++) stage_fail_after(stage, tree[i].class->name, 1 + (size_t)rand() % 60);
        if (seed % 2) run_push(stage);
        if (!(seed % 2)) run_generator(stage);
        seen_t *seen = world_replay(stage, "clicks", "one");
        if (seed % 2) assert_pushed(seen, LIMIT);
        if (!(seed % 2)) assert_generated(seen);
        stage_destroy(&stage);
    }
}

/* The name of the one actor that is not of the tree. */
static const char *source_name(stage_t *stage) {
    const msg_actors_t *actors = world_ask(stage, MSG_ENGINE_ACTORS, &(msg_engine_actors_t){0});
    assert_int_equal(actors->actors.count, tree_count + 1);
    for (size_t i = 0; i < actors->actors.count; i++) {
        bool in_tree = false;
        for (size_t n = 0; n < tree_count; n++) in_tree = in_tree || strcmp(tree[n].class->name, actors->actors.items[i].name) == 0;
        if (!in_tree) return actors->actors.items[i].name;
    }
    return NULL;
}

static void a_source_that_fails_goes_on_where_it_was(void **test) {
    (void)test;
    for (size_t point = 0; point < 30; point++) {
        stage_t *stage = world_create(point, NULL);
        msg_transform_t transforms[] = {generator(stage, "Read", 0)};
        msg_pipeline_run_t run = run_of(stage, "clicks", 1, transforms, LIMIT);
        world_ask(stage, MSG_PIPELINE_RUN_ASK, &run);
        const char *name = source_name(stage);
        stage_fail_after(stage, name, point);
        assert_ended_at_the_limit(world_wait(stage, "clicks"), LIMIT);
        assert_true(point > 3 || stage_failures(stage, name) == 1);
        assert_true(stage_has_left(stage, name));
        assert_generated(world_replay(stage, "clicks", "one"));
        stage_destroy(&stage);
    }
}

/* ---- the process dies ---- */

/* What is on the disk at this moment is what the next process finds. */
static void copy_data(stage_t *stage, char *ret_folder, size_t size) {
    char command[9000];
    snprintf(ret_folder, size, "%s/reprise-run-XXXXXX", stage_folder());
    assert_non_null(mkdtemp(ret_folder));
    snprintf(command, sizeof command, "cp -r '%s/.' '%s'", stage_config(stage)->data, ret_folder);
    assert_int_equal(system(command), 0);
}

static stage_t *next_process(uint64_t seed, const char *folder, int64_t now) {
    stage_t *stage = stage_create(seed, folder);
    stage_set_now(stage, now);
    stage_add_tree(stage);
    return stage;
}

static void remove_data(const char *folder) {
    char command[9000];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

static void what_was_acknowledged_outlives_the_process_whenever_it_dies(void **test) {
    (void)test;
    for (int moment = 0; moment < 25; moment++) {
        char folder[4096];
        stage_t *stage = world_create((uint64_t)moment + 1, NULL);
        ask_to_run(stage);
        producer_t producer = producer_of("clicks", "Read", "feeder");
        for (int i = 0; i < moment; i++) {
            producer_step(stage, &producer);
            stage_advance(stage, i % 3 ? 0 : 7000);
        }
        copy_data(stage, folder, sizeof folder);
        int64_t now = stage_now(stage);
        stage_destroy(&stage);
        stage = next_process((uint64_t)moment + 1, folder, now + 5000000);
        producer.attached = producer.asking = false;
        push_to_the_end(stage, &producer);
        assert_ended_at_the_limit(world_wait(stage, "clicks"), LIMIT);
        seen_t *seen = world_replay(stage, "clicks", "one");
        assert_pushed(seen, LIMIT);
        assert_same(seen, world_replay(stage, "clicks", "two"));
        stage_destroy(&stage);
        remove_data(folder);
    }
}

static void a_finished_recording_replays_the_same_in_the_next_process(void **test) {
    (void)test;
    char folder[4096];
    stage_t *stage = world_create(1, NULL);
    run_push(stage);
    static seen_t before;
    before = *world_replay(stage, "clicks", "one");
    char digest[64];
    snprintf(digest, sizeof digest, "%s", before.digest);
    before.digest = digest;
    copy_data(stage, folder, sizeof folder);
    int64_t now = stage_now(stage);
    stage_destroy(&stage);
    stage = next_process(2, folder, now + 1000000);
    assert_same(&before, world_replay(stage, "clicks", "one"));
    msg_transform_t transforms[] = {push_source("Read")};
    msg_pipeline_run_t run = run_of(stage, "clicks", 1, transforms, LIMIT);
    const msg_pipeline_run_answer_t *answer = world_ask(stage, MSG_PIPELINE_RUN_ASK, &run);
    assert_false(answer->started);
    assert_string_equal(answer->reason, "recording_valid");
    stage_destroy(&stage);
    remove_data(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_records_to_its_limit_and_replays_the_same_each_time),
        cmocka_unit_test(a_finite_source_ends_its_job_by_itself),
        cmocka_unit_test(changed_sources_start_a_job_and_removed_ones_do_not),
        cmocka_unit_test(a_push_source_is_recorded_to_the_element_and_followed_as_it_grows),
        cmocka_unit_test(a_generator_run_goes_on_whichever_actor_fails_and_when),
        cmocka_unit_test(a_push_run_goes_on_whichever_actor_fails_and_when),
        cmocka_unit_test(a_run_survives_one_failure_of_every_actor_at_any_moment),
        cmocka_unit_test(a_source_that_fails_goes_on_where_it_was),
        cmocka_unit_test(what_was_acknowledged_outlives_the_process_whenever_it_dies),
        cmocka_unit_test(a_finished_recording_replays_the_same_in_the_next_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
