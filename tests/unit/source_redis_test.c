/* Redis' answers as they may come: in pieces, wrong, hostile, or not at all. The server is the test itself. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "ingest_double.h"
#include "pack.h"

extern const actor_class_t source_redis_class;

static int listener = -1, connection = -1;
static char server[32];
static char heard[64 * 1024]; /* what the source says */

static int setup(void **state) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof there;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&there, size), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&there, &size), 0);
    snprintf(server, sizeof server, "127.0.0.1:%d", ntohs(there.sin_port));
    return ingest_setup(state);
}

static int teardown(void **state) {
    if (connection >= 0) close(connection);
    close(listener);
    connection = -1;
    return ingest_teardown(state);
}

/* Each piece goes by itself. */
static void take_connection(void) {
    const int yes = 1;
    if (connection < 0) connection = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (connection >= 0) assert_int_equal(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes), 0);
}

/* What the source has said since. */
static const char *hear(stage_t *stage) {
    size_t size = 0;
    stage_run(stage);
    take_connection();
    for (ssize_t got; connection >= 0 && (got = read(connection, heard + size, sizeof heard - 1 - size)) > 0;) size += (size_t)got;
    size_t kept = 0;
    for (size_t i = 0; i < size; i++) {
        if (heard[i] != '\r') heard[kept++] = heard[i] == '\n' ? ' ' : heard[i];
    }
    heard[kept] = '\0';
    return heard;
}

static void say_bytes(stage_t *stage, const char *bytes, size_t size) {
    assert_int_equal(write(connection, bytes, size), size);
    stage_run(stage);
}

static void say(stage_t *stage, const char *text) {
    say_bytes(stage, text, strlen(text));
}

static void hang_up(stage_t *stage) {
    close(connection);
    connection = -1;
    stage_run(stage);
}

static void start(stage_t *stage, bytes_t payload) {
    stage_add(stage, &source_redis_class, "source:1", ingest_args(payload));
    assert_text(hear(stage), "SETNAME");
}

#define QUEUED "+OK\r\n+QUEUED\r\n+QUEUED\r\n"
#define INFO(length, added, first, newest)                                                                                                 \
    "*8\r\n$6\r\nlength\r\n:" length "\r\n$13\r\nentries-added\r\n:" added "\r\n$17\r\nlast-generated-id\r\n$3\r\n" newest                 \
    "\r\n$11\r\nfirst-entry\r\n*2\r\n$3\r\n" first "\r\n*2\r\n$1\r\ne\r\n$3\r\nold\r\n"
#define ENTRY(id, value) "*2\r\n$3\r\n" id "\r\n*2\r\n$1\r\ne\r\n$3\r\n" value "\r\n"
#define STREAM(entries) "*1\r\n*2\r\n$1\r\ns\r\n*" entries

static const char two_entries[] = QUEUED "*2\r\n" INFO("2", "2", "1-0", "2-0") STREAM("2\r\n") ENTRY("1-0", "one") ENTRY("2-0", "two");

static void streams(stage_t *stage) {
    start(stage, pack("{ssss}", "server", server, "stream", "s"));
    say(stage, "+OK\r\n");
    assert_text(hear(stage), "XREAD $5 COUNT $3 256 $7 STREAMS $1 s $3 0-0 *1 $4 EXEC");
}

static void a_reply_may_come_in_pieces_of_any_size(void **state) {
    streams(*state);
    for (size_t i = 0; i < sizeof two_entries - 1; i++) say_bytes(*state, two_entries + i, 1);
    assert_int_equal(ingest.count, 2);
    assert_string_equal(ingest.elements[0].text, "one");
    assert_string_equal(ingest.elements[1].text, "two");
    assert_int_equal(ingest.elements[1].time, 2000);
    assert_int_equal(ingest.watermark, 2000);
    assert_int_equal(ingest.batches, 1);
}

