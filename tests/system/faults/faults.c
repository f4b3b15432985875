/* A disk that fails when it is told to. Loaded into the engine before libc (LD_PRELOAD), it stands between the engine and its files, and does
 * to the calls that touch them what a file of rules says, which a test may replace at any time.
 *
 *   REPRISE_FAULTS names the file; what was done is appended to that name with `.log`. A rule is a line of
 *       LABEL CALL GLOB FIRST TIMES ACTION
 *   ACTION happens to the calls of that name on paths that match, from the FIRSTth since the label was first seen, TIMES times (0: always).
 *       watch        nothing happens: the call is logged, with its size where it has one
 *       ERRNO        it fails with that: EIO, ENOSPC, …
 *       short:N      a write takes only N bytes
 *       kill:N       the process dies; a write has brought N bytes to the file by then
 *       hold:FIFO    it waits: until somebody has opened that to write, and closed it again */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RULES_MAX = 32, FILE_MAX = 8192, LINE_SIZE = 4096 };

typedef struct rule {
    char label[32], call[16], glob[512], action[512];
    long first, times;
} rule_t;

/* How often a label's rule matched. */
typedef struct tally {
    char label[32];
    long count;
} tally_t;

/* What becomes of a call. */
typedef struct verdict {
    int error;  /* 0: it does not fail */
    long bytes; /* of a write; -1: all */
    bool kill;
} verdict_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static tally_t tallies[256];
static const verdict_t pass = {0, -1, false};

/* ---- rules: read again for each call, by system calls of its own ---- */
static size_t rules_read(rule_t *rules) {
    const char *path = getenv("REPRISE_FAULTS");
    char text[FILE_MAX + 1], *line = text, *rest;
    size_t count = 0;
    long size = -1, descriptor = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;

    if (descriptor >= 0) {
        size = syscall(SYS_read, descriptor, text, FILE_MAX);
        syscall(SYS_close, descriptor);
    }
    if (size < 0) return 0;
    text[size] = 0;
    for (; count < RULES_MAX && (rest = strchr(line, '\n')); line = rest + 1) {
        rule_t *rule = &rules[count];

        *rest = 0;
        count += sscanf(line, "%31s %15s %511s %ld %ld %511s", rule->label, rule->call, rule->glob, &rule->first, &rule->times,
                        rule->action) == 6;
    }
    return count;
}

static long tally_add(const char *label) {
    for (size_t i = 0; i < sizeof tallies / sizeof *tallies; i++) {
        if (tallies[i].label[0] == 0) strcpy(tallies[i].label, label);
        if (strcmp(tallies[i].label, label) == 0) return ++tallies[i].count;
    }
    abort();
}

static void fired(const rule_t *rule, const char *path, size_t bytes) {
    char name[PATH_MAX], line[LINE_SIZE];
    int size = snprintf(line, sizeof line, "%s %s %zu %s\n", rule->label, rule->call, bytes, path);

    snprintf(name, sizeof name, "%s.log", getenv("REPRISE_FAULTS"));
    long log = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    syscall(SYS_write, log, line, size < LINE_SIZE ? size : LINE_SIZE);
    syscall(SYS_close, log);
}

/* ---- actions ---- */
static int error_of(const char *name) {
    static const struct {
        const char *name;
        int number;
    } errors[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EINTR", EINTR},   {"EACCES", EACCES},
                  {"EMFILE", EMFILE}, {"EROFS", EROFS},   {"ENOMEM", ENOMEM}, {"ENOENT", ENOENT}, {"EOPNOTSUPP", EOPNOTSUPP}};

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(errors[i].name, name) == 0) return errors[i].number;
    abort();
}

static void hold(const char *fifo) {
    char byte;
    long descriptor = syscall(SYS_openat, AT_FDCWD, fifo, O_RDONLY | O_CLOEXEC);

    syscall(SYS_read, descriptor, &byte, 1);
    syscall(SYS_close, descriptor);
}

static verdict_t act(const char *action) {
    if (strcmp(action, "watch") == 0) return pass;
    if (strncmp(action, "hold:", 5) == 0) {
        hold(action + 5);
        return pass;
    }
    if (strncmp(action, "short:", 6) == 0) return (verdict_t){0, atol(action + 6), false};
    if (strncmp(action, "kill:", 5) == 0) return (verdict_t){0, atol(action + 5), true};
    return (verdict_t){error_of(action), -1, false};
}

