/* engine/memory/tables.c — rows, their indexes, and units. */
#include "engine/memory/tables.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/machine.h"
#include "engine/memory/canon.h"

struct tree_key key_id(const uint8_t id[16])
{
	struct tree_key k = { .n = 0 };

	tree_key_bytes(&k, id, 16);
	return k;
}

struct tree_key key_id_id(const uint8_t a[16], const uint8_t b[16])
{
	struct tree_key k = key_id(a);

	tree_key_bytes(&k, b, 16);
	return k;
}

struct tree_key key_time_id(int64_t at_ns, const uint8_t id[16])
{
	struct tree_key k = { .n = 0 };

	tree_key_i64(&k, at_ns);
	tree_key_bytes(&k, id, 16);
	return k;
}

struct tree_key key_id_time_id(const uint8_t owner[16], int64_t at_ns, const uint8_t id[16])
{
	struct tree_key k = key_id(owner);

	tree_key_i64(&k, at_ns);
	tree_key_bytes(&k, id, 16);
	return k;
}

struct tree_key key_seq(uint64_t seq)
{
	struct tree_key k = { .n = 0 };

	tree_key_u64(&k, seq);
	return k;
}

struct tree_key key_id_seq(const uint8_t owner[16], uint64_t seq)
{
	struct tree_key k = key_id(owner);

	tree_key_u64(&k, seq);
	return k;
}

struct tree_key key_command(const uint8_t outlet[16], uint64_t version, unsigned index)
{
	struct tree_key k = key_id_seq(outlet, version);

	tree_key_u64(&k, index);
	return k;
}

struct tree_key key_tag(const struct rfid_tag *tag)
{
	struct tree_key k = { .n = 0 };

	tree_key_bytes(&k, tag->s, tag->n);
	return k;
}

struct tables tables_new(uint64_t salt)
{
	struct tables s = { .event_seq = 0 };

	for (int i = 0; i < TABLE_COUNT; i++)
		s.t[i].salt = salt;
	return s;
}

struct tables tables_share(const struct tables *s)
{
	struct tables copy = *s;

	for (int i = 0; i < TABLE_COUNT; i++)
		copy.t[i] = tree_share(&s->t[i]);
	return copy;
}

void tables_drop(struct tables *s)
{
	for (int i = 0; i < TABLE_COUNT; i++)
		tree_drop(&s->t[i]);
}

bool tables_eq(const struct tables *a, const struct tables *b)
{
	for (int i = 0; i < TABLE_COUNT; i++) {
		if (!tree_eq(&a->t[i], &b->t[i]))
			return false;
	}
	return a->event_seq == b->event_seq && a->dead_letter_seq == b->dead_letter_seq;
}

static ev_err put(struct tables *s, enum table t, struct tree_key k, const void *value, size_t n)
{
	return tree_put(&s->t[t], &k, value, n) ? EV_OK : EV_NOMEM;
}

static const void *get(const struct tables *s, enum table t, struct tree_key k)
{
	return tree_get(&s->t[t], &k);
}

static ev_err drop(struct tables *s, enum table t, struct tree_key k)
{
	return tree_delete(&s->t[t], &k) ? EV_OK : EV_NOMEM;
}

/* The keys of one row in its indexes; `has` is false where it is not listed. */
struct index_key {
	enum table table;
	bool has;
	struct tree_key key;
};

static bool key_same(const struct index_key *a, const struct index_key *b)
{
	return a->has && b->has && a->key.n == b->key.n &&
	       memcmp(a->key.b, b->key.b, a->key.n) == 0;
}

/* From where the old row was listed (NULL: nowhere) to where the new one is. */
static ev_err reindex(struct tables *s, const struct index_key *was, const struct index_key *is,
		      size_t n)
{
	ev_err e = EV_OK;

	for (size_t i = 0; i < n && e == EV_OK; i++) {
		if (was != NULL && key_same(&was[i], &is[i]))
			continue;
		if (was != NULL && was[i].has)
			e = drop(s, was[i].table, was[i].key);
		if (e == EV_OK && is[i].has)
			e = put(s, is[i].table, is[i].key, NULL, 0);
	}
	return e;
}

static void timer_key(struct index_key *k, const struct outlet *o, const struct outlet_rules *rules)
{
	struct outlet_input in;
	int64_t due = 0;

	k->table = TABLE_TIMER;
	k->has = outlet_next_timer(o, rules, &due, &in);
	k->key = key_time_id(due, o->id.b);
}

