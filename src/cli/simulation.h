/*
 * cli/simulation.h — many simulated outlets (cli/sim_device.h) against a real server: set-up over
 * its HTTP APIs, real WebSockets, lost connections, and in the end an account of every mWh.
 *
 * One thread, an epoll of its own; nothing here touches the loop of a server in the same process.
 * simulation_new and simulation_verify wait for answers of the server: where it runs in the same
 * process, call all of this from another thread.  Between them comes simulation_step, on and on:
 *
 *	simulation_new(&s, &options, &fail);
 *	while (time is left)
 *		simulation_step(s, 50);
 *	simulation_wind_up(s);
 *	while (!simulation_is_over(s))
 *		simulation_step(s, 50);
 *	simulation_verify(s, &fail);
 *	simulation_free(s);
 */
#ifndef EV_CLI_SIMULATION_H
#define EV_CLI_SIMULATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "cli/sim_device.h"

#define SIMULATION_OUTLETS_MAX 20000
#define SIMULATION_SPEED_MAX 1000

struct simulation;

struct simulation_options {
	/* http://host:port of each listener, as runtime_url gives them; the gateway without TLS. */
	const char *outlet_url, *app_url, *gateway_url;
	const char *token;      /* for the APIs and the gateway; NULL or empty: none */
	const char *ca;         /* PEM file to trust for https; NULL: the system's */
	struct ev_clock *clock; /* borrowed */
	size_t n_outlets;       /* 1 to SIMULATION_OUTLETS_MAX */
	size_t n_customers; /* 1 or more; an outlet has one customer who comes again and again */
	unsigned speed;     /* 1 to SIMULATION_SPEED_MAX: virtual seconds in one real */
	uint64_t seed;      /* of what devices and visitors do */
	bool reuse;         /* take idle outlets of earlier runs before making new ones */
	unsigned connection_min; /* virtual minutes that a connection lives; 0: for ever */
	struct sim_habits habits;
};
/* All but the URLs and the clock: 10 outlets, 10 customers, speed 1, connections of 30 minutes. */
struct simulation_options simulation_options_usual(void);

/* Makes customers and outlets, and connects in the background.  EV_INVALID, EV_CLOSED (nobody
 * there), EV_DENIED (token), EV_FULL (descriptors), EV_NOMEM, EV_IO.  Blocks. */
EV_NODISCARD ev_err simulation_new(struct simulation **out, const struct simulation_options *o,
				   struct ev_fail *fail);
void simulation_free(struct simulation *s);
void simulation_freep(struct simulation **s);

/* Handles what has happened, waiting at most max_wait_ms (which is cut to 10) if nothing has. */
void simulation_step(struct simulation *s, int max_wait_ms);

/* No new visitors; those who are here unplug. */
void simulation_wind_up(struct simulation *s);

/* Wound up, and every message acknowledged. */
bool simulation_is_over(const struct simulation *s);

/*
 * Reads every outlet's total and the books.  EV_OK only if each total grew by exactly what the
 * outlet got acknowledged, nothing was rejected, and the books balance; else EV_CORRUPT with the
 * first difference in *fail, or EV_BUSY if messages are not acknowledged.  Blocks.
 */
EV_NODISCARD ev_err simulation_verify(struct simulation *s, struct ev_fail *fail);

/* The i-th outlet's model, i below n_outlets; valid until simulation_free. */
const struct sim_device *simulation_device(const struct simulation *s, size_t i);

struct simulation_summary {
	size_t outlets, connected, charging, occupied;
	uint64_t connects, lost; /* lost: by accident or by the server, not by us */
	uint64_t sessions, denied, messages, answers, resent, rejected, commands;
	uint64_t app_calls, app_failures;
	uint64_t protocol_faults; /* frames from the server that nobody understands */
	int64_t acknowledged_mwh, measured_mwh;
	int64_t server_mwh; /* how much the totals grew; since simulation_verify */
	int64_t virtual_ns, real_ns;
	size_t differing; /* outlets, since simulation_verify */
	bool balanced;
};
void simulation_summary(const struct simulation *s, struct simulation_summary *out);

#endif
