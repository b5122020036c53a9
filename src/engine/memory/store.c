/* engine/memory/store.c — port/store.h: groups, loads, commits. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/memory/canon.h"
#include "engine/memory/engine.h"

static struct memory_engine *engine_of(struct store *s)
{
	return (struct memory_engine *)s;
}

static ev_err store_begin(struct store *s)
{
	struct memory_engine *m = engine_of(s);
	ev_err e = engine_fault(m, MEMORY_AT_BEGIN);

	if (e != EV_OK)
		return e;
	if (m->in_group)
		return EV_BUSY;
	m->in_group = true;
	return EV_OK;
}

static bool tell_event(void *user, const struct tree_item *item)
{
	const struct memory_engine *m = user;

	m->listener.on_event(m->listener.user, item->value);
	return true;
}

static void tell_listener(struct memory_engine *m, uint64_t after_seq)
{
	struct tree_key from = key_seq(after_seq + 1);

	if (m->listener.on_event != NULL)
		tree_walk_up(&m->durable.t[TABLE_EVENT], &from, 0, tell_event, m);
	for (size_t i = 0; m->listener.on_command != NULL && i < m->n_commands; i++)
		m->listener.on_command(m->listener.user, &m->commands[i]);
}

/* A group that met an error of the engine ends with it, and with nothing done. */
static ev_err may_end(struct memory_engine *m)
{
	ev_err e;

	if (m->dead)
		return EV_CLOSED;
	if (!m->in_group)
		return EV_INVALID;
	e = engine_fault(m, MEMORY_BEFORE_END);
	return e != EV_OK ? e : m->lost;
}

static ev_err store_end(struct store *s)
{
	struct memory_engine *m = engine_of(s);
	uint64_t seq = m->durable.event_seq;
	ev_err e = may_end(m);

	if (e != EV_OK) {
		engine_roll_back(m);
		return e;
	}
	tables_drop(&m->durable);
	m->durable = tables_share(&m->tip);
	e = engine_fault(m, MEMORY_AFTER_END);
	assert((e == EV_OK || e == EV_CLOSED) && "a durable group has not failed");
	if (e == EV_OK)
		tell_listener(m, seq);
	engine_roll_back(m);
	return e;
}

static void store_abandon(struct store *s)
{
	engine_roll_back(engine_of(s));
}

static ev_err remember_commands(struct memory_engine *m, const struct unit *u)
{
	size_t n = m->n_commands + u->n_commands;

	if (n > m->cap_commands) {
		size_t cap = n * 2;
		struct device_command *grown = realloc(m->commands, cap * sizeof(*grown));

		if (grown == NULL)
			return EV_NOMEM;
		m->commands = grown;
		m->cap_commands = cap;
	}
	for (size_t i = 0; i < u->n_commands; i++)
		canon_command(&m->commands[m->n_commands++], &u->commands[i]);
	return EV_OK;
}

static ev_err commit_one(struct memory_engine *m, const struct unit *u)
{
	ev_err e = engine_fault(m, MEMORY_AT_COMMIT);
	size_t n_commands = m->n_commands;
	struct tables before;

	if (e != EV_OK)
		return e;
	before = tables_share(&m->tip);
	e = remember_commands(m, u);
	if (e == EV_OK)
		e = tables_apply(&m->tip, u, &m->options.rules,
				 m->options.now_ns(m->options.clock_user));
	if (e == EV_OK) {
		tables_drop(&before);
		return EV_OK;
	}
	tables_drop(&m->tip);
	m->tip = before;
	m->n_commands = n_commands;
	return e;
}

/* Of the unit or of its engine?  After the latter the group cannot become durable. */
static bool is_engine_error(ev_err e)
{
	return e != EV_OK && e != EV_CONFLICT && e != EV_EXISTS && e != EV_NOTFOUND &&
	       e != EV_INVALID;
}

static ev_err store_commit(struct store *s, const struct unit *units, size_t n, ev_err *results)
{
	struct memory_engine *m = engine_of(s);
	ev_err first = EV_OK;

	for (size_t i = 0; i < n; i++) {
		ev_err e = m->dead ? EV_CLOSED : m->in_group ? m->lost : EV_INVALID;

		if (e == EV_OK)
			e = commit_one(m, &units[i]);
		if (m->in_group && m->lost == EV_OK && is_engine_error(e))
			m->lost = e;
		results[i] = e;
		if (first == EV_OK)
			first = e;
	}
	return first;
}

/* A row by its key, copied out. */
static ev_err load_row(struct memory_engine *m, enum table t, struct tree_key k, void *out,
		       size_t n)
{
	ev_err e = engine_fault(m, MEMORY_AT_LOAD);
	const void *row;

	if (e != EV_OK)
		return e;
	row = tree_get(&m->tip.t[t], &k);
	if (row == NULL)
		return EV_NOTFOUND;
	memcpy(out, row, n);
	return EV_OK;
}

