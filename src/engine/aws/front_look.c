/* engine/aws/front_look.c — delivery items: connections taken over, commands read, acks kept. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/ddb_outlet.h"
#include "engine/aws/front_internal.h"

#define REQUEST_ROOM 8192
#define ROUNDS_MAX 8            /* of conflicts with others */
#define ACK_ROUNDS_MAX 40       /* acks of one outlet conflict with each other as well */
#define QUERY_LIMIT 64          /* the newest commands are looked at */
#define FUTURE_NS EV_NS_PER_MIN /* versions are times in ms, or little above */

static bool is_above(uint64_t v1, unsigned i1, uint64_t v2, unsigned i2)
{
	return v1 > v2 || (v1 == v2 && i1 > i2);
}

static const struct aws_resources *resources(const struct front_side *s)
{
	return s->f->config.resources;
}

static bool is_ours(const struct aws_front *f, const struct own_delivery *d)
{
	return strcmp(d->gateway, f->id) == 0;
}

/* --- delivery items --- */

static void add_get_delivery(struct front_side *s, const struct ev_uuid *outlet_id)
{
	struct own_key key = own_delivery_key(outlet_id);

	ddb_add_get_own(&s->batch, resources(s)->items, &key);
}

/* *d: as it is stored, or empty.  Errors but EV_NOTFOUND are noted. */
static ev_err get_delivery(struct front_side *s, size_t i, const struct ev_uuid *outlet_id,
			   bool *out_exists, struct own_delivery *d)
{
	struct ev_str item;
	ev_err e = ddb_get_item(&s->batch, i, &item);

	*out_exists = e == EV_OK;
	if (e == EV_NOTFOUND) {
		*d = (struct own_delivery){ .delivery.outlet_id = *outlet_id };
		return EV_OK;
	}
	if (e == EV_OK)
		e = own_delivery_read(item, d);
	if (e != EV_OK)
		front_note_table(s);
	return e;
}

static void add_update(struct front_side *s, const struct own_delivery *was, bool exists,
		       const struct own_delivery *now)
{
	struct own_key key = own_delivery_key(&now->delivery.outlet_id);
	struct json_writer w = ddb_batch_open(&s->batch, "UpdateItem", resources(s)->items, key.pk,
					      REQUEST_ROOM);

	own_delivery_update(exists ? was : NULL, now, &w);
	ddb_batch_shut(&s->batch, &w);
}

/* --- 1: who has the connection --- */

static void read_deliveries(struct front_side *s, struct look *looks, size_t n)
{
	struct look *of[FRONT_LOOKS_MAX];
	size_t k = 0;

	ddb_batch_init(&s->batch, &s->io);
	for (size_t i = 0; i < n; i++) {
		if (looks[i].is_known || looks[i].err != EV_OK)
			continue;
		add_get_delivery(s, &looks[i].outlet_id);
		of[k++] = &looks[i];
	}
	ddb_batch_run(&s->batch);
	for (size_t i = 0; i < k; i++) {
		struct look *l = of[i];

		l->err = get_delivery(s, i, &l->outlet_id, &l->exists, &l->delivery);
		l->is_known = l->err == EV_OK;
		l->is_ours = l->is_known && !l->take_over && is_ours(s->f, &l->delivery);
	}
	ddb_batch_deinit(&s->batch);
}

static void add_get_row(struct front_side *s, const struct ev_uuid *outlet_id)
{
	struct json_writer w = ddb_batch_open(&s->batch, "GetItem", resources(s)->outlets, "outlet",
					      REQUEST_ROOM);

	json_write_key(&w, "Key");
	ddb_outlet_key(outlet_id, &w);
	json_write_key(&w, "ConsistentRead");
	json_write_bool(&w, true);
	ddb_batch_shut(&s->batch, &w);
}

static ev_err get_row(struct front_side *s, size_t i, struct ddb_outlet *out)
{
	struct ev_str item;
	ev_err e = ddb_get_item(&s->batch, i, &item);

	if (e == EV_OK)
		e = ddb_outlet_read(item, out);
	if (e != EV_OK && e != EV_NOTFOUND)
		front_note_table(s);
	return e;
}

