/* The picture of who talks to whom, printed from the actors' classes: what is declared there is checked at every send. */
#ifndef REPRISE_PICTURE_H
#define REPRISE_PICTURE_H

#include <stdio.h>

/* The page "actors", in Markdown. -1 where it could not be written. */
int docs_print_actors(FILE *out);

#endif
