/* An opening asks the pipeline tracker which tags there are, the recorder where the recording is, and then has a replay. What it was asked
 * for is kept until then: answers come later than the handler returns. */
#include "opening.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/manifest.h"

struct opening {
    LIST_ENTRY(opening) link;
    server_t *server;
    ticket_t ticket;
    peer_t peer;
    msg_replay_open_t *ask;
    msg_pipeline_tags_t *tags; /* the pipeline's; NULL: by recording */
    bool again;                /* the answer that comes next is out of date */
};

static const record_class_t *class_of(message_id_t id) {
    return &message_class(id)->record;
}

static void opening_free(opening_t *opening) {
    opening->server->openings_count--;
    LIST_REMOVE(opening, link);
    record_free(class_of(MSG_REPLAY_OPEN), (void **)&opening->ask);
    if (opening->tags) record_free(class_of(MSG_PIPELINE_TAGS), (void **)&opening->tags);
    free(opening);
}

void openings_free(server_t *server) {
    opening_t *opening;
    while ((opening = LIST_FIRST(&server->openings)) != NULL) opening_free(opening);
}

/* ---- tags: what is to be sent, sorted ---- */

typedef struct selection {
    msg_tag_t *tags; /* borrows its texts */
    size_t count;
} selection_t;

static int tag_compare(const void *a, const void *b) {
    return strcmp(((const msg_tag_t *)a)->tag, ((const msg_tag_t *)b)->tag);
}

static void selection_sort(selection_t *all) {
    qsort(all->tags, all->count, sizeof *all->tags, tag_compare);
    size_t kept = 0;
    for (size_t i = 0; i < all->count; i++)
        if (i == 0 || tag_compare(&all->tags[kept - 1], &all->tags[i]) != 0) all->tags[kept++] = all->tags[i];
    all->count = kept;
}

static selection_t selection_of(const opening_t *opening, const msg_recording_place_t *place) {
    size_t count = opening->tags ? opening->tags->tags.count : 0;
    for (size_t i = 0; !opening->tags && i < place->streams.count; i++) count += place->streams.items[i].tags.count;
    selection_t all = {calloc(count + 1, sizeof(msg_tag_t)), 0};
    must(all.tags);
    for (size_t i = 0; opening->tags && i < count; i++) all.tags[all.count++] = opening->tags->tags.items[i];
    for (size_t i = 0; !opening->tags && i < place->streams.count; i++) {
        const msg_stream_t *stream = &place->streams.items[i];
        for (size_t j = 0; j < stream->tags.count; j++)
            all.tags[all.count++] = (msg_tag_t){.tag = stream->tags.items[j], .signature = stream->signature};
    }
    selection_sort(&all);
    return all;
}

static void names_list(const selection_t *all, char *ret_text, size_t size) {
    size_t used = 0;
    ret_text[0] = 0;
    for (size_t i = 0; i < all->count && used < size; i++)
        used += (size_t)snprintf(ret_text + used, size - used, "%s`%s`", i ? ", " : "", all->tags[i].tag);
}

/* Keeps the tags that were asked for. */
static int selection_narrow(selection_t *all, const names_t *wanted, refusal_t *no) {
    selection_t kept = {calloc(wanted->count + 1, sizeof(msg_tag_t)), 0};
    must(kept.tags);
    for (size_t i = 0; i < wanted->count; i++) {
        msg_tag_t key = {.tag = wanted->items[i]};
        const msg_tag_t *found = bsearch(&key, all->tags, all->count, sizeof key, tag_compare);
        if (!found) {
            char names[160];
            names_list(all, names, sizeof names);
            free(kept.tags);
            return refuse(no, ERROR_NOT_FOUND, "tags", "there is no tag `%.60s` among %s", wanted->items[i], names);
        }
        kept.tags[kept.count++] = *found;
    }
    selection_sort(&kept);
    free(all->tags);
    *all = kept;
    return 0;
}

/* Is any of them recorded? */
static int selection_check(const selection_t *all, const msg_recording_place_t *place, refusal_t *no) {
    for (size_t i = 0; i < all->count; i++)
        for (size_t j = 0; j < place->streams.count; j++)
            if (strcmp(all->tags[i].signature, place->streams.items[j].signature) == 0) return 0;
    return refuse(no, ERROR_NOT_FOUND, NULL, "`replay.open`: recording `%.100s` has none of the sources that are asked for",
                  place->recording);
}

/* ---- the replay ---- */

static void opening_answer(opening_t *opening, const player_t *player, const selection_t *selection) {
    const char **names = calloc(selection->count + 1, sizeof *names);
    must(names);
    for (size_t i = 0; i < selection->count; i++) names[i] = selection->tags[i].tag;
    msg_replay_t answer = {.replay = player->number, .recording = player->tape->place->recording, .tags = {selection->count, names}};
    actor_answer(opening->server->me, opening->ticket, &answer);
    free(names);
}

/* Only a recording whose manifest is damaged has no streams at all. */
static int place_check(const msg_recording_place_t *place, refusal_t *no) {
    if (place->streams.count > 0) return 0;
    return refuse(no, ERROR_CORRUPT, NULL, "`replay.open`: %.200s/" MANIFEST_FILE " cannot be read", place->folder);
}

/* Is there room for another of this connection? */
static int client_check(server_t *server, const peer_t *peer, refusal_t *no) {
    const client_t *client = server_client(server, peer);
    if (!client || client->players_count < server->client_replays_max) return 0;
    return refuse(no, ERROR_LIMIT, NULL, "`replay.open`: this connection has %zu replays, and `client_replays_max` is %zu",
                  client->players_count, server->client_replays_max);
}

