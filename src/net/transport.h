/*
 * net/transport.h — what the server needs of sockets and TLS, and no more: bytes in, bytes out, and
 * the end of a link.  One implementation, transport_lws.c, on libwebsockets with its libev plugin;
 * to replace it, write these functions again.  For this directory only.
 */
#ifndef EV_NET_TRANSPORT_H
#define EV_NET_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "net/loop.h"

struct net_transport;
struct net_port; /* one way of making links: plain, or TLS with one certificate */
struct net_link; /* one connected socket */

struct net_tls_files {
	const char *cert;      /* PEM chain */
	const char *key;       /* PEM */
	const char *client_ca; /* PEM, or NULL: client certificates are not asked for */
	bool client_cert_required;
};

/*
 * Called from the loop.  None of them may close a link: note it, and do it at the end of the turn.
 */
struct net_transport_events {
	/* Bytes of the peer; all must be taken, they may be written over. */
	void (*bytes)(void *conn, char *p, size_t n);
	/* Everything that was written has gone to the kernel (only after net_link_is_pending). */
	void (*writable)(void *conn);
	/* The link is gone: the peer ended or broke it, or its TLS handshake failed. */
	void (*closed)(void *conn);
};

/* EV_NOMEM, EV_IO (the event loop plugin is missing). */
EV_NODISCARD ev_err net_transport_new(struct net_loop *loop,
				      const struct net_transport_events *events,
				      struct net_transport **out, struct ev_fail *fail);

/* No link may exist any more. */
void net_transport_free(struct net_transport *t);

/*
 * tls NULL for plain TCP; it is copied.  Lives as long as the transport.  EV_INVALID (unusable
 * files), EV_NOMEM.
 */
EV_NODISCARD ev_err net_port_new(struct net_transport *t, const struct net_tls_files *tls,
				 struct net_port **out, struct ev_fail *fail);

/*
 * Reads certificate and key again, for links made from now on.  EV_INVALID: they cannot be used,
 * the old ones stay.  EV_OK for plain ports.
 */
EV_NODISCARD ev_err net_port_reload_tls(struct net_port *port, struct ev_fail *fail);

/*
 * Takes the connected, non-blocking socket over, also when it fails (EV_NOMEM, EV_FULL; it is
 * closed then).  conn is handed to the events; none is called before this returns.
 */
EV_NODISCARD ev_err net_link_new(struct net_port *port, int fd, void *conn, struct net_link **out);

/* Sends or buffers all n bytes.  EV_CLOSED: nothing can be sent any more. */
EV_NODISCARD ev_err net_link_write(struct net_link *link, const char *p, size_t n);

/* Whether a part of what was written waits for the kernel: write no more before `writable`. */
bool net_link_is_pending(struct net_link *link);

/* Must be paused while pending. */
void net_link_pause(struct net_link *link, bool paused);

/* Tells the peer that nothing follows (TLS close_notify, TCP FIN); reading goes on. */
void net_link_end(struct net_link *link);

/* At once; `closed` is not called.  Not from an event. */
void net_link_close(struct net_link *link);

/* Whether bytes can be exchanged: false during a TLS handshake. */
bool net_link_is_ready(struct net_link *link);

/*
 * The common name of the peer's verified certificate, NUL-terminated.  EV_NOTFOUND: none, or it is
 * longer than cap - 1 bytes.
 */
EV_NODISCARD ev_err net_link_peer_name(struct net_link *link, char *out, size_t cap);

/* Where the library's own warnings go; NULL (the default): nowhere.  Process-wide. */
typedef void net_library_log_fn(bool is_error, const char *line);
void net_transport_set_log(net_library_log_fn *fn);

#endif
