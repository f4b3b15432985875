/* What can stand next on a command line, for the shells' completion. */
#ifndef REPRISE_CLIENT_COMPLETE_H
#define REPRISE_CLIENT_COMPLETE_H

#include <stdio.h>

#include "client.h"

/* Prints what can stand for the last of `words`, which is what is typed of it so far and may be empty; the first is the program's name. A line
 * each: the word, a tab, and what it is. The line `:files` says that names of files can stand there, `:folders` those of folders. */
void complete_words(client_t *client, char *const words[], size_t count, FILE *out);

/* The same of a line as bash has it up to the cursor, with its quotes. A line has only what is to stand in place of the part of the word
 * behind the last of `breaks`, which is bash's $COMP_WORDBREAKS, quoted as the word is; and nothing behind it. */
void complete_line(client_t *client, const char *line, const char *breaks, FILE *out);

#endif
