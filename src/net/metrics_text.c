/* net/metrics_text.c — see metrics_text.h. */
#include "net/metrics_text.h"

#include <assert.h>

#define KWH_DECIMALS 6 /* of a mWh */

void metrics_head(struct ev_buf *b, const char *name, const char *help, const char *type)
{
	ev_buf_z(b, "# HELP ");
	ev_buf_z(b, name);
	ev_buf_char(b, ' ');
	ev_buf_z(b, help);
	ev_buf_z(b, "\n# TYPE ");
	ev_buf_z(b, name);
	ev_buf_char(b, ' ');
	ev_buf_z(b, type);
	ev_buf_char(b, '\n');
}

void metrics_u64(struct ev_buf *b, const char *name, const char *label, const char *value,
		 uint64_t v)
{
	ev_buf_z(b, name);
	if (label != NULL) {
		ev_buf_char(b, '{');
		ev_buf_z(b, label);
		ev_buf_z(b, "=\"");
		ev_buf_z(b, value);
		ev_buf_z(b, "\"}");
	}
	ev_buf_char(b, ' ');
	ev_buf_u64(b, v);
	ev_buf_char(b, '\n');
}

static void write_scaled(struct ev_buf *b, int64_t v, unsigned decimals)
{
	uint64_t magnitude = v < 0 ? (uint64_t)0 - (uint64_t)v : (uint64_t)v;
	uint64_t unit = 1;

	assert(decimals <= 18);
	for (unsigned i = 0; i < decimals; i++)
		unit *= 10;
	if (v < 0)
		ev_buf_char(b, '-');
	ev_buf_u64(b, magnitude / unit);
	magnitude %= unit;
	if (magnitude != 0)
		ev_buf_char(b, '.');
	while (magnitude != 0) {
		unit /= 10;
		ev_buf_char(b, (char)('0' + magnitude / unit));
		magnitude %= unit;
	}
}

void metrics_scaled(struct ev_buf *b, const char *name, int64_t v, unsigned decimals)
{
	ev_buf_z(b, name);
	ev_buf_char(b, ' ');
	write_scaled(b, v, decimals);
	ev_buf_char(b, '\n');
}

void metrics_counter(struct ev_buf *b, const char *name, const char *help, uint64_t v)
{
	metrics_head(b, name, help, "counter");
	metrics_u64(b, name, NULL, NULL, v);
}

void metrics_gauge(struct ev_buf *b, const char *name, const char *help, uint64_t v)
{
	metrics_head(b, name, help, "gauge");
	metrics_u64(b, name, NULL, NULL, v);
}

void metrics_counter_kwh(struct ev_buf *b, const char *name, const char *help, int64_t mwh)
{
	metrics_head(b, name, help, "counter");
	metrics_scaled(b, name, mwh, KWH_DECIMALS);
}