static ev_err load_presence(struct memory_engine *m, enum table t, struct tree_key k, bool *out)
{
	ev_err e = engine_fault(m, MEMORY_AT_LOAD);

	if (e == EV_OK)
		*out = tree_get(&m->tip.t[t], &k) != NULL;
	return e;
}

static ev_err load_outlet(struct store *s, const struct ev_uuid *id, struct outlet *out)
{
	return load_row(engine_of(s), TABLE_OUTLET, key_id(id->b), out, sizeof(*out));
}

static ev_err load_info(struct store *s, const struct ev_uuid *id, struct outlet_info *out)
{
	return load_row(engine_of(s), TABLE_INFO, key_id(id->b), out, sizeof(*out));
}

static ev_err load_session(struct store *s, const struct ev_uuid *id, struct session *out)
{
	return load_row(engine_of(s), TABLE_SESSION, key_id(id->b), out, sizeof(*out));
}

static ev_err load_customer(struct store *s, const struct ev_uuid *id, struct customer *out)
{
	return load_row(engine_of(s), TABLE_CUSTOMER, key_id(id->b), out, sizeof(*out));
}

static ev_err load_claim(struct store *s, const struct rfid_tag *tag, struct tag_claim *out)
{
	struct rfid_tag low = rfid_tag_lower(tag);

	return load_row(engine_of(s), TABLE_CLAIM, key_tag(&low), out, sizeof(*out));
}

static ev_err load_unassigned(struct store *s, const struct identity *id,
			      struct unassigned_item *out)
{
	return load_row(engine_of(s), TABLE_ITEM, key_id(id->b), out, sizeof(*out));
}

static ev_err seen(struct store *s, const struct ev_uuid *outlet_id, const struct identity *id,
		   bool *out)
{
	return load_presence(engine_of(s), TABLE_SEEN, key_id_id(outlet_id->b, id->b), out);
}

static ev_err has_attachment(struct store *s, const struct identity *item_id, bool *out)
{
	return load_presence(engine_of(s), TABLE_ATTACHMENT, key_id(item_id->b), out);
}

struct dead_letter dead_letter_row(const void *value)
{
	struct dead_letter row;

	memcpy(&row, value, sizeof(row));
	row.body.p = (const char *)value + sizeof(row);
	return row;
}

ev_err dead_letter_load(const struct tables *s, const struct identity *id, struct dead_letter *out,
			char *body_out)
{
	struct tree_key k = key_id(id->b);
	const void *value = tree_get(&s->t[TABLE_DEAD_LETTER], &k);

	if (value == NULL)
		return EV_NOTFOUND;
	*out = dead_letter_row(value);
	memcpy(body_out, out->body.p, out->body.n);
	out->body.p = body_out;
	return EV_OK;
}

static ev_err load_dead_letter(struct store *s, const struct identity *id, struct dead_letter *out,
			       char *body_out)
{
	struct memory_engine *m = engine_of(s);
	ev_err e = engine_fault(m, MEMORY_AT_LOAD);

	return e != EV_OK ? e : dead_letter_load(&m->tip, id, out, body_out);
}

static ev_err load_delivery(struct store *s, const struct ev_uuid *outlet_id, struct delivery *out)
{
	ev_err e = load_row(engine_of(s), TABLE_DELIVERY, key_id(outlet_id->b), out, sizeof(*out));

	if (e != EV_NOTFOUND)
		return e;
	memset(out, 0, sizeof(*out));
	return EV_OK;
}

/* A list that is being filled; ids are the last 16 bytes of the keys of its index. */
struct list {
	const struct tables *tables;
	size_t max;
	size_t n;
	int64_t bound_ns;
	union {
		struct ev_uuid *ids;
		struct parked_input *parked;
		struct device_command *commands;
	} out;
};

static bool add_id(void *user, const struct tree_item *item)
{
	struct list *l = user;

	if (l->n == l->max)
		return false;
	memcpy(l->out.ids[l->n].b, item->key + item->key_n - 16, 16);
	l->n++;
	return true;
}

static ev_err live_sessions(struct store *s, const struct ev_uuid *outlet_id, struct ev_uuid *out,
			    size_t max, size_t *out_n)
{
	struct memory_engine *m = engine_of(s);
	struct list l = { .max = max, .out = { .ids = out } };
	struct tree_key below = key_id_seq(outlet_id->b, UINT64_MAX);
	ev_err e = engine_fault(m, MEMORY_AT_LOAD);

	if (e != EV_OK)
		return e;
	tree_walk_down(&m->tip.t[TABLE_SESSION_LIVE], &below, 16, add_id, &l);
	*out_n = l.n;
	return EV_OK;
}

