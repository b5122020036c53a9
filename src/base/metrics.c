/* base/metrics.c — see metrics.h. */
#include "base/metrics.h"

#include <assert.h>
#include <stdbool.h>

static const char *const type_texts[] = {
	[EV_METRIC_COUNTER] = "counter",
	[EV_METRIC_GAUGE] = "gauge",
	[EV_METRIC_HISTOGRAM] = "histogram",
};

void ev_metrics_init(struct ev_metrics *m)
{
	m->first = NULL;
}

/* Behind the last of its name, so that a name's metrics are together. */
static void link_in(struct ev_metrics *m, struct ev_metric *metric)
{
	struct ev_metric **at;
	struct ev_metric **place = NULL;

	if (m == NULL)
		return;
	for (at = &m->first; *at != NULL; at = &(*at)->next) {
		if (ev_str_eqz(ev_str_from((*at)->name), metric->name))
			place = &(*at)->next;
	}
	if (place == NULL)
		place = at;
	metric->next = *place;
	*place = metric;
}

void ev_metrics_counter(struct ev_metrics *m, struct ev_counter *c, const char *name,
			const char *help, const char *labels)
{
	c->base = (struct ev_metric){ NULL, name, help, labels, EV_METRIC_COUNTER, NULL };
	atomic_init(&c->value, 0);
	link_in(m, &c->base);
}

void ev_metrics_gauge(struct ev_metrics *m, struct ev_gauge *g, const char *name, const char *help,
		      const char *labels)
{
	g->base = (struct ev_metric){ NULL, name, help, labels, EV_METRIC_GAUGE, NULL };
	atomic_init(&g->value, 0);
	link_in(m, &g->base);
}

void ev_metrics_histogram(struct ev_metrics *m, struct ev_histogram *h, const char *name,
			  const char *help, const char *labels, const int64_t *bounds,
			  size_t n_bounds, unsigned decimals)
{
	assert(n_bounds <= EV_HISTOGRAM_MAX_BUCKETS && decimals <= 9);
	h->base = (struct ev_metric){ NULL, name, help, labels, EV_METRIC_HISTOGRAM, NULL };
	h->bounds = bounds;
	h->n_bounds = n_bounds;
	h->decimals = decimals;
	for (size_t i = 0; i < EV_ARRAY_LEN(h->counts); i++)
		atomic_init(&h->counts[i], 0);
	atomic_init(&h->sum, 0);
	link_in(m, &h->base);
}

void ev_metrics_remove(struct ev_metrics *m, struct ev_metric *metric)
{
	if (m == NULL)
		return;
	for (struct ev_metric **at = &m->first; *at != NULL; at = &(*at)->next) {
		if (*at == metric) {
			*at = metric->next;
			return;
		}
	}
}

static bool labels_eq(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return ev_str_eqz(ev_str_from(a), b);
}

static struct ev_metric *find_same(const struct ev_metrics *m, const struct ev_metric *metric)
{
	for (struct ev_metric *at = m->first; at != NULL; at = at->next) {
		if (at->type == metric->type && labels_eq(at->labels, metric->labels) &&
		    ev_str_eqz(ev_str_from(at->name), metric->name))
			return at;
	}
	return NULL;
}

void ev_metrics_join(struct ev_metrics *m, struct ev_metrics *part)
{
	for (struct ev_metric *at = part->first; at != NULL; at = at->next) {
		struct ev_metric *sum = find_same(m, at);

		if (sum == NULL)
			continue;
		at->same = sum->same;
		sum->same = at;
	}
}

