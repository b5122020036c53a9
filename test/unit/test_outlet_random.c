/*
 * test/unit/test_outlet_random.c — random lives of an outlet and of the App Backend's sessions.
 *
 * Every input is drawn: device messages in and out of order, replays, repeated and late answers of
 * the App, timers in and out of time, people.  After each one the books must balance.  The seed is
 * in each failure; EV_SEED runs another life.
 */
#include "outlet_kit.h"

#include <stdlib.h>

#include "base/num.h"
#include "core/session.h"

#define LIVES 800
#define STEPS 300 /* in each life; 240,000 in all */
#define SESSIONS_MAX (2 * STEPS)
#define HISTORY_MAX (2 * STEPS)
#define MAIL_MAX 4096
#define PARKED_MAX 16
#define PARKED_FOR (30 * SEC)

/* What the lives came to; a test that never gets there would show nothing. */
static struct {
	size_t starts, denials, ends, late, blocks, items, attached, parked_requests, replays;
} reached;

struct app_session {
	struct session s;
	bool runs;         /* by the events that the outlet put */
	int64_t heard_mwh; /* the sum that they carried last */
};

struct kept_item {
	struct unassigned_item item;
	bool app_knows;
};

struct world {
	uint64_t seed, random, serial;
	size_t step;
	int64_t now_ns;
	struct outlet row;
	struct outlet_rules rules;
	struct outlet_decision d;

	int64_t counted_mwh; /* of device messages, each once */
	size_t n_history;
	struct outlet_input history[HISTORY_MAX];
	bool counted[HISTORY_MAX]; /* its energy is in the books */
	size_t n_ids;              /* identities written to the row, oldest first */
	struct identity ids[HISTORY_MAX];
	size_t n_stored; /* how many of them left in blocks */
	char last_command[COMMAND_ID_TEXT + 1];
	size_t n_denied;
	struct ev_uuid denied[OUTLET_REFUSED_MAX]; /* the newest, a ring */

	size_t n_sessions;
	struct app_session sessions[SESSIONS_MAX];
	size_t n_mail, mail_read; /* events of the App, with the time they were put */
	struct charging_event mail[MAIL_MAX];
	int64_t mail_at[MAIL_MAX];
	size_t n_items;
	struct kept_item items[HISTORY_MAX];
	size_t n_parked;
	struct outlet_input parked[PARKED_MAX];
};

static void must(const struct world *w, bool holds, const char *what)
{
	if (!holds)
		fail_msg("EV_SEED=%llu step %zu: %s", (unsigned long long)w->seed, w->step, what);
}

/* splitmix64 */
static uint64_t draw(struct world *w)
{
	uint64_t z = w->random += 0x9e3779b97f4a7c15U;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return z ^ (z >> 31);
}

static uint64_t below(struct world *w, uint64_t n)
{
	return draw(w) % n;
}

static bool chance(struct world *w, unsigned percent)
{
	return below(w, 100) < percent;
}

static struct identity fresh_identity(struct world *w)
{
	return identity_of(++w->serial);
}

/* ---- the App Backend ---- */

static struct app_session *find_session(struct world *w, const struct ev_uuid *id)
{
	for (size_t i = 0; i < w->n_sessions; i++) {
		if (ev_uuid_eq(&w->sessions[i].s.id, id))
			return &w->sessions[i];
	}
	return NULL;
}

static void post(struct world *w, const struct charging_event *e)
{
	must(w, w->n_mail < MAIL_MAX, "the test's mail is too small");
	w->mail_at[w->n_mail] = w->now_ns;
	w->mail[w->n_mail++] = *e;
}

static void keep_session(struct world *w, struct app_session *a, const struct session_decision *d)
{
	must(w, d->next.energy_mwh >= a->s.energy_mwh, "a session's sum went backwards");
	must(w, d->next.n_sums <= SESSION_SUMS_MAX, "a session has too many sums");
	if (d->write) {
		must(w, d->next.version > a->s.version, "a session's version did not grow");
		a->s = d->next;
	}
	for (unsigned i = 0; i < d->n_events; i++)
		post(w, &d->events[i]);
}

static void supersede_others(struct world *w)
{
	static struct session_decision d;

	for (size_t i = 0; i < w->n_sessions; i++) {
		session_supersede(&w->sessions[i].s, w->now_ns, &d);
		keep_session(w, &w->sessions[i], &d);
	}
}

static void add_session(struct world *w, const struct session_decision *d)
{
	must(w, w->n_sessions < SESSIONS_MAX, "the test's sessions are too few");
	w->sessions[w->n_sessions++] = (struct app_session){ .s = d->next };
	post(w, &d->events[0]);
}

