/* When a batch is acknowledged, and when the disk is asked, by durability. */
#include "actors/store/manifest.h"
#include "rebooted.h"
#include "studio.h"

enum { MILLISECOND = 1000 };

static void create_attached(studio_t *studio) {
    studio_create(studio, "1", "p");
    studio_budget(studio, "j1", LIMIT_NONE);
    source_attach(studio, "s", "j1", "a", "w");
    studio_sync(studio);
}

static void open_attached(studio_t *studio, durability_t durability) {
    studio_open(studio, durability);
    create_attached(studio);
}

static void async_asks_the_disk_for_the_end_only_and_nobody_waits(void **state) {
    studio_t studio;
    char next[600];
    (void)state;
    open_attached(&studio, DURABILITY_ASYNC);
    source_batch(&studio, "s", "a", 1, 3);
    source_is_acked(&studio, "s", 1);
    stage_advance(studio.stage, 1000 * MILLISECOND);
    assert_int_equal(studio_sync(&studio), 0);
    assert_string_equal(studio_finish(&studio, "r1", "CANCELLED", "user")->state, "CANCELLED");
    snprintf(next, sizeof next, "%s/recordings/r1/" MANIFEST_NEXT, studio.data);
    assert_int_equal(access(next, F_OK), 0);
    assert_int_equal(studio_sync(&studio), 2); /* the elements, and the manifest, which takes its place then */
    assert_int_equal(access(next, F_OK), -1);
    studio_close(&studio);
}

static void a_recording_reaches_the_disk_before_anything_is_in_it(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_SYNC);
    studio_create(&studio, "1", "p");
    assert_int_equal(studio_sync(&studio), 1);
    studio_close(&studio);
}

static void interval_asks_within_a_tenth_of_a_second_of_an_append(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, DURABILITY_INTERVAL);
    stage_advance(studio.stage, 200 * MILLISECOND);
    studio_sync(&studio);
    stage_advance(studio.stage, 1000 * MILLISECOND);
    assert_int_equal(studio_sync(&studio), 0);
    source_batch(&studio, "s", "a", 1, 3);
    source_is_acked(&studio, "s", 1);
    assert_int_equal(studio_sync(&studio), 0);
    stage_advance(studio.stage, 100 * MILLISECOND);
    assert_int_equal(studio_sync(&studio), 1);
    stage_advance(studio.stage, 1000 * MILLISECOND);
    assert_int_equal(studio_sync(&studio), 0);
    studio_close(&studio);
}

/* A little more than a MiB, and acknowledged. */
static void mebibyte_send(studio_t *studio, int64_t seq) {
    msg_source_batch_t batch = {.tag = "a", .seq = seq};
    stage_peer_send(studio->stage, source_named("s"), MSG_SOURCE_BATCH, &batch, stage_body(studio->stage, 1024, seq * 1024, 1024));
    stage_run(studio->stage);
    source_is_acked(studio, "s", seq);
}

static void interval_asks_at_once_when_there_is_much(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_INTERVAL);
    studio.segment_bytes = 16 * 1024 * 1024; /* each segment would be asked for by itself */
    studio_restart(&studio, START + 1);
    create_attached(&studio);
    stage_advance(studio.stage, 200 * MILLISECOND);
    studio_sync(&studio);
    for (int64_t seq = 1; seq <= 3; seq++) mebibyte_send(&studio, seq);
    assert_null(stage_take(studio.stage, "syncer", MSG_SYNC));
    mebibyte_send(&studio, 4);
    const stage_message_t *first = stage_take(studio.stage, "syncer", MSG_SYNC);
    assert_non_null(first);
    for (int64_t seq = 5; seq <= 8; seq++) mebibyte_send(&studio, seq);
    assert_null(stage_take(studio.stage, "syncer", MSG_SYNC)); /* one in flight */
    stage_answer(studio.stage, first, &(msg_synced_t){.token = ((const msg_sync_t *)first->message)->token});
    stage_run(studio.stage);
    assert_int_equal(studio_sync(&studio), 1); /* and the next at once */
    stage_advance(studio.stage, 1000 * MILLISECOND);
    assert_int_equal(studio_sync(&studio), 0);
    studio_close(&studio);
}

