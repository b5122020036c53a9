/* service/app_customers.c — customers and the claims on their tags. */
#include <string.h>

#include "core/machine.h"
#include "service/app_service.h"

#define CONFLICTS_MAX 16
#define SESSIONS_PAGE 64

static ev_err answer(struct customer_job *j, ev_err e)
{
	j->job.err = e;
	return e;
}

static ev_err commit(struct app_service *s, const struct customer *c, uint64_t expected, bool erase,
		     const struct keyed_put *puts, size_t n_puts)
{
	struct unit u = {
		.kind = UNIT_CUSTOMER,
		.expected = expected,
		.customer = c,
		.erase = erase,
		.puts = puts,
		.n_puts = n_puts,
	};
	ev_err result;

	return s->store->ops->commit(s->store, &u, 1, &result);
}

/* EV_EXISTS: the tag is held by somebody else. */
static ev_err check_tag(struct app_service *s, const struct rfid_tag *tag,
			const struct ev_uuid *wants, int64_t now_ns)
{
	struct tag_claim claim;
	struct customer holder;
	ev_err e = s->store->ops->load_claim(s->store, tag, &claim);
	bool held;

	if (e == EV_NOTFOUND)
		return EV_OK;
	if (e != EV_OK)
		return e;
	e = s->store->ops->load_customer(s->store, &claim.customer_id, &holder);
	if (e != EV_OK && e != EV_NOTFOUND)
		return e;
	held = e == EV_OK;
	return tag_claim_free(&claim, held ? &holder : NULL, wants, now_ns) ? EV_OK : EV_EXISTS;
}

static struct keyed_put claim_put(enum put_kind kind, const struct rfid_tag *low,
				  const struct ev_uuid *customer_id, int64_t now_ns)
{
	struct keyed_put put = { .kind = kind };

	put.claim = (struct tag_claim){ .tag = *low, .customer_id = *customer_id, .at_ns = now_ns };
	return put;
}

ev_err app_service_customer_create(struct app_service *s, struct customer_job *j)
{
	int64_t now_ns = ev_clock_wall_ns(s->clock);
	struct rfid_tag low = rfid_tag_lower(&j->tag);
	struct keyed_put put = claim_put(PUT_CLAIM, &low, &j->customer_id, now_ns);
	ev_err e = check_tag(s, &j->tag, &j->customer_id, now_ns);

	if (e != EV_OK)
		return answer(j, e);
	j->customer = j->fields;
	j->customer.id = j->customer_id;
	j->customer.tag = low;
	j->customer.blocked = false;
	j->customer.created_ns = now_ns;
	j->customer.version = row_next_version(0, now_ns);
	j->job.verdict = VERDICT_APPLIED;
	return answer(j, commit(s, &j->customer, 0, false, &put, 1));
}

static void apply_change(const struct customer_job *j, struct customer *c)
{
	if (j->job.kind == JOB_CUSTOMER_BLOCK)
		c->blocked = j->block;
	if (j->job.kind != JOB_CUSTOMER_CHANGE)
		return;
	if (j->set_address)
		memcpy(c->address, j->fields.address, sizeof(c->address));
	if (j->set_email)
		memcpy(c->email, j->fields.email, sizeof(c->email));
	if (j->set_payment)
		memcpy(c->payment_method, j->fields.payment_method, sizeof(c->payment_method));
}

/* Load, change, commit, again on a conflict. */
static ev_err change(struct app_service *s, struct customer_job *j)
{
	ev_err e = EV_CONFLICT;

	for (int i = 0; i < CONFLICTS_MAX && e == EV_CONFLICT; i++) {
		uint64_t expected;

		e = s->store->ops->load_customer(s->store, &j->customer_id, &j->customer);
		if (e != EV_OK)
			return answer(j, e);
		expected = j->customer.version;
		apply_change(j, &j->customer);
		j->customer.version = row_next_version(expected, ev_clock_wall_ns(s->clock));
		e = commit(s, &j->customer, expected, false, NULL, 0);
	}
	j->job.verdict = VERDICT_APPLIED;
	return answer(j, e);
}

ev_err app_service_customer_change(struct app_service *s, struct customer_job *j)
{
	return change(s, j);
}

ev_err app_service_customer_block(struct app_service *s, struct customer_job *j)
{
	return change(s, j);
}