static ev_err put_outlet(struct tables *s, const struct outlet *o, const struct outlet_rules *rules)
{
	const struct outlet *old = get(s, TABLE_OUTLET, key_id(o->id.b));
	struct index_key was;
	struct index_key is;
	struct outlet row;
	ev_err e;

	if (old != NULL)
		timer_key(&was, old, rules);
	canon_outlet(&row, o);
	timer_key(&is, &row, rules);
	e = reindex(s, old != NULL ? &was : NULL, &is, 1);
	return e != EV_OK ? e : put(s, TABLE_OUTLET, key_id(o->id.b), &row, sizeof(row));
}

static ev_err put_info(struct tables *s, const struct ev_uuid *id, const struct outlet_info *info)
{
	struct outlet_info row;

	if (info == NULL && get(s, TABLE_INFO, key_id(id->b)) != NULL)
		return EV_OK;
	if (info != NULL)
		canon_info(&row, info);
	else
		memset(&row, 0, sizeof(row));
	return put(s, TABLE_INFO, key_id(id->b), &row, sizeof(row));
}

#define SESSION_KEYS 4

static void session_keys(struct index_key k[SESSION_KEYS], const struct session *s)
{
	const uint8_t *id = s->id.b;

	k[0] = (struct index_key){ TABLE_SESSION_START, true, key_time_id(s->start_ns, id) };
	k[1] = (struct index_key){ TABLE_SESSION_CUSTOMER, s->has_customer,
				   key_id_id(s->customer_id.b, id) };
	k[2] = (struct index_key){ TABLE_SESSION_HISTORY, s->has_customer,
				   key_id_time_id(s->customer_id.b, s->start_ns, id) };
	k[3] = (struct index_key){ TABLE_SESSION_LIVE, session_is_live(s->state),
				   key_id_time_id(s->outlet_id.b, s->start_ns, id) };
}

static ev_err put_session(struct tables *s, const struct session *session)
{
	const struct session *old = get(s, TABLE_SESSION, key_id(session->id.b));
	struct index_key was[SESSION_KEYS];
	struct index_key is[SESSION_KEYS];
	struct session row;
	ev_err e;

	if (old != NULL)
		session_keys(was, old);
	canon_session(&row, session);
	session_keys(is, &row);
	e = reindex(s, old != NULL ? was : NULL, is, SESSION_KEYS);
	return e != EV_OK ? e : put(s, TABLE_SESSION, key_id(row.id.b), &row, sizeof(row));
}

#define ITEM_KEYS 2

static void item_keys(struct index_key k[ITEM_KEYS], const struct unassigned_item *i)
{
	k[0] = (struct index_key){ TABLE_ITEM_TIME, true, key_time_id(i->at_ns, i->id.b) };
	k[1] = (struct index_key){ TABLE_ITEM_OUTLET, true,
				   key_id_time_id(i->outlet_id.b, i->at_ns, i->id.b) };
}

static ev_err put_item(struct tables *s, const struct unassigned_item *item)
{
	const struct unassigned_item *old = get(s, TABLE_ITEM, key_id(item->id.b));
	struct index_key was[ITEM_KEYS];
	struct index_key is[ITEM_KEYS];
	struct unassigned_item row;
	ev_err e;

	if (old != NULL)
		item_keys(was, old);
	canon_item(&row, item);
	item_keys(is, &row);
	e = reindex(s, old != NULL ? was : NULL, is, ITEM_KEYS);
	return e != EV_OK ? e : put(s, TABLE_ITEM, key_id(row.id.b), &row, sizeof(row));
}

static ev_err put_dead_letter_row(struct tables *s, const struct dead_letter *row, const char *body)
{
	size_t n = sizeof(*row) + row->body.n;
	uint8_t *value = malloc(n);
	ev_err e;

	if (value == NULL)
		return EV_NOMEM;
	memcpy(value, row, sizeof(*row));
	if (row->body.n > 0)
		memcpy(value + sizeof(*row), body, row->body.n);
	e = put(s, TABLE_DEAD_LETTER, key_id(row->id.b), value, n);
	free(value);
	return e;
}

static ev_err put_dead_letter(struct tables *s, const struct dead_letter *d)
{
	struct dead_letter row;
	ev_err e;

	if (d->body.n > DEAD_LETTER_BODY_MAX)
		return EV_INVALID;
	if (get(s, TABLE_DEAD_LETTER, key_id(d->id.b)) != NULL)
		return EV_OK;
	canon_dead_letter(&row, d);
	row.seq = ++s->dead_letter_seq;
	e = put(s, TABLE_DEAD_LETTER_SEQ, key_seq(row.seq), row.id.b, sizeof(row.id.b));
	return e != EV_OK ? e : put_dead_letter_row(s, &row, d->body.p);
}

