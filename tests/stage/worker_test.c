/* Workers and the whole engine: whichever of its actors fails at whichever message, and whichever worker dies, a source that workers run is
 * recorded from its first element on, each once. */
#include "story.h"

enum { ENOUGH = 12, STEP_US = 20000, STEPS_MAX = 3000 };

/* A worker as the guide describes one: what it hears of no more, it forgets; it says that it is ready, and begins what it is given. */
typedef struct hand {
    stage_peer_t peer;
    int64_t source, next, acked, heard;
    bool said, attached, dead, stopped;
} hand_t;

static hand_t hands[2];
static int64_t recorded; /* batches that were acknowledged to anybody */

static msg_transform_t telex(void) {
    return (msg_transform_t){.name = "Telex", .urn = "reprise:source:telex:v1"};
}

static void forget_all(hand_t *hand) {
    hand->said = hand->attached = false;
}

static void hear_answer(stage_t *stage, hand_t *hand, const stage_message_t *m) {
    bytes_t source;
    if (m->refused) {
        forget_all(hand);
    } else if (wire_map_get(m->raw, "source", &source)) {
        const msg_source_attached_t *attached = stage_decode(stage, MSG_SOURCE_ATTACHED, m->raw);
        if (attached->next_seq <= recorded) fail_msg("batch %lld was acknowledged and is lost", (long long)recorded);
        hand->source = attached->source;
        hand->next = attached->next_seq;
        hand->acked = attached->next_seq - 1;
        hand->attached = true;
    }
}

static void hear(stage_t *stage, hand_t *hand, const stage_message_t *m) {
    hand->heard = stage_now(stage);
    if (m->head.id == MSG_PING) {
        stage_peer_send(stage, hand->peer, MSG_PONG, &(msg_pong_t){0}, (bytes_t){0});
    } else if (m->head.id == MSG_SOURCE_START) {
        const msg_source_start_t *start = m->message;
        msg_source_attach_t attach = {.has_job = true, .job = start->job, .tag = start->tag};
        attach.has_producer = true;
        attach.producer = start->producer;
        stage_peer_request(stage, hand->peer, MSG_SOURCE_ATTACH, &attach, (bytes_t){0}, 2);
    } else if (m->head.id == MSG_SOURCE_ACK) {
        const msg_source_ack_t *ack = m->message;
        if (ack->source != hand->source) return;
        hand->acked = ack->seq;
        if (ack->seq > recorded) recorded = ack->seq;
    } else if (m->head.id == MSG_SOURCE_NACK) {
        forget_all(hand);
    } else if (m->head.id == MSG_SOURCE_STOP) {
        const msg_source_stop_t *stop = m->message;
        if (stop->has_source && stop->source != hand->source) return;
        hand->attached = false;
        hand->stopped = strcmp(stop->reason, "superseded") != 0;
    } else {
        hear_answer(stage, hand, m);
    }
}

static void step(stage_t *stage, hand_t *hand) {
    const stage_message_t *m;
    if (hand->dead) return;
    while ((m = stage_peer_take(stage, hand->peer))) hear(stage, hand, m);
    if (!hand->said || stage_now(stage) - hand->heard > 5000000) {
        const char *urns[] = {telex().urn};
        msg_worker_ready_t ready = {.urns = {1, urns}};
        stage_peer_request(stage, hand->peer, MSG_WORKER_READY, &ready, (bytes_t){0}, 1);
        hand->heard = stage_now(stage);
        hand->attached = false;
        hand->said = true;
    }
    for (; hand->attached && hand->next - hand->acked <= WINDOW; hand->next++) {
        msg_source_batch_t batch = {.has_source = true, .source = hand->source, .tag = "Telex", .seq = hand->next};
        stage_peer_send(stage, hand->peer, MSG_SOURCE_BATCH, &batch, batch_body(stage, hand->next));
    }
}

