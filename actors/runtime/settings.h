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

/* One of the settings, for the manual. */
typedef struct setting_told {
    const char *name, *argument, *doc; /* `argument` NULL: the flag alone means yes */
    bool in_file;                      /* it may stand in the file, too */
} setting_told_t;

/* Tells of the settings in turn, from 0 on. False: there are no more. */
bool settings_tell(size_t index, setting_told_t *ret);

/* Prints the configuration as a file that would give it. */
void settings_print(const config_t *config, FILE *out);

#endif
