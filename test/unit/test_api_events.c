/* test_api_events.c — the stream of events: no gap, no repeat, whatever comes between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api_fixture.h"
#include "base/time.h"

#define KWH INT64_C(1000000)

static void subscribe(struct api_fixture *f, const char *target)
{
	ask_only(f, API_OUTLET, "GET", target, NULL);
}

static void forget_stream(struct api_fixture *f)
{
	f->stream_n = 0;
	f->stream[0] = '\0';
}

/* One event each, once the outlet charges. */
static void report(struct api_fixture *f, int n)
{
	for (int i = 0; i < n; i++)
		device_sends(f, OUTLET_CHARGING, "anna", KWH);
}

static void charge(struct api_fixture *f)
{
	device_sends(f, OUTLET_CABLE_PLUGGED, "", 0);
	device_sends(f, OUTLET_DEVICE_REQUESTS_CHARGING, "anna", 0);
}

/* The ids in the stream grow, each one above the last; returns how many there are. */
static size_t count_ids(const struct api_fixture *f, unsigned long long *out_first,
			unsigned long long *out_last)
{
	unsigned long long last = 0, id;
	size_t n = 0;

	for (const char *at = f->stream; (at = strstr(at, "id: ")) != NULL; at++) {
		assert_int_equal(sscanf(at, "id: %llu\nevent: charging-event\ndata: {", &id), 1);
		assert_true(id > last);
		if (n == 0)
			*out_first = id;
		last = id;
		n++;
	}
	*out_last = last;
	return n;
}

static size_t n_events(const struct api_fixture *f)
{
	unsigned long long first, last;

	return count_ids(f, &first, &last);
}

static unsigned long long last_id(const struct api_fixture *f)
{
	unsigned long long first, last = 0;

	count_ids(f, &first, &last);
	return last;
}

static void a_new_reader_hears_what_comes_from_now_on(void **state)
{
	struct api_fixture *f = *state;

	charge(f);
	subscribe(f, "/api/events");
	settle(f);
	assert_int_equal(f->n_begun, 1);
	assert_int_equal(f->status, 200);
	assert_true(has_header(f, "content-type: text/event-stream"));
	assert_true(has_header(f, "cache-control: no-store"));
	assert_string_equal(f->stream, "retry: 3000\n\n");
	report(f, 2);
	assert_int_equal(n_events(f), 2);
	assert_non_null(strstr(f->stream, "\"outletState\":\"Charging\""));
	assert_int_equal((int)metric(f, "evcharge_events_subscribers"), 1);
	assert_int_equal((int)metric(f, "evcharge_events_sent_total"), 2);
}

static void a_reader_resumes_where_it_left_off(void **state)
{
	struct api_fixture *f = *state;
	char target[64], id[32];
	unsigned long long first, last, left;

	charge(f);
	report(f, 3);
	subscribe(f, "/api/events?after=0");
	settle(f);
	assert_true(n_events(f) >= 5);
	left = last_id(f) - 2;
	api_on_gone(f->api, f->handle);
	snprintf(target, sizeof(target), "/api/events?after=%llu", left);
	forget_stream(f);
	subscribe(f, target);
	settle(f);
	assert_int_equal(count_ids(f, &first, &last), 2);
	assert_int_equal(first, left + 1);
	api_on_gone(f->api, f->handle);
	forget_stream(f);
	snprintf(id, sizeof(id), "%llu", left + 1); /* stronger than the query */
	header_set(f, "Last-Event-ID", id);
	subscribe(f, target);
	settle(f);
	assert_int_equal(n_events(f), 1);
	report(f, 1);
	assert_int_equal(n_events(f), 2);
}

static void many_pages_come_whole(void **state)
{
	struct api_fixture *f = *state;

	charge(f);
	report(f, 200);
	subscribe(f, "/api/events?after=0");
	settle(f);
	assert_true(n_events(f) >= 202);
	report(f, 1);
	assert_true(n_events(f) >= 203);
}

static struct stored_event later_event(struct api_fixture *f, uint64_t seq)
{
	struct stored_event e = { .seq = seq, .at_ns = ev_clock_wall_ns(&f->clock.base) };

	e.event.outlet_id = f->outlet_id;
	e.event.state = OUTLET_CHARGING;
	return e;
}

