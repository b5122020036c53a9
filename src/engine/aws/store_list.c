#include <stdlib.h>

#include "core/machine.h"
#include "engine/aws/store_internal.h"

/* Loads of several: what the table lists, with what the group has staged laid over it. */

/* --- inputs that wait --- */

struct parked_list {
	struct aws_store *s;
	const struct ev_uuid *outlet_id; /* NULL: all */
	int64_t due_ns;
	size_t enough; /* 0: never */
	struct parked_input *of;
	size_t n, cap;
};

static bool grow(void **p, size_t n, size_t *cap, size_t size)
{
	size_t wanted = *cap == 0 ? 16 : *cap * 2;
	void *grown;

	if (n < *cap)
		return true;
	grown = reallocarray(*p, wanted, size);
	if (grown == NULL)
		return false;
	*p = grown;
	*cap = wanted;
	return true;
}

static struct parked_input *find_parked(struct parked_list *l, const struct identity *id)
{
	for (size_t i = 0; i < l->n; i++) {
		if (identity_eq(&l->of[i].id, id))
			return &l->of[i];
	}
	return NULL;
}

static bool wants_parked(const struct parked_list *l, const struct ev_uuid *outlet_id)
{
	const struct aws_store_config *c = &l->s->c;

	if (l->outlet_id != NULL)
		return ev_uuid_eq(l->outlet_id, outlet_id);
	return c->owns == NULL || c->owns(c->owns_user, outlet_id);
}

static ev_err add_parked(struct parked_list *l, const struct parked_input *p)
{
	if (!wants_parked(l, &p->outlet_id))
		return EV_OK;
	if (!grow((void **)&l->of, l->n, &l->cap, sizeof(l->of[0])))
		return EV_NOMEM;
	l->of[l->n++] = *p;
	return EV_OK;
}

static ev_err take_parked(void *user, struct ev_str item, bool *more)
{
	struct parked_list *l = user;
	struct parked_input p;
	ev_err e = own_parked_read(item, &p);

	if (e == EV_CORRUPT && l->outlet_id == NULL) {
		/* It harms its own outlet alone. */
		(void)ddb_fail(&l->s->io, e, l->s->c.resources->items, "a parked input");
		return EV_OK;
	}
	if (e == EV_OK && p.due_ns <= l->due_ns)
		e = add_parked(l, &p);
	*more = l->enough == 0 || l->n < l->enough;
	return e;
}

static ev_err query_parked(struct parked_list *l)
{
	struct aws_store *s = l->s;
	struct own_key key;
	char hi[OWN_KEY_MAX];
	struct ddb_range r = { .table = s->c.resources->items };

	s->stats.item_queries++;
	if (l->outlet_id != NULL) {
		key = own_delivery_key(l->outlet_id);
		r.pk_name = AWS_ITEM_PK;
		r.pk = ev_str_from(key.pk);
		r.sk_name = AWS_ITEM_SK;
		r.lo = OWN_SK_PARKED;
		r.hi = OWN_SK_PARKED "~";
		return ddb_query(&s->io, &r, take_parked, l);
	}
	own_time_text(l->due_ns, hi);
	hi[20] = '~';
	hi[21] = '\0';
	r.index = s->c.resources->items_index;
	r.pk_name = AWS_ITEM_INDEX_PK;
	r.pk = EV_LIT(OWN_INDEX_PARKED);
	r.sk_name = AWS_ITEM_INDEX_SK;
	r.lo = "0";
	r.hi = hi;
	return ddb_query(&s->io, &r, take_parked, l);
}

/* Parked ones that come in, and those that are taken out. */
static ev_err lay_parked(struct parked_list *l)
{
	const struct staged_puts *g = &l->s->group.puts;
	ev_err e = EV_OK;

	for (size_t i = 0; i < g->n && e == EV_OK; i++) {
		const struct keyed_put *p = &g->of[i].p;
		struct parked_input *there;

		if (g->of[i].skip || (p->kind != PUT_PARKED && p->kind != PUT_UNPARK))
			continue;
		there = find_parked(l, p->kind == PUT_PARKED ? &p->parked.id : &p->unpark.id);
		if (p->kind == PUT_UNPARK && there != NULL)
			*there = l->of[--l->n];
		else if (p->kind == PUT_PARKED && there != NULL && g->of[i].replace)
			*there = p->parked;
		else if (p->kind == PUT_PARKED && there == NULL)
			e = add_parked(l, &p->parked);
	}
	return e;
}

