/* engine/aws/ddb_own.c — items of our own table, written and read; see ddb_own.h. */
#include "engine/aws/ddb_own.h"

#include <assert.h>

#include "codec/ddb_effects.h"
#include "codec/ddb_letter.h"
#include "codec/input_pack.h"
#include "engine/aws/resources.h"

#define AT_MAX_S (INT64_MAX / EV_NS_PER_S)

enum field {
	F_PK,
	F_SK,
	F_AT,
	F_DUE,
	F_IDS,
	F_INPUT,
	F_COMMAND,
	F_DELIVERED_VERSION,
	F_DELIVERED_INDEX,
	F_ACKED_VERSION,
	F_ACKED_INDEX,
	F_GATEWAY,
	F_GENERATION,
	F_OUTLET,
	F_SESSION,
	F_CUSTOMER,
	F_TAG,
	F_MWH,
	F_CHANNEL,
	F_REASON,
	F_DETAIL,
	F_BODY,
	F_STATUS,
	F_SEQ,
	F_VERSION,
	F_COUNT
};

static const char *const names[F_COUNT] = {
	[F_PK] = AWS_ITEM_PK,
	[F_SK] = AWS_ITEM_SK,
	[F_AT] = "at",
	[F_DUE] = "due",
	[F_IDS] = "ids",
	[F_INPUT] = "input",
	[F_COMMAND] = "command",
	[F_DELIVERED_VERSION] = "deliveredVersion",
	[F_DELIVERED_INDEX] = "deliveredIndex",
	[F_ACKED_VERSION] = "ackedVersion",
	[F_ACKED_INDEX] = "ackedIndex",
	[F_GATEWAY] = "gateway",
	[F_GENERATION] = "generation",
	[F_OUTLET] = "outletId",
	[F_SESSION] = "sessionId",
	[F_CUSTOMER] = "customerId",
	[F_TAG] = "rfidTag",
	[F_MWH] = "mwh",
	[F_CHANNEL] = "channel",
	[F_REASON] = "reason",
	[F_DETAIL] = "detail",
	[F_BODY] = "body",
	[F_STATUS] = "status",
	[F_SEQ] = "seq",
	[F_VERSION] = "version",
};

static const char *const statuses[] = {
	[DEAD_LETTER_OPEN] = "open",
	[DEAD_LETTER_REPLAYED] = "replayed",
	[DEAD_LETTER_DROPPED] = "dropped",
};

static const char *const channels[] = {
	[INPUT_DEVICE_MESSAGE] = "deviceMessage",
	[INPUT_CHARGING_EVENT] = "chargingEvent",
};

/* ---- writing ---- */

/* The key's texts must outlive the attributes. */
static void begin(struct ddb_attrs *a, const struct own_key *k)
{
	ddb_attrs_init(a);
	ddb_attr_s(a, names[F_PK], ev_str_from(k->pk));
	ddb_attr_s(a, names[F_SK], ev_str_from(k->sk));
}

static void add_index(struct ddb_attrs *a, const char *gpk, const char *gsk)
{
	ddb_attr_s(a, AWS_ITEM_INDEX_PK, ev_str_from(gpk));
	ddb_attr_s(a, AWS_ITEM_INDEX_SK, ev_str_from(gsk));
}

/* Rounded up, so that nothing goes too early. */
static void add_expires(struct ddb_attrs *a, int64_t at_ns, int64_t keep_ns)
{
	int64_t s = at_ns / EV_NS_PER_S + keep_ns / EV_NS_PER_S + 1;

	ddb_attr_i64(a, AWS_ITEM_EXPIRES, s < AT_MAX_S ? s : AT_MAX_S);
}

void own_block_put(const struct identity_block *b, struct json_writer *w)
{
	struct own_key k = own_block_key(b);
	struct ddb_attrs a;
	size_t n = OUTLET_IDS_MAX;

	while (n > 1 && identity_is_none(&b->ids[n - 1]))
		n--;
	begin(&a, &k);
	ddb_attr_i64(&a, names[F_AT], b->at_ns);
	ddb_attr_b(&a, names[F_IDS],
		   (struct ev_str){ (const char *)b->ids, n * sizeof(b->ids[0]) });
	add_expires(&a, b->at_ns, OWN_IDS_KEEP_NS);
	ddb_item_write(&a, w);
}