/* What recovery goes by once the machine has lost its power: no more than what the round brought there. */
static void what_a_round_has_brought_to_the_disk_is_written_beside_it(void **state) {
    studio_t studio;
    int64_t length = 0, segment = 0;
    (void)state;
    studio_open(&studio, DURABILITY_SYNC);
    studio.segment_bytes = 1000;
    studio_restart(&studio, START + 1);
    create_attached(&studio);
    while (stage_take(studio.stage, "syncer", MSG_CHECKPOINT_WRITE)) continue;
    for (int64_t seq = 1; seq <= 12; seq++) {
        const stage_message_t *round[8], *told;
        size_t files = 0;
        char path[SEGMENT_PATH_SIZE] = "";
        struct stat status = {0};
        source_batch(&studio, "s", "a", 2 * seq - 1, 3);
        while (files < 8 && (round[files] = stage_take(studio.stage, "syncer", MSG_SYNC))) {
            snprintf(path, sizeof path, "%s", ((const msg_sync_t *)round[files++]->message)->path); /* the last is the newest */
            assert_int_equal(stat(path, &status), 0);
        }
        assert_null(stage_take(studio.stage, "syncer", MSG_CHECKPOINT_WRITE)); /* not yet */
        source_batch(&studio, "s", "a", 2 * seq, 20);                          /* this round does not have it */
        for (size_t i = 0; i < files; i++)
            stage_answer(studio.stage, round[i], &(msg_synced_t){.token = ((const msg_sync_t *)round[i]->message)->token});
        stage_run(studio.stage);
        told = stage_take(studio.stage, "syncer", MSG_CHECKPOINT_WRITE);
        assert_non_null(told);
        const msg_checkpoint_write_t *place = told->message;
        char expected[SEGMENT_PATH_SIZE];
        segment_path(place->folder, (uint64_t)place->segment, expected);
        assert_string_equal(path, expected);
        assert_int_equal(place->length, status.st_size);
        assert_int_equal(place->settle, place->segment != segment);
        assert_true(place->segment > segment || place->length > length);
        segment = place->segment;
        length = place->length;
        studio_sync(&studio);
        while ((told = stage_take(studio.stage, "syncer", MSG_CHECKPOINT_WRITE))) {
            place = told->message;
            assert_int_equal(place->settle, place->segment != segment);
            segment = place->segment;
            length = place->length;
        }
    }
    assert_true(segment > 0);
    studio_restart(&studio, START + 2); /* nobody knows whether there was one */
    studio_budget(&studio, "j1", LIMIT_NONE);
    studio_sync(&studio);
    source_attach(&studio, "z", "j1", "a", "w");
    studio_sync(&studio);
    const stage_message_t *first = stage_take(studio.stage, "syncer", MSG_CHECKPOINT_WRITE);
    assert_non_null(first);
    assert_true(((const msg_checkpoint_write_t *)first->message)->settle);
    studio_close(&studio);
}

/* It was told, but the machine lost its power before the disk had what stands before it. */
static void an_end_of_which_something_is_missing_is_taken_back(void **state) {
    studio_t studio;
    char folder[500], path[SEGMENT_PATH_SIZE];
    (void)state;
    open_attached(&studio, DURABILITY_INTERVAL);
    source_batch(&studio, "s", "a", 1, 3);
    assert_string_equal(studio_finish(&studio, "r1", "DONE", "sources_ended")->state, "DONE");
    snprintf(folder, sizeof folder, "%s/recordings/r1", studio.data);
    segment_path(folder, 0, path);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    file_flip(path, (size_t)status.st_size - 1, 0); /* in the record that ends it */
    machine_restarts(folder, &(checkpoint_t){0});
    studio_restart(&studio, START + 2);
    assert_string_equal(studio_job(&studio, "r1")->state, "RUNNING");
    studio_close(&studio);
}

