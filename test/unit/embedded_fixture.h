/*
 * embedded_fixture.h — the embedded engine in a directory of its own, with a clock that the test
 * moves, and rows whose books balance.
 */
#ifndef EV_TEST_EMBEDDED_FIXTURE_H
#define EV_TEST_EMBEDDED_FIXTURE_H

#include "base/clock.h"
#include "engine/embedded/embedded.h"

struct emb {
	char dir[64];
	struct ev_clock_manual clock;
	struct embedded_options o;
	struct embedded *e; /* NULL while closed */
	struct store *s;
	struct query *q;
};

/* A new directory; the engine is not open yet. */
void emb_init(struct emb *f);
void emb_deinit(struct emb *f);
/* Opens the engine; asserts that it works. */
void emb_open(struct emb *f);
void emb_close(struct emb *f);
/* cmocka setup and teardown with an open engine. */
int emb_setup(void **state);
int emb_teardown(void **state);

/* DIR/name, valid until the next call but three. */
const char *emb_path(const struct emb *f, const char *name);
void emb_remove_dir(const char *dir);

struct ev_uuid emb_id(char kind, unsigned n);
struct identity emb_identity(unsigned n);

/* In an open group: outlet n charging with session n, both without energy. */
void emb_add(struct emb *f, unsigned n);
/* In an open group: a report of mwh by outlet n, with an event; what commit says. */
ev_err emb_report(struct emb *f, unsigned n, int64_t mwh);
/* The same in a group of its own; what the group says. */
ev_err emb_report_alone(struct emb *f, unsigned n, int64_t mwh);
/* Groups of their own: outlets 0 to n - 1. */
void emb_add_some(struct emb *f, unsigned n);

/* What the store gives for outlet n and its session. */
int64_t emb_total(struct emb *f, unsigned n);
int64_t emb_session_sum(struct emb *f, unsigned n);
struct energy_books emb_books(struct emb *f);
void emb_assert_balanced(struct emb *f);

/* Every member in use, nothing absent. */
struct outlet emb_full_outlet(void);
struct session emb_full_session(void);
struct charging_event emb_full_event(void);

#endif