void own_parked_put(const struct parked_input *p, struct json_writer *w)
{
	struct own_key k = own_parked_key(&p->outlet_id, &p->id);
	uint8_t bytes[INPUT_PACK_MAX];
	char gsk[OWN_KEY_MAX];
	struct ddb_attrs a;

	begin(&a, &k);
	own_index_key(p->due_ns, NULL, &p->id, gsk);
	add_index(&a, OWN_INDEX_PARKED, gsk);
	ddb_attr_i64(&a, names[F_AT], p->at_ns);
	ddb_attr_i64(&a, names[F_DUE], p->due_ns);
	ddb_attr_bytes(&a, names[F_INPUT], bytes, input_pack(&p->input, bytes));
	ddb_item_write(&a, w);
}

static void delivery_attrs(const struct own_delivery *d, const struct own_key *k,
			   struct ddb_attrs *a)
{
	begin(a, k);
	ddb_attr_u64(a, names[F_DELIVERED_VERSION], d->delivery.delivered_version);
	ddb_attr_u64(a, names[F_DELIVERED_INDEX], d->delivery.delivered_index);
	ddb_attr_u64(a, names[F_ACKED_VERSION], d->delivery.acked_version);
	ddb_attr_u64(a, names[F_ACKED_INDEX], d->delivery.acked_index);
	ddb_attr_u64(a, names[F_GENERATION], d->generation);
	ddb_attr_s(a, names[F_GATEWAY], ev_str_from(d->gateway));
	ddb_attr_i64(a, names[F_AT], d->delivery.at_ns);
}

void own_delivery_put(const struct own_delivery *d, struct json_writer *w)
{
	struct own_key k = own_delivery_key(&d->delivery.outlet_id);
	struct ddb_attrs a;

	delivery_attrs(d, &k, &a);
	ddb_item_write(&a, w);
}

/* Sets all but the key. */
static void change_all(struct ddb_change *c, const struct ddb_attrs *a)
{
	for (unsigned i = 2; i < a->n; i++)
		ddb_change_set(c, &a->of[i]);
}

static void write_change(const struct ddb_change *c, const struct own_key *k, struct json_writer *w)
{
	json_write_key(w, "Key");
	own_key_write(k, w);
	ddb_change_write(c, w);
}

void own_delivery_update(const struct own_delivery *was, const struct own_delivery *now,
			 struct json_writer *w)
{
	static const enum field compared[] = { F_DELIVERED_VERSION, F_DELIVERED_INDEX,
					       F_ACKED_VERSION, F_ACKED_INDEX, F_GENERATION };
	struct own_key k = own_delivery_key(&now->delivery.outlet_id);
	struct ddb_change c = { .n_set = 0 };
	struct ddb_attrs before, after;

	delivery_attrs(now, &k, &after);
	change_all(&c, &after);
	if (was == NULL) {
		ddb_change_if_absent(&c, names[F_PK]);
	} else {
		delivery_attrs(was, &k, &before);
		for (size_t i = 0; i < EV_ARRAY_LEN(compared); i++)
			ddb_change_if(&c, DDB_IF_EQUAL,
				      ddb_attrs_find(&before, names[compared[i]]));
	}
	write_change(&c, &k, w);
}

/* One effect of a row that says nothing of itself: the whole command. */
void own_command_put(const struct device_command *c, struct json_writer *w)
{
	static const struct effects_base nothing;
	struct own_key k = own_command_key(&c->outlet_id, c->version, c->index);
	struct row_effects one = { .n = 1 };
	uint8_t bytes[ROW_EFFECTS_BYTES];
	struct ddb_attrs a;

	one.of[0] = (struct row_effect){ .is_command = true, .command = *c };
	begin(&a, &k);
	ddb_attr_bytes(&a, names[F_COMMAND], bytes, row_effects_write(&one, &nothing, bytes));
	add_expires(&a, c->created_ns, OWN_COMMAND_KEEP_NS);
	ddb_item_write(&a, w);
}