ev_err app_service_customer_tag(struct app_service *s, struct customer_job *j)
{
	int64_t now_ns = ev_clock_wall_ns(s->clock);
	struct rfid_tag low = rfid_tag_lower(&j->tag);
	struct keyed_put puts[2];
	size_t n = 0;
	uint64_t expected;
	ev_err e = s->store->ops->load_customer(s->store, &j->customer_id, &j->customer);

	if (e == EV_OK)
		e = check_tag(s, &j->tag, &j->customer_id, now_ns);
	if (e != EV_OK)
		return answer(j, e);
	if (!rfid_tag_eq(&j->customer.tag, &low)) {
		struct rfid_tag old = rfid_tag_lower(&j->customer.tag);

		puts[n++] = claim_put(PUT_UNCLAIM, &old, &j->customer_id, now_ns);
	}
	puts[n++] = claim_put(PUT_CLAIM, &low, &j->customer_id, now_ns);
	expected = j->customer.version;
	j->customer.tag = low;
	j->customer.version = row_next_version(expected, now_ns);
	j->job.verdict = VERDICT_APPLIED;
	return answer(j, commit(s, &j->customer, expected, false, puts, n));
}

/* One session loses its person.  *out_live: it is still running, nothing was done. */
static ev_err forget_one(struct app_service *s, const struct ev_uuid *id, bool *out_live)
{
	struct session cur;
	struct session_decision d;
	struct unit u = { .kind = UNIT_SESSION };
	ev_err result;
	ev_err e = s->store->ops->load_session(s->store, id, &cur);

	if (e != EV_OK)
		return e;
	session_forget(&cur, ev_clock_wall_ns(s->clock), &d);
	*out_live = d.verdict == VERDICT_REFUSED;
	if (!d.write)
		return EV_OK;
	u.expected = cur.version;
	u.session = &d.next;
	return s->store->ops->commit(s->store, &u, 1, &result);
}

static ev_err is_live(struct app_service *s, const struct ev_uuid *id, bool *out)
{
	struct session cur;
	ev_err e = s->store->ops->load_session(s->store, id, &cur);

	if (e == EV_OK)
		*out = session_is_live(cur.state);
	return e;
}

static ev_err any_live(struct app_service *s, const struct ev_uuid *customer_id, bool *out)
{
	struct ev_uuid ids[SESSIONS_PAGE];
	struct ev_uuid after;
	size_t n = SESSIONS_PAGE;
	const struct ev_uuid *from = NULL;
	ev_err e = EV_OK;

	*out = false;
	while (n == SESSIONS_PAGE && e == EV_OK && !*out) {
		e = s->store->ops->customer_sessions(s->store, customer_id, from, ids,
						     SESSIONS_PAGE, &n);
		for (size_t i = 0; i < n && e == EV_OK && !*out; i++)
			e = is_live(s, &ids[i], out);
		if (n > 0)
			after = ids[n - 1];
		from = &after;
	}
	return e;
}

static ev_err forget_all(struct app_service *s, const struct ev_uuid *customer_id)
{
	struct ev_uuid ids[SESSIONS_PAGE];
	size_t n = SESSIONS_PAGE;
	bool live = false;
	ev_err e = EV_OK;

	/* A forgotten session is not listed any more: the first page is always the next one. */
	while (n > 0 && e == EV_OK && !live) {
		e = s->store->ops->customer_sessions(s->store, customer_id, NULL, ids,
						     SESSIONS_PAGE, &n);
		for (size_t i = 0; i < n && e == EV_OK; i++)
			e = forget_one(s, &ids[i], &live);
	}
	return e;
}

ev_err app_service_customer_erase(struct app_service *s, struct customer_job *j)
{
	int64_t now_ns = ev_clock_wall_ns(s->clock);
	struct keyed_put put;
	struct rfid_tag low;
	uint64_t expected;
	bool live = false;
	ev_err e = s->store->ops->load_customer(s->store, &j->customer_id, &j->customer);

	if (e == EV_OK)
		e = any_live(s, &j->customer_id, &live);
	if (e != EV_OK)
		return answer(j, e);
	if (live) {
		j->job.verdict = VERDICT_REFUSED;
		j->job.reason = REASON_CHARGING;
		return answer(j, EV_OK);
	}
	e = forget_all(s, &j->customer_id);
	if (e != EV_OK)
		return answer(j, e);
	low = rfid_tag_lower(&j->customer.tag);
	put = claim_put(PUT_UNCLAIM, &low, &j->customer_id, now_ns);
	expected = j->customer.version;
	j->customer.version = row_next_version(expected, now_ns);
	j->job.verdict = VERDICT_APPLIED;
	return answer(j, commit(s, &j->customer, expected, true, &put, 1));
}
