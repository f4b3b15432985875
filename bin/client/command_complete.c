/* `complete`: what the shells' completion asks. It is not for people, and always quiet: what is wrong with a line that is not finished yet
 * is nobody's business. */
#include "command_list.h"
#include "complete.h"

static status_t complete(client_t *client, const call_t *call) {
    const char *line = call_value(call, "line"), *breaks = call_value(call, "breaks");
    if (line) {
        complete_line(client, line, breaks ? breaks : "", stdout);
    } else {
        complete_words(client, call->arguments, (size_t)call->count, stdout);
    }
    client->no.message[0] = '\0';
    return STATUS_OK;
}

static const flag_t flags[] = {
    {"line", "LINE", "The line as bash has it up to the cursor, in place of words."},
    {"breaks", "CHARACTERS", "Where bash breaks words: $COMP_WORDBREAKS."},
    {0},
};
const command_t command_complete = {
    .name = "complete",
    .synopsis = "-- [WORD…]",
    .doc = "Print what can stand for the last word of a command line.",
    .arguments_max = ARGUMENTS_ANY,
    .flags = flags,
    .run = complete,
    .hidden = true,
};
