/* The documents that are printed from the message lists, and the protocol as data. */
#ifndef REPRISE_DOCS_H
#define REPRISE_DOCS_H

#include <msgpack.h>
#include <stdio.h>

/* Prints a page as Markdown: "protocol", "errors", "options" or "counters". -1: no such page. */
int docs_print(FILE *out, const char *page);

/* Packs the values `ops` and `errors` of the answer to `engine.protocol`. A message that two endpoints speak is there twice.
 * Each op is {op, endpoint, kind ("request", "tell", "event"), from ("client", "engine"), permission, doc, fields, answer}; a field is
 * {name, type, required, doc} and, where it is made of fields itself, `of` (a record's name) and `fields`; `answer` is a list of
 * fields, nil where nothing is answered. `chaos`: those that make faults too. An error is {code, doc}. */
void docs_protocol_ops(msgpack_packer *packer, bool chaos);
void docs_protocol_errors(msgpack_packer *packer);

#endif
