/*
 * net/server_impl.h — what the parts of the server share: server.c (listeners, handles, drain),
 * conn.c (buffers, timers, life of a connection), conn_http.c and conn_ws.c (the protocols).
 *
 * A connection is in exactly one state; conn_set_state is the only place that changes it.  Nothing
 * frees a connection but conn_reap, at the end of a turn, so a handler may do to it what it likes.
 */
#ifndef EV_NET_SERVER_IMPL_H
#define EV_NET_SERVER_IMPL_H

#include "net/libev.h"
#include "net/quota.h"
#include "net/server.h"
#include "net/transport.h"
#include "net/ws_frame.h"

enum conn_state {
	CONN_HEAD,       /* before or in the head of a request */
	CONN_BODY,       /* a body of known length */
	CONN_CHUNKS,     /* a chunked body */
	CONN_WAIT,       /* the handler has the request */
	CONN_STREAM,     /* the answer is being streamed */
	CONN_WS,         /* WebSocket */
	CONN_WS_CLOSING, /* our close frame is out, the peer's is awaited */
	CONN_FLUSH,      /* to be ended when all is sent */
	CONN_LINGER,     /* ended by us; what the peer still sends is thrown away */
	CONN_DEAD        /* to be reaped at the end of this turn */
};

enum conn_pause {
	PAUSE_APP = 1, /* net_ws_pause_reading */
	PAUSE_OUT = 2, /* the transport is pending */
	PAUSE_IN = 4   /* enough input is kept that nobody wants yet */
};

/* What is queued to be sent: a list of chunks, each as long as the peer's slowness demands. */
struct conn_out {
	struct conn_out *next;
	uint32_t sent;
	uint32_t len;
	uint32_t cap;
	char data[];
};

struct conn_http {
	char *accept;       /* of a WebSocket request: its Sec-WebSocket-Accept */
	uint32_t scan;      /* how far the head was searched for its end */
	uint32_t head_size; /* in CONN_CHUNKS */
	uint32_t need;      /* in CONN_BODY: head and body */
	struct net_chunked chunked;
	bool started; /* a byte of the head is there */
	bool keep_alive;
	bool is_head;
	bool minor_1;
};

struct conn_ws {
	char *message; /* the fragments so far */
	uint32_t len;
	int64_t message_ms; /* when the last one came */
	int64_t ping_ms;    /* when a ping was sent that nothing followed; 0: none */
	uint8_t opcode;     /* of the fragments; NET_WS_CONTINUATION: none */
};

struct net_conn {
	struct net_link *link; /* NULL when gone */
	struct net_listener *listener;
	struct net_conn *dirty_next;
	struct net_timer timer;
	char *in; /* bytes that could not be used yet, from malloc */
	uint32_t in_len;
	uint32_t in_cap;
	struct conn_out *out;
	struct conn_out *out_last;
	size_t out_bytes; /* not yet given to the transport */
	void *user;
	int64_t phase_ms;    /* when the state, or the head, began */
	int64_t rx_ms;       /* the peer's last bytes */
	int64_t progress_ms; /* when something last was sent, or the queue was empty */
	union {
		struct conn_http http;
		struct conn_ws ws;
	} u;
	uint32_t slot;
	uint32_t lingered; /* bytes thrown away */
	struct net_peer peer;
	uint16_t close_code; /* WebSocket; 0: none yet */
	uint8_t state;
	uint8_t pause;
	bool paused;   /* what the transport was told */
	bool dirty;    /* is in the server's list */
	bool has_user; /* a handler holds its handle: it is told of the end */
	bool is_ws;
	bool wants_room;
};

/* Counters of a listener; names and labels in stats.c. */
enum net_stat {
	STAT_ACCEPTED,
	STAT_REFUSED_MAX,
	STAT_REFUSED_ADDRESS,
	STAT_REFUSED_RESOURCES,
	STAT_ANSWERS_2XX,
	STAT_ANSWERS_3XX,
	STAT_ANSWERS_4XX,
	STAT_ANSWERS_5XX,
	STAT_WS_ACCEPTED,
	STAT_BYTES_IN,
	STAT_BYTES_OUT,
	STAT_MESSAGES_IN,
	STAT_MESSAGES_OUT,
	STAT_BAD_REQUEST,
	STAT_HEAD_TOO_BIG,
	STAT_BODY_TOO_BIG,
	STAT_HEAD_TIMEOUT,
	STAT_BODY_TIMEOUT,
	STAT_KEEPALIVE_TIMEOUT,
	STAT_WRITE_TIMEOUT,
	STAT_PING_TIMEOUT,
	STAT_WS_IDLE,
	STAT_WS_TOO_BIG,
	STAT_WS_BAD_UTF8,
	STAT_WS_PROTOCOL,
	STAT_QUEUE_FULL,
	STAT_COUNT
};

#define NET_LISTENER_NAME 48
#define NET_LABELS (NET_LISTENER_NAME + 48)

