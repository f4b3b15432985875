/* What a feed cuts its batches from. A writer is played here that puts texts as whole elements, as they are on the wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bin/library/outbox.h"
#include "messages/wire.h"

enum { BUFFERS = 3, SIZE = 256 };

typedef struct writer {
    outbox_t outbox;
    uint8_t *base;
    mark_t at;
    size_t room;
} writer_t;

static int writer_setup(void **state) {
    writer_t *writer = aligned_alloc(64, (sizeof *writer + 63) / 64 * 64);
    assert_non_null(writer);
    memset(writer, 0, sizeof *writer);
    pool_t *pool = pool_create(SIZE, BUFFERS);
    outbox_init(&writer->outbox, pool, SIZE);
    writer->outbox.credit = 1000000;
    writer->base = writer->outbox.open->data;
    writer->room = writer->outbox.open->size;
    writer->at = writer->outbox.taken;
    *state = writer;
    return 0;
}

static int writer_teardown(void **state) {
    writer_t *writer = *state;
    pool_t *pool = writer->outbox.pool;
    outbox_fini(&writer->outbox);
    assert_int_equal(pool->live, 0);
    pool_close(&pool);
    free(writer);
    return 0;
}

/* [7, the text as bytes] */
static void put(writer_t *writer, const char *text) {
    size_t size = strlen(text);
    assert_true(writer->at.bytes + size + 4 <= writer->room);
    uint8_t *at = writer->base + writer->at.bytes;
    const uint8_t head[] = {0x92, 7, 0xc4, (uint8_t)size};
    memcpy(at, head, sizeof head);
    memcpy(at + sizeof head, text, size);
    writer->at.bytes += (uint32_t)(sizeof head + size);
    writer->at.count++;
    outbox_publish(&writer->outbox, writer->at.bytes, writer->at.count);
}

static bool turn(writer_t *writer, size_t size) {
    return outbox_turn(&writer->outbox, size, &writer->base, &writer->room, &writer->at);
}

/* The texts of a batch, "one two". It must be what the engine takes. */
static void assert_batch(const batch_t *batch, int64_t seq, const char *texts) {
    char found[SIZE * 2] = "";
    uint32_t count;
    refusal_t no;
    assert_non_null(batch);
    assert_int_equal(batch->seq, seq);
    bytes_t body = {batch->body, batch->size};
    assert_int_equal(wire_body_check(body, &count, &no), 0);
    assert_int_equal(count, batch->count);
    bytes_t rest = wire_body_elements(body, count);
    while (rest.size > 0) {
        wire_element_t element = wire_element_at(rest);
        size_t used = strlen(found);
        snprintf(found + used, sizeof found - used, "%s%.*s", used ? " " : "", (int)element.payload.size,
                 (const char *)element.payload.data);
        rest = (bytes_t){rest.data + element.size, rest.size - element.size};
    }
    assert_string_equal(found, texts);
}

static void what_is_cut_stays_whole_while_the_writer_goes_on_behind_it(void **state) {
    writer_t *writer = *state;
    put(writer, "one");
    put(writer, "two");
    outbox_cut(&writer->outbox, false);
    put(writer, "three");
    outbox_cut(&writer->outbox, false);
    put(writer, "four");
    assert_true(turn(writer, 10));
    put(writer, "five");
    outbox_cut(&writer->outbox, false);
    const batch_t *batch = writer->outbox.first;
    assert_batch(batch, 1, "one two");
    assert_batch(batch->next, 2, "three");
    assert_batch(batch->next->next, 3, "four");
    assert_batch(batch->next->next->next, 4, "five");
    assert_false(outbox_waits(&writer->outbox, true));
}

static void a_full_buffer_is_sent_as_it_is(void **state) {
    writer_t *writer = *state;
    const uint8_t *first = writer->base;
    put(writer, "one");
    assert_true(turn(writer, 10));
    assert_ptr_equal(writer->outbox.first->body, first);
    assert_ptr_not_equal(writer->base, first);
}

static void no_buffer_is_taken_beyond_the_bound_until_one_is_acknowledged(void **state) {
    writer_t *writer = *state;
    for (int i = 1; i < BUFFERS; i++) {
        put(writer, "x");
        assert_true(turn(writer, 10));
    }
    put(writer, "last");
    mark_t before = writer->at;
    assert_false(turn(writer, 10));
    assert_memory_equal(&before, &writer->at, sizeof before);
    outbox_recorded(&writer->outbox, 2);
    assert_true(turn(writer, 10));
    assert_int_equal(writer->outbox.recorded, 1);
    assert_batch(writer->outbox.first->next, 3, "last");
}

static void an_element_larger_than_a_buffer_gets_one_of_its_size(void **state) {
    writer_t *writer = *state;
    assert_true(turn(writer, 10 * SIZE));
    assert_true(writer->room >= 10 * SIZE + BODY_HEAD);
    assert_null(writer->outbox.first);
}

static void a_watermark_waits_for_the_elements_before_it(void **state) {
    writer_t *writer = *state;
    const outbox_t *outbox = &writer->outbox;
    outbox_set_watermark(&writer->outbox, 5);
    put(writer, "one");
    outbox_cut(&writer->outbox, false);
    assert_true(outbox->first->has_watermark);
    assert_int_equal(outbox->first->watermark, 5);
    outbox_set_watermark(&writer->outbox, 8);
    assert_true(outbox_waits(outbox, false));
    outbox_cut(&writer->outbox, false);
    assert_batch(outbox->first->next, 2, "");
    assert_int_equal(outbox->first->next->watermark, 8);
    put(writer, "two");
    outbox_cut(&writer->outbox, false);
    assert_false(outbox->first->next->next->has_watermark);
}

