#include "engine/embedded/schema.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/*
 * Rows are compact: numbered states, 16-byte ids, integers of mWh and ns.  `extra` and `input` are
 * the forms of rowblob.h.  An integer key keeps the update of a random row cheap; the id is unique
 * beside it.  No index on event_row: an outlet's events and blocks are chained backwards instead.
 */
static const char tables[] =
	"CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"

	"CREATE TABLE outlet_row("
	" n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, groupId BLOB NOT NULL,"
	" code TEXT NOT NULL, address TEXT NOT NULL, createdNs INTEGER NOT NULL,"
	" maxPowerMw INTEGER NOT NULL, version INTEGER NOT NULL, state INTEGER NOT NULL,"
	" shown INTEGER NOT NULL, sessionId BLOB, tag TEXT NOT NULL, startNs INTEGER NOT NULL,"
	" endNs INTEGER, mwh INTEGER NOT NULL, totalSessions INTEGER NOT NULL,"
	" totalMwh INTEGER NOT NULL, unassignedMwh INTEGER NOT NULL,"
	" outOfService INTEGER NOT NULL, retired INTEGER NOT NULL, lastEvent INTEGER NOT NULL,"
	" lastBlock INTEGER NOT NULL, extra BLOB NOT NULL, wakeNs INTEGER);"
	"CREATE INDEX outlet_wake ON outlet_row(wakeNs, id) WHERE wakeNs IS NOT NULL;"

	"CREATE TABLE session_row("
	" n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, version INTEGER NOT NULL,"
	" customerId BLOB, tag TEXT NOT NULL, outletId BLOB NOT NULL, state INTEGER NOT NULL,"
	" live INTEGER NOT NULL, channel INTEGER NOT NULL, startNs INTEGER NOT NULL,"
	" endNs INTEGER, mwh INTEGER NOT NULL, heardNs INTEGER NOT NULL, extra BLOB NOT NULL);"
	"CREATE INDEX session_live ON session_row(outletId, startNs) WHERE live = 1;"
	"CREATE INDEX session_customer ON session_row(customerId, startNs)"
	" WHERE customerId IS NOT NULL;"
	"CREATE INDEX session_start ON session_row(startNs, id);"

	"CREATE TABLE customer_row("
	" n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, version INTEGER NOT NULL,"
	" tag TEXT NOT NULL, address TEXT NOT NULL, email TEXT NOT NULL,"
	" paymentMethod TEXT NOT NULL, blocked INTEGER NOT NULL, createdNs INTEGER NOT NULL);"

	"CREATE TABLE event_row("
	" seq INTEGER PRIMARY KEY, prev INTEGER NOT NULL, atNs INTEGER NOT NULL,"
	" initiator INTEGER NOT NULL, outletId BLOB NOT NULL, state INTEGER NOT NULL,"
	" sessionId BLOB, tag TEXT NOT NULL, startNs INTEGER NOT NULL, endNs INTEGER,"
	" mwh INTEGER NOT NULL, eventId BLOB, itemId BLOB, itemMwh INTEGER);"

	"CREATE TABLE command_row("
	" n INTEGER PRIMARY KEY, outletId BLOB NOT NULL, version INTEGER NOT NULL,"
	" idx INTEGER NOT NULL, state INTEGER NOT NULL, tag TEXT NOT NULL, sessionId BLOB,"
	" startNs INTEGER NOT NULL, endNs INTEGER NOT NULL, mwh INTEGER NOT NULL,"
	" createdNs INTEGER NOT NULL, expiresNs INTEGER NOT NULL,"
	" UNIQUE(outletId, version, idx));"

	"CREATE TABLE dead_letter_row("
	" seq INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE,"
	" channel INTEGER NOT NULL, outletId BLOB, atNs INTEGER NOT NULL, reason TEXT NOT NULL,"
	" detail TEXT NOT NULL, status INTEGER NOT NULL, statusNs INTEGER, body BLOB NOT NULL);"
	"CREATE INDEX dead_letter_open ON dead_letter_row(seq) WHERE status = 0;"

	"CREATE TABLE parked_row("
	" id BLOB PRIMARY KEY, outletId BLOB NOT NULL, atNs INTEGER NOT NULL,"
	" dueNs INTEGER NOT NULL, input BLOB NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX parked_due ON parked_row(dueNs, id);"
	"CREATE INDEX parked_outlet ON parked_row(outletId, dueNs, id);"

	"CREATE TABLE unassigned_row("
	" id BLOB PRIMARY KEY, outletId BLOB NOT NULL, atNs INTEGER NOT NULL,"
	" mwh INTEGER NOT NULL, tag TEXT NOT NULL, sessionId BLOB) WITHOUT ROWID;"
	"CREATE INDEX unassigned_outlet ON unassigned_row(outletId, atNs, id);"
	"CREATE INDEX unassigned_at ON unassigned_row(atNs, id);"

	"CREATE TABLE attachment("
	" itemId BLOB PRIMARY KEY, sessionId BLOB NOT NULL, mwh INTEGER NOT NULL) WITHOUT ROWID;"

	"CREATE TABLE tag_claim("
	" tag TEXT PRIMARY KEY, customerId BLOB NOT NULL, atNs INTEGER NOT NULL) WITHOUT ROWID;"

	"CREATE TABLE identity_block("
	" n INTEGER PRIMARY KEY, prev INTEGER NOT NULL, outletId BLOB NOT NULL,"
	" atNs INTEGER NOT NULL, ids BLOB NOT NULL);"

	"CREATE TABLE delivery("
	" outletId BLOB PRIMARY KEY, deliveredVersion INTEGER NOT NULL,"
	" deliveredIndex INTEGER NOT NULL, ackedVersion INTEGER NOT NULL,"
	" ackedIndex INTEGER NOT NULL, atNs INTEGER NOT NULL) WITHOUT ROWID;";

