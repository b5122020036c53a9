/* service/outlet_service.c — the Outlet Backend's calls: devices, people, timers. */
#include "service/outlet_service.h"

#include <assert.h>
#include <string.h>

#include "base/time.h"
#include "codec/device_json.h"
#include "service/outlet_turn.h"

static ev_err answer(struct job *j, ev_err e)
{
	j->err = e;
	return e;
}

static struct identity random_identity(struct outlet_service *s)
{
	struct identity id;

	ev_rng_fill(s->rng, id.b, sizeof(id.b));
	return id;
}

static struct dead_letter message_letter(const struct device_job *j)
{
	struct dead_letter d = {
		.id = j->id,
		.channel = INPUT_DEVICE_MESSAGE,
		.has_outlet = !ev_uuid_is_nil(&j->outlet_id),
		.outlet_id = j->outlet_id,
		.at_ns = j->job.at_ns,
		.reason = j->why,
		.body = { j->body, j->body_n },
	};

	static_assert(sizeof(j->detail) <= sizeof(d.detail), "a decoder's text fits");
	memcpy(d.detail, j->detail, sizeof(j->detail));
	return d;
}

/* A message that cannot be read: nothing but its dead letter. */
static ev_err reject_unreadable(struct outlet_service *s, struct device_job *j)
{
	struct keyed_put put = { .kind = PUT_DEAD_LETTER, .dead_letter = message_letter(j) };
	struct unit u = { .kind = UNIT_NONE, .puts = &put, .n_puts = 1 };
	ev_err result;

	j->job.verdict = VERDICT_REJECTED;
	j->job.reason = j->why;
	s->stats.verdicts[VERDICT_REJECTED]++;
	s->stats.reasons[j->why]++;
	return s->store->ops->commit(s->store, &u, 1, &result);
}

/* An outlet that does not exist, or that is not known, has no state to show. */
static ev_err show_state(struct outlet_service *s, struct device_job *j)
{
	struct outlet o;
	ev_err e = EV_NOTFOUND;

	if (!ev_uuid_is_nil(&j->outlet_id))
		e = s->store->ops->load_outlet(s->store, &j->outlet_id, &o);
	j->has_state = e == EV_OK;
	if (j->has_state)
		j->shown = outlet_shown_state(&o);
	return e == EV_NOTFOUND ? EV_OK : e;
}

ev_err outlet_service_message(struct outlet_service *s, struct device_job *j)
{
	struct outlet_turn t = { .s = s, .outlet_id = j->outlet_id };
	ev_err e;

	j->has_state = false; /* of a group that failed nothing is left */
	if (!j->decoded) {
		e = reject_unreadable(s, j);
		if (e == EV_OK)
			e = show_state(s, j);
		return answer(&j->job, e);
	}
	t.in = (struct outlet_input){ .kind = OUTLET_IN_DEVICE,
				      .id = j->id,
				      .at_ns = j->job.at_ns };
	t.in.device = j->message;
	t.letter = message_letter(j);
	e = outlet_turn_run(&t);
	if (e != EV_OK)
		return answer(&j->job, e);
	j->job.verdict = t.d.verdict;
	j->job.reason = t.d.reason;
	j->has_state = t.found;
	if (t.found)
		j->shown = outlet_shown_state(t.d.write ? &t.d.next : &t.cur);
	return answer(&j->job, EV_OK);
}

ev_err outlet_service_settled(struct outlet_service *s, struct device_job *j)
{
	/* The request may be answered by now, or one that was parked until the plug came. */
	if (j->job.err != EV_OK || !j->has_state ||
	    (j->shown != OUTLET_DEVICE_REQUESTS_CHARGING && j->shown != OUTLET_CABLE_PLUGGED))
		return EV_OK;
	return answer(&j->job, show_state(s, j));
}

/* Commands are ordered by (version, index). */
static bool is_above(uint64_t v1, unsigned i1, uint64_t v2, unsigned i2)
{
	return v1 > v2 || (v1 == v2 && i1 > i2);
}

/* A command of the future would silence the device: every id of ours is at most at the row's. */
static ev_err check_ack(struct outlet_service *s, const struct command_job *j)
{
	struct outlet o;
	ev_err e = s->store->ops->load_outlet(s->store, &j->outlet_id, &o);

	return e == EV_OK && j->version > o.version ? EV_INVALID : e;
}