static void batches_end_at_cursors(void **state) {
    writer_t *writer = *state;
    const outbox_t *outbox = &writer->outbox;
    put(writer, "one");
    outbox_set_cursor(&writer->outbox, "\x01", 1);
    put(writer, "two");
    outbox_set_watermark(&writer->outbox, 9);
    outbox_cut(&writer->outbox, false);
    assert_batch(outbox->first, 1, "one");
    assert_int_equal(outbox->first->cursor[0], 1);
    assert_false(outbox->first->has_watermark);
    assert_false(outbox_waits(outbox, false));
    assert_true(outbox_waits(outbox, true));
    outbox_cut(&writer->outbox, true);
    assert_batch(outbox->first->next, 2, "two");
    assert_null(outbox->first->next->cursor);
    assert_true(outbox->first->next->has_watermark);
}

static void what_stands_after_the_cursor_of_a_full_buffer_goes_along_to_the_next(void **state) {
    writer_t *writer = *state;
    const outbox_t *outbox = &writer->outbox;
    put(writer, "one");
    outbox_set_cursor(&writer->outbox, "\x01", 1);
    put(writer, "two");
    put(writer, "three");
    outbox_set_watermark(&writer->outbox, 9);
    assert_true(turn(writer, 10));
    assert_int_equal(writer->at.count, 2);
    outbox_set_cursor(&writer->outbox, "\x02", 1);
    put(writer, "four");
    outbox_cut(&writer->outbox, false);
    assert_batch(outbox->first, 1, "one");
    assert_false(outbox->first->has_watermark);
    assert_batch(outbox->first->next, 2, "two three");
    assert_int_equal(outbox->first->next->cursor[0], 2);
    assert_true(outbox->first->next->has_watermark);
}

static void what_stands_after_a_cursor_that_has_gone_out_goes_along_too(void **state) {
    writer_t *writer = *state;
    const outbox_t *outbox = &writer->outbox;
    put(writer, "one");
    outbox_set_cursor(&writer->outbox, "\x01", 1);
    outbox_cut(&writer->outbox, false);
    put(writer, "two");
    assert_true(turn(writer, 10));
    assert_null(outbox->first->next);
    assert_int_equal(writer->at.count, 1);
    outbox_set_cursor(&writer->outbox, "\x02", 1);
    outbox_cut(&writer->outbox, false);
    assert_batch(outbox->first->next, 2, "two");
    assert_int_equal(outbox->first->next->cursor[0], 2);
}

static void what_is_under_way_is_bounded_by_the_credit_and_sent_again_after_a_rewind(void **state) {
    writer_t *writer = *state;
    outbox_t *outbox = &writer->outbox;
    outbox->credit = 150;
    for (int i = 0; i < 3; i++) {
        put(writer, "x");
        outbox_cut(outbox, false);
    }
    outbox_sent(outbox, 100);
    assert_int_equal(outbox_next(outbox)->seq, 2);
    outbox_sent(outbox, 100);
    assert_null(outbox_next(outbox));
    outbox_recorded(outbox, 2);
    assert_int_equal(outbox->under_way, 100);
    assert_int_equal(outbox_next(outbox)->seq, 3);
    outbox_rewind(outbox);
    assert_int_equal(outbox->under_way, 0);
    assert_int_equal(outbox_next(outbox)->seq, 2);
    outbox_recorded(outbox, 4);
    assert_null(outbox_next(outbox));
    assert_int_equal(outbox->recorded, 3);
    put(writer, "y");
    outbox_cut(outbox, false);
    assert_int_equal(outbox_next(outbox)->seq, 4);
}

static void a_buffer_that_is_still_read_outlives_its_pool(void **state) {
    (void)state;
    pool_t *pool = pool_create(SIZE, 1);
    buffer_t *buffer = pool_take(pool, 1);
    zmq_msg_t message;
    memcpy(buffer->data, "abc", 3);
    buffer_wrap(buffer, buffer->data, 3, &message);
    buffer_release(buffer);
    assert_null(pool_take(pool, 1));
    pool_close(&pool);
    assert_memory_equal(zmq_msg_data(&message), "abc", 3);
    zmq_msg_close(&message);
}

static void a_buffer_that_came_back_is_used_again(void **state) {
    (void)state;
    pool_t *pool = pool_create(SIZE, 2);
    buffer_t *buffer = pool_take(pool, 1), *extra = pool_take_extra(pool, 3), *large = pool_take(pool, SIZE + 1);
    assert_null(pool_take(pool, 1));
    assert_int_equal(extra->size, 3);
    buffer_release(extra);
    buffer_release(large);
    buffer_release(buffer);
    assert_ptr_equal(pool_take(pool, SIZE), buffer);
    buffer_release(buffer);
    pool_close(&pool);
}

#define WRITER_TEST(name) cmocka_unit_test_setup_teardown(name, writer_setup, writer_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WRITER_TEST(what_is_cut_stays_whole_while_the_writer_goes_on_behind_it),
        WRITER_TEST(a_full_buffer_is_sent_as_it_is),
        WRITER_TEST(no_buffer_is_taken_beyond_the_bound_until_one_is_acknowledged),
        WRITER_TEST(an_element_larger_than_a_buffer_gets_one_of_its_size),
        WRITER_TEST(a_watermark_waits_for_the_elements_before_it),
        WRITER_TEST(batches_end_at_cursors),
        WRITER_TEST(what_stands_after_the_cursor_of_a_full_buffer_goes_along_to_the_next),
        WRITER_TEST(what_stands_after_a_cursor_that_has_gone_out_goes_along_too),
        WRITER_TEST(what_is_under_way_is_bounded_by_the_credit_and_sent_again_after_a_rewind),
        cmocka_unit_test(a_buffer_that_is_still_read_outlives_its_pool),
        cmocka_unit_test(a_buffer_that_came_back_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