static void a_round_that_failed_says_nothing_of_the_disk(void **state) {
    static const error_t errors[] = {ERROR_INTERNAL, ERROR_UNAVAILABLE};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        studio_t studio;
        open_attached(&studio, DURABILITY_SYNC);
        while (stage_take(studio.stage, "syncer", MSG_CHECKPOINT_WRITE)) continue;
        source_batch(&studio, "s", "a", 1, 3);
        stage_refuse(studio.stage, stage_take(studio.stage, "syncer", MSG_SYNC), errors[i], "cannot sync x.seg: Input/output error");
        stage_run(studio.stage);
        assert_null(stage_take(studio.stage, "syncer", MSG_CHECKPOINT_WRITE));
        studio_close(&studio);
    }
}

/* So that no more than the last of them has to be read once the machine has lost its power. */
static void async_asks_for_segments_that_were_left_behind_and_nobody_waits(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio.segment_bytes = 1000;
    studio_restart(&studio, START + 1);
    create_attached(&studio);
    source_batch(&studio, "s", "a", 1, 3);
    source_is_acked(&studio, "s", 1);
    assert_int_equal(studio_sync(&studio), 0);
    for (int64_t seq = 2; seq <= 4; seq++) {
        source_batch(&studio, "s", "a", seq, 20);
        source_is_acked(&studio, "s", seq);
    }
    assert_true(studio_sync(&studio) > 1);
    const stage_message_t *told = stage_take(studio.stage, "syncer", MSG_CHECKPOINT_WRITE);
    assert_non_null(told);
    assert_true(((const msg_checkpoint_write_t *)told->message)->segment > 0);
    while (stage_take(studio.stage, "syncer", MSG_CHECKPOINT_WRITE)) continue;

    /* it ends while the disk is asked: once more, then */
    source_batch(&studio, "s", "a", 5, 20);
    source_batch(&studio, "s", "a", 6, 20);
    assert_string_equal(studio_finish(&studio, "r1", "CANCELLED", "user")->state, "CANCELLED");
    assert_true(studio_sync(&studio) > 2);
    char next[600];
    snprintf(next, sizeof next, "%s/recordings/r1/" MANIFEST_NEXT, studio.data);
    assert_int_equal(access(next, F_OK), -1);
    studio_close(&studio);
}

static void a_disk_that_fails_fails_the_job_with_async_too(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_ASYNC);
    studio.segment_bytes = 1000;
    studio_restart(&studio, START + 1);
    create_attached(&studio);
    for (int64_t seq = 1; seq <= 3; seq++) {
        source_batch(&studio, "s", "a", seq, 20);
        source_is_acked(&studio, "s", seq);
    }
    const stage_message_t *ask;
    while ((ask = stage_take(studio.stage, "syncer", MSG_SYNC)))
        stage_refuse(studio.stage, ask, ERROR_INTERNAL, "cannot sync x.seg: Input/output error");
    stage_run(studio.stage);
    const msg_source_failed_t *failed = studio_take(&studio, "job_supervisor", MSG_SOURCE_FAILED);
    assert_non_null(strstr(failed->message, "cannot sync x.seg"));
    studio_close(&studio);
}

/* What says that it has ended stays where it waits for the disk, also when more is said of it. */
static void an_end_is_never_ahead_of_what_was_recorded(void **state) {
    static const durability_t policies[] = {DURABILITY_ASYNC, DURABILITY_INTERVAL};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        studio_t studio;
        char next[600];
        open_attached(&studio, policies[i]);
        source_batch(&studio, "s", "a", 1, 3);
        studio_finish(&studio, "r1", "CANCELLED", "user");
        snprintf(next, sizeof next, "%s/recordings/r1/" MANIFEST_NEXT, studio.data);
        assert_int_equal(access(next, F_OK), 0);
        stage_get(studio.stage, "recorder", MSG_RECORDING_MARK, &(msg_recording_mark_t){.recording = "r1", .invalid = true});
        assert_int_equal(access(next, F_OK), 0);
        studio_sync(&studio);
        assert_int_equal(access(next, F_OK), -1);
        assert_true(studio_describe(&studio, "r1")->has_invalidated);
        studio_close(&studio);
    }
}

