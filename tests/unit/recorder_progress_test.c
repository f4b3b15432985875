/* How far recordings are: who asks is told ahead, before anything else that could let anybody know. */
#include "studio.h"

enum { CHANGES_TOLD = 256 };

/* An actor with the line, that asks as it is told to, and keeps what it hears. */
static struct {
    int64_t elements, bytes, announced;
    int told, answers;
    char refusal[400];
} heard;

static int on_heard(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)state, (void)context, (void)why;
    const msg_progress_t *m = answer->message;
    heard.answers++;
    snprintf(heard.refusal, sizeof heard.refusal, "%s", m ? "" : answer->refusal->message);
    if (!m) return 0;
    heard.elements = m->elements;
    heard.bytes = m->bytes;
    heard.announced = m->announced;
    return 0;
}

static int on_made(void *state, const envelope_t *in, fault_t *why) {
    (void)state, (void)why;
    const msg_progress_made_t *m = in->message;
    assert_string_equal(m->recording, "r1");
    heard.told++;
    heard.elements = m->elements;
    heard.bytes = m->bytes;
    heard.announced = m->announced;
    return 0;
}

static int on_ask(void *state, const envelope_t *in, fault_t *why) {
    (void)why;
    const msg_child_stop_t *m = in->message;
    if (m->name[0] == 'r')
        actor_door_ask(*(actor_t **)state, 0, MSG_PROGRESS_ASK, &(msg_progress_ask_t){.recording = m->name}, NULL, on_heard, 0);
    return 0;
}

static void *ear_create(actor_t *me, bytes_t args, fault_t *why) {
    (void)args, (void)why;
    actor_t **state = malloc(sizeof *state);
    must(state);
    *state = me;
    return state;
}

static void ear_destroy(void **state) {
    free(*state);
    *state = NULL;
}

static const actor_class_t ear_class = {
    .name = "ear",
    .doc = "Listens.",
    .create = ear_create,
    .destroy = ear_destroy,
    .takes = {[MSG_PROGRESS_MADE] = on_made, [MSG_CHILD_STOP] = on_ask},
    .sends = {MSG_PROGRESS_ASK},
    .doors = {{DOOR_LINE, ENDPOINT_PROGRESS, SCOPE_INTERNAL}},
};

static void open_heard(studio_t *studio, durability_t durability) {
    memset(&heard, 0, sizeof heard);
    studio_open(studio, durability);
    stage_add(studio->stage, &ear_class, "ear", (bytes_t){0});
    studio_create(studio, "1", "p");
    studio_budget(studio, "j1", LIMIT_NONE);
    source_attach(studio, "s", "j1", "a", "w");
}

static void ear_told(studio_t *studio, const char *name) {
    stage_tell(studio->stage, "test", "ear", MSG_CHILD_STOP, &(msg_child_stop_t){.name = name});
    stage_run(studio->stage);
}

static void who_asks_is_told_what_there_is_and_then_each_change(void **state) {
    studio_t studio;
    (void)state;
    open_heard(&studio, DURABILITY_INTERVAL);
    source_batch(&studio, "s", "a", 1, 3);
    assert_int_equal(heard.told, 0); /* nobody has asked */
    ear_told(&studio, "r1");
    assert_int_equal(heard.elements, 3);
    assert_int_equal(heard.bytes, studio_job(&studio, "r1")->bytes);
    assert_int_equal(heard.announced, CHANGES_TOLD);
    stage_advance(studio.stage, 1000000);
    assert_int_equal(heard.told, 0); /* nothing has changed */
    source_batch(&studio, "s", "a", 2, 5);
    assert_int_equal(heard.told, 1);
    assert_int_equal(heard.elements, 8);
    assert_int_equal(heard.bytes, studio_job(&studio, "r1")->bytes);
    assert_int_equal(heard.announced, CHANGES_TOLD - 1);
    studio_close(&studio);
}

static void it_is_told_so_many_times_and_no_more(void **state) {
    studio_t studio;
    (void)state;
    open_heard(&studio, DURABILITY_INTERVAL);
    ear_told(&studio, "r1");
    for (int64_t i = 1; i <= CHANGES_TOLD; i++) source_batch(&studio, "s", "a", i, 1);
    assert_int_equal(heard.told, CHANGES_TOLD);
    assert_int_equal(heard.announced, 0);
    source_batch(&studio, "s", "a", CHANGES_TOLD + 1, 1);
    assert_int_equal(heard.told, CHANGES_TOLD);
    ear_told(&studio, "r1");
    assert_int_equal(heard.elements, CHANGES_TOLD + 1);
    assert_int_equal(heard.announced, CHANGES_TOLD);
    studio_close(&studio);
}

