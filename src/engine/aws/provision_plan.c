/* engine/aws/provision_plan.c — what is wanted, and how that compares with what was found. */
#include "base/buf.h"
#include "base/num.h"
#include "engine/aws/provision_spec.h"

#define NAME_OF(field) offsetof(struct aws_resources, field)

/* Dead-letter queues before those that name them. */
static const struct provision_spec specs[PROVISION_RESOURCES] = {
	{ .kind = PROVISION_QUEUE, .name = NAME_OF(messages_in_dead), .dead = PROVISION_NO_NAME },
	{ .kind = PROVISION_QUEUE, .name = NAME_OF(commands_out_dead), .dead = PROVISION_NO_NAME },
	{ .kind = PROVISION_QUEUE,
	  .name = NAME_OF(messages_in),
	  .dead = NAME_OF(messages_in_dead) },
	{ .kind = PROVISION_QUEUE,
	  .name = NAME_OF(commands_out),
	  .dead = NAME_OF(commands_out_dead) },
	{ .kind = PROVISION_STREAM, .name = NAME_OF(event_stream), .shards = 4 },
	{ .kind = PROVISION_STREAM, .name = NAME_OF(dead_letter_stream), .shards = 1 },
	{ .kind = PROVISION_TABLE,
	  .name = NAME_OF(outlet_leases),
	  .key = { "leaseKey", NULL },
	  .units = 4 },
	{ .kind = PROVISION_TABLE,
	  .name = NAME_OF(app_leases),
	  .key = { "leaseKey", NULL },
	  .units = 4 },
	{ .kind = PROVISION_TABLE,
	  .name = NAME_OF(customers),
	  .key = { "customerId", NULL },
	  .index = NAME_OF(customers_by_tag),
	  .index_key = { "rfidTag", NULL },
	  .include = { "customerId" } },
	{ .kind = PROVISION_TABLE, .name = NAME_OF(outlets), .key = { "outletId", NULL } },
	{ .kind = PROVISION_TABLE,
	  .name = NAME_OF(sessions),
	  .key = { "sessionId", NULL },
	  .index = NAME_OF(sessions_by_customer),
	  .index_key = { "customerId", NULL },
	  .include = { "outletId", "outletState", "sessionId", "startTime" } },
	{ .kind = PROVISION_TABLE,
	  .name = NAME_OF(items),
	  .key = { AWS_ITEM_PK, AWS_ITEM_SK },
	  .index = NAME_OF(items_index),
	  .index_key = { AWS_ITEM_INDEX_PK, AWS_ITEM_INDEX_SK },
	  .expires = AWS_ITEM_EXPIRES },
};

static const struct {
	const char *text;
	enum aws_service service;
} kinds[] = {
	[PROVISION_QUEUE] = { "queue", AWS_SQS },
	[PROVISION_STREAM] = { "stream", AWS_KINESIS },
	[PROVISION_TABLE] = { "table", AWS_DYNAMODB },
};
_Static_assert(EV_ARRAY_LEN(kinds) == PROVISION_KIND_COUNT, "every kind has a word");

const char *provision_kind_text(enum provision_kind kind)
{
	return kinds[kind].text;
}

static const char *name_at(const struct aws_resources *names, size_t at)
{
	return (const char *)names + at;
}

/* --- Texts, the same for what is wanted and what is found --- */

void provision_key_text(struct ev_buf *b, const struct provision_key *key)
{
	for (size_t i = 0; i < key->n; i++) {
		ev_buf_z(b, i > 0 ? ", " : "");
		ev_buf_str_add(b, key->names[i]);
		ev_buf_z(b, " ");
		ev_buf_str_add(b, key->types[i]);
	}
}

void provision_index_text(struct ev_buf *b, const struct provision_index *x)
{
	ev_buf_str_add(b, x->name);
	ev_buf_z(b, " (");
	provision_key_text(b, &x->key);
	ev_buf_z(b, ") ");
	ev_buf_str_add(b, x->projection);
	for (size_t i = 0; i < x->n_include; i++) {
		ev_buf_z(b, i > 0 ? ", " : " ");
		ev_buf_str_add(b, x->include[i]);
	}
}