static ev_err customer_sessions(struct store *s, const struct ev_uuid *customer_id,
				const struct ev_uuid *after, struct ev_uuid *out, size_t max,
				size_t *out_n)
{
	struct memory_engine *m = engine_of(s);
	struct list l = { .max = max, .out = { .ids = out } };
	struct tree_key from = key_id(customer_id->b);
	ev_err e = engine_fault(m, MEMORY_AT_LOAD);

	if (e != EV_OK)
		return e;
	if (after != NULL) {
		from = key_id_id(customer_id->b, after->b);
		tree_key_bytes(&from, "", 1); /* the first key above it */
	}
	tree_walk_up(&m->tip.t[TABLE_SESSION_CUSTOMER], &from, 16, add_id, &l);
	*out_n = l.n;
	return EV_OK;
}

static bool add_parked(void *user, const struct tree_item *item)
{
	struct list *l = user;
	struct tree_key id = key_id(item->key + item->key_n - 16);
	const struct parked_input *p = tree_get(&l->tables->t[TABLE_PARKED], &id);

	if (l->n == l->max || p->due_ns > l->bound_ns)
		return false;
	memcpy(&l->out.parked[l->n++], p, sizeof(*p));
	return true;
}

static ev_err load_parked(struct store *s, const struct ev_uuid *outlet_id, int64_t due_ns,
			  struct parked_input *out, size_t max, size_t *out_n)
{
	struct memory_engine *m = engine_of(s);
	struct list l = { .tables = &m->tip, .max = max, .bound_ns = due_ns };
	struct tree_key from = { .n = 0 };
	ev_err e = engine_fault(m, MEMORY_AT_LOAD);

	if (e != EV_OK)
		return e;
	l.out.parked = out;
	if (outlet_id != NULL) {
		from = key_id(outlet_id->b);
		tree_walk_up(&m->tip.t[TABLE_PARKED_OUTLET], &from, from.n, add_parked, &l);
	} else {
		tree_walk_up(&m->tip.t[TABLE_PARKED_DUE], &from, 0, add_parked, &l);
	}
	*out_n = l.n;
	return EV_OK;
}

static bool add_command(void *user, const struct tree_item *item)
{
	struct list *l = user;
	struct device_command *out = l->out.commands;
	const struct device_command *c = item->value;

	if (l->max == 0)
		return false;
	if (c->expires_ns != 0 && c->expires_ns <= l->bound_ns)
		return true;
	if (l->n == l->max)
		memmove(&out[0], &out[1], --l->n * sizeof(out[0]));
	memcpy(&out[l->n++], item->value, item->value_n);
	return true;
}

static ev_err load_commands(struct store *s, const struct ev_uuid *outlet_id, uint64_t version,
			    unsigned index, int64_t now_ns, struct device_command *out, size_t max,
			    size_t *out_n)
{
	struct memory_engine *m = engine_of(s);
	struct list l = { .max = max, .bound_ns = now_ns };
	struct tree_key from = key_command(outlet_id->b, version, index);
	ev_err e = engine_fault(m, MEMORY_AT_LOAD);

	if (e != EV_OK)
		return e;
	l.out.commands = out;
	tree_key_bytes(&from, "", 1); /* the first key above it */
	tree_walk_up(&m->tip.t[TABLE_COMMAND], &from, 16, add_command, &l);
	*out_n = l.n;
	return EV_OK;
}

static bool add_due(void *user, const struct tree_item *item)
{
	struct list *l = user;
	struct tree_key end = { .n = 0 };

	tree_key_i64(&end, l->bound_ns);
	if (memcmp(item->key, end.b, end.n) > 0)
		return false;
	return add_id(user, item);
}

static ev_err due_outlets(struct store *s, int64_t due_ns, struct ev_uuid *out, size_t max,
			  size_t *out_n)
{
	struct memory_engine *m = engine_of(s);
	struct list l = { .max = max, .bound_ns = due_ns, .out = { .ids = out } };
	struct tree_key from = { .n = 0 };
	ev_err e = engine_fault(m, MEMORY_AT_LOAD);

	if (e != EV_OK)
		return e;
	tree_walk_up(&m->tip.t[TABLE_TIMER], &from, 0, add_due, &l);
	*out_n = l.n;
	return EV_OK;
}

static void store_free(struct store *s)
{
	memory_free(engine_of(s));
}

const struct store_ops memory_store_ops = {
	.begin = store_begin,
	.end = store_end,
	.abandon = store_abandon,
	.load_outlet = load_outlet,
	.load_info = load_info,
	.load_session = load_session,
	.load_customer = load_customer,
	.load_claim = load_claim,
	.live_sessions = live_sessions,
	.customer_sessions = customer_sessions,
	.seen = seen,
	.load_unassigned = load_unassigned,
	.has_attachment = has_attachment,
	.load_dead_letter = load_dead_letter,
	.load_parked = load_parked,
	.load_delivery = load_delivery,
	.load_commands = load_commands,
	.due_outlets = due_outlets,
	.commit = store_commit,
	.free = store_free,
};
