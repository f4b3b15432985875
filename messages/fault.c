/* The text is made aside and copied, so that a fault can be wrapped in itself: fault_set(why, "cannot start: %s", why->text). */
#include "fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

static void fault_write(fault_t *why, const char *format, va_list args, int error) {
    char text[sizeof why->text];
    int size = vsnprintf(text, sizeof text, format, args);
    if (error != 0 && size >= 0 && (size_t)size < sizeof text) {
        char reason[128];
        snprintf(text + size, sizeof text - (size_t)size, ": %s", strerror_r(error, reason, sizeof reason));
    }
    text_mend(text);
    memcpy(why->text, text, sizeof text);
}

int fault_set(fault_t *why, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fault_write(why, format, args, 0);
    va_end(args);
    return -1;
}

int fault_errno(fault_t *why, const char *format, ...) {
    int error = errno;
    va_list args;
    va_start(args, format);
    fault_write(why, format, args, error);
    va_end(args);
    return -1;
}

/* Each thread's own: the one that fails is the one that asks. */
static _Thread_local bug_t last_bug;

const bug_t *fault_last_bug(void) {
    return last_bug.condition ? &last_bug : NULL;
}

_Noreturn void fault_bug(const char *condition, const char *file, int line) {
    last_bug = (bug_t){condition, file, line};
    fprintf(stderr, "reprise: bug: %s does not hold, at %s:%d\n", condition, file, line);
    abort();
}