void own_unassigned_put(const struct unassigned_item *i, struct json_writer *w)
{
	struct own_key k = own_unassigned_key(&i->id);
	char gsk[OWN_KEY_MAX];
	struct ddb_attrs a;

	begin(&a, &k);
	own_index_key(i->at_ns, NULL, &i->id, gsk);
	add_index(&a, OWN_INDEX_ITEMS, gsk);
	ddb_attr_uuid(&a, names[F_OUTLET], &i->outlet_id);
	ddb_attr_i64(&a, names[F_AT], i->at_ns);
	ddb_attr_i64(&a, names[F_MWH], i->mwh);
	ddb_attr_s(&a, names[F_TAG], rfid_tag_str(&i->tag));
	if (i->attached)
		ddb_attr_uuid(&a, names[F_SESSION], &i->session_id);
	ddb_item_write(&a, w);
}

void own_attachment_put(const struct own_attachment *t, struct json_writer *w)
{
	struct own_key k = own_attachment_key(&t->item_id);
	struct ddb_attrs a;

	begin(&a, &k);
	ddb_attr_uuid(&a, names[F_SESSION], &t->session_id);
	ddb_attr_i64(&a, names[F_MWH], t->mwh);
	ddb_item_write(&a, w);
}

void own_claim_put(const struct tag_claim *c, struct json_writer *w)
{
	struct own_key k = own_claim_key(&c->tag);
	struct ddb_attrs a;

	begin(&a, &k);
	ddb_attr_uuid(&a, names[F_CUSTOMER], &c->customer_id);
	ddb_attr_i64(&a, names[F_AT], c->at_ns);
	ddb_item_write(&a, w);
}

void own_claim_held_by(const struct ev_uuid *customer_id, struct json_writer *w)
{
	struct ddb_change c = { .n_set = 0 };
	struct ddb_attrs a;

	ddb_attrs_init(&a);
	ddb_attr_uuid(&a, names[F_CUSTOMER], customer_id);
	ddb_change_if(&c, DDB_IF_EQUAL, &a.of[0]);
	ddb_change_write(&c, w);
}

void own_if_absent(struct json_writer *w)
{
	struct ddb_change c = { .n_set = 0 };

	ddb_change_if_absent(&c, names[F_PK]);
	ddb_change_write(&c, w);
}

static const char *letters_of(enum dead_letter_status s)
{
	return s == DEAD_LETTER_OPEN ? OWN_INDEX_LETTERS_OPEN : OWN_INDEX_LETTERS_CLOSED;
}

void own_letter_put(const struct dead_letter *l, struct json_writer *w)
{
	struct own_key k = own_letter_key(&l->id);
	char gsk[OWN_KEY_MAX];
	struct ddb_attrs a;

	assert(l->body.n <= DEAD_LETTER_BODY_MAX && l->seq <= INT64_MAX);
	begin(&a, &k);
	own_index_key((int64_t)l->seq, NULL, &l->id, gsk);
	add_index(&a, letters_of(l->status), gsk);
	ddb_attr_u64(&a, names[F_SEQ], l->seq);
	ddb_attr_s(&a, names[F_CHANNEL], ev_str_from(channels[l->channel]));
	if (l->has_outlet)
		ddb_attr_uuid(&a, names[F_OUTLET], &l->outlet_id);
	ddb_attr_i64(&a, names[F_AT], l->at_ns);
	ddb_attr_s(&a, names[F_REASON], ev_str_from(letter_reason_name(l->reason)));
	ddb_attr_s(&a, names[F_DETAIL], ev_str_from(l->detail));
	ddb_attr_s(&a, names[F_STATUS], ev_str_from(statuses[l->status]));
	if (l->body.n > 0)
		ddb_attr_b(&a, names[F_BODY], l->body);
	ddb_item_write(&a, w);
}

