/*
 * The connection path: the real server over a fake transport and clock (fake_net.h).
 *
 * The first byte says what is done.  Either the rest is a script: bytes of up to three peers in
 * pieces, time that goes on, a kernel that is full, peers that leave, handlers that answer at once,
 * later, in streams, and that pause and close.  Or the rest is what one peer sends, and it is sent
 * several times in different pieces: the handlers must be told the same.
 *
 * Always: one request of a connection at a time, one answer to each and in order, all that is sent
 * well-formed (wire_check.h), on_ws_close exactly once, on_gone only for what is open, handles that
 * were used work no more, and at last no connection is left, be it by time, peers or the server.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "fake_net.h"
#include "net/server_impl.h"
#include "wire_check.h"

#define CLIENTS 3
#define REPLY_BIG 5000

struct client {
	struct net_link link;
	struct wire wire;
	bool used;
	struct net_handle request; /* to be answered, or being streamed; else all zero */
	bool is_head, wants_ws, streaming;
	char plan; /* the second byte of the path: what the handlers do */
	struct net_handle ws;
	bool ws_open, ws_paused, was_ws;
	bool full; /* told so, and not yet of room */
};

struct world {
	struct net_loop *loop;
	struct net_server *server;
	struct net_listener *listener;
	struct net_limits limits;
	bool draining, drained;
	bool prompt; /* what is for later is done at the end of each turn */
	uint64_t trace;
	struct client clients[CLIENTS];
	struct client *current;
};

static const struct net_handle nothing;

/* --- What handlers are told --- */

static void trace_bytes(struct world *w, struct ev_str s)
{
	for (size_t i = 0; i < s.n; i++)
		w->trace = (w->trace ^ (uint8_t)s.p[i]) * UINT64_C(0x100000001b3);
	w->trace = (w->trace ^ s.n ^ 0x5aU) * UINT64_C(0x100000001b3);
}

static void trace_number(struct world *w, uint64_t v)
{
	trace_bytes(w, (struct ev_str){ (const char *)&v, sizeof(v) });
}

static struct client *client_at(struct world *w, uint16_t port)
{
	CHECK(port < CLIENTS && w->clients[port].used && w->clients[port].link.open);
	return &w->clients[port];
}

static struct client *client_of_ws(struct world *w, struct net_handle ws, void *conn_user)
{
	struct client *c = conn_user;

	CHECK(c >= w->clients && c < w->clients + CLIENTS);
	CHECK(c->ws_open && net_handle_eq(c->ws, ws));
	return c;
}

static struct wire_answer *new_answer(struct client *c, int status, size_t n)
{
	CHECK(c->wire.n_answers < WIRE_ANSWERS_MAX);
	struct wire_answer *a = &c->wire.answers[c->wire.n_answers++];

	*a = (struct wire_answer){ .status = status,
				   .n = n,
				   .fill = (char)('a' + c->wire.n_answers % 26),
				   .head = c->is_head };
	return a;
}

/* A body of n times what the next answer is filled with. */
static struct ev_str body_of(const struct client *c, size_t n, char room[REPLY_BIG])
{
	CHECK(n <= REPLY_BIG);
	memset(room, 'a' + (int)((c->wire.n_answers + 1) % 26), n);
	return (struct ev_str){ room, n };
}

static struct net_response response_of(struct client *c, char room[REPLY_BIG])
{
	static const struct net_header headers[] = {
		{ { "Content-Type", 12 }, { "text/plain", 10 } },
		{ { "X-Fuzz", 6 }, { "a, b", 4 } },
	};
	struct net_response r = { .status = 200, .headers = headers, .n_headers = 1 };
	size_t n = 3;

	switch (c->plan) {
	case '2':
		r.status = 204;
		break;
	case '3':
		r.status = 304;
		break;
	case 'b':
		n = REPLY_BIG;
		break;
	case 'c':
		r.close = true;
		break;
	case 'h':
		r.n_headers = 2;
		break;
	case 'z':
		n = 0;
		break;
	default:
		break;
	}
	if (c->wire.n_answers == WIRE_ANSWERS_MAX - 1)
		r.close = true; /* as many as the checker remembers */
	r.body = body_of(c, n, room);
	return r;
}