static verdict_t judge(const char *call, const char *path, size_t bytes) {
    rule_t rules[RULES_MAX], *found = NULL;
    int before = errno;

    pthread_mutex_lock(&lock);
    size_t count = rules_read(rules);

    for (size_t i = 0; i < count; i++) {
        const rule_t *rule = &rules[i];

        if (strcmp(rule->call, call) != 0 || fnmatch(rule->glob, path, 0) != 0) continue;
        long number = tally_add(rule->label);

        if (number < rule->first || (rule->times > 0 && number >= rule->first + rule->times)) continue;
        fired(rule, path, bytes);
        if (!found) found = &rules[i];
    }
    pthread_mutex_unlock(&lock);
    verdict_t verdict = found ? act(found->action) : pass;

    errno = before;
    return verdict;
}

static verdict_t judge_descriptor(const char *call, int descriptor, size_t bytes) {
    char link[64], path[PATH_MAX];

    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    long size = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);

    if (size <= 0 || path[0] != '/') return pass; /* a socket, a pipe */
    path[size] = 0;
    return judge(call, path, bytes);
}

static int refused(const verdict_t *verdict) {
    if (verdict->kill) raise(SIGKILL);
    if (verdict->error == 0) return 0;
    errno = verdict->error;
    return -1;
}

/* ---- calls ---- */
#define NEXT(type, name) ((type)(uintptr_t)dlsym(RTLD_NEXT, name))