static ev_err put_dead_letter_status(struct tables *s, const struct identity *id,
				     enum dead_letter_status status)
{
	const struct dead_letter *old = get(s, TABLE_DEAD_LETTER, key_id(id->b));
	struct dead_letter row;

	if (old == NULL)
		return EV_NOTFOUND;
	memcpy(&row, old, sizeof(row)); /* with its padding, which is zero */
	row.status = status;
	return put_dead_letter_row(s, &row, (const char *)(old + 1));
}

static ev_err put_parked(struct tables *s, const struct parked_input *p)
{
	struct tree_key k = key_id(p->id.b);
	struct parked_input row;
	ev_err e;

	if (p->input.kind >= OUTLET_IN_COUNT)
		return EV_INVALID;
	if (get(s, TABLE_PARKED, k) != NULL)
		return EV_OK;
	canon_parked(&row, p);
	e = put(s, TABLE_PARKED_DUE, key_time_id(row.due_ns, row.id.b), NULL, 0);
	if (e == EV_OK)
		e = put(s, TABLE_PARKED_OUTLET,
			key_id_time_id(row.outlet_id.b, row.due_ns, row.id.b), NULL, 0);
	return e != EV_OK ? e : put(s, TABLE_PARKED, k, &row, sizeof(row));
}

static ev_err unpark(struct tables *s, const struct identity *id)
{
	const struct parked_input *p = get(s, TABLE_PARKED, key_id(id->b));
	ev_err e;

	if (p == NULL)
		return EV_OK;
	e = drop(s, TABLE_PARKED_DUE, key_time_id(p->due_ns, id->b));
	if (e == EV_OK)
		e = drop(s, TABLE_PARKED_OUTLET, key_id_time_id(p->outlet_id.b, p->due_ns, id->b));
	return e != EV_OK ? e : drop(s, TABLE_PARKED, key_id(id->b));
}

static ev_err put_attachment(struct tables *s, const struct identity *item_id)
{
	if (get(s, TABLE_ATTACHMENT, key_id(item_id->b)) != NULL)
		return EV_EXISTS;
	return put(s, TABLE_ATTACHMENT, key_id(item_id->b), NULL, 0);
}

static ev_err put_claim(struct tables *s, const struct tag_claim *claim)
{
	struct tag_claim row;

	canon_claim(&row, claim);
	return put(s, TABLE_CLAIM, key_tag(&row.tag), &row, sizeof(row));
}

static ev_err unclaim(struct tables *s, const struct tag_claim *claim)
{
	const struct tag_claim *held = get(s, TABLE_CLAIM, key_tag(&claim->tag));

	if (held == NULL || !ev_uuid_eq(&held->customer_id, &claim->customer_id))
		return EV_OK;
	return drop(s, TABLE_CLAIM, key_tag(&claim->tag));
}

static ev_err put_block(struct tables *s, const struct identity_block *b)
{
	static const struct identity none;
	ev_err e = EV_OK;

	for (size_t i = 0; i < OUTLET_IDS_MAX && e == EV_OK; i++) {
		if (!identity_eq(&b->ids[i], &none))
			e = put(s, TABLE_SEEN, key_id_id(b->outlet_id.b, b->ids[i].b), NULL, 0);
	}
	return e;
}

static bool is_later(uint64_t version, unsigned index, uint64_t than_version, unsigned than_index)
{
	return version > than_version || (version == than_version && index > than_index);
}

static ev_err put_delivery(struct tables *s, const struct delivery *d)
{
	const struct delivery *old = get(s, TABLE_DELIVERY, key_id(d->outlet_id.b));
	struct delivery row;
	bool grew = false;

	memset(&row, 0, sizeof(row));
	if (old != NULL)
		memcpy(&row, old, sizeof(row));
	if (is_later(d->delivered_version, d->delivered_index, row.delivered_version,
		     row.delivered_index)) {
		row.delivered_version = d->delivered_version;
		row.delivered_index = d->delivered_index;
		grew = true;
	}
	if (is_later(d->acked_version, d->acked_index, row.acked_version, row.acked_index)) {
		row.acked_version = d->acked_version;
		row.acked_index = d->acked_index;
		grew = true;
	}
	if (!grew)
		return EV_OK;
	row.outlet_id = d->outlet_id;
	row.at_ns = d->at_ns;
	return put(s, TABLE_DELIVERY, key_id(d->outlet_id.b), &row, sizeof(row));
}

