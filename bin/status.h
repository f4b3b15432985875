/* How `reprised` ends. What starts it goes by these: the guard, systemd, scripts. */
#ifndef REPRISE_STATUS_H
#define REPRISE_STATUS_H

enum {
    EXIT_STATUS_STOPPED = 0, /* in order */
    EXIT_STATUS_FAILED = 1,
    EXIT_STATUS_USAGE = 2,
    EXIT_STATUS_IN_USE = 3, /* the data folder */
    EXIT_STATUS_HUNG = 70,  /* an actor hangs, or failed too often: another process may do better */
};

#endif
