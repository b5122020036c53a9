/* Two stores on one cloud: what one of them believes of rows that the other has written. */
#include "cloud_fixture.h"

#include <string.h>

#include "engine/aws/ddb_own.h"
#include "engine/aws/sender_direct.h"
#include "engine/aws/store.h"

struct side {
	struct cloud_caller *caller;
	struct aws_sender *sender;
	struct aws_store *store;
	struct store *s;
};

struct both {
	struct ev_clock_manual clock;
	struct aws_resources names;
	struct cloud *cloud;
	struct side a, b;
	enum cloud_fault row_fault; /* of the next write of an outlet's row */
	bool no_items;              /* nothing can be put into the items table */
	bool no_events;             /* … or on the stream */
};

static enum cloud_fault fault(void *user, const struct cloud_attempt *at)
{
	struct both *x = user;
	enum cloud_fault f = x->row_fault;

	if (x->no_items && strcmp(at->operation, "PutItem") == 0)
		return CLOUD_SERVER_ERROR;
	if (x->no_events && strcmp(at->operation, "PutRecords") == 0)
		return CLOUD_SERVER_ERROR;
	if (strcmp(at->operation, "UpdateItem") != 0 ||
	    memmem(at->body.p, at->body.n, x->names.outlets, strlen(x->names.outlets)) == NULL)
		return CLOUD_FINE;
	x->row_fault = CLOUD_FINE;
	return f;
}

static void open_side(struct both *x, struct side *d, const char *name)
{
	struct aws_store_config c = aws_store_defaults();

	d->caller = cloud_caller_new(x->cloud, name);
	assert_int_equal(aws_sender_direct_new(cloud_caller(d->caller), &x->clock.base, &x->names,
					       EV_NS_PER_S, &d->sender),
			 EV_OK);
	c.caller = cloud_caller(d->caller);
	c.sender = d->sender;
	c.resources = &x->names;
	c.clock = &x->clock.base;
	assert_int_equal(aws_store_new(&c, &d->store), EV_OK);
	d->s = aws_store_store(d->store);
}

static int setup(void **state)
{
	struct both *x = calloc(1, sizeof(*x));
	struct cloud_config config = { .seed = 1, .max_attempts = 1, .fault = fault, .user = x };

	assert_non_null(x);
	ev_clock_manual_init(&x->clock, KIT_START);
	config.clock = &x->clock;
	assert_int_equal(aws_resources_init(&x->names, EV_LIT(AWS_PREFIX_DEFAULT)), EV_OK);
	x->cloud = cloud_new(&config);
	cloud_provision(x->cloud, &x->names);
	cloud_set_faults(x->cloud, true);
	open_side(x, &x->a, "a");
	open_side(x, &x->b, "b");
	*state = x;
	return 0;
}

static void close_side(struct side *d)
{
	aws_store_free(d->store);
	d->sender->ops->free(d->sender);
	cloud_caller_free(d->caller);
}

static int teardown(void **state)
{
	struct both *x = *state;

	close_side(&x->a);
	close_side(&x->b);
	cloud_free(x->cloud);
	free(x);
	return 0;
}

static const struct ev_uuid outlet_id = { .b = { 7 } };

static struct outlet load(struct side *d)
{
	struct outlet o;

	assert_int_equal(d->s->ops->load_outlet(d->s, &outlet_id, &o), EV_OK);
	return o;
}

static ev_err commit(struct side *d, const struct unit *u)
{
	ev_err result;

	return d->s->ops->commit(d->s, u, 1, &result);
}

/* A new version of the row with these puts; of a row that is not there, the first one. */
static ev_err write(struct side *d, const struct outlet *was, bool out,
		    const struct keyed_put *puts, size_t n)
{
	struct outlet next = *was;
	struct unit u = { .kind = UNIT_OUTLET,
			  .expected = was->version,
			  .outlet = &next,
			  .puts = puts,
			  .n_puts = n };

	next.version++;
	next.out_of_service = out;
	return commit(d, &u);
}

static void create(struct both *x)
{
	struct outlet o = outlet_new(&outlet_id, 22000000, KIT_START);
	struct unit u = { .kind = UNIT_OUTLET, .outlet = &o };

	assert_int_equal(x->a.s->ops->begin(x->a.s), EV_OK);
	assert_int_equal(commit(&x->a, &u), EV_OK);
	assert_int_equal(x->a.s->ops->end(x->a.s), EV_OK);
}

static void write_by(struct side *d, bool out)
{
	struct outlet o;

	assert_int_equal(d->s->ops->begin(d->s), EV_OK);
	o = load(d);
	assert_int_equal(write(d, &o, out, NULL, 0), EV_OK);
	assert_int_equal(d->s->ops->end(d->s), EV_OK);
}