static void interval_asks_once_more_at_the_end(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, DURABILITY_INTERVAL);
    source_batch(&studio, "s", "a", 1, 3);
    assert_string_equal(studio_finish(&studio, "r1", "CANCELLED", "user")->state, "CANCELLED");
    char next[600];
    snprintf(next, sizeof next, "%s/recordings/r1/" MANIFEST_NEXT, studio.data);
    assert_int_equal(access(next, F_OK), 0);
    assert_int_equal(studio_sync(&studio), 2); /* the elements, and the manifest, which takes its place then */
    assert_int_equal(access(next, F_OK), -1);
    assert_true(studio_describe(&studio, "r1")->has_digest);
    studio_close(&studio);
}

static void sync_acknowledges_what_is_on_the_disk(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, DURABILITY_SYNC);
    source_attach(&studio, "t", "j1", "b", "w");
    source_batch(&studio, "s", "a", 1, 3);
    assert_true(source_is_quiet(&studio, "s"));
    const stage_message_t *first = stage_take(studio.stage, "syncer", MSG_SYNC);
    source_batch(&studio, "s", "a", 2, 3); /* appended after that began */
    source_batch(&studio, "s", "a", 3, 3);
    source_batch(&studio, "t", "b", 1, 3);
    assert_true(source_is_quiet(&studio, "s") && source_is_quiet(&studio, "t"));
    assert_null(stage_take(studio.stage, "syncer", MSG_SYNC)); /* one in flight */
    stage_answer(studio.stage, first, &(msg_synced_t){.token = ((const msg_sync_t *)first->message)->token});
    stage_run(studio.stage);
    source_is_acked(&studio, "s", 1);
    assert_true(source_is_quiet(&studio, "t"));
    assert_int_equal(studio_sync(&studio), 1); /* one for all that wait */
    source_is_acked(&studio, "s", 3);
    source_is_acked(&studio, "t", 1);
    source_batch(&studio, "s", "a", 3, 3);
    source_is_acked(&studio, "s", 3); /* is there already */
    studio_close(&studio);
}

static void sync_covers_the_segments_left_behind(void **state) {
    studio_t studio;
    (void)state;
    studio_open(&studio, DURABILITY_SYNC);
    studio.segment_bytes = 4000;
    studio_restart(&studio, START + 1);
    studio_create(&studio, "1", "p");
    studio_budget(&studio, "j1", LIMIT_NONE);
    source_attach(&studio, "s", "j1", "a", "w");
    source_batch(&studio, "s", "a", 1, 3);
    studio_sync(&studio);
    source_is_acked(&studio, "s", 1);
    source_batch(&studio, "s", "a", 2, 300);
    source_batch(&studio, "s", "a", 3, 300);
    studio_sync(&studio);
    source_take(&studio, "s", MSG_SOURCE_ACK);
    source_is_acked(&studio, "s", 3);
    source_batch(&studio, "s", "a", 4, 1);
    const stage_message_t *ask = stage_take(studio.stage, "syncer", MSG_SYNC), *last = NULL;
    char paths[2][SEGMENT_PATH_SIZE] = {"", ""};
    for (size_t i = 0; ask; ask = stage_take(studio.stage, "syncer", MSG_SYNC), i++) {
        assert_true(i < 2);
        snprintf(paths[i], sizeof paths[i], "%s", ((const msg_sync_t *)ask->message)->path);
        if (i == 1) last = ask;
        if (i == 0) stage_answer(studio.stage, ask, &(msg_synced_t){.token = 1});
    }
    assert_string_not_equal(paths[0], paths[1]);
    stage_run(studio.stage);
    assert_true(source_is_quiet(&studio, "s"));
    stage_answer(studio.stage, last, &(msg_synced_t){.token = 1});
    stage_run(studio.stage);
    source_is_acked(&studio, "s", 4);
    studio_close(&studio);
}

