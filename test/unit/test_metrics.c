/* test_metrics.c — the text form is what Prometheus reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics.h"

static void assert_written(const struct ev_metrics *m, const char *want)
{
	char text[2048];
	struct ev_buf b = ev_buf_over(text, sizeof(text) - 1);

	ev_metrics_write(m, &b);
	assert_false(b.overflow);
	text[b.len] = '\0';
	assert_string_equal(text, want);
}

static void writes_metrics_of_one_name_together(void **state)
{
	struct ev_metrics m;
	struct ev_counter a;
	struct ev_counter b;
	struct ev_gauge g;

	(void)state;
	ev_metrics_init(&m);
	ev_metrics_counter(&m, &a, "seen_total", "What was seen.", "kind=\"a\"");
	ev_metrics_gauge(&m, &g, "open", "What is open.", NULL);
	ev_metrics_counter(&m, &b, "seen_total", "What was seen.", "kind=\"b\"");
	ev_counter_inc(&a);
	ev_counter_add(&b, UINT64_MAX);
	ev_gauge_set(&g, 5);
	ev_gauge_add(&g, -7);
	assert_written(&m, "# HELP seen_total What was seen.\n"
			   "# TYPE seen_total counter\n"
			   "seen_total{kind=\"a\"} 1\n"
			   "seen_total{kind=\"b\"} 18446744073709551615\n"
			   "# HELP open What is open.\n"
			   "# TYPE open gauge\n"
			   "open -2\n");
	assert_int_equal(ev_counter_get(&a), 1);
	assert_int_equal(ev_gauge_get(&g), -2);
}

static void sums_buckets_up_and_scales(void **state)
{
	static const int64_t bounds[] = { 500, 1000, 2500000 };
	struct ev_metrics m;
	struct ev_histogram h;

	(void)state;
	ev_metrics_init(&m);
	ev_metrics_histogram(&m, &h, "took_seconds", "Time.", "op=\"x\"", bounds, 3, 6);
	ev_histogram_observe(&h, 500); /* a bound belongs to its bucket */
	ev_histogram_observe(&h, 501);
	ev_histogram_observe(&h, 3000000);
	ev_histogram_observe(&h, 7);
	assert_written(&m, "# HELP took_seconds Time.\n"
			   "# TYPE took_seconds histogram\n"
			   "took_seconds_bucket{op=\"x\",le=\"0.0005\"} 2\n"
			   "took_seconds_bucket{op=\"x\",le=\"0.001\"} 3\n"
			   "took_seconds_bucket{op=\"x\",le=\"2.5\"} 3\n"
			   "took_seconds_bucket{op=\"x\",le=\"+Inf\"} 4\n"
			   "took_seconds_sum{op=\"x\"} 3.001008\n"
			   "took_seconds_count{op=\"x\"} 4\n");
}

static void a_histogram_may_have_no_labels_and_negative_values(void **state)
{
	static const int64_t bounds[] = { 0 };
	struct ev_metrics m;
	struct ev_histogram h;

	(void)state;
	ev_metrics_init(&m);
	ev_metrics_histogram(&m, &h, "d", "D.", NULL, bounds, 1, 1);
	ev_histogram_observe(&h, -15);
	assert_written(&m, "# HELP d D.\n# TYPE d histogram\nd_bucket{le=\"0\"} 1\n"
			   "d_bucket{le=\"+Inf\"} 1\nd_sum -1.5\nd_count 1\n");
}

static void can_be_taken_out_again(void **state)
{
	struct ev_metrics m;
	struct ev_counter a;
	struct ev_counter b;

	(void)state;
	ev_metrics_init(&m);
	ev_metrics_counter(&m, &a, "a_total", "A.", NULL);
	ev_metrics_counter(&m, &b, "b_total", "B.", NULL);
	ev_metrics_remove(&m, &a.base);
	ev_metrics_remove(&m, &a.base);
	assert_written(&m, "# HELP b_total B.\n# TYPE b_total counter\nb_total 0\n");
	ev_metrics_remove(&m, &b.base);
	assert_written(&m, "");
}

static void parts_are_written_as_one_sum(void **state)
{
	static const int64_t bounds[] = { 10 };
	struct ev_metrics m[3];
	struct ev_counter a[3], b[3], only;
	struct ev_gauge g[3];
	struct ev_histogram h[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		ev_metrics_init(&m[i]);
		ev_metrics_counter(&m[i], &a[i], "a_total", "A.", "x=\"1\"");
		ev_metrics_counter(&m[i], &b[i], "a_total", "A.", "x=\"2\"");
		ev_metrics_gauge(&m[i], &g[i], "g", "G.", NULL);
		ev_metrics_histogram(&m[i], &h[i], "h", "H.", NULL, bounds, 1, 0);
		ev_counter_add(&a[i], 1);
		ev_counter_add(&b[i], 10);
		ev_gauge_set(&g[i], -i);
		ev_histogram_observe(&h[i], 5 + 5 * i);
	}
	ev_metrics_counter(&m[1], &only, "only_total", "Not the first's.", NULL);
	ev_metrics_join(&m[0], &m[1]);
	ev_metrics_join(&m[0], &m[2]);
	assert_written(&m[0], "# HELP a_total A.\n# TYPE a_total counter\n"
			      "a_total{x=\"1\"} 3\na_total{x=\"2\"} 30\n"
			      "# HELP g G.\n# TYPE g gauge\ng -3\n"
			      "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"10\"} 2\n"
			      "h_bucket{le=\"+Inf\"} 3\nh_sum 30\nh_count 3\n");
}

static void counts_unseen_without_a_registry(void **state)
{
	struct ev_counter a;

	(void)state;
	ev_metrics_counter(NULL, &a, "a_total", "A.", NULL);
	ev_counter_inc(&a);
	assert_int_equal(ev_counter_get(&a), 1);
	ev_metrics_remove(NULL, &a.base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_metrics_of_one_name_together),
		cmocka_unit_test(sums_buckets_up_and_scales),
		cmocka_unit_test(a_histogram_may_have_no_labels_and_negative_values),
		cmocka_unit_test(can_be_taken_out_again),
		cmocka_unit_test(parts_are_written_as_one_sum),
		cmocka_unit_test(counts_unseen_without_a_registry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
