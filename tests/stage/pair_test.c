/* Two or three clients that want different things of one pipeline at the same moment. What they are answered and what is left must be what
 * one order of their requests gives, each carried through before the next: so the orders are tried one by one, and then all at once under
 * many seeds. docs/jobs.md says what the orders give. */
#include <fnmatch.h>

#include "story.h"

enum { CLIENTS = 3, COMBINATIONS = 40, RACES = 5, GAPS = 90, LIMIT = 5, OUTCOME = 1500, OUTCOMES_MAX = 32 };

/* What the pipeline has been through before; a letter is a request, as below. With a 0, nothing is kept of a change. */
static const char *const pasts[] = {"", "a", "r", "ab", "rc", "akx", "ax", "rx", "aby", "arl", "0a", "0ax", "0r"};

/* a b: record these sources to the end · r s: run them, without end · n: run what is stored · c: cancel · l: clear · f: forget
 * x y: have they changed to b, to a · w: is a job needed for b · d: delete the first recording · k: keep it */
static const char requests[] = "rsrsnclfxywdk";

/* ---- requests ---- */

static const msg_pipeline_t *sources(stage_t *stage, int seed) {
    bytes_t made = pack("{sisisi}", "rate", 1000LL, "size", 20LL, "seed", (long long)seed);
    msg_transform_t transforms[] = {{.name = "Read", .urn = "reprise:source:generator:v1", .has_payload = true}};
    transforms[0].payload = (bytes_t){stage_keep(stage, made.data, made.size), made.size};
    return run_of(stage, "clicks", 1, transforms, 0).pipeline_definition;
}

typedef struct order {
    message_id_t id;
    const void *message;
} order_t;

#define ORDER(ID, type, ...) ((order_t){ID, stage_keep(stage, &(type){__VA_ARGS__}, sizeof(type))})
#define CLICKS .has_pipeline = true, .pipeline = "clicks"

static order_t order_of(stage_t *stage, char request, const char *first) {
    const msg_pipeline_t *a = sources(stage, 1), *b = sources(stage, 2);
    msg_limits_t limits = {.duration_ms = LIMIT_NONE, .bytes = LIMIT_NONE, .has_count = true, .count = LIMIT};
    switch (request) {
    case 'a':
    case 'b':
        return ORDER(MSG_PIPELINE_RUN_ASK, msg_pipeline_run_t, CLICKS, .pipeline_definition = request == 'a' ? a : b, .has_limits = true,
                     .limits = limits);
    case 'r':
    case 's': return ORDER(MSG_PIPELINE_RUN_ASK, msg_pipeline_run_t, CLICKS, .pipeline_definition = request == 'r' ? a : b);
    case 'n': return ORDER(MSG_PIPELINE_RUN_ASK, msg_pipeline_run_t, CLICKS);
    case 'c': return ORDER(MSG_JOB_CANCEL, msg_job_cancel_t, CLICKS);
    case 'l': return ORDER(MSG_RECORDING_CLEAR, msg_recording_clear_t, CLICKS);
    case 'f': return ORDER(MSG_PIPELINE_FORGET, msg_pipeline_forget_t, CLICKS);
    case 'x':
    case 'y': return ORDER(MSG_SOURCE_CHANGED, msg_source_changed_t, CLICKS, .pipeline_definition = request == 'x' ? b : a);
    case 'w': return ORDER(MSG_JOB_NEEDED, msg_job_needed_t, CLICKS, .pipeline_definition = b);
    case 'd': return ORDER(MSG_RECORDING_DELETE, msg_recording_delete_t, .recording = first);
    default: return ORDER(MSG_RECORDING_KEEP, msg_recording_keep_t, .recording = first, .kept = true);
    }
}

/* ---- what comes of them, as text without what differs from time to time ---- */

