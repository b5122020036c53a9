/*
 * base/metrics.h — counters, gauges and histograms, and their text form for Prometheus.
 *
 * Metrics are embedded in what they count and linked into a registry once; no allocation.  Values
 * may be changed from any thread (relaxed atomics: each value is right, two values need not be of
 * the same moment).  Registering and writing out belong to one thread, or to a time before threads.
 * Names, help and labels are borrowed for the life of the registry.
 */
#ifndef EV_BASE_METRICS_H
#define EV_BASE_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum ev_metric_type { EV_METRIC_COUNTER, EV_METRIC_GAUGE, EV_METRIC_HISTOGRAM };

struct ev_metric {
	struct ev_metric *next;
	const char *name;   /* [a-z_]+, ends in _total for counters */
	const char *help;   /* one line */
	const char *labels; /* `state="open",kind="x"`, or NULL */
	enum ev_metric_type type;
	struct ev_metric *same; /* the next of those written as one sum: see ev_metrics_join */
};

struct ev_counter {
	struct ev_metric base;
	_Atomic uint64_t value;
};

struct ev_gauge {
	struct ev_metric base;
	_Atomic int64_t value;
};

#define EV_HISTOGRAM_MAX_BUCKETS 24

struct ev_histogram {
	struct ev_metric base;
	const int64_t *bounds; /* ascending upper bounds, each inclusive */
	size_t n_bounds;       /* at most EV_HISTOGRAM_MAX_BUCKETS */
	unsigned decimals;     /* values are written divided by 10^decimals */
	_Atomic uint64_t counts[EV_HISTOGRAM_MAX_BUCKETS + 1]; /* the last: above all bounds */
	_Atomic int64_t sum;
};

struct ev_metrics {
	struct ev_metric *first;
};

void ev_metrics_init(struct ev_metrics *m);

/*
 * Sets the metric to zero and links it in.  Metrics of one name are to be added with the same help
 * and different labels; they are written together.  m may be NULL: then it counts unseen.
 */
void ev_metrics_counter(struct ev_metrics *m, struct ev_counter *c, const char *name,
			const char *help, const char *labels);
void ev_metrics_gauge(struct ev_metrics *m, struct ev_gauge *g, const char *name, const char *help,
		      const char *labels);
/*
 * bounds is borrowed.  With decimals 6 microseconds are written as seconds, the unit that
 * Prometheus expects.
 */
void ev_metrics_histogram(struct ev_metrics *m, struct ev_histogram *h, const char *name,
			  const char *help, const char *labels, const int64_t *bounds,
			  size_t n_bounds, unsigned decimals);

/* Takes a metric out again; one that was never added is fine. */
void ev_metrics_remove(struct ev_metrics *m, struct ev_metric *metric);

/*
 * From now on m is written with the values of part's metrics added to those of the same name and
 * labels; what m does not have is not written.  For threads that count the same for themselves.
 * Once for each part, after all was registered; nothing of either is removed while m is written.
 */
void ev_metrics_join(struct ev_metrics *m, struct ev_metrics *part);

static inline void ev_counter_add(struct ev_counter *c, uint64_t n)
{
	atomic_fetch_add_explicit(&c->value, n, memory_order_relaxed);
}
static inline void ev_counter_inc(struct ev_counter *c)
{
	ev_counter_add(c, 1);
}
static inline uint64_t ev_counter_get(const struct ev_counter *c)
{
	return atomic_load_explicit(&c->value, memory_order_relaxed);
}
static inline void ev_gauge_set(struct ev_gauge *g, int64_t v)
{
	atomic_store_explicit(&g->value, v, memory_order_relaxed);
}
static inline void ev_gauge_add(struct ev_gauge *g, int64_t n)
{
	atomic_fetch_add_explicit(&g->value, n, memory_order_relaxed);
}
static inline int64_t ev_gauge_get(const struct ev_gauge *g)
{
	return atomic_load_explicit(&g->value, memory_order_relaxed);
}
void ev_histogram_observe(struct ev_histogram *h, int64_t v);

/* Appends all metrics in Prometheus' text format 0.0.4. */
void ev_metrics_write(const struct ev_metrics *m, struct ev_buf *out);

#endif
