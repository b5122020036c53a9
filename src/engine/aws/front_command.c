/* engine/aws/front_command.c — messages that announce commands: given out, handed over, kept. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "codec/ddb_outlet.h"
#include "engine/aws/front_internal.h"
#include "service/message_job.h"

#define PUT_ROOM 8192
#define FOREIGN_INDEXES 15U /* an index is one hex digit; ours begin at 0 */

enum item_state {
	ITEM_OPEN,    /* it comes again if nothing is done about it */
	ITEM_DONE,    /* to be deleted */
	ITEM_GARBAGE, /* to be moved to the dead letters */
};

/* A message in hand. */
struct item {
	enum item_state state;
	struct ev_str body, receipt; /* in one piece of memory, from the body on */
	int64_t at_ns;
	bool is_foreign;
	struct device_command command;
	struct identity id;
	char detail[SQS_REASON_MAX];
	struct look *look;
};

/* --- reading them --- */

static bool unescape(struct item *it, const struct sqs_received *m)
{
	size_t cap = m->body.raw.n + m->receipt.raw.n;
	char *p = malloc(cap + 1);

	if (p == NULL)
		return false;
	it->body = (struct ev_str){ p, json_unescape(&m->body, p, cap) };
	it->receipt.p = p + it->body.n;
	it->receipt.n = json_unescape(&m->receipt, p + it->body.n, cap - it->body.n);
	return true;
}

static int64_t sent_ns(const struct aws_front *f, const struct sqs_received *m)
{
	if (m->has_at)
		return m->at_ns;
	return m->sent_ns > 0 ? m->sent_ns : ev_clock_wall_ns(f->config.clock);
}

/*
 * A command of the original has no messageId: the time it was sent at is its version, and its name
 * in the queue its place, so that it sorts behind older ones and is the same when it comes again.
 */
static void name_foreign(const struct aws_front *f, struct item *it, const struct sqs_received *m)
{
	struct device_command *c = &it->command;
	uint8_t hash[16];

	ev_hash128(&m->id.raw, 1, hash);
	it->is_foreign = true;
	c->version = (uint64_t)ev_time_floor_ms(it->at_ns);
	c->index = 1 + hash[0] % FOREIGN_INDEXES;
	c->created_ns = it->at_ns;
	c->expires_ns = it->at_ns + f->config.command_expiry_ns;
}

static void read_item(struct aws_front *f, struct item *it, const struct sqs_received *m,
		      bool is_own)
{
	struct device_command *c = &it->command;
	struct device_wire wire;
	struct device_message message;
	struct json_error error = { .text = "" };
	enum reason why = REASON_UNDECODABLE;

	it->at_ns = sent_ns(f, m);
	if (device_json_decode(it->body, &wire, &error) != EV_OK ||
	    device_wire_check(&wire, &message, &why) != EV_OK ||
	    (message.message_id.n == 0 && is_own) ||
	    (message.message_id.n > 0 &&
	     command_id_parse((struct ev_str){ message.message_id.s, message.message_id.n },
			      &c->version, &c->index) != EV_OK)) {
		struct ev_uuid none = { .b = { 0 } };

		it->state = ITEM_GARBAGE;
		it->id = m->has_identity ? m->identity : message_garbage_identity(&none, it->body);
		message_copy_text(it->detail, sizeof(it->detail),
				  error.text[0] != '\0' ? error.text : reason_text(why));
		return;
	}
	it->id = message_identity(&wire, m->id.raw);
	c->outlet_id = message.outlet_id;
	c->change = message.change;
	c->tag = message.tag;
	c->period_start_ns = message.period_start_ns;
	c->period_end_ns = message.period_end_ns;
	c->energy_mwh = message.energy_mwh;
	if (message.message_id.n == 0)
		name_foreign(f, it, m);
}

/* --- commands of the original: an item of their own --- */

/* The session that its row names: the original wrote that before it sent the command. */
static void take_session(struct front_side *s, struct item *it)
{
	struct ddb_outlet row;
	struct ev_str item;
	struct json_writer w;

	ddb_batch_init(&s->batch, &s->io);
	w = ddb_batch_open(&s->batch, "GetItem", s->f->config.resources->outlets, "outlet",
			   PUT_ROOM);
	json_write_key(&w, "Key");
	ddb_outlet_key(&it->command.outlet_id, &w);
	json_write_key(&w, "ConsistentRead");
	json_write_bool(&w, true);
	ddb_batch_shut(&s->batch, &w);
	ddb_batch_run(&s->batch);
	if (ddb_get_item(&s->batch, 0, &item) == EV_OK && ddb_outlet_read(item, &row) == EV_OK &&
	    rfid_tag_eq(&row.outlet.tag, &it->command.tag)) {
		it->command.has_session = row.outlet.has_session;
		it->command.session_id = row.outlet.session_id;
	}
	ddb_batch_deinit(&s->batch);
}