ev_err outlet_service_command_ack(struct outlet_service *s, struct command_job *j)
{
	struct keyed_put put = { .kind = PUT_DELIVERY };
	struct delivery *d = &put.delivery;
	struct unit u = { .kind = UNIT_NONE, .puts = &put, .n_puts = 1 };
	ev_err result;
	ev_err e = check_ack(s, j);

	if (e == EV_OK)
		e = s->store->ops->load_delivery(s->store, &j->outlet_id, d);
	if (e != EV_OK)
		return answer(&j->job, e);
	j->job.verdict = VERDICT_DUPLICATE;
	d->outlet_id = j->outlet_id;
	d->at_ns = j->job.at_ns;
	if (is_above(j->version, j->index, d->delivered_version, d->delivered_index)) {
		d->delivered_version = j->version;
		d->delivered_index = j->index;
		j->job.verdict = VERDICT_APPLIED;
	}
	if (!j->delivered_only &&
	    is_above(j->version, j->index, d->acked_version, d->acked_index)) {
		d->acked_version = j->version;
		d->acked_index = j->index;
		j->job.verdict = VERDICT_APPLIED;
	}
	if (j->job.verdict == VERDICT_APPLIED)
		e = s->store->ops->commit(s->store, &u, 1, &result);
	return answer(&j->job, e);
}

/* Drops the commands whose reason has gone. */
static void keep_standing(struct command_job *j, const struct outlet *o, int64_t now_ns)
{
	size_t kept = 0;

	for (size_t i = 0; i < j->n; i++) {
		if (outlet_command_stands(o, &j->commands[i], now_ns))
			j->commands[kept++] = j->commands[i];
	}
	j->n = kept;
}

ev_err outlet_service_commands(struct outlet_service *s, struct command_job *j)
{
	int64_t now_ns = ev_clock_wall_ns(s->clock);
	struct delivery d;
	struct outlet o;
	ev_err e = s->store->ops->load_outlet(s->store, &j->outlet_id, &o);

	j->n = 0;
	if (e != EV_OK)
		return answer(&j->job, e);
	e = s->store->ops->load_delivery(s->store, &j->outlet_id, &d);
	if (e != EV_OK)
		return answer(&j->job, e);
	if (!is_above(j->version, j->index, d.acked_version, d.acked_index)) {
		j->version = d.acked_version;
		j->index = d.acked_index;
	}
	e = s->store->ops->load_commands(s->store, &j->outlet_id, j->version, j->index, now_ns,
					 j->commands, JOB_COMMANDS_MAX, &j->n);
	if (e == EV_OK)
		keep_standing(j, &o, now_ns);
	return answer(&j->job, e);
}

static ev_err commit_outlet(struct outlet_service *s, struct outlet_job *j, uint64_t expected,
			    const struct outlet_info *info)
{
	struct unit u = {
		.kind = UNIT_OUTLET, .expected = expected, .outlet = &j->outlet, .info = info
	};
	ev_err result;

	return s->store->ops->commit(s->store, &u, 1, &result);
}

ev_err outlet_service_create(struct outlet_service *s, struct outlet_job *j)
{
	j->outlet = outlet_new(&j->outlet_id, j->max_power_mw, ev_clock_wall_ns(s->clock));
	j->info.created_ns = j->job.at_ns;
	j->job.verdict = VERDICT_APPLIED;
	return answer(&j->job, commit_outlet(s, j, 0, &j->info));
}

/* Those of the fields that the person named. */
static void merge_info(const struct outlet_job *j, struct outlet_info *info)
{
	if (j->set_group)
		info->group_id = j->info.group_id;
	if (j->set_code)
		memcpy(info->code, j->info.code, sizeof(info->code));
	if (j->set_address)
		memcpy(info->address, j->info.address, sizeof(info->address));
}

ev_err outlet_service_change(struct outlet_service *s, struct outlet_job *j)
{
	struct store *store = s->store;
	struct outlet_info info;
	uint64_t expected;
	ev_err e = store->ops->load_outlet(store, &j->outlet_id, &j->outlet);

	if (e == EV_OK)
		e = store->ops->load_info(store, &j->outlet_id, &info);
	if (e != EV_OK)
		return answer(&j->job, e);
	merge_info(j, &info);
	expected = j->outlet.version;
	if (j->set_power)
		j->outlet.max_power_mw = j->max_power_mw;
	j->outlet.version = row_next_version(expected, ev_clock_wall_ns(s->clock));
	e = commit_outlet(s, j, expected, &info);
	if (e == EV_OK)
		j->info = info;
	j->job.verdict = VERDICT_APPLIED;
	return answer(&j->job, e);
}

static void person_input(struct outlet_service *s, const struct outlet_job *j,
			 struct outlet_input *in)
{
	*in = (struct outlet_input){ .id = random_identity(s), .at_ns = j->job.at_ns };
	if (j->job.kind == JOB_OUTLET_SERVICE) {
		in->kind = OUTLET_IN_SERVICE;
		in->service.out = j->out;
	} else if (j->job.kind == JOB_OUTLET_RETIRE) {
		in->kind = OUTLET_IN_RETIRE;
	} else {
		in->kind = OUTLET_IN_OPERATOR_FINISH;
		in->finish.session_id = j->session_id;
	}
}

