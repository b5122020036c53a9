/*
 * engine/embedded/schema.h — the tables, as a list of numbered migrations.
 *
 * The file's `user_version` is the number of migrations it has had.  A migration is never edited
 * once released: a change is a new one at the end.
 */
#ifndef EV_EMBEDDED_SCHEMA_H
#define EV_EMBEDDED_SCHEMA_H

#include "engine/embedded/sql.h"

/* "evch": tells our files from other SQLite files. */
#define SCHEMA_APPLICATION_ID 0x65766368

extern const char *const schema_migrations[];
extern const size_t schema_n_migrations;

/*
 * Checks that the file is ours and not newer: EV_UNSUPPORTED if it is newer, EV_CORRUPT if it is
 * not ours.  *out_version is 0 for an empty file.
 */
EV_NODISCARD ev_err schema_check(sqlite3 *db, int64_t *out_version, struct ev_fail *fail);

/* Brings a checked file up to the newest version, each migration in a transaction of its own. */
EV_NODISCARD ev_err schema_migrate(sqlite3 *db, struct ev_fail *fail);

#endif