/* Nothing is kept about outlets that do not exist. */
static void check_unknown(struct front_side *s, struct look *looks, size_t n)
{
	struct look *of[FRONT_LOOKS_MAX];
	struct ddb_outlet row;
	size_t k = 0;

	ddb_batch_init(&s->batch, &s->io);
	for (size_t i = 0; i < n; i++) {
		if (!looks[i].take_over || looks[i].err != EV_OK || looks[i].exists)
			continue;
		add_get_row(s, &looks[i].outlet_id);
		of[k++] = &looks[i];
	}
	ddb_batch_run(&s->batch);
	for (size_t i = 0; i < k; i++)
		of[i]->err = get_row(s, i, &row);
	ddb_batch_deinit(&s->batch);
}

/* --- 2: taking it over --- */

static struct own_delivery taken_over(const struct aws_front *f, const struct own_delivery *was)
{
	struct own_delivery d = *was;

	memcpy(d.gateway, f->id, sizeof(d.gateway));
	d.generation++;
	return d;
}

static bool wants_taking(const struct look *l)
{
	return l->take_over && !l->is_ours && l->err == EV_OK && l->is_known;
}

/* How many are still to be taken over, after somebody else came first. */
static size_t take_over_round(struct front_side *s, struct look *looks, size_t n)
{
	struct look *of[FRONT_LOOKS_MAX];
	size_t k = 0, again = 0;

	ddb_batch_init(&s->batch, &s->io);
	for (size_t i = 0; i < n; i++) {
		struct own_delivery now;

		if (!wants_taking(&looks[i]))
			continue;
		now = taken_over(s->f, &looks[i].delivery);
		add_update(s, &looks[i].delivery, looks[i].exists, &now);
		of[k++] = &looks[i];
	}
	ddb_batch_run(&s->batch);
	for (size_t i = 0; i < k; i++) {
		struct look *l = of[i];
		ev_err e = ddb_batch_result(&s->batch, i);

		if (e == EV_OK) {
			l->delivery = taken_over(s->f, &l->delivery);
			l->is_ours = true;
			l->err = front_local_put(s->f, &l->delivery);
		} else if (e == EV_CONFLICT) {
			l->is_known = false;
			again++;
		} else {
			l->err = e;
			front_note_table(s);
		}
	}
	ddb_batch_deinit(&s->batch);
	return again;
}

static void take_over(struct front_side *s, struct look *looks, size_t n)
{
	size_t again = 1;

	for (unsigned round = 0; round < ROUNDS_MAX && again > 0; round++) {
		again = take_over_round(s, looks, n);
		if (again > 0)
			read_deliveries(s, looks, n);
	}
	for (size_t i = 0; i < n; i++) {
		if (looks[i].take_over && !looks[i].is_ours && looks[i].err == EV_OK)
			looks[i].err = EV_BUSY;
	}
}

/* --- 3: its commands --- */

static void write_text(struct json_writer *w, const char *z)
{
	json_write_object(w);
	json_write_key(w, "S");
	json_write_z(w, z);
	json_write_object_end(w);
}

/* Those after (version, index), the newest first. */
static void add_query(struct front_side *s, const struct look *l)
{
	struct own_key from = own_command_key(&l->outlet_id, l->version, l->index);
	struct json_writer w = ddb_batch_open(&s->batch, "Query", resources(s)->items, from.pk,
					      REQUEST_ROOM);

	json_write_key(&w, "ConsistentRead");
	json_write_bool(&w, true);
	json_write_key(&w, "ScanIndexForward");
	json_write_bool(&w, false);
	json_write_key(&w, "Limit");
	json_write_u64(&w, QUERY_LIMIT);
	json_write_key(&w, "KeyConditionExpression");
	json_write_z(&w, "pk = :p AND sk BETWEEN :a AND :z");
	json_write_key(&w, "ExpressionAttributeValues");
	json_write_object(&w);
	json_write_key(&w, ":p");
	write_text(&w, from.pk);
	json_write_key(&w, ":a");
	write_text(&w, from.sk);
	json_write_key(&w, ":z");
	write_text(&w, OWN_SK_COMMAND "~");
	json_write_object_end(&w);
	ddb_batch_shut(&s->batch, &w);
}

