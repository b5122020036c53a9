/* cli/sim_setup.c — what a simulation asks the APIs: to make things before, and for sums after. */
#include <json.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "cli/simulation_internal.h"

#define PAGE 1000
#define TOTAL_MAX_MWH (INT64_C(1) << 60)

/* --- Requests --- */

void sim_request(struct simulation *s, enum sim_api api, const char *method, const char *path,
		 struct json_object *body, http_done_fn *done, void *user)
{
	char url[4 * SIM_URL_MAX];
	struct http_request q = { .method = method,
				  .url = url,
				  .token = s->token[0] != '\0' ? s->token : NULL,
				  .ca = s->ca[0] != '\0' ? s->ca : NULL };

	snprintf(url, sizeof(url), "%s%s", s->urls[api], path);
	if (body != NULL)
		q.body = ev_str_from(json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN));
	if (http_pool_start(s->pool, &q, done, user) != EV_OK)
		done(user, 0, EV_LIT("out of memory"));
}

void sim_wait_for_answers(struct simulation *s)
{
	while (http_pool_pending(s->pool) > 0)
		http_pool_turn(s->pool, 100);
}

struct json_object *sim_answer(long status, long wanted, struct ev_str body)
{
	struct json_object *o;

	if (status != wanted || body.n == 0)
		return NULL;
	o = json_tokener_parse(body.p); /* http.h ends it with a NUL */
	if (json_object_is_type(o, json_type_object))
		return o;
	json_object_put(o);
	return NULL;
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return "";
	return json_object_get_string(v);
}

static bool is_true(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) && json_object_get_boolean(v);
}

static ev_err mwh_of(struct json_object *o, const char *key, int64_t *out)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, key, &v))
		return EV_NOTFOUND;
	return num_mwh_from_kwh(json_object_get_double(v), TOTAL_MAX_MWH, out);
}

/* The first failure is kept for people. */
static void failed(struct simulation *s, const char *what, long status, struct ev_str body)
{
	if (s->failed++ > 0)
		return;
	if (status == 0)
		snprintf(s->why, sizeof(s->why), "%s: %.*s", what,
			 (int)(body.n < 100 ? body.n : 100), body.n > 0 ? body.p : "");
	else
		snprintf(s->why, sizeof(s->why), "%s: the server answered %ld", what, status);
}

/* --- Customers --- */

struct customer_call {
	struct simulation *s;
	struct sim_customer *customer;
};

static void on_customer(void *user, long status, struct ev_str body)
{
	struct customer_call *call = user;
	struct sim_customer *c = call->customer;
	struct json_object *o = sim_answer(status, 201, body);

	if (o != NULL && strlen(text_of(o, "customerId")) == EV_UUID_TEXT &&
	    rfid_tag_set(&c->tag, ev_str_from(text_of(o, "rfidTag"))) == EV_OK) {
		memcpy(c->id, text_of(o, "customerId"), EV_UUID_TEXT + 1);
		c->known = true;
	} else {
		failed(call->s, "a customer", status, body);
	}
	json_object_put(o);
}

static void make_customer(struct customer_call *call, size_t i)
{
	struct json_object *body = json_object_new_object();
	char text[64];

	snprintf(text, sizeof(text), "%zu Simulated Street", i + 1);
	json_object_object_add(body, "address", json_object_new_string(text));
	snprintf(text, sizeof(text), "driver%zu@example.org", i + 1);
	json_object_object_add(body, "email", json_object_new_string(text));
	json_object_object_add(body, "paymentMethod", json_object_new_string("invoice"));
	sim_request(call->s, SIM_API_APP, "POST", "/api/customers", body, on_customer, call);
	json_object_put(body);
}

static ev_err make_customers(struct simulation *s)
{
	struct customer_call *calls = calloc(s->o.n_customers, sizeof(*calls));

	if (calls == NULL)
		return EV_NOMEM;
	for (size_t i = 0; i < s->o.n_customers; i++) {
		calls[i] = (struct customer_call){ s, &s->customers[i] };
		make_customer(&calls[i], i);
	}
	sim_wait_for_answers(s);
	free(calls);
	return EV_OK;
}

/* --- Outlets --- */

static bool take_outlet(struct sim_slot *slot, struct json_object *o)
{
	struct json_object *power = NULL;

	if (ev_uuid_parse(ev_str_from(text_of(o, "outletId")), &slot->outlet_id) != EV_OK ||
	    !json_object_object_get_ex(o, "maxPower", &power))
		return false;
	/* A fresh one's answer has no total yet: nothing. */
	if (mwh_of(o, "totalPowerConsumption", &slot->before_mwh) == EV_INVALID)
		return false;
	slot->max_power_w = (int64_t)json_object_get_double(power);
	slot->known = slot->max_power_w > 0 && slot->max_power_w < 10000000;
	return slot->known;
}

