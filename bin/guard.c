/* The guard is a process of its own because nothing inside a process survives it. It starts the engine by fork and exec, so that the engine has
 * nothing of the guard's but its descriptors, and has it die with the guard, so that none is left behind that holds the data folder and ports.
 *
 * A crash is an end by a signal that nobody asked for, or an actor that hung or failed too often. The first restart comes at once, because clients wait; those that
 * follow come later and later, because what crashes at once will do so again; and more than `crashes` of them in a minute end the guard, because a
 * person must look. An engine that ends by itself has said why, and would say it again. */
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "../messages/fault.h"
#include "life.h"
#include "status.h"

enum {
    PERIOD_MS = 60000, /* crashes before that are forgotten */
    PAUSE_MS = 100,    /* before the second restart in a period; doubled for each that follows, up to the most */
    PAUSE_MOST_MS = 5000,
    SILENCE_BEATS = 30, /* without a word: it hangs */
    MERCY_BEATS = 10,   /* for writing why, after which it is killed */
};

typedef struct guard {
    const config_t *config;
    char **arguments;
    char program[PATH_MAX];
    sigset_t stops;
    int signals;
    pid_t engine;          /* 0: none runs */
    int life;              /* what that one says; -1: no more */
    unsigned silent;       /* beats since it last said something */
    bool stopping;         /* by a signal, or it said so: its end is the end */
    int64_t crashed[1000]; /* when: the last of each, in turn */
    size_t crashes;
    int64_t due; /* when the next beat is, or the next engine */
    bool over;
    int status;
} guard_t;

static int64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void end(guard_t *guard, int status) {
    guard->over = true;
    guard->status = status;
}

/* ---- crashes ---- */

/* How many there were in the last period, this one included. */
static size_t count_crash(guard_t *guard) {
    enum { ROOM = sizeof guard->crashed / sizeof guard->crashed[0] };
    int64_t now = clock_ms();
    size_t recent = 0;
    guard->crashed[guard->crashes++ % ROOM] = now;
    for (size_t i = 0; i < ROOM && i < guard->crashes; i++)
        if (now - guard->crashed[i] < PERIOD_MS) recent++;
    return recent;
}

/* A quarter more or less, so that engines that one cause brings down do not all come back at one time. */
static int64_t pause_before(size_t recent) {
    if (recent == 1) return 0;
    int64_t pause = recent - 2 < 16 ? (int64_t)PAUSE_MS << (recent - 2) : PAUSE_MOST_MS;
    if (pause > PAUSE_MOST_MS) pause = PAUSE_MOST_MS;
    return pause * 3 / 4 + (int64_t)random() % (pause / 2 + 1);
}

static void on_crash(guard_t *guard, const char *how) {
    size_t recent = count_crash(guard);
    int64_t pause = pause_before(recent);
    if ((int64_t)recent > guard->config->crashes_max) {
        fprintf(stderr, "reprised: the engine %s, and gives up: %zu crashes in a minute are more than `crashes` (%lld)\n", how, recent,
                (long long)guard->config->crashes_max);
        sd_notifyf(0, "STATUS=The engine %s, and gives up.", how);
        end(guard, EXIT_STATUS_FAILED);
        return;
    }
    guard->due = clock_ms() + pause;
    fprintf(stderr, "reprised: the engine %s, and starts again in %lld ms (crash %zu within a minute)\n", how, (long long)pause, recent);
    sd_notifyf(0, "STATUS=The engine %s, and starts again.", how);
}

/* ---- the engine process ---- */

/* In the child, where only what is safe after fork may be called. The stop signals stay blocked: one that comes before the engine looks for
 * it must wait, not kill. */
static _Noreturn void become_engine(const guard_t *guard, pid_t parent, int life) {
    static const char failed[] = "reprised: cannot run this program again\n";
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(EXIT_STATUS_FAILED); /* it has died before that was asked for */
    sigprocmask(SIG_SETMASK, &guard->stops, NULL);
    fcntl(life, F_SETFD, 0);
    execv(guard->program, guard->arguments);
    execv("/proc/self/exe", guard->arguments); /* another program stands there by now */
    (void)!write(STDERR_FILENO, failed, sizeof failed - 1);
    _exit(EXIT_STATUS_FAILED);
}

static void start_engine(guard_t *guard) {
    char how[128], variable[16];
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        snprintf(how, sizeof how, "cannot be started (%s)", strerror(errno));
        on_crash(guard, how);
        return;
    }
    snprintf(variable, sizeof variable, "%d", ends[1]);
    setenv(LIFE_VARIABLE, variable, 1);
    pid_t parent = getpid(), child = fork();
    int error = errno;
    if (child == 0) become_engine(guard, parent, ends[1]);
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        snprintf(how, sizeof how, "cannot be started (%s)", strerror(error));
        on_crash(guard, how);
        return;
    }
    guard->engine = child;
    guard->life = ends[0];
    guard->silent = 0;
    guard->due = clock_ms() + LIFE_BEAT_MS;
}