/*
 * An item may stand for a decision that is not committed yet, or never was: its version is above
 * the row's then.  A row of the original has no version and no reasons; its commands stand while
 * it charges.
 */
static bool stands(const struct outlet *o, const struct device_command *c, int64_t now_ns)
{
	if (!o->foreign)
		return c->version <= o->version && outlet_command_stands(o, c, now_ns);
	if (c->expires_ns != 0 && now_ns >= c->expires_ns)
		return false;
	if (c->change == OUTLET_CHARGING || c->change == OUTLET_APP_REQUESTS_STOP)
		return o->state == OUTLET_CHARGING && rfid_tag_eq(&o->tag, &c->tag);
	return true;
}

static void reverse(struct look *l)
{
	for (size_t i = 0; i < l->n / 2; i++) {
		struct device_command c = l->commands[i];

		l->commands[i] = l->commands[l->n - 1 - i];
		l->commands[l->n - 1 - i] = c;
	}
}

/* Of more than fit the newest; in the order of their ids. */
static ev_err keep_standing(struct look *l, struct ev_str items, const struct outlet *o,
			    int64_t now_ns)
{
	struct json_reader r;
	bool more;
	ev_err e;

	json_read_init(&r, items, NULL);
	e = json_read_array(&r);
	while (e == EV_OK && l->n < JOB_COMMANDS_MAX) {
		struct device_command *c = &l->commands[l->n];
		struct ev_str item;

		e = json_read_item(&r, &more);
		if (e == EV_OK && !more)
			break;
		if (e == EV_OK)
			e = json_skip(&r, &item);
		if (e == EV_OK)
			e = own_command_read(item, c);
		if (e == EV_OK && is_above(c->version, c->index, l->version, l->index) &&
		    stands(o, c, now_ns))
			l->n++;
	}
	reverse(l);
	return e;
}

static void read_found(struct front_side *s, struct look *l, size_t at)
{
	struct ddb_outlet row;
	struct ev_str items = { NULL, 0 };

	l->err = get_row(s, at, &row);
	if (l->err != EV_OK)
		return;
	l->err = ddb_batch_result(&s->batch, at + 1);
	if (l->err == EV_OK)
		l->err = ddb_answer(&s->batch, at + 1, "Items", &items);
	if (l->err == EV_OK && items.n > 0 &&
	    keep_standing(l, items, &row.outlet, ev_clock_wall_ns(s->f->config.clock)) != EV_OK)
		l->err = EV_IO;
	if (l->err != EV_OK)
		front_note_table(s);
}

/* Row and commands at once: what is committed after either was read is announced later still. */
static void read_commands(struct front_side *s, struct look *looks, size_t n)
{
	struct look *of[FRONT_LOOKS_MAX];
	size_t k = 0;

	ddb_batch_init(&s->batch, &s->io);
	for (size_t i = 0; i < n; i++) {
		struct look *l = &looks[i];
		const struct delivery *d = &l->delivery.delivery;

		if (!l->is_ours || l->err != EV_OK)
			continue;
		if (!is_above(l->version, l->index, d->acked_version, d->acked_index)) {
			l->version = d->acked_version;
			l->index = d->acked_index;
		}
		add_get_row(s, &l->outlet_id);
		add_query(s, l);
		of[k++] = l;
	}
	ddb_batch_run(&s->batch);
	for (size_t i = 0; i < k; i++)
		read_found(s, of[i], 2 * i);
	ddb_batch_deinit(&s->batch);
}

void front_looks(struct front_side *s, struct look *looks, size_t n)
{
	assert(n <= FRONT_LOOKS_MAX);
	read_deliveries(s, looks, n);
	check_unknown(s, looks, n);
	take_over(s, looks, n);
	read_commands(s, looks, n);
}

/* --- jobs --- */

