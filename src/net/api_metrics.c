/*
 * net/api_metrics.c — the API's own counters, and all that /metrics shows: the registry, what the
 * services counted on the writer's thread, the host's queues, and the engine's.  docs/metrics.md.
 */
#include <string.h>

#include "net/api_internal.h"
#include "net/metrics_text.h"

#define REASON_NAME_MAX 32

/* Upper bounds in µs. */
static const int64_t second_bounds[] = { 500,    1000,   2500,   5000,    10000,   25000,  50000,
					 100000, 250000, 500000, 1000000, 2500000, 5000000 };

#define LABELS(api)                                                                                \
	{                                                                                          \
		"api=\"" api "\",status=\"2xx\"", "api=\"" api "\",status=\"3xx\"",                \
			"api=\"" api "\",status=\"4xx\"", "api=\"" api "\",status=\"5xx\""         \
	}
static const char *const request_labels[API_ROLE_COUNT][API_STATUS_CLASSES] = {
	[API_OUTLET] = LABELS("outlet"),
	[API_APP] = LABELS("app"),
	[API_GATEWAY] = LABELS("gateway"),
};

void api_counters_init(struct api *a, struct ev_metrics *m)
{
	struct api_counters *n = &a->n;

	for (size_t role = 0; role < API_ROLE_COUNT; role++)
		for (size_t i = 0; i < API_STATUS_CLASSES; i++)
			ev_metrics_counter(m, &n->requests[role][i], "evcharge_api_requests_total",
					   "Requests answered.", request_labels[role][i]);
	ev_metrics_histogram(m, &n->seconds, "evcharge_api_request_seconds",
			     "From the whole request to its answer.", NULL, second_bounds,
			     EV_ARRAY_LEN(second_bounds), 6);
	ev_metrics_counter(m, &n->missing, "evcharge_api_refused_total",
			   "Requests refused for who asks.", "why=\"missing\"");
	ev_metrics_counter(m, &n->wrong, "evcharge_api_refused_total",
			   "Requests refused for who asks.", "why=\"wrong\"");
	ev_metrics_counter(m, &n->foreign, "evcharge_api_refused_total",
			   "Requests refused for who asks.", "why=\"foreign\"");
	ev_metrics_counter(m, &n->busy, "evcharge_api_busy_total",
			   "Requests answered 503, to be sent again.", NULL);
	ev_metrics_counter(m, &n->gone, "evcharge_api_gone_total",
			   "Answers for which the peer did not wait.", NULL);
	ev_metrics_gauge(m, &n->subscribers, "evcharge_events_subscribers",
			 "Open streams of charging events.", NULL);
	ev_metrics_counter(m, &n->sent_events, "evcharge_events_sent_total",
			   "Charging events written to streams.", NULL);
	ev_metrics_counter(m, &n->fell_behind, "evcharge_events_fell_behind_total",
			   "Times a stream's reader was too slow and went on from the store.",
			   NULL);
	ev_metrics_counter(m, &n->too_many_subscribers, "evcharge_events_refused_total",
			   "Streams refused because there were too many.", NULL);
}

static void write_pump(struct ev_buf *b, const struct pump_stats *s)
{
	const char *name = "evcharge_jobs_total";

	metrics_head(b, name, "Inputs handed to the backends.", "counter");
	for (unsigned k = 0; k < JOB_COUNT; k++)
		metrics_u64(b, name, "kind", job_kind_text((enum job_kind)k), s->by_kind[k]);
	metrics_counter(b, "evcharge_jobs_failed_total", "Inputs that the store did not take.",
			s->failed_jobs);
	metrics_counter(b, "evcharge_groups_total", "Groups of inputs with one commit.", s->groups);
	metrics_counter(b, "evcharge_groups_failed_total",
			"Groups that failed and were run again one by one.", s->failed_groups);
	metrics_counter(b, "evcharge_events_decided_total",
			"Charging events that one backend put and the other decided.", s->events);
}

static void write_verdicts(struct ev_buf *b, const char *name, const char *help,
			   const uint64_t verdicts[VERDICT_COUNT])
{
	metrics_head(b, name, help, "counter");
	for (unsigned v = 0; v < VERDICT_COUNT; v++)
		metrics_u64(b, name, "verdict", verdict_text((enum verdict)v), verdicts[v]);
}

