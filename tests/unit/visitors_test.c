/* Who stands at a door with keys, seen by real connections that the test lets in under names of its choice. */
#include "knock.h"

static knock_t k;
static visitors_t *visitors;

static int set_up(void **test) {
    (void)test;
    knock_open(&k, ZMQ_ROUTER, "commands");
    visitors = visitors_create();
    return 0;
}

static int tear_down(void **test) {
    (void)test;
    visitors_destroy(&visitors);
    visitors_destroy(&visitors); /* allowed */
    knock_close(&k);
    return 0;
}

/* One that is let in as that user, and shook hands. */
static knocker_t guest(const char *id, const char *user) {
    knocker_t one = knocker_at(&k, ZMQ_DEALER, id);
    knock_let_in(&k, user);
    assert_int_equal(knocker_hears(&one), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    return one;
}

/* What the door makes of the next message, and of whom it came. */
static admission_t next_at(visitors_t *at, peer_t *peer, const pass_t **pass) {
    frame_t id, frame;
    frame_init(&id);
    frame_init(&frame);
    if (!frame_receive(&id, k.door, 0)) fail_msg("nothing came in: %s", zmq_strerror(errno));
    assert_true(frame_receive(&frame, k.door, 0));
    *peer = (peer_t){.size = (uint8_t)frame_bytes(&id).size};
    memcpy(peer->id, frame_bytes(&id).data, peer->size);
    admission_t admission = visitors_admit(at, &frame, peer, pass);
    frame_fini(&id);
    frame_fini(&frame);
    return admission;
}

static const pass_t *pass_of(knocker_t *one, peer_t *peer) {
    const pass_t *pass;
    SEND(one->socket, TEXT_BYTES("hello"));
    assert_int_equal(next_at(visitors, peer, &pass), ADMITTED);
    return pass;
}

static bool is_reached(const peer_t *peer) {
    size_t size = 999;
    bool reached = visitors_reach(visitors, peer, &size);
    assert_int_equal(size, peer->size - sizeof(uint32_t));
    return reached;
}

static void know(int64_t at, size_t count, const char *const *users) {
    visitors_know(visitors, at, &(names_t){count, (const char **)(uintptr_t)users});
}

/* ---- users ---- */

static void a_user_id_says_when_who_and_what(void **test) {
    (void)test;
    char text[160];
    user_t user;
    pass_t pass;
    user_format(INT64_C(12345678901234), PERMISSION_WRITE, "KEY", "alice", text);
    assert_string_equal(text, "12345678901234 write KEY alice");
    assert_true(user_parse(text, &user, &pass));
    assert_int_equal(user.at, INT64_C(12345678901234));
    assert_string_equal(user.who, "write KEY alice");
    assert_int_equal(pass.permission, PERMISSION_WRITE);
    assert_string_equal(pass.name, "alice");
}

static void what_is_no_user_id_is_nobodys(void **test) {
    (void)test;
    user_t user;
    pass_t pass;
    const char *const texts[] = {"", "alice", "1", "1 write", "1 write KEY", "1 all KEY alice", "1write KEY alice", "x write KEY alice"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (user_parse(texts[i], &user, &pass)) fail_msg("`%s` is taken for a user", texts[i]);
}

/* ---- who speaks ---- */

static void who_was_let_in_may_what_its_key_says_and_is_reached(void **test) {
    (void)test;
    knocker_t one = guest("alice's", "1 write KEY alice"), other = guest("bob's", "1 read OTHER bob");
    peer_t of_one, of_other;
    const pass_t *pass = pass_of(&one, &of_one);
    assert_int_equal(pass->permission, PERMISSION_WRITE);
    assert_string_equal(pass->name, "alice");
    pass = pass_of(&other, &of_other);
    assert_int_equal(pass->permission, PERMISSION_READ);
    assert_string_equal(pass->name, "bob");
    assert_true(is_reached(&of_one) && is_reached(&of_other));
    peer_t again;
    pass_of(&one, &again);
    assert_true(peer_equal(&of_one, &again));
    knocker_leave(&one);
    knocker_leave(&other);
}

/* Neither who has left, nor who has its routing id since, is sent what it asked for. */
static void an_answer_goes_to_the_connection_that_asked(void **test) {
    (void)test;
    peer_t first, second;
    knocker_t one = guest("same", "1 write KEY alice");
    pass_of(&one, &first);
    void *gone = zmq_socket(k.inside, ZMQ_PAIR);
    zmq_socket_monitor(k.door, "inproc://gone", ZMQ_EVENT_DISCONNECTED);
    assert_int_equal(zmq_connect(gone, "inproc://gone"), 0);
    int patience = PATIENCE_MS, on = 1;
    zmq_setsockopt(gone, ZMQ_RCVTIMEO, &patience, sizeof patience);
    knocker_leave(&one);
    socket_receive(gone);
    knocker_t other = guest("other", "1 read THIRD carol"); /* libzmq closes the descriptor after it has said so, and before it does this */
    assert_false(is_reached(&first));
    zmq_setsockopt(k.door, ZMQ_ROUTER_HANDOVER, &on, sizeof on); /* so that it need not be free for libzmq, too */
    knocker_t heir = guest("same", "1 read OTHER bob");
    assert_int_equal(pass_of(&heir, &second)->permission, PERMISSION_READ);
    assert_true(is_reached(&second));
    assert_false(is_reached(&first));
    knocker_leave(&heir);
    knocker_leave(&other);
    zmq_socket_monitor(k.door, NULL, 0);
    zmq_close(gone);
}

static void who_was_asked_about_by_nobody_is_barred(void **test) {
    (void)test;
    peer_t peer;
    const pass_t *pass;
    knock_close(&k);
    knock_open(&k, ZMQ_ROUTER, NULL);
    knocker_t one = knocker_at(&k, ZMQ_DEALER, NULL);
    SEND(one.socket, TEXT_BYTES("hello"));
    assert_int_equal(next_at(visitors, &peer, &pass), BARRED);
    assert_null(pass);
    knocker_leave(&one);
}

static void a_user_id_that_cannot_be_read_bars(void **test) {
    (void)test;
    peer_t peer;
    const pass_t *pass;
    knocker_t one = guest("odd", "somebody");
    SEND(one.socket, TEXT_BYTES("hello"));
    assert_int_equal(next_at(visitors, &peer, &pass), BARRED);
    SEND(one.socket, TEXT_BYTES("hello again"));
    assert_int_equal(next_at(visitors, &peer, &pass), BARRED);
    knocker_leave(&one);
}

static void a_routing_id_with_no_room_behind_it_bars(void **test) {
    (void)test;
    peer_t peer;
    const pass_t *pass;
    char longest[256];
    memset(longest, 'i', sizeof longest);
    longest[252] = '\0';
    knocker_t one = guest(longest, "1 write KEY alice");
    SEND(one.socket, TEXT_BYTES("hello"));
    assert_int_equal(next_at(visitors, &peer, &pass), BARRED);
    longest[251] = '\0';
    knocker_t other = guest(longest, "1 write KEY alice");
    pass_of(&other, &peer);
    assert_int_equal(peer.size, 255);
    assert_true(is_reached(&peer));
    knocker_leave(&one);
    knocker_leave(&other);
}

static void who_is_inside_the_process_may_everything(void **test) {
    (void)test;
    peer_t peer;
    const pass_t *pass;
    assert_int_equal(zmq_bind(k.door, "inproc://commands"), 0);
    void *one = socket_connected(k.inside, ZMQ_DEALER, "inproc://commands");
    SEND(one, TEXT_BYTES("hello"));
    assert_int_equal(next_at(visitors, &peer, &pass), ADMITTED);
    assert_null(pass);
    know(9, 0, NULL);
    assert_true(is_reached(&peer));
    zmq_close(one);
}

static void hundreds_are_each_known_for_themselves(void **test) {
    (void)test;
    enum { MANY = 200 };
    knocker_t *all = calloc(MANY, sizeof *all);
    peer_t *peers = calloc(MANY, sizeof *peers);
    char id[32], user[64];
    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof id, "id %d", i);
        snprintf(user, sizeof user, "1 read KEY client-%d", i);
        all[i] = guest(id, user);
        assert_string_equal(pass_of(&all[i], &peers[i])->name, user + strlen("1 read KEY "));
        if (i % 3 == 0) knocker_leave(&all[i]);
    }
    for (int i = 0; i < MANY; i++) {
        if (i % 3 == 0) continue;
        assert_true(is_reached(&peers[i]));
        knocker_leave(&all[i]);
    }
    free(all);
    free(peers);
}