static void start_look(struct aws_front *f, const struct command_job *j, struct look *l)
{
	memset(l, 0, sizeof(*l));
	l->outlet_id = j->outlet_id;
	l->version = j->version;
	l->index = j->index;
	l->take_over = !j->again;
	/* Until our queue is there, others would take us for dead. */
	if (!atomic_load(&f->has_own))
		l->err = EV_BUSY;
	if (l->take_over && front_local_get(f, &j->outlet_id, &l->delivery)) {
		l->is_known = true;
		l->exists = true;
	}
}

static void end_look(const struct look *l, struct command_job *j)
{
	j->job.err = l->err;
	j->n = 0;
	if (l->err != EV_OK)
		return;
	j->version = l->version;
	j->index = l->index;
	j->n = l->n;
	memcpy(j->commands, l->commands, l->n * sizeof(l->commands[0]));
}

void front_run_looks(struct aws_front *f, struct job **jobs, size_t n)
{
	for (size_t at = 0; at < n; at += FRONT_LOOKS_MAX) {
		size_t k = n - at < FRONT_LOOKS_MAX ? n - at : FRONT_LOOKS_MAX;

		for (size_t i = 0; i < k; i++)
			start_look(f, (struct command_job *)jobs[at + i], &f->job_looks[i]);
		front_looks(&f->jobs, f->job_looks, k);
		for (size_t i = 0; i < k; i++)
			end_look(&f->job_looks[i], (struct command_job *)jobs[at + i]);
	}
	front_count(f, &f->n.looks, n);
}

/* --- acknowledgements --- */

struct ack {
	struct command_job *j;
	bool is_known, exists, is_over;
	struct own_delivery was;
};

/* *now: with the command; false: it was known already. */
static bool acknowledge(const struct command_job *j, const struct own_delivery *was,
			struct own_delivery *now)
{
	struct delivery *d = &now->delivery;
	bool grows = false;

	*now = *was;
	d->at_ns = j->job.at_ns;
	if (is_above(j->version, j->index, d->delivered_version, d->delivered_index)) {
		d->delivered_version = j->version;
		d->delivered_index = j->index;
		grows = true;
	}
	if (!j->delivered_only &&
	    is_above(j->version, j->index, d->acked_version, d->acked_index)) {
		d->acked_version = j->version;
		d->acked_index = j->index;
		grows = true;
	}
	return grows;
}

static void end_ack(struct ack *a, ev_err e, enum verdict verdict)
{
	a->is_over = true;
	a->j->job.err = e;
	a->j->job.verdict = verdict;
}

/* Reads what is not known; of an outlet without an item, whether it exists. */
static void read_acked(struct front_side *s, struct ack *acks, size_t n)
{
	struct ack *of[FRONT_LOOKS_MAX];
	struct ddb_outlet row;
	size_t k = 0;

	ddb_batch_init(&s->batch, &s->io);
	for (size_t i = 0; i < n; i++) {
		if (acks[i].is_over || acks[i].is_known)
			continue;
		add_get_delivery(s, &acks[i].j->outlet_id);
		add_get_row(s, &acks[i].j->outlet_id);
		of[k++] = &acks[i];
	}
	ddb_batch_run(&s->batch);
	for (size_t i = 0; i < k; i++) {
		struct ack *a = of[i];
		ev_err e = get_delivery(s, 2 * i, &a->j->outlet_id, &a->exists, &a->was);

		if (e == EV_OK && !a->exists)
			e = get_row(s, 2 * i + 1, &row);
		if (e != EV_OK)
			end_ack(a, e, VERDICT_REFUSED);
		a->is_known = true;
	}
	ddb_batch_deinit(&s->batch);
}

static size_t write_acked(struct front_side *s, struct ack *acks, size_t n)
{
	struct ack *of[FRONT_LOOKS_MAX];
	struct own_delivery now[FRONT_LOOKS_MAX];
	size_t k = 0, again = 0;

	ddb_batch_init(&s->batch, &s->io);
	for (size_t i = 0; i < n; i++) {
		if (acks[i].is_over)
			continue;
		if (!acknowledge(acks[i].j, &acks[i].was, &now[k])) {
			end_ack(&acks[i], EV_OK, VERDICT_DUPLICATE);
			continue;
		}
		add_update(s, &acks[i].was, acks[i].exists, &now[k]);
		of[k++] = &acks[i];
	}
	ddb_batch_run(&s->batch);
	for (size_t i = 0; i < k; i++) {
		ev_err e = ddb_batch_result(&s->batch, i);

		of[i]->is_known = e != EV_CONFLICT;
		again += e == EV_CONFLICT;
		if (e == EV_OK)
			front_local_set(s->f, &now[i]);
		else if (e != EV_CONFLICT)
			front_note_table(s);
		if (e != EV_CONFLICT)
			end_ack(of[i], e, VERDICT_APPLIED);
	}
	ddb_batch_deinit(&s->batch);
	return again;
}

