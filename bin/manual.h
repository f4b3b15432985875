/* The manual pages, printed from the tables of commands, flags, settings, sources and options. */
#ifndef REPRISE_MANUAL_H
#define REPRISE_MANUAL_H

#include <stdio.h>

/* Prints `reprise.1`, `reprised.8` or `reprised.conf.5`. -1: there is no such page. */
int manual_print(FILE *out, const char *page);

#endif
