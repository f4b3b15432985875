/* Manual pages, in the macros of man(7). Texts are written as everywhere here: `word` is set bold, and a line that begins with blanks stands as
 * it is. */
#ifndef REPRISE_ROFF_H
#define REPRISE_ROFF_H

#include <stdio.h>

void roff_begin(FILE *out, const char *name, const char *section, const char *book);
void roff_section(FILE *out, const char *title);
void roff_subsection(FILE *out, const char *title);
/* A paragraph, or more: they are parted by lines that are empty or begin with blanks. */
void roff_text(FILE *out, const char *text);
/* An entry of a list: what is told about in bold, then its value in italics (NULL: none), then the text. */
void roff_entry(FILE *out, const char *name, const char *value, const char *text);
/* What is between them is moved in. */
void roff_in(FILE *out);
void roff_out(FILE *out);

#endif
