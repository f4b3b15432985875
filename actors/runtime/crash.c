/* Between a crash and the end of the process only what is safe in a signal handler may be called: no heap, no stdio. So paths, the modules' places
 * and the unwinder are made ready beforehand. A handler has no argument of ours, hence the one static here.
 *
 * The file keeps the last crashes: at 256 KiB it becomes the old one, and a new one begins. */
#include "crash.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../messages/fault.h"

enum {
    FRAMES_MOST = 128,
    MODULES_MOST = 128,
    STACK_SIZE = 128 * 1024,
    GUARD_SIZE = 16 * 1024, /* of pages below it that nobody may touch */
    FILE_MOST = 256 * 1024,
    PATIENCE_S = 5,     /* in case what is broken is what the handler needs */
    HANDLER_FRAMES = 2, /* the handler's own, and what called it */
};

typedef struct module {
    uintptr_t start, end, base; /* of its code; base: what its offsets count from */
    const char *path;
} module_t;

static struct {
    char path[PATH_MAX], old_path[PATH_MAX], program[PATH_MAX];
    module_t modules[MODULES_MOST];
    size_t modules_count;
    atomic_flag seen;
} crash = {.seen = ATOMIC_FLAG_INIT};

static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};
enum { NUMBERS = sizeof numbers / sizeof numbers[0] };

/* ---- text ---- */

typedef struct page {
    char text[1024];
    size_t used;
    int file; /* -1: none */
} page_t;

static void page_flush(page_t *page) {
    (void)!write(STDERR_FILENO, page->text, page->used);
    if (page->file >= 0) (void)!write(page->file, page->text, page->used);
    page->used = 0;
}

static void put(page_t *page, const char *text) {
    for (; *text; text++) {
        if (page->used == sizeof page->text) page_flush(page);
        page->text[page->used++] = *text;
    }
}

static void put_number(page_t *page, uint64_t number, unsigned base) {
    char digits[24];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do digits[--at] = "0123456789abcdef"[number % base];
    while ((number /= base) > 0);
    if (base == 16) put(page, "0x");
    put(page, digits + at);
}

static void put_frame(page_t *page, unsigned number, uintptr_t at) {
    const module_t *in = NULL;
    for (size_t i = 0; i < crash.modules_count && !in; i++)
        if (at >= crash.modules[i].start && at < crash.modules[i].end) in = &crash.modules[i];
    put(page, "  #");
    put_number(page, number, 10);
    put(page, " ");
    if (in) put(page, in->path);
    if (in) put(page, "+");
    put_number(page, in ? at - in->base : at, 16);
    put(page, "\n");
}

/* ---- the crash ---- */

static void put_reason(page_t *page, int number, const siginfo_t *info) {
    char thread[17] = "";
    const bug_t *bug = fault_last_bug();
    prctl(PR_GET_NAME, thread);
    put(page, "reprised: crash: signal ");
    put_number(page, (uint64_t)number, 10);
    put(page, " (SIG");
    put(page, sigabbrev_np(number));
    put(page, ")");
    if (info->si_code > 0) {
        put(page, " at the address ");
        put_number(page, (uintptr_t)info->si_addr, 16);
    }
    put(page, ", thread ");
    put(page, thread);
    put(page, ", process ");
    put_number(page, (uint64_t)getpid(), 10);
    put(page, ", version " REPRISE_VERSION ", at ");
    put_number(page, (uint64_t)time(NULL), 10);
    put(page, "\n");
    if (number != SIGABRT || !bug) return;
    put(page, "  bug: ");
    put(page, bug->condition);
    put(page, " does not hold, at ");
    put(page, bug->file);
    put(page, ":");
    put_number(page, (uint64_t)bug->line, 10);
    put(page, "\n");
}

static int file_open(void) {
    struct stat status;
    if (stat(crash.path, &status) == 0 && status.st_size > FILE_MOST) rename(crash.path, crash.old_path);
    return open(crash.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

/* Of a call the next instruction is known, and may belong to another line; of the crash itself the one that failed. */
static void put_backtrace(page_t *page, void *const *frames, int count) {
    for (int i = HANDLER_FRAMES; i < count; i++)
        put_frame(page, (unsigned)(i - HANDLER_FRAMES), (uintptr_t)frames[i] - (i > HANDLER_FRAMES ? 1 : 0));
    put(page, "  addr2line -Cfipe MODULE OFFSET tells the lines.\n");
}

static void on_crash(int number, siginfo_t *info, void *context) {
    (void)context;
    void *frames[FRAMES_MOST];
    if (atomic_flag_test_and_set(&crash.seen)) /* another thread is at it, and ends the process */
        for (;;) pause();
    signal(SIGALRM, SIG_DFL);
    sigset_t late;
    sigemptyset(&late);
    sigaddset(&late, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &late, NULL);
    alarm(PATIENCE_S);
    page_t page = {.used = 0, .file = file_open()};
    put_reason(&page, number, info);
    page_flush(&page);
    put_backtrace(&page, frames, backtrace(frames, FRAMES_MOST)); /* here, so that the frames before are always as many */
    page_flush(&page);
    if (page.file >= 0) close(page.file);
    alarm(0);
    signal(number, SIG_DFL);
    /* A fault comes again by itself, what somebody sent does not. */
    if (info->si_code <= 0) raise(number);
}

/* ---- beforehand ---- */

static int module_note(struct dl_phdr_info *info, size_t size, void *argument) {
    (void)size, (void)argument;
    for (int i = 0; i < info->dlpi_phnum && crash.modules_count < MODULES_MOST; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
        uintptr_t start = info->dlpi_addr + part->p_vaddr;
        const char *path = info->dlpi_name[0] ? info->dlpi_name : crash.program;
        crash.modules[crash.modules_count++] = (module_t){start, start + part->p_memsz, info->dlpi_addr, path};
    }
    return 0;
}

void crash_watch(const char *data) {
    void *frame;
    ssize_t size = readlink("/proc/self/exe", crash.program, sizeof crash.program - 1);
    crash.program[size < 0 ? 0 : size] = '\0';
    if (snprintf(crash.path, sizeof crash.path, "%s/" CRASH_FILE, data) >= (int)sizeof crash.path ||
        snprintf(crash.old_path, sizeof crash.old_path, "%s/" CRASH_FILE ".old", data) >= (int)sizeof crash.old_path)
        crash.path[0] = crash.old_path[0] = '\0';
    backtrace(&frame, 1); /* loads the unwinder */
    dl_iterate_phdr(module_note, NULL);
    for (size_t i = 0; i < NUMBERS; i++) {
        struct sigaction before, action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK};
        sigemptyset(&action.sa_mask);
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL) sigaction(numbers[i], &action, NULL);
    }
}

void *crash_stack_open(void) {
    stack_t before;
    if (sigaltstack(NULL, &before) < 0 || !(before.ss_flags & SS_DISABLE)) return NULL; /* a sanitizer's */
    char *room =
        mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (room == MAP_FAILED) return NULL; /* a crash is written from the stack itself then */
    mprotect(room, GUARD_SIZE, PROT_NONE);
    sigaltstack(&(stack_t){.ss_sp = room + GUARD_SIZE, .ss_size = STACK_SIZE}, NULL);
    return room;
}

void crash_stack_close(void *stack) {
    if (!stack) return;
    sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
    munmap(stack, GUARD_SIZE + STACK_SIZE);
}