static int by_due(const void *a, const void *b)
{
	const struct parked_input *x = a;
	const struct parked_input *y = b;

	if (x->due_ns != y->due_ns)
		return x->due_ns < y->due_ns ? -1 : 1;
	return memcmp(x->id.b, y->id.b, sizeof(x->id.b));
}

static size_t n_staged(const struct aws_store *s, enum put_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < s->group.puts.n; i++)
		n += s->group.puts.of[i].p.kind == kind;
	return n;
}

/* Hardly ever is there one, and it is asked after most inputs. */
static bool may_have_parked(struct aws_store *s, const struct ev_uuid *outlet_id)
{
	struct aws_row *r;
	int64_t now_ns;

	if (outlet_id != NULL) {
		r = aws_cache_find(&s->cache, ROW_OUTLET, outlet_id);
		return r == NULL || r->stale || outlet_of(r)->may_have_parked;
	}
	if (!store_has_role(s, AWS_ROLE_OUTLET))
		return false;
	now_ns = ev_clock_mono_ns(s->c.clock);
	if (s->parked_at_ns != 0 && now_ns - s->parked_at_ns < s->c.parked_poll_ns)
		return false;
	s->parked_at_ns = now_ns;
	return true;
}

static void note_none_parked(struct aws_store *s, const struct ev_uuid *outlet_id)
{
	struct aws_row *r = aws_cache_find(&s->cache, ROW_OUTLET, outlet_id);

	if (r != NULL && !r->stale)
		outlet_of(r)->may_have_parked = false;
}

ev_err load_parked(struct store *store, const struct ev_uuid *outlet_id, int64_t due_ns,
		   struct parked_input *out, size_t max, size_t *out_n)
{
	struct aws_store *s = aws_store_of(store);
	struct parked_list l = { .s = s, .outlet_id = outlet_id, .due_ns = due_ns };
	size_t n = 0;
	ev_err e = EV_OK;

	if (outlet_id == NULL)
		l.enough = max + n_staged(s, PUT_UNPARK) + 1;
	if (may_have_parked(s, outlet_id)) {
		e = query_parked(&l);
		if (e == EV_OK && l.n == 0 && outlet_id != NULL && due_ns == INT64_MAX)
			note_none_parked(s, outlet_id);
	}
	if (e == EV_OK)
		e = lay_parked(&l);
	if (e == EV_OK && l.n > 1)
		qsort(l.of, l.n, sizeof(l.of[0]), by_due);
	for (size_t i = 0; e == EV_OK && i < l.n && n < max; i++) {
		if (l.of[i].due_ns <= due_ns)
			out[n++] = l.of[i];
	}
	free(l.of);
	if (e == EV_OK)
		*out_n = n;
	return e;
}

/* --- commands --- */

struct command_list {
	struct aws_store *s;
	int64_t now_ns;
	size_t enough;
	struct device_command *of;
	size_t n, cap;
};

static bool is_gone(const struct device_command *c, int64_t now_ns)
{
	return c->expires_ns != 0 && c->expires_ns <= now_ns;
}

static bool is_staged(const struct aws_store *s, const struct device_command *c)
{
	for (size_t i = 0; i < s->group.commands.n; i++) {
		const struct device_command *o = &s->group.commands.of[i];

		if (ev_uuid_eq(&o->outlet_id, &c->outlet_id) && o->version == c->version &&
		    o->index == c->index)
			return true;
	}
	return false;
}

static ev_err add_command(struct command_list *l, const struct device_command *c)
{
	if (is_gone(c, l->now_ns))
		return EV_OK;
	if (!grow((void **)&l->of, l->n, &l->cap, sizeof(l->of[0])))
		return EV_NOMEM;
	l->of[l->n++] = *c;
	return EV_OK;
}

static ev_err take_command(void *user, struct ev_str item, bool *more)
{
	struct command_list *l = user;
	struct device_command c;
	ev_err e = own_command_read(item, &c);

	if (e == EV_OK && !is_staged(l->s, &c))
		e = add_command(l, &c);
	*more = l->n < l->enough;
	return e;
}

