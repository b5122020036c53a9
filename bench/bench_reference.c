/*
 * bench/bench_reference.c — the yardstick: the least program that takes the frames of bench_load
 * over WebSocket and makes the same rows of each durable before it answers.
 *
 * usage: bench_reference DIR PORT
 *
 * One thread, one epoll, one SQLite transaction for all that is readable at a time.  No decisions,
 * no limits, no timers, no checks of anything: a device is in the state it says.  DIR is made by
 * bench_fill, so tables, columns and indexes are the product's own; bench/run.py compares the
 * number of rows and their sizes after a run.  Runs until it is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/time.h"
#include "bench.h"
#include "net/ws_frame.h"

#define EVENTS 4096
#define IN_BYTES 2048
#define IDS_MAX 16
#define RECENT_MAX 8

/* Sizes of the product's packed columns: fixed part, an identity, an ended session of this tag. */
#define EXTRA_BYTES 30
#define IDENTITY_BYTES 16
#define ENDED_BYTES 63
#define SESSION_BYTES 51
#define EXTRA_MAX (EXTRA_BYTES + IDS_MAX * IDENTITY_BYTES + RECENT_MAX * ENDED_BYTES)

enum sql {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_FIND,
	SQL_OUTLET,
	SQL_OUTLET_WAKE,
	SQL_EVENT,
	SQL_SESSION_INSERT,
	SQL_SESSION,
	SQL_SESSION_ALL,
	SQL_COMMAND,
	SQL_BLOCK,
	SQL_DELIVERY,
	SQL_COUNT
};

#define SET_OUTLET                                                                                 \
	"UPDATE outlet_row SET version=?2, state=?3, sessionId=?4, tag=?5, startNs=?6, endNs=?7,"  \
	" mwh=?8, totalSessions=?9, totalMwh=?10, unassignedMwh=0, maxPowerMw=22000000,"           \
	" outOfService=0, retired=0, extra=?11, shown=?3, lastEvent=?12, lastBlock=?13"
#define SET_SESSION                                                                                \
	"UPDATE session_row SET version=?2, tag=?3, state=?4, channel=0, endNs=?5, mwh=?6,"        \
	" heardNs=?5, extra=?7"

static const char *const texts[SQL_COUNT] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_FIND] = "SELECT n, version, maxPowerMw FROM outlet_row WHERE id=?1",
	[SQL_OUTLET] = SET_OUTLET " WHERE n=?1",
	[SQL_OUTLET_WAKE] = SET_OUTLET ", wakeNs=?14 WHERE n=?1",
	[SQL_EVENT] = "INSERT INTO event_row(seq, prev, atNs, initiator, outletId, state,"
		      " sessionId, tag, startNs, endNs, mwh, eventId, itemId, itemMwh)"
		      " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?3,?10,?11,NULL,NULL)",
	[SQL_SESSION_INSERT] = "INSERT INTO session_row(id, version, customerId, tag, outletId,"
			       " state, live, channel, startNs, endNs, mwh, heardNs, extra)"
			       " VALUES(?1,?2,?3,?4,?5,6,1,0,?6,NULL,0,?6,?7)",
	[SQL_SESSION] = SET_SESSION " WHERE n=?1",
	[SQL_SESSION_ALL] = SET_SESSION
	", customerId=?8, outletId=?9, startNs=?10, live=0 WHERE n=?1",
	[SQL_COMMAND] = "INSERT INTO command_row(outletId, version, idx, state, tag, sessionId,"
			" startNs, endNs, mwh, createdNs, expiresNs)"
			" VALUES(?1,?2,0,6,?3,?4,?5,?5,0,?5,?6)",
	[SQL_BLOCK] = "INSERT INTO identity_block(n, prev, outletId, atNs, ids)"
		      " VALUES(?1,?2,?3,?4,?5)",
	[SQL_DELIVERY] = "INSERT OR REPLACE INTO delivery(outletId, deliveredVersion,"
			 " deliveredIndex, ackedVersion, ackedIndex, atNs)"
			 " VALUES(?1,?2,0,?2,0,?3)",
};

struct conn {
	int fd;
	bool open;
	size_t in_n;
	char in[IN_BYTES];

	struct ev_uuid id, session;
	struct rfid_tag tag;
	int64_t row, session_row, version, session_version;
	int64_t last_event, last_block, total_mwh, total_sessions, mwh, start_ns;
	unsigned state, n_ids, n_recent;
	bool has_session, has_wake;
};

