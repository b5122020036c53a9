/*
 * cli/runtime.h — the server as one object: engine, services and their threads, listeners, gateway
 * and APIs, wired from a configuration.  `serve` runs one for good, `demo` one with devices of its
 * own on the same loop.
 *
 * All functions belong to the thread that made it, which is the one that runs the loop.
 */
#ifndef EV_CLI_RUNTIME_H
#define EV_CLI_RUNTIME_H

#include "base/log.h"
#include "cli/config.h"
#include "net/loop.h"

struct runtime;

struct runtime_options {
	const struct config *config; /* copied */
	struct ev_log *log;          /* borrowed */
	/* SIGHUP: the configuration anew into *fresh; NULL: what needs no file is reloaded. */
	ev_err (*reload)(void *user, struct config *fresh, struct ev_fail *fail);
	void *reload_user;
	/* SIGTERM and SIGINT do this instead of runtime_stop, if it is not NULL. */
	void (*on_stop_signal)(void *user);
	void *stop_user;
};

/*
 * Opens the data directory, starts the threads and listens.  EV_BUSY: another process holds the
 * directory; EV_CORRUPT, EV_UNSUPPORTED, EV_DENIED, EV_FULL, EV_IO: about the data; EV_EXISTS: an
 * address is in use; EV_INVALID: addresses or certificates.  *fail says it for people.
 */
EV_NODISCARD ev_err runtime_new(const struct runtime_options *o, struct runtime **out,
				struct ev_fail *fail);

/* Until runtime_stop, SIGTERM or SIGINT, and everything taken in is answered. */
void runtime_run(struct runtime *r);

/* Begins to drain: no new connections, what runs is finished, at most for drain-timeout. */
void runtime_stop(struct runtime *r);

void runtime_free(struct runtime *r);

struct net_loop *runtime_loop(struct runtime *r);

enum runtime_listener { RUNTIME_OUTLET, RUNTIME_APP, RUNTIME_GATEWAY, RUNTIME_LISTENERS };

/* `http://127.0.0.1:8081` or https, with the port that was bound. */
#define RUNTIME_URL_MAX 96
void runtime_url(const struct runtime *r, enum runtime_listener l, char out[RUNTIME_URL_MAX]);

#endif