static void sync_answers_an_end_once_it_is_on_the_disk(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, DURABILITY_SYNC);
    source_send(&studio, "s", "a", 1, 3);
    stage_peer_request(studio.stage, source_named("s"), MSG_SOURCE_DONE, &(msg_source_done_t){.tag = "a"}, (bytes_t){0}, 2);
    stage_run(studio.stage);
    assert_true(source_is_quiet(&studio, "s"));
    studio_sync(&studio);
    assert_int_equal(((const msg_source_ack_t *)source_take(&studio, "s", MSG_SOURCE_ACK))->seq, 1);
    stage_peer_answer(studio.stage, source_named("s"), MSG_OK);
    msg_recording_finish_t finish = {.recording = "r1", .state = "DONE", .stop_reason = "sources_ended"};
    stage_ask(studio.stage, "job_supervisor", "recorder", MSG_RECORDING_FINISH, &finish);
    stage_run(studio.stage);
    assert_null(stage_take(studio.stage, "job_supervisor", MSG_RECORDING_FINISH));
    assert_string_equal(studio_job(&studio, "r1")->state, "RUNNING");
    studio_sync(&studio);
    const msg_recording_jobs_t *jobs = studio_take(&studio, "job_supervisor", MSG_RECORDING_FINISH);
    assert_string_equal(jobs->recordings.items[0].state, "DONE");
    studio_close(&studio);
}

static void a_syncer_that_is_restarted_is_asked_again(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, DURABILITY_SYNC);
    source_batch(&studio, "s", "a", 1, 3);
    stage_refuse(studio.stage, stage_take(studio.stage, "syncer", MSG_SYNC), ERROR_UNAVAILABLE, "syncer is not there");
    stage_run(studio.stage);
    assert_null(stage_take(studio.stage, "job_supervisor", MSG_SOURCE_FAILED));
    stage_advance(studio.stage, 200 * MILLISECOND);
    assert_int_equal(studio_sync(&studio), 1);
    source_is_acked(&studio, "s", 1);
    studio_close(&studio);
}

static void a_disk_that_fails_fails_the_job_and_acknowledges_nothing(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, DURABILITY_SYNC);
    source_batch(&studio, "s", "a", 1, 3);
    stage_refuse(studio.stage, stage_take(studio.stage, "syncer", MSG_SYNC), ERROR_INTERNAL, "cannot sync x.seg: Input/output error");
    stage_run(studio.stage);
    const msg_source_failed_t *failed = studio_take(&studio, "job_supervisor", MSG_SOURCE_FAILED);
    assert_non_null(strstr(failed->message, "x.seg: Input/output error"));
    source_batch(&studio, "s", "a", 2, 3);
    assert_true(source_is_quiet(&studio, "s"));
    studio_finish(&studio, "r1", "FAILED", "error");
    const msg_source_stop_t *stop = source_is_stopped(&studio, "s", "error");
    assert_false(stop->has_seq || stop->has_accepted); /* nobody knows */
    studio_close(&studio);
}

