/*
 * net/transport_lws.c — net/transport.h on libwebsockets 4.1: its raw socket role, its TLS and its
 * libev plugin.  HTTP and WebSocket are ours (http.h, ws_frame.h), see docs/decisions.
 *
 * What must be known of the library:
 * - Its default poll loop is O(n) for each wake-up, so the libev plugin is demanded.
 * - Its timers are a sorted list.  None is left armed for a link that lives: the idle policy is
 *   zero
 *   and the one that TLS leaves behind is cancelled at the first bytes.
 * - A raw link with buffered output ignores readability, which is level-triggered: reading must be
 *   paused meanwhile or the loop would spin.
 * - A close from outside an event is synchronous and calls us back; the link is disowned first.
 */
#include "net/transport.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <libwebsockets.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/buf.h"

/* One TLS record and more is read at once, so that nothing is left inside OpenSSL. */
#define READ_SIZE (17 * 1024)
#define MAX_NAME 24

struct net_port {
	struct net_transport *transport;
	struct lws_vhost *vhost;
	SSL_CTX *ssl; /* the vhost's; NULL for plain TCP */
	char *cert;
	char *key;
	char *client_ca;
	bool client_cert_required;
	char name[MAX_NAME];
	struct net_port *next;
};

struct net_transport {
	struct lws_context *context;
	const struct net_transport_events *events;
	struct net_port *ports;
	unsigned n_ports;
	bool adopting; /* events of a link that net_link_new has not returned are held back */
};

static const lws_retry_bo_t no_idle_policy = { 0 };

static net_library_log_fn *library_log;

static struct lws *wsi_of(struct net_link *link)
{
	return (struct lws *)link;
}

static int set_up_tls(struct net_port *port, SSL_CTX *ssl)
{
	port->ssl = ssl;
	(void)SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS); /* 17 kB less for an idle link */
	(void)SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION);
	return SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 ? 0 : -1;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		    size_t len)
{
	if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS)
		return set_up_tls(lws_vhost_user(in), user);
	if (reason != LWS_CALLBACK_RAW_RX && reason != LWS_CALLBACK_RAW_WRITEABLE &&
	    reason != LWS_CALLBACK_RAW_CLOSE)
		return 0;

	struct net_transport *t = lws_context_user(lws_get_context(wsi));
	void *conn = lws_get_opaque_user_data(wsi);

	if (conn == NULL || t->adopting)
		return 0;
	if (reason == LWS_CALLBACK_RAW_RX) {
		if (lws_is_ssl(wsi))
			lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
		t->events->bytes(conn, in, len);
	} else if (reason == LWS_CALLBACK_RAW_WRITEABLE) {
		t->events->writable(conn);
	} else {
		lws_set_opaque_user_data(wsi, NULL);
		t->events->closed(conn);
	}
	return 0;
}

static const struct lws_protocols protocols[] = {
	{ .name = "raw", .callback = on_event, .rx_buffer_size = READ_SIZE },
	{ .name = NULL },
};

static void on_log(int level, const char *line)
{
	if (library_log != NULL)
		library_log(level == LLL_ERR, line);
}

void net_transport_set_log(net_library_log_fn *fn)
{
	library_log = fn;
}

ev_err net_transport_new(struct net_loop *loop, const struct net_transport_events *events,
			 struct net_transport **out, struct ev_fail *fail)
{
	struct net_transport *t = calloc(1, sizeof(*t));
	void *loops[1] = { net_loop_ev(loop) };

	if (t == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "transport");
	t->events = events;
	lws_set_log_level(LLL_ERR | LLL_WARN, on_log);
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.protocols = protocols,
		.options = LWS_SERVER_OPTION_LIBEV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
			   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
			   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
		.foreign_loops = loops,
		.retry_and_idle_policy = &no_idle_policy,
		.pt_serv_buf_size = READ_SIZE,
		.max_http_header_pool = 1,
		.timeout_secs = 3600, /* ours are shorter */
		.gid = -1,
		.uid = -1,
		.user = t,
	};
	t->context = lws_create_context(&info);
	if (t->context == NULL) {
		free(t);
		return ev_fail_set(fail, EV_IO, 0,
				   "libwebsockets does not start; is its libev plugin installed?");
	}
	*out = t;
	return EV_OK;
}

