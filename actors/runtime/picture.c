/* A class says what its actor takes and sends, and a message's list entry nothing of who sends it: so the senders of a message are found by
 * looking through all classes. */
#include "picture.h"

#include <string.h>

#include "tree.h"

static const char *const endpoint_names[ENDPOINTS_ALL] = {"commands", "ingest", "test stream", "notifications", "progress", "ZAP"};

static bool sends(const actor_class_t *class, message_id_t id) {
    for (size_t i = 0; class->sends[i] != MSG_NONE; i++)
        if (class->sends[i] == id) return true;
    return false;
}

/* Is one of them bound to an endpoint where this message is spoken, and the other a client of it? */
static bool share_an_endpoint(const actor_class_t *a, const actor_class_t *b, unsigned scope) {
    for (size_t i = 0; i < DOORS_MAX; i++)
        for (size_t k = 0; k < DOORS_MAX; k++) {
            const door_spec_t *one = &a->doors[i], *other = &b->doors[k];
            if (one->kind == DOOR_NONE || other->kind == DOOR_NONE || one->kind == other->kind) continue;
            if (one->endpoint == other->endpoint && (one->scope & other->scope & scope)) return true;
        }
    return false;
}

/* Does `from` say this to `to`? Requests of clients reach their owner through the gateway. */
static bool speaks_to(const actor_class_t *from, const actor_class_t *to, message_id_t id) {
    if (!to->takes[id] || from == to || !sends(from, id)) return false;
    unsigned scope = message_class(id)->scope;
    return (scope & (SCOPE_INTERNAL | SCOPE_COMMANDS)) || share_an_endpoint(from, to, scope);
}

static void print_doors(FILE *out, const actor_class_t *class) {
    static const char *const verbs[] = {[DOOR_ROUTER] = "serves",
                                        [DOOR_DEALER] = "is a client of",
                                        [DOOR_LINE] = "has a line to",
                                        [DOOR_PUBLISH] = "publishes on",
                                        [DOOR_ZAP] = "answers on"};
    for (size_t i = 0; i < DOORS_MAX; i++)
        if (class->doors[i].kind != DOOR_NONE)
            fprintf(out, "- It %s the %s endpoint.\n", verbs[class->doors[i].kind], endpoint_names[class->doors[i].endpoint]);
}

static void print_client_ops(FILE *out, const actor_class_t *class) {
    bool any = false;
    for (int id = 1; id < MESSAGE_COUNT; id++) {
        const message_class_t *message = message_class((message_id_t)id);
        if (!message->owner || message->scope & SCOPE_INTERNAL || strcmp(message->owner, class->name) != 0) continue;
        fprintf(out, "%s `%s`", any ? "," : "- Clients ask it:", message->wire);
        any = true;
    }
    if (any) fprintf(out, ".\n");
}

static void print_said_to(FILE *out, const actor_class_t *class) {
    for (size_t i = 0; tree_class(i); i++) {
        const actor_class_t *from = tree_class(i);
        bool any = false;
        for (int id = 1; id < MESSAGE_COUNT; id++) {
            if (!speaks_to(from, class, (message_id_t)id)) continue;
            if (!any) fprintf(out, "- From %s:", from->name);
            fprintf(out, "%s `%s`", any ? "," : "", message_class((message_id_t)id)->wire);
            any = true;
        }
        if (any) fprintf(out, ".\n");
    }
}

static void print_graph(FILE *out) {
    fprintf(out, "```mermaid\nflowchart LR\n");
    for (size_t i = 0; tree_class(i); i++)
        for (size_t k = 0; tree_class(k); k++)
            for (int id = 1; id < MESSAGE_COUNT; id++) {
                /* Everybody tells the notifier, and asks the catalog: that would hide the rest. */
                const actor_class_t *to = tree_class(k);
                if (to->takes[MSG_NOTIFY] || to->takes[MSG_CATALOG_READ] || !speaks_to(tree_class(i), to, (message_id_t)id)) continue;
                fprintf(out, "    %s --> %s\n", tree_class(i)->name, to->name);
                break;
            }
    fprintf(out, "```\n\n");
}

int docs_print_actors(FILE *out) {
    fprintf(out,
            "# The actors\n\n"
            "Printed from the actors' classes by `reprise-docs actors`. Each actor is a thread with state of its own; they talk only in\n"
            "messages. What an actor sends is declared in its class and checked at every send, so this page cannot be wrong.\n\n"
            "Who speaks to whom, the notifier and the catalog left out because everybody speaks to them:\n\n");
    print_graph(out);
    for (size_t i = 0; tree_class(i); i++) {
        const actor_class_t *class = tree_class(i);
        fprintf(out, "## %s\n\n%s\n\n", class->name, class->doc);
        print_doors(out, class);
        print_client_ops(out, class);
        print_said_to(out, class);
        fprintf(out, "\n");
    }
    fprintf(out, "## switchboard\n\nPasses messages between actors. It is none itself, but is told like one to meddle with them.\n\n");
    print_client_ops(out, &(actor_class_t){.name = "switchboard"});
    return ferror(out) ? -1 : 0;
}