void own_letter_status(const struct identity *id, enum dead_letter_status status, int64_t at_ns,
		       struct json_writer *w)
{
	struct own_key k = own_letter_key(id);
	struct ddb_change c = { .n_set = 0 };
	struct ddb_attrs a;

	begin(&a, &k);
	ddb_attr_s(&a, names[F_STATUS], ev_str_from(statuses[status]));
	ddb_attr_s(&a, AWS_ITEM_INDEX_PK, ev_str_from(letters_of(status)));
	ddb_attr_i64(&a, "closedAt", at_ns);
	change_all(&c, &a);
	ddb_change_if(&c, DDB_IF_PRESENT, &a.of[F_PK]);
	write_change(&c, &k, w);
}

void own_live_put(const struct own_live *l, struct json_writer *w)
{
	struct own_key k = own_live_key(&l->outlet_id, &l->session_id);
	char gsk[OWN_KEY_MAX];
	struct ddb_attrs a;

	begin(&a, &k);
	own_index_key(l->start_ns, &l->session_id, NULL, gsk);
	add_index(&a, OWN_INDEX_LIVE, gsk);
	ddb_attr_i64(&a, names[F_AT], l->start_ns);
	ddb_item_write(&a, w);
}

static void sweep_attrs(const struct own_sweep *s, const struct own_key *k, struct ddb_attrs *a)
{
	begin(a, k);
	ddb_attr_u64(a, names[F_VERSION], s->version);
	ddb_attr_s(a, names[F_GATEWAY], ev_str_from(s->owner));
	ddb_attr_i64(a, names[F_AT], s->at_ns);
}

void own_sweep_put(const struct own_sweep *s, struct json_writer *w)
{
	struct own_key k = own_sweep_key(s->sessions);
	struct ddb_attrs a;

	sweep_attrs(s, &k, &a);
	ddb_item_write(&a, w);
}

void own_sweep_update(const struct own_sweep *was, const struct own_sweep *now,
		      struct json_writer *w)
{
	struct own_key k = own_sweep_key(now->sessions);
	struct ddb_change c = { .n_set = 0 };
	struct ddb_attrs before, after;

	sweep_attrs(now, &k, &after);
	change_all(&c, &after);
	if (was == NULL) {
		ddb_change_if_absent(&c, names[F_PK]);
	} else {
		sweep_attrs(was, &k, &before);
		ddb_change_if(&c, DDB_IF_EQUAL, ddb_attrs_find(&before, names[F_VERSION]));
	}
	write_change(&c, &k, w);
}

/* ---- reading ---- */

/* An item's values, and its key's texts behind their prefixes. */
struct read {
	struct ddb_value v[F_COUNT];
	char pk_room[OWN_KEY_MAX];
	char sk_room[OWN_KEY_MAX];
	struct ev_str pk;
	struct ev_str sk;
};

static ev_err read_key(struct ev_str item, struct read *r)
{
	ev_err e = ddb_read_fields(item, names, F_COUNT, r->v);

	if (e == EV_OK)
		e = ddb_value_text(&r->v[F_PK], r->pk_room, sizeof(r->pk_room), &r->pk);
	if (e == EV_OK)
		e = ddb_value_text(&r->v[F_SK], r->sk_room, sizeof(r->sk_room), &r->sk);
	return e;
}

ev_err own_kind_read(struct ev_str item, enum own_kind *out)
{
	struct read r;
	ev_err e = read_key(item, &r);

	if (e == EV_OK)
		*out = own_kind_of(r.pk, r.sk);
	return e;
}

static struct ev_str behind_mark(struct ev_str s)
{
	const char *mark = s.n > 0 ? memchr(s.p, '#', s.n) : NULL;
	size_t n = mark == NULL ? s.n : (size_t)(mark - s.p) + 1;

	return (struct ev_str){ s.p + n, s.n - n };
}