static void port_free(struct net_port *port)
{
	free(port->cert);
	free(port->key);
	free(port->client_ca);
	free(port);
}

void net_transport_free(struct net_transport *t)
{
	if (t == NULL)
		return;
	lws_context_destroy(t->context);
	while (t->ports != NULL) {
		struct net_port *port = t->ports;

		t->ports = port->next;
		port_free(port);
	}
	free(t);
}

static char *copy(const char *z)
{
	return z != NULL ? strdup(z) : NULL;
}

static const char *tls_error(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text != NULL ? text : "unknown reason";
}

static ev_err load_pair(SSL_CTX *ssl, const struct net_port *port, struct ev_fail *fail)
{
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(ssl, port->cert) != 1)
		return ev_fail_set(fail, EV_INVALID, 0, "certificate %s: %s", port->cert,
				   tls_error());
	if (SSL_CTX_use_PrivateKey_file(ssl, port->key, SSL_FILETYPE_PEM) != 1)
		return ev_fail_set(fail, EV_INVALID, 0, "key %s: %s", port->key, tls_error());
	if (SSL_CTX_check_private_key(ssl) != 1)
		return ev_fail_set(fail, EV_INVALID, 0, "key %s does not belong to certificate %s",
				   port->key, port->cert);
	return EV_OK;
}

/* Tries certificate and key where it does no harm. */
static ev_err try_pair(const struct net_port *port, struct ev_fail *fail)
{
	SSL_CTX *scratch = SSL_CTX_new(TLS_server_method());

	if (scratch == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "TLS context");
	ev_err e = load_pair(scratch, port, fail);

	SSL_CTX_free(scratch);
	return e;
}

static ev_err make_vhost(struct net_transport *t, struct net_port *port, struct ev_fail *fail)
{
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.protocols = protocols,
		.retry_and_idle_policy = &no_idle_policy,
		.vhost_name = port->name,
		.user = port,
		.alpn = "http/1.1",
		.options = LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
	};

	if (port->cert != NULL) {
		ev_err e = try_pair(port, fail);

		if (e != EV_OK)
			return e;
		info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
		info.ssl_cert_filepath = port->cert;
		info.ssl_private_key_filepath = port->key;
	}
	if (port->client_ca != NULL) {
		info.options |= LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT;
		info.ssl_ca_filepath = port->client_ca;
		if (!port->client_cert_required)
			info.options |= LWS_SERVER_OPTION_PEER_CERT_NOT_REQUIRED;
	}
	port->vhost = lws_create_vhost(t->context, &info);
	if (port->vhost == NULL)
		return ev_fail_set(fail, EV_INVALID, 0, "TLS cannot be set up: %s", tls_error());
	return EV_OK;
}

ev_err net_port_new(struct net_transport *t, const struct net_tls_files *tls, struct net_port **out,
		    struct ev_fail *fail)
{
	struct net_port *port = calloc(1, sizeof(*port));

	if (port == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "port");
	port->transport = t;
	if (tls != NULL) {
		port->cert = copy(tls->cert);
		port->key = copy(tls->key);
		port->client_ca = copy(tls->client_ca);
		port->client_cert_required = tls->client_cert_required;
		if (port->cert == NULL || port->key == NULL) {
			port_free(port);
			return ev_fail_set(fail, EV_INVALID, 0,
					   "TLS needs a certificate and a key");
		}
	}
	struct ev_buf name = ev_buf_over(port->name, sizeof(port->name) - 1);