/* ---- keys that come and go ---- */

static void who_is_no_longer_among_the_keys_is_cut_off(void **test) {
    (void)test;
    const char *const before[] = {"write KEY alice", "read OTHER bob"}, *const after[] = {"read OTHER bob"};
    peer_t of_one, of_other, peer;
    const pass_t *pass;
    know(1, 2, before);
    knocker_t one = guest("alice's", "1 write KEY alice"), other = guest("bob's", "1 read OTHER bob");
    pass_of(&one, &of_one);
    pass_of(&other, &of_other);
    SEND(one.socket, TEXT_BYTES("still under way"));
    assert_true(socket_readable(k.door, PATIENCE_MS));
    know(2, 1, after);
    assert_int_equal(knocker_hears(&one), ZMQ_EVENT_DISCONNECTED);
    assert_int_equal(next_at(visitors, &peer, &pass), BARRED);
    assert_false(is_reached(&of_one));
    assert_true(is_reached(&of_other));
    pass_of(&other, &peer);
    knocker_leave(&one);
    knocker_leave(&other);
}

static void another_permission_is_another_key(void **test) {
    (void)test;
    const char *const before[] = {"write KEY alice"}, *const after[] = {"read KEY alice"};
    peer_t peer;
    know(1, 1, before);
    knocker_t one = guest("alice's", "1 write KEY alice");
    pass_of(&one, &peer);
    know(2, 1, after);
    assert_int_equal(knocker_hears(&one), ZMQ_EVENT_DISCONNECTED);
    knocker_leave(&one);
}