/* Nothing of these may reach the wire, and the request is still to be answered. */
static void try_bad_answers(struct world *w, struct client *c)
{
	const struct net_header bad[] = {
		{ EV_LIT("Content-Length"), EV_LIT("1") },
		{ EV_LIT("connection"), EV_LIT("x") },
		{ EV_LIT("A"), EV_LIT("b\r\nC: d") },
		{ EV_LIT("A b"), EV_LIT("c") },
		{ EV_LIT(""), EV_LIT("c") },
	};

	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++) {
		struct net_response r = { .status = 200, .headers = &bad[i], .n_headers = 1 };

		CHECK(net_reply(w->server, c->request, &r) == EV_INVALID);
		CHECK(net_stream_begin(w->server, c->request, &r) == EV_INVALID);
	}
	struct net_response r = { .status = 101 };

	CHECK(net_reply(w->server, c->request, &r) == EV_INVALID);
	CHECK(net_is_open(w->server, c->request));
}

static void answer(struct world *w, struct client *c)
{
	char room[REPLY_BIG];
	struct net_response r = response_of(c, room);
	struct net_handle h = c->request;

	if (c->plan == 'x')
		try_bad_answers(w, c);
	CHECK(net_reply(w->server, h, &r) == EV_OK);
	new_answer(c, r.status, r.body.n);
	CHECK(net_reply(w->server, h, &r) == EV_CLOSED && !net_is_open(w->server, h));
	CHECK(net_stream_end(w->server, h) == EV_CLOSED);
	c->request = nothing;
}

static void stream_begin(struct world *w, struct client *c)
{
	char room[REPLY_BIG];
	struct net_response r = response_of(c, room);

	CHECK(net_stream_begin(w->server, c->request, &r) == EV_OK);
	CHECK(net_reply(w->server, c->request, &r) == EV_CLOSED);
	new_answer(c, r.status, r.body.n)->stream = true;
	c->streaming = true;
}

static void stream_write(struct world *w, struct client *c, size_t n)
{
	struct wire_answer *a = &c->wire.answers[c->wire.n_answers - 1];
	char room[REPLY_BIG];

	memset(room, a->fill, n);
	ev_err e = net_stream_write(w->server, c->request, (struct ev_str){ room, n });

	CHECK(e == EV_OK || e == EV_FULL);
	if (e == EV_OK)
		a->n += n;
	else
		c->full = true;
	CHECK(net_queued(w->server, c->request) <= w->limits.max_out_bytes + REPLY_BIG + 512);
}

static void stream_end(struct world *w, struct client *c)
{
	struct net_handle h = c->request;

	CHECK(net_stream_end(w->server, h) == EV_OK);
	CHECK(net_stream_end(w->server, h) == EV_CLOSED);
	CHECK(net_stream_write(w->server, h, EV_LIT("x")) == EV_CLOSED);
	c->wire.answers[c->wire.n_answers - 1].done = true;
	c->streaming = c->full = false;
	c->request = nothing;
}

static void accept_ws(struct world *w, struct client *c)
{
	struct net_ws_accept a = { .conn_user = c };
	struct net_handle h = c->request;

	a.subprotocol = EV_LIT("no token");
	CHECK(net_ws_accept(w->server, h, &a, &c->ws) == EV_INVALID);
	a.subprotocol = c->plan == 'p' ? EV_LIT("ocpp1.6") : EV_LIT("");
	CHECK(net_ws_accept(w->server, h, &a, &c->ws) == EV_OK);
	CHECK(!net_handle_eq(h, c->ws) && !net_is_open(w->server, h));
	new_answer(c, 101, 0);
	c->request = nothing;
	c->ws_open = c->was_ws = true;
}

/* What a handler does with a request when its time has come. */
static void go_on(struct world *w, struct client *c)
{
	if (c->streaming)
		stream_end(w, c);
	else if (c->wants_ws && c->plan != 'r')
		accept_ws(w, c);
	else if (c->plan == 's')
		stream_begin(w, c);
	else
		answer(w, c);
}

