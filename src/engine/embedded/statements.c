#include "engine/embedded/statements.h"

#include "engine/embedded/rows.h"

#define SET_OUTLET                                                                                 \
	"version=?, state=?, sessionId=?, tag=?, startNs=?, endNs=?, mwh=?, totalSessions=?,"      \
	" totalMwh=?, unassignedMwh=?, maxPowerMw=?, outOfService=?, retired=?, extra=?, shown=?," \
	" lastEvent=?, lastBlock=?"
#define SET_SESSION "version=?, tag=?, state=?, channel=?, endNs=?, mwh=?, heardNs=?, extra=?"

const char *const store_sql_texts[SQL_STORE_COUNT] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",

	[SQL_OUTLET_LOAD] = "SELECT " OUTLET_COLUMNS ", n, lastEvent, lastBlock, wakeNs"
			    " FROM outlet_row WHERE id=?",
	[SQL_OUTLET_INSERT] = "INSERT INTO outlet_row(id, " INFO_COLUMNS ", " OUTLET_STATE_COLUMNS
			      ", shown, lastEvent, lastBlock)"
			      " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,0,0)",
	[SQL_OUTLET_UPDATE] = "UPDATE outlet_row SET " SET_OUTLET " WHERE n=?",
	[SQL_OUTLET_UPDATE_WAKE] = "UPDATE outlet_row SET " SET_OUTLET ", wakeNs=? WHERE n=?",
	[SQL_INFO_LOAD] = "SELECT " INFO_COLUMNS " FROM outlet_row WHERE id=?",
	[SQL_INFO_UPDATE] =
		"UPDATE outlet_row SET groupId=?, code=?, address=?, createdNs=? WHERE n=?",

	[SQL_SESSION_LOAD] = "SELECT " SESSION_COLUMNS ", n FROM session_row WHERE id=?",
	[SQL_SESSION_INSERT] = "INSERT INTO session_row(" SESSION_COLUMNS ", live)"
			       " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[SQL_SESSION_UPDATE] = "UPDATE session_row SET " SET_SESSION " WHERE n=?",
	[SQL_SESSION_UPDATE_ALL] = "UPDATE session_row SET " SET_SESSION
				   ", customerId=?, outletId=?, startNs=?, live=? WHERE n=?",
	[SQL_SESSIONS_LIVE] = "SELECT id FROM session_row WHERE outletId=? AND live=1"
			      " ORDER BY startNs DESC, id DESC LIMIT ?",
	[SQL_SESSIONS_OF_CUSTOMER] = "SELECT id FROM session_row WHERE customerId=? AND id>?"
				     " ORDER BY id LIMIT ?",

	[SQL_CUSTOMER_LOAD] = "SELECT " CUSTOMER_COLUMNS " FROM customer_row WHERE id=?",
	[SQL_CUSTOMER_VERSION] = "SELECT version FROM customer_row WHERE id=?",
	[SQL_CUSTOMER_INSERT] = "INSERT INTO customer_row(" CUSTOMER_COLUMNS
				") VALUES(?,?,?,?,?,?,?,?)",
	[SQL_CUSTOMER_UPDATE] = "UPDATE customer_row SET version=?, tag=?, address=?, email=?,"
				" paymentMethod=?, blocked=?, createdNs=? WHERE id=?",
	[SQL_CUSTOMER_DELETE] = "DELETE FROM customer_row WHERE id=?",
	[SQL_CLAIM_LOAD] = "SELECT tag, customerId, atNs FROM tag_claim WHERE tag=?",
	[SQL_CLAIM_PUT] = "INSERT OR REPLACE INTO tag_claim(tag, customerId, atNs) VALUES(?,?,?)",
	[SQL_CLAIM_DELETE] = "DELETE FROM tag_claim WHERE tag=? AND customerId=?",

	[SQL_BLOCK_LOAD] = "SELECT prev, outletId, ids FROM identity_block WHERE n=?",
	[SQL_BLOCK_INSERT] =
		"INSERT INTO identity_block(n, prev, outletId, atNs, ids) VALUES(?,?,?,?,?)",
	[SQL_BLOCKS_NEWEST] = "SELECT atNs, ids FROM identity_block ORDER BY n DESC",

	[SQL_ITEM_LOAD] = "SELECT " ITEM_COLUMNS " FROM unassigned_row WHERE id=?",
	[SQL_ITEM_PUT] = "INSERT OR REPLACE INTO unassigned_row(" ITEM_COLUMNS
			 ") VALUES(?,?,?,?,?,?)",
	[SQL_ATTACHMENT_LOAD] = "SELECT mwh FROM attachment WHERE itemId=?",
	[SQL_ATTACHMENT_INSERT] = "INSERT INTO attachment(itemId, sessionId, mwh) VALUES(?,?,?)",

	[SQL_DEAD_LETTER_LOAD] = "SELECT " DEAD_LETTER_COLUMNS " FROM dead_letter_row WHERE id=?",
	[SQL_DEAD_LETTER_INSERT] =
		"INSERT OR IGNORE INTO dead_letter_row(id, channel, outletId, atNs, reason, detail,"
		" status, body) VALUES(?,?,?,?,?,?,?,?)",
	[SQL_DEAD_LETTER_STATUS] = "SELECT status FROM dead_letter_row WHERE id=?",
	[SQL_DEAD_LETTER_SET] = "UPDATE dead_letter_row SET status=?, statusNs=? WHERE id=?",

	[SQL_PARKED_OF_OUTLET] = "SELECT id, outletId, atNs, dueNs, input FROM parked_row"
				 " WHERE outletId=? AND dueNs<=? ORDER BY dueNs, id LIMIT ?",
	[SQL_PARKED_ALL] = "SELECT id, outletId, atNs, dueNs, input FROM parked_row"
			   " WHERE dueNs<=? ORDER BY dueNs, id LIMIT ?",
	[SQL_PARKED_INSERT] = "INSERT OR IGNORE INTO parked_row(id, outletId, atNs, dueNs, input)"
			      " VALUES(?,?,?,?,?)",
	[SQL_PARKED_DELETE] = "DELETE FROM parked_row WHERE id=?",

	[SQL_DELIVERY_LOAD] = "SELECT deliveredVersion, deliveredIndex, ackedVersion, ackedIndex,"
			      " atNs FROM delivery WHERE outletId=?",
	[SQL_DELIVERY_PUT] =
		"INSERT OR REPLACE INTO delivery(outletId, deliveredVersion, deliveredIndex,"
		" ackedVersion, ackedIndex, atNs) VALUES(?,?,?,?,?,?)",
	[SQL_COMMANDS_LOAD] =
		"SELECT * FROM (SELECT " COMMAND_COLUMNS " FROM command_row"
		" WHERE outletId=? AND (version, idx) > (?, ?) AND (expiresNs=0 OR expiresNs>?)"
		" ORDER BY version DESC, idx DESC LIMIT ?) ORDER BY version, idx",
	/* Whoever decides the same write again sends the same command again. */
	[SQL_COMMAND_INSERT] = "INSERT OR REPLACE INTO command_row(" COMMAND_COLUMNS ")"
			       " VALUES(?,?,?,?,?,?,?,?,?,?,?)",
	[SQL_DUE] = "SELECT id FROM outlet_row WHERE wakeNs<=? ORDER BY wakeNs, id LIMIT ?",
	[SQL_EVENT_INSERT] = "INSERT INTO event_row(" EVENT_COLUMNS ")"
			     " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)",

	[SQL_META_LOAD] = "SELECT value FROM meta WHERE name=?",
	[SQL_META_PUT] = "INSERT OR REPLACE INTO meta(name, value) VALUES(?,?)",
	[SQL_OUTLET_KEYS] = "SELECT " OUTLET_COLUMNS ", n, wakeNs FROM outlet_row WHERE n>?"
			    " ORDER BY n LIMIT ?",
	[SQL_WAKE_SET] = "UPDATE outlet_row SET wakeNs=? WHERE n=?",

	[SQL_EVENTS_OLDEST] = "SELECT seq, atNs FROM event_row ORDER BY seq LIMIT ?",
	[SQL_EVENTS_DELETE] = "DELETE FROM event_row WHERE seq<=?",
	[SQL_BLOCKS_OLDEST] = "SELECT n, atNs FROM identity_block ORDER BY n LIMIT ?",
	[SQL_BLOCKS_DELETE] = "DELETE FROM identity_block WHERE n<=?",
	[SQL_COMMANDS_OLDEST] = "SELECT n, createdNs FROM command_row ORDER BY n LIMIT ?",
	[SQL_COMMANDS_DELETE] = "DELETE FROM command_row WHERE n<=?",
	[SQL_DEAD_LETTERS_DELETE] =
		"DELETE FROM dead_letter_row WHERE seq IN (SELECT seq FROM dead_letter_row"
		" WHERE status<>0 AND statusNs<? ORDER BY seq LIMIT ?)",
};