struct reply {
	struct conn *conn;
	size_t at, n;
};

struct reference {
	sqlite3 *db;
	sqlite3_stmt *st[SQL_COUNT];
	int epoll, listener;
	bool begun;
	int64_t next_event, next_block, now_ns;
	uint64_t n_sessions;
	struct reply *replies; /* to go out after the commit */
	size_t n_replies, max_replies;
	char *out;
	size_t out_n, out_max;
};

static void step(struct reference *r, enum sql which)
{
	if (sqlite3_step(r->st[which]) != SQLITE_DONE)
		bench_die(sqlite3_errmsg(r->db), false);
	sqlite3_reset(r->st[which]);
}

static void bind_id(sqlite3_stmt *st, int at, const struct ev_uuid *id)
{
	sqlite3_bind_blob(st, at, id->b, sizeof(id->b), SQLITE_STATIC);
}

static void bind_tag(sqlite3_stmt *st, int at, const struct conn *c)
{
	sqlite3_bind_text(st, at, c->tag.s, c->has_session ? c->tag.n : 0, SQLITE_STATIC);
}

/* --- the rows --- */

static void write_outlet(struct reference *r, struct conn *c, bool wake)
{
	static const uint8_t extra[EXTRA_MAX];
	enum sql which = wake != c->has_wake ? SQL_OUTLET_WAKE : SQL_OUTLET;
	sqlite3_stmt *st = r->st[which];
	size_t n = EXTRA_BYTES + c->n_ids * IDENTITY_BYTES + c->n_recent * ENDED_BYTES;

	c->version++;
	sqlite3_bind_int64(st, 1, c->row);
	sqlite3_bind_int64(st, 2, c->version);
	sqlite3_bind_int64(st, 3, c->state);
	if (c->has_session)
		bind_id(st, 4, &c->session);
	else
		sqlite3_bind_null(st, 4);
	bind_tag(st, 5, c);
	sqlite3_bind_int64(st, 6, c->start_ns);
	sqlite3_bind_int64(st, 7, r->now_ns);
	sqlite3_bind_int64(st, 8, c->mwh);
	sqlite3_bind_int64(st, 9, c->total_sessions);
	sqlite3_bind_int64(st, 10, c->total_mwh);
	sqlite3_bind_blob(st, 11, extra, (int)n, SQLITE_STATIC);
	sqlite3_bind_int64(st, 12, c->last_event);
	sqlite3_bind_int64(st, 13, c->last_block);
	if (wake)
		sqlite3_bind_int64(st, 14, r->now_ns + 300 * EV_NS_PER_S);
	else if (which == SQL_OUTLET_WAKE)
		sqlite3_bind_null(st, 14);
	step(r, which);
	c->has_wake = wake;
}

static void write_event(struct reference *r, struct conn *c, unsigned initiator, unsigned state)
{
	sqlite3_stmt *st = r->st[SQL_EVENT];
	uint64_t id[2] = { (uint64_t)r->now_ns, (uint64_t)r->next_event };

	sqlite3_bind_int64(st, 1, r->next_event);
	sqlite3_bind_int64(st, 2, c->last_event);
	sqlite3_bind_int64(st, 3, r->now_ns);
	sqlite3_bind_int64(st, 4, initiator);
	bind_id(st, 5, &c->id);
	sqlite3_bind_int64(st, 6, state);
	bind_id(st, 7, &c->session);
	bind_tag(st, 8, c);
	sqlite3_bind_int64(st, 9, c->start_ns);
	sqlite3_bind_int64(st, 10, c->mwh);
	sqlite3_bind_blob(st, 11, id, sizeof(id), SQLITE_STATIC);
	step(r, SQL_EVENT);
	c->last_event = r->next_event++;
}

static void write_session(struct reference *r, struct conn *c, bool ends)
{
	static const uint8_t extra[SESSION_BYTES];
	enum sql which = ends ? SQL_SESSION_ALL : SQL_SESSION;
	sqlite3_stmt *st = r->st[which];

	sqlite3_bind_int64(st, 1, c->session_row);
	sqlite3_bind_int64(st, 2, ++c->session_version);
	bind_tag(st, 3, c);
	sqlite3_bind_int64(st, 4, c->state);
	sqlite3_bind_int64(st, 5, r->now_ns);
	sqlite3_bind_int64(st, 6, c->mwh);
	sqlite3_bind_blob(st, 7, extra, SESSION_BYTES, SQLITE_STATIC);
	if (ends) {
		bind_id(st, 8, &c->id);
		bind_id(st, 9, &c->id);
		sqlite3_bind_int64(st, 10, c->start_ns);
	}
	step(r, which);
}

