/* people.c — customers with their app, and those who run the place. */
#include <assert.h>
#include <string.h>

#include "base/time.h"
#include "core/machine.h"
#include "sim.h"

/* --- who and what there is --- */

struct pick {
	struct sim *s;
	bool live;
	bool ended;
	const struct ev_uuid *outlet_id; /* NULL: of any */
	size_t n;
	struct session session;
	struct unassigned_item item;
	struct dead_letter letter;
};

/* Each of n with the same chance, in one pass. */
static bool takes_this(struct pick *p)
{
	return sim_below(p->s, ++p->n) == 0;
}

static bool see_session(void *user, const struct session *x)
{
	struct pick *p = user;
	bool live = session_is_live(x->state);

	if ((live && !p->live) || (!live && !p->ended))
		return true;
	if (p->outlet_id != NULL && !ev_uuid_eq(p->outlet_id, &x->outlet_id))
		return true;
	if (takes_this(p))
		p->session = *x;
	return true;
}

static bool pick_session(struct sim *s, struct pick *p)
{
	p->s = s;
	memory_visit_sessions(sim_app_process(s)->memory, see_session, p);
	return p->n > 0;
}

static bool see_item(void *user, const struct unassigned_item *i)
{
	struct pick *p = user;

	/* Mostly what is open; what is attached is to be refused. */
	if (i->attached && !sim_chance(p->s, 10))
		return true;
	if (takes_this(p))
		p->item = *i;
	return true;
}

static bool see_letter(void *user, const struct dead_letter *d)
{
	struct pick *p = user;

	if (takes_this(p))
		p->letter = *d;
	return true;
}

static struct sim_device *any_device(struct sim *s)
{
	return &s->devices[sim_below(s, SIM_DEVICES)];
}

static struct sim_customer *any_customer(struct sim *s)
{
	return &s->customers[sim_below(s, SIM_CUSTOMERS)];
}

struct sim_customer *people_welcome(struct sim *s)
{
	for (unsigned i = 0; i < SIM_CUSTOMERS; i++) {
		if (s->customers[i].exists && !s->customers[i].blocked)
			return &s->customers[i];
	}
	return NULL;
}

/* --- the App's people --- */

static struct session_job *session_job(struct sim_task **out, enum job_kind kind)
{
	*out = sim_task_new(kind, sizeof(struct session_job));
	return (struct session_job *)(*out)->job;
}

static void start_by_app(struct sim *s)
{
	struct sim_customer *c = any_customer(s);
	struct sim_device *d = any_device(s);
	struct sim_task *t;
	struct session_job *j;

	if (!c->exists)
		return;
	j = session_job(&t, JOB_START);
	j->customer_id = c->id;
	j->outlet_id = d->outlet_id;
	j->session_id = ev_rng_uuid(&s->ids.base);
	sim_trace(s, "  customer %td starts at %td by app", c - s->customers, d - s->devices);
	sim_submit(sim_app_process(s), t);
}

static void stop_by_app(struct sim *s)
{
	struct pick p = { .live = true, .ended = sim_chance(s, 5) };
	struct sim_task *t;

	if (!pick_session(s, &p))
		return;
	session_job(&t, JOB_STOP)->session_id = p.session.id;
	sim_trace(s, "  somebody stops by app");
	s->reached->stops++;
	sim_submit(sim_app_process(s), t);
}

static void close_stuck(struct sim *s)
{
	struct pick p = { .live = true };
	struct sim_task *t;

	if (s->mode == SIM_SPLIT || !pick_session(s, &p))
		return;
	session_job(&t, JOB_SESSION_CLOSE)->session_id = p.session.id;
	sim_trace(s, "  somebody closes a session");
	sim_submit(sim_app_process(s), t);
}

static void change_customer(struct sim *s, enum job_kind kind)
{
	struct sim_customer *c = any_customer(s);
	struct sim_task *t = sim_task_new(c->exists ? kind : JOB_CUSTOMER_CREATE,
					  sizeof(struct customer_job));
	struct customer_job *j = (struct customer_job *)t->job;
	char name[] = "tag-0-0";

	name[4] = (char)('0' + sim_below(s, SIM_CUSTOMERS));
	name[6] = (char)('0' + sim_below(s, 3));
	j->customer_id = c->exists ? c->id : ev_rng_uuid(&s->ids.base);
	j->block = !c->blocked;
	j->tag = sim_tag(name);
	/* At times the tag of somebody else: it must be refused. */
	if (sim_chance(s, 10) && any_customer(s)->tag.n > 0)
		j->tag = any_customer(s)->tag;
	if (j->tag.n == 0)
		j->tag = sim_tag(name);
	sim_trace(s, "  customer %td: %s", c - s->customers, job_kind_text(t->job->kind));
	sim_submit(sim_app_process(s), t);
}

/* --- the outlets' people --- */

static struct outlet_job *outlet_job(struct sim_task **out, enum job_kind kind,
				     const struct sim_device *d)
{
	struct outlet_job *j;

	*out = sim_task_new(kind, sizeof(*j));
	j = (struct outlet_job *)(*out)->job;
	j->outlet_id = d->outlet_id;
	return j;
}

static void submit_outlet(struct sim *s, struct sim_task *t, const struct sim_device *d)
{
	sim_trace(s, "  somebody: %s of %td", job_kind_text(t->job->kind), d - s->devices);
	sim_submit(sim_outlet_process(s), t);
}

