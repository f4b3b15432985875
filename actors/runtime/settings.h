/* Where the configuration comes from: a file in ZPL, and flags over it. One list of settings serves both, and the help. */
#ifndef REPRISE_SETTINGS_H
#define REPRISE_SETTINGS_H

#include <stdio.h>

#include "../../messages/fault.h"
#include "config.h"

typedef enum settings_action { SETTINGS_RUN, SETTINGS_HELP, SETTINGS_VERSION, SETTINGS_CHECK } settings_action_t;

/* Reads the command line, and the file that it names. -1 where something is wrong: `why` names the setting and its value. */
int settings_read(int argc, char **argv, config_t *ret_config, settings_action_t *ret_action, fault_t *why);

/* Prints the usage, from the list. */
void settings_help(FILE *out);

/* Prints the configuration as a file that would give it. */
void settings_print(const config_t *config, FILE *out);

#endif
