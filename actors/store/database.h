/* The catalog's database: documents of msgpack under (kind, key), in SQLite. No actor, no thread. */
#ifndef REPRISE_DATABASE_H
#define REPRISE_DATABASE_H

#include "../../messages/fault.h"
#include "../../messages/message.h"

typedef struct database database_t;

/* Opens or creates <data>/catalog.sqlite (WAL, synchronous FULL), and refuses a newer schema with a clear fault. */
database_t *database_open(const char *data, fault_t *why);
void database_close(database_t **database);

/* Writes all in one transaction; a document without a value is deleted. */
int database_write(database_t *database, const msg_document_t *documents, size_t count, fault_t *why);

/* Calls `each` for every document of a kind, sorted by key; what it is given is borrowed. Stops where it returns not 0, and gives that. */
int database_read(database_t *database, const char *kind, int (*each)(void *context, const char *key, bytes_t value), void *context,
                  fault_t *why);

#endif