static int by_number(const void *a, const void *b)
{
	const struct device_command *x = a;
	const struct device_command *y = b;

	if (x->version != y->version)
		return x->version < y->version ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

/* Stored ones above the bound, newest first, as many as can be of use. */
static ev_err query_commands(struct command_list *l, const struct ev_uuid *outlet_id,
			     uint64_t version, unsigned index)
{
	struct own_key key = own_command_key(outlet_id, version, index);
	struct ddb_range r = {
		.table = l->s->c.resources->items,
		.pk_name = AWS_ITEM_PK,
		.pk = ev_str_from(key.pk),
		.sk_name = AWS_ITEM_SK,
		.lo = key.sk,
		.hi = OWN_SK_COMMAND "~",
		.backwards = true,
		.page = (unsigned)l->enough,
	};
	size_t n = strlen(key.sk);

	key.sk[n] = '!'; /* the first one behind the key itself */
	key.sk[n + 1] = '\0';
	l->s->stats.item_queries++;
	return ddb_query(&l->s->io, &r, take_command, l);
}

#define INDEX_MAX 99 /* two digits of a key */

ev_err load_commands(struct store *store, const struct ev_uuid *outlet_id, uint64_t version,
		     unsigned index, int64_t now_ns, struct device_command *out, size_t max,
		     size_t *out_n)
{
	struct aws_store *s = aws_store_of(store);
	struct command_list l = { .s = s, .now_ns = now_ns, .enough = max };
	size_t skip;
	ev_err e = EV_OK;

	if (max > 0)
		e = query_commands(&l, outlet_id, version, index < INDEX_MAX ? index : INDEX_MAX);
	for (size_t i = 0; i < s->group.commands.n && e == EV_OK; i++) {
		const struct device_command *c = &s->group.commands.of[i];

		if (ev_uuid_eq(&c->outlet_id, outlet_id) &&
		    (c->version > version || (c->version == version && c->index > index)))
			e = add_command(&l, c);
	}
	if (e == EV_OK && l.n > 1)
		qsort(l.of, l.n, sizeof(l.of[0]), by_number);
	skip = l.n > max ? l.n - max : 0;
	if (e == EV_OK && l.n > skip)
		memcpy(out, l.of + skip, (l.n - skip) * sizeof(out[0]));
	if (e == EV_OK)
		*out_n = l.n - skip;
	free(l.of);
	return e;
}

/* --- sessions --- */

struct session_ref {
	int64_t start_ns;
	struct ev_uuid id;
};

struct session_list {
	struct session_ref *of;
	size_t n, cap;
};

static ev_err add_ref(struct session_list *l, const struct ev_uuid *id, int64_t start_ns)
{
	for (size_t i = 0; i < l->n; i++) {
		if (ev_uuid_eq(&l->of[i].id, id))
			return EV_OK;
	}
	if (!grow((void **)&l->of, l->n, &l->cap, sizeof(l->of[0])))
		return EV_NOMEM;
	l->of[l->n++] = (struct session_ref){ .start_ns = start_ns, .id = *id };
	return EV_OK;
}

static ev_err take_live(void *user, struct ev_str item, bool *more)
{
	struct own_live live;
	ev_err e = own_live_read(item, &live);

	*more = true;
	return e == EV_OK ? add_ref(user, &live.session_id, live.start_ns) : e;
}

/* Those that the group has changed, whatever they are now. */
static ev_err add_touched(struct aws_store *s, struct session_list *l)
{
	ev_err e = EV_OK;

	for (struct aws_row *r = s->group.touched; r != NULL && e == EV_OK; r = r->next_touched) {
		if (r->kind == ROW_SESSION)
			e = add_ref(l, &r->id, 0);
	}
	return e;
}

/* A session may be listed that is not live yet, or not any more: the row says it. */
static ev_err keep_live(struct aws_store *s, const struct ev_uuid *outlet_id,
			struct session_list *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		struct aws_row *r = NULL;
		ev_err e = row_get(s, ROW_SESSION, &l->of[i].id, &r);
		const struct session *x;

		if (e == EV_NOTFOUND || e == EV_CORRUPT)
			continue;
		if (e != EV_OK)
			return e;
		x = &session_of(r)->row;
		if (session_is_live(x->state) && ev_uuid_eq(&x->outlet_id, outlet_id))
			l->of[kept++] = (struct session_ref){ x->start_ns, x->id };
	}
	l->n = kept;
	return EV_OK;
}