static bool put_command(struct front_side *s, const struct item *it)
{
	struct json_writer w;
	ev_err e;

	ddb_batch_init(&s->batch, &s->io);
	w = ddb_batch_open(&s->batch, "PutItem", s->f->config.resources->items, "command",
			   PUT_ROOM);
	json_write_key(&w, "Item");
	own_command_put(&it->command, &w);
	own_if_absent(&w);
	ddb_batch_shut(&s->batch, &w);
	ddb_batch_run(&s->batch);
	e = ddb_batch_result(&s->batch, 0);
	ddb_batch_deinit(&s->batch);
	if (e != EV_OK && e != EV_CONFLICT)
		front_note_table(s);
	return e == EV_OK || e == EV_CONFLICT; /* it came before */
}

/* Those that cannot be kept come again. */
static void keep_foreign(struct aws_front *f, struct item *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (items[i].state != ITEM_OPEN || !items[i].is_foreign)
			continue;
		take_session(&f->turn, &items[i]);
		if (put_command(&f->turn, &items[i]))
			front_count(f, &f->n.foreign, 1);
		else
			items[i].look = NULL;
	}
}

/* --- who has the connection --- */

static struct look *look_for(struct aws_front *f, const struct ev_uuid *outlet_id, size_t *n)
{
	struct look *l;

	for (size_t i = 0; i < *n; i++) {
		if (ev_uuid_eq(&f->turn_looks[i].outlet_id, outlet_id))
			return &f->turn_looks[i];
	}
	l = &f->turn_looks[(*n)++];
	memset(l, 0, sizeof(*l));
	l->outlet_id = *outlet_id;
	return l;
}

static size_t assign_looks(struct aws_front *f, struct item *items, size_t n)
{
	size_t n_looks = 0;

	for (size_t i = 0; i < n; i++) {
		if (items[i].state == ITEM_OPEN)
			items[i].look = look_for(f, &items[i].command.outlet_id, &n_looks);
	}
	return n_looks;
}

static void give(struct aws_front *f, const struct look *l)
{
	for (size_t i = 0; i < l->n; i++)
		f->config.on_command(f->config.user, &l->commands[i]);
	front_count(f, &f->n.commands, l->n);
}

/* --- other gateways --- */

static struct peer *find_peer(struct aws_front *f, const char *id)
{
	struct peer *p;

	for (size_t i = 0; i < FRONT_PEERS_MAX; i++) {
		if (strcmp(f->peers[i].id, id) == 0)
			return &f->peers[i];
	}
	p = &f->peers[f->next_peer++ % FRONT_PEERS_MAX];
	memset(p, 0, sizeof(*p));
	memcpy(p->id, id, strnlen(id, OWN_GATEWAY_MAX));
	return p;
}

/* It is gone with its queue: the device is connected nowhere. */
static void take_for_dead(struct aws_front *f, struct item *it)
{
	front_clear_owner(&f->turn, &it->look->delivery);
	it->state = ITEM_DONE;
	front_count(f, &f->n.kept, 1);
}

static void end_hand_over(struct aws_front *f, struct item *it, enum aws_error_kind kind)
{
	if (kind == AWS_ERROR_NONE) {
		it->state = ITEM_DONE;
		front_count(f, &f->n.handed_over, 1);
	} else if (kind == AWS_ERROR_NOT_FOUND) {
		take_for_dead(f, it);
	}
}

/* A name that is no queue's of ours can be nobody's. */
static bool peer_queue(const struct aws_front *f, const char *id, char out[AWS_RESOURCE_MAX])
{
	return aws_resources_gateway_queue(f->config.resources, ev_str_from(id), out) == EV_OK;
}

static void send_to(struct aws_front *f, struct peer *p, const char *queue, struct item **of,
		    size_t n)
{
	struct sqs_entry entries[SQS_ENTRIES_MAX];
	enum aws_error_kind kinds[SQS_ENTRIES_MAX];
	char bodies[SQS_ENTRIES_MAX][DEVICE_JSON_MAX];

	for (size_t i = 0; i < n; i++) {
		struct ev_buf b = ev_buf_over(bodies[i], sizeof(bodies[i]));

		device_command_encode(&of[i]->command, &b);
		assert(!b.overflow);
		entries[i] = (struct sqs_entry){ .body = ev_buf_str(&b),
						 .is_moved = true,
						 .id = of[i]->id,
						 .at_ns = of[i]->at_ns };
	}
	if (front_find_queue(&f->turn, queue, p->url) == EV_NOTFOUND) {
		for (size_t i = 0; i < n; i++)
			take_for_dead(f, of[i]);
		return;
	}
	front_send_entries(&f->turn, queue, p->url, entries, n, kinds);
	for (size_t i = 0; i < n; i++)
		end_hand_over(f, of[i], kinds[i]);
}

static bool goes_to(const struct item *it, const char *id)
{
	return it->state == ITEM_OPEN && it->look != NULL && it->look->err == EV_OK &&
	       strcmp(it->look->delivery.gateway, id) == 0;
}

/* All that go where the first goes. */
static void hand_over(struct aws_front *f, struct item *items, size_t n)
{
	const char *id = items[0].look->delivery.gateway;
	char queue[AWS_RESOURCE_MAX];
	struct item *of[SQS_ENTRIES_MAX];
	size_t k = 0;

	if (!peer_queue(f, id, queue)) {
		take_for_dead(f, &items[0]);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (goes_to(&items[i], id))
			of[k++] = &items[i];
	}
	send_to(f, find_peer(f, id), queue, of, k);
}

