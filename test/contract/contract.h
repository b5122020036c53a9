/*
 * test/contract/contract.h — what port/store.h and port/query.h promise, checked on every engine.
 *
 * A factory opens one kind of engine; contract_run plays every case on it, each on a new one.
 */
#ifndef EV_TEST_CONTRACT_CONTRACT_H
#define EV_TEST_CONTRACT_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contract/gen.h"
#include "contract/text.h"
#include "port/query.h"
#include "port/store.h"

struct contract_env {
	int64_t (*now_ns)(void *user);
	void *clock_user;
	struct outlet_rules rules;
};

struct contract_listener {
	void (*on_event)(void *user, const struct stored_event *e);
	void (*on_command)(void *user, const struct device_command *c);
	void *user;
};

/* What an engine does not promise. */
#define CONTRACT_UNORDERED 1U /* outlets and customers come in an order of its own */
#define CONTRACT_NO_EVENTS 2U /* events cannot be listed or counted afterwards */
/*
 * Effects are told row by row, in order within each; a command that was not told yet is replaced by
 * a newer one.
 */
#define CONTRACT_EFFECTS_BY_ROW 4U

/* All of them end the test when something fails. */
struct contract_factory {
	const char *name;
	unsigned flags;
	void *(*open)(const struct contract_env *env); /* an empty engine */
	void (*reopen)(void *engine);                  /* closed and opened again */
	void (*close)(void *engine);                   /* and all traces removed */
	struct store *(*store)(void *engine);
	struct query *(*query)(void *engine); /* the same one until reopen */
	void (*listen)(void *engine, const struct contract_listener *l);
};
extern const struct contract_factory contract_memory;
extern const struct contract_factory contract_embedded;
extern const struct contract_factory contract_aws;

/* What a case works with. */
struct contract {
	const struct contract_factory *factory;
	void *engine;
	struct store *s;
	struct query *q;
	struct outlet_rules rules;
	int64_t clock_ns;
	struct gen gen;
};

struct contract_case {
	const char *name;
	void (*run)(struct contract *c);
};
struct contract_cases {
	const struct contract_case *p;
	size_t n;
};
extern const struct contract_cases contract_unit_cases;
extern const struct contract_cases contract_put_cases;
extern const struct contract_cases contract_load_cases;
extern const struct contract_cases contract_query_cases;

/* The number of cases that failed, as main returns it. */
int contract_run(const struct contract_factory *f);

/* One engine for a test of its own. */
void contract_open(struct contract *c, const struct contract_factory *f);
void contract_reopen(struct contract *c);
void contract_close(struct contract *c);

/* These expect EV_OK. */
void contract_begin(struct contract *c);
void contract_end(struct contract *c);
/* The result of one unit in the open group; that of the call must be the same. */
ev_err contract_commit(struct contract *c, const struct unit *u);
/* A group of its own with one unit that must succeed. */
void contract_save(struct contract *c, const struct unit *u);
void contract_save_put(struct contract *c, const struct keyed_put *p);

/* New rows, stored: everything in them is set. */
struct outlet contract_new_outlet(struct contract *c, uint64_t n);
struct session contract_new_session(struct contract *c, uint64_t n);
struct customer contract_new_customer(struct contract *c, uint64_t n);

static inline bool contract_is(const struct contract *c, unsigned flag)
{
	return (c->factory->flags & flag) != 0;
}

/* What is there now, the number of rows of each kind: for "nothing changed". */
struct energy_books contract_books(struct contract *c);

#endif