static void insert_session(struct reference *r, struct conn *c)
{
	static const uint8_t extra[SESSION_BYTES];
	sqlite3_stmt *st = r->st[SQL_SESSION_INSERT];

	c->session = bench_session_id((uint64_t)r->now_ns + r->n_sessions++);
	c->session_version = 1;
	bind_id(st, 1, &c->session);
	sqlite3_bind_int64(st, 2, c->session_version);
	bind_id(st, 3, &c->id);
	bind_tag(st, 4, c);
	bind_id(st, 5, &c->id);
	sqlite3_bind_int64(st, 6, r->now_ns);
	sqlite3_bind_blob(st, 7, extra, SESSION_BYTES, SQLITE_STATIC);
	step(r, SQL_SESSION_INSERT);
	c->session_row = sqlite3_last_insert_rowid(r->db);
}

static void insert_command(struct reference *r, const struct conn *c)
{
	sqlite3_stmt *st = r->st[SQL_COMMAND];

	bind_id(st, 1, &c->id);
	sqlite3_bind_int64(st, 2, c->version);
	bind_tag(st, 3, c);
	bind_id(st, 4, &c->session);
	sqlite3_bind_int64(st, 5, r->now_ns);
	sqlite3_bind_int64(st, 6, r->now_ns + 240 * EV_NS_PER_S);
	step(r, SQL_COMMAND);
}

/* The identity of this message; every sixteenth time those before it go into a block. */
static void keep_identity(struct reference *r, struct conn *c)
{
	static const uint8_t ids[IDS_MAX * IDENTITY_BYTES];
	sqlite3_stmt *st = r->st[SQL_BLOCK];

	if (c->n_ids++ < IDS_MAX)
		return;
	c->n_ids = 1;
	sqlite3_bind_int64(st, 1, r->next_block);
	sqlite3_bind_int64(st, 2, c->last_block);
	bind_id(st, 3, &c->id);
	sqlite3_bind_int64(st, 4, r->now_ns);
	sqlite3_bind_blob(st, 5, ids, sizeof(ids), SQLITE_STATIC);
	step(r, SQL_BLOCK);
	c->last_block = r->next_block++;
}

static void write_delivery(struct reference *r, const struct conn *c)
{
	sqlite3_stmt *st = r->st[SQL_DELIVERY];

	bind_id(st, 1, &c->id);
	sqlite3_bind_int64(st, 2, c->version);
	sqlite3_bind_int64(st, 3, r->now_ns);
	step(r, SQL_DELIVERY);
}

/* --- the answers, kept until the commit --- */

static void reply(struct reference *r, struct conn *c, const struct ev_buf *b)
{
	if (r->n_replies == r->max_replies) {
		r->max_replies = r->max_replies * 2 + 1024;
		r->replies = reallocarray(r->replies, r->max_replies, sizeof(r->replies[0]));
	}
	if (r->out_n + b->len + NET_WS_MAX_HEADER > r->out_max) {
		r->out_max = r->out_max * 2 + 65536;
		r->out = realloc(r->out, r->out_max);
	}
	bench_must(r->replies != NULL && r->out != NULL, "memory");
	size_t head = net_ws_header((uint8_t *)r->out + r->out_n, NET_WS_TEXT, b->len);

	memcpy(r->out + r->out_n + head, b->p, b->len);
	r->replies[r->n_replies++] = (struct reply){ c, r->out_n, head + b->len };
	r->out_n += head + b->len;
}

static void answer(struct reference *r, struct conn *c, struct ev_str id, struct ev_str state)
{
	char text[256];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	ev_buf_z(&b, "{\"ack\":\"");
	ev_buf_str_add(&b, id);
	ev_buf_z(&b, "\",\"verdict\":\"applied\",\"reason\":null,\"outletState\":\"");
	ev_buf_str_add(&b, state);
	ev_buf_z(&b, "\"}");
	reply(r, c, &b);
}