static void check_request(struct world *w, const struct net_request *r)
{
	CHECK(r->path.n > 0 && (r->path.p[0] == '/' || ev_str_eqz(r->path, "*")));
	CHECK(r->n_headers <= NET_MAX_HEADERS && r->body.n <= w->limits.max_body_bytes);
	CHECK(net_is_open(w->server, r->handle) && net_user(w->server, r->handle) == NULL);
	trace_number(w, (uint64_t)r->method);
	trace_bytes(w, r->path);
	trace_bytes(w, r->query);
	for (size_t i = 0; i < r->n_headers; i++) {
		trace_bytes(w, r->headers[i].name);
		trace_bytes(w, r->headers[i].value);
	}
	trace_bytes(w, r->body);
}

static struct client *take_request(struct world *w, const struct net_request *r, bool wants_ws)
{
	struct client *c = client_at(w, r->peer.port);

	CHECK(net_handle_eq(c->request, nothing) && !c->was_ws);
	check_request(w, r);
	trace_number(w, wants_ws);
	c->request = r->handle;
	c->is_head = r->method == NET_HEAD;
	c->wants_ws = wants_ws;
	c->plan = r->path.n > 1 ? r->path.p[1] : ' ';
	return c;
}

static void on_request(void *user, const struct net_request *r)
{
	struct client *c = take_request(user, r, false);

	if (c->plan != 'l')
		go_on(user, c);
}

static void on_ws_request(void *user, const struct net_request *r)
{
	struct client *c = take_request(user, r, true);
	struct ev_str offered;
	size_t at = 0, n = 0;

	while (net_request_subprotocol(r, &at, &offered)) {
		CHECK(at == ++n && offered.n > 0);
		trace_bytes(user, offered);
	}
	if (c->plan != 'l')
		go_on(user, c);
}

static ev_err ws_send(struct world *w, struct client *c, unsigned opcode, size_t n)
{
	char room[REPLY_BIG];
	struct wire *wire = &c->wire;

	if (wire->n_messages == WIRE_MESSAGES_MAX)
		return EV_FULL;
	char fill = (char)('A' + wire->n_messages % 26);

	memset(room, fill, n);
	ev_err e = net_ws_send(w->server, c->ws,
			       opcode == 1 ? NET_WS_KIND_TEXT : NET_WS_KIND_BINARY,
			       (struct ev_str){ room, n });

	if (e == EV_OK)
		wire->messages[wire->n_messages++] = (struct wire_message){ opcode, n, fill };
	if (e == EV_FULL)
		c->full = true;
	return e;
}

static void ws_close_it(struct world *w, struct client *c, char how)
{
	/* Longer than a close frame's reason, and to be cut inside a character. */
	static const char *const long_reason =
		"0123456789012345678901234567890123456789012345678901234567890123456789"
		"012345678901234567890123456789012345678901234567890\xe2\x82\xac\xe2\x82\xac";
	ev_err e = net_ws_close(w->server, c->ws, how == 'C' ? 3000 : 1000,
				how == 'C' ? long_reason : "bye");

	CHECK(e == EV_OK || e == EV_CLOSED);
	CHECK(net_ws_close(w->server, c->ws, 1000, NULL) == EV_CLOSED);
	CHECK(net_ws_send(w->server, c->ws, NET_WS_KIND_TEXT, EV_LIT("x")) == EV_CLOSED);
}

static void on_ws_message(void *user, struct net_handle ws, void *conn_user, enum net_ws_kind kind,
			  struct ev_str bytes)
{
	struct world *w = user;
	struct client *c = client_of_ws(w, ws, conn_user);
	char first = bytes.n > 0 ? bytes.p[0] : ' ';

