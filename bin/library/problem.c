/* Errors of the library's own and those of the engine have one form. Of its own, all but wrong use may go away by themselves. */
#include "problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../../messages/text.h"

int problem_set(reprise_error_t *error, const char *code, const char *format, ...) {
    if (!error) {
        return -1;
    }
    reprise_error_t made = {.retry = strcmp(code, PROBLEM_USAGE) != 0};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(made.message, sizeof made.message, format, arguments);
    va_end(arguments);
    snprintf(made.code, sizeof made.code, "%s", code);
    text_mend(made.message);
    *error = made;
    return -1;
}

int problem_refused(reprise_error_t *error, const refusal_t *no) {
    if (!error) {
        return -1;
    }
    *error = (reprise_error_t){.retry = no->retry};
    snprintf(error->code, sizeof error->code, "%s", error_name(no->code));
    snprintf(error->field, sizeof error->field, "%s", no->field);
    snprintf(error->message, sizeof error->message, "%s", no->message[0] ? no->message : "the engine does not say why");
    return -1;
}

int problem_interrupted(reprise_error_t *error) {
    return problem_set(error, PROBLEM_INTERRUPTED, "the wait was interrupted");
}