/* Tags of "x" are not known. */
static void app_answers(struct world *w, const struct charging_event *request)
{
	static struct session_decision d;
	struct ev_uuid id = ev_uuid_stamp(request->event_id.b, 5), customer = uuid_of(500);
	struct app_session *a = find_session(w, &id);
	struct charging_event e;

	if (tag_is(&request->tag, "x")) {
		e = session_denial(request, &request->event_id);
		post(w, &e);
	} else if (a != NULL) {
		e = session_approval(&a->s, request, &request->event_id);
		post(w, &e);
	} else {
		supersede_others(w);
		session_from_request(&id, &customer, request, &request->event_id, w->now_ns, &d);
		add_session(w, &d);
	}
}

static bool app_knows_item(struct world *w, const struct charging_event *e)
{
	for (size_t i = 0; e->has_item && i < w->n_items; i++) {
		if (identity_eq(&w->items[i].item.id, &e->item_id)) {
			bool knew = w->items[i].app_knows;

			w->items[i].app_knows = true;
			return knew;
		}
	}
	must(w, !e->has_item, "an item that was never kept");
	return false;
}

static void app_hears(struct world *w, const struct charging_event *e)
{
	static struct session_decision d;
	struct app_session *a;

	if (e->state == OUTLET_DEVICE_REQUESTS_CHARGING) {
		app_answers(w, e);
		return;
	}
	a = find_session(w, &e->session_id);
	must(w, e->has_session && a != NULL, "an event of a session that nobody began");
	session_on_event(&a->s, e, app_knows_item(w, e), w->now_ns, &d);
	must(w, d.verdict != VERDICT_REJECTED, "the App rejected an event of the outlet");
	keep_session(w, a, &d);
}

/* ---- what must hold ---- */

/* While a stop is under way reports put no event: what the final one will bring. */
static int64_t still_to_come(struct world *w)
{
	struct app_session *a = find_session(w, &w->row.session_id);

	if (outlet_shown_state(&w->row) != OUTLET_APP_REQUESTS_STOP || a == NULL)
		return 0;
	must(w, w->row.energy_mwh >= a->heard_mwh, "the row's sum went backwards");
	return w->row.energy_mwh - a->heard_mwh;
}

static void check_books(struct world *w)
{
	int64_t sums = w->row.unassigned_mwh + still_to_come(w);

	for (size_t i = 0; i < w->n_sessions; i++)
		sums += w->sessions[i].s.energy_mwh;
	must(w, w->row.total_energy_mwh == w->counted_mwh, "the total is not what was received");
	must(w, w->row.total_energy_mwh == sums, "the total is not sessions and unassigned");
}

/* Which session runs, by the events alone, against the row. */
static void check_running(struct world *w)
{
	size_t running = 0;

	for (size_t i = 0; i < w->n_sessions; i++) {
		if (!w->sessions[i].runs)
			continue;
		running++;
		must(w, ev_uuid_eq(&w->sessions[i].s.id, &w->row.session_id),
		     "a session runs that the row does not have");
	}
	must(w, running == (w->row.state == OUTLET_CHARGING), "not one session while charging");
}

static bool was_denied(const struct world *w, const struct ev_uuid *id)
{
	for (size_t i = 0; i < w->n_denied && i < OUTLET_REFUSED_MAX; i++) {
		if (ev_uuid_eq(&w->denied[i], id))
			return true;
	}
	return false;
}

static void follow_event(struct world *w, const struct charging_event *e)
{
	struct app_session *a = e->has_session ? find_session(w, &e->session_id) : NULL;

	if (a == NULL)
		return;
	if (e->state == OUTLET_CHARGING)
		must(w, a->runs || !was_denied(w, &e->session_id), "a refused session started");
	if (e->state == OUTLET_DEVICE_DENIES_CHARGING && !was_denied(w, &e->session_id))
		w->denied[w->n_denied++ % OUTLET_REFUSED_MAX] = e->session_id;
	a->runs = e->state == OUTLET_CHARGING;
	a->heard_mwh = e->energy_mwh;
}

static void check_commands(struct world *w)
{
	for (unsigned i = 0; i < w->d.n_commands; i++) {
		char id[COMMAND_ID_TEXT + 1];

		command_id_text(w->d.commands[i].version, w->d.commands[i].index, id);
		must(w, strcmp(id, w->last_command) > 0, "command ids do not grow");
		memcpy(w->last_command, id, sizeof(id));
	}
}

static void check_transition(struct world *w)
{
	enum outlet_state path[OUTLET_PATH_MAX];
	enum outlet_state from = outlet_shown_state(&w->row);
	enum outlet_state to = outlet_shown_state(&w->d.next);

	must(w, from == to || outlet_path(from, to, path) > 0, "no such transition");
}