/* b has the row in its cache, a takes the outlet out of service: what b answers must say so. */
static void an_answer_without_a_write_is_not_made_of_an_old_row(void **state)
{
	struct both *x = *state;

	create(x);
	assert_int_equal(x->b.s->ops->begin(x->b.s), EV_OK);
	(void)load(&x->b);
	assert_int_equal(x->b.s->ops->end(x->b.s), EV_OK);
	write_by(&x->a, true);
	assert_int_equal(x->b.s->ops->begin(x->b.s), EV_OK);
	assert_false(load(&x->b).out_of_service);
	assert_int_equal(x->b.s->ops->end(x->b.s), EV_CONFLICT);
	assert_int_equal(x->b.s->ops->begin(x->b.s), EV_OK);
	assert_true(load(&x->b).out_of_service);
	assert_int_equal(x->b.s->ops->end(x->b.s), EV_OK);
}

/* What is as it was costs one read, what was read in the group none. */
static void an_answer_costs_a_read_if_its_row_is_from_the_cache(void **state)
{
	struct both *x = *state;
	uint64_t reads;

	create(x);
	for (unsigned i = 0; i < 2; i++) {
		reads = cloud_n_calls(x->cloud, AWS_DYNAMODB, "GetItem");
		assert_int_equal(x->b.s->ops->begin(x->b.s), EV_OK);
		(void)load(&x->b);
		assert_int_equal(x->b.s->ops->end(x->b.s), EV_OK);
		assert_int_equal(cloud_n_calls(x->cloud, AWS_DYNAMODB, "GetItem"), reads + 1);
	}
	reads = cloud_n_calls(x->cloud, AWS_DYNAMODB, "GetItem");
	write_by(&x->b, true);
	assert_int_equal(cloud_n_calls(x->cloud, AWS_DYNAMODB, "GetItem"), reads);
}

static struct keyed_put block_of(unsigned first)
{
	struct keyed_put p = { .kind = PUT_IDENTITY_BLOCK };

	p.block.outlet_id = outlet_id;
	p.block.at_ns = KIT_START;
	for (unsigned i = 0; i < OUTLET_IDS_MAX; i++)
		p.block.ids[i].b[0] = (uint8_t)(first + i);
	return p;
}

static bool is_seen(struct side *d, unsigned n)
{
	struct identity id = { .b = { (uint8_t)n } };
	bool seen = false;

	assert_int_equal(d->s->ops->seen(d->s, &outlet_id, &id, &seen), EV_OK);
	return seen;
}

/* Inputs of the group itself rotate out of the row, and then the row cannot be written. */
static void identities_of_a_row_that_was_not_written_are_not_seen(void **state)
{
	struct both *x = *state;
	struct keyed_put block = block_of(1);
	struct outlet o;

	create(x);
	assert_int_equal(x->a.s->ops->begin(x->a.s), EV_OK);
	o = load(&x->a);
	assert_int_equal(write(&x->a, &o, false, &block, 1), EV_OK);
	x->row_fault = CLOUD_SERVER_ERROR;
	assert_int_not_equal(x->a.s->ops->end(x->a.s), EV_OK);
	assert_false(is_seen(&x->a, 1));
	assert_false(is_seen(&x->b, 1));

	assert_int_equal(x->a.s->ops->begin(x->a.s), EV_OK);
	o = load(&x->a);
	assert_int_equal(write(&x->a, &o, false, &block, 1), EV_OK);
	assert_int_equal(x->a.s->ops->end(x->a.s), EV_OK);
	assert_true(is_seen(&x->a, 1));
}

/* … and the row is written, but its process dies before the block is. */
static void identities_that_a_row_carries_are_seen(void **state)
{
	struct both *x = *state;
	struct keyed_put block = block_of(1);
	struct outlet o;
	size_t left = 1;

	create(x);
	assert_int_equal(x->a.s->ops->begin(x->a.s), EV_OK);
	o = load(&x->a);
	assert_int_equal(write(&x->a, &o, false, &block, 1), EV_OK);
	x->row_fault = CLOUD_DIES_AFTER;
	assert_int_equal(x->a.s->ops->end(x->a.s), EV_CLOSED);
	assert_true(is_seen(&x->b, 1));
	assert_int_equal(aws_store_adopt(x->b.store, &outlet_id, INT64_MAX), EV_OK);
	assert_int_equal(aws_store_flush(x->b.store, INT64_MAX, &left), EV_OK);
	assert_int_equal(left, 0);
	assert_true(is_seen(&x->b, 1));
}

/* Decided as nobody's, but the row has moved on: there is no such energy. */
static void energy_of_a_row_that_was_not_written_is_no_item(void **state)
{
	struct both *x = *state;
	struct keyed_put put = { .kind = PUT_UNASSIGNED };
	struct unassigned_item found;
	struct outlet o;

	put.unassigned.id.b[0] = 9;
	put.unassigned.outlet_id = outlet_id;
	put.unassigned.mwh = 1000;
	create(x);
	assert_int_equal(x->b.s->ops->begin(x->b.s), EV_OK);
	o = load(&x->b);
	assert_int_equal(x->b.s->ops->end(x->b.s), EV_OK);
	write_by(&x->a, true);
	assert_int_equal(x->b.s->ops->begin(x->b.s), EV_OK);
	assert_int_equal(write(&x->b, &o, false, &put, 1), EV_OK);
	assert_int_equal(x->b.s->ops->end(x->b.s), EV_CONFLICT);
	assert_int_equal(x->a.s->ops->load_unassigned(x->a.s, &put.unassigned.id, &found),
			 EV_NOTFOUND);
}