const char *const query_sql_texts[QUERY_COUNT] = {
	[QUERY_BEGIN] = "BEGIN",
	[QUERY_END] = "COMMIT",
	[QUERY_OUTLET] = "SELECT " OUTLET_COLUMNS ", " INFO_COLUMNS " FROM outlet_row WHERE id=?",
	[QUERY_OUTLETS] = "SELECT " OUTLET_COLUMNS ", " INFO_COLUMNS " FROM outlet_row WHERE id>?1"
			  " AND (?2 IS NULL OR shown=?2) AND (?3 IS NULL OR groupId=?3)"
			  " AND (?4 OR retired=0) ORDER BY id LIMIT ?5",
	[QUERY_LAST_EVENT] = "SELECT lastEvent FROM outlet_row WHERE id=?",
	[QUERY_EVENT] = "SELECT " EVENT_COLUMNS " FROM event_row WHERE seq=?",
	[QUERY_EVENTS] = "SELECT " EVENT_COLUMNS " FROM event_row WHERE seq>? ORDER BY seq LIMIT ?",
	[QUERY_SESSION] = "SELECT " SESSION_COLUMNS " FROM session_row WHERE id=?",
	[QUERY_HISTORY] = "SELECT " SESSION_COLUMNS " FROM session_row WHERE customerId=?"
			  " AND startNs<? ORDER BY startNs DESC, id DESC LIMIT ?",
	[QUERY_SESSIONS] = "SELECT " SESSION_COLUMNS " FROM session_row WHERE startNs<?"
			   " AND heardNs<? ORDER BY startNs DESC, id DESC LIMIT ?",
	/* The few live ones by their own index; the planner would walk all in order of start. */
	[QUERY_SESSIONS_LIVE] =
		"SELECT " SESSION_COLUMNS " FROM session_row INDEXED BY session_live WHERE live=1"
		" AND startNs<? AND heardNs<? ORDER BY startNs DESC, id DESC LIMIT ?",
	[QUERY_CUSTOMER] = "SELECT " CUSTOMER_COLUMNS " FROM customer_row WHERE id=?",
	[QUERY_CUSTOMERS] = "SELECT " CUSTOMER_COLUMNS
			    " FROM customer_row WHERE id>? ORDER BY id LIMIT ?",
	[QUERY_ITEMS] = "SELECT " ITEM_COLUMNS " FROM unassigned_row"
			" WHERE (NOT ? OR sessionId IS NULL) ORDER BY atNs, id LIMIT ?",
	[QUERY_ITEMS_OF_OUTLET] = "SELECT " ITEM_COLUMNS " FROM unassigned_row WHERE outletId=?"
				  " AND (NOT ? OR sessionId IS NULL) ORDER BY atNs, id LIMIT ?",
	[QUERY_DEAD_LETTERS] = "SELECT " DEAD_LETTER_COLUMNS " FROM dead_letter_row WHERE seq<?"
			       " ORDER BY seq DESC LIMIT ?",
	[QUERY_DEAD_LETTERS_OPEN] = "SELECT " DEAD_LETTER_COLUMNS
				    " FROM dead_letter_row WHERE status=0 AND seq<?"
				    " ORDER BY seq DESC LIMIT ?",
	[QUERY_DEAD_LETTER] = "SELECT " DEAD_LETTER_COLUMNS " FROM dead_letter_row WHERE id=?",
	/* Events are numbered without gaps: their ends tell the count without a walk. */
	[QUERY_BOOKS] =
		"SELECT (SELECT coalesce(sum(totalMwh),0) FROM outlet_row),"
		" (SELECT coalesce(sum(unassignedMwh),0) FROM outlet_row),"
		" (SELECT coalesce(sum(mwh),0) FROM session_row),"
		" (SELECT coalesce(sum(mwh),0) FROM unassigned_row WHERE sessionId IS NULL),"
		" (SELECT count(*) FROM outlet_row), (SELECT count(*) FROM session_row),"
		" (SELECT count(*) FROM session_row WHERE live=1),"
		" (SELECT count(*) FROM customer_row),"
		" (SELECT coalesce((SELECT max(seq) FROM event_row)"
		" - (SELECT min(seq) FROM event_row) + 1, 0)),"
		" (SELECT count(*) FROM command_row),"
		" (SELECT count(*) FROM dead_letter_row WHERE status=0),"
		" (SELECT count(*) FROM parked_row),"
		" (SELECT count(*) FROM unassigned_row WHERE sessionId IS NULL)",
	/* Outlets whose total is not their sessions and items, and energy of no outlet at all. */
	[QUERY_UNBALANCED] =
		"SELECT id FROM (SELECT id, totalMwh AS t, unassignedMwh AS u, 0 AS s, 0 AS i"
		" FROM outlet_row"
		" UNION ALL SELECT outletId, 0, 0, mwh, 0 FROM session_row"
		" UNION ALL SELECT outletId, 0, 0, 0, mwh FROM unassigned_row"
		" WHERE sessionId IS NULL)"
		" GROUP BY id HAVING sum(t)<>sum(s)+sum(u) OR sum(u)<>sum(i) LIMIT 1",
};
