/* cli/runtime_metrics.c — what the engine counts, in Prometheus' text format. */
#include <stdio.h>

#include "base/num.h"
#include "cli/runtime_internal.h"

struct value {
	const char *name;
	const char *type;
	const char *help;
	size_t offset; /* of an uint64_t in struct embedded_stats */
};

#define VALUE(field, type, name, help)                                                             \
	{                                                                                          \
		"evcharge_store_" name, type, help, offsetof(struct embedded_stats, field)         \
	}

static const struct value values[] = {
	VALUE(groups, "counter", "groups_total", "groups of units committed or failed"),
	VALUE(failed_groups, "counter", "failed_groups_total",
	      "groups of which nothing took place"),
	VALUE(units, "counter", "units_total", "units committed"),
	VALUE(conflicts, "counter", "conflicts_total", "units refused as the row had moved on"),
	VALUE(events, "counter", "events_total", "charging events stored"),
	VALUE(commands, "counter", "commands_total", "device commands stored"),
	VALUE(rows_written, "counter", "rows_written_total", "outlet and session rows written"),
	VALUE(rows_spared, "counter", "rows_spared_total",
	      "changes that shared a later one's write"),
	VALUE(checkpoints, "counter", "checkpoints_total", "checkpoints of the log"),
	VALUE(failed_checkpoints, "counter", "failed_checkpoints_total", "checkpoints that failed"),
	VALUE(wal_pages, "gauge", "log_pages", "length of the log after the last commit"),
	VALUE(outlet_hits, "counter", "outlet_hits_total", "outlet rows found in memory"),
	VALUE(outlet_misses, "counter", "outlet_misses_total", "outlet rows read from the file"),
	VALUE(session_hits, "counter", "session_hits_total", "session rows found in memory"),
	VALUE(session_misses, "counter", "session_misses_total", "session rows read from the file"),
	VALUE(seen_lookups, "counter", "identity_lookups_total", "identities looked up"),
	VALUE(seen_walks, "counter", "identity_walks_total", "of these, settled in the file"),
	VALUE(outlets_cached, "gauge", "outlets_cached", "outlet rows in memory"),
	VALUE(sessions_cached, "gauge", "sessions_cached", "session rows in memory"),
	VALUE(retained, "counter", "rows_retired_total", "rows deleted at the end of retention"),
};

static void write_value(const struct value *v, uint64_t n, struct ev_buf *out)
{
	ev_buf_z(out, "# HELP ");
	ev_buf_z(out, v->name);
	ev_buf_char(out, ' ');
	ev_buf_z(out, v->help);
	ev_buf_z(out, "\n# TYPE ");
	ev_buf_z(out, v->name);
	ev_buf_char(out, ' ');
	ev_buf_z(out, v->type);
	ev_buf_char(out, '\n');
	ev_buf_z(out, v->name);
	ev_buf_char(out, ' ');
	ev_buf_u64(out, n);
	ev_buf_char(out, '\n');
}

static void write_bucket(struct ev_buf *out, const char *le, uint64_t n)
{
	ev_buf_z(out, "evcharge_store_commit_seconds_bucket{le=\"");
	ev_buf_z(out, le);
	ev_buf_z(out, "\"} ");
	ev_buf_u64(out, n);
	ev_buf_char(out, '\n');
}

static void write_commit_times(const struct embedded_stats *s, struct ev_buf *out)
{
	uint64_t n = 0;
	char le[32];

	ev_buf_z(out, "# HELP evcharge_store_commit_seconds time a group took to become durable\n"
		      "# TYPE evcharge_store_commit_seconds histogram\n");
	for (size_t i = 0; i < EMBEDDED_HISTOGRAM; i++) {
		n += s->commit_time[i];
		if (i + 1 < EMBEDDED_HISTOGRAM)
			snprintf(le, sizeof(le), "%g", (double)embedded_commit_bounds[i] / 1e9);
		else
			snprintf(le, sizeof(le), "+Inf");
		write_bucket(out, le, n);
	}
	ev_buf_z(out, "evcharge_store_commit_seconds_sum ");
	num_write_double(out, (double)s->commit_ns_sum / 1e9);
	ev_buf_z(out, "\nevcharge_store_commit_seconds_count ");
	ev_buf_u64(out, n);
	ev_buf_char(out, '\n');
}

void runtime_engine_metrics(struct embedded *engine, struct ev_buf *out)
{
	struct embedded_stats s;

	embedded_stats(engine, &s);
	for (size_t i = 0; i < EV_ARRAY_LEN(values); i++) {
		const void *field = (const char *)&s + values[i].offset;

		write_value(&values[i], *(const uint64_t *)field, out);
	}
	write_commit_times(&s, out);
}