static void what_is_told_while_a_page_is_read_is_neither_lost_nor_doubled(void **state)
{
	struct api_fixture *f = *state;
	struct stored_event e;
	unsigned long long newest;

	charge(f);
	subscribe(f, "/api/events?after=0");
	settle(f);
	newest = last_id(f);
	api_on_gone(f->api, f->handle);
	forget_stream(f);
	subscribe(f, "/api/events?after=0");
	e = later_event(f, newest); /* in the store: the page will have it */
	api_on_event(f->api, &e);
	assert_int_equal(n_events(f), 0);
	settle(f);
	assert_int_equal(last_id(f), newest);
	api_on_event(f->api, &e); /* told late: it was sent */
	assert_int_equal(last_id(f), newest);
	e = later_event(f, newest + 1);
	api_on_event(f->api, &e);
	assert_int_equal(last_id(f), newest + 1);
}

static void a_page_that_is_behind_is_not_the_last(void **state)
{
	struct api_fixture *f = *state;
	struct stored_event e;
	unsigned long long newest;

	charge(f);
	subscribe(f, "/api/events?after=0");
	settle(f);
	newest = last_id(f);
	api_on_gone(f->api, f->handle);
	forget_stream(f);
	subscribe(f, "/api/events?after=0");
	e = later_event(f, newest + 1); /* committed after the page was read */
	api_on_event(f->api, &e);
	host_flush(f->host);
	while (n_events(f) == 0)
		reap_once(f);
	assert_int_equal(host_stats(f->host).queries, 1); /* it reads again */
	e = later_event(f, 0);
	api_on_event(f->api, &e); /* so that the reading comes to an end here */
	settle(f);
	assert_int_equal(last_id(f), newest);
}

static void a_slow_reader_goes_on_from_the_store(void **state)
{
	struct api_fixture *f = *state;
	size_t n;

	charge(f);
	subscribe(f, "/api/events");
	settle(f);
	report(f, 1);
	n = n_events(f);
	f->stream_result = EV_FULL;
	report(f, 3);
	assert_int_equal(n_events(f), n);
	f->stream_result = EV_OK;
	report(f, 1); /* it waits for room: nothing is written past it */
	assert_int_equal(n_events(f), n);
	api_on_room(f->api, f->handle);
	settle(f);
	assert_int_equal(n_events(f), n + 4);
	report(f, 1);
	assert_int_equal(n_events(f), n + 5);
	assert_int_equal((int)metric(f, "evcharge_events_fell_behind_total"), 1);
}

static void a_new_reader_that_falls_behind_at_once_misses_nothing(void **state)
{
	struct api_fixture *f = *state;

	charge(f);
	report(f, 3);
	subscribe(f, "/api/events");
	settle(f);
	f->stream_result = EV_FULL;
	report(f, 2);
	f->stream_result = EV_OK;
	api_on_room(f->api, f->handle);
	settle(f);
	assert_int_equal(n_events(f), 2); /* and nothing of before */
}

static void a_page_without_room_is_read_again(void **state)
{
	struct api_fixture *f = *state;

	charge(f);
	report(f, 3);
	subscribe(f, "/api/events?after=0");
	f->stream_result = EV_FULL;
	settle(f);
	assert_int_equal(n_events(f), 0);
	f->stream_result = EV_OK;
	api_on_room(f->api, f->handle);
	settle(f);
	assert_true(n_events(f) >= 5);
}

static void a_reader_of_a_store_that_was_restored_hears_again(void **state)
{
	struct api_fixture *f = *state;

	charge(f);
	subscribe(f, "/api/events?after=1000000");
	settle(f);
	report(f, 1);
	assert_int_equal(n_events(f), 1);
}

static void silence_is_broken_by_a_comment(void **state)
{
	struct api_fixture *f = *state;

	charge(f);
	subscribe(f, "/api/events");
	settle(f);
	forget_stream(f);
	ev_clock_manual_advance(&f->clock, 14 * EV_NS_PER_S);
	api_tick(f->api);
	assert_int_equal(f->stream_n, 0);
	ev_clock_manual_advance(&f->clock, EV_NS_PER_S);
	api_tick(f->api);
	assert_string_equal(f->stream, ":\n\n");
	api_tick(f->api);
	assert_string_equal(f->stream, ":\n\n");
	report(f, 1);
	forget_stream(f);
	ev_clock_manual_advance(&f->clock, 14 * EV_NS_PER_S);
	api_tick(f->api);
	assert_int_equal(f->stream_n, 0);
}

