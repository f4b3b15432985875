/* What is told is told without waiting: an engine must not hang because its guard does. What the guard could not take is told again by the
 * next beat. */
#include "life.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

int life_open(void) {
    const char *text = getenv(LIFE_VARIABLE);
    int guard = text ? (int)strtol(text, NULL, 10) : -1, type = 0;
    socklen_t size = sizeof type;
    if (text && (getsockopt(guard, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)) guard = -1;
    unsetenv(LIFE_VARIABLE);
    return guard;
}

void life_tell(int guard, const char *words) {
    if (guard >= 0)
        (void)!send(guard, words, strlen(words), MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        sd_notify(0, words);
}

void life_signals(sigset_t *ret_signals) {
    struct sigaction hangup;
    sigemptyset(ret_signals);
    sigaddset(ret_signals, SIGINT);
    sigaddset(ret_signals, SIGTERM);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) sigaddset(ret_signals, SIGHUP);
}
