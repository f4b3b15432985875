/* The command-line client. What it can do is in the table of its commands; how it does it, in client/. */
#include "client/command.h"
#include "library/reprise.h"

int main(int count, char **arguments) {
    reprise_keep_buffers();
    return command_main(count, arguments);
}