	ev_buf_z(&name, "port");
	ev_buf_u64(&name, t->n_ports++);
	ev_err e = make_vhost(t, port, fail);

	if (e != EV_OK) {
		port_free(port);
		return e;
	}
	port->next = t->ports;
	t->ports = port;
	*out = port;
	return EV_OK;
}

ev_err net_port_reload_tls(struct net_port *port, struct ev_fail *fail)
{
	if (port->ssl == NULL)
		return EV_OK;
	ev_err e = try_pair(port, fail);

	return e != EV_OK ? e : load_pair(port->ssl, port, fail);
}

ev_err net_link_new(struct net_port *port, int fd, void *conn, struct net_link **out)
{
	lws_adopt_desc_t desc = {
		.vh = port->vhost,
		.type = LWS_ADOPT_SOCKET | (port->ssl != NULL ? LWS_ADOPT_ALLOW_SSL : 0),
		.fd = { .sockfd = fd },
		.vh_prot_name = protocols[0].name,
		.opaque = conn,
	};

	port->transport->adopting = true;
	struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&desc);

	port->transport->adopting = false;
	if (wsi == NULL)
		return EV_FULL;
	*out = (struct net_link *)wsi;
	return EV_OK;
}

ev_err net_link_write(struct net_link *link, const char *p, size_t n)
{
	/* The library's prototype is not const, but a raw write only reads. */
	unsigned char *bytes = (unsigned char *)(uintptr_t)p;

	return lws_write(wsi_of(link), bytes, n, LWS_WRITE_RAW) == (int)n ? EV_OK : EV_CLOSED;
}

bool net_link_is_pending(struct net_link *link)
{
	return lws_partial_buffered(wsi_of(link)) != 0;
}

void net_link_pause(struct net_link *link, bool paused)
{
	/* Fails only if the link's place in the poll table is lost, which is a bug there. */
	(void)lws_rx_flow_control(wsi_of(link), paused ? 0 : 1);
}

void net_link_end(struct net_link *link)
{
	SSL *ssl = lws_get_ssl(wsi_of(link));

	if (ssl != NULL && SSL_is_init_finished(ssl)) {
		(void)SSL_shutdown(ssl); /* a courtesy: the peer may be gone */
		ERR_clear_error();
	}
	(void)shutdown(lws_get_socket_fd(wsi_of(link)), SHUT_WR); /* likewise */
}

void net_link_close(struct net_link *link)
{
	lws_set_opaque_user_data(wsi_of(link), NULL);
	lws_set_timeout(wsi_of(link), PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

bool net_link_is_ready(struct net_link *link)
{
	SSL *ssl = lws_get_ssl(wsi_of(link));

	return ssl == NULL || SSL_is_init_finished(ssl);
}

static ev_err copy_common_name(const X509 *x, char *out, size_t cap)
{
	const X509_NAME *subject = X509_get_subject_name(x);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	unsigned char *utf8 = NULL;
	int n = at < 0 ? -1
		       : ASN1_STRING_to_UTF8(
				 &utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	/* A NUL inside would make it look like another name. */
	bool fits = n > 0 && (size_t)n < cap && memchr(utf8, '\0', (size_t)n) == NULL;

	if (fits) {
		memcpy(out, utf8, (size_t)n);
		out[n] = '\0';
	}
	OPENSSL_free(utf8);
	return fits ? EV_OK : EV_NOTFOUND;
}

ev_err net_link_peer_name(struct net_link *link, char *out, size_t cap)
{
	SSL *ssl = lws_get_ssl(wsi_of(link));
	X509 *x = ssl != NULL ? SSL_get1_peer_certificate(ssl) : NULL;

	if (x == NULL)
		return EV_NOTFOUND;
	ev_err e = EV_NOTFOUND;

	if (SSL_get_verify_result(ssl) == X509_V_OK)
		e = copy_common_name(x, out, cap);
	X509_free(x);
	return e;
}