void provision_capacity_text(struct ev_buf *b, uint64_t read_units, uint64_t write_units)
{
	if (read_units == 0 && write_units == 0) {
		ev_buf_z(b, "on demand");
		return;
	}
	ev_buf_u64(b, read_units);
	ev_buf_z(b, " read, ");
	ev_buf_u64(b, write_units);
	ev_buf_z(b, " write");
}

/* --- What is wanted --- */

static struct provision_setting *add(struct provision_resource *r, const char *name,
				     enum provision_rule rule)
{
	struct provision_setting *s = &r->settings[r->n_settings++];

	*s = (struct provision_setting){ .name = name, .rule = rule };
	return s;
}

static void add_z(struct provision_resource *r, const char *name, enum provision_rule rule,
		  const char *wanted)
{
	struct provision_setting *s = add(r, name, rule);
	struct ev_buf b = ev_buf_over(s->wanted, PROVISION_VALUE_MAX - 1);

	ev_buf_z(&b, wanted);
}

struct provision_key provision_spec_key(const char *const names[2])
{
	struct provision_key key = { .n = 0 };

	for (size_t i = 0; i < 2 && names[i] != NULL; i++) {
		key.names[i] = ev_str_from(names[i]);
		key.types[i] = EV_LIT("S");
		key.n++;
	}
	return key;
}

struct provision_index provision_spec_index(const struct provision_resource *r)
{
	const struct provision_spec *spec = r->spec;
	struct provision_index x = { .name = ev_str_from(name_at(r->names, spec->index)),
				     .key = provision_spec_key(spec->index_key),
				     .projection = EV_LIT("ALL") };

	for (size_t i = 0; i < PROVISION_INCLUDE_MAX && spec->include[i] != NULL; i++) {
		x.projection = EV_LIT("INCLUDE");
		x.include[x.n_include++] = ev_str_from(spec->include[i]);
	}
	return x;
}

static void want_table(struct provision_resource *r)
{
	struct provision_key key = provision_spec_key(r->spec->key);
	struct provision_setting *s = add(r, PROVISION_KEY, PROVISION_EXACT);
	struct ev_buf b = ev_buf_over(s->wanted, PROVISION_VALUE_MAX - 1);

	provision_key_text(&b, &key);
	if (r->spec->index_key[0] != NULL) {
		struct provision_index x = provision_spec_index(r);

		s = add(r, PROVISION_INDEX, PROVISION_EXACT);
		b = ev_buf_over(s->wanted, PROVISION_VALUE_MAX - 1);
		provision_index_text(&b, &x);
	}
	s = add(r, PROVISION_CAPACITY, PROVISION_SHOWN);
	b = ev_buf_over(s->wanted, PROVISION_VALUE_MAX - 1);
	provision_capacity_text(&b, r->spec->units, r->spec->units);
	if (r->spec->expires != NULL)
		add_z(r, PROVISION_TTL, PROVISION_SWITCH, r->spec->expires);
}

static void want_stream(struct provision_resource *r)
{
	struct provision_setting *s = add(r, PROVISION_SHARDS, PROVISION_AT_LEAST);
	struct ev_buf b = ev_buf_over(s->wanted, PROVISION_VALUE_MAX - 1);

	ev_buf_u64(&b, r->spec->shards);
	add_z(r, PROVISION_HOURS, PROVISION_AT_LEAST, "24");
}