/* The row keeps it for as long as it takes, whatever else is written meanwhile. */
static void an_item_that_cannot_be_put_is_put_later(void **state)
{
	struct both *x = *state;
	struct keyed_put put = { .kind = PUT_UNASSIGNED };
	struct unassigned_item found;
	struct outlet o;
	size_t left = 1;

	put.unassigned.id.b[0] = 9;
	put.unassigned.outlet_id = outlet_id;
	put.unassigned.mwh = 1000;
	create(x);
	x->no_items = true;
	assert_int_equal(x->a.s->ops->begin(x->a.s), EV_OK);
	o = load(&x->a);
	assert_int_equal(write(&x->a, &o, false, &put, 1), EV_OK);
	assert_int_equal(x->a.s->ops->end(x->a.s), EV_OK);
	write_by(&x->a, true);
	x->no_items = false;
	assert_int_equal(aws_store_flush(x->a.store, INT64_MAX, &left), EV_OK);
	assert_int_equal(left, 0);
	assert_int_equal(x->b.s->ops->load_unassigned(x->b.s, &put.unassigned.id, &found), EV_OK);
	assert_int_equal(found.mwh, 1000);
}

static ev_err put_event(struct side *d, int64_t mwh)
{
	struct outlet o = load(d);
	struct charging_event e = { .initiator = INITIATOR_OUTLET_BACKEND,
				    .outlet_id = outlet_id,
				    .state = OUTLET_DEVICE_REQUESTS_CHARGING,
				    .energy_mwh = mwh };
	struct unit u = { .kind = UNIT_OUTLET,
			  .expected = o.version,
			  .outlet = &o,
			  .events = &e,
			  .n_events = 1 };

	o.version++;
	return commit(d, &u);
}

/* b has read effects that a sends and clears, which gives the row no new version. */
static void a_row_whose_effects_were_cleared_stays_whole(void **state)
{
	struct both *x = *state;
	struct outlet o;
	size_t left = 1;

	create(x);
	x->no_events = true;
	assert_int_equal(x->a.s->ops->begin(x->a.s), EV_OK);
	assert_int_equal(put_event(&x->a, 1), EV_OK);
	assert_int_equal(x->a.s->ops->end(x->a.s), EV_OK);
	x->no_events = false;
	assert_int_equal(x->b.s->ops->load_outlet(x->b.s, &outlet_id, &o), EV_OK);
	assert_int_equal(aws_store_flush(x->a.store, INT64_MAX, &left), EV_OK);
	assert_int_equal(left, 0);
	x->no_events = true;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(x->b.s->ops->begin(x->b.s), EV_OK);
		assert_int_equal(put_event(&x->b, 2), EV_OK);
		assert_int_equal(x->b.s->ops->end(x->b.s), i == 0 ? EV_CONFLICT : EV_OK);
	}
	/* Read anew, as another process would. */
	assert_int_equal(aws_store_adopt(x->a.store, &outlet_id, INT64_MIN), EV_OK);
}

/* Backends in processes of their own: each role's have their turn. */
static void each_table_is_swept_by_somebody(void **state)
{
	struct both *x = *state;
	struct aws_sweep w = { .caller = cloud_caller(x->a.caller), .resources = &x->names };
	struct ev_str outlet = EV_LIT("outlet"), app = EV_LIT("app");
	int64_t now_ns = KIT_START;

	for (unsigned i = 0; i < 3; i++, now_ns += EV_NS_PER_MIN) {
		assert_int_equal(aws_sweep_claim(&w, false, outlet, now_ns, EV_NS_PER_MIN), EV_OK);
		assert_int_equal(aws_sweep_claim(&w, true, app, now_ns, EV_NS_PER_MIN), EV_OK);
		assert_int_equal(aws_sweep_claim(&w, true, outlet, now_ns, EV_NS_PER_MIN), EV_BUSY);
	}
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_answer_without_a_write_is_not_made_of_an_old_row),
		CASE(an_answer_costs_a_read_if_its_row_is_from_the_cache),
		CASE(identities_of_a_row_that_was_not_written_are_not_seen),
		CASE(identities_that_a_row_carries_are_seen),
		CASE(energy_of_a_row_that_was_not_written_is_no_item),
		CASE(an_item_that_cannot_be_put_is_put_later),
		CASE(a_row_whose_effects_were_cleared_stays_whole),
		CASE(each_table_is_swept_by_somebody),
	};

	return cmocka_run_group_tests_name("aws_store_shared", tests, NULL, NULL);
}