static void command(struct reference *r, struct conn *c)
{
	char text[512];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	char id[EV_UUID_TEXT + 1], time[EV_TIME_TEXT];

	ev_uuid_text(&c->id, id);
	ev_time_text(r->now_ns, time);
	ev_buf_z(&b, "{\"outletId\":\"");
	ev_buf_z(&b, id);
	ev_buf_z(&b, "\",\"rfidTag\":\"");
	ev_buf_bytes(&b, c->tag.s, c->tag.n);
	ev_buf_z(&b, "\",\"periodStart\":\"");
	ev_buf_z(&b, time);
	ev_buf_z(&b, "\",\"periodEnd\":\"");
	ev_buf_z(&b, time);
	ev_buf_z(&b, "\",\"outletStateChange\":\"Charging\",\"powerConsumption\":0.0,"
		     "\"messageId\":\"000001a20a1f0d16-0\"}");
	reply(r, c, &b);
}

/* --- the messages --- */

static struct ev_str field(struct ev_str text, const char *key)
{
	size_t n = strlen(key);
	const char *at = memmem(text.p, text.n, key, n);

	if (at == NULL)
		return (struct ev_str){ NULL, 0 };
	at += n;
	const char *end = memchr(at, '"', text.n - (size_t)(at - text.p));

	return (struct ev_str){ at, end != NULL ? (size_t)(end - at) : 0 };
}

static void add_energy(struct conn *c)
{
	c->mwh += 1000;
	c->total_mwh += 1000;
}

static void end_session(struct conn *c)
{
	if (c->has_session && c->n_recent < RECENT_MAX)
		c->n_recent++;
	c->has_session = false;
	c->mwh = 0;
}

/* Request, approval, start: what a known tag leads to. */
static void start_session(struct reference *r, struct conn *c, struct ev_str tag)
{
	if (tag.n <= RFID_TAG_MAX) {
		c->tag.n = (uint8_t)tag.n;
		memcpy(c->tag.s, tag.p, tag.n);
	}
	c->has_session = true;
	c->start_ns = r->now_ns;
	c->total_sessions++;
	insert_session(r, c);
	write_event(r, c, 1, OUTLET_DEVICE_REQUESTS_CHARGING);
	write_event(r, c, 0, OUTLET_CHARGING);
	c->state = OUTLET_CHARGING;
	write_event(r, c, 1, OUTLET_CHARGING);
	insert_command(r, c);
	write_session(r, c, false);
}

static void take_message(struct reference *r, struct conn *c, struct ev_str text)
{
	struct ev_str change = field(text, "\"outletStateChange\":\"");
	enum outlet_state state = OUTLET_CHARGING;

	if (!r->begun)
		step(r, SQL_BEGIN);
	r->begun = true;
	if (change.n == 0) {
		write_delivery(r, c);
		return;
	}
	if (outlet_state_parse(change, &state) != EV_OK)
		bench_die("an unknown state", false);
	keep_identity(r, c);
	bool asks = state == OUTLET_DEVICE_REQUESTS_CHARGING;

	if (asks) {
		start_session(r, c, field(text, "\"rfidTag\":\""));
	} else if (state == OUTLET_CHARGING || state == OUTLET_CHARGING_FINISHED) {
		c->state = state;
		add_energy(c);
		write_event(r, c, 1, state);
		write_session(r, c, state == OUTLET_CHARGING_FINISHED);
	} else {
		c->state = state;
		end_session(c);
	}
	write_outlet(r, c, asks);
	answer(r, c, field(text, "\"messageId\":\""), ev_str_from(outlet_state_text(c->state)));
	if (asks)
		command(r, c);
}

/* --- the connections --- */

static void drop(struct conn *c)
{
	(void)close(c->fd);
	c->fd = -1; /* its memory stays: an answer may still name it */
}

static void find_outlet(struct reference *r, struct conn *c)
{
	sqlite3_stmt *st = r->st[SQL_FIND];

	bind_id(st, 1, &c->id);
	if (sqlite3_step(st) != SQLITE_ROW)
		bench_die("an unknown outlet", false);
	c->row = sqlite3_column_int64(st, 0);
	c->version = sqlite3_column_int64(st, 1);
	sqlite3_reset(st);
}

static void upgrade(struct reference *r, struct conn *c)
{
	static const char answer_text[] =
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
	const char *at = memmem(c->in, c->in_n, "/devices/", 9);

	if (at == NULL || ev_uuid_parse((struct ev_str){ at + 9, EV_UUID_TEXT }, &c->id) != EV_OK)
		bench_die("an unknown path", false);
	find_outlet(r, c);
	c->open = true;
	c->in_n = 0;
	if (send(c->fd, answer_text, sizeof(answer_text) - 1, MSG_NOSIGNAL) < 0)
		drop(c);
}