static void want_queue(struct provision_resource *r)
{
	add_z(r, PROVISION_RETENTION, PROVISION_EXACT, PROVISION_RETENTION_S);
	if (r->spec->dead == PROVISION_NO_NAME)
		return;
	add_z(r, PROVISION_VISIBILITY, PROVISION_EXACT, PROVISION_VISIBILITY_S);
	add_z(r, PROVISION_RECEIVE_WAIT, PROVISION_EXACT, PROVISION_RECEIVE_WAIT_S);
	add_z(r, PROVISION_DEAD_LETTERS, PROVISION_EXACT, name_at(r->names, r->spec->dead));
	add_z(r, PROVISION_MAX_RECEIVES, PROVISION_EXACT, PROVISION_RECEIVES);
}

void provision_plan_init(struct provision_plan *p, const struct aws_resources *names)
{
	*p = (struct provision_plan){ .n = PROVISION_RESOURCES };
	for (size_t i = 0; i < p->n; i++) {
		struct provision_resource *r = &p->items[i];

		r->names = names;
		r->spec = &specs[i];
		r->kind = specs[i].kind;
		r->service = kinds[r->kind].service;
		r->name = name_at(names, specs[i].name);
		if (r->kind == PROVISION_TABLE)
			want_table(r);
		else if (r->kind == PROVISION_STREAM)
			want_stream(r);
		else
			want_queue(r);
	}
}

struct provision_resource *provision_dead_letters_of(struct provision_plan *p,
						     const struct provision_resource *r)
{
	if (r->kind != PROVISION_QUEUE || r->spec->dead == PROVISION_NO_NAME)
		return NULL;
	for (size_t i = 0; i < p->n; i++) {
		if (p->items[i].kind == PROVISION_QUEUE && p->items[i].spec->name == r->spec->dead)
			return &p->items[i];
	}
	return NULL;
}

struct provision_setting *provision_setting_of(struct provision_resource *r, const char *name)
{
	for (size_t i = 0; i < r->n_settings; i++) {
		if (strcmp(r->settings[i].name, name) == 0)
			return &r->settings[i];
	}
	return NULL;
}

/* --- Compared --- */

static bool at_least(const struct provision_setting *s)
{
	uint64_t wanted, found;

	return num_parse_u64(ev_str_from(s->wanted), &wanted) == EV_OK &&
	       num_parse_u64(ev_str_from(s->found), &found) == EV_OK && found >= wanted;
}

bool provision_is_unknown(const struct provision_setting *s)
{
	return s->rule == PROVISION_UNKNOWN;
}

bool provision_setting_good(const struct provision_resource *r, const struct provision_setting *s)
{
	if (r->state != PROVISION_THERE || s->rule == PROVISION_SHOWN || provision_is_unknown(s))
		return true;
	if (s->rule == PROVISION_AT_LEAST)
		return at_least(s);
	return strcmp(s->wanted, s->found) == 0;
}

static bool is_off(const struct provision_resource *r, const struct provision_setting *s)
{
	return r->state == PROVISION_THERE && s->rule == PROVISION_SWITCH && s->found[0] == '\0';
}

bool provision_is_switch(const struct provision_resource *r)
{
	for (size_t i = 0; i < r->n_settings; i++) {
		if (is_off(r, &r->settings[i]))
			return true;
	}
	return false;
}

static bool differs(const struct provision_resource *r)
{
	for (size_t i = 0; i < r->n_settings; i++) {
		const struct provision_setting *s = &r->settings[i];

		if (!provision_setting_good(r, s) && !is_off(r, s))
			return true;
	}
	return false;
}

enum provision_action provision_action(const struct provision_resource *r)
{
	switch (r->state) {
	case PROVISION_ABSENT:
		return PROVISION_CREATE;
	case PROVISION_COMING:
		return PROVISION_WAIT;
	case PROVISION_GOING:
		return PROVISION_STUCK;
	case PROVISION_THERE:
		break;
	}
	if (differs(r))
		return PROVISION_DIFFERS;
	return provision_is_switch(r) ? PROVISION_CREATE : PROVISION_NOTHING;
}

size_t provision_count(const struct provision_plan *p, enum provision_action action)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += provision_action(&p->items[i]) == action;
	return n;
}