static int opening_play(opening_t *opening, const msg_recording_place_t *place, selection_t *selection, refusal_t *no) {
    server_t *server = opening->server;
    const msg_replay_open_t *ask = opening->ask;
    if (place_check(place, no) < 0) return -1;
    if (ask->has_tags && selection_narrow(selection, &ask->tags, no) < 0) return -1;
    if (selection_check(selection, place, no) < 0 || client_check(server, &opening->peer, no) < 0) return -1;
    fault_t fault;
    tape_t *tape = server_tape_get(server, place, &fault);
    if (!tape) {
        bool gone = access(place->folder, F_OK) < 0; /* it was deleted since the recorder named it */
        return refuse(no, gone ? ERROR_NOT_FOUND : ERROR_INTERNAL, NULL, "`replay.open`: %.280s", fault.text);
    }
    service_t *service = ask->has_pipeline ? server_service_get(server, ask->pipeline) : NULL;
    client_t *client = server_client_get(server, &opening->peer);
    player_t *player = server_player_add(server, client, tape, service, ask, selection->tags, selection->count);
    opening_answer(opening, player, selection);
    server_ready(server, player);
    server_ready_starved(server, tape); /* the recorder may have told more of it than the others knew */
    server_play(server);
    return 0;
}

static void opening_begin(opening_t *opening);

static int on_place(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)why;
    opening_t *opening = (opening_t *)(uintptr_t)context;
    actor_t *me = ((server_t *)state)->me;
    refusal_t no;
    if (opening->again) {
        opening_begin(opening);
        return 0;
    }
    if (answer->refusal) {
        actor_refuse_as(me, opening->ticket, answer->refusal);
    } else {
        selection_t selection = selection_of(opening, answer->message);
        if (opening_play(opening, answer->message, &selection, &no) < 0) actor_refuse_as(me, opening->ticket, &no);
        free(selection.tags);
    }
    opening_free(opening);
    return 0;
}

static void opening_locate(opening_t *opening) {
    msg_recording_locate_t locate = {.follow = true};
    locate.has_recording = opening->ask->has_recording;
    locate.recording = opening->ask->recording;
    locate.has_pipeline = opening->ask->has_pipeline;
    locate.pipeline = opening->ask->pipeline;
    actor_ask(opening->server->me, "recorder", MSG_RECORDING_LOCATE, &locate, on_place, (uint64_t)(uintptr_t)opening);
}

static int on_tags(void *state, const answer_t *answer, uint64_t context, fault_t *why) {
    (void)why;
    opening_t *opening = (opening_t *)(uintptr_t)context;
    if (opening->again) {
        opening_begin(opening);
        return 0;
    }
    if (answer->refusal) {
        actor_refuse_as(((server_t *)state)->me, opening->ticket, answer->refusal);
        opening_free(opening);
        return 0;
    }
    opening->tags = record_copy(class_of(MSG_PIPELINE_TAGS), answer->message);
    opening_locate(opening);
    return 0;
}

static void opening_begin(opening_t *opening) {
    opening->again = false;
    if (opening->tags) record_free(class_of(MSG_PIPELINE_TAGS), (void **)&opening->tags);
    if (!opening->ask->has_pipeline) {
        opening_locate(opening);
        return;
    }
    msg_pipeline_tags_ask_t tags = {.pipeline = opening->ask->pipeline};
    actor_ask(opening->server->me, "pipeline_tracker", MSG_PIPELINE_TAGS_ASK, &tags, on_tags, (uint64_t)(uintptr_t)opening);
}

void openings_begin_again(server_t *server, const char *pipeline) {
    opening_t *opening;
    LIST_FOREACH(opening, &server->openings, link) {
        if (opening->ask->has_pipeline && strcmp(opening->ask->pipeline, pipeline) == 0) opening->again = true;
    }
}

/* What the types of the fields cannot say. */
static int ask_check(const msg_replay_open_t *ask, refusal_t *no) {
    if (ask->has_pipeline == ask->has_recording)
        return refuse(no, ERROR_BAD_REQUEST, "pipeline", "`replay.open`: `pipeline` or `recording` is needed, %s",
                      ask->has_pipeline ? "not both" : "and neither is there");
    if (ask->has_from && ask->from.has_element == ask->from.has_offset_ms)
        return refuse(no, ERROR_BAD_REQUEST, "from", "`replay.open`: `from` must have `element` or `offset_ms`, %s",
                      ask->from.has_element ? "not both" : "and has neither");
    if (ask->has_tags && ask->tags.count == 0)
        return refuse(no, ERROR_BAD_REQUEST, "tags", "`replay.open`: `tags` must name at least one tag; leave it out for all of them");
    return 0;
}

/* Is there room for another replay of all? */
static int server_check(const server_t *server, refusal_t *no) {
    size_t count = server->players_count + server->openings_count;
    if (count < server->replays_max) return 0;
    return refuse(no, ERROR_LIMIT, NULL, "`replay.open`: %zu replays are under way, and `replays_max` is %zu", count, server->replays_max);
}

void opening_start(server_t *server, const envelope_t *in) {
    const msg_replay_open_t *ask = in->message;
    refusal_t no;
    if (ask_check(ask, &no) < 0 || server_check(server, &no) < 0) {
        actor_refuse_as(server->me, in->ticket, &no);
        return;
    }
    opening_t *opening = calloc(1, sizeof *opening);
    must(opening);
    opening->server = server;
    opening->ticket = in->ticket;
    opening->peer = *in->peer;
    opening->ask = record_copy(class_of(MSG_REPLAY_OPEN), ask);
    LIST_INSERT_HEAD(&server->openings, opening, link);
    server->openings_count++;
    opening_begin(opening);
}