static void take_frames(struct reference *r, struct conn *c)
{
	size_t at = 0;
	struct net_ws_frame f;

	while (c->fd >= 0 &&
	       net_ws_decode(c->in + at, c->in_n - at, IN_BYTES, &f) == NET_WS_FRAME) {
		at += f.size;
		if (f.opcode == NET_WS_TEXT)
			take_message(r, c, f.payload);
		else if (f.opcode == NET_WS_CLOSE)
			drop(c);
	}
	c->in_n -= at;
	memmove(c->in, c->in + at, c->in_n);
}

static void on_readable(struct reference *r, struct conn *c)
{
	ssize_t got = c->fd >= 0 ? recv(c->fd, c->in + c->in_n, IN_BYTES - c->in_n, 0) : -1;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		if (c->fd >= 0)
			drop(c);
		return;
	}
	c->in_n += (size_t)got;
	if (c->open)
		take_frames(r, c);
	else
		upgrade(r, c);
}

static void accept_some(struct reference *r)
{
	int one = 1;
	int fd;

	while ((fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

		bench_must(c != NULL, "memory");
		c->fd = fd;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		bench_must(epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &ev) == 0, "epoll_ctl");
	}
}

/* Durable first, then answered. */
static void end_turn(struct reference *r)
{
	if (!r->begun)
		return;
	step(r, SQL_COMMIT);
	r->begun = false;
	for (size_t i = 0; i < r->n_replies; i++) {
		const struct reply *p = &r->replies[i];

		/* One message outstanding always fits; who is gone needs no answer. */
		if (p->conn->fd >= 0 &&
		    send(p->conn->fd, r->out + p->at, p->n, MSG_NOSIGNAL) != (ssize_t)p->n)
			drop(p->conn);
	}
	r->n_replies = 0;
	r->out_n = 0;
}

EV_NORETURN static void run(struct reference *r)
{
	static struct epoll_event events[EVENTS];

	for (;;) {
		int n = epoll_wait(r->epoll, events, EVENTS, -1);

		r->now_ns = bench_wall_ns();
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == NULL)
				accept_some(r);
			else
				on_readable(r, events[i].data.ptr);
		}
		end_turn(r);
	}
}

/* --- the beginning --- */

static int64_t number(struct reference *r, const char *text)
{
	sqlite3_stmt *st = NULL;

	bench_must(sqlite3_prepare_v2(r->db, text, -1, &st, NULL) == SQLITE_OK &&
			   sqlite3_step(st) == SQLITE_ROW,
		   text);
	int64_t v = sqlite3_column_int64(st, 0);

	sqlite3_finalize(st);
	return v;
}

static void open_database(struct reference *r, const char *dir)
{
	static const char pragmas[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
				      "PRAGMA cache_size=-32768; PRAGMA wal_autocheckpoint=8192;";
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/evcharge.db", dir);
	bench_must(sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK, path);
	bench_must(sqlite3_exec(r->db, pragmas, NULL, NULL, NULL) == SQLITE_OK, "pragmas");
	for (int i = 0; i < SQL_COUNT; i++)
		bench_must(sqlite3_prepare_v2(r->db, texts[i], -1, &r->st[i], NULL) == SQLITE_OK,
			   texts[i]);
	r->next_event = number(r, "SELECT coalesce(max(seq), 0) + 1 FROM event_row");
	r->next_block = number(r, "SELECT coalesce(max(n), 0) + 1 FROM identity_block");
}

static void start_listening(struct reference *r, uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	int one = 1;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	r->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	r->epoll = epoll_create1(0);
	bench_must(r->listener >= 0 && r->epoll >= 0, "socket");
	(void)setsockopt(r->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	bench_must(bind(r->listener, (struct sockaddr *)&at, sizeof(at)) == 0 &&
			   listen(r->listener, 4096) == 0 &&
			   epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->listener, &ev) == 0,
		   "listen");
}

int main(int argc, char **argv)
{
	struct reference r = { .db = NULL };
	uint64_t port = 0;

	if (argc != 3 || !bench_take_u64(ev_str_from(argv[2]), 1, 65535, &port))
		bench_die("usage: bench_reference DIR PORT", false);
	(void)bench_descriptors();
	open_database(&r, argv[1]);
	start_listening(&r, (uint16_t)port);
	run(&r);
}