/* A large batch has its recording written out at once, and acknowledged: what others have gathered meanwhile must wait. */
static void what_is_only_gathered_is_not_acknowledged(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, DURABILITY_ASYNC);
    int64_t first = source_attach(&studio, "t", "j1", "b", "w")->source;
    studio_create(&studio, "2", "q");
    studio_budget(&studio, "j2", LIMIT_NONE);
    int64_t second = source_attach(&studio, "t", "j2", "b", "w")->source;
    msg_source_batch_t small = {.has_source = true, .source = second, .tag = "b", .seq = 1}, large = small;
    large.source = first;
    stage_peer_send(studio.stage, source_named("t"), MSG_SOURCE_BATCH, &small, stage_body(studio.stage, 1, 0, 20));
    stage_peer_send(studio.stage, source_named("t"), MSG_SOURCE_BATCH, &large, stage_body(studio.stage, 4, 0, 300000));
    stage_fail_after(studio.stage, "recorder", 2);
    studio_load(&studio);
    const msg_source_ack_t *ack = source_take(&studio, "t", MSG_SOURCE_ACK);
    assert_int_equal(ack->source, first);
    for (int i = 0; i < 2; i++) source_is_nacked(&studio, "t", 2, "not_found"); /* the failure: no other acknowledgement */
    assert_true(source_is_quiet(&studio, "t"));
    studio_budget(&studio, "j2", LIMIT_NONE);
    assert_int_equal(source_attach(&studio, "t", "j2", "b", "w")->next_seq, 1);
    studio_close(&studio);
}

static void what_an_earlier_state_appended_is_brought_to_the_disk(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, DURABILITY_SYNC);
    source_batch(&studio, "s", "a", 1, 3);
    assert_non_null(stage_take(studio.stage, "syncer", MSG_SYNC)); /* its answer would come too late */
    stage_fail(studio.stage, "recorder");
    studio_load(&studio);
    studio_budget(&studio, "j1", LIMIT_NONE);
    source_is_nacked(&studio, "s", 2, "not_found");
    source_ask(&studio, "s", "j1", "a", "w");
    assert_true(source_is_quiet(&studio, "s")); /* to be let in at 2 would acknowledge 1 */
    assert_int_equal(studio_sync(&studio), 1);
    assert_int_equal(((const msg_source_attached_t *)stage_peer_answer(studio.stage, source_named("s"), MSG_SOURCE_ATTACHED))->next_seq, 2);
    source_batch(&studio, "s", "a", 1, 3); /* it does not heed that */
    source_is_acked(&studio, "s", 1);
    studio_close(&studio);
}

static void sync_lets_a_successor_in_once_what_came_before_is_on_the_disk(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, DURABILITY_SYNC);
    source_batch(&studio, "s", "a", 1, 3);
    const stage_message_t *first = stage_take(studio.stage, "syncer", MSG_SYNC);
    source_batch(&studio, "s", "a", 2, 3);
    source_ask(&studio, "t", "j1", "a", "w");
    assert_false(source_is_stopped(&studio, "s", "superseded")->has_seq); /* to say how far it came would acknowledge it */
    assert_true(source_is_quiet(&studio, "t"));
    stage_answer(studio.stage, first, &(msg_synced_t){.token = 1});
    stage_run(studio.stage);
    assert_true(source_is_quiet(&studio, "t")); /* 2 is not there yet */
    studio_sync(&studio);
    assert_int_equal(((const msg_source_attached_t *)stage_peer_answer(studio.stage, source_named("t"), MSG_SOURCE_ATTACHED))->next_seq, 3);
    studio_close(&studio);
}