/* What comes first is the seed's to choose, and each round finds it elsewhere. As soon as somebody knows of the elements, a message to the
 * listener must find it told. Gives how often somebody did. */
static size_t told_before(durability_t durability, size_t count, size_t steps, bool (*is_known)(studio_t *)) {
    static const msg_recording_describe_t describe = {.has_recording = true, .recording = "r1"};
    static const msg_child_stop_t nothing = {.name = "nothing"};
    size_t often = 0;
    for (int round = 0; round < 20; round++) {
        studio_t studio;
        open_heard(&studio, durability);
        for (int i = 0; i < round; i++) ear_told(&studio, "nothing");
        ear_told(&studio, "r1");
        source_send(&studio, "s", "a", 1, count);
        stage_ask(studio.stage, "asker", "recorder", MSG_RECORDING_DESCRIBE, &describe);
        stage_ask(studio.stage, "later", "recorder", MSG_RECORDING_DESCRIBE, &describe); /* it settles when it has nothing to do */
        stage_run_some(studio.stage, steps);
        bool known = is_known(&studio);
        often += known;
        stage_tell(studio.stage, "test", "ear", MSG_CHILD_STOP, &nothing);
        for (size_t before = stage_handled(studio.stage, "ear"); stage_handled(studio.stage, "ear") == before;)
            stage_run_some(studio.stage, 1);
        if (known) assert_int_equal(heard.elements, count);
        studio_close(&studio);
    }
    return often;
}

static bool is_acked(studio_t *studio) {
    return !source_is_quiet(studio, "s");
}

static bool is_described(studio_t *studio) {
    const stage_message_t *m = stage_take(studio->stage, "asker", MSG_NONE);
    return m && ((const msg_recording_t *)m->message)->elements > 0;
}

static void what_is_acknowledged_was_told_before(void **state) {
    (void)state;
    assert_true(told_before(DURABILITY_INTERVAL, 3, 3, is_acked) > 0);
    assert_true(told_before(DURABILITY_ASYNC, 3000, 3, is_acked) > 0);
}

static void what_is_answered_was_told_before(void **state) {
    (void)state;
    assert_true(told_before(DURABILITY_INTERVAL, 3000, 2, is_described) > 0);
}

static void a_new_state_tells_what_an_earlier_one_may_have_announced(void **state) {
    studio_t studio;
    (void)state;
    open_heard(&studio, DURABILITY_INTERVAL);
    ear_told(&studio, "r1");
    stage_fail(studio.stage, "recorder");
    studio_load(&studio);
    studio_budget(&studio, "j1", LIMIT_NONE);
    source_attach(&studio, "t", "j1", "a", "w");
    source_batch(&studio, "t", "a", 1, 4);
    assert_int_equal(heard.elements, 4);
    assert_true(heard.told > 0);
    studio_close(&studio);
}

static void of_a_recording_that_has_ended_nothing_more_is_announced(void **state) {
    studio_t studio;
    (void)state;
    open_heard(&studio, DURABILITY_ASYNC);
    source_batch(&studio, "s", "a", 1, 3);
    studio_finish(&studio, "r1", "CANCELLED", "user");
    studio_sync(&studio);
    ear_told(&studio, "r1");
    assert_int_equal(heard.elements, 3);
    assert_int_equal(heard.announced, 0);
    ear_told(&studio, "r2");
    assert_string_equal(heard.refusal, "there is no recording r2");
    studio_close(&studio);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_asks_is_told_what_there_is_and_then_each_change),
        cmocka_unit_test(it_is_told_so_many_times_and_no_more),
        cmocka_unit_test(what_is_acknowledged_was_told_before),
        cmocka_unit_test(what_is_answered_was_told_before),
        cmocka_unit_test(a_new_state_tells_what_an_earlier_one_may_have_announced),
        cmocka_unit_test(of_a_recording_that_has_ended_nothing_more_is_announced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
