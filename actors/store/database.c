/* What the engine must remember beside its recordings: small documents, few writes, each a transaction that is on the disk when it
 * returns. SQLite does that part better than anything written here could, and the file can be looked into with its own tools. */
#include "database.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCHEMA = 1, BUSY_MS = 1000 };

typedef enum query { QUERY_PUT, QUERY_DELETE, QUERY_READ, QUERY_BEGIN, QUERY_COMMIT, QUERY_ROLLBACK, QUERY_COUNT } query_t;

static const char *const queries[QUERY_COUNT] = {
    [QUERY_PUT] = "INSERT INTO documents (kind, key, value) VALUES (?1, ?2, ?3) ON CONFLICT (kind, key) DO UPDATE SET value = ?3",
    [QUERY_DELETE] = "DELETE FROM documents WHERE kind = ?1 AND key = ?2",
    [QUERY_READ] = "SELECT key, value FROM documents WHERE kind = ?1 ORDER BY key",
    [QUERY_BEGIN] = "BEGIN IMMEDIATE",
    [QUERY_COMMIT] = "COMMIT",
    [QUERY_ROLLBACK] = "ROLLBACK",
};

struct database {
    sqlite3 *handle;
    sqlite3_stmt *statements[QUERY_COUNT];
    char path[PATH_MAX];
};

static int database_fault(const database_t *database, const char *what, fault_t *why) {
    return fault_set(why, "cannot %s %s: %s", what, database->path, sqlite3_errmsg(database->handle));
}

static int database_version(database_t *database, int *ret_version, fault_t *why) {
    sqlite3_stmt *statement = NULL;
    int failed = -1;

    if (sqlite3_prepare_v2(database->handle, "PRAGMA user_version", -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        database_fault(database, "read", why);
    } else {
        *ret_version = sqlite3_column_int(statement, 0);
        failed = 0;
    }
    sqlite3_finalize(statement);
    return failed;
}

/* The version is written in the transaction that creates the table: there is no half made database. */
static int database_prepare(database_t *database, fault_t *why) {
    static const char create[] = "BEGIN IMMEDIATE;"
                                 "CREATE TABLE documents (kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,"
                                 " PRIMARY KEY (kind, key)) WITHOUT ROWID;"
                                 "PRAGMA user_version = 1;"
                                 "COMMIT;";
    int version = 0;

    sqlite3_busy_timeout(database->handle, BUSY_MS);
    if (sqlite3_exec(database->handle, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;", NULL, NULL, NULL) != SQLITE_OK)
        return database_fault(database, "open", why);
    if (database_version(database, &version, why) < 0) return -1;
    if (version > SCHEMA)
        return fault_set(why, "%s has schema version %d: this version reads up to %d only", database->path, version, SCHEMA);
    if (version == 0 && sqlite3_exec(database->handle, create, NULL, NULL, NULL) != SQLITE_OK)
        return database_fault(database, "create the tables of", why);
    for (int i = 0; i < QUERY_COUNT; i++)
        if (sqlite3_prepare_v3(database->handle, queries[i], -1, SQLITE_PREPARE_PERSISTENT, &database->statements[i], NULL) != SQLITE_OK)
            return database_fault(database, "read", why);
    return 0;
}

database_t *database_open(const char *data, fault_t *why) {
    database_t *database = calloc(1, sizeof *database);

    must(database);
    if (snprintf(database->path, sizeof database->path, "%s/catalog.sqlite", data) >= PATH_MAX) {
        fault_set(why, "the path %s/catalog.sqlite is too long", data);
        goto fail;
    }
    if (sqlite3_open_v2(database->path, &database->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        database_fault(database, "open", why);
        goto fail;
    }
    if (database_prepare(database, why) < 0) goto fail;
    return database;
fail:
    database_close(&database);
    return NULL;
}

void database_close(database_t **database) {
    database_t *old = *database;

    *database = NULL;
    if (!old) return;
    for (int i = 0; i < QUERY_COUNT; i++) sqlite3_finalize(old->statements[i]);
    sqlite3_close(old->handle);
    free(old);
}

/* Runs a statement that gives no rows; what was bound is let go. */
static int database_run(database_t *database, query_t query) {
    sqlite3_stmt *statement = database->statements[query];
    int result = sqlite3_step(statement);

    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return result == SQLITE_DONE ? 0 : -1;
}

static int database_put(database_t *database, const msg_document_t *document) {
    query_t query = document->has_value ? QUERY_PUT : QUERY_DELETE;
    sqlite3_stmt *statement = database->statements[query];

    if (sqlite3_bind_text(statement, 1, document->kind, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_text(statement, 2, document->key, -1, SQLITE_STATIC) != SQLITE_OK)
        return -1;
    if (document->has_value && sqlite3_bind_blob64(statement, 3, document->value.size > 0 ? (const void *)document->value.data : "",
                                                   document->value.size, SQLITE_STATIC) != SQLITE_OK)
        return -1;
    return database_run(database, query);
}

/* A commit that failed may lie in the write-ahead log all the same, and a process that starts later would find it there. Emptied, it is
 * gone; where the disk does not take that either, the next transaction goes over it. */
static void database_forget(database_t *database) {
    if (!sqlite3_get_autocommit(database->handle)) (void)database_run(database, QUERY_ROLLBACK);
    (void)sqlite3_wal_checkpoint_v2(database->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

int database_write(database_t *database, const msg_document_t *documents, size_t count, fault_t *why) {
    if (database_run(database, QUERY_BEGIN) < 0) return database_fault(database, "write", why);
    for (size_t i = 0; i < count; i++)
        if (database_put(database, &documents[i]) < 0) goto fail;
    if (database_run(database, QUERY_COMMIT) == 0) return 0;
fail:
    database_fault(database, "write", why);
    database_forget(database);
    return -1;
}

int database_read(database_t *database, const char *kind, int (*each)(void *context, const char *key, bytes_t value), void *context,
                  fault_t *why) {
    sqlite3_stmt *statement = database->statements[QUERY_READ];
    int result = sqlite3_bind_text(statement, 1, kind, -1, SQLITE_STATIC) == SQLITE_OK ? SQLITE_ROW : SQLITE_ERROR, given = 0;

    while (result == SQLITE_ROW && given == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW) {
        bytes_t value = {sqlite3_column_blob(statement, 1), (size_t)sqlite3_column_bytes(statement, 1)};

        given = each(context, (const char *)sqlite3_column_text(statement, 0), value);
    }
    if (result != SQLITE_ROW && result != SQLITE_DONE) given = database_fault(database, "read", why);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return given;
}