static int by_newest(const void *a, const void *b)
{
	const struct session_ref *x = a;
	const struct session_ref *y = b;

	if (x->start_ns != y->start_ns)
		return x->start_ns > y->start_ns ? -1 : 1;
	return memcmp(y->id.b, x->id.b, sizeof(x->id.b));
}

static size_t give_ids(struct session_list *l, struct ev_uuid *out, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n && n < max; i++)
		out[n++] = l->of[i].id;
	return n;
}

ev_err live_sessions(struct store *store, const struct ev_uuid *outlet_id, struct ev_uuid *out,
		     size_t max, size_t *out_n)
{
	struct aws_store *s = aws_store_of(store);
	struct ev_uuid any = { { 0 } };
	struct own_key key = own_live_key(outlet_id, &any);
	struct session_list l = { .of = NULL };
	struct ddb_range r = {
		.table = s->c.resources->items,
		.pk_name = AWS_ITEM_PK,
		.pk = ev_str_from(key.pk),
	};
	ev_err e;

	if (!store_has_role(s, AWS_ROLE_APP))
		return EV_UNSUPPORTED;
	s->stats.item_queries++;
	e = ddb_query(&s->io, &r, take_live, &l);
	if (e == EV_OK)
		e = add_touched(s, &l);
	if (e == EV_OK)
		e = keep_live(s, outlet_id, &l);
	if (e == EV_OK && l.n > 1)
		qsort(l.of, l.n, sizeof(l.of[0]), by_newest);
	if (e == EV_OK)
		*out_n = give_ids(&l, out, max);
	free(l.of);
	return e;
}

static ev_err take_session_id(void *user, struct ev_str item, bool *more)
{
	static const char *const names[] = { "sessionId" };
	struct ddb_value v[1];
	struct ev_uuid id;
	ev_err e = ddb_read_fields(item, names, 1, v);

	*more = true;
	if (e == EV_OK)
		e = ddb_value_uuid(&v[0], &id);
	return e == EV_OK ? add_ref(user, &id, 0) : e;
}

/* The index may lag; what is cached is as new as we know. */
static void keep_of_customer(struct aws_store *s, const struct ev_uuid *customer_id,
			     const struct ev_uuid *after, struct session_list *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		struct aws_row *r = aws_cache_find(&s->cache, ROW_SESSION, &l->of[i].id);
		const struct session *x = r != NULL && !r->stale ? &session_of(r)->row : NULL;

		if (x != NULL && (!x->has_customer || !ev_uuid_eq(&x->customer_id, customer_id)))
			continue;
		if (after == NULL || memcmp(l->of[i].id.b, after->b, sizeof(after->b)) > 0)
			l->of[kept++] = l->of[i];
	}
	l->n = kept;
}

static int by_id(const void *a, const void *b)
{
	const struct session_ref *x = a;
	const struct session_ref *y = b;

	return memcmp(x->id.b, y->id.b, sizeof(x->id.b));
}

ev_err customer_sessions(struct store *store, const struct ev_uuid *customer_id,
			 const struct ev_uuid *after, struct ev_uuid *out, size_t max,
			 size_t *out_n)
{
	struct aws_store *s = aws_store_of(store);
	struct session_list l = { .of = NULL };
	char text[EV_UUID_TEXT + 1];
	struct ddb_range r = {
		.table = s->c.resources->sessions,
		.index = s->c.resources->sessions_by_customer,
		.pk_name = "customerId",
	};
	ev_err e;

	if (!store_has_role(s, AWS_ROLE_APP))
		return EV_UNSUPPORTED;
	ev_uuid_text(customer_id, text);
	r.pk = ev_str_from(text);
	e = ddb_query(&s->io, &r, take_session_id, &l);
	if (e == EV_OK)
		e = add_touched(s, &l);
	if (e == EV_OK) {
		keep_of_customer(s, customer_id, after, &l);
		if (l.n > 1)
			qsort(l.of, l.n, sizeof(l.of[0]), by_id);
		*out_n = give_ids(&l, out, max);
	}
	free(l.of);
	return e;
}