/* The names of the enum in lower case: texts for people may change, labels must not. */
static void write_reasons(struct ev_buf *b, const uint64_t reasons[REASON_COUNT])
{
#define REASON_NAME(name, text) #name,
	static const char *const names[] = { REASON_LIST(REASON_NAME) };
#undef REASON_NAME
	const char *name = "evcharge_outlet_reasons_total";

	metrics_head(b, name, "Why inputs of outlets were not simply applied.", "counter");
	for (unsigned r = 0; r < REASON_COUNT; r++) {
		char lower[REASON_NAME_MAX];
		size_t n = strlen(names[r]);

		for (size_t i = 0; i <= n && i < sizeof(lower); i++) {
			char c = names[r][i];

			lower[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
		}
		lower[sizeof(lower) - 1] = '\0';
		metrics_u64(b, name, "reason", lower, reasons[r]);
	}
}

static void write_outlets(struct ev_buf *b, const struct outlet_service_stats *s)
{
	write_verdicts(b, "evcharge_outlet_verdicts_total",
		       "What became of the inputs of outlets: messages, events, timers, people.",
		       s->verdicts);
	write_reasons(b, s->reasons);
	metrics_counter_kwh(b, "evcharge_energy_credited_kwh_total",
			    "Energy added to outlets' totals since the start.", s->credited_mwh);
	metrics_counter_kwh(b, "evcharge_energy_unassigned_kwh_total",
			    "The part of it that belongs to no known session.", s->unassigned_mwh);
	metrics_counter(b, "evcharge_messages_credited_total", "Messages that brought energy.",
			s->credited_messages);
	metrics_counter(b, "evcharge_messages_suspect_total",
			"Messages with more energy than the outlet can deliver.", s->suspect);
	metrics_counter(b, "evcharge_messages_foreign_tag_total",
			"Reports and stops with a tag that is not the session's.", s->foreign_tag);
	metrics_counter(b, "evcharge_outlet_conflicts_total",
			"Decisions made again because the row had changed.", s->conflicts);
	metrics_counter(b, "evcharge_outlet_timers_total", "Timers of outlets that were due.",
			s->timers);
	metrics_counter(b, "evcharge_outlet_parked_total", "Inputs kept to be decided later.",
			s->parked);
	metrics_counter(b, "evcharge_outlet_unreadable_total",
			"Times a row with a timer or input due could not be read and was skipped.",
			s->unreadable);
}

static void write_app(struct ev_buf *b, const struct app_service_stats *s)
{
	write_verdicts(b, "evcharge_app_verdicts_total",
		       "What became of outlets' events in the app backend.", s->verdicts);
	metrics_counter(b, "evcharge_app_approvals_total", "Requests by tag that were approved.",
			s->approvals);
	metrics_counter(b, "evcharge_app_denials_total", "Requests by tag that were denied.",
			s->denials);
	metrics_counter(b, "evcharge_app_starts_total", "Sessions started by app.", s->starts);
	metrics_counter(b, "evcharge_app_stops_total", "Stops asked by app.", s->stops);
	metrics_counter(b, "evcharge_app_superseded_total",
			"Sessions closed because a new one began at their outlet.", s->superseded);
}

static void write_host(struct ev_buf *b, const struct host_stats *s)
{
	metrics_counter(b, "evcharge_batches_total", "Batches that the writer took.", s->batches);
	metrics_gauge(b, "evcharge_batch_largest_jobs", "Inputs in the largest batch so far.",
		      s->largest);
	metrics_gauge(b, "evcharge_jobs_waiting", "Inputs on their way through the writer.",
		      s->all_waiting);
	metrics_gauge(b, "evcharge_queries_waiting", "Reads on their way through the reader.",
		      s->all_queries);
}

void api_metrics_write(struct api *a, struct ev_buf *out)
{
	struct pump_snapshot s;
	struct host_stats h = host_stats(a->c.host);
	const struct ev_metrics *shown = a->c.shown != NULL ? a->c.shown : a->c.metrics;

	host_pump_stats(a->c.host, &s);
	metrics_head(out, "evcharge_build_info", "The version that runs.", "gauge");
	metrics_u64(out, "evcharge_build_info", "version", a->c.version, 1);
	if (shown != NULL)
		ev_metrics_write(shown, out);
	write_pump(out, &s.pump);
	write_host(out, &h);
	write_outlets(out, &s.outlet);
	write_app(out, &s.app);
	if (a->c.more_metrics != NULL)
		a->c.more_metrics(a->c.user, out);
}