static void when_all_is_read_the_next_question_waits(void **state) {
    streams(*state);
    say(*state, two_entries);
    assert_text(hear(*state), "s $3 2-0 *1 $4 EXEC");
    say(*state, QUEUED "*2\r\n" INFO("2", "2", "1-0", "2-0") "*-1\r\n");
    assert_text(hear(*state), "BLOCK $4 5000 $7 STREAMS $1 s $3 2-0");
    say(*state, "*-1\r\n");
    assert_text(hear(*state), "MULTI");
    assert_int_equal(ingest.gaps, 0);
}

static void an_attachment_that_is_lost_asks_again_from_the_cursor(void **state) {
    streams(*state);
    say(*state, two_entries);
    ingest.source = 0;
    say(*state, QUEUED "*2\r\n" INFO("3", "3", "1-0", "3-0") STREAM("1\r\n") ENTRY("3-0", "six"));
    assert_int_equal(ingest.attaches, 2);
    close(connection);
    connection = -1;
    assert_text(hear(*state), "SETNAME");
    say(*state, "+OK\r\n");
    assert_text(hear(*state), "s $3 2-0 *1 $4 EXEC");
    say(*state, QUEUED "*2\r\n" INFO("3", "3", "1-0", "3-0") STREAM("1\r\n") ENTRY("3-0", "six"));
    assert_int_equal(ingest.count, 3);
    assert_string_equal(ingest.elements[2].text, "six");
}

static void entries_before_the_position_are_left_out(void **state) {
    streams(*state);
    say(*state, two_entries);
    say(*state, two_entries);
    assert_int_equal(ingest.count, 2);
    assert_int_equal(ingest.gaps, 0);
}

static void without_room_nothing_is_asked(void **state) {
    ingest.credit = 10;
    ingest.hold_acks = true;
    streams(*state);
    say(*state, two_entries);
    assert_int_equal(ingest.count, 1);
    ingest_do(*state, ingest_ack);
    assert_int_equal(ingest.count, 2);
    assert_string_equal(hear(*state), "");
    ingest_do(*state, ingest_ack);
    assert_text(hear(*state), "2-0 *1 $4 EXEC");
}

static void a_gap_stands_before_what_was_read_after_it(void **state) {
    streams(*state);
    say(*state, two_entries);
    say(*state, QUEUED "*2\r\n" INFO("1", "9", "9-0", "9-0") STREAM("1\r\n") ENTRY("9-0", "new"));
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(ingest.gap_at, 2);
    assert_string_equal(ingest.gap, "`s`: 6 entries after 2-0 were trimmed or deleted before they were read");
    assert_int_equal(ingest.count, 3);
}

static void a_connection_that_breaks_in_a_reply_goes_on_behind_what_came(void **state) {
    streams(*state);
    say_bytes(*state, two_entries, sizeof two_entries - 5);
    hang_up(*state);
    assert_int_equal(ingest.count, 1);
    assert_text(ingest.waits, "Server closed the connection");
    stage_advance(*state, 200000);
    assert_text(hear(*state), "SETNAME");
    say(*state, "+OK\r\n");
    assert_text(hear(*state), "s $3 1-0 *1 $4 EXEC");
    say(*state, QUEUED "*2\r\n" INFO("2", "2", "1-0", "2-0") STREAM("1\r\n") ENTRY("2-0", "two"));
    assert_int_equal(ingest.count, 2);
    assert_int_equal(ingest.gaps, 0);
    assert_string_equal(ingest.waits, "");
}

static void a_server_that_is_loading_is_asked_again(void **state) {
    streams(*state);
    say(*state, "-LOADING Redis is loading the dataset in memory\r\n");
    assert_text(ingest.waits, "LOADING Redis is loading");
    hang_up(*state);
    stage_advance(*state, 200000);
    assert_text(hear(*state), "SETNAME");
    assert_string_equal(ingest.failure, "");
}

static void a_server_that_does_not_greet_is_left(void **state) {
    start(*state, pack("{ssss}", "server", server, "stream", "s"));
    stage_advance(*state, 11000000);
    assert_text(ingest.waits, "it does not answer");
}