static void a_reader_that_left_is_forgotten(void **state)
{
	struct api_fixture *f = *state;

	charge(f);
	subscribe(f, "/api/events");
	settle(f);
	f->stream_result = EV_CLOSED;
	report(f, 1);
	f->stream_result = EV_OK;
	forget_stream(f);
	report(f, 1);
	assert_int_equal(f->stream_n, 0);
	api_on_gone(f->api, f->handle); /* the server tells it too */
	assert_int_equal((int)metric(f, "evcharge_events_subscribers"), 0);
}

static void a_reader_that_leaves_while_its_page_is_read_is_forgotten(void **state)
{
	struct api_fixture *f = *state;

	charge(f);
	subscribe(f, "/api/events?after=0");
	forget_stream(f);
	api_on_gone(f->api, f->handle);
	api_on_gone(f->api, f->handle);
	settle(f);
	assert_int_equal(f->stream_n, 0);
	assert_int_equal((int)metric(f, "evcharge_events_subscribers"), 0);
}

static void more_readers_than_the_limit_are_refused(void **state)
{
	struct api_fixture *f = *state;
	struct net_handle first;

	subscribe(f, "/api/events");
	first = f->handle;
	subscribe(f, "/api/events");
	assert_int_equal(f->n_begun, 2);
	assert_int_equal(ask(f, API_OUTLET, "GET", "/api/events", NULL), 503);
	assert_true(has_header(f, "retry-after: 5"));
	api_on_gone(f->api, first);
	subscribe(f, "/api/events");
	assert_int_equal(f->n_begun, 3);
	assert_int_equal((int)metric(f, "evcharge_events_refused_total"), 1);
}

static void a_position_that_is_no_number_is_refused(void **state)
{
	struct api_fixture *f = *state;

	assert_int_equal(ask(f, API_OUTLET, "GET", "/api/events?after=x", NULL), 422);
	header_set(f, "Last-Event-ID", "x");
	assert_int_equal(ask(f, API_OUTLET, "GET", "/api/events", NULL), 422);
	assert_true(body_has(f, "\"field\":\"Last-Event-ID\""));
}

static void head_opens_no_stream(void **state)
{
	struct api_fixture *f = *state;

	assert_int_equal(ask(f, API_OUTLET, "HEAD", "/api/events", NULL), 200);
	assert_int_equal(f->n_begun, 0);
}

static void draining_ends_the_streams(void **state)
{
	struct api_fixture *f = *state;

	subscribe(f, "/api/events");
	subscribe(f, "/api/events?after=0");
	api_drain(f->api);
	assert_int_equal(f->n_ended, 2);
	settle(f);
	assert_int_equal(ask(f, API_OUTLET, "GET", "/api/events", NULL), 503);
}

static ev_err failing_query(void *user, enum memory_point point)
{
	(void)user; /* always */
	return point == MEMORY_AT_QUERY ? EV_IO : EV_OK;
}

static void a_store_that_cannot_be_read_ends_the_stream(void **state)
{
	struct api_fixture *f = *state;

	charge(f);
	memory_set_fault(f->memory, failing_query, NULL);
	subscribe(f, "/api/events?after=0");
	settle(f);
	assert_int_equal(f->n_ended, 1);
	memory_set_fault(f->memory, NULL, NULL);
	assert_int_equal((int)metric(f, "evcharge_events_subscribers"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_fixture_setup, api_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_reader_hears_what_comes_from_now_on),
		TEST(a_reader_resumes_where_it_left_off),
		TEST(many_pages_come_whole),
		TEST(what_is_told_while_a_page_is_read_is_neither_lost_nor_doubled),
		TEST(a_page_that_is_behind_is_not_the_last),
		TEST(a_slow_reader_goes_on_from_the_store),
		TEST(a_new_reader_that_falls_behind_at_once_misses_nothing),
		TEST(a_page_without_room_is_read_again),
		TEST(a_reader_of_a_store_that_was_restored_hears_again),
		TEST(silence_is_broken_by_a_comment),
		TEST(a_reader_that_left_is_forgotten),
		TEST(a_reader_that_leaves_while_its_page_is_read_is_forgotten),
		TEST(more_readers_than_the_limit_are_refused),
		TEST(a_position_that_is_no_number_is_refused),
		TEST(head_opens_no_stream),
		TEST(draining_ends_the_streams),
		TEST(a_store_that_cannot_be_read_ends_the_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
