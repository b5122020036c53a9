#include "contract/contract.h"

#include <stdlib.h>

static int64_t contract_now(void *user)
{
	const struct contract *c = user;

	return c->clock_ns;
}

void contract_open(struct contract *c, const struct contract_factory *f)
{
	*c = (struct contract){ .factory = f, .gen = { .state = 1, .full = true } };
	c->clock_ns = INT64_C(1717250000123456789);
	c->rules = outlet_rules_default();
	c->engine = f->open(&(struct contract_env){ contract_now, c, c->rules });
	c->s = f->store(c->engine);
	c->q = f->query(c->engine);
}

void contract_reopen(struct contract *c)
{
	c->factory->reopen(c->engine);
	c->s = c->factory->store(c->engine);
	c->q = c->factory->query(c->engine);
}

void contract_close(struct contract *c)
{
	c->factory->close(c->engine);
}

void contract_begin(struct contract *c)
{
	assert_int_equal(c->s->ops->begin(c->s), EV_OK);
}

void contract_end(struct contract *c)
{
	assert_int_equal(c->s->ops->end(c->s), EV_OK);
}

ev_err contract_commit(struct contract *c, const struct unit *u)
{
	ev_err result = EV_ERR_COUNT;
	ev_err e = c->s->ops->commit(c->s, u, 1, &result);

	assert_int_equal(e, result);
	return e;
}

void contract_save(struct contract *c, const struct unit *u)
{
	contract_begin(c);
	assert_int_equal(contract_commit(c, u), EV_OK);
	contract_end(c);
}

void contract_save_put(struct contract *c, const struct keyed_put *p)
{
	contract_save(c, &(struct unit){ .kind = UNIT_NONE, .puts = p, .n_puts = 1 });
}

struct outlet contract_new_outlet(struct contract *c, uint64_t n)
{
	struct ev_uuid id = id_of('o', n);
	struct outlet o = gen_outlet(&c->gen, &id, 1000 + n);
	struct outlet_info info = gen_info(&c->gen);

	o.retired = false;
	contract_save(c, &(struct unit){ .kind = UNIT_OUTLET, .outlet = &o, .info = &info });
	return o;
}

struct session contract_new_session(struct contract *c, uint64_t n)
{
	struct ev_uuid id = id_of('s', n);
	struct session s = gen_session(&c->gen, &id, 1000 + n);

	contract_save(c, &(struct unit){ .kind = UNIT_SESSION, .session = &s });
	return s;
}

struct customer contract_new_customer(struct contract *c, uint64_t n)
{
	struct ev_uuid id = id_of('c', n);
	struct customer customer = gen_customer(&c->gen, &id, 1000 + n);

	contract_save(c, &(struct unit){ .kind = UNIT_CUSTOMER, .customer = &customer });
	return customer;
}

struct energy_books contract_books(struct contract *c)
{
	struct energy_books b;

	assert_int_equal(c->q->ops->books(c->q, &b), EV_OK);
	return b;
}

/* What cmocka carries from setup to teardown. */
struct play {
	const struct contract_factory *factory;
	const struct contract_case *the_case;
	struct contract contract;
};

static int set_up(void **state)
{
	struct play *p = *state;

	contract_open(&p->contract, p->factory);
	return 0;
}

static void play(void **state)
{
	struct play *p = *state;

	p->the_case->run(&p->contract);
}

static int tear_down(void **state)
{
	struct play *p = *state;

	contract_close(&p->contract);
	return 0;
}

int contract_run(const struct contract_factory *f)
{
	const struct contract_cases *const all[] = { &contract_unit_cases, &contract_put_cases,
						     &contract_load_cases, &contract_query_cases };
	struct CMUnitTest tests[128];
	struct play plays[128];
	size_t n = 0;

	for (size_t i = 0; i < EV_ARRAY_LEN(all); i++) {
		for (size_t j = 0; j < all[i]->n; j++, n++) {
			assert_true(n < EV_ARRAY_LEN(plays));
			plays[n] = (struct play){ .factory = f, .the_case = &all[i]->p[j] };
			tests[n] = (struct CMUnitTest){ all[i]->p[j].name, play, set_up, tear_down,
							&plays[n] };
		}
	}
	return _cmocka_run_group_tests(f->name, tests, n, NULL, NULL);
}