static void what_is_no_reply_is_said_and_tried_again(void **state) {
    streams(*state);
    say(*state, "HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_text(ingest.waits, "Protocol error");
    assert_string_equal(ingest.failure, "");
}

static void a_value_that_is_no_element_is_not_waited_for(void **state) {
    static char piece[64 * 1024];
    ssize_t sent = 0;
    memset(piece, 'x', sizeof piece);
    streams(*state);
    say(*state, QUEUED "*2\r\n" INFO("2", "2", "1-0", "2-0") STREAM("2\r\n") ENTRY("1-0", "one"));
    say(*state, "*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\ne\r\n$500000000\r\n");
    for (size_t i = 0; ingest.failure[0] == '\0' && i < 500000000 / sizeof piece; i++) {
        ssize_t got = send(connection, piece, sizeof piece, MSG_NOSIGNAL);
        if (got > 0) sent += got;
        stage_run(*state);
    }
    assert_text(ingest.failure, "a value of more than 15728640 bytes comes");
    assert_int_equal(ingest.count, 1);
    assert_true(sent >= 15 * 1024 * 1024 && sent < 32 * 1024 * 1024);
}

static void say_all(stage_t *stage, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t got = send(connection, bytes, size, MSG_NOSIGNAL);
        if (got > 0) bytes += got, size -= (size_t)got;
        stage_run(stage);
    }
}

/* Three values of 6 MB each, in one entry. */
static void an_entry_of_more_fields_than_an_element_holds_is_none_and_the_next_one_is(void **state) {
    static const char head[] = "*2\r\n$3\r\n1-0\r\n*6\r\n";
    static const char field[] = "$1\r\nf\r\n$6000000\r\n";
    char *value = malloc(6000002);
    assert_non_null(value);
    memset(value, 'x', 6000000);
    memcpy(value + 6000000, "\r\n", 2);
    for (int skips = 0; skips < 2; skips++) {
        start(*state, skips ? pack("{ssssss}", "server", server, "stream", "s", "on_error", "skip")
                            : pack("{ssss}", "server", server, "stream", "s"));
        say(*state, "+OK\r\n");
        say(*state, QUEUED "*2\r\n" INFO("2", "2", "1-0", "2-0") STREAM("2\r\n"));
        say(*state, head);
        for (int i = 0; i < 3 && connection >= 0 && !ingest.failure[0]; i++) {
            say(*state, field);
            say_all(*state, value, 6000002);
        }
        if (skips) {
            say(*state, ENTRY("2-0", "two"));
            assert_int_equal(ingest.count, 1);
            assert_string_equal(ingest.elements[0].text, "two");
        } else {
            assert_text(ingest.failure, "`s`, entry 1-0: its JSON has more than the 15728640 bytes of an element");
            teardown(state);
            assert_int_equal(setup(state), 0);
        }
    }
    free(value);
}

