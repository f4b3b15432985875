/* Processes that a measurement needs: see process.h. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void process_folder(char *ret_folder, size_t size) {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    must(length > 0);
    path[length] = '\0';
    *strrchr(path, '/') = '\0';
    must((size_t)snprintf(ret_folder, size, "%s", path) < size);
}

static void become(const char *const *arguments, pid_t parent, int out) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent || dup2(out, STDOUT_FILENO) < 0) _exit(127);
    execv(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

/* Byte by byte: what follows the line is not ours. */
static bool line_read(int in, char *ret_line, size_t size) {
    size_t used = 0;
    while (used + 1 < size) {
        ssize_t got = read(in, ret_line + used, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0 || ret_line[used] == '\n') {
            ret_line[used] = '\0';
            return got > 0;
        }
        used++;
    }
    return false;
}

int process_start(process_t *process, const char *const *arguments, fault_t *why) {
    int ends[2];
    *process = (process_t){0};
    if (pipe2(ends, O_CLOEXEC) < 0) return fault_errno(why, "cannot start %s", arguments[0]);
    pid_t parent = getpid();
    process->id = fork();
    if (process->id == 0) become(arguments, parent, ends[1]);
    close(ends[1]);
    bool said = process->id > 0 && line_read(ends[0], process->line, sizeof process->line);
    close(ends[0]);
    if (said) return 0;
    process_stop(process);
    return fault_set(why, "%s did not start", arguments[0]);
}

int process_spawn(process_t *process, const char *const *arguments, const char *log, fault_t *why) {
    *process = (process_t){0};
    int out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (out < 0) return fault_errno(why, "cannot create %s", log);
    pid_t parent = getpid();
    process->id = fork();
    if (process->id == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent || dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0) _exit(127);
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
        dprintf(STDERR_FILENO, "%s\n", strerror(errno));
        _exit(127);
    }
    close(out);
    return process->id > 0 ? 0 : fault_errno(why, "cannot start %s", arguments[0]);
}

static void process_end(process_t *process, int how) {
    if (process->id > 0) {
        kill(process->id, how);
        while (waitpid(process->id, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    process->id = 0;
}

void process_stop(process_t *process) {
    process_end(process, SIGTERM);
}

void process_kill(process_t *process) {
    process_end(process, SIGKILL);
}