#define CALL_ON_DESCRIPTOR(name, as, parameters, ...)                                                                                      \
    int name parameters;                                                                                                                   \
    int name parameters {                                                                                                                  \
        verdict_t verdict = judge_descriptor(as, descriptor, 0);                                                                           \
        if (refused(&verdict)) return -1;                                                                                                  \
        return NEXT(int(*) parameters, #name)(__VA_ARGS__);                                                                                \
    }

CALL_ON_DESCRIPTOR(fsync, "fsync", (int descriptor), descriptor)
CALL_ON_DESCRIPTOR(fdatasync, "fdatasync", (int descriptor), descriptor)
CALL_ON_DESCRIPTOR(ftruncate, "ftruncate", (int descriptor, off_t size), descriptor, size)
CALL_ON_DESCRIPTOR(ftruncate64, "ftruncate", (int descriptor, off_t size), descriptor, size)
CALL_ON_DESCRIPTOR(fallocate, "fallocate", (int descriptor, int mode, off_t at, off_t size), descriptor, mode, at, size)
CALL_ON_DESCRIPTOR(fallocate64, "fallocate", (int descriptor, int mode, off_t at, off_t size), descriptor, mode, at, size)

#define CALL_ON_PATH(name, parameters, ...)                                                                                                \
    int name parameters;                                                                                                                   \
    int name parameters {                                                                                                                  \
        verdict_t verdict = judge(#name, path, 0);                                                                                         \
        if (refused(&verdict)) return -1;                                                                                                  \
        return NEXT(int(*) parameters, #name)(__VA_ARGS__);                                                                                \
    }

CALL_ON_PATH(unlink, (const char *path), path)
CALL_ON_PATH(mkdir, (const char *path, mode_t mode), path, mode)

int rename(const char *from, const char *path) {
    verdict_t verdict = judge("rename", path, 0);

    if (refused(&verdict)) return -1;
    return NEXT(int (*)(const char *, const char *), "rename")(from, path);
}

#define CALL_OPEN(name)                                                                                                                    \
    int name(const char *path, int flags, ...);                                                                                            \
    int name(const char *path, int flags, ...) {                                                                                           \
        mode_t mode = 0;                                                                                                                   \
        if (flags & (O_CREAT | __O_TMPFILE)) {                                                                                             \
            va_list arguments;                                                                                                             \
            va_start(arguments, flags);                                                                                                    \
            mode = va_arg(arguments, mode_t);                                                                                              \
            va_end(arguments);                                                                                                             \
        }                                                                                                                                  \
        verdict_t verdict = judge("open", path, 0);                                                                                        \
        if (refused(&verdict)) return -1;                                                                                                  \
        return NEXT(int (*)(const char *, int, ...), #name)(path, flags, mode);                                                            \
    }

CALL_OPEN(open)
CALL_OPEN(open64)

/* A write that is to take fewer bytes takes so many; none: the call fails as a full disk's would. */
static ssize_t written(const verdict_t *verdict, ssize_t done) {
    if (verdict->kill) raise(SIGKILL);
    return done;
}

#define CALL_WRITE(name, parameters, ...)                                                                                                  \
    ssize_t name parameters;                                                                                                               \
    ssize_t name parameters {                                                                                                              \
        verdict_t verdict = judge_descriptor("write", descriptor, size);                                                                   \
        if (verdict.bytes < 0 && refused(&verdict)) return -1;                                                                             \
        if (verdict.bytes >= 0 && (size_t)verdict.bytes < size) size = (size_t)verdict.bytes;                                              \
        return written(&verdict, NEXT(ssize_t(*) parameters, #name)(__VA_ARGS__));                                                         \
    }

CALL_WRITE(write, (int descriptor, const void *data, size_t size), descriptor, data, size)
CALL_WRITE(pwrite, (int descriptor, const void *data, size_t size, off_t at), descriptor, data, size, at)
CALL_WRITE(pwrite64, (int descriptor, const void *data, size_t size, off_t at), descriptor, data, size, at)

/* Fewer bytes: what is left of the parts. */
static ssize_t vector_write(const char *name, int descriptor, const struct iovec *parts, int count, off_t at) {
    size_t size = 0;
    struct iovec *some = calloc((size_t)count + 1, sizeof *some);
    int kept = 0;

    for (int i = 0; i < count; i++) size += parts[i].iov_len;
    verdict_t verdict = judge_descriptor("write", descriptor, size);

    if (!some || (verdict.bytes < 0 && refused(&verdict))) {
        free(some);
        return -1;
    }
    size_t left = verdict.bytes >= 0 && (size_t)verdict.bytes < size ? (size_t)verdict.bytes : size;

    for (; kept < count && left > 0; kept++) {
        some[kept] = parts[kept];
        if (some[kept].iov_len > left) some[kept].iov_len = left;
        left -= some[kept].iov_len;
    }
    ssize_t done = NEXT(ssize_t(*)(int, const struct iovec *, int, off_t), name)(descriptor, some, kept, at);

    free(some);
    return written(&verdict, done);
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t at) {
    return vector_write("pwritev", descriptor, parts, count, at);
}

ssize_t pwritev64(int descriptor, const struct iovec *parts, int count, off_t at) {
    return vector_write("pwritev64", descriptor, parts, count, at);
}

#define CALL_READ(name, parameters, ...)                                                                                                   \
    ssize_t name parameters;                                                                                                               \
    ssize_t name parameters {                                                                                                              \
        verdict_t verdict = judge_descriptor("read", descriptor, size);                                                                    \
        if (refused(&verdict)) return -1;                                                                                                  \
        return NEXT(ssize_t(*) parameters, #name)(__VA_ARGS__);                                                                            \
    }

CALL_READ(read, (int descriptor, void *data, size_t size), descriptor, data, size)
CALL_READ(pread, (int descriptor, void *data, size_t size, off_t at), descriptor, data, size, at)
CALL_READ(pread64, (int descriptor, void *data, size_t size, off_t at), descriptor, data, size, at)

#define CALL_MAP(name)                                                                                                                     \
    void *name(void *address, size_t size, int protection, int flags, int descriptor, off_t at);                                           \
    void *name(void *address, size_t size, int protection, int flags, int descriptor, off_t at) {                                          \
        verdict_t verdict = descriptor >= 0 ? judge_descriptor("mmap", descriptor, size) : pass;                                           \
        if (refused(&verdict)) return MAP_FAILED;                                                                                          \
        return NEXT(void *(*)(void *, size_t, int, int, int, off_t), #name)(address, size, protection, flags, descriptor, at);             \
    }

CALL_MAP(mmap)
CALL_MAP(mmap64)