/* What the row let go of is in the block, exactly and in order. */
static void follow_identity(struct world *w, const struct outlet_input *in)
{
	if (in->kind != OUTLET_IN_DEVICE || !w->d.write) {
		must(w, !w->d.has_block, "a block without a message");
		return;
	}
	if (w->d.has_block) {
		must(w, w->n_ids - w->n_stored == OUTLET_IDS_MAX, "a block too early");
		must(w, memcmp(w->d.block, &w->ids[w->n_stored], sizeof(w->d.block)) == 0,
		     "a block of other identities");
		w->n_stored += OUTLET_IDS_MAX;
	}
	w->ids[w->n_ids++] = in->id;
	must(w, w->d.next.n_ids == w->n_ids - w->n_stored, "an identity got lost");
}

static bool is_in_a_block(const struct world *w, const struct identity *id)
{
	for (size_t i = 0; i < w->n_stored; i++) {
		if (identity_eq(&w->ids[i], id))
			return true;
	}
	return false;
}

/* ---- one input ---- */

static void count_once(struct world *w, const struct outlet_input *in)
{
	bool credits = w->d.verdict != VERDICT_REJECTED && w->d.verdict != VERDICT_LATER;

	if (in->kind != OUTLET_IN_DEVICE)
		return;
	for (size_t i = 0; i < w->n_history; i++) {
		if (w->history[i].kind != OUTLET_IN_DEVICE ||
		    !identity_eq(&w->history[i].id, &in->id))
			continue;
		if (w->counted[i])
			must(w, w->d.reason == REASON_REPEATED, "handled again");
		else if (credits)
			w->counted_mwh += in->device.energy_mwh;
		w->counted[i] = w->counted[i] || credits;
		return;
	}
	must(w, false, "a message that is not in the history");
}

/* The same once more, at once: nothing may come of it. */
static void check_repeat(struct world *w, const struct outlet_input *in)
{
	static struct outlet_decision again;
	bool undecided = w->d.verdict == VERDICT_LATER || w->d.verdict == VERDICT_REJECTED;
	bool by_number = in->kind == OUTLET_IN_STOP_TIMEOUT || in->kind == OUTLET_IN_ATTACH;

	if (by_number || w->d.verdict == VERDICT_REFUSED)
		return;
	outlet_decide(&w->row, in, &w->rules, w->now_ns, &again);
	must(w, again.verdict == (undecided ? w->d.verdict : VERDICT_DUPLICATE),
	     "a repeat is no duplicate");
	must(w, again.credited_mwh == 0, "a repeat was credited");
	must(w, again.next.state == w->row.state, "a repeat changed the state");
	must(w, again.next.total_sessions == w->row.total_sessions, "a repeat began a session");
}

static void park(struct world *w, const struct outlet_input *in)
{
	if (in->parked || w->n_parked == PARKED_MAX)
		return;
	w->parked[w->n_parked] = *in;
	w->parked[w->n_parked++].parked = true;
}

static void note_reached(const struct world *w, const struct outlet_input *in)
{
	const struct outlet_decision *d = &w->d;

	reached.starts += d->next.total_sessions > w->row.total_sessions;
	reached.denials += d->next.total_sessions < w->row.total_sessions;
	reached.ends += w->row.state == OUTLET_CHARGING && d->n_events > 0 &&
			d->events[0].state == OUTLET_CHARGING_FINISHED;
	reached.late += d->reason == REASON_EARLIER && d->credited_mwh > 0;
	reached.blocks += d->has_block;
	reached.items += d->has_item;
	reached.attached += in->kind == OUTLET_IN_ATTACH && d->verdict == VERDICT_APPLIED;
	reached.parked_requests += in->parked && in->kind == OUTLET_IN_DEVICE &&
				   d->verdict == VERDICT_APPLIED;
	reached.replays += d->reason == REASON_REPEATED && in->seen;
}

static void decide(struct world *w, struct outlet_input *in)
{
	in->seen = in->kind == OUTLET_IN_DEVICE && is_in_a_block(w, &in->id);
	outlet_decide(&w->row, in, &w->rules, w->now_ns, &w->d);
	assert_decision_sound(&w->row, in, &w->d);
	check_transition(w);
	check_commands(w);
	follow_identity(w, in);
	count_once(w, in);
	for (unsigned i = 0; i < w->d.n_events; i++)
		follow_event(w, &w->d.events[i]);
	note_reached(w, in);
	if (w->d.has_item)
		w->items[w->n_items++] = (struct kept_item){ .item = w->d.item };
	if (w->d.write)
		w->row = w->d.next;
	for (unsigned i = 0; i < w->d.n_events; i++) {
		app_hears(w, &w->d.events[i]);
		if (chance(w, 5)) /* the stream repeats itself */
			app_hears(w, &w->d.events[i]);
	}
	check_books(w);
	check_running(w);
	check_repeat(w, in);
}