/* What it says goes on to systemd. That it stops by itself means that a client asked for it, or that it has failed. */
static void hear_engine(guard_t *guard) {
    char words[256];
    for (;;) {
        ssize_t size = guard->life < 0 ? -1 : recv(guard->life, words, sizeof words - 1, MSG_DONTWAIT);
        if (size < 0) return;
        if (size == 0) {
            close(guard->life);
            guard->life = -1;
            return;
        }
        words[size] = '\0';
        guard->silent = 0;
        if (strcmp(words, LIFE_STOPPING) == 0) guard->stopping = true;
        sd_notify(0, words);
    }
}

static void on_end(guard_t *guard, int status) {
    char how[128];
    hear_engine(guard);
    if (guard->life >= 0) close(guard->life);
    guard->life = -1;
    guard->engine = 0;
    bool killed = WIFSIGNALED(status), hung = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_STATUS_HUNG;
    if (killed)
        snprintf(how, sizeof how, "was ended by SIG%s%s", sigabbrev_np(WTERMSIG(status)), WCOREDUMP(status) ? " (core dumped)" : "");
    else
        snprintf(how, sizeof how, "ended because of an actor");
    if (guard->stopping || !(killed || hung))
        end(guard, killed ? EXIT_STATUS_FAILED : WEXITSTATUS(status));
    else
        on_crash(guard, how);
}

/* Also those of others: as the first process of a container the guard inherits them. */
static void reap(guard_t *guard) {
    int status;
    for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;)
        if (ended == guard->engine) on_end(guard, status);
}

/* ---- an engine that hangs ---- */

/* Under a debugger, or by SIGSTOP, it is silent for good reason. */
static bool is_held(pid_t process) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)process);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    if (size <= 0) return false;
    text[size] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end && name_end[1] && (name_end[2] == 'T' || name_end[2] == 't');
}

/* Beats are counted, not the time: when the machine slept, that was one. */
static void on_beat(guard_t *guard) {
    guard->due = clock_ms() + LIFE_BEAT_MS;
    guard->silent = is_held(guard->engine) ? 0 : guard->silent + 1;
    if (guard->silent == SILENCE_BEATS) {
        fprintf(stderr, "reprised: the engine has said nothing for %d s and is ended\n", SILENCE_BEATS);
        kill(guard->engine, SIGABRT);
    } else if (guard->silent >= SILENCE_BEATS + MERCY_BEATS) {
        kill(guard->engine, SIGKILL);
    }
}

/* ---- the loop ---- */

/* The first is passed on; the second means at once. */
static void on_stop(guard_t *guard, bool again) {
    if (!guard->engine) {
        end(guard, EXIT_STATUS_STOPPED);
        return;
    }
    guard->stopping = true;
    kill(guard->engine, again ? SIGKILL : SIGTERM);
}

static void on_signals(guard_t *guard, bool *asked) {
    struct signalfd_siginfo info;
    while (read(guard->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD) continue;
        on_stop(guard, *asked);
        *asked = true;
    }
}

static void keep_running(guard_t *guard) {
    bool asked = false;
    while (!guard->over) {
        struct pollfd items[] = {{guard->signals, POLLIN, 0}, {guard->life, POLLIN, 0}};
        int64_t left = guard->due - clock_ms();
        poll(items, 2, left > 0 ? (int)left : 0);
        bool due = clock_ms() >= guard->due;
        hear_engine(guard);
        on_signals(guard, &asked);
        reap(guard);
        if (guard->over || !due) continue;
        if (guard->engine)
            on_beat(guard);
        else if (clock_ms() >= guard->due)
            start_engine(guard);
    }
}

int guard_run(const config_t *config, char **arguments) {
    static guard_t guard;
    guard = (guard_t){.config = config, .arguments = arguments, .life = -1};
    ssize_t length = readlink("/proc/self/exe", guard.program, sizeof guard.program - 1);
    if (length < 0) fprintf(stderr, "reprised: cannot tell what program this is: %s\n", strerror(errno));
    signal(SIGCHLD, SIG_DFL); /* whoever started it may have had it ignored: then the end of an engine would not be told */
    life_signals(&guard.stops);
    sigset_t set = guard.stops;
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    guard.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (guard.signals < 0) {
        fprintf(stderr, "reprised: cannot wait for signals: %s\n", strerror(errno));
        return EXIT_STATUS_FAILED;
    }
    prctl(PR_SET_NAME, "reprised-guard");
    signal(SIGPIPE, SIG_IGN); /* whoever read what it says may be gone, which is no reason to leave the engine alone */
    srandom((unsigned)clock_ms() ^ (unsigned)getpid());
    keep_running(&guard);
    close(guard.signals);
    return guard.status;
}
