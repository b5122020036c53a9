/* core/types.c — the words of the domain and their texts. */
#include "core/types.h"

#include <assert.h>
#include <string.h>

#include "base/time.h"

static const char *const state_texts[OUTLET_STATE_COUNT] = {
	[OUTLET_AVAILABLE] = "Available",
	[OUTLET_CABLE_PLUGGED] = "CablePlugged",
	[OUTLET_DEVICE_REQUESTS_CHARGING] = "DeviceRequestsCharging",
	[OUTLET_DEVICE_DENIES_CHARGING] = "DeviceDeniesCharging",
	[OUTLET_APP_REQUESTS_CHARGING] = "AppRequestsCharging",
	[OUTLET_APP_DENIES_CHARGING] = "AppDeniesCharging",
	[OUTLET_CHARGING] = "Charging",
	[OUTLET_DEVICE_REQUESTS_STOP] = "DeviceRequestsStop",
	[OUTLET_APP_REQUESTS_STOP] = "AppRequestsStop",
	[OUTLET_CHARGING_FINISHED] = "ChargingFinished",
};

static const char *const initiator_texts[INITIATOR_COUNT] = {
	[INITIATOR_APP_BACKEND] = "AppBackend",
	[INITIATOR_OUTLET_BACKEND] = "OutletBackend",
};

static const char *const channel_texts[CHANNEL_COUNT] = {
	[CHANNEL_OUTLET_DEVICE] = "OutletDevice",
	[CHANNEL_MOBILE_APP] = "MobileApp",
};

static const char *const verdict_texts[VERDICT_COUNT] = {
	[VERDICT_APPLIED] = "applied",   [VERDICT_DUPLICATE] = "duplicate",
	[VERDICT_LATER] = "later",       [VERDICT_REFUSED] = "refused",
	[VERDICT_REJECTED] = "rejected", [VERDICT_QUEUED] = "queued",
};

#define REASON_TEXT(name, text) [REASON_##name] = text,
static const char *const reason_texts[REASON_COUNT] = { REASON_LIST(REASON_TEXT) };
#undef REASON_TEXT

/* Index of s among n texts, or n. */
static size_t find_text(const char *const *texts, size_t n, struct ev_str s)
{
	for (size_t i = 0; i < n; i++) {
		if (ev_str_eqz(s, texts[i]))
			return i;
	}
	return n;
}

const char *outlet_state_text(enum outlet_state s)
{
	assert((unsigned)s < OUTLET_STATE_COUNT);
	return state_texts[s];
}

ev_err outlet_state_parse(struct ev_str s, enum outlet_state *out)
{
	size_t i = find_text(state_texts, OUTLET_STATE_COUNT, s);

	if (i == OUTLET_STATE_COUNT)
		return EV_INVALID;
	*out = (enum outlet_state)i;
	return EV_OK;
}

const char *initiator_text(enum initiator i)
{
	assert((unsigned)i < INITIATOR_COUNT);
	return initiator_texts[i];
}

ev_err initiator_parse(struct ev_str s, enum initiator *out)
{
	size_t i = find_text(initiator_texts, INITIATOR_COUNT, s);

	if (i == INITIATOR_COUNT)
		return EV_INVALID;
	*out = (enum initiator)i;
	return EV_OK;
}

const char *channel_text(enum purchase_channel c)
{
	assert((unsigned)c < CHANNEL_COUNT);
	return channel_texts[c];
}

ev_err channel_parse(struct ev_str s, enum purchase_channel *out)
{
	size_t i = find_text(channel_texts, CHANNEL_COUNT, s);

	if (i == CHANNEL_COUNT)
		return EV_INVALID;
	*out = (enum purchase_channel)i;
	return EV_OK;
}

const char *verdict_text(enum verdict v)
{
	assert((unsigned)v < VERDICT_COUNT);
	return verdict_texts[v];
}

const char *reason_text(enum reason r)
{
	assert((unsigned)r < REASON_COUNT);
	return reason_texts[r];
}

ev_err rfid_tag_set(struct rfid_tag *t, struct ev_str s)
{
	struct rfid_tag tag = { .n = 0 };

	if (s.n > RFID_TAG_MAX || !ev_utf8_valid(s.p, s.n))
		return EV_INVALID;
	tag.n = (uint8_t)s.n;
	if (s.n > 0)
		memcpy(tag.s, s.p, s.n);
	*t = tag;
	return EV_OK;
}

bool rfid_tag_eq(const struct rfid_tag *a, const struct rfid_tag *b)
{
	return ev_str_eq_nocase(rfid_tag_str(a), rfid_tag_str(b));
}

struct rfid_tag rfid_tag_lower(const struct rfid_tag *t)
{
	struct rfid_tag low = *t;

	for (unsigned i = 0; i < low.n; i++) {
		if (low.s[i] >= 'A' && low.s[i] <= 'Z')
			low.s[i] = (char)(low.s[i] - 'A' + 'a');
	}
	return low;
}

uint64_t row_next_version(uint64_t version, int64_t now_ns)
{
	uint64_t now_ms = now_ns > 0 ? (uint64_t)(now_ns / EV_NS_PER_MS) : 0;

	return now_ms > version ? now_ms : version + 1;
}

bool identity_is_none(const struct identity *id)
{
	static const struct identity none;

	return identity_eq(id, &none);
}

void command_id_text(uint64_t version, unsigned index, char out[COMMAND_ID_TEXT + 1])
{
	static const char hex[] = "0123456789abcdef";

	assert(index < 16);
	for (unsigned i = 0; i < 16; i++)
		out[i] = hex[(version >> (60 - 4 * i)) & 15U];
	out[16] = '-';
	out[17] = hex[index];
	out[18] = '\0';
}

/* Value of a lower-case hex digit, or -1. */
static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

ev_err command_id_parse(struct ev_str s, uint64_t *out_version, unsigned *out_index)
{
	uint64_t v = 0;

	if (s.n != COMMAND_ID_TEXT || s.p[16] != '-' || hex_value(s.p[17]) < 0)
		return EV_INVALID;
	for (size_t i = 0; i < 16; i++) {
		if (hex_value(s.p[i]) < 0)
			return EV_INVALID;
		v = v << 4 | (uint64_t)hex_value(s.p[i]);
	}
	*out_version = v;
	*out_index = (unsigned)hex_value(s.p[17]);
	return EV_OK;
}
