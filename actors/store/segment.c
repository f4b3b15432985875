/* Mapped segment files, and the guard that turns a read error under the map into an answer.
 *
 * A map is shared by the reader and by messages on their way out, which are let go in another thread: hence the count of holders, the
 * only thing here that more than one thread touches. */
#include "segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../messages/handover.h"

/* ---- the guard ---- */
static _Thread_local sigjmp_buf guard_place;
static _Thread_local const segment_t *volatile guard_segment; /* NULL: this thread reads no map */
static struct sigaction guard_before;
static pthread_once_t guard_once = PTHREAD_ONCE_INIT;

static void guard_caught(int number, siginfo_t *info, void *context) {
    const segment_t *segment = guard_segment;
    uintptr_t at = (uintptr_t)info->si_addr;

    (void)context;
    if (segment && at >= (uintptr_t)segment->data && at - (uintptr_t)segment->data < segment->size) siglongjmp(guard_place, 1);
    sigaction(number, &guard_before, NULL); /* not ours: it comes again, to whom it came before */
}

static void guard_install(void) {
    struct sigaction action = {.sa_sigaction = guard_caught, .sa_flags = SA_SIGINFO | SA_NODEFER};

    sigemptyset(&action.sa_mask);
    must(sigaction(SIGBUS, &action, &guard_before) == 0);
}

/* ---- files ---- */
void segment_path(const char *folder, uint64_t number, char ret_path[SEGMENT_PATH_SIZE]) {
    must(snprintf(ret_path, SEGMENT_PATH_SIZE, "%s/%012llu.seg", folder, (unsigned long long)number) < SEGMENT_PATH_SIZE);
}

static bool segment_number(const char *name, uint64_t *ret_number) {
    size_t digits = strspn(name, "0123456789");

    if (digits < 12 || digits > 19 || strcmp(name + digits, ".seg") != 0 || (digits > 12 && name[0] == '0')) return false;
    *ret_number = strtoull(name, NULL, 10);
    return true;
}

static int number_order(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

int segment_list(const char *folder, uint64_t **ret_numbers, size_t *ret_count, fault_t *why) {
    uint64_t *numbers = NULL;
    size_t count = 0, room = 0;
    DIR *dir = opendir(folder);

    if (!dir) return fault_errno(why, "cannot read the folder %s", folder);
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        uint64_t number;

        if (!entry && errno != 0) goto fail;
        if (!entry) break;
        if (!segment_number(entry->d_name, &number)) continue;
        if (count == room) {
            room = room ? 2 * room : 16;
            numbers = realloc(numbers, room * sizeof *numbers);
            must(numbers);
        }
        numbers[count++] = number;
    }
    closedir(dir);
    if (count > 0) qsort(numbers, count, sizeof *numbers, number_order);
    *ret_numbers = numbers;
    *ret_count = count;
    return 0;
fail:
    fault_errno(why, "cannot read the folder %s", folder);
    closedir(dir);
    free(numbers);
    return -1;
}

int segment_open(const char *folder, uint64_t number, uint64_t *ret_size, fault_t *why) {
    char path[SEGMENT_PATH_SIZE];
    struct stat status;

    segment_path(folder, number, path);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);

    if (descriptor < 0) return fault_errno(why, "cannot open %s", path);
    if (fstat(descriptor, &status) < 0) {
        fault_errno(why, "cannot read the size of %s", path);
        close(descriptor);
        return -1;
    }
    *ret_size = (uint64_t)status.st_size;
    return descriptor;
}

/* ---- maps ---- */
segment_t *segment_map(int descriptor, size_t size, const char *path, fault_t *why) {
    void *data = mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, 0);

    if (data == MAP_FAILED) {
        fault_errno(why, "cannot map %s", path);
        return NULL;
    }
    segment_t *segment = calloc(1, sizeof *segment);

    must(segment);
    segment->data = data;
    segment->size = size;
    atomic_init(&segment->holders, 1);
    pthread_once(&guard_once, guard_install);
    return segment;
}

segment_t *segment_hold(segment_t *segment) {
    handover_give(segment);
    atomic_fetch_add_explicit(&segment->holders, 1, memory_order_relaxed);
    return segment;
}

void segment_release(segment_t **segment) {
    segment_t *old = *segment;

    *segment = NULL;
    if (!old) return;
    handover_take(old);
    if (atomic_fetch_sub_explicit(&old->holders, 1, memory_order_acq_rel) > 1) return;
    munmap((void *)(uintptr_t)old->data, old->size);
    free(old);
}

/* ---- records ---- */
/* What is asked of a map's bytes from `offset` to `end`. */
typedef struct query {
    const segment_t *segment;
    uint64_t offset, end;
    bool check;
    record_view_t *ret_record;
    uint64_t number;
} query_t;

/* The one place that a read error comes back to: it may use nothing but what it was called with. */
static int64_t guard_run(int64_t (*read)(const query_t *query), const query_t *query) {
    must(query->offset <= query->end && query->end <= query->segment->size);
    if (sigsetjmp(guard_place, 0)) {
        guard_segment = NULL;
        return SEGMENT_UNREADABLE;
    }
    guard_segment = query->segment;

    int64_t result = read(query);

    guard_segment = NULL;
    return result;
}

static int64_t read_one(const query_t *query) {
    return record_read((bytes_t){query->segment->data + query->offset, query->end - query->offset}, query->check, query->ret_record);
}

int64_t segment_read(const segment_t *segment, uint64_t offset, uint64_t end, bool check, record_view_t *ret_record) {
    return guard_run(read_one, &(query_t){.segment = segment, .offset = offset, .end = end, .check = check, .ret_record = ret_record});
}

static int64_t read_next_valid(const query_t *query) {
    const uint8_t *data = query->segment->data;

    for (uint64_t offset = query->offset; query->end - offset >= RECORD_OVERHEAD; offset++) {
        const uint8_t *at = memchr(data + offset, 0x98, query->end - offset - RECORD_OVERHEAD + 1);
        record_view_t record;

        if (!at) break;
        offset = (uint64_t)(at - data);

        bytes_t in = {at, query->end - offset};

        /* The checksum is worked out only for what has the right number: the search stays linear in all but forged files. */
        if (record_read(in, false, &record) > 0 && record.number >= query->number &&
            record.number - query->number <= (offset - query->offset) / RECORD_OVERHEAD + 1 && record_read(in, true, &record) > 0)
            return (int64_t)offset;
    }
    return (int64_t)query->end;
}

int64_t segment_find(const segment_t *segment, uint64_t offset, uint64_t end, uint64_t number) {
    return guard_run(read_next_valid, &(query_t){.segment = segment, .offset = offset, .end = end, .number = number});
}
