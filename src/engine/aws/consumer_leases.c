/* engine/aws/consumer_leases.c — the list of shards, the lease table, and what is written to it. */
#include <stdlib.h>
#include <string.h>

#include "codec/json_write.h"
#include "engine/aws/consumer_internal.h"

#define LEASE_ATTEMPT_MS 3000
#define SOON_NS EV_NS_PER_S /* after a step whose outcome is not known */

enum lease_write { WRITE_RENEW, WRITE_CHECKPOINT, WRITE_END, WRITE_BACK, WRITE_REREAD };

static void due(int64_t at_ns, int64_t *next_ns)
{
	if (at_ns < *next_ns)
		*next_ns = at_ns;
}

/* --- ListShards --- */

static void list_add(void *user, const struct lease_shard *s)
{
	struct consumer_list *list = user;

	if (list->n == list->cap && list->n < LEASES_MAX) {
		size_t cap = list->cap == 0 ? 16 : 2 * list->cap;
		struct lease_shard *of = realloc(list->of, cap * sizeof(*of));

		if (of == NULL) {
			list->no_memory = true;
			return;
		}
		list->of = of;
		list->cap = cap;
	}
	if (list->n < list->cap)
		list->of[list->n++] = *s;
}

/* Shards that aged out while we held them have nothing more to give. */
static void end_unlisted(struct aws_consumer *c)
{
	for (struct consumer_shard *s = c->shards; s != NULL; s = s->next) {
		if (s->lease != NULL && !s->lease->listed && s->reader.missing)
			s->reader.ended = true;
	}
}

static void listed(struct aws_consumer *c, int64_t now_ns)
{
	c->listing = false;
	c->list_failures = 0;
	c->list_ns = now_ns + c->config.list_ns;
	if (c->list.no_memory || leases_list(&c->leases, c->list.of, c->list.n) != EV_OK) {
		c->list_ns = now_ns + SOON_NS;
		return;
	}
	c->listed_once = true;
	c->listed_ns = now_ns;
	end_unlisted(c);
}

static void list_failed(struct aws_consumer *c, ev_err err, const struct aws_error *error,
			int64_t now_ns)
{
	consumer_failed(c, "ListShards", err, error);
	c->listing = false;
	c->list_failures++;
	c->list_ns = now_ns + shard_backoff_ns(c->config.rng, c->list_failures);
}

static void list_page(struct aws_consumer *c);

static void list_taken(struct aws_consumer *c, struct consumer_call *call)
{
	ev_err err = call->call.err;

	if (err == EV_OK)
		err = shard_list_read(call->call.answer, list_add, &c->list, &c->list_next);
	if (err != EV_OK)
		list_failed(c, err, &call->call.error, consumer_now(c));
	else if (c->list_next.n > 0)
		list_page(c);
	else
		listed(c, consumer_now(c));
}

static void list_page(struct aws_consumer *c)
{
	struct consumer_call *call = consumer_call_new(AWS_KINESIS, "ListShards",
						       SHARD_REQUEST_MAX);
	struct ev_buf body;

	c->listing = false;
	if (call == NULL)
		return;
	body = consumer_call_room(call);
	call->taken = list_taken;
	shard_list_write(&body, c->config.stream, &c->list_next);
	c->listing = consumer_call_start(c, call, &body);
}

static void list_begin(struct aws_consumer *c)
{
	c->list.n = 0;
	c->list.no_memory = false;
	c->list_next.n = 0;
	list_page(c);
}

/* --- Steps of the plan --- */

static void step_done(struct aws_consumer *c, struct consumer_call *call, int64_t now_ns)
{
	struct lease *lease = call->lease;
	bool ours = call->kind != LEASE_CREATE || lease->row.owner[0] != '\0';

	if (call->kind == LEASE_CREATE)
		c->state.created++;
	if (!ours) {
		leases_created(lease, now_ns);
		c->scan_ns = now_ns; /* whose share has room takes it */
		return;
	}
	leases_taken(&c->leases, lease, now_ns);
	c->state.taken++;
	c->state.stolen += call->kind == LEASE_STEAL;
	consumer_shard_open(c, lease, now_ns);
}