	CHECK(!c->ws_paused && bytes.n <= w->limits.max_message_bytes);
	CHECK(kind == NET_WS_KIND_BINARY || ev_utf8_valid(bytes.p, bytes.n));
	trace_number(w, (uint64_t)kind);
	trace_bytes(w, bytes);
	if (first == 'e')
		(void)ws_send(w, c, kind == NET_WS_KIND_TEXT ? 1 : 2,
			      bytes.n < REPLY_BIG ? bytes.n : REPLY_BIG);
	while (first == 'b' && ws_send(w, c, 2, 999) == EV_OK)
		continue;
	if (first == 'p') {
		c->ws_paused = net_ws_pause_reading(w->server, ws, true) == EV_OK;
		CHECK(c->ws_paused);
	}
	if (first == 'c' || first == 'C')
		ws_close_it(w, c, first);
}

static void on_ws_close(void *user, struct net_handle ws, void *conn_user, unsigned code)
{
	struct world *w = user;
	struct client *c = client_of_ws(w, ws, conn_user);

	CHECK(code >= 1000 && code < 5000);
	CHECK(!net_is_open(w->server, ws));
	CHECK(net_ws_send(w->server, ws, NET_WS_KIND_TEXT, EV_LIT("x")) == EV_CLOSED);
	trace_number(w, code);
	c->ws_open = false;
}

static void on_gone(void *user, struct net_handle request, void *conn_user)
{
	struct world *w = user;
	struct client *c = NULL;

	CHECK(conn_user == NULL);
	for (size_t i = 0; i < CLIENTS; i++) {
		if (w->clients[i].used && net_handle_eq(w->clients[i].request, request))
			c = &w->clients[i];
	}
	CHECK(c != NULL && !net_handle_eq(request, nothing));
	if (c->streaming)
		c->wire.answers[c->wire.n_answers - 1].done = true; /* by a server that drains */
	c->streaming = c->full = false;
	c->request = nothing;
}

static void on_room(void *user, struct net_handle h, void *conn_user)
{
	struct world *w = user;
	struct client *c = NULL;

	for (size_t i = 0; i < CLIENTS; i++) {
		if (net_handle_eq(w->clients[i].request, h) ||
		    (w->clients[i].ws_open && net_handle_eq(w->clients[i].ws, h)))
			c = &w->clients[i];
	}
	CHECK(c != NULL && c->full && (conn_user == NULL || conn_user == c));
	CHECK(net_queued(w->server, h) <= w->limits.max_out_bytes / 2);
	c->full = false;
}

static const struct net_handlers handlers = {
	.on_request = on_request,
	.on_ws_request = on_ws_request,
	.on_ws_message = on_ws_message,
	.on_ws_close = on_ws_close,
	.on_gone = on_gone,
	.on_room = on_room,
};

/* --- The world --- */

/* A listening socket to copy: making one for each input is what would cost most. */
static int socket_copy(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int copy = dup(fd);

	CHECK(fd >= 0 && copy >= 0);
	return copy;
}

enum setting { SET_SMALL = 1, SET_PIECES = 2, SET_LAST_TIME = 4, SET_LAST_PEERS = 8 };

static void world_init(struct world *w, unsigned settings)
{
	struct net_listener_config c;

	memset(w, 0, sizeof(*w));
	net_listener_config_init(&c);
	c.name = "fuzz";
	c.fd = socket_copy();
	c.handlers = &handlers;
	c.user = w;
	c.limits.ws_idle_timeout_ms = 120000;
	if ((settings & SET_SMALL) != 0) {
		c.limits.max_header_bytes = 300;
		c.limits.max_body_bytes = 100;
		c.limits.max_message_bytes = 200;
		c.limits.max_out_bytes = 2000;
	}
	w->limits = c.limits;
	CHECK(net_loop_new(&w->loop) == EV_OK);
	CHECK(net_server_new(w->loop, NULL, &w->server, NULL) == EV_OK);
	CHECK(net_server_listen(w->server, &c, &w->listener, NULL) == EV_OK);
}

static void connect_client(struct world *w, size_t i)
{
	struct client *c = &w->clients[i];
	struct net_peer peer = { .port = (uint16_t)i };

	w->current = c;
	if (c->used || w->draining)
		return;
	c->used = true;
	fake_link_next(&c->link);
	/* As the listener does for whom it accepts. */
	CHECK(net_quota_take(w->listener->quota, peer.address, 0, 0) == NET_QUOTA_TAKEN);
	CHECK(conn_new(w->listener, -1, &peer) == EV_OK);
}

