/* How a process ends that has a bug: by an assertion, by a wrong pointer, or without a word. Signals that cannot be blocked or handled in
 * another way than a crash's are enough: whoever restarts the engine sees no difference. */
#include "chaos.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "../../messages/fault.h"

static const struct {
    const char *how;
    int number;
} crashes[] = {{"abort", SIGABRT}, {"segv", SIGSEGV}, {"kill", SIGKILL}};

static int signal_of(const char *how) {
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++)
        if (strcmp(crashes[i].how, how) == 0) return crashes[i].number;
    return 0;
}

bool chaos_can_crash(const char *how) {
    return signal_of(how) != 0;
}

void chaos_crash(const char *how) {
    int number = signal_of(how);
    must(number);
    raise(number);
}