/* --- what becomes of them --- */

static void settle(struct aws_front *f, struct item *it, bool is_own)
{
	const struct look *l = it->look;

	if (it->state != ITEM_OPEN || l == NULL || (l->err != EV_OK && l->err != EV_NOTFOUND))
		return;
	if (l->err == EV_NOTFOUND || (l->is_ours && l->n == 0)) {
		it->state = ITEM_DONE;
		front_count(f, &f->n.stale, 1);
	} else if (l->is_ours) {
		it->state = ITEM_DONE;
	} else if (is_own || l->delivery.gateway[0] == '\0') {
		/* Whoever takes it over reads the table: what came to us is not sent on. */
		it->state = ITEM_DONE;
		front_count(f, &f->n.kept, 1);
	}
}

static void move_garbage(struct aws_front *f, struct item *items, size_t n)
{
	struct item *of[SQS_ENTRIES_MAX];
	struct sqs_entry entries[SQS_ENTRIES_MAX];
	enum aws_error_kind kinds[SQS_ENTRIES_MAX];
	char rooms[SQS_ENTRIES_MAX][SQS_REASON_MAX];
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		struct ev_buf b = ev_buf_over(rooms[k], SQS_REASON_MAX);
		struct item *it = &items[i];

		if (it->state != ITEM_GARBAGE)
			continue;
		sqs_clean(ev_str_from(it->detail), SQS_REASON_MAX, &b);
		entries[k] = (struct sqs_entry){ .body = it->body,
						 .is_moved = true,
						 .id = it->id,
						 .at_ns = it->at_ns,
						 .reason = ev_buf_str(&b) };
		if (sqs_entry_size(&entries[k]) > SQS_BYTES_MAX)
			entries[k].is_moved = false;
		of[k++] = it;
	}
	if (k == 0)
		return;
	front_send_entries(&f->turn, f->config.resources->commands_out_dead, f->url_dead, entries,
			   k, kinds);
	for (size_t i = 0; i < k; i++) {
		if (kinds[i] == AWS_ERROR_NONE)
			of[i]->state = ITEM_DONE;
		front_count(f, &f->n.undecodable, kinds[i] == AWS_ERROR_NONE);
	}
}

/* What is not deleted comes again, and does no harm. */
static void delete_done(struct aws_front *f, const struct item *items, size_t n, bool is_own)
{
	struct ev_str receipts[SQS_ENTRIES_MAX];
	struct aws_call call = { .service = AWS_SQS, .operation = "DeleteMessageBatch" };
	size_t k = 0, room;
	struct ev_buf b;
	char *text;

	for (size_t i = 0; i < n; i++) {
		if (items[i].state == ITEM_DONE)
			receipts[k++] = items[i].receipt;
	}
	front_count(f, &f->n.retried, n - k);
	room = sqs_receipts_room(receipts, k);
	text = malloc(room);
	if (k == 0 || text == NULL) {
		free(text);
		return;
	}
	b = ev_buf_over(text, room);
	sqs_write_delete(ev_str_from(is_own ? f->url_own : f->url_commands), receipts, k, &b);
	assert(!b.overflow);
	call.body = ev_buf_str(&b);
	if (aws_caller_one(f->turn.io.caller, &call, front_deadline_ns(f)) != EV_OK)
		front_note_fail(f, is_own ? f->own_queue : f->config.resources->commands_out,
				&call);
	aws_call_clear(&call);
	free(text);
}

static void process(struct aws_front *f, struct item *items, size_t n, bool is_own)
{
	size_t n_looks = assign_looks(f, items, n);

	keep_foreign(f, items, n);
	front_looks(&f->turn, f->turn_looks, n_looks);
	for (size_t i = 0; i < n_looks; i++) {
		if (f->turn_looks[i].err == EV_OK && f->turn_looks[i].is_ours)
			give(f, &f->turn_looks[i]);
	}
	for (size_t i = 0; i < n; i++)
		settle(f, &items[i], is_own);
	for (size_t i = 0; i < n; i++) {
		if (items[i].state == ITEM_OPEN && items[i].look != NULL &&
		    items[i].look->err == EV_OK)
			hand_over(f, &items[i], n - i);
	}
	move_garbage(f, items, n);
	delete_done(f, items, n, is_own);
}

void front_take_commands(struct aws_front *f, const struct sqs_received *m, size_t n, bool is_own)
{
	struct item *items = calloc(SQS_ENTRIES_MAX, sizeof(*items));
	size_t k = 0;

	assert(n <= SQS_ENTRIES_MAX);
	if (items == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		if (!unescape(&items[k], &m[i]))
			continue;
		read_item(f, &items[k++], &m[i], is_own);
	}
	front_count(f, &f->n.received, n);
	process(f, items, k, is_own);
	for (size_t i = 0; i < k; i++)
		free((void *)(uintptr_t)items[i].body.p);
	free(items);
}
