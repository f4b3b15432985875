/* The tables say what may be lost and doubled at all. A request may be lost, as if its actor were not there: it is answered `unavailable`. A
 * tell may not, but for a notification; and an answer never. Doubled may be what changes nothing when it comes again, and every answer. */
#include "meddler.h"

#include <stdlib.h>
#include <string.h>

enum { DELAY_MS_DEFAULT = 10, DELAY_MS_MAX = 1000 };

struct delayed {
    TAILQ_ENTRY(delayed) link;
    passing_t passing;
    int64_t due;
};

/* What one pair of actors may hear twice: questions that change nothing, and orders that do nothing the second time. What clients order is not
 * among them: they say with `producer` and `seq`, or by asking again, what is the same to them. */
static const bool doubles[MESSAGE_COUNT] = {
    [MSG_NOTIFY] = true,
    [MSG_OPTIONS_CHANGED] = true,
    [MSG_CATALOG_READ] = true,
    [MSG_CATALOG_WRITE] = true,
    [MSG_PIPELINE_TAGS_ASK] = true,
    [MSG_SIGNATURE_COMPARE] = true,
    [MSG_SIGNATURE_RECORD] = true,
    [MSG_SIGNATURE_FORGET] = true,
    [MSG_RECORDING_JOBS_ASK] = true,
    [MSG_RECORDING_LOCATE] = true,
    [MSG_RECORDING_MARK] = true,
    [MSG_RECORDING_DROP] = true,
    [MSG_RECORDING_GREW] = true,
    [MSG_RECORDING_DROPPED] = true,
    [MSG_RECORDER_RECOVERED] = true,
    [MSG_ROOM_ASK] = true,
    [MSG_BUDGET_SET] = true,
    [MSG_BUDGET_SPENT] = true,
    [MSG_LIMITS_RESOLVE] = true,
    [MSG_LIMITS_STOP] = true,
    [MSG_LIMIT_REACHED] = true,
    [MSG_SOURCE_JOINED] = true,
    [MSG_SOURCE_WAITS] = true,
    [MSG_SOURCE_ENDED] = true,
    [MSG_SOURCE_FAILED] = true,
    [MSG_CHILD_STOP] = true,
    [MSG_CHILD_GONE] = true,
    [MSG_SYNC] = true,
    [MSG_TRASH_SWEEP] = true,
    [MSG_TEST_STREAM_INVALIDATE] = true,
    [MSG_OPTIONS_GET] = true,
    [MSG_JOB_DESCRIBE] = true,
    [MSG_JOB_LIST] = true,
    [MSG_JOB_WAIT] = true,
    [MSG_RECORDING_LIST] = true,
    [MSG_RECORDING_DESCRIBE] = true,
    [MSG_RECORDING_VERIFY] = true,
    [MSG_PIPELINE_LIST] = true,
    [MSG_PIPELINE_DESCRIBE] = true,
    [MSG_ENGINE_ACTORS] = true,
    [MSG_ENGINE_STATS] = true,
};

/* ---- life ---- */

static void passing_move(passing_t *to, passing_t *from) {
    to->count = from->count;
    for (size_t i = 0; i < from->count; i++) {
        frame_init(&to->frames[i]);
        frame_move(&to->frames[i], &from->frames[i]);
    }
}

void meddler_init(meddler_t *meddler) {
    *meddler = (meddler_t){0};
    TAILQ_INIT(&meddler->delayed);
}

void meddler_fini(meddler_t *meddler) {
    passing_t passing;
    while (meddler_gives(meddler, INT64_MAX, &passing))
        for (size_t i = 0; i < passing.count; i++) frame_fini(&passing.frames[i]);
}

/* ---- what it is asked ---- */

static int take_probability(const char *field, double value, double *ret_value, refusal_t *no) {
    if (value > 1) return refuse(no, ERROR_BAD_REQUEST, field, "`chaos.messages`: `%s` is a probability, 0 to 1, not %g", field, value);
    *ret_value = value;
    return 0;
}

static int take_order(meddler_t *meddler, const msg_chaos_messages_t *m, refusal_t *no) {
    meddler_t wanted = *meddler;
    if (take_probability("delay", m->has_delay ? m->delay : 0, &wanted.delay, no) < 0 ||
        take_probability("drop", m->has_drop ? m->drop : 0, &wanted.drop, no) < 0 ||
        take_probability("duplicate", m->has_duplicate ? m->duplicate : 0, &wanted.duplicate, no) < 0)
        return -1;
    int64_t delay_ms = m->has_delay_ms ? m->delay_ms : DELAY_MS_DEFAULT;
    if (delay_ms > DELAY_MS_MAX)
        return refuse(no, ERROR_BAD_REQUEST, "delay_ms", "`chaos.messages`: `delay_ms` is %d at most, not %lld", DELAY_MS_MAX,
                      (long long)delay_ms);
    if (m->has_seed) meddler->random = (uint64_t)m->seed;
    meddler->delay = wanted.delay;
    meddler->drop = wanted.drop;
    meddler->duplicate = wanted.duplicate;
    meddler->delay_us = delay_ms * 1000;
    meddler->left = m->count;
    return 0;
}

