/* The kinds of sources that can be typed as URLs, from the list that the engine is made from (messages/sources.def). */
#ifndef REPRISE_CLIENT_SCHEME_H
#define REPRISE_CLIENT_SCHEME_H

#include <stdio.h>

#include "../../messages/connectors.h"
#include "../../messages/fault.h"

/* The one that a URL begins with. *ret_tls: it has an `s` behind its name, `mqtts:`, and that means TLS. NULL: there is none. */
const connector_t *scheme_find(const char *url, bool *ret_tls, fault_t *why);
/* The payload's field; NULL: there is none. The scheme must have a payload. */
const field_t *scheme_has(const connector_t *scheme, const char *name);
/* Says that there is no such field, and which are like it. -1. */
int scheme_refuse(const connector_t *scheme, const char *name, fault_t *why);
/* Is the field the path of a file on the engine's machine? */
bool scheme_is_file(const connector_t *scheme, const field_t *field);

/* Every form, for the help. */
void scheme_print_help(FILE *out);

/* Offers what can follow what is typed of a URL. False: names of files can. */
typedef void scheme_offer_fn(void *to, const char *word, const char *doc);
bool scheme_complete(const char *word, scheme_offer_fn *offer, void *to);

#endif