static void start_ack(struct aws_front *f, struct command_job *j, struct ack *a)
{
	int64_t now_ns = ev_clock_wall_ns(f->config.clock);

	*a = (struct ack){ .j = j };
	if (j->version > (uint64_t)ev_time_floor_ms(now_ns + FUTURE_NS)) {
		end_ack(a, EV_INVALID, VERDICT_REFUSED);
		return;
	}
	a->is_known = front_local_get(f, &j->outlet_id, &a->was);
	a->exists = a->is_known;
}

void front_run_acks(struct aws_front *f, struct job **jobs, size_t n)
{
	struct ack acks[FRONT_LOOKS_MAX];

	for (size_t at = 0; at < n; at += FRONT_LOOKS_MAX) {
		size_t k = n - at < FRONT_LOOKS_MAX ? n - at : FRONT_LOOKS_MAX;
		size_t again = 1;

		for (size_t i = 0; i < k; i++)
			start_ack(f, (struct command_job *)jobs[at + i], &acks[i]);
		for (unsigned round = 0; round < ACK_ROUNDS_MAX && again > 0; round++) {
			read_acked(&f->jobs, acks, k);
			again = write_acked(&f->jobs, acks, k);
		}
		for (size_t i = 0; i < k; i++) {
			if (!acks[i].is_over)
				end_ack(&acks[i], EV_BUSY, VERDICT_REFUSED);
		}
	}
	front_count(f, &f->n.acks, n);
}

/* --- connections that are gone --- */

/* Of the same connection, whatever was acknowledged on it meanwhile. */
static bool is_same_connection(const struct own_delivery *a, const struct own_delivery *b)
{
	return a->generation == b->generation && strcmp(a->gateway, b->gateway) == 0;
}

void front_clear_owner(struct front_side *s, const struct own_delivery *d)
{
	struct own_delivery was = *d;
	bool exists = true;
	ev_err e = EV_CONFLICT;

	for (unsigned round = 0; round < ROUNDS_MAX && e == EV_CONFLICT; round++) {
		struct own_delivery now = was;

		memset(now.gateway, 0, sizeof(now.gateway));
		ddb_batch_init(&s->batch, &s->io);
		add_update(s, &was, true, &now);
		ddb_batch_run(&s->batch);
		e = ddb_batch_result(&s->batch, 0);
		ddb_batch_deinit(&s->batch);
		if (e != EV_CONFLICT)
			break;
		add_get_delivery(s, &d->delivery.outlet_id);
		ddb_batch_run(&s->batch);
		if (get_delivery(s, 0, &d->delivery.outlet_id, &exists, &was) != EV_OK || !exists ||
		    !is_same_connection(&was, d))
			e = EV_OK; /* somebody else's by now */
		ddb_batch_deinit(&s->batch);
	}
	if (e != EV_OK && e != EV_CONFLICT)
		front_note_table(s); /* whoever takes it over does not mind */
}

static struct gone *take_gone(struct aws_front *f)
{
	struct ev_node *node;

	pthread_mutex_lock(&f->lock);
	node = ev_list_pop(&f->gone);
	pthread_mutex_unlock(&f->lock);
	return (struct gone *)(void *)node;
}

#define GONE_AT_ONCE 16 /* in one turn: commands go first */

void front_clear_gone(struct aws_front *f)
{
	struct gone *g;

	for (unsigned i = 0; i < GONE_AT_ONCE && (g = take_gone(f)) != NULL; i++) {
		front_clear_owner(&f->turn, &g->delivery);
		free(g);
	}
}