static ev_err run_person(struct outlet_turn *t, struct outlet_job *j)
{
	ev_err e = outlet_turn_run(t);

	if (e == EV_OK && !t->found)
		e = EV_NOTFOUND;
	if (e != EV_OK)
		return answer(&j->job, e);
	j->job.verdict = t->d.verdict;
	j->job.reason = t->d.reason;
	j->outlet = t->d.write ? t->d.next : t->cur;
	e = t->s->store->ops->load_info(t->s->store, &j->outlet_id, &j->info);
	return answer(&j->job, e);
}

ev_err outlet_service_person(struct outlet_service *s, struct outlet_job *j)
{
	struct outlet_turn t = { .s = s, .outlet_id = j->outlet_id, .no_letter = true };

	if (j->job.kind == JOB_OUTLET_FINISH && ev_uuid_is_nil(&j->session_id)) {
		struct outlet o;
		ev_err e = s->store->ops->load_outlet(s->store, &j->outlet_id, &o);

		if (e != EV_OK)
			return answer(&j->job, e);
		j->session_id = o.session_id;
	}
	person_input(s, j, &t.in);
	return run_person(&t, j);
}

/* The outlet as it stands, for an answer that changed nothing. */
static ev_err load_answer(struct outlet_service *s, struct outlet_job *j)
{
	ev_err e = s->store->ops->load_outlet(s->store, &j->outlet_id, &j->outlet);

	return e == EV_OK ? s->store->ops->load_info(s->store, &j->outlet_id, &j->info) : e;
}

ev_err outlet_service_attach(struct outlet_service *s, struct outlet_job *j)
{
	struct outlet_turn t = { .s = s, .outlet_id = j->outlet_id, .no_letter = true };
	ev_err e = s->store->ops->load_unassigned(s->store, &j->item_id, &t.attach_item);

	if (e == EV_OK && !ev_uuid_eq(&t.attach_item.outlet_id, &j->outlet_id))
		e = EV_NOTFOUND;
	if (e != EV_OK)
		return answer(&j->job, e);
	if (t.attach_item.attached) {
		bool same = ev_uuid_eq(&t.attach_item.session_id, &j->session_id);

		j->job.verdict = same ? VERDICT_DUPLICATE : VERDICT_REFUSED;
		j->job.reason = REASON_ALREADY_ATTACHED;
		return answer(&j->job, load_answer(s, j));
	}
	t.in = (struct outlet_input){ .kind = OUTLET_IN_ATTACH,
				      .id = random_identity(s),
				      .at_ns = j->job.at_ns };
	t.in.attach.item_id = j->item_id;
	t.in.attach.mwh = t.attach_item.mwh;
	t.in.attach.session_id = j->session_id;
	return run_person(&t, j);
}

/* Energy that a replay could give to nobody goes to the session that the person named. */
static ev_err attach_replayed(struct outlet_service *s, const struct unassigned_item *item,
			      struct dead_letter_job *j)
{
	struct outlet_job a = {
		.job = { .kind = JOB_ATTACH, .at_ns = j->job.at_ns },
		.outlet_id = item->outlet_id,
		.item_id = item->id,
		.session_id = j->session_id,
	};
	ev_err e = outlet_service_attach(s, &a);

	if (e == EV_OK && a.job.verdict == VERDICT_REFUSED) {
		j->job.verdict = VERDICT_REFUSED;
		j->job.reason = a.job.reason;
	}
	return e;
}

ev_err outlet_service_replay(struct outlet_service *s, const struct dead_letter *d,
			     struct dead_letter_job *j)
{
	struct outlet_turn t = { .s = s, .no_letter = true, .is_replay = true };
	struct device_wire wire;
	ev_err e;

	j->job.verdict = VERDICT_REJECTED;
	j->job.reason = REASON_UNDECODABLE;
	if (device_json_decode(d->body, &wire, NULL) != EV_OK)
		return answer(&j->job, EV_OK);
	t.in = (struct outlet_input){ .kind = OUTLET_IN_DEVICE, .id = d->id, .at_ns = d->at_ns };
	if (device_wire_check(&wire, &t.in.device, &j->job.reason) != EV_OK)
		return answer(&j->job, EV_OK);
	t.outlet_id = t.in.device.outlet_id;
	e = outlet_turn_run(&t);
	j->job.verdict = t.d.verdict;
	j->job.reason = t.d.reason;
	if (e == EV_OK && j->has_session && t.d.has_item)
		e = attach_replayed(s, &t.d.item, j);
	return answer(&j->job, e);
}