void ev_histogram_observe(struct ev_histogram *h, int64_t v)
{
	size_t i = 0;

	while (i < h->n_bounds && v > h->bounds[i])
		i++;
	atomic_fetch_add_explicit(&h->counts[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum, v, memory_order_relaxed);
}

/* v / 10^decimals, exactly. */
static void write_scaled(struct ev_buf *out, int64_t v, unsigned decimals)
{
	uint64_t magnitude = v < 0 ? (uint64_t)0 - (uint64_t)v : (uint64_t)v;
	uint64_t unit = 1;

	for (unsigned i = 0; i < decimals; i++)
		unit *= 10;
	if (v < 0)
		ev_buf_char(out, '-');
	ev_buf_u64(out, magnitude / unit);
	magnitude %= unit;
	if (magnitude == 0)
		return;
	ev_buf_char(out, '.');
	while (magnitude != 0) {
		unit /= 10;
		ev_buf_char(out, (char)('0' + magnitude / unit));
		magnitude %= unit;
	}
}

/* `name suffix {labels, extra} ` */
static void write_name(struct ev_buf *out, const struct ev_metric *m, const char *suffix)
{
	ev_buf_z(out, m->name);
	ev_buf_z(out, suffix);
	if (m->labels != NULL) {
		ev_buf_char(out, '{');
		ev_buf_z(out, m->labels);
		ev_buf_char(out, '}');
	}
	ev_buf_char(out, ' ');
}

static void write_bucket(struct ev_buf *out, const struct ev_histogram *h, size_t i, uint64_t n)
{
	ev_buf_z(out, h->base.name);
	ev_buf_z(out, "_bucket{");
	if (h->base.labels != NULL) {
		ev_buf_z(out, h->base.labels);
		ev_buf_char(out, ',');
	}
	ev_buf_z(out, "le=\"");
	if (i < h->n_bounds)
		write_scaled(out, h->bounds[i], h->decimals);
	else
		ev_buf_z(out, "+Inf");
	ev_buf_z(out, "\"} ");
	ev_buf_u64(out, n);
	ev_buf_char(out, '\n');
}

/* base is the first member of each kind. */
static const struct ev_histogram *histogram_of(const struct ev_metric *m)
{
	return (const struct ev_histogram *)(const void *)m;
}

static uint64_t sum_bucket(const struct ev_metric *m, size_t i)
{
	uint64_t n = 0;

	for (; m != NULL; m = m->same)
		n += atomic_load_explicit(&histogram_of(m)->counts[i], memory_order_relaxed);
	return n;
}

static void write_histogram(struct ev_buf *out, const struct ev_metric *m)
{
	const struct ev_histogram *h = histogram_of(m);
	uint64_t n = 0;
	int64_t sum = 0;

	for (size_t i = 0; i <= h->n_bounds; i++) {
		n += sum_bucket(m, i);
		write_bucket(out, h, i, n);
	}
	for (const struct ev_metric *at = m; at != NULL; at = at->same)
		sum += atomic_load_explicit(&histogram_of(at)->sum, memory_order_relaxed);
	write_name(out, m, "_sum");
	write_scaled(out, sum, h->decimals);
	ev_buf_char(out, '\n');
	write_name(out, m, "_count");
	ev_buf_u64(out, n);
	ev_buf_char(out, '\n');
}

static void write_counter(struct ev_buf *out, const struct ev_metric *m)
{
	uint64_t n = 0;

	for (const struct ev_metric *at = m; at != NULL; at = at->same)
		n += ev_counter_get((const struct ev_counter *)(const void *)at);
	write_name(out, m, "");
	ev_buf_u64(out, n);
	ev_buf_char(out, '\n');
}

static void write_gauge(struct ev_buf *out, const struct ev_metric *m)
{
	int64_t n = 0;

	for (const struct ev_metric *at = m; at != NULL; at = at->same)
		n += ev_gauge_get((const struct ev_gauge *)(const void *)at);
	write_name(out, m, "");
	ev_buf_i64(out, n);
	ev_buf_char(out, '\n');
}

static void write_value(struct ev_buf *out, const struct ev_metric *m)
{
	switch (m->type) {
	case EV_METRIC_COUNTER:
		write_counter(out, m);
		break;
	case EV_METRIC_GAUGE:
		write_gauge(out, m);
		break;
	case EV_METRIC_HISTOGRAM:
		write_histogram(out, m);
		break;
	}
}

void ev_metrics_write(const struct ev_metrics *m, struct ev_buf *out)
{
	const char *name = "";

	for (const struct ev_metric *at = m->first; at != NULL; at = at->next) {
		if (!ev_str_eqz(ev_str_from(at->name), name)) {
			name = at->name;
			ev_buf_z(out, "# HELP ");
			ev_buf_z(out, name);
			ev_buf_char(out, ' ');
			ev_buf_z(out, at->help);
			ev_buf_z(out, "\n# TYPE ");
			ev_buf_z(out, name);
			ev_buf_char(out, ' ');
			ev_buf_z(out, type_texts[at->type]);
			ev_buf_char(out, '\n');
		}
		write_value(out, at);
	}
}