/* How a person reads the rows; NULL stays NULL. */
#define TEXT_UUID(col)                                                                             \
	"CASE WHEN " col " IS NOT NULL THEN lower(substr(hex(" col "),1,8)||'-'||substr(hex(" col  \
	"),9,4)||'-'||substr(hex(" col "),13,4)||'-'||substr(hex(" col "),17,4)||'-'||"            \
	"substr(hex(" col "),21)) END"
#define TEXT_ID(col) "CASE WHEN " col " IS NOT NULL THEN lower(hex(" col ")) END"
#define TEXT_TIME(col) "strftime('%Y-%m-%dT%H:%M:%fZ', " col "/1e9, 'unixepoch')"
#define KWH(col) col "/1e6"
#define TEXT_STATE(col)                                                                            \
	"CASE " col " WHEN 0 THEN 'Available' WHEN 1 THEN 'CablePlugged'"                          \
	" WHEN 2 THEN 'DeviceRequestsCharging' WHEN 3 THEN 'DeviceDeniesCharging'"                 \
	" WHEN 4 THEN 'AppRequestsCharging' WHEN 5 THEN 'AppDeniesCharging'"                       \
	" WHEN 6 THEN 'Charging' WHEN 7 THEN 'DeviceRequestsStop'"                                 \
	" WHEN 8 THEN 'AppRequestsStop' WHEN 9 THEN 'ChargingFinished' END"

/* The names of the original, so that what its users look up is found under the same words. */
/* clang-format off */
static const char aggregate_views[] =
	"CREATE VIEW charger_outlet AS SELECT "
	TEXT_UUID("id") " AS outletId, "
	TEXT_UUID("groupId") " AS chargerGroupId, code AS outletCode, address,"
	" maxPowerMw/1e3 AS maxPower, "
	TEXT_STATE("state") " AS outletState, "
	TEXT_UUID("sessionId") " AS sessionId, tag AS rfidTag, "
	TEXT_TIME("startNs") " AS startTime, "
	TEXT_TIME("endNs") " AS endTime, "
	KWH("mwh") " AS powerConsumption, totalSessions AS totalChargingSessions, "
	KWH("totalMwh") " AS totalPowerConsumption, "
	KWH("unassignedMwh") " AS unassignedTotal, "
	TEXT_STATE("shown") " AS shownState, outOfService, retired, version, "
	TEXT_TIME("createdNs") " AS createdAt FROM outlet_row;"

	"CREATE VIEW charging_session AS SELECT "
	TEXT_UUID("id") " AS sessionId, "
	TEXT_UUID("customerId") " AS customerId, tag AS rfidTag, "
	TEXT_UUID("outletId") " AS outletId, "
	TEXT_STATE("state") " AS outletState,"
	" CASE channel WHEN 0 THEN 'OutletDevice' WHEN 1 THEN 'MobileApp' END AS purchaseChannel, "
	TEXT_TIME("startNs") " AS startTime, "
	TEXT_TIME("endNs") " AS endTime, "
	KWH("mwh") " AS powerConsumption, "
	TEXT_TIME("heardNs") " AS heardAt, live, version FROM session_row;"

	"CREATE VIEW customer AS SELECT "
	TEXT_UUID("id") " AS customerId, tag AS rfidTag, address, email, paymentMethod, blocked,"
	" version, "
	TEXT_TIME("createdNs") " AS createdAt FROM customer_row;";

