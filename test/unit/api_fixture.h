/*
 * api_fixture.h — the API on a real host and the memory engine, a recorder in place of sockets.
 *
 * The memory engine is for one thread at a time: a test has either jobs or queries on their way.
 */
#ifndef EV_TEST_API_FIXTURE_H
#define EV_TEST_API_FIXTURE_H

#include <pthread.h>

#include "engine/memory/memory.h"
#include "net/api.h"

#define FIXTURE_BODY 400000
#define FIXTURE_HEADERS 4096
#define FIXTURE_VERSION "1.2.3-test"

struct api_fixture {
	struct api_sink sink; /* first */
	struct ev_clock_manual clock;
	struct ev_rng_seeded pump_rng, api_rng;
	struct ev_metrics metrics;
	struct memory_engine *memory;
	struct query *query;
	struct pump pump;
	struct host *host;
	pthread_mutex_t lock;
	pthread_cond_t woken;
	bool wake;
	struct api *api;
	struct api_config config;
	unsigned n_ids;
	ev_err fault; /* of every commit, if not EV_OK */

	/* Of the next requests. */
	struct net_header headers[8];
	size_t n_headers;
	struct net_handle handle; /* of the last request */

	/* The last answer. */
	unsigned n_answers;
	int status;
	char answer_headers[FIXTURE_HEADERS]; /* "name: value\n" each */
	char body[FIXTURE_BODY];              /* NUL-terminated */
	ev_err reply_result;                  /* what the sink says to a reply */

	/* Streams: all write here. */
	unsigned n_begun, n_ended;
	char stream[FIXTURE_BODY];
	size_t stream_n;
	ev_err stream_result;

	struct ev_uuid outlet_id, customer_id, session_id;
	char outlet[EV_UUID_TEXT + 1], customer[EV_UUID_TEXT + 1]; /* as text */
};

/* cmocka setup and teardown: an outlet of 22 kW and the customer of tag "anna" are registered. */
int api_fixture_setup(void **state);
int api_fixture_teardown(void **state);

/* Asks and waits for the answer; returns its status.  body NULL: none. */
int ask(struct api_fixture *f, enum api_role role, const char *method, const char *target,
	const char *body);
/* The same with a path of printf's form. */
int askf(struct api_fixture *f, enum api_role role, const char *method, const char *body,
	 const char *form, ...) EV_PRINTF(5, 6);
/* Hands over without waiting. */
void ask_only(struct api_fixture *f, enum api_role role, const char *method, const char *target,
	      const char *body);
/* Lets the host work until nothing is on its way. */
void settle(struct api_fixture *f);
/* Waits for the host to bring something, and takes it. */
void reap_once(struct api_fixture *f);

/* A header of the next requests, until header_clear. */
void header_set(struct api_fixture *f, const char *name, const char *value);
void header_clear(struct api_fixture *f);

/* Whether the last answer's body, headers hold the text. */
bool body_has(const struct api_fixture *f, const char *text);
bool has_header(const struct api_fixture *f, const char *line);
/* The text of a member of the last answer, "" if there is none; valid until the next call. */
const char *body_member(const struct api_fixture *f, const char *key);

/* A message of the outlet, decided. */
enum verdict device_sends(struct api_fixture *f, enum outlet_state change, const char *tag,
			  int64_t mwh);
/* Bytes that are no message: a dead letter, whose id it writes. */
void device_sends_garbage(struct api_fixture *f, const char *bytes, char out_id[33]);

/* One number from /metrics; asserts that the line is there. */
double metric(struct api_fixture *f, const char *name_and_labels);

#endif