/* The first of two who wait can be let in before the second: what it would send then is not what the second waits for. */
static void sync_lets_in_one_after_the_other(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, DURABILITY_SYNC);
    source_attach(&studio, "o", "j1", "b", "other");
    studio_sync(&studio);
    source_batch(&studio, "s", "a", 1, 3);
    const stage_message_t *round = stage_take(studio.stage, "syncer", MSG_SYNC);
    source_batch(&studio, "s", "a", 2, 3);
    source_ask(&studio, "t", "j1", "a", "w");
    source_is_stopped(&studio, "s", "superseded");
    stage_answer(studio.stage, round, &(msg_synced_t){.token = 1});
    stage_run(studio.stage);
    round = stage_take(studio.stage, "syncer", MSG_SYNC); /* it has what `t` waits for */
    source_batch(&studio, "o", "b", 1, 3);
    source_ask(&studio, "u", "j1", "a", "w");
    stage_answer(studio.stage, round, &(msg_synced_t){.token = 1});
    stage_run(studio.stage);
    assert_int_equal(((const msg_source_attached_t *)stage_peer_answer(studio.stage, source_named("t"), MSG_SOURCE_ATTACHED))->next_seq, 3);
    assert_false(source_is_stopped(&studio, "t", "superseded")->has_seq); /* at once: what it sent would come before `u` unseen */
    source_batch(&studio, "t", "a", 3, 3);
    source_is_nacked(&studio, "t", 3, "not_found");
    assert_true(source_is_quiet(&studio, "u"));
    assert_int_equal(studio_sync(&studio), 1);
    assert_int_equal(((const msg_source_attached_t *)stage_peer_answer(studio.stage, source_named("u"), MSG_SOURCE_ATTACHED))->next_seq, 3);
    studio_close(&studio);
}

/* A large batch is appended before its recording is looked at again; what comes of another recording has all that are due acknowledged. */
static void sync_acknowledges_nothing_that_was_appended_in_the_same_turn(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, DURABILITY_SYNC);
    studio_create(&studio, "2", "q");
    studio_budget(&studio, "j2", LIMIT_NONE);
    source_attach(&studio, "t", "j2", "b", "w");
    studio_sync(&studio);
    msg_source_batch_t one = {.tag = "a", .seq = 1}, other = {.tag = "b", .seq = 1};
    stage_peer_send(studio.stage, source_named("s"), MSG_SOURCE_BATCH, &one, stage_body(studio.stage, 80, 0, 1024));
    stage_peer_send(studio.stage, source_named("t"), MSG_SOURCE_BATCH, &other, stage_body(studio.stage, 1100, 0, 1024));
    stage_run(studio.stage);
    assert_true(source_is_quiet(&studio, "s") && source_is_quiet(&studio, "t"));
    studio_sync(&studio);
    source_is_acked(&studio, "s", 1);
    source_is_acked(&studio, "t", 1);
    studio_close(&studio);
}

static void the_segments_of_an_earlier_process_are_brought_to_the_disk(void **state) {
    studio_t studio;
    uint64_t *numbers;
    size_t count;
    fault_t why;
    char folder[600];
    (void)state;
    studio_open(&studio, DURABILITY_SYNC);
    studio.segment_bytes = 4000;
    studio_restart(&studio, START + 1);
    create_attached(&studio);
    for (int64_t seq = 1; seq <= 3; seq++) source_batch(&studio, "s", "a", seq, 300);
    snprintf(folder, sizeof folder, "%s/recordings/r1", studio.data);
    ok(segment_list(folder, &numbers, &count, &why), why);
    free(numbers);
    assert_true(count > 2);
    studio_restart(&studio, START + 2);
    studio_budget(&studio, "j1", LIMIT_NONE);
    source_ask(&studio, "s", "j1", "a", "w");
    assert_true(source_is_quiet(&studio, "s"));
    assert_int_equal(studio_sync(&studio), count);
    assert_int_equal(((const msg_source_attached_t *)stage_peer_answer(studio.stage, source_named("s"), MSG_SOURCE_ATTACHED))->next_seq, 4);
    studio_close(&studio);
}

/* Its sources have ended, and the disk fails before that is on it. */
static void an_end_that_was_ordered_before_the_disk_failed_is_a_failure(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, DURABILITY_SYNC);
    source_send(&studio, "s", "a", 1, 3);
    stage_peer_request(studio.stage, source_named("s"), MSG_SOURCE_DONE, &(msg_source_done_t){.tag = "a"}, (bytes_t){0}, 2);
    stage_run(studio.stage);
    const stage_message_t *round = stage_take(studio.stage, "syncer", MSG_SYNC);
    stage_refuse(studio.stage, round, ERROR_INTERNAL, "cannot sync x.seg: Input/output error");
    stage_run(studio.stage);
    const msg_recording_job_t *job = studio_finish(&studio, "r1", "DONE", "sources_ended");
    assert_string_equal(job->state, "FAILED");
    assert_string_equal(job->error, "cannot sync x.seg: Input/output error");
    assert_false(source_is_stopped(&studio, "s", "error")->has_seq);
    assert_non_null(strstr(stage_peer_refusal(studio.stage, source_named("s"))->message, "failed before its end was safe"));
    studio_close(&studio);
}

