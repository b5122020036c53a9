/* cli/aws_metrics.c — what the aws engine counts, in Prometheus' text format. */
#include "cli/aws_runtime_internal.h"

#include "base/num.h"

static void metric(struct ev_buf *out, const char *type, const char *name, const char *help,
		   uint64_t n)
{
	ev_buf_z(out, "# HELP evcharge_aws_");
	ev_buf_z(out, name);
	ev_buf_char(out, ' ');
	ev_buf_z(out, help);
	ev_buf_z(out, "\n# TYPE evcharge_aws_");
	ev_buf_z(out, name);
	ev_buf_char(out, ' ');
	ev_buf_z(out, type);
	ev_buf_z(out, "\nevcharge_aws_");
	ev_buf_z(out, name);
	ev_buf_char(out, ' ');
	ev_buf_u64(out, n);
	ev_buf_char(out, '\n');
}

static void counter(struct ev_buf *out, const char *name, const char *help, uint64_t n)
{
	metric(out, "counter", name, help, n);
}

static void gauge(struct ev_buf *out, const char *name, const char *help, uint64_t n)
{
	metric(out, "gauge", name, help, n);
}

static void intake_metrics(struct aws_intake *intake, struct ev_buf *out)
{
	struct aws_intake_state s;

	aws_intake_state(intake, &s);
	counter(out, "messages_received_total", "messages taken from the queue", s.received);
	counter(out, "messages_deleted_total", "messages deleted after their effect", s.deleted);
	counter(out, "messages_extended_total", "visibilities extended", s.extended);
	counter(out, "messages_failed_total", "messages left to come again", s.failed);
	counter(out, "messages_rejected_total", "messages rejected", s.rejected);
	counter(out, "messages_undecodable_total", "messages that could not be read",
		s.undecodable);
	counter(out, "messages_moved_total", "messages moved to the dead letters", s.moved);
	counter(out, "empty_receives_total", "receives that brought nothing", s.empty_receives);
	gauge(out, "messages_in_hand", "messages received and not deleted", s.in_hand);
}

/* `name` tells the two consumers apart. */
static void consumer_metrics(struct aws_consumer *consumer, bool app, struct ev_buf *out)
{
	struct aws_consumer_state s;

	aws_consumer_state(consumer, &s);
#define NAME(x) app ? "app_" x : "outlet_" x
	counter(out, NAME("records_total"), "records read", s.records);
	counter(out, NAME("records_foreign_total"), "records that are not for this backend",
		s.foreign);
	counter(out, NAME("records_undecodable_total"), "records that could not be read",
		s.undecodable);
	counter(out, NAME("records_dead_total"), "records put to the dead letters", s.letters);
	counter(out, NAME("checkpoints_total"), "checkpoints written", s.checkpoints);
	counter(out, NAME("leases_lost_total"), "leases that another worker took", s.lost_leases);
	counter(out, NAME("leases_taken_total"), "leases taken", s.taken);
	counter(out, NAME("throttled_total"), "reads that were throttled", s.throttled);
	gauge(out, NAME("shards_held"), "shards this process reads", s.held);
	gauge(out, NAME("records_in_hand"), "records read and not done", s.in_hand);
	gauge(out, NAME("behind_ms"), "how far the slowest shard is behind",
	      s.behind_ms > 0 ? (uint64_t)s.behind_ms : 0);
#undef NAME
}

static void front_metrics(struct aws_front *front, struct ev_buf *out)
{
	struct aws_front_state s;

	aws_front_state(front, &s);
	counter(out, "gateway_messages_total", "device messages put into the queue", s.messages);
	counter(out, "gateway_failed_total", "device messages that SQS did not take", s.failed);
	counter(out, "gateway_batches_total", "batches of device messages", s.batches);
	counter(out, "gateway_commands_total", "commands taken from the queue", s.commands);
	counter(out, "gateway_handed_over_total", "commands handed to another gateway",
		s.handed_over);
	counter(out, "gateway_stale_total", "commands whose reason had gone", s.stale);
}

static void lane_metrics(struct aws_runtime *r, struct ev_buf *out)
{
	struct aws_lanes_stats s;

	aws_lanes_stats(r->lanes, &s);
	counter(out, "groups_total", "groups of inputs of one outlet", s.store.groups);
	counter(out, "groups_failed_total", "groups that were decided again",
		s.store.failed_groups);
	counter(out, "conflicts_total", "rows that another process had written", s.store.conflicts);
	counter(out, "row_writes_total", "conditional writes of rows", s.store.row_writes);
	counter(out, "clear_writes_total", "writes that clear sent effects", s.store.clear_writes);
	counter(out, "item_puts_total", "writes to the items table", s.store.puts);
	counter(out, "row_reads_total", "rows read", s.store.row_reads);
	counter(out, "events_total", "charging events put", s.store.events);
	counter(out, "commands_total", "device commands put", s.store.commands);
	counter(out, "foreign_rows_total", "rows that the original system had written last",
		s.store.foreign);
	gauge(out, "rows_unsent", "rows with effects that are not sent yet",
	      atomic_load(&r->rows_unsent));
	gauge(out, "rows_cached", "rows in memory", s.store.cached);
	gauge(out, "jobs_waiting", "jobs in the lanes", aws_lanes_waiting(r->lanes));
	counter(out, "sweeps_total", "sweeps done", atomic_load(&r->sweeps));
	counter(out, "swept_total", "rows that a sweep found to need work", atomic_load(&r->swept));
	counter(out, "sweep_failures_total", "sweeps and adoptions that failed",
		atomic_load(&r->sweep_failures));
	counter(out, "timers_failed_total", "timers to be tried again",
		atomic_load(&r->timers_failed));
}

void aws_runtime_counted(struct aws_runtime *r, struct pump_snapshot *out)
{
	struct aws_lanes_stats s = { .pump = { .groups = 0 } };

	if (r->lanes != NULL)
		aws_lanes_stats(r->lanes, &s);
	*out = (struct pump_snapshot){ .pump = s.pump, .outlet = s.outlet, .app = s.app };
}

void aws_runtime_metrics(struct aws_runtime *r, struct ev_buf *out)
{
	struct aws_worker *w = r->workers;

	if (r->lanes != NULL)
		lane_metrics(r, out);
	if (w[AWS_WORKER_INTAKE].intake != NULL)
		intake_metrics(w[AWS_WORKER_INTAKE].intake, out);
	if (w[AWS_WORKER_OUTLET_EVENTS].consumer != NULL)
		consumer_metrics(w[AWS_WORKER_OUTLET_EVENTS].consumer, false, out);
	if (w[AWS_WORKER_APP_EVENTS].consumer != NULL)
		consumer_metrics(w[AWS_WORKER_APP_EVENTS].consumer, true, out);
	if (w[AWS_WORKER_FRONT].front != NULL)
		front_metrics(w[AWS_WORKER_FRONT].front, out);
}