/* Somebody else was faster; or it took place all the same, and the next scan finds our name. */
static void step_taken(struct aws_consumer *c, struct consumer_call *call)
{
	int64_t now_ns = consumer_now(c);
	const struct aws_error *error = &call->call.error;

	c->n_steps--;
	call->lease->busy = false;
	if (call->call.err == EV_OK) {
		step_done(c, call, now_ns);
		return;
	}
	leases_lost(call->lease);
	if (error->kind == AWS_ERROR_CONDITION)
		return;
	consumer_failed(c, call->call.operation, call->call.err, error);
	if (c->scan_ns > now_ns + SOON_NS)
		c->scan_ns = now_ns + SOON_NS;
}

static void begin_table(struct json_writer *w, const char *table)
{
	json_write_object(w);
	json_write_key(w, "TableName");
	json_write_z(w, table);
}

static void step_start(struct aws_consumer *c, const struct lease_step *step)
{
	bool create = step->kind == LEASE_CREATE;
	struct consumer_call *call = consumer_call_new(
		AWS_DYNAMODB, create ? "PutItem" : "UpdateItem", LEASE_JSON_MAX);
	struct ev_buf body;
	struct json_writer w;

	if (call == NULL)
		return;
	body = consumer_call_room(call);
	w = json_writer_over(&body);
	begin_table(&w, c->config.leases);
	if (create)
		lease_create(&step->lease->row, &w);
	else
		lease_claim(&step->lease->row, ev_str_from(c->leases.worker), &w);
	json_write_object_end(&w);
	call->taken = step_taken;
	call->lease = step->lease;
	call->kind = (int)step->kind;
	call->call.max_attempts = 1;
	call->call.attempt_ms = LEASE_ATTEMPT_MS;
	if (!consumer_call_start(c, call, &body))
		return;
	step->lease->busy = true;
	c->n_steps++;
}

static void plan(struct aws_consumer *c, int64_t now_ns)
{
	struct lease_step steps[CONSUMER_STEPS];
	size_t n;

	if (c->draining)
		return;
	n = leases_plan(&c->leases, c->scan_began_ns, ev_rng_u64(c->config.rng), steps,
			CONSUMER_STEPS);
	for (size_t i = 0; i < n; i++)
		step_start(c, &steps[i]);
	if (n == CONSUMER_STEPS)
		c->scan_ns = now_ns;
}

/* --- Scan --- */

static void scan_add(void *user, const struct lease_row *row)
{
	struct aws_consumer *c = user;
	ev_err e = leases_scan_row(&c->leases, row, c->scan_began_ns);

	if (e != EV_OK)
		c->scan_err = e;
}

static void scanned(struct aws_consumer *c, int64_t now_ns)
{
	c->scanning = false;
	c->scan_failures = 0;
	c->scanned_once = true;
	c->scanned_ns = now_ns;
	c->scan_ns = now_ns + c->config.take_ns;
	leases_scan_end(&c->leases);
	plan(c, now_ns);
}

static void scan_failed(struct aws_consumer *c, ev_err err, const struct aws_error *error,
			int64_t now_ns)
{
	consumer_failed(c, "Scan", err, error);
	c->scanning = false;
	c->scan_failures++;
	c->scan_ns = now_ns + shard_backoff_ns(c->config.rng, c->scan_failures);
}

static void scan_page(struct aws_consumer *c);

static void scan_taken(struct aws_consumer *c, struct consumer_call *call)
{
	size_t n_bad = 0;
	ev_err err = call->call.err;

	if (err == EV_OK)
		err = lease_scan_read(call->call.answer, scan_add, c, &n_bad, &c->scan_next);
	c->state.bad_rows += n_bad;
	if (err == EV_OK)
		err = c->scan_err;
	if (err != EV_OK)
		scan_failed(c, err, &call->call.error, consumer_now(c));
	else if (c->scan_next.n > 0)
		scan_page(c);
	else
		scanned(c, consumer_now(c));
}

static void scan_page(struct aws_consumer *c)
{
	struct consumer_call *call = consumer_call_new(AWS_DYNAMODB, "Scan", SHARD_REQUEST_MAX);
	struct ev_buf body;

	c->scanning = false;
	if (call == NULL)
		return;
	body = consumer_call_room(call);
	call->taken = scan_taken;
	lease_scan_write(&body, c->config.leases, &c->scan_next);
	c->scanning = consumer_call_start(c, call, &body);
}

