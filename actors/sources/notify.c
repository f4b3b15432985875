#include "notify.h"

#include <errno.h>
#include <sys/inotify.h>

int notify_open(const char *path, fault_t *why) {
    int notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (notify >= 0) return notify;
    /* The system says the same of both. */
    if (errno == EMFILE)
        return fault_set(why,
                         "cannot watch %s: this user has as many instances of inotify as fs.inotify.max_user_instances allows, or this "
                         "process as many open files",
                         path);
    return fault_errno(why, "cannot watch %s: inotify", path);
}
