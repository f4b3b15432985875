/* Why every partition's place is in every cursor: after a restart a partition that is not there must be a new one, whose beginning is wanted, whatever
 * `from` says of those that were there before. So nothing begins before all the beginnings are known, unless a beginning is one that is found
 * again. */
#include "kafka_places.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../../messages/wire.h"
#include "event_time.h"

enum { TOPIC_NAME_MAX = 249, NUMBERS = 3 /* of a partition in a cursor */ };

/* ---- the payload ---- */

static bool topic_valid(const char *name, size_t size) {
    static const char characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return size > 0 && size <= TOPIC_NAME_MAX && strspn(name, characters) >= size;
}

static kafka_topic_t *topic_find(const kafka_places_t *places, const char *name, size_t size) {
    for (uint32_t i = 0; i < places->count; i++) {
        if (strlen(places->topics[i].name) == size && memcmp(places->topics[i].name, name, size) == 0) return &places->topics[i];
    }
    return NULL;
}

static int topics_take(kafka_places_t *places, const char *urn, const char *text, fault_t *why) {
    for (bool more = true; more;) {
        size_t size = strcspn(text, ",");
        if (!topic_valid(text, size)) return fault_set(why, "`%s`: `topics`: `%.*s` is no topic's name", urn, (int)size, text);
        if (topic_find(places, text, size)) return fault_set(why, "`%s`: `topics`: %.*s is there twice", urn, (int)size, text);
        places->topics = realloc(places->topics, (places->count + 1) * sizeof *places->topics);
        must(places->topics);
        places->topics[places->count] = (kafka_topic_t){.name = strndup(text, size)};
        must(places->topics[places->count++].name);
        more = text[size] == ',';
        text += size + more;
    }
    return 0;
}

/* A whole number without a sign, of which `end` is the next character. */
static bool number_take(const char **text, int64_t *ret_number) {
    char *end;
    if (**text < '0' || **text > '9') return false;
    long long number = strtoll(*text, &end, 10);
    *text = end;
    *ret_number = number;
    return number < INT64_MAX;
}

static bool range_take(const char **text, kafka_range_t *ret_range) {
    if (!number_take(text, &ret_range->first)) return false;
    ret_range->last = ret_range->first;
    if (**text == '-') {
        ++*text;
        if (!number_take(text, &ret_range->last)) return false;
    }
    return ret_range->first <= ret_range->last && ret_range->last < KAFKA_PARTITIONS_MAX;
}

static int partitions_take(kafka_places_t *places, const char *urn, const char *given, fault_t *why) {
    const char *text = given;
    for (bool more = given != NULL; more;) {
        kafka_range_t range;
        if (!range_take(&text, &range) || (*text != ',' && *text != '\0'))
            return fault_set(why, "`%s`: `partitions` must be numbers below %d such as 0,3,8-11, not `%.64s`", urn, KAFKA_PARTITIONS_MAX,
                             given);
        places->ranges = realloc(places->ranges, (places->ranges_count + 1) * sizeof *places->ranges);
        must(places->ranges);
        places->ranges[places->ranges_count++] = range;
        more = *text == ',';
        text += more;
    }
    return 0;
}

/* "clicks/0:42", or where there is one topic, "0:42". */
static bool offset_take(const kafka_places_t *places, const char **text, kafka_offset_t *ret_offset) {
    size_t size = strcspn(*text, "/,");
    const kafka_topic_t *topic = places->count == 1 ? places->topics : NULL;
    int64_t partition;
    if ((*text)[size] == '/') {
        topic = topic_find(places, *text, size);
        *text += size + 1;
    }
    if (!topic || !number_take(text, &partition) || partition >= KAFKA_PARTITIONS_MAX || **text != ':') return false;
    ++*text;
    ret_offset->topic = (uint32_t)(topic - places->topics);
    ret_offset->partition = (int32_t)partition;
    return number_take(text, &ret_offset->offset);
}

static bool offsets_take(kafka_places_t *places, const char *text) {
    places->from = KAFKA_FROM_OFFSETS;
    for (bool more = true; more;) {
        kafka_offset_t offset;
        if (!offset_take(places, &text, &offset) || (*text != ',' && *text != '\0')) return false;
        places->offsets = realloc(places->offsets, (places->offsets_count + 1) * sizeof *places->offsets);
        must(places->offsets);
        places->offsets[places->offsets_count++] = offset;
        more = *text == ',';
        text += more;
    }
    return true;
}