static void on_outlet(void *user, long status, struct ev_str body)
{
	struct sim_slot *slot = user;
	struct json_object *o = sim_answer(status, 201, body);

	if (o == NULL || !take_outlet(slot, o))
		failed(slot->s, "an outlet", status, body);
	json_object_put(o);
}

static void make_outlet(struct sim_slot *slot, size_t i, const char *group)
{
	static const double powers[] = { 3700, 11000, 11000, 22000, 22000, 50000, 150000 };
	struct json_object *body = json_object_new_object();
	size_t which = i % (sizeof(powers) / sizeof(powers[0]));
	char text[64];

	json_object_object_add(body, "chargerGroupId", json_object_new_string(group));
	snprintf(text, sizeof(text), SIM_CODE_PREFIX "%05zu", i + 1);
	json_object_object_add(body, "outletCode", json_object_new_string(text));
	snprintf(text, sizeof(text), "Simulated car park, place %zu", i + 1);
	json_object_object_add(body, "address", json_object_new_string(text));
	json_object_object_add(body, "maxPower", json_object_new_double(powers[which]));
	json_object_object_add(body, "outletState", json_object_new_string("Available"));
	sim_request(slot->s, SIM_API_OUTLET, "POST", "/api/chargers", body, on_outlet, slot);
	json_object_put(body);
}

static void make_outlets(struct simulation *s, size_t from)
{
	struct ev_uuid group = ev_rng_uuid(&s->rng.base);
	char text[EV_UUID_TEXT + 1];

	ev_uuid_text(&group, text);
	for (size_t i = from; i < s->o.n_outlets; i++)
		make_outlet(&s->slots[i], i, text);
	sim_wait_for_answers(s);
}

/* A page of outlets that are there already. */
struct page {
	struct simulation *s;
	size_t taken;
	char next[SIM_URL_MAX];
};

static bool may_reuse(struct json_object *o)
{
	return strncmp(text_of(o, "outletCode"), SIM_CODE_PREFIX, 4) == 0 &&
	       strcmp(text_of(o, "outletState"), "Available") == 0 && !is_true(o, "outOfService") &&
	       !is_true(o, "retired");
}

static void on_page(void *user, long status, struct ev_str body)
{
	struct page *page = user;
	struct json_object *o = sim_answer(status, 200, body);
	struct json_object *items = NULL;

	page->next[0] = '\0';
	if (o == NULL || !json_object_object_get_ex(o, "items", &items) ||
	    !json_object_is_type(items, json_type_array)) {
		failed(page->s, "the list of outlets", status, body);
		json_object_put(o);
		return;
	}
	for (size_t i = 0; i < json_object_array_length(items); i++) {
		struct json_object *item = json_object_array_get_idx(items, i);

		if (page->taken == page->s->o.n_outlets || !may_reuse(item))
			continue;
		if (take_outlet(&page->s->slots[page->taken], item))
			page->taken++;
	}
	snprintf(page->next, sizeof(page->next), "%s", text_of(o, "next"));
	json_object_put(o);
}

/* How many slots got an outlet of an earlier run. */
static size_t reuse_outlets(struct simulation *s)
{
	struct page page = { .s = s };
	char path[2 * SIM_URL_MAX];

	do {
		snprintf(path, sizeof(path), "/api/chargers?limit=%d%s%s", PAGE,
			 page.next[0] != '\0' ? "&after=" : "", page.next);
		sim_request(s, SIM_API_OUTLET, "GET", path, NULL, on_page, &page);
		sim_wait_for_answers(s);
	} while (page.next[0] != '\0' && page.taken < s->o.n_outlets && s->failed == 0);
	return page.taken;
}

ev_err sim_set_up(struct simulation *s, struct ev_fail *fail)
{
	size_t reused = s->o.reuse ? reuse_outlets(s) : 0;

	if (s->failed == 0)
		make_outlets(s, reused);
	if (s->failed == 0 && make_customers(s) != EV_OK)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	if (s->failed > 0)
		return ev_fail_set(fail, EV_IO, 0, "%s", s->why);
	return EV_OK;
}

/* --- The gateway's address --- */