static void scan_begin(struct aws_consumer *c, int64_t now_ns)
{
	c->scan_next.n = 0;
	c->scan_err = EV_OK;
	c->scan_began_ns = now_ns;
	leases_scan_begin(&c->leases);
	scan_page(c);
}

/* --- Writes of what we hold --- */

static bool same_place(const struct lease_checkpoint *a, const struct lease_checkpoint *b)
{
	return a->kind == b->kind && a->sub == b->sub && strcmp(a->sequence, b->sequence) == 0;
}

/* The table's own place is as good as a fresh one's, whatever it is called. */
static bool has_moved(const struct consumer_shard *s)
{
	return s->reader.done.kind == LEASE_SEQUENCE &&
	       !same_place(&s->reader.done, &s->lease->row.checkpoint);
}

static void lost(struct aws_consumer *c, struct consumer_shard *s)
{
	c->state.lost_leases++;
	consumer_shard_close(c, s);
}

static void write_done(struct aws_consumer *c, struct consumer_call *call, int64_t now_ns)
{
	struct consumer_shard *s = call->shard;
	bool with_place = call->kind == WRITE_CHECKPOINT || call->kind == WRITE_END ||
			  (call->kind == WRITE_BACK && call->to.kind != LEASE_NONE);

	s->doubt = false;
	s->write_failures = 0;
	if (with_place) {
		c->state.checkpoints++;
		s->checkpoint_ns = now_ns;
	}
	if (with_place || call->kind == WRITE_RENEW)
		leases_written(s->lease, with_place ? &call->to : NULL, now_ns);
	if (call->kind != WRITE_END && call->kind != WRITE_BACK)
		return;
	leases_released(s->lease, now_ns);
	consumer_shard_close(c, s);
	c->state.released++;
	if (call->kind == WRITE_END) { /* its children are waiting */
		c->state.ended++;
		c->list_ns = c->scan_ns = now_ns;
	}
}

static void write_later(struct aws_consumer *c, struct consumer_shard *s, int64_t now_ns)
{
	s->write_failures++;
	s->write_ns = now_ns + shard_backoff_ns(c->config.rng, s->write_failures);
}

static void reread_taken(struct aws_consumer *c, struct consumer_call *call, int64_t now_ns)
{
	struct consumer_shard *s = call->shard;
	struct lease_row row;
	ev_err err = lease_get_read(call->call.answer, &row);

	if (err == EV_OK && strcmp(row.key, s->lease->row.key) != 0)
		err = EV_CORRUPT;
	if (err != EV_OK && err != EV_NOTFOUND) {
		consumer_failed(c, "GetItem", err, &call->call.error);
		write_later(c, s, now_ns);
		return;
	}
	if (err == EV_OK && leases_reread(&c->leases, s->lease, &row, now_ns)) {
		s->doubt = false;
		s->write_failures = 0;
		return;
	}
	if (err == EV_NOTFOUND)
		leases_lost(s->lease);
	else if (row.checkpoint.kind == LEASE_SHARD_END)
		c->list_ns = c->scan_ns = now_ns;
	lost(c, s);
}

static void write_failed(struct aws_consumer *c, struct consumer_call *call, int64_t now_ns)
{
	struct consumer_shard *s = call->shard;
	enum aws_error_kind kind = call->call.error.kind;

	if (kind == AWS_ERROR_CONDITION && !s->doubt) {
		leases_lost(s->lease);
		lost(c, s);
		return;
	}
	consumer_failed(c, call->call.operation, call->call.err, &call->call.error);
	s->doubt = s->doubt || kind != AWS_ERROR_THROTTLED;
	if (kind != AWS_ERROR_CONDITION) /* else it is read at once */
		write_later(c, s, now_ns);
}

static void write_taken(struct aws_consumer *c, struct consumer_call *call)
{
	struct consumer_shard *s = call->shard;
	int64_t now_ns = consumer_now(c);

	s->writing = false;
	if (s->lease == NULL)
		return;
	s->lease->busy = false;
	if (call->call.err != EV_OK)
		write_failed(c, call, now_ns);
	else if (call->kind == WRITE_REREAD)
		reread_taken(c, call, now_ns);
	else
		write_done(c, call, now_ns);
}

