/* A fault is why something failed, in words that name the thing and the value:
 * "cannot append to …/000000000007.seg: No space left on device".
 * Functions that can fail take a `fault_t *why`, return -1, and leave their out-parameters untouched. */
#ifndef REPRISE_FAULT_H
#define REPRISE_FAULT_H

typedef struct fault {
    char text[512]; /* always terminated; a longer text is cut */
} fault_t;

/* Writes the text and returns -1, so that a failing function can end with `return fault_set(…)`. */
int fault_set(fault_t *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As fault_set, then ": " and the text of errno. */
int fault_errno(fault_t *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A check that stays on in release builds: a bug ends the process, naming the place. */
#define must(condition) ((condition) ? (void)0 : fault_bug(#condition, __FILE__, __LINE__))
_Noreturn void fault_bug(const char *condition, const char *file, int line);

/* For whoever writes what a crash was: the check that failed; NULL: none. May be asked in a signal handler. */
typedef struct bug {
    const char *condition, *file;
    int line;
} bug_t;
const bug_t *fault_last_bug(void);

#endif