static bool time_take(kafka_places_t *places, const char *text) {
    fault_t no;
    int64_t us;
    const char *at = text;
    places->from = KAFKA_FROM_TIME;
    if (number_take(&at, &places->time_ms) && *at == '\0') return true;
    if (event_time_parse(text, &us, &no) < 0 || us < 0) return false;
    places->time_ms = (us + 999) / 1000;
    return true;
}

static int from_take(kafka_places_t *places, const char *urn, const char *text, fault_t *why) {
    places->from = KAFKA_FROM_EARLIEST;
    if (!text || strcmp(text, "earliest") == 0) return 0;
    places->from = KAFKA_FROM_LATEST;
    if (strcmp(text, "latest") == 0 || time_take(places, text) || offsets_take(places, text)) return 0;
    return fault_set(
        why,
        "`%s`: `from` must be `earliest`, `latest`, a time (RFC 3339, or milliseconds since 1970), or offsets by partition such as "
        "0:42,1:17 or, of several topics, clicks/0:42, not `%.64s`",
        urn, text);
}

int kafka_places_init(kafka_places_t *places, const char *urn, const kafka_given_t *given, fault_t *why) {
    *places = (kafka_places_t){.time_ms = -1};
    msgpack_sbuffer_init(&places->cursor);
    if (topics_take(places, urn, given->topics, why) < 0 || partitions_take(places, urn, given->partitions, why) < 0 ||
        from_take(places, urn, given->from, why) < 0)
        return -1;
    if (places->from != KAFKA_FROM_TIME) places->time_ms = -1;
    places->until_end = given->until && strcmp(given->until, "end") == 0;
    if (given->until && !places->until_end && strcmp(given->until, "never") != 0)
        return fault_set(why, "`%s`: `until` must be `never` or `end`, not `%.64s`", urn, given->until);
    return 0;
}

void kafka_places_fini(kafka_places_t *places) {
    for (uint32_t i = 0; i < places->count; i++) {
        free(places->topics[i].partitions);
        free(places->topics[i].name);
    }
    free(places->topics);
    free(places->ranges);
    free(places->offsets);
    msgpack_sbuffer_destroy(&places->cursor);
    *places = (kafka_places_t){0};
}

/* ---- partitions ---- */

static bool partition_chosen(const kafka_places_t *places, int32_t partition) {
    bool chosen = places->ranges_count == 0;
    for (size_t i = 0; i < places->ranges_count && !chosen; i++)
        chosen = partition >= places->ranges[i].first && partition <= places->ranges[i].last;
    return chosen;
}

static kafka_partition_t *partition_make(kafka_places_t *places, kafka_topic_t *topic, int32_t number) {
    if (number >= topic->count) {
        topic->partitions = realloc(topic->partitions, (size_t)(number + 1) * sizeof *topic->partitions);
        must(topic->partitions);
        for (; topic->count <= number; topic->count++)
            topic->partitions[topic->count] = (kafka_partition_t){.next = KAFKA_UNKNOWN, .first = KAFKA_UNKNOWN, .end = KAFKA_UNKNOWN};
    }
    kafka_partition_t *partition = &topic->partitions[number];
    if (!partition->wanted) partition->lane = places->lanes++;
    partition->wanted = true;
    return partition;
}

kafka_partition_t *kafka_places_at(const kafka_places_t *places, uint32_t topic, int32_t partition) {
    if (topic >= places->count || partition < 0 || partition >= places->topics[topic].count) return NULL;
    kafka_partition_t *found = &places->topics[topic].partitions[partition];
    return found->wanted ? found : NULL;
}

bool kafka_places_over(const kafka_places_t *places) {
    bool over = places->until_end && places->begun;
    for (uint32_t i = 0; i < places->count; i++) {
        const kafka_topic_t *topic = &places->topics[i];
        for (int32_t n = 0; n < topic->count; n++) over = over && (!topic->partitions[n].wanted || topic->partitions[n].over);
    }
    return over;
}

/* ---- the cursor ---- [[topic, partition, next, end, partition, next, end …] …] */

bytes_t kafka_places_cursor(kafka_places_t *places) {
    msgpack_packer packer;
    msgpack_sbuffer_clear(&places->cursor);
    msgpack_packer_init(&packer, &places->cursor, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, places->count);
    for (uint32_t i = 0; i < places->count; i++) {
        const kafka_topic_t *topic = &places->topics[i];
        size_t known = 0;
        for (int32_t n = 0; n < topic->count; n++) known += topic->partitions[n].next >= 0;
        msgpack_pack_array(&packer, 1 + NUMBERS * known);
        msgpack_pack_str_with_body(&packer, topic->name, strlen(topic->name));
        for (int32_t n = 0; n < topic->count; n++) {
            if (topic->partitions[n].next < 0) continue;
            msgpack_pack_int32(&packer, n);
            msgpack_pack_int64(&packer, topic->partitions[n].next);
            msgpack_pack_int64(&packer, topic->partitions[n].end);
        }
    }
    return (bytes_t){(const uint8_t *)places->cursor.data, places->cursor.size};
}