/* Parked ones are tried again after each applied input, and decided after their time. */
static void try_parked(struct world *w, bool applied)
{
	size_t n = w->n_parked;
	static struct outlet_input waiting[PARKED_MAX];

	memcpy(waiting, w->parked, n * sizeof(waiting[0]));
	w->n_parked = 0;
	for (size_t i = 0; i < n; i++) {
		waiting[i].waited = w->now_ns - waiting[i].at_ns >= PARKED_FOR;
		if (applied || waiting[i].waited)
			decide(w, &waiting[i]);
		if (waiting[i].waited || (applied && w->d.verdict != VERDICT_LATER))
			continue;
		w->parked[w->n_parked++] = waiting[i];
	}
}

static void give(struct world *w, struct outlet_input *in)
{
	decide(w, in);
	if (w->d.verdict == VERDICT_LATER)
		park(w, in);
	try_parked(w, w->d.verdict == VERDICT_APPLIED);
}

/* ---- drawing inputs ---- */

static int64_t draw_energy(struct world *w)
{
	return chance(w, 40) ? 0 : (int64_t)below(w, 3 * KWH);
}

static enum outlet_state draw_change(struct world *w)
{
	static const enum outlet_state usual[] = {
		OUTLET_CABLE_PLUGGED, OUTLET_CABLE_PLUGGED,
		OUTLET_AVAILABLE,     OUTLET_DEVICE_REQUESTS_CHARGING,
		OUTLET_CHARGING,      OUTLET_DEVICE_REQUESTS_CHARGING,
		OUTLET_CHARGING,      OUTLET_DEVICE_REQUESTS_STOP,
		OUTLET_CHARGING,      OUTLET_CHARGING_FINISHED,
	};

	if (chance(w, 8))
		return (enum outlet_state)below(w, OUTLET_STATE_COUNT);
	return usual[below(w, EV_ARRAY_LEN(usual))];
}

static void give_message(struct world *w)
{
	static const char *const tags[] = { "a", "A", "a", "b", "x", "", "" };
	struct outlet_input in = { .kind = OUTLET_IN_DEVICE, .id = fresh_identity(w) };

	in.at_ns = w->now_ns - (chance(w, 80) ? 0 : (int64_t)below(w, 90) * SEC);
	in.device = (struct device_message){
		.outlet_id = w->row.id,
		.tag = tag_of(tags[below(w, EV_ARRAY_LEN(tags))]),
		.period_start_ns = w->now_ns - (int64_t)below(w, 900) * SEC,
		.period_end_ns = w->now_ns,
		.change = draw_change(w),
		.energy_mwh = draw_energy(w),
	};
	w->history[w->n_history++] = in;
	give(w, &in);
}

static void give_replay(struct world *w)
{
	struct outlet_input in;

	if (w->n_history == 0)
		return;
	in = w->history[below(w, w->n_history)];
	give(w, &in);
}

/* Mostly the oldest letter not read yet; at times an old one again, or one before its turn. */
static void give_answer(struct world *w)
{
	struct outlet_input in = { .kind = OUTLET_IN_EVENT, .id = fresh_identity(w) };
	size_t i = w->mail_read;

	if (w->n_mail == 0)
		return;
	if (i == w->n_mail || chance(w, 15))
		i = below(w, w->n_mail);
	else
		w->mail_read++;
	in.event = w->mail[i];
	in.at_ns = w->mail_at[i];
	give(w, &in);
}

static void give_timer(struct world *w)
{
	struct outlet_input in;
	int64_t due_ns;

	if (!outlet_next_timer(&w->row, &w->rules, &due_ns, &in))
		return;
	if (due_ns > w->now_ns && chance(w, 60))
		w->now_ns = due_ns;
	in.id = fresh_identity(w);
	if (in.kind == OUTLET_IN_COMMAND_LAPSED)
		in.command.acknowledged = chance(w, 50);
	give(w, &in);
}

