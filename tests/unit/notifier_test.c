/* Notifications: a topic, and a map that names the subject and its new state. */
#include "desk.h"

#include "actors/notifier.h"
#include "messages/wire.h"

static stage_t *with_notifier(void) {
    stage_t *stage = stage_create(3, NULL);
    stage_add(stage, &notifier_class, "notifier", (bytes_t){0});
    stage_run(stage);
    return stage;
}

static int64_t number_in(const stage_message_t *m, const char *key) {
    bytes_t value;
    int64_t number = -1;
    assert_true(wire_map_get(m->raw, key, &value));
    assert_true(wire_int(value, &number));
    return number;
}

static void assert_text(const stage_message_t *m, const char *key, const char *wanted) {
    bytes_t value;
    const char *text;
    size_t size;
    assert_true(wire_map_get(m->raw, key, &value));
    assert_true(wire_text(value, &text, &size));
    assert_int_equal(size, strlen(wanted));
    assert_memory_equal(text, wanted, size);
}

static const stage_message_t *published(stage_t *stage, const msg_notify_t *notify) {
    stage_tell(stage, "job_supervisor", "notifier", MSG_NOTIFY, notify);
    stage_run(stage);
    const stage_message_t *m = stage_take_published(stage, "notifier");
    assert_non_null(m);
    assert_null(stage_take_published(stage, "notifier"));
    refusal_t no;
    assert_int_equal(wire_walk(m->raw, &no), 0);
    return m;
}

static void a_notification_names_its_subject_and_its_state(void **test) {
    (void)test;
    stage_t *stage = with_notifier();
    stage_advance(stage, 5);
    const stage_message_t *m = published(stage, &(msg_notify_t){.topic = "job.state", .key = "job", .name = "j1", .state = "RUNNING"});
    bytes_t value;
    assert_string_equal(m->topic, "job.state");
    assert_text(m, "job", "j1");
    assert_text(m, "state", "RUNNING");
    assert_int_equal(number_in(m, "boot"), stage_config(stage)->started);
    assert_int_equal(number_in(m, "at"), stage_now(stage));
    assert_false(wire_map_get(m->raw, "detail", &value));
    stage_destroy(&stage);
}

static void a_reason_is_told_where_there_is_one(void **test) {
    (void)test;
    stage_t *stage = with_notifier();
    msg_notify_t notify = {
        .topic = "job.state", .key = "job", .name = "j1", .state = "FAILED", .has_detail = true, .detail = "no such file"};
    assert_text(published(stage, &notify), "detail", "no such file");
    stage_destroy(&stage);
}

static void notifications_are_numbered_so_that_a_gap_is_seen(void **test) {
    (void)test;
    stage_t *stage = with_notifier();
    msg_notify_t notify = {.topic = "t", .key = "actor", .name = "a", .state = "s"};
    for (int64_t i = 1; i <= 3; i++) assert_int_equal(number_in(published(stage, &notify), "seq"), i);
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_notification_names_its_subject_and_its_state),
        cmocka_unit_test(a_reason_is_told_where_there_is_one),
        cmocka_unit_test(notifications_are_numbered_so_that_a_gap_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