static void register_outlet(struct sim *s, struct sim_device *d)
{
	struct sim_task *t;

	outlet_job(&t, JOB_OUTLET_CREATE, d)->max_power_mw = 22000000;
	submit_outlet(s, t, d);
}

static void change_outlet(struct sim *s)
{
	struct sim_device *d = any_device(s);
	struct sim_task *t;
	struct outlet_job *j = outlet_job(&t, JOB_OUTLET_CHANGE, d);

	j->set_power = true;
	j->max_power_mw = 1000000 * (1 + (int64_t)sim_below(s, 50));
	submit_outlet(s, t, d);
}

static void set_service(struct sim *s)
{
	struct sim_device *d = any_device(s);
	struct sim_task *t;

	outlet_job(&t, JOB_OUTLET_SERVICE, d)->out = sim_chance(s, 25);
	submit_outlet(s, t, d);
}

/* Of the last device only, and not often: a retired outlet has little to show. */
static void retire(struct sim *s)
{
	struct sim_device *d = &s->devices[SIM_DEVICES - 1];
	struct sim_task *t;

	if (!sim_chance(s, 20))
		return;
	outlet_job(&t, JOB_OUTLET_RETIRE, d);
	submit_outlet(s, t, d);
}

void people_finish(struct sim *s, struct sim_device *d)
{
	struct sim_task *t;

	outlet_job(&t, JOB_OUTLET_FINISH, d);
	submit_outlet(s, t, d);
}

static void attach(struct sim *s)
{
	struct pick item = { .s = s };
	struct pick session = { .live = true, .ended = true };
	struct sim_device *d = any_device(s);
	struct sim_task *t;
	struct outlet_job *j;

	memory_visit_items(sim_outlet_process(s)->memory, see_item, &item);
	if (item.n == 0)
		return;
	session.outlet_id = &item.item.outlet_id;
	if (!pick_session(s, &session))
		return;
	j = outlet_job(&t, JOB_ATTACH, d);
	j->outlet_id = sim_chance(s, 95) ? item.item.outlet_id : d->outlet_id;
	j->item_id = item.item.id;
	j->session_id = session.session.id;
	submit_outlet(s, t, d);
}

static void handle_letter(struct sim *s, enum job_kind kind)
{
	struct pick p = { .s = s };
	struct pick named = { .live = true, .ended = true };
	struct sim_task *t;
	struct dead_letter_job *j;

	memory_visit_dead_letters(sim_outlet_process(s)->memory, see_letter, &p);
	if (p.n == 0)
		return;
	t = sim_task_new(kind, sizeof(*j));
	j = (struct dead_letter_job *)t->job;
	j->id = p.letter.id;
	if (sim_chance(s, 40) && pick_session(s, &named)) {
		j->has_session = true;
		j->session_id = named.session.id;
	}
	sim_trace(s, "  somebody: %s", job_kind_text(kind));
	sim_submit(sim_outlet_process(s), t);
}

static void act_on_outlets(struct sim *s, uint64_t dice)
{
	if (dice < 30)
		attach(s);
	else if (dice < 50)
		handle_letter(s, JOB_DEAD_LETTER_REPLAY);
	else if (dice < 55)
		handle_letter(s, JOB_DEAD_LETTER_DROP);
	else if (dice < 75)
		set_service(s);
	else if (dice < 85)
		people_finish(s, any_device(s));
	else if (dice < 95)
		change_outlet(s);
	else
		retire(s);
}

static void act_in_app(struct sim *s, uint64_t dice)
{
	if (dice < 45)
		start_by_app(s);
	else if (dice < 70)
		stop_by_app(s);
	else if (dice < 75)
		close_stuck(s);
	else if (dice < 87)
		change_customer(s, JOB_CUSTOMER_BLOCK);
	else if (dice < 95)
		change_customer(s, JOB_CUSTOMER_TAG);
	else
		change_customer(s, JOB_CUSTOMER_ERASE);
}

void people_act(struct sim *s)
{
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		if (!s->devices[i].registered && sim_chance(s, 10)) {
			register_outlet(s, &s->devices[i]);
			return;
		}
	}
	if (sim_chance(s, 40))
		act_on_outlets(s, sim_below(s, 100));
	else
		act_in_app(s, sim_below(s, 100));
}

/* Most outlets are there from the start; a late one's first messages are rejected. */
void people_open(struct sim *s)
{
	for (unsigned i = 0; i < SIM_DEVICES - 1; i++)
		register_outlet(s, &s->devices[i]);
	sim_work(sim_outlet_process(s), SIM_BATCH);
	for (unsigned i = 0; i < SIM_CUSTOMERS; i++) {
		struct sim_task *t = sim_task_new(JOB_CUSTOMER_CREATE, sizeof(struct customer_job));
		struct customer_job *j = (struct customer_job *)t->job;
		char name[] = "tag-0-0";

		name[4] = (char)('0' + i);
		j->customer_id = ev_rng_uuid(&s->ids.base);
		j->tag = sim_tag(name);
		sim_submit(sim_app_process(s), t);
	}
	sim_work(sim_app_process(s), SIM_BATCH);
}

/* What somebody was told must be so. */
void people_answered(struct sim *s, struct sim_process *p, struct sim_task *t)
{
	const struct session_job *j = (const struct session_job *)t->job;
	struct session x;

	if (t->job->kind != JOB_START || t->job->err != EV_OK)
		return;
	sim_must(s, p->query->ops->session(p->query, &j->session.id, &x) == EV_OK,
		 "a start was answered with a session that is not there");
}