static void write_body(struct aws_consumer *c, struct consumer_call *call, struct ev_buf *body)
{
	const struct lease_row *row = &call->shard->lease->row;
	struct json_writer w = json_writer_over(body);
	struct ev_str nobody = { NULL, 0 };

	if (call->kind == WRITE_REREAD) {
		lease_get_write(body, c->config.leases, row->key);
		return;
	}
	begin_table(&w, c->config.leases);
	if (call->kind == WRITE_RENEW)
		lease_renew(row, &w);
	else if (call->to.kind == LEASE_NONE)
		lease_release(row, &w);
	else
		lease_checkpoint(row, &call->to,
				 call->kind == WRITE_CHECKPOINT ? ev_str_from(c->leases.worker)
								: nobody,
				 &w);
	json_write_object_end(&w);
}

static void write_start(struct aws_consumer *c, struct consumer_shard *s, enum lease_write kind,
			const struct lease_checkpoint *to)
{
	struct consumer_call *call = consumer_call_new(
		AWS_DYNAMODB, kind == WRITE_REREAD ? "GetItem" : "UpdateItem", LEASE_JSON_MAX);
	struct ev_buf body;

	if (call == NULL)
		return;
	body = consumer_call_room(call);
	call->taken = write_taken;
	call->shard = s;
	call->kind = (int)kind;
	if (to != NULL)
		call->to = *to;
	call->call.max_attempts = 1;
	call->call.attempt_ms = LEASE_ATTEMPT_MS;
	write_body(c, call, &body);
	if (!consumer_call_start(c, call, &body))
		return;
	s->writing = true;
	s->lease->busy = true;
	if (to != NULL)
		s->reader.n_passed = 0;
}

static void write_due(struct aws_consumer *c, struct consumer_shard *s, int64_t now_ns,
		      int64_t *next_ns)
{
	static const struct lease_checkpoint end = { .kind = LEASE_SHARD_END };
	const struct lease_checkpoint *done = has_moved(s) ? &s->reader.done : NULL;
	int64_t renew_ns = s->lease->since_ns + c->config.renew_ns;
	int64_t checkpoint_ns = s->checkpoint_ns + c->config.checkpoint_ns;

	if (now_ns < s->write_ns)
		due(s->write_ns, next_ns);
	else if (s->doubt)
		write_start(c, s, WRITE_REREAD, NULL);
	else if (shard_reader_is_finished(&s->reader))
		write_start(c, s, WRITE_END, &end);
	else if (c->draining && s->n_out == 0 && !s->reading)
		write_start(c, s, WRITE_BACK, done);
	else if (done != NULL &&
		 (now_ns >= checkpoint_ns || s->reader.n_passed >= CONSUMER_CHECKPOINT_EACH))
		write_start(c, s, WRITE_CHECKPOINT, done);
	else if (now_ns >= renew_ns)
		write_start(c, s, WRITE_RENEW, NULL);
	else
		due(done != NULL && checkpoint_ns < renew_ns ? checkpoint_ns : renew_ns, next_ns);
}

/* --- All of it --- */

/* The list comes before the table: a row tells nothing about a shard that is not known. */
static void tables_due(struct aws_consumer *c, int64_t now_ns, int64_t *next_ns)
{
	if (!c->listing && now_ns >= c->list_ns && !c->scanning)
		list_begin(c);
	if (!c->listing && !c->scanning && c->n_steps == 0 && c->listed_once &&
	    now_ns >= c->scan_ns && now_ns < c->list_ns)
		scan_begin(c, now_ns);
	if (!c->listing && !c->scanning && c->list_ns > now_ns)
		due(c->list_ns, next_ns);
	if (!c->listing && !c->scanning && c->listed_once && c->scan_ns > now_ns)
		due(c->scan_ns, next_ns);
}

void consumer_leases_turn(struct aws_consumer *c, int64_t now_ns, int64_t *next_ns)
{
	struct consumer_shard *next;

	if (!c->draining)
		tables_due(c, now_ns, next_ns);
	for (struct consumer_shard *s = c->shards; s != NULL; s = next) {
		next = s->next;
		if (s->lease != NULL && !s->writing)
			write_due(c, s, now_ns, next_ns);
	}
}

bool consumer_leases_are_back(const struct aws_consumer *c)
{
	for (const struct consumer_shard *s = c->shards; s != NULL; s = s->next) {
		if (s->lease != NULL)
			return false;
	}
	return c->n_steps == 0;
}