static bool is_whole(const msgpack_object *object) {
    return object->type == MSGPACK_OBJECT_POSITIVE_INTEGER && object->via.u64 < INT64_MAX;
}

static bool partition_resume(kafka_places_t *places, kafka_topic_t *topic, const msgpack_object *numbers) {
    bool ends = is_whole(&numbers[2]);
    if (!is_whole(&numbers[0]) || numbers[0].via.u64 >= KAFKA_PARTITIONS_MAX || !is_whole(&numbers[1]) ||
        (!ends && !(numbers[2].type == MSGPACK_OBJECT_NEGATIVE_INTEGER && numbers[2].via.i64 == KAFKA_UNKNOWN)))
        return false;
    kafka_partition_t *partition = partition_make(places, topic, (int32_t)numbers[0].via.u64);
    partition->next = (int64_t)numbers[1].via.u64;
    partition->end = ends ? (int64_t)numbers[2].via.u64 : KAFKA_UNKNOWN;
    partition->over = ends && partition->next >= partition->end;
    return true;
}

static bool topic_resume(kafka_places_t *places, const msgpack_object *object) {
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size % NUMBERS != 1) return false;
    const msgpack_object *parts = object->via.array.ptr;
    if (parts[0].type != MSGPACK_OBJECT_STR) return false;
    kafka_topic_t *topic = topic_find(places, parts[0].via.str.ptr, parts[0].via.str.size);
    if (!topic) return false;
    for (uint32_t i = 1; i < object->via.array.size; i += NUMBERS) {
        if (!partition_resume(places, topic, &parts[i])) return false;
    }
    return true;
}

static bool cursor_resume(kafka_places_t *places, bytes_t cursor) {
    refusal_t no;
    msgpack_unpacked unpacked;
    if (wire_walk(cursor, &no) < 0) return false;
    msgpack_unpacked_init(&unpacked);
    bool good = msgpack_unpack_next(&unpacked, (const char *)cursor.data, cursor.size, NULL) == MSGPACK_UNPACK_SUCCESS &&
                unpacked.data.type == MSGPACK_OBJECT_ARRAY;
    for (uint32_t i = 0; good && i < unpacked.data.via.array.size; i++) good = topic_resume(places, &unpacked.data.via.array.ptr[i]);
    msgpack_unpacked_destroy(&unpacked);
    return good;
}

int kafka_places_resume(kafka_places_t *places, const char *urn, bytes_t cursor, fault_t *why) {
    for (uint32_t i = 0; i < places->count; i++) {
        for (int32_t n = 0; n < places->topics[i].count; n++) {
            kafka_partition_t *partition = &places->topics[i].partitions[n];
            partition->next = partition->first;
            partition->lost = partition->over = false;
        }
    }
    if (cursor.size == 0) return 0;
    if (!cursor_resume(places, cursor)) return fault_set(why, "the cursor of the recording is not one of `%s`", urn);
    places->begun = true;
    return 0;
}

/* ---- what the cluster has ---- */

static int64_t partition_begin(const kafka_places_t *places, const kafka_sight_t *sight) {
    for (size_t i = 0; i < places->offsets_count; i++) {
        const kafka_offset_t *given = &places->offsets[i];
        if (given->topic == sight->topic && given->partition == sight->partition) return given->offset;
    }
    if (places->begun || places->from == KAFKA_FROM_EARLIEST || places->from == KAFKA_FROM_OFFSETS) return sight->offsets[KAFKA_BEGIN];
    return sight->offsets[places->from == KAFKA_FROM_LATEST ? KAFKA_END : KAFKA_THEN];
}