struct net_stats {
	struct ev_counter counters[STAT_COUNT];
	struct ev_gauge open;
	struct ev_gauge websockets;
	char labels[STAT_COUNT][NET_LABELS];
	char listener_label[NET_LABELS];
};

void net_stats_add(struct net_stats *st, struct ev_metrics *m, const char *listener);
void net_stats_remove(struct net_stats *st, struct ev_metrics *m);

struct net_listener {
	struct net_listener *next;
	struct net_server *server;
	struct net_port *port;
	const struct net_handlers *handlers;
	void *user;
	struct net_limits limits;
	struct net_quota *quota;
	struct net_quota *own_quota; /* the same, or NULL when it is shared */
	ev_io watcher;
	struct net_timer retry; /* after accept ran out of descriptors */
	int fd;                 /* -1 when closed */
	uint16_t tcp_port;
	bool tls;
	char name[NET_LISTENER_NAME];
	struct net_stats stats;
};

struct net_slot {
	struct net_conn *conn; /* NULL: free */
	uint32_t generation;
	uint32_t next_free;
};

struct net_server {
	struct net_loop *loop;
	struct net_transport *transport;
	struct ev_metrics *metrics;
	struct net_listener *listeners;
	struct net_slot *slots;
	uint32_t n_slots;
	uint32_t free_slot; /* UINT32_MAX: none */
	size_t n_conns;
	struct net_conn *dirty;
	struct net_hook hook;
	bool draining;
	bool drain_begins;
	struct net_timer drain_timer;
	net_fn *drained;
	void *drained_user;
};

/* --- server.c --- */

struct net_handle net_handle_of(const struct net_conn *c);
/* The connection a handle stands for; NULL when it is closed or about to be. */
struct net_conn *net_conn_of(const struct net_server *s, struct net_handle h);
/* The handle given out for c works no more; the next one will be another. */
void net_handle_retire(struct net_conn *c);
ev_err net_slot_take(struct net_server *s, struct net_conn *c);
void net_slot_free(struct net_server *s, struct net_conn *c);
/* One connection of this address less. */
void net_listener_forget(struct net_listener *l, const struct net_peer *peer);

static inline void stat_add(struct net_conn *c, enum net_stat stat, uint64_t n)
{
	ev_counter_add(&c->listener->stats.counters[stat], n);
}
static inline const struct net_limits *limits_of(const struct net_conn *c)
{
	return &c->listener->limits;
}
static inline struct net_loop *loop_of(const struct net_conn *c)
{
	return c->listener->server->loop;
}
static inline int64_t now_of(const struct net_conn *c)
{
	return net_loop_now_ms(loop_of(c));
}

/* --- conn.c --- */

extern const struct net_transport_events conn_events;

/* Takes fd over.  EV_NOMEM, EV_FULL; fd is closed then. */
ev_err conn_new(struct net_listener *l, int fd, const struct net_peer *peer);
void conn_set_state(struct net_conn *c, enum conn_state state);
/* To be looked at again at the end of this turn. */
void conn_touch(struct net_conn *c);
/* Ends without another byte. */
void conn_kill(struct net_conn *c);
/* The end of a turn: uses kept input, sends, arms the timer, reaps. */
void conn_settle(struct net_conn *c);
/* At once; for net_server_free. */
void conn_reap(struct net_conn *c);

/*
 * Room for n bytes at the end of the queue; conn_out_add says how many were written.  NULL: no
 * memory.
 */
char *conn_out_room(struct net_conn *c, size_t n);
void conn_out_add(struct net_conn *c, size_t n);
void conn_pause(struct net_conn *c, enum conn_pause why, bool on);
/* Makes in hold n bytes.  EV_NOMEM. */
EV_NODISCARD ev_err conn_in_reserve(struct net_conn *c, size_t n);

/* --- conn_http.c --- */

/*
 * Uses bytes of p[0..n) in CONN_HEAD or CONN_BODY; returns how many.  0: more are needed, or the
 * state became CONN_CHUNKS and the first head_size bytes are to be kept.
 */
size_t http_input(struct net_conn *c, char *p, size_t n);
/* The same in CONN_CHUNKS, for bytes behind what is kept. */
size_t http_chunks(struct net_conn *c, const char *p, size_t n);
/* Answers an error of the request itself and ends. */
void http_refuse(struct net_conn *c, int status);
/* The answer is complete. */
void http_finish(struct net_conn *c);
/* Ends a stream that the handler has not ended. */
void http_cut_stream(struct net_conn *c);

/* --- conn_ws.c --- */

size_t ws_input(struct net_conn *c, char *p, size_t n);
void ws_ping(struct net_conn *c);
/* In CONN_WS: sends a close frame and awaits the peer's; reason may be NULL. */
void ws_close(struct net_conn *c, unsigned code, const char *reason);
/* Closes because of what the peer did. */
void ws_fail(struct net_conn *c, unsigned code, enum net_stat stat);
void ws_free(struct net_conn *c);

#endif