static ev_err split_url(struct simulation *s, char host[SIM_URL_MAX + 1],
			char port[SIM_URL_MAX + 1], struct ev_fail *fail)
{
	const char *rest = s->urls[2];
	const char *scheme_end = strstr(rest, "://");
	const char *colon;

	if (scheme_end == NULL ||
	    (strncmp(rest, "http://", 7) != 0 && strncmp(rest, "ws://", 5) != 0))
		return ev_fail_set(fail, EV_INVALID, 0,
				   "%.100s: simulated devices speak http:// or ws:// only", rest);
	rest = scheme_end + 3;
	colon = strrchr(rest, ':');
	if (colon == NULL || strchr(colon, ']') != NULL)
		colon = rest + strlen(rest);
	snprintf(s->gateway_host, sizeof(s->gateway_host), "%s", rest);
	snprintf(port, SIM_URL_MAX + 1, "%s", *colon == ':' ? colon + 1 : "80");
	if (rest[0] == '[' && colon > rest + 1)
		snprintf(host, SIM_URL_MAX + 1, "%.*s", (int)(colon - rest - 2), rest + 1);
	else
		snprintf(host, SIM_URL_MAX + 1, "%.*s", (int)(colon - rest), rest);
	return EV_OK;
}

ev_err sim_resolve(struct simulation *s, struct ev_fail *fail)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	char host[SIM_URL_MAX + 1], port[SIM_URL_MAX + 1];
	struct addrinfo *found = NULL;
	ev_err e = split_url(s, host, port, fail);

	if (e != EV_OK)
		return e;
	int code = getaddrinfo(host, port, &hints, &found);

	if (code != 0)
		return ev_fail_set(fail, EV_NOTFOUND, code, "%.100s: %s", s->urls[2],
				   gai_strerror(code));
	memcpy(&s->gateway, found->ai_addr, found->ai_addrlen);
	s->gateway_len = found->ai_addrlen;
	freeaddrinfo(found);
	return EV_OK;
}

/* --- The account --- */

static void on_total(void *user, long status, struct ev_str body)
{
	struct sim_slot *slot = user;
	struct json_object *o = sim_answer(status, 200, body);

	slot->has_after = o != NULL &&
			  mwh_of(o, "totalPowerConsumption", &slot->after_mwh) == EV_OK;
	if (!slot->has_after)
		failed(slot->s, "an outlet's total", status, body);
	json_object_put(o);
}

static void on_books(void *user, long status, struct ev_str body)
{
	struct simulation *s = user;
	struct json_object *o = sim_answer(status, 200, body);

	s->balanced = o != NULL && is_true(o, "balanced");
	if (o == NULL)
		failed(s, "the books", status, body);
	json_object_put(o);
}

static void ask_for_totals(struct simulation *s)
{
	char path[64], id[EV_UUID_TEXT + 1];

	for (size_t i = 0; i < s->o.n_outlets; i++) {
		ev_uuid_text(&s->slots[i].outlet_id, id);
		snprintf(path, sizeof(path), "/api/chargers/%s", id);
		sim_request(s, SIM_API_OUTLET, "GET", path, NULL, on_total, &s->slots[i]);
	}
	sim_request(s, SIM_API_OUTLET, "GET", "/api/books", NULL, on_books, s);
	sim_wait_for_answers(s);
}

static ev_err compare(const struct sim_slot *slot, struct ev_fail *fail)
{
	int64_t grown = slot->after_mwh - slot->before_mwh;
	int64_t sent = slot->device.stats.acknowledged_mwh;
	char id[EV_UUID_TEXT + 1];

	ev_uuid_text(&slot->outlet_id, id);
	if (slot->device.stats.rejected > 0)
		return ev_fail_set(fail, EV_CORRUPT, 0, "outlet %s: %llu messages were rejected",
				   id, (unsigned long long)slot->device.stats.rejected);
	if (grown == sent)
		return EV_OK;
	return ev_fail_set(fail, EV_CORRUPT, 0,
			   "outlet %s: %lld mWh acknowledged, but its total grew by %lld mWh", id,
			   (long long)sent, (long long)grown);
}

ev_err simulation_verify(struct simulation *s, struct ev_fail *fail)
{
	ev_err e = EV_OK;

	if (!simulation_is_over(s))
		return ev_fail_set(fail, EV_BUSY, 0, "messages are still not acknowledged");
	s->failed = 0;
	ask_for_totals(s);
	if (s->failed > 0)
		return ev_fail_set(fail, EV_IO, 0, "%s", s->why);
	s->verified = true;
	for (size_t i = 0; i < s->o.n_outlets && e == EV_OK; i++)
		e = compare(&s->slots[i], fail);
	if (e == EV_OK && !s->balanced)
		e = ev_fail_set(fail, EV_CORRUPT, 0, "the books do not balance");
	return e;
}
