/* cli/demo_table.c — see the header. */
#include "cli/demo_table.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

#define BAR 20

void demo_table_init(struct demo_table *t, bool terminal)
{
	*t = (struct demo_table){ .live = terminal };
	for (size_t i = 0; i < DEMO_TABLE_MAX; i++)
		t->last[i] = SIM_STATE_COUNT;
}

static void kwh_text(int64_t mwh, char out[32])
{
	/* Three digits are enough to look at. */
	int64_t wh = mwh / 1000;

	snprintf(out, 32, "%lld.%03lld", (long long)(wh / 1000), (long long)(wh % 1000));
}

static void bar_text(const struct sim_device *d, char out[BAR + 1])
{
	int64_t filled = 0;

	if (d->state == SIM_CHARGING || d->state == SIM_STOPPING)
		filled = d->max_power_w > 0 ? d->car_power_w * BAR / d->max_power_w : 0;
	if (filled > BAR)
		filled = BAR;
	memset(out, '.', BAR);
	memset(out, '#', (size_t)filled);
	out[BAR] = '\0';
}

static void print_row(size_t i, const struct sim_device *d)
{
	char acknowledged[32], bar[BAR + 1];
	char id[EV_UUID_TEXT + 1];

	ev_uuid_text(&d->outlet_id, id);
	kwh_text(d->stats.acknowledged_mwh, acknowledged);
	bar_text(d, bar);
	printf("  %zu  %.8s  %-11s %s  %4llu  %10s kWh\x1b[K\n", i + 1, id,
	       sim_state_text(d->state), bar, (unsigned long long)d->stats.sessions, acknowledged);
}

static void draw(struct demo_table *t, const struct simulation *s)
{
	struct simulation_summary sum;
	char total[32];
	size_t n;

	simulation_summary(s, &sum);
	n = sum.outlets < DEMO_TABLE_MAX ? sum.outlets : DEMO_TABLE_MAX;
	if (t->drawn)
		printf("\x1b[%zuA", n + 2);
	printf("     outlet    state       power                 times  energy reported\x1b[K\n");
	for (size_t i = 0; i < n; i++)
		print_row(i, simulation_device(s, i));
	kwh_text(sum.acknowledged_mwh, total);
	printf("     all       %zu charging, %llu messages, %llu lost connections, %s kWh\x1b[K\n",
	       sum.charging, (unsigned long long)sum.messages, (unsigned long long)sum.lost, total);
	t->drawn = true;
}

static void tell_changes(struct demo_table *t, const struct simulation *s)
{
	struct simulation_summary sum;
	char id[EV_UUID_TEXT + 1], kwh[32];

	simulation_summary(s, &sum);
	for (size_t i = 0; i < sum.outlets && i < DEMO_TABLE_MAX; i++) {
		const struct sim_device *d = simulation_device(s, i);

		if (d->state == t->last[i])
			continue;
		t->last[i] = d->state;
		ev_uuid_text(&d->outlet_id, id);
		kwh_text(d->stats.acknowledged_mwh, kwh);
		printf("outlet %.8s %s, %llu sessions, %s kWh reported\n", id,
		       sim_state_text(d->state), (unsigned long long)d->stats.sessions, kwh);
	}
}

void demo_table_show(struct demo_table *t, const struct simulation *s)
{
	if (t->live)
		draw(t, s);
	else
		tell_changes(t, s);
	fflush(stdout);
}
