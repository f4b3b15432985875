/* The command-line client. What it can do is in the table of its commands; how it does it, in client/. */
#include "library/reprise.h"
#include "client/command.h"

int main(int count, char **arguments) {
    reprise_keep_buffers();
    return command_main(count, arguments);
}