static ev_err read_item(struct ev_str item, enum own_kind kind, struct read *r)
{
	ev_err e = read_key(item, r);

	if (e == EV_OK && own_kind_of(r->pk, r->sk) != kind)
		e = EV_CORRUPT;
	if (e != EV_OK)
		return e;
	r->pk = behind_mark(r->pk);
	if (kind != OWN_LIVE && kind != OWN_SWEEP)
		r->sk = behind_mark(r->sk);
	return EV_OK;
}

static ev_err key_uuid(struct ev_str s, struct ev_uuid *out)
{
	return ev_uuid_parse(s, out) == EV_OK ? EV_OK : EV_CORRUPT;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static ev_err key_identity(struct ev_str s, struct identity *out)
{
	struct identity id;

	if (s.n != 2 * sizeof(id.b))
		return EV_CORRUPT;
	for (size_t i = 0; i < sizeof(id.b); i++) {
		int high = hex_value(s.p[2 * i]), low = hex_value(s.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return EV_CORRUPT;
		id.b[i] = (uint8_t)(high << 4 | low);
	}
	*out = id;
	return EV_OK;
}

ev_err own_block_read(struct ev_str item, struct identity_block *out)
{
	struct identity_block b;
	struct ev_str ids;
	struct read r;
	ev_err e = read_item(item, OWN_BLOCK, &r);

	memset(&b, 0, sizeof(b));
	if (e == EV_OK)
		e = key_uuid(r.pk, &b.outlet_id);
	if (e == EV_OK)
		e = ddb_value_i64(&r.v[F_AT], &b.at_ns);
	if (e == EV_OK)
		e = ddb_value_bytes(&r.v[F_IDS], b.ids, sizeof(b.ids), &ids);
	if (e == EV_OK && ids.n % sizeof(b.ids[0]) != 0)
		e = EV_CORRUPT;
	if (e == EV_OK)
		*out = b;
	return e;
}

ev_err own_parked_read(struct ev_str item, struct parked_input *out)
{
	char room[INPUT_PACK_MAX];
	struct parked_input p;
	struct ev_str bytes;
	struct read r;
	ev_err e = read_item(item, OWN_PARKED, &r);

	memset(&p, 0, sizeof(p));
	if (e == EV_OK)
		e = key_uuid(r.pk, &p.outlet_id);
	if (e == EV_OK)
		e = key_identity(r.sk, &p.id);
	if (e == EV_OK)
		e = ddb_value_i64(&r.v[F_AT], &p.at_ns);
	if (e == EV_OK)
		e = ddb_value_i64(&r.v[F_DUE], &p.due_ns);
	if (e == EV_OK)
		e = ddb_value_bytes(&r.v[F_INPUT], room, sizeof(room), &bytes);
	if (e == EV_OK)
		e = input_unpack(bytes, &p.input);
	if (e == EV_OK)
		*out = p;
	return e;
}

static ev_err read_index(const struct ddb_value *v, unsigned *out)
{
	uint64_t u;

	if (ddb_value_u64(v, &u) != EV_OK || u > UINT8_MAX)
		return EV_CORRUPT;
	*out = (unsigned)u;
	return EV_OK;
}

static ev_err read_delivery(const struct ddb_value v[F_COUNT], struct delivery *d)
{
	ev_err e = ddb_value_u64(&v[F_DELIVERED_VERSION], &d->delivered_version);

	if (e == EV_OK)
		e = read_index(&v[F_DELIVERED_INDEX], &d->delivered_index);
	if (e == EV_OK)
		e = ddb_value_u64(&v[F_ACKED_VERSION], &d->acked_version);
	if (e == EV_OK)
		e = read_index(&v[F_ACKED_INDEX], &d->acked_index);
	if (e == EV_OK)
		e = ddb_value_i64(&v[F_AT], &d->at_ns);
	return e;
}

ev_err own_delivery_read(struct ev_str item, struct own_delivery *out)
{
	struct own_delivery d;
	struct read r;
	ev_err e = read_item(item, OWN_DELIVERY, &r);

	memset(&d, 0, sizeof(d));
	if (e == EV_OK)
		e = key_uuid(r.pk, &d.delivery.outlet_id);
	if (e == EV_OK)
		e = read_delivery(r.v, &d.delivery);
	if (e == EV_OK)
		e = ddb_value_u64(&r.v[F_GENERATION], &d.generation);
	if (e == EV_OK)
		e = ddb_value_z(&r.v[F_GATEWAY], d.gateway, sizeof(d.gateway));
	if (e == EV_OK)
		*out = d;
	return e;
}

ev_err own_command_read(struct ev_str item, struct device_command *out)
{
	static const struct effects_base nothing;
	struct row_effects one = { .n = 0 };
	char room[ROW_EFFECTS_BYTES];
	struct ev_str bytes;
	struct read r;
	ev_err e = read_item(item, OWN_COMMAND, &r);

	if (e == EV_OK)
		e = ddb_value_bytes(&r.v[F_COMMAND], room, sizeof(room), &bytes);
	if (e == EV_OK)
		e = row_effects_read(bytes, &nothing, &one);
	if (e != EV_OK)
		return e;
	if (one.n != 1 || !one.of[0].is_command)
		return EV_CORRUPT;
	*out = one.of[0].command;
	return EV_OK;
}

ev_err own_unassigned_read(struct ev_str item, struct unassigned_item *out)
{
	struct unassigned_item i;
	struct read r;
	ev_err e = read_item(item, OWN_UNASSIGNED, &r);

	memset(&i, 0, sizeof(i));
	if (e == EV_OK)
		e = key_identity(r.pk, &i.id);
	if (e == EV_OK)
		e = ddb_value_uuid(&r.v[F_OUTLET], &i.outlet_id);
	if (e == EV_OK)
		e = ddb_value_i64(&r.v[F_AT], &i.at_ns);
	if (e == EV_OK)
		e = ddb_value_i64(&r.v[F_MWH], &i.mwh);
	if (e == EV_OK)
		e = ddb_value_tag(&r.v[F_TAG], &i.tag);
	if (e != EV_OK)
		return e;
	i.attached = r.v[F_SESSION].type != DDB_NONE;
	if (i.attached && ddb_value_uuid(&r.v[F_SESSION], &i.session_id) != EV_OK)
		return EV_CORRUPT;
	*out = i;
	return EV_OK;
}

ev_err own_attachment_read(struct ev_str item, struct own_attachment *out)
{
	struct own_attachment t;
	struct read r;
	ev_err e = read_item(item, OWN_ATTACHMENT, &r);

	memset(&t, 0, sizeof(t));
	if (e == EV_OK)
		e = key_identity(r.pk, &t.item_id);
	if (e == EV_OK)
		e = ddb_value_uuid(&r.v[F_SESSION], &t.session_id);
	if (e == EV_OK)
		e = ddb_value_i64(&r.v[F_MWH], &t.mwh);
	if (e == EV_OK)
		*out = t;
	return e;
}

ev_err own_claim_read(struct ev_str item, struct tag_claim *out)
{
	struct tag_claim c;
	struct read r;
	ev_err e = read_item(item, OWN_CLAIM, &r);

	memset(&c, 0, sizeof(c));
	if (e == EV_OK && rfid_tag_set(&c.tag, r.pk) != EV_OK)
		e = EV_CORRUPT;
	if (e == EV_OK)
		e = ddb_value_uuid(&r.v[F_CUSTOMER], &c.customer_id);
	if (e == EV_OK)
		e = ddb_value_i64(&r.v[F_AT], &c.at_ns);
	if (e == EV_OK)
		*out = c;
	return e;
}

/* Which of n texts a value is. */
static ev_err read_word(const struct ddb_value *v, const char *const words[], unsigned n,
			unsigned *out)
{
	char room[32];
	struct ev_str s;

	if (ddb_value_text(v, room, sizeof(room), &s) != EV_OK)
		return EV_CORRUPT;
	for (unsigned i = 0; i < n; i++) {
		if (ev_str_eqz(s, words[i])) {
			*out = i;
			return EV_OK;
		}
	}
	return EV_CORRUPT;
}

static ev_err read_letter_words(const struct ddb_value v[F_COUNT], struct dead_letter *l)
{
	unsigned channel = 0, status = 0;
	char room[32];
	struct ev_str reason;
	ev_err e = read_word(&v[F_CHANNEL], channels, EV_ARRAY_LEN(channels), &channel);

	if (e == EV_OK)
		e = read_word(&v[F_STATUS], statuses, EV_ARRAY_LEN(statuses), &status);
	if (e == EV_OK)
		e = ddb_value_text(&v[F_REASON], room, sizeof(room), &reason);
	if (e != EV_OK)
		return e;
	l->channel = (enum input_channel)channel;
	l->status = (enum dead_letter_status)status;
	l->reason = letter_reason_parse(reason);
	return EV_OK;
}

static ev_err read_letter_fields(const struct ddb_value v[F_COUNT], struct dead_letter *l)
{
	ev_err e = read_letter_words(v, l);

	l->has_outlet = v[F_OUTLET].type != DDB_NONE;
	if (e == EV_OK && l->has_outlet)
		e = ddb_value_uuid(&v[F_OUTLET], &l->outlet_id);
	if (e == EV_OK)
		e = ddb_value_u64(&v[F_SEQ], &l->seq);
	if (e == EV_OK && l->seq > INT64_MAX)
		e = EV_CORRUPT;
	if (e == EV_OK)
		e = ddb_value_i64(&v[F_AT], &l->at_ns);
	if (e == EV_OK)
		e = ddb_value_z(&v[F_DETAIL], l->detail, sizeof(l->detail));
	return e;
}

ev_err own_letter_read(struct ev_str item, struct dead_letter *out, char *body_out)
{
	struct dead_letter l;
	struct read r;
	ev_err e = read_item(item, OWN_LETTER, &r);

	memset(&l, 0, sizeof(l));
	l.body = (struct ev_str){ body_out, 0 };
	if (e == EV_OK)
		e = key_identity(r.pk, &l.id);
	if (e == EV_OK)
		e = read_letter_fields(r.v, &l);
	if (e == EV_OK && r.v[F_BODY].type != DDB_NONE)
		e = ddb_value_bytes(&r.v[F_BODY], body_out, DEAD_LETTER_BODY_MAX, &l.body);
	if (e == EV_OK)
		*out = l;
	return e;
}

ev_err own_live_read(struct ev_str item, struct own_live *out)
{
	struct own_live l;
	struct read r;
	ev_err e = read_item(item, OWN_LIVE, &r);

	memset(&l, 0, sizeof(l));
	if (e == EV_OK)
		e = key_uuid(r.pk, &l.outlet_id);
	if (e == EV_OK)
		e = key_uuid(r.sk, &l.session_id);
	if (e == EV_OK)
		e = ddb_value_i64(&r.v[F_AT], &l.start_ns);
	if (e == EV_OK)
		*out = l;
	return e;
}

ev_err own_sweep_read(struct ev_str item, struct own_sweep *out)
{
	struct own_sweep s;
	struct read r;
	ev_err e = read_item(item, OWN_SWEEP, &r);

	memset(&s, 0, sizeof(s));
	if (e == EV_OK && !ev_str_eqz(r.sk, OWN_SK_NONE) && !ev_str_eqz(r.sk, OWN_SK_SESSIONS))
		e = EV_CORRUPT;
	s.sessions = e == EV_OK && ev_str_eqz(r.sk, OWN_SK_SESSIONS);
	if (e == EV_OK)
		e = ddb_value_u64(&r.v[F_VERSION], &s.version);
	if (e == EV_OK)
		e = ddb_value_z(&r.v[F_GATEWAY], s.owner, sizeof(s.owner));
	if (e == EV_OK)
		e = ddb_value_i64(&r.v[F_AT], &s.at_ns);
	if (e == EV_OK)
		*out = s;
	return e;
}