/* As if something had been subscribed to. */
static void what_nobody_asked_for_is_no_element(void **state) {
    static const char *const unasked[] = {"*3\r\n$7\r\nmessage\r\n$1\r\ns\r\n$3\r\nbad\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\ns\r\n:1\r\n",
                                          "+OK\r\n", "-ERR no\r\n"};
    for (size_t i = 0; i < sizeof unasked / sizeof unasked[0]; i++) {
        char both[sizeof two_entries + 64];
        int size = snprintf(both, sizeof both, "%s%s", two_entries, unasked[i]);
        streams(*state);
        say_bytes(*state, both, (size_t)size);
        assert_int_equal(ingest.count, 2);
        assert_text(ingest.waits, "it says what it was not asked");
        assert_string_equal(ingest.failure, "");
        if (i + 1 == sizeof unasked / sizeof unasked[0]) return;
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
}

/* The shape of each is wrong in its own way. */
static void replies_of_a_wrong_shape_are_passed_over(void **state) {
    static const char *const replies[] = {
        QUEUED "*0\r\n",
        QUEUED ":1\r\n",
        QUEUED "*2\r\n:1\r\n:2\r\n",
        QUEUED "*5\r\n*-1\r\n*-1\r\n*-1\r\n*1\r\n*-1\r\n:3\r\n",
        QUEUED "*2\r\n" INFO("2", "2", "1-0", "2-0") "*1\r\n*2\r\n$1\r\nx\r\n*1\r\n" ENTRY("1-0", "one"),
        QUEUED "*2\r\n" INFO("2", "2", "1-0", "2-0") STREAM("1\r\n") "*2\r\n$3\r\nxxx\r\n*2\r\n$1\r\ne\r\n$3\r\nbad\r\n",
        QUEUED "*2\r\n" INFO("2", "2", "1-0", "2-0") STREAM("1\r\n") "*2\r\n$3\r\n1-0\r\n*3\r\n$1\r\ne\r\n$3\r\nbad\r\n$1\r\nf\r\n",
        QUEUED "*2\r\n" INFO("2", "2", "1-0", "2-0") STREAM("1\r\n") "*2\r\n$3\r\n1-0\r\n*-1\r\n",
        QUEUED "*2\r\n*4\r\n$6\r\nlength\r\n$1\r\nx\r\n$13\r\nentries-added\r\n:-5\r\n*-1\r\n",
    };
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        streams(*state);
        say(*state, replies[i]);
        assert_int_equal(ingest.count, 0);
        assert_string_equal(ingest.failure, "");
        if (i + 1 == sizeof replies / sizeof replies[0]) return;
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
}

static void what_stands_behind_an_entry_that_is_whole_is_not_of_it(void **state) {
    streams(*state);
    say(*state, QUEUED "*2\r\n" INFO("2", "2", "1-0", "2-0") STREAM("1\r\n") "*3\r\n$3\r\n1-0\r\n*2\r\n$1\r\ne\r\n$3\r\none\r\n"
                                                                             "*2\r\n$1\r\nf\r\n$3\r\ntwo\r\n");
    assert_int_equal(ingest.count, 1);
    assert_string_equal(ingest.elements[0].text, "one");
}

static void what_is_of_a_stream_without_a_name_is_of_none(void **state) {
    streams(*state);
    say(*state, QUEUED "*2\r\n" INFO("2", "2", "1-0", "2-0") "*2\r\n*2\r\n$1\r\ns\r\n*0\r\n*2\r\n:7\r\n*1\r\n" ENTRY("1-0", "one"));
    assert_int_equal(ingest.count, 0);
}

/* Only a server that counts wrongly comes to such a number. */
static void a_count_that_cannot_grow_stays(void **state) {
    ingest.credit = 10;
    ingest.hold_acks = true;
    streams(*state);
    say(*state, QUEUED "*2\r\n" INFO("0", "9223372036854775807", "1-0", "2-0") STREAM("1\r\n") ENTRY("1-0", "one"));
    assert_int_equal(ingest.count, 1);
    stage_fail(*state, "source:1");
    stage_run(*state);
    assert_string_equal(ingest.failure, "");
}

static void what_a_server_says_is_told_as_text(void **state) {
    streams(*state);
    say(*state, QUEUED "-ERR \xff\xfe\r\n");
    assert_text(ingest.failure, "ERR ??");
}

static void a_silent_channel_is_asked_for_a_sign_of_life_and_its_loss_has_a_length(void **state) {
    start(*state, pack("{ssss}", "server", server, "channel", "news"));
    say(*state, "+OK\r\n*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    say(*state, "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$3\r\none\r\n");
    assert_int_equal(ingest.count, 1);
    stage_advance(*state, 5000000);
    assert_text(hear(*state), "PING");
    say(*state, "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    int64_t last = stage_now(*state);
    stage_advance(*state, 1000000);
    hang_up(*state);
    stage_advance(*state, 200000);
    assert_text(hear(*state), "SUBSCRIBE $4 news");
    say(*state, "+OK\r\n*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$3\r\ntwo\r\n");
    assert_int_equal(ingest.gaps, 1);
    assert_int_equal(ingest.gap_at, 1);
    assert_int_equal(ingest.gap_lost_us, stage_now(*state) - last);
    assert_text(ingest.gap, "`news`: nobody listened: Server closed the connection");
    assert_int_equal(ingest.count, 2);
}

static void a_cursor_of_another_source_fails_the_job(void **state) {
    memcpy(ingest.cursor, "\x92\x01\x02", 3);
    ingest.cursor_size = 3;
    stage_add(*state, &source_redis_class, "source:1", ingest_args(pack("{ssss}", "server", server, "stream", "s")));
    stage_run(*state);
    assert_text(ingest.failure, "not one of `reprise:source:redis:v1` of 1 stream");
}

static void payloads_that_cannot_be_are_refused_with_the_field_and_the_value(void **state) {
    const struct {
        bytes_t payload;
        const char *said;
    } bad[] = {
        {pack("{ssss}", "server", "a:b:1", "stream", "s"), "`server` must be one `host` or `host:port`, not `a:b:1`"},
        {pack("{ssss}", "server", "a:70000", "stream", "s"), "not `a:70000`"},
        {pack("{ssss}", "server", "a,b", "stream", "s"), "not `a,b`"},
        {pack("{ssss}", "server", "a", "stream", "s,,t"), "`stream` has an empty name: `s,,t`"},
        {pack("{ssss}", "server", "a", "stream", "s,t,s"), "`stream` names `s` twice"},
        {pack("{ssssss}", "server", "a", "stream", "s", "channel", "c"), "one of `stream`, `channel` and `pattern` must be given, not 2"},
        {pack("{ssssss}", "server", "a", "channel", "c", "from", "end"), "`from` is of a `stream`; a `channel` has none"},
        {pack("{ssssss}", "server", "a", "channel", "c", "event_time", "system"), "`event_time` must be `arrival`"},
    };
    char name[32];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(name, sizeof name, "source:%zu", i);
        stage_add(*state, &source_redis_class, name, ingest_args(bad[i].payload));
        stage_run(*state);
        assert_text(stage_failure(*state, name), bad[i].said);
    }
}

static void servers_are_named_as_is_usual(void **state) {
    static const char *const good[] = {"localhost", "127.0.0.1:7000", "[::1]", "[::1]:7000", "redis.example.org:6379"};
    char name[32];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ingest.hold_attach = true; /* nothing is connected to */
        snprintf(name, sizeof name, "source:%zu", i);
        stage_add(*state, &source_redis_class, name, ingest_args(pack("{ssss}", "server", good[i], "stream", "s")));
        stage_run(*state);
        assert_string_equal(stage_failure(*state, name), "");
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_reply_may_come_in_pieces_of_any_size),
        TEST(when_all_is_read_the_next_question_waits),
        TEST(an_attachment_that_is_lost_asks_again_from_the_cursor),
        TEST(entries_before_the_position_are_left_out),
        TEST(without_room_nothing_is_asked),
        TEST(a_gap_stands_before_what_was_read_after_it),
        TEST(a_connection_that_breaks_in_a_reply_goes_on_behind_what_came),
        TEST(a_server_that_is_loading_is_asked_again),
        TEST(a_server_that_does_not_greet_is_left),
        TEST(what_is_no_reply_is_said_and_tried_again),
        TEST(a_value_that_is_no_element_is_not_waited_for),
        TEST(an_entry_of_more_fields_than_an_element_holds_is_none_and_the_next_one_is),
        TEST(what_nobody_asked_for_is_no_element),
        TEST(replies_of_a_wrong_shape_are_passed_over),
        TEST(what_stands_behind_an_entry_that_is_whole_is_not_of_it),
        TEST(what_is_of_a_stream_without_a_name_is_of_none),
        TEST(a_count_that_cannot_grow_stays),
        TEST(what_a_server_says_is_told_as_text),
        TEST(a_silent_channel_is_asked_for_a_sign_of_life_and_its_loss_has_a_length),
        TEST(a_cursor_of_another_source_fails_the_job),
        TEST(payloads_that_cannot_be_are_refused_with_the_field_and_the_value),
        TEST(servers_are_named_as_is_usual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
