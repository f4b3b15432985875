/* `reprised`: reads its settings, and is then either the guard, or the engine that a guard started or that wants none. */
#include <stdio.h>
#include <sys/prctl.h>

#include "actors/runtime/settings.h"
#include "engine.h"
#include "guard.h"
#include "life.h"
#include "status.h"

int main(int argc, char **argv) {
    static config_t config;
    settings_action_t action;
    fault_t why;
    if (settings_read(argc, argv, &config, &action, &why) < 0) {
        fprintf(stderr, "reprised: %s\n", why.text);
        return EXIT_STATUS_USAGE;
    }
    switch (action) {
    case SETTINGS_HELP: settings_help(stdout); return EXIT_STATUS_STOPPED;
    case SETTINGS_VERSION: printf("reprised %s\n", REPRISE_VERSION); return EXIT_STATUS_STOPPED;
    case SETTINGS_CHECK: settings_print(&config, stdout); return EXIT_STATUS_STOPPED;
    case SETTINGS_RUN: break;
    }
    int guard = life_open();
    prctl(PR_SET_NAME, "reprised"); /* the guard runs it by whatever path */
    return guard < 0 && config.guarded ? guard_run(&config, argv) : engine_run(&config, guard);
}
