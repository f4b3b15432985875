/* Why something failed, as the user of the library gets it. The user may not want to know: `error` may be NULL everywhere. */
#ifndef REPRISE_LIBRARY_PROBLEM_H
#define REPRISE_LIBRARY_PROBLEM_H

#include "../../messages/codec.h"
#include "reprise.h"

#define PROBLEM_UNREACHABLE "unreachable" /* with retry */
#define PROBLEM_TIMEOUT "timeout"         /* with retry */
#define PROBLEM_USAGE "usage"
#define PROBLEM_INTERRUPTED "interrupted" /* with retry */

/* Each returns -1. */
int problem_set(reprise_error_t *error, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));
int problem_refused(reprise_error_t *error, const refusal_t *no);
int problem_interrupted(reprise_error_t *error);

#endif