static void partition_see(kafka_places_t *places, const kafka_sight_t *sight, fault_t *missing) {
    kafka_topic_t *topic = &places->topics[sight->topic];
    const kafka_partition_t *known = kafka_places_at(places, sight->topic, sight->partition);
    bool is_known = known && known->next >= 0;
    if (is_known && !known->lost) return;
    if (!partition_chosen(places, sight->partition) || sight->partition >= KAFKA_PARTITIONS_MAX) return;
    if (!is_known && places->begun && places->until_end) return; /* it was not there when the end was set */
    if (sight->error) {
        fault_set(missing, "partition %" PRId32 " of %s: %s", sight->partition, topic->name, rd_kafka_err2str(sight->error));
        return;
    }
    if (is_known) return;
    int64_t begin = partition_begin(places, sight), end = sight->offsets[KAFKA_END];
    if (begin > end) {
        fault_set(missing, "offset %" PRId64 " of partition %" PRId32 " of %s, which ends at %" PRId64, begin, sight->partition,
                  topic->name, end);
        return;
    }
    kafka_partition_t *partition = partition_make(places, topic, sight->partition);
    partition->next = partition->first = begin;
    if (!places->until_end) return;
    partition->end = end;
    partition->over = partition->next >= partition->end;
}

static int topic_see(const kafka_places_t *places, const kafka_sight_t *sight, fault_t *missing) {
    bool final = sight->error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED || sight->error == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
    fault_set(missing, "topic %s: %s", places->topics[sight->topic].name, rd_kafka_err2str(sight->error));
    return final ? -1 : 0;
}

/* A partition that the payload names must be there some day, and so must one that was there. */
static void partitions_miss(const kafka_places_t *places, const kafka_report_t *report, fault_t *missing) {
    for (uint32_t topic = 0; topic < places->count; topic++) {
        int64_t count = 0;
        for (uint32_t i = 0; i < report->count; i++) {
            if (report->sights[i].topic == topic && report->sights[i].partition >= count) count = report->sights[i].partition + INT64_C(1);
        }
        for (size_t i = 0; i < places->ranges_count && count > 0; i++) {
            if (places->ranges[i].last >= count)
                fault_set(missing, "partition %" PRId64 " of %s, which has %" PRId64, places->ranges[i].last, places->topics[topic].name,
                          count);
        }
        for (int64_t n = count; n < places->topics[topic].count && count > 0; n++) {
            const kafka_partition_t *known = kafka_places_at(places, topic, (int32_t)n);
            if (known && known->next >= 0 && !known->over)
                fault_set(missing, "partition %" PRId64 " of %s, which has %" PRId64, n, places->topics[topic].name, count);
        }
    }
}

int kafka_places_see(kafka_places_t *places, const kafka_report_t *report, fault_t *missing) {
    missing->text[0] = '\0';
    for (uint32_t i = 0; i < report->count; i++) {
        const kafka_sight_t *sight = &report->sights[i];
        if (sight->partition >= 0)
            partition_see(places, sight, missing);
        else if (topic_see(places, sight, missing) < 0)
            return -1;
    }
    partitions_miss(places, report, missing);
    bool found_again = places->from == KAFKA_FROM_EARLIEST && !places->until_end && places->lanes > 0;
    if (missing->text[0] == '\0' || found_again) places->begun = true;
    return 0;
}

/* What was there in the beginning, up to `partition->end`, ends earlier now. */
static bool end_mend(const char *name, kafka_partition_t *partition, const kafka_sight_t *sight, fault_t *why) {
    int64_t end = sight->offsets[KAFKA_END];
    if (partition->over || partition->next != end || end >= partition->end) return false;
    fault_set(why, "kafka: partition %" PRId32 " of %s ends at offset %" PRId64 ", and ended at %" PRId64 " at first: it has lost messages",
              sight->partition, name, end, partition->end);
    partition->end = end;
    partition->over = true;
    return true;
}

bool kafka_places_mend(const kafka_places_t *places, const kafka_sight_t *sight, fault_t *why) {
    kafka_partition_t *partition = kafka_places_at(places, sight->topic, sight->partition);
    if (!partition || partition->next < 0 || sight->error) return false;
    const char *name = places->topics[sight->topic].name;
    int64_t begin = sight->offsets[KAFKA_BEGIN], end = sight->offsets[KAFKA_END], next = partition->next;
    if (!partition->lost) return end_mend(name, partition, sight, why);
    partition->lost = false;
    if (next >= begin && next <= end) return end_mend(name, partition, sight, why);
    partition->next = begin;
    if (next < begin)
        fault_set(why, "kafka: partition %" PRId32 " of %s: offsets %" PRId64 " to %" PRId64 " are gone from the broker", sight->partition,
                  name, next, begin - 1);
    else
        fault_set(why,
                  "kafka: partition %" PRId32 " of %s ends at offset %" PRId64 ", and was read up to %" PRId64
                  " before: it was made anew or has lost messages, and is read from its beginning",
                  sight->partition, name, end, next);
    partition->over = partition->end >= 0 && partition->next >= partition->end;
    return true;
}