static void note(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(char *text, const char *format, ...) {
    va_list arguments;
    size_t size = strlen(text);
    va_start(arguments, format);
    size_t wanted = (size_t)vsnprintf(text + size, OUTCOME - size, format, arguments);
    va_end(arguments);
    must(size + wanted < OUTCOME);
}

static void note_answer(stage_t *stage, char request, const stage_message_t *m, const char *first, char *text) {
    message_id_t id = order_of(stage, request, first).id;
    refusal_t no;
    note(text, "%c: ", request);
    if (m->refused) {
        assert_int_equal(refusal_decode(m->raw, &no), 0);
        note(text, "%s\n", error_name(no.code));
        return;
    }
    const void *answer = stage_decode(stage, message_class(id)->answer, m->raw);
    const msg_pipeline_run_answer_t *run = id == MSG_PIPELINE_RUN_ASK ? answer : NULL;
    const msg_job_cancelled_t *cancelled = id == MSG_JOB_CANCEL ? answer : NULL;
    const msg_source_changes_t *changes = id == MSG_SOURCE_CHANGED ? answer : NULL;
    const msg_job_need_t *need = id == MSG_JOB_NEEDED ? answer : NULL;
    if (run)
        note(text, "%s%s, %zu added, %zu removed%s\n", run->started ? "started, " : "", run->reason, run->added.count, run->removed.count,
             run->has_recording && strcmp(run->recording, first) == 0 ? ", the first" : "");
    else if (cancelled)
        note(text, "%s\n", cancelled->cancelled ? "cancelled" : "not cancelled");
    else if (changes)
        note(text, "%schanged, %zu added, %zu removed\n", changes->changed ? "" : "not ", changes->added.count, changes->removed.count);
    else if (need)
        note(text, "%sneeded, %s\n", need->needed ? "" : "not ", need->reason);
    else if (id == MSG_RECORDING_CLEAR || id == MSG_RECORDING_DELETE)
        note(text, "%zu dropped\n", ((const msg_recordings_dropped_t *)answer)->recordings.count);
    else
        note(text, "ok\n");
}

static bool changed(stage_t *stage, int seed) {
    msg_source_changed_t question = {CLICKS, .pipeline_definition = sources(stage, seed), .has_update = true, .update = false};
    return ((const msg_source_changes_t *)must_get(stage, MSG_SOURCE_CHANGED, &question))->changed;
}

/* What is left, and what a run says then. */
static void note_rest(stage_t *stage, const char *first, char *text) {
    const msg_recordings_t *all = recordings(stage);
    for (size_t i = 0; i < all->recordings.count; i++) {
        const msg_recording_t *r = &all->recordings.items[i];
        note(text, "%s %s of %.100s%s%s\n", strcmp(r->recording, first) == 0 ? "the first," : "a recording,", r->state,
             r->signature.items[0], r->has_invalidated ? ", invalid" : "", r->kept ? ", kept" : "");
    }
    const msg_jobs_t *jobs = must_get(stage, MSG_JOB_LIST, &(msg_job_list_t){0});
    for (size_t i = 0; i < jobs->jobs.count; i++)
        note(text, "a job, %s %s\n", jobs->jobs.items[i].state, jobs->jobs.items[i].has_stop_reason ? jobs->jobs.items[i].stop_reason : "");
    const msg_pipelines_t *pipelines = must_get(stage, MSG_PIPELINE_LIST, &(msg_pipeline_list_t){0});
    if (pipelines->pipelines.count > 0) note(text, "known, %zu runs\n", description(stage, "clicks")->runs.count);
    msg_test_stream_status_t status = {CLICKS};
    note(text, "%s\n", ((const msg_test_stream_t *)must_get(stage, MSG_TEST_STREAM_STATUS, &status))->running ? "served" : "not served");
    note(text, "%s %s\n", changed(stage, 1) ? "a is new" : "a is recorded", changed(stage, 2) ? "b is new" : "b is recorded");
    order_t last = order_of(stage, 'r', first);
    const msg_pipeline_run_answer_t *answer = must_get(stage, last.id, last.message);
    note(text, "a run of a: %s\n", answer->reason);
    forget(stage, "clicks");
    assert_int_equal(recordings(stage)->recordings.count, 0);
    assert_int_equal(jobs_count(stage), 0);
}

/* ---- the past ---- */

static void keep_so_many(stage_t *stage, int64_t number) {
    must_get(stage, MSG_OPTIONS_SET, &(msg_options_set_t){.has_keep_recordings = true, .keep_recordings = number});
}

static stage_t *lived(uint64_t seed, const char *past, char ret_first[256]) {
    stage_t *stage = world_create(seed, NULL);
    snprintf(ret_first, 256, "none");
    keep_so_many(stage, *past == '0' ? 0 : 1);
    for (past += *past == '0'; *past; past++) {
        order_t order = order_of(stage, *past, ret_first);
        const void *answer = must_get(stage, order.id, order.message);
        if (order.id == MSG_PIPELINE_RUN_ASK && strcmp(ret_first, "none") == 0)
            snprintf(ret_first, 256, "%s", ((const msg_pipeline_run_answer_t *)answer)->recording);
        if (*past == 'a' || *past == 'b') must_get(stage, MSG_JOB_WAIT, &(msg_job_wait_t){CLICKS, .timeout_ms = 10000});
        if (*past == 'l') assert_int_equal(((const msg_recordings_dropped_t *)answer)->recordings.count, 1);
    }
    stage_advance(stage, 1000000);
    return stage;
}

/* ---- one after the other ---- */

typedef struct outcomes {
    char texts[OUTCOMES_MAX][OUTCOME];
    size_t count;
} outcomes_t;

static void outcome_add(outcomes_t *outcomes, const char *text) {
    for (size_t i = 0; i < outcomes->count; i++)
        if (strcmp(outcomes->texts[i], text) == 0) return;
    must(outcomes->count < OUTCOMES_MAX);
    snprintf(outcomes->texts[outcomes->count++], OUTCOME, "%s", text);
}

/* What one is answered that comes while a job is ending: as if it had not come. */
static const char *meanwhile(char request) {
    return request == 'c' ? "not cancelled" : request == 'l' || request == 'd' ? "invalid_state" : NULL;
}

/* In that order, but for those that are `left_out`. */
static void try_order(const char *past, const char *wanted, const size_t *order, const bool *left_out, outcomes_t *outcomes) {
    char first[256], answers[CLIENTS][OUTCOME] = {{0}}, text[OUTCOME] = "";
    stage_t *stage = lived(1, past, first);
    for (size_t i = 0; i < strlen(wanted); i++) {
        char request = wanted[order[i]];
        order_t made = order_of(stage, request, first);
        if (left_out[order[i]])
            note(answers[order[i]], "%c: %s\n", request, meanwhile(request));
        else
            note_answer(stage, request, answer_of(stage, made.id, made.message, (bytes_t){0}), first, answers[order[i]]);
    }
    for (size_t i = 0; i < strlen(wanted); i++) note(text, "%s", answers[i]);
    stage_advance(stage, 2000000);
    note_rest(stage, first, text);
    outcome_add(outcomes, text);
    stage_destroy(&stage);
}

static void try_orders(const char *past, const char *wanted, const bool *left_out, outcomes_t *outcomes) {
    static const size_t orders[6][CLIENTS] = {{0, 1, 2}, {1, 0, 2}, {0, 2, 1}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    size_t count = strlen(wanted) == 2 ? 2 : 6;
    for (size_t i = 0; i < count; i++) try_order(past, wanted, orders[i], left_out, outcomes);
}

static void try_all(const char *past, const char *wanted, outcomes_t *outcomes) {
    size_t clients = strlen(wanted);
    for (unsigned chosen = 0; chosen + 1 < 1U << clients; chosen++) {
        bool left_out[CLIENTS] = {false}, possible = true;
        for (size_t i = 0; i < clients; i++) {
            left_out[i] = chosen >> i & 1;
            possible = possible && (!left_out[i] || meanwhile(wanted[i]));
        }
        if (possible) try_orders(past, wanted, left_out, outcomes);
    }
}

/* ---- at once ---- */

static uint64_t roll(uint64_t *dice) {
    *dice = *dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *dice >> 33;
}

/* `gap`: so many things happen between one request and the next, in the order in which they stand; -1: any number, in any order. */
static void race(uint64_t seed, const char *past, const char *wanted, int gap, char ret_text[OUTCOME]) {
    static const char *const ids[CLIENTS] = {"one", "two", "three"};
    const stage_message_t *answers[CLIENTS] = {NULL};
    size_t clients = strlen(wanted), answered = 0, turn = gap < 0 ? seed % clients : 0;
    uint64_t dice = seed;
    char first[256];
    stage_t *stage = lived(seed, past, first);
    for (size_t i = 0; i < clients; i++) {
        size_t client = (turn + i) % clients;
        order_t order = order_of(stage, wanted[client], first);
        stage_peer_request(stage, (stage_peer_t){"gateway", ids[client]}, order.id, order.message, (bytes_t){0}, 1);
        stage_run_some(stage, gap >= 0 ? (size_t)gap : roll(&dice) % (roll(&dice) % 2 ? 8 : 60));
    }
    for (int patience = 0; answered < clients; patience++) {
        for (size_t i = 0; i < clients; i++) {
            const stage_message_t *m = stage_peer_take(stage, (stage_peer_t){"gateway", ids[i]});
            if (m && answers[i]) fail_msg("`%c` is answered twice", wanted[i]);
            if (!m) continue;
            answers[i] = m;
            answered++;
        }
        if (patience > PATIENCE_MS / 10) fail_msg("seed %llu: `%s` are not all answered", (unsigned long long)seed, wanted);
        stage_advance(stage, 10000);
    }
    stage_advance(stage, 2000000);
    ret_text[0] = '\0';
    for (size_t i = 0; i < clients; i++) {
        if (stage_peer_waits(stage, (stage_peer_t){"gateway", ids[i]})) fail_msg("`%c` is answered twice", wanted[i]);
        note_answer(stage, wanted[i], answers[i], first, ret_text);
    }
    note_rest(stage, first, ret_text);
    stage_destroy(&stage);
}

static void assert_is_an_order(uint64_t seed, const char *past, const char *wanted, int gap, const outcomes_t *outcomes) {
    char text[OUTCOME];
    race(seed, past, wanted, gap, text);
    for (size_t i = 0; i < outcomes->count; i++)
        if (strcmp(outcomes->texts[i], text) == 0) return;
    for (size_t i = 0; i < outcomes->count; i++) print_message("--- an order gives\n%s", outcomes->texts[i]);
    fail_msg("seed %llu, after `%s`: `%s` at once give what no order gives:\n%s", (unsigned long long)seed, past, wanted, text);
}

static void race_all(size_t clients) {
    static outcomes_t outcomes;
    uint64_t dice = clients, combinations = seeds_of(COMBINATIONS) / (clients - 1);
    for (uint64_t combination = 1; combination <= combinations; combination++) {
        char wanted[CLIENTS + 1] = "";
        const char *past = pasts[roll(&dice) % (sizeof pasts / sizeof pasts[0])];
        for (size_t i = 0; i < clients; i++) wanted[i] = requests[roll(&dice) % (sizeof requests - 1)];
        outcomes.count = 0;
        print_message("after `%s`: `%s`\n", past, wanted);
        try_all(past, wanted, &outcomes);
        for (uint64_t i = 1; i <= RACES; i++) assert_is_an_order(combination * 100 + i, past, wanted, -1, &outcomes);
    }
}

/* The table of docs/jobs.md, row by row. */
static void each_order_gives_what_is_written_of_it(void **test) {
    (void)test;
    static const struct {
        const char *past, *wanted, *gives;
    } rows[] = {
        {"", "rr", "r: started, first_run, 1 added, 0 removed\nr: job_running*a job, RUNNING \nknown"},
        {"", "rs", "r: started, *s: started, sources_changed, *a job, CANCELLED superseded\na job, RUNNING \n"},
        {"", "rc", "r: started, *c: cancelled\n*a job, CANCELLED user\n"},
        {"r", "cr", "c: cancelled\nr: started, job_cancelled*a job, CANCELLED user\na job, RUNNING \n"},
        {"", "cr", "c: not cancelled\nr: started, first_run*a job, RUNNING \n"},
        {"", "rl", "r: started, *l: invalid_state\n*a job, RUNNING \n"},
        {"a", "lr", "l: 1 dropped\nr: started, recording_missing*a job, RUNNING \n"},
        {"", "sx", "s: started, *x: not changed*a job, RUNNING \n"},
        {"a", "xs", "x: changed*s: started, sources_changed*a job, RUNNING \n"},
        {"", "rx", "r: started*x: changed, 1 added, 1 removed\na job, CANCELLED superseded\n"},
        {"", "rf", "r: started*f: ok\nnot served"},
        {"a", "fn", "f: ok\nn: not_found\nnot served"},
        {"a", "fr", "f: ok\nr: started, first_run*a job, RUNNING \n"},
        {"r", "cc", "c: cancelled\nc: not cancelled\n*a job, CANCELLED user\n"},
        {"r", "cl", "c: cancelled\nl: 1 dropped\na job, CANCELLED user\n"},
        {"r", "lc", "l: invalid_state\nc: cancelled\n*a job, CANCELLED user\n"},
        {"r", "cx", "c: cancelled\nx: changed, 1 added, 1 removed\na job, CANCELLED user\n"},
        {"r", "xc", "x: changed, 1 added, 1 removed\nc: not cancelled\na job, CANCELLED superseded\n"},
        {"r", "cf", "c: cancelled\nf: ok\nnot served"},
        {"r", "fc", "f: ok\nc: not cancelled\nnot served"},
        {"a", "ll", "l: 1 dropped\nl: 0 dropped\na job, "},
        {"a", "lx", "l: 1 dropped\nx: changed, 1 added, 1 removed\na job, "},
        {"a", "xl", "x: changed, 1 added, 1 removed\nl: 1 dropped\na job, "},
        {"0a", "xx", "x: changed, 1 added, 1 removed\nx: not changed, 0 added, 0 removed\na job, "},
        {"a", "lf", "l: 1 dropped\nf: ok\nnot served"},
        {"a", "fl", "f: ok\nl: 0 dropped\nnot served"},
        {"a", "xf", "x: changed*f: ok\nnot served"},
        {"a", "fx", "f: ok\nx: changed, 1 added, 0 removed\nknown"},
        {"a", "ff", "f: ok\nf: not_found\nnot served"},
        {"0a", "kx", "k: ok\nx: changed*the first, CANCELLED of *, invalid, kept\n"},
        {"0a", "xk", "x: changed, 1 added, 1 removed\nk: not_found\na job, "},
        {"a", "dd", "d: 1 dropped\nd: not_found\na job, "},
    };
    static outcomes_t outcomes;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char pattern[OUTCOME];
        snprintf(pattern, sizeof pattern, "%s*", rows[i].gives);
        outcomes.count = 0;
        try_order(rows[i].past, rows[i].wanted, (const size_t[]){0, 1}, (const bool[]){false, false}, &outcomes);
        if (fnmatch(pattern, outcomes.texts[0], 0) != 0)
            fail_msg("after `%s`, `%s` gives:\n%s", rows[i].past, rows[i].wanted, outcomes.texts[0]);
    }
}

static void what_two_clients_ask_at_once_comes_in_one_order_or_the_other(void **test) {
    (void)test;
    race_all(2);
}

/* The second at each moment of the first, which the seeds above seldom come to. */
static void requests_that_meet_anywhere_come_in_one_order_or_the_other(void **test) {
    (void)test;
    static const struct {
        const char *past, *wanted;
    } pairs[] = {{"0a", "xk"}, {"0a", "sk"}, {"ab", "rk"}, {"r", "sc"}, {"r", "xc"}, {"ab", "rd"}, {"a", "rf"}, {"aby", "wl"}};
    static outcomes_t outcomes;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        outcomes.count = 0;
        print_message("after `%s`: `%s`\n", pairs[i].past, pairs[i].wanted);
        try_all(pairs[i].past, pairs[i].wanted, &outcomes);
        for (int gap = 0; gap < GAPS; gap++) assert_is_an_order((uint64_t)gap + 1, pairs[i].past, pairs[i].wanted, gap, &outcomes);
    }
}

static void what_three_clients_ask_at_once_comes_in_one_of_six_orders(void **test) {
    (void)test;
    race_all(3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_order_gives_what_is_written_of_it),
        cmocka_unit_test(what_two_clients_ask_at_once_comes_in_one_order_or_the_other),
        cmocka_unit_test(requests_that_meet_anywhere_come_in_one_order_or_the_other),
        cmocka_unit_test(what_three_clients_ask_at_once_comes_in_one_of_six_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
