/*
 * net/metrics_text.h — single values in Prometheus' text format, for what is no registered metric:
 * copies of counters that live on another thread.  Values of one name follow its head.
 */
#ifndef EV_NET_METRICS_TEXT_H
#define EV_NET_METRICS_TEXT_H

#include <stdint.h>

#include "base/buf.h"

/* help is one line; type is "counter" or "gauge". */
void metrics_head(struct ev_buf *b, const char *name, const char *help, const char *type);

/* label NULL: none; else `name{label="value"} `. */
void metrics_u64(struct ev_buf *b, const char *name, const char *label, const char *value,
		 uint64_t v);

/* v / 10^decimals, exactly; decimals at most 18. */
void metrics_scaled(struct ev_buf *b, const char *name, int64_t v, unsigned decimals);

/* A head and its only value. */
void metrics_counter(struct ev_buf *b, const char *name, const char *help, uint64_t v);
void metrics_gauge(struct ev_buf *b, const char *name, const char *help, uint64_t v);
void metrics_counter_kwh(struct ev_buf *b, const char *name, const char *help, int64_t mwh);

#endif