static void work_until(stage_t *stage, int64_t batches) {
    for (int i = 0; recorded < batches; i++) {
        if (i == STEPS_MAX) fail_msg("%lld batches are recorded, and no more are", (long long)recorded);
        for (size_t n = 0; n < 2; n++) step(stage, &hands[n]);
        stage_advance(stage, STEP_US);
    }
}

static void begin(stage_t *stage) {
    (void)stage;
    memset(hands, 0, sizeof hands);
    hands[0].peer = (stage_peer_t){"recorder", "left"};
    hands[1].peer = (stage_peer_t){"recorder", "right"};
    recorded = 0;
}

static void run_it(stage_t *stage) {
    msg_transform_t transforms[] = {telex()};
    const msg_pipeline_run_answer_t *answer = run(stage, "clicks", 1, transforms);
    assert_true(answer->started);
    assert_string_equal(answer->reason, "first_run");
}

static void workers_come_and_work(stage_t *stage) {
    run_it(stage);
    work_until(stage, ENOUGH);
}

static void one_dies_and_the_other_takes_over(stage_t *stage) {
    for (size_t i = 0; i < 2; i++) {
        if (!hands[i].attached) continue;
        hands[i].dead = true;
        stage_peer_leave(stage, hands[i].peer);
        break;
    }
    work_until(stage, 2 * ENOUGH);
}

/* The elements say their numbers: 0 and 1 and so on, none missing and none twice. */
static void each_is_there_once(stage_t *stage) {
    if (hands[0].dead + hands[1].dead == 0) one_dies_and_the_other_takes_over(stage);
    assert_string_equal(job_of(stage, "clicks").state, "RUNNING");
    must_get(stage, MSG_JOB_CANCEL, &(msg_job_cancel_t){.has_pipeline = true, .pipeline = "clicks"});
    for (size_t n = 0; n < 2; n++) step(stage, &hands[n]);
    assert_true(hands[0].dead || hands[1].dead || hands[0].stopped || hands[1].stopped);
    const seen_t *seen = world_replay(stage, "clicks", "reader");
    assert_true(seen->elements >= recorded * BATCH);
    size_t at = 0;
    for (int64_t i = 0; i < seen->elements; i++) {
        char text[32];
        size_t size = (size_t)snprintf(text, sizeof text, "%lld ", (long long)i);
        assert_true(at + size <= seen->payload_size);
        assert_memory_equal(seen->payload + at, text, size);
        at += size;
    }
    assert_int_equal(at, seen->payload_size);
}

static void a_source_that_workers_run_is_recorded_once_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){begin, workers_come_and_work, each_is_there_once});
}

static void begin_and_work(stage_t *stage) {
    begin(stage);
    workers_come_and_work(stage);
}

static void a_worker_is_replaced_whatever_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){begin_and_work, one_dies_and_the_other_takes_over, each_is_there_once});
}

static void run_with_nobody(stage_t *stage) {
    run_it(stage);
    const msg_job_t *job = world_wait(stage, "clicks");
    assert_string_equal(job->state, "FAILED");
    assert_non_null(strstr(job->error, "nobody can run the source of `Telex`"));
    assert_non_null(strstr(job->error, telex().urn));
}

static void the_next_run_finds_a_worker(stage_t *stage) {
    begin(stage);
    msg_transform_t transforms[] = {telex()};
    assert_string_equal(run(stage, "clicks", 1, transforms)->reason, "job_failed");
    work_until(stage, ENOUGH);
}

static void a_job_that_finds_no_worker_fails_whatever_else_fails(void **test) {
    (void)test;
    tell_with_failures(&(story_t){NULL, run_with_nobody, the_next_run_finds_a_worker});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_that_workers_run_is_recorded_once_whatever_fails),
        cmocka_unit_test(a_worker_is_replaced_whatever_fails),
        cmocka_unit_test(a_job_that_finds_no_worker_fails_whatever_else_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