static void give_attach(struct world *w)
{
	struct outlet_input in = { .kind = OUTLET_IN_ATTACH,
				   .id = fresh_identity(w),
				   .at_ns = w->now_ns };
	struct kept_item *k;

	if (w->n_items == 0 || w->n_sessions == 0)
		return;
	k = &w->items[below(w, w->n_items)];
	if (k->item.attached) /* the shell keeps that, in the same write */
		return;
	in.attach.item_id = k->item.id;
	in.attach.mwh = k->item.mwh;
	in.attach.session_id = w->sessions[below(w, w->n_sessions)].s.id;
	k->item.attached = true;
	give(w, &in);
	k->item.attached = w->d.verdict == VERDICT_APPLIED || k->app_knows;
}

static void give_person(struct world *w)
{
	struct outlet_input in = { .id = fresh_identity(w), .at_ns = w->now_ns };

	if (chance(w, 40)) {
		in.kind = OUTLET_IN_OPERATOR_FINISH;
		in.finish.session_id = w->row.session_id;
	} else if (chance(w, 90)) {
		in.kind = OUTLET_IN_SERVICE;
		in.service.out = chance(w, 20);
	} else {
		in.kind = OUTLET_IN_RETIRE;
	}
	give(w, &in);
}

static void customer_acts(struct world *w)
{
	static struct session_decision d;
	struct ev_uuid id = uuid_of(1000 + ++w->serial), customer = uuid_of(500);
	struct rfid_tag tag = tag_of(chance(w, 50) ? "a" : "b");
	struct identity seed = fresh_identity(w);

	if (chance(w, 50) || w->n_sessions == 0) {
		session_start(&id, &customer, &tag, &w->row.id, &seed, w->now_ns, &d);
		add_session(w, &d);
	} else {
		struct app_session *a = &w->sessions[below(w, w->n_sessions)];

		session_stop(&a->s, &seed, w->now_ns, &d);
		keep_session(w, a, &d);
	}
}

static void take_step(struct world *w)
{
	uint64_t dice = below(w, 100);

	w->now_ns += (int64_t)below(w, chance(w, 5) ? 100 : 5) * SEC + (int64_t)below(w, SEC);
	if (dice < 45)
		give_message(w);
	else if (dice < 57)
		give_replay(w);
	else if (dice < 80)
		give_answer(w);
	else if (dice < 88)
		customer_acts(w);
	else if (dice < 93)
		give_timer(w);
	else if (dice < 96)
		give_attach(w);
	else
		give_person(w);
}

/* Until all answers are read and nothing is parked. */
static void settle(struct world *w)
{
	struct outlet_input in = { .kind = OUTLET_IN_EVENT };

	for (size_t i = 0; i < MAIL_MAX && w->mail_read < w->n_mail; i++) {
		in.id = fresh_identity(w);
		in.event = w->mail[w->mail_read];
		in.at_ns = w->mail_at[w->mail_read++];
		give(w, &in);
	}
	must(w, w->mail_read == w->n_mail, "outlet and App talk without end");
	w->now_ns += 2 * PARKED_FOR;
	try_parked(w, false);
	must(w, w->n_parked == 0, "an input is parked for ever");
	in.kind = OUTLET_IN_OPERATOR_FINISH;
	in.finish.session_id = w->row.session_id;
	give(w, &in);
	must(w, w->row.state != OUTLET_CHARGING, "a session cannot be finished");
}

static void live(struct world *w, uint64_t seed)
{
	struct ev_uuid id = uuid_of(OUTLET_ID);

	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->random = seed;
	w->now_ns = T0;
	w->row = outlet_new(&id, 22 * KWH, T0);
	w->rules = outlet_rules_default();
	w->rules.stop_requires_tag = chance(w, 30);
	w->rules.notify_denials = chance(w, 80);
	for (w->step = 0; w->step < STEPS; w->step++)
		take_step(w);
	settle(w);
}

static void the_books_balance_in_every_life(void **state)
{
	static struct world w;
	const char *text = getenv("EV_SEED");
	uint64_t seed = 0, steps = 0;
	bool one = text != NULL;
	int64_t energy = 0;

	(void)state;
	if (one)
		assert_int_equal(num_parse_u64(ev_str_from(text), &seed), EV_OK);
	for (uint64_t i = 0; i < (one ? 1 : LIVES); i++) {
		live(&w, one ? seed : 1 + i);
		steps += w.step;
		energy += w.row.total_energy_mwh;
	}
	print_message("# %llu steps, %lld kWh\n", (unsigned long long)steps,
		      (long long)(energy / KWH));
	assert_true(energy > 0);
	if (one)
		return;
	assert_true(reached.starts > 1000 && reached.ends > 500 && reached.denials > 20);
	assert_true(reached.late > 100 && reached.items > 100 && reached.attached > 100);
	assert_true(reached.blocks > 1000 && reached.replays > 1000);
	assert_true(reached.parked_requests > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_books_balance_in_every_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