/* The authenticator lets in with keys that this door has not been told of yet. */
static void who_came_by_newer_keys_is_right_until_they_are_known(void **test) {
    (void)test;
    peer_t peer;
    const pass_t *pass;
    know(5, 0, NULL);
    knocker_t one = guest("alice's", "6 write KEY alice");
    pass_of(&one, &peer);
    know(6, 0, NULL);
    assert_int_equal(knocker_hears(&one), ZMQ_EVENT_DISCONNECTED);
    assert_false(is_reached(&peer));
    knocker_t late = guest("bob's", "6 read OTHER bob"); /* let in before its key was removed, and slow to speak */
    SEND(late.socket, TEXT_BYTES("hello"));
    assert_int_equal(next_at(visitors, &peer, &pass), BARRED);
    knocker_leave(&one);
    knocker_leave(&late);
}

static void older_news_of_the_keys_is_none(void **test) {
    (void)test;
    const char *const now[] = {"write KEY alice"};
    peer_t peer;
    know(5, 1, now);
    knocker_t one = guest("alice's", "3 write KEY alice");
    pass_of(&one, &peer);
    know(4, 0, NULL);
    assert_true(is_reached(&peer));
    knocker_leave(&one);
}

static void a_subscriber_whose_key_is_gone_is_cut_off(void **test) {
    (void)test;
    const char *const before[] = {"read KEY alice"};
    knock_close(&k);
    knock_open(&k, ZMQ_XPUB, "notifications");
    know(1, 1, before);
    knocker_t one = knocker_at(&k, ZMQ_SUB, NULL);
    knock_let_in(&k, "1 read KEY alice");
    assert_int_equal(knocker_hears(&one), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    frame_t frame;
    frame_init(&frame);
    assert_true(frame_receive(&frame, k.door, 0));
    visitors_note(visitors, &frame);
    frame_fini(&frame);
    know(2, 0, NULL);
    assert_int_equal(knocker_hears(&one), ZMQ_EVENT_DISCONNECTED);
    knocker_leave(&one);
}

#define VISITORS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_id_says_when_who_and_what),
        cmocka_unit_test(what_is_no_user_id_is_nobodys),
        VISITORS_TEST(who_was_let_in_may_what_its_key_says_and_is_reached),
        VISITORS_TEST(an_answer_goes_to_the_connection_that_asked),
        VISITORS_TEST(who_was_asked_about_by_nobody_is_barred),
        VISITORS_TEST(a_user_id_that_cannot_be_read_bars),
        VISITORS_TEST(a_routing_id_with_no_room_behind_it_bars),
        VISITORS_TEST(who_is_inside_the_process_may_everything),
        VISITORS_TEST(hundreds_are_each_known_for_themselves),
        VISITORS_TEST(who_is_no_longer_among_the_keys_is_cut_off),
        VISITORS_TEST(another_permission_is_another_key),
        VISITORS_TEST(who_came_by_newer_keys_is_right_until_they_are_known),
        VISITORS_TEST(older_news_of_the_keys_is_none),
        VISITORS_TEST(a_subscriber_whose_key_is_gone_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