static void resume(struct world *w, struct client *c)
{
	c->ws_paused = false;
	ev_err e = net_ws_pause_reading(w->server, c->ws, false);

	CHECK(e == EV_OK || e == EV_CLOSED);
}

static void do_later(struct world *w, struct client *c)
{
	if (!net_handle_eq(c->request, nothing) && net_is_open(w->server, c->request))
		go_on(w, c);
	if (c->ws_open && c->ws_paused)
		resume(w, c);
}

/* Is anything of this client left for do_later, or kept from being read? */
static bool has_more(const struct client *c)
{
	return c->link.open &&
	       ((c->link.unread.n > 0 && !c->link.paused) || !net_handle_eq(c->request, nothing) ||
		(c->ws_open && c->ws_paused));
}

static void turn(struct world *w)
{
	int rounds = 0;
	bool more = true;

	while (more) {
		CHECK(++rounds < 100000);
		more = false;
		for (size_t i = 0; i < CLIENTS; i++) {
			if (!w->clients[i].used)
				continue;
			fake_link_receive(&w->clients[i].link, NULL, 0);
			if (w->prompt)
				do_later(w, &w->clients[i]);
		}
		fake_loop_turn(w->loop);
		for (size_t i = 0; i < CLIENTS; i++)
			more = more || (w->prompt && has_more(&w->clients[i]));
	}
}

static void on_drained(void *user)
{
	struct world *w = user;

	CHECK(w->draining && !w->drained && net_server_connections(w->server) == 0);
	w->drained = true;
}

/* Peers that still read, but say nothing more: all limits of time come. */
static void let_time_end_it(struct world *w)
{
	w->prompt = true;
	for (size_t i = 0; i < CLIENTS; i++) {
		w->clients[i].link.hold = false;
		fake_link_writable(&w->clients[i].link);
	}
	turn(w);
	for (int i = 0; i < 60; i++) {
		fake_loop_sleep(w->loop, 5000);
		turn(w);
	}
	CHECK(net_server_connections(w->server) == 0);
	CHECK(!w->draining || w->drained);
}

static void let_peers_end_it(struct world *w)
{
	for (size_t i = 0; i < CLIENTS; i++)
		fake_link_peer_closes(&w->clients[i].link);
	turn(w);
	CHECK(net_server_connections(w->server) == 0);
	CHECK(!w->draining || w->drained);
}

static void world_end(struct world *w, unsigned settings)
{
	if ((settings & SET_LAST_TIME) != 0)
		let_time_end_it(w);
	else if ((settings & SET_LAST_PEERS) != 0)
		let_peers_end_it(w);
	net_server_free(w->server);
	net_loop_free(w->loop);
	for (size_t i = 0; i < CLIENTS; i++) {
		struct client *c = &w->clients[i];

		CHECK(!c->ws_open && net_handle_eq(c->request, nothing));
		wire_check(&c->wire, c->link.sent.p, c->link.sent.n, c->link.ended);
		fake_link_deinit(&c->link);
	}
}

/* --- Scripts --- */

struct script {
	const uint8_t *p;
	size_t n;
};

static unsigned next_byte(struct script *s)
{
	if (s->n == 0)
		return 0;
	s->n--;
	return *s->p++;
}

static void receive(struct world *w, struct script *s, size_t n)
{
	n = n < s->n ? n : s->n;
	fake_link_receive(&w->current->link, s->p, n);
	s->p += n;
	s->n -= n;
}

static void drain(struct world *w, unsigned seconds)
{
	if (w->draining)
		return;
	w->draining = true;
	net_server_drain(w->server, (int64_t)seconds * 1000, on_drained, w);
	turn(w);
}

