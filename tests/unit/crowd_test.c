/* The connections of a door are counted by what the kernel knows of them, with pairs of sockets in the place of connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "actors/runtime/crowd.h"

enum { SWEPT_AFTER = 64 };

static crowd_t crowd;

static int set_up(void **test) {
    (void)test;
    crowd = (crowd_t){0};
    return 0;
}

static int tear_down(void **test) {
    (void)test;
    crowd_fini(&crowd);
    assert_null(crowd.inodes);
    return 0;
}

typedef struct link {
    int ours, theirs;
} link_t;

static link_t link_made(void) {
    int both[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, both), 0);
    return (link_t){both[0], both[1]};
}

/* With our end at a descriptor of the test's choice. */
static link_t link_at(int descriptor) {
    link_t link = link_made();
    assert_int_equal(dup2(link.ours, descriptor), descriptor);
    close(link.ours);
    return (link_t){descriptor, link.theirs};
}

static void link_close(link_t link) {
    close(link.ours);
    close(link.theirs);
}

static bool stands(link_t link) {
    char byte = 'x';
    return send(link.theirs, &byte, 1, MSG_NOSIGNAL) == 1 && recv(link.ours, &byte, 1, MSG_DONTWAIT) == 1;
}

static void a_socket_is_known_by_its_inode_and_nothing_else_is_one(void **test) {
    (void)test;
    link_t one = link_made(), other = link_made();
    uint64_t inode = crowd_inode(one.ours);
    assert_int_not_equal(inode, 0);
    assert_int_equal(crowd_inode(one.ours), inode);
    assert_int_not_equal(crowd_inode(other.ours), inode);
    int file[2];
    assert_int_equal(pipe(file), 0);
    assert_int_equal(crowd_inode(file[0]), 0);
    close(file[0]);
    close(file[1]);
    link_close(one);
    link_close(other);
    assert_int_equal(crowd_inode(one.ours), 0);
    assert_int_equal(crowd_inode(-1), 0);
}

static void one_beyond_the_bound_is_shut_down_and_those_before_it_stay(void **test) {
    (void)test;
    link_t links[3] = {link_made(), link_made(), link_made()};
    char byte;
    assert_true(crowd_join(&crowd, links[0].ours, 2));
    assert_true(crowd_join(&crowd, links[1].ours, 2));
    assert_false(crowd_join(&crowd, links[2].ours, 2));
    assert_int_equal(recv(links[2].theirs, &byte, 1, MSG_DONTWAIT), 0);
    assert_true(stands(links[0]) && stands(links[1]));
    assert_int_equal(crowd.count, 2);
    crowd_leave(&crowd, links[2].ours); /* as libzmq says of it, too */
    assert_int_equal(crowd.count, 2);
    for (int i = 0; i < 3; i++) link_close(links[i]);
}

static void one_that_leaves_makes_room_once(void **test) {
    (void)test;
    link_t links[3] = {link_made(), link_made(), link_made()};
    crowd_join(&crowd, links[0].ours, 2);
    crowd_join(&crowd, links[1].ours, 2);
    crowd_leave(&crowd, links[0].ours);
    crowd_leave(&crowd, links[0].ours);
    crowd_leave(&crowd, -1);
    crowd_leave(&crowd, 1 << 20);
    assert_int_equal(crowd.count, 1);
    assert_true(crowd_join(&crowd, links[2].ours, 2));
    for (int i = 0; i < 3; i++) link_close(links[i]);
}

/* Nobody said that the first one left: its descriptor is another's. */
static void a_descriptor_that_is_used_again_counts_once(void **test) {
    (void)test;
    for (int i = 0; i < 10; i++) {
        link_t link = link_at(300);
        assert_true(crowd_join(&crowd, link.ours, 1));
        assert_int_equal(crowd.count, 1);
        link_close(link);
    }
}

static void those_that_are_gone_without_a_word_are_found_when_it_is_full(void **test) {
    (void)test;
    for (int i = 0; i < SWEPT_AFTER - 1; i++) {
        link_t link = link_at(300 + i);
        assert_true(crowd_join(&crowd, link.ours, SWEPT_AFTER - 1));
        link_close(link);
    }
    assert_int_equal(crowd.count, SWEPT_AFTER - 1);
    link_t link = link_made();
    assert_true(crowd_join(&crowd, link.ours, SWEPT_AFTER - 1));
    assert_int_equal(crowd.count, 1);
    assert_true(stands(link));
    link_close(link);
}

/* Each look is at every descriptor, and a flood would have one for each connection. */
static void they_are_not_looked_for_at_each_one_that_comes(void **test) {
    (void)test;
    link_t gone = link_made(), late = link_made();
    assert_true(crowd_join(&crowd, gone.ours, 1));
    close(dup2(late.ours, 300));
    int other = dup(late.ours);
    link_close(gone);
    assert_false(crowd_join(&crowd, other, 1));
    for (int i = 2; i < SWEPT_AFTER - 1; i++) assert_false(crowd_join(&crowd, other, 1));
    link_t next = link_at(301);
    assert_true(crowd_join(&crowd, next.ours, 1));
    link_close(next);
    link_close(late);
    close(other);
}

static void one_that_is_gone_already_takes_no_place(void **test) {
    (void)test;
    link_t link = link_made();
    link_close(link);
    assert_true(crowd_join(&crowd, link.ours, 0));
    assert_int_equal(crowd.count, 0);
}

#define CROWD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CROWD_TEST(a_socket_is_known_by_its_inode_and_nothing_else_is_one),
        CROWD_TEST(one_beyond_the_bound_is_shut_down_and_those_before_it_stay),
        CROWD_TEST(one_that_leaves_makes_room_once),
        CROWD_TEST(a_descriptor_that_is_used_again_counts_once),
        CROWD_TEST(those_that_are_gone_without_a_word_are_found_when_it_is_full),
        CROWD_TEST(they_are_not_looked_for_at_each_one_that_comes),
        CROWD_TEST(one_that_is_gone_already_takes_no_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