int meddler_order(meddler_t *meddler, bytes_t raw, msgpack_sbuffer *answer, refusal_t *no) {
    msgpack_zone zone;
    msg_chaos_messages_t order;
    must(msgpack_zone_init(&zone, 256));
    int result = message_decode(MSG_CHAOS_MESSAGES, raw, &zone, &order, no);
    if (result == 0) result = take_order(meddler, &order, no);
    if (result == 0) message_encode(MSG_CHAOS_TALLY, &meddler->tally, true, (bytes_t){0}, answer);
    msgpack_zone_destroy(&zone);
    return result;
}

/* ---- what becomes of a message ---- */

static uint64_t chance(meddler_t *meddler) {
    uint64_t z = meddler->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Always takes one number, so that what comes later does not depend on it. */
static bool happens(meddler_t *meddler, double probability) {
    return (double)(chance(meddler) >> 11) * 0x1p-53 < probability;
}

static bool may_be_lost(const head_t *head) {
    return head->kind == HEAD_REQUEST || head->id == MSG_NOTIFY;
}

static bool may_come_twice(const head_t *head) {
    return head->kind == HEAD_ANSWER || head->kind == HEAD_REFUSAL || doubles[head->id];
}

verdict_t meddler_judge(meddler_t *meddler, const head_t *head) {
    verdict_t verdict = {0};
    if (meddler->left == 0) return verdict;
    meddler->left--;
    meddler->tally.messages++;
    bool drop = happens(meddler, meddler->drop), twice = happens(meddler, meddler->duplicate), late = happens(meddler, meddler->delay);
    int64_t delay_us = 1 + (int64_t)(chance(meddler) % (uint64_t)meddler->delay_us);
    verdict.drop = drop && may_be_lost(head);
    verdict.twice = twice && !verdict.drop && may_come_twice(head);
    verdict.delay_us = late && !verdict.drop ? delay_us : 0;
    meddler->tally.dropped += verdict.drop;
    meddler->tally.duplicated += verdict.twice;
    meddler->tally.delayed += verdict.delay_us > 0;
    return verdict;
}

/* ---- those that wait ---- */

static bool same(const passing_t *a, const passing_t *b, size_t frame) {
    bytes_t one = frame_bytes(&a->frames[frame]), other = frame_bytes(&b->frames[frame]);
    return one.size == other.size && memcmp(one.data, other.data, one.size) == 0;
}

bool meddler_keeps(meddler_t *meddler, passing_t *passing, int64_t delay_us, int64_t now) {
    delayed_t *before;
    TAILQ_FOREACH_REVERSE(before, &meddler->delayed, delays, link)
    if (same(&before->passing, passing, PASSING_FROM) && same(&before->passing, passing, PASSING_TO)) break;
    if (!before && delay_us == 0) return false;
    delayed_t *delayed = malloc(sizeof *delayed);
    must(delayed);
    delayed->due = before && before->due > now + delay_us ? before->due : now + delay_us;
    passing_move(&delayed->passing, passing);
    TAILQ_INSERT_TAIL(&meddler->delayed, delayed, link);
    meddler->count++;
    return true;
}

bool meddler_gives(meddler_t *meddler, int64_t now, passing_t *ret_passing) {
    delayed_t *delayed = TAILQ_FIRST(&meddler->delayed);
    if (meddler->count <= DELAYED_MAX)
        while (delayed && delayed->due > now) delayed = TAILQ_NEXT(delayed, link);
    if (!delayed) return false;
    TAILQ_REMOVE(&meddler->delayed, delayed, link);
    meddler->count--;
    passing_move(ret_passing, &delayed->passing);
    for (size_t i = 0; i < delayed->passing.count; i++) frame_fini(&delayed->passing.frames[i]);
    free(delayed);
    return true;
}

long meddler_patience(const meddler_t *meddler, int64_t now) {
    int64_t first = INT64_MAX;
    const delayed_t *delayed;
    TAILQ_FOREACH(delayed, &meddler->delayed, link) if (delayed->due < first) first = delayed->due;
    if (first == INT64_MAX) return -1;
    return first <= now ? 0 : (long)((first - now + 999) / 1000);
}