static void an_end_that_was_announced_and_does_not_reach_the_disk_is_a_failure_from_then_on(void **state) {
    studio_t studio;
    (void)state;
    open_attached(&studio, DURABILITY_INTERVAL);
    source_batch(&studio, "s", "a", 1, 3);
    assert_string_equal(studio_finish(&studio, "r1", "DONE", "sources_ended")->state, "DONE");
    stage_refuse(studio.stage, stage_take(studio.stage, "syncer", MSG_SYNC), ERROR_INTERNAL, "cannot sync x.seg: Input/output error");
    studio_sync(&studio);
    stage_run(studio.stage);
    char folder[500], next[600];
    snprintf(folder, sizeof folder, "%s/recordings/r1", studio.data);
    snprintf(next, sizeof next, "%s/" MANIFEST_NEXT, folder);
    assert_int_equal(access(next, F_OK), -1); /* it took its place */
    for (int i = 0; i < 3; i++) {
        if (i == 2) machine_restarts(folder, &(checkpoint_t){0});
        assert_string_equal(studio_job(&studio, "r1")->state, "FAILED");
        assert_string_equal(studio_job(&studio, "r1")->error, "cannot sync x.seg: Input/output error");
        studio_restart(&studio, START + 2);
    }
    studio_close(&studio);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(async_asks_the_disk_for_the_end_only_and_nobody_waits),
        cmocka_unit_test(a_recording_reaches_the_disk_before_anything_is_in_it),
        cmocka_unit_test(interval_asks_within_a_tenth_of_a_second_of_an_append),
        cmocka_unit_test(interval_asks_at_once_when_there_is_much),
        cmocka_unit_test(what_a_round_has_brought_to_the_disk_is_written_beside_it),
        cmocka_unit_test(an_end_of_which_something_is_missing_is_taken_back),
        cmocka_unit_test(a_round_that_failed_says_nothing_of_the_disk),
        cmocka_unit_test(async_asks_for_segments_that_were_left_behind_and_nobody_waits),
        cmocka_unit_test(a_disk_that_fails_fails_the_job_with_async_too),
        cmocka_unit_test(an_end_is_never_ahead_of_what_was_recorded),
        cmocka_unit_test(interval_asks_once_more_at_the_end),
        cmocka_unit_test(sync_acknowledges_what_is_on_the_disk),
        cmocka_unit_test(sync_covers_the_segments_left_behind),
        cmocka_unit_test(sync_answers_an_end_once_it_is_on_the_disk),
        cmocka_unit_test(a_syncer_that_is_restarted_is_asked_again),
        cmocka_unit_test(what_is_only_gathered_is_not_acknowledged),
        cmocka_unit_test(what_an_earlier_state_appended_is_brought_to_the_disk),
        cmocka_unit_test(sync_lets_a_successor_in_once_what_came_before_is_on_the_disk),
        cmocka_unit_test(sync_lets_in_one_after_the_other),
        cmocka_unit_test(sync_acknowledges_nothing_that_was_appended_in_the_same_turn),
        cmocka_unit_test(the_segments_of_an_earlier_process_are_brought_to_the_disk),
        cmocka_unit_test(an_end_that_was_ordered_before_the_disk_failed_is_a_failure),
        cmocka_unit_test(an_end_that_was_announced_and_does_not_reach_the_disk_is_a_failure_from_then_on),
        cmocka_unit_test(a_disk_that_fails_fails_the_job_and_acknowledges_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