/* What the handlers' side does by itself: writes to what is open, or ends it. */
static void act(struct world *w, unsigned what)
{
	struct client *c = w->current;

	if (c->streaming && net_is_open(w->server, c->request)) {
		if (what < 200)
			stream_write(w, c, what * 8);
		else
			stream_end(w, c);
	} else if (c->ws_open) {
		ev_err e = EV_OK;

		if (what < 200)
			e = ws_send(w, c, 1 + (what & 1U), what * 8);
		else if (what < 220)
			ws_close_it(w, c, what & 1U ? 'c' : 'C');
		else if (what < 240)
			resume(w, c);
		else
			c->ws_paused = net_ws_pause_reading(w->server, c->ws, true) == EV_OK;
		CHECK(e == EV_OK || e == EV_FULL || e == EV_CLOSED);
	}
}

static void control(struct world *w, struct script *s, unsigned op)
{
	struct net_link *link = &w->current->link;

	switch (op) {
	case 0:
		receive(w, s, 256 + next_byte(s) * 64);
		break;
	case 1:
		fake_loop_sleep(w->loop, next_byte(s) * 10);
		break;
	case 2:
		fake_loop_sleep(w->loop, next_byte(s) * 1000);
		break;
	case 3:
		do_later(w, w->current);
		break;
	case 4:
		link->hold = true;
		break;
	case 5:
		link->hold = false;
		fake_link_writable(link);
		break;
	case 6:
		fake_link_writable(link); /* and full again with the next write */
		break;
	case 7:
		link->broken = true;
		break;
	case 8:
		fake_link_peer_closes(link);
		break;
	case 9:
		connect_client(w, next_byte(s) % CLIENTS);
		return; /* in the same turn */
	case 10:
		act(w, next_byte(s));
		return;
	case 11:
		drain(w, next_byte(s));
		return;
	default:
		break;
	}
	turn(w);
}

static void run_script(struct script s, unsigned settings)
{
	struct world w;

	world_init(&w, settings);
	connect_client(&w, 0);
	while (s.n > 0) {
		unsigned op = next_byte(&s);

		if (op >= 0x80) {
			control(&w, &s, op & 0x0fU);
			continue;
		}
		receive(&w, &s, (op & 0x3fU) + 1);
		if (op < 0x40)
			turn(&w);
	}
	world_end(&w, settings);
}

/* --- Pieces --- */

/*
 * The bytes in pieces of 1 to max bytes, or of max each if seed is 0; what the handlers were told,
 * as one number.
 */
static uint64_t run_pieces(struct script s, unsigned settings, uint64_t seed, size_t max)
{
	struct world w;

	world_init(&w, settings);
	w.prompt = true;
	connect_client(&w, 0);
	while (s.n > 0) {
		receive(&w, &s, seed != 0 ? 1 + (size_t)(seed >> 33) % max : max);
		if (seed != 0)
			seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		turn(&w);
	}
	world_end(&w, SET_LAST_PEERS);
	return w.trace;
}

/* More than a connection keeps of what it cannot use yet, and few enough to be quick. */
#define REPEATED_MAX ((size_t)40 * 1024)
#define BY_BYTE_MAX ((size_t)2000)

/* The bytes again and again, so that short inputs can be long streams; to be freed. */
static struct script repeated(struct script s, size_t times)
{
	size_t fit = s.n > 0 ? REPEATED_MAX / s.n : 0;
	size_t n = times < fit ? times : fit;
	uint8_t *p = malloc(n * s.n + 1);

	CHECK(p != NULL);
	for (size_t i = 0; i < n; i++)
		memcpy(p + i * s.n, s.p, s.n);
	return (struct script){ p, n * s.n };
}

static void compare_pieces(struct script s, unsigned settings)
{
	uint64_t seed = next_byte(&s) + 1;
	size_t times = 1 + next_byte(&s) % 64;
	struct script all = repeated(s, times);
	uint64_t whole = run_pieces(all, settings, 0, FAKE_READ_MAX);

	for (size_t max = all.n > BY_BYTE_MAX ? 24 : 1; max <= FAKE_READ_MAX; max *= 12)
		CHECK(run_pieces(all, settings, seed, max) == whole);
	free((void *)(uintptr_t)all.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = { data, size };
	unsigned settings = next_byte(&s);

	if ((settings & SET_PIECES) != 0)
		compare_pieces(s, settings);
	else
		run_script(s, settings);
	return 0;
}