ev_err outlet_service_replay_event(struct outlet_service *s, const struct charging_event *event,
				   const struct dead_letter *d, struct dead_letter_job *j)
{
	struct outlet_turn t = { .s = s, .outlet_id = event->outlet_id, .no_letter = true };
	ev_err e;

	t.is_replay = true;
	t.in = (struct outlet_input){ .kind = OUTLET_IN_EVENT, .id = d->id, .at_ns = d->at_ns };
	t.in.waited = true;
	t.in.event = *event;
	if (j->has_session) {
		t.in.event.has_session = true;
		t.in.event.session_id = j->session_id;
	}
	e = outlet_turn_run(&t);
	j->job.verdict = t.d.verdict;
	j->job.reason = t.d.reason;
	return answer(&j->job, e);
}

/*
 * A device acknowledges in order, so a command of the session behind the last acknowledged one is
 * not acknowledged; where there are too many to see, neither.  Versions cannot be compared with the
 * session's start: they only grow, and the clock may have been set back before it.
 */
static bool has_pending(const struct outlet *o, const struct device_command *commands, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (commands[i].has_session && ev_uuid_eq(&commands[i].session_id, &o->session_id))
			return true;
	}
	return n == JOB_COMMANDS_MAX;
}

static ev_err fill_command_timer(struct outlet_service *s, const struct outlet *o,
				 struct outlet_input *in)
{
	struct device_command commands[JOB_COMMANDS_MAX];
	struct delivery d;
	size_t n = 0;
	ev_err e;

	if (in->kind != OUTLET_IN_COMMAND_LAPSED)
		return EV_OK;
	e = s->store->ops->load_delivery(s->store, &o->id, &d);
	if (e == EV_OK)
		e = s->store->ops->load_commands(s->store, &o->id, d.acked_version, d.acked_index,
						 INT64_MIN, commands, EV_ARRAY_LEN(commands), &n);
	in->command.acknowledged = e == EV_OK && !has_pending(o, commands, n);
	return e;
}

static ev_err run_timer(struct outlet_service *s, const struct ev_uuid *id)
{
	struct outlet_turn t = { .s = s, .outlet_id = *id, .no_letter = true };
	struct outlet o;
	int64_t due_ns;
	ev_err e = s->store->ops->load_outlet(s->store, id, &o);

	if (e == EV_NOTFOUND)
		return EV_OK;
	if (e != EV_OK)
		return e;
	if (!outlet_next_timer(&o, &s->rules, &due_ns, &t.in) ||
	    due_ns > ev_clock_wall_ns(s->clock))
		return EV_OK;
	t.in.id = random_identity(s);
	e = fill_command_timer(s, &o, &t.in);
	s->stats.timers++;
	return e == EV_OK ? outlet_turn_run(&t) : e;
}

#define TICK_MAX 256

/* A row that cannot be read keeps its own timers from running, nobody else's. */
static ev_err skip_unreadable(struct outlet_service *s, ev_err e, size_t *n_done)
{
	*n_done += e == EV_OK;
	s->stats.unreadable += e == EV_CORRUPT;
	return e == EV_CORRUPT ? EV_OK : e;
}

/* Those of one outlet, or of all: outlet_id NULL. */
static ev_err tick_parked(struct outlet_service *s, const struct ev_uuid *outlet_id, int64_t now_ns,
			  bool *more)
{
	struct parked_input parked[16];
	size_t n = 0;
	size_t n_done = 0;
	ev_err e = s->store->ops->load_parked(s->store, outlet_id, now_ns, parked,
					      EV_ARRAY_LEN(parked), &n);

	for (size_t i = 0; i < n && e == EV_OK; i++)
		e = skip_unreadable(s, outlet_turn_parked(s, &parked[i], true), &n_done);
	*more = *more || (n == EV_ARRAY_LEN(parked) && n_done > 0);
	return e;
}

ev_err outlet_service_tick(struct outlet_service *s, size_t max, bool *out_more)
{
	struct ev_uuid due[TICK_MAX];
	int64_t now_ns = ev_clock_wall_ns(s->clock);
	size_t n = 0;
	size_t n_done = 0;
	ev_err e;

	max = max < TICK_MAX ? max : TICK_MAX;
	e = s->store->ops->due_outlets(s->store, now_ns, due, max, &n);
	for (size_t i = 0; i < n && e == EV_OK; i++)
		e = skip_unreadable(s, run_timer(s, &due[i]), &n_done);
	*out_more = n == max && n_done > 0;
	return e == EV_OK ? tick_parked(s, NULL, now_ns, out_more) : e;
}

ev_err outlet_service_tick_one(struct outlet_service *s, const struct ev_uuid *id, bool *out_more)
{
	ev_err e = run_timer(s, id);

	*out_more = false;
	return e == EV_OK ? tick_parked(s, id, ev_clock_wall_ns(s->clock), out_more) : e;
}