static ev_err apply_put(struct tables *s, const struct keyed_put *p)
{
	switch (p->kind) {
	case PUT_DEAD_LETTER:
		return put_dead_letter(s, &p->dead_letter);
	case PUT_DEAD_LETTER_STATUS:
		return put_dead_letter_status(s, &p->status.id, p->status.status);
	case PUT_PARKED:
		return put_parked(s, &p->parked);
	case PUT_UNPARK:
		return unpark(s, &p->unpark.id);
	case PUT_UNASSIGNED:
		return put_item(s, &p->unassigned);
	case PUT_ATTACHMENT:
		return put_attachment(s, &p->attachment.item_id);
	case PUT_CLAIM:
		return put_claim(s, &p->claim);
	case PUT_UNCLAIM:
		return unclaim(s, &p->claim);
	case PUT_IDENTITY_BLOCK:
		return put_block(s, &p->block);
	case PUT_DELIVERY:
		return put_delivery(s, &p->delivery);
	}
	return EV_INVALID;
}

static ev_err put_event(struct tables *s, const struct charging_event *event, int64_t now_ns)
{
	struct stored_event row;
	ev_err e;

	canon_stored_event(&row, ++s->event_seq, now_ns, event);
	e = put(s, TABLE_EVENT, key_seq(row.seq), &row, sizeof(row));
	if (e != EV_OK || get(s, TABLE_OUTLET, key_id(event->outlet_id.b)) == NULL)
		return e;
	return put(s, TABLE_EVENT_OUTLET, key_id_seq(event->outlet_id.b, row.seq), NULL, 0);
}

static ev_err put_command(struct tables *s, const struct device_command *c)
{
	struct device_command row;

	canon_command(&row, c);
	return put(s, TABLE_COMMAND, key_command(row.outlet_id.b, row.version, row.index), &row,
		   sizeof(row));
}

/* The stored version against the one the unit was decided from; 0: no row. */
static ev_err check_version(uint64_t stored, uint64_t expected, uint64_t next)
{
	if (next <= expected || next > INT64_MAX)
		return EV_INVALID;
	return stored == expected ? EV_OK : EV_CONFLICT;
}

static ev_err apply_outlet(struct tables *s, const struct unit *u, const struct outlet_rules *rules)
{
	const struct outlet *old = get(s, TABLE_OUTLET, key_id(u->outlet->id.b));
	ev_err e = check_version(old != NULL ? old->version : 0, u->expected, u->outlet->version);

	if (e == EV_OK)
		e = put_outlet(s, u->outlet, rules);
	return e != EV_OK ? e : put_info(s, &u->outlet->id, u->info);
}

static ev_err apply_session(struct tables *s, const struct unit *u)
{
	const struct session *old = get(s, TABLE_SESSION, key_id(u->session->id.b));
	ev_err e = check_version(old != NULL ? old->version : 0, u->expected, u->session->version);

	return e != EV_OK ? e : put_session(s, u->session);
}

static ev_err apply_customer(struct tables *s, const struct unit *u)
{
	struct tree_key k = key_id(u->customer->id.b);
	const struct customer *old = get(s, TABLE_CUSTOMER, k);
	uint64_t stored = old != NULL ? old->version : 0;
	struct customer row;
	ev_err e;

	if (u->erase)
		return stored != u->expected ? EV_CONFLICT : drop(s, TABLE_CUSTOMER, k);
	e = check_version(stored, u->expected, u->customer->version);
	if (e != EV_OK)
		return e;
	canon_customer(&row, u->customer);
	return put(s, TABLE_CUSTOMER, k, &row, sizeof(row));
}

static ev_err apply_aggregate(struct tables *s, const struct unit *u,
			      const struct outlet_rules *rules)
{
	switch (u->kind) {
	case UNIT_OUTLET:
		return apply_outlet(s, u, rules);
	case UNIT_SESSION:
		return apply_session(s, u);
	case UNIT_CUSTOMER:
		return apply_customer(s, u);
	case UNIT_NONE:
		return EV_OK;
	}
	return EV_INVALID;
}

ev_err tables_apply(struct tables *s, const struct unit *u, const struct outlet_rules *rules,
		    int64_t now_ns)
{
	ev_err e = apply_aggregate(s, u, rules);

	for (size_t i = 0; i < u->n_puts && e == EV_OK; i++)
		e = apply_put(s, &u->puts[i]);
	for (size_t i = 0; i < u->n_events && e == EV_OK; i++)
		e = put_event(s, &u->events[i], now_ns);
	for (size_t i = 0; i < u->n_commands && e == EV_OK; i++)
		e = put_command(s, &u->commands[i]);
	return e;
}