static const char effect_views[] =
	"CREATE VIEW charging_event AS SELECT seq, "
	TEXT_TIME("atNs") " AS at,"
	" CASE initiator WHEN 0 THEN 'AppBackend' WHEN 1 THEN 'OutletBackend' END AS initiator, "
	TEXT_UUID("outletId") " AS outletId, "
	TEXT_STATE("state") " AS outletState, "
	TEXT_UUID("sessionId") " AS sessionId, tag AS rfidTag, "
	TEXT_TIME("startNs") " AS periodStart, "
	TEXT_TIME("endNs") " AS periodEnd, "
	KWH("mwh") " AS powerConsumption, "
	TEXT_ID("eventId") " AS eventId, "
	TEXT_ID("itemId") " AS itemId, "
	KWH("itemMwh") " AS itemPowerConsumption FROM event_row;"

	"CREATE VIEW device_command AS SELECT printf('%016x-%x', version, idx) AS messageId, "
	TEXT_UUID("outletId") " AS outletId, tag AS rfidTag, "
	TEXT_TIME("startNs") " AS periodStart, "
	TEXT_TIME("endNs") " AS periodEnd, "
	TEXT_STATE("state") " AS outletStateChange, "
	KWH("mwh") " AS powerConsumption, "
	TEXT_UUID("sessionId") " AS sessionId, "
	TEXT_TIME("createdNs") " AS createdAt, "
	"CASE WHEN expiresNs > 0 THEN " TEXT_TIME("expiresNs") " END AS expiresAt"
	" FROM command_row;"

	"CREATE VIEW dead_letter AS SELECT seq, "
	TEXT_ID("id") " AS identity,"
	" CASE channel WHEN 0 THEN 'device message' WHEN 1 THEN 'charging event' END AS channel, "
	TEXT_UUID("outletId") " AS outletId, "
	TEXT_TIME("atNs") " AS at, reason, detail,"
	" CASE status WHEN 0 THEN 'open' WHEN 1 THEN 'replayed' WHEN 2 THEN 'dropped' END"
	" AS status, "
	TEXT_TIME("statusNs") " AS statusAt,"
	" CASE channel WHEN 0 THEN CAST(body AS TEXT) ELSE lower(hex(body)) END AS body"
	" FROM dead_letter_row;"

	"CREATE VIEW unassigned_energy AS SELECT "
	TEXT_ID("id") " AS itemId, "
	TEXT_UUID("outletId") " AS outletId, "
	TEXT_TIME("atNs") " AS at, "
	KWH("mwh") " AS powerConsumption, tag AS rfidTag, "
	TEXT_UUID("sessionId") " AS sessionId FROM unassigned_row;";
/* clang-format on */

const char *const schema_migrations[] = { tables, aggregate_views, effect_views };
const size_t schema_n_migrations = EV_ARRAY_LEN(schema_migrations);

static_assert(INITIATOR_APP_BACKEND == 0 && INITIATOR_OUTLET_BACKEND == 1, "numbers in files");
static_assert(CHANNEL_OUTLET_DEVICE == 0 && CHANNEL_MOBILE_APP == 1, "numbers in files");
static_assert(OUTLET_DEVICE_REQUESTS_CHARGING == 2 && OUTLET_DEVICE_DENIES_CHARGING == 3 &&
		      OUTLET_APP_REQUESTS_CHARGING == 4 && OUTLET_APP_DENIES_CHARGING == 5 &&
		      OUTLET_CHARGING == 6 && OUTLET_DEVICE_REQUESTS_STOP == 7 &&
		      OUTLET_APP_REQUESTS_STOP == 8 && OUTLET_CHARGING_FINISHED == 9,
	      "numbers in files");

ev_err schema_check(sqlite3 *db, int64_t *out_version, struct ev_fail *fail)
{
	int64_t id = 0, version = 0, n_tables = 0;
	ev_err err = sql_int(db, "PRAGMA application_id", &id, fail);

	if (err == EV_OK)
		err = sql_int(db, "PRAGMA user_version", &version, fail);
	if (err == EV_OK)
		err = sql_int(db, "SELECT count(*) FROM sqlite_schema", &n_tables, fail);
	if (err != EV_OK)
		return err;
	if (id != SCHEMA_APPLICATION_ID && (id != 0 || version != 0 || n_tables != 0))
		return ev_fail_set(fail, EV_CORRUPT, 0, "the file is not a database of evcharge");
	if (version > (int64_t)schema_n_migrations)
		return ev_fail_set(fail, EV_UNSUPPORTED, 0,
				   "the database has version %" PRId64
				   ", this program knows up to %zu: use a newer one",
				   version, schema_n_migrations);
	if (version < 0)
		return ev_fail_set(fail, EV_CORRUPT, 0, "the database has no valid version");
	*out_version = version;
	return EV_OK;
}

static ev_err apply(sqlite3 *db, size_t number, struct ev_fail *fail)
{
	char stamp[96];

	/* Pragmas take no parameters; both numbers are our own. */
	(void)snprintf(stamp, sizeof(stamp), "PRAGMA application_id=%d; PRAGMA user_version=%zu;",
		       SCHEMA_APPLICATION_ID, number + 1);

	ev_err err = sql_exec(db, "BEGIN IMMEDIATE", fail);

	if (err == EV_OK)
		err = sql_exec(db, schema_migrations[number], fail);
	if (err == EV_OK)
		err = sql_exec(db, stamp, fail);
	if (err == EV_OK)
		err = sql_exec(db, "COMMIT", fail);
	if (err != EV_OK && sqlite3_get_autocommit(db) == 0)
		(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return err;
}

ev_err schema_migrate(sqlite3 *db, struct ev_fail *fail)
{
	int64_t version = 0;
	ev_err err = schema_check(db, &version, fail);

	while (err == EV_OK && version < (int64_t)schema_n_migrations)
		err = apply(db, (size_t)version++, fail);
	return err;
}
