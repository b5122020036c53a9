#include "cli/config_value.h"

#include <arpa/inet.h>
#include <assert.h>

#include "base/attr.h"
#include "base/num.h"
#include "base/time.h"

#define NS_PER_DAY (24 * EV_NS_PER_HOUR)

struct unit {
	const char *name;
	int64_t factor;
};

/* Largest first: a text is written in the largest unit that divides it. */
static const struct unit duration_units[] = {
	{ "d", NS_PER_DAY },  { "h", EV_NS_PER_HOUR }, { "m", EV_NS_PER_MIN },
	{ "s", EV_NS_PER_S }, { "ms", EV_NS_PER_MS },
};
static const struct unit size_units[] = { { "M", 1048576 }, { "k", 1024 }, { "", 1 } };

static const char *const true_words[] = { "on", "true", "yes", "1" };
static const char *const false_words[] = { "off", "false", "no", "0" };

static void *member(struct config *c, const struct config_key *key)
{
	return (char *)c + key->offset;
}

static const void *member_const(const struct config *c, const struct config_key *key)
{
	return (const char *)c + key->offset;
}

static bool is_one_of(struct ev_str s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (ev_str_eqz(s, words[i]))
			return true;
	}
	return false;
}

static ev_err parse_bool(struct ev_str s, bool *out)
{
	if (is_one_of(s, true_words, EV_ARRAY_LEN(true_words)))
		*out = true;
	else if (is_one_of(s, false_words, EV_ARRAY_LEN(false_words)))
		*out = false;
	else
		return EV_INVALID;
	return EV_OK;
}

static ev_err parse_with_unit(struct ev_str s, const struct unit *units, size_t n, int64_t *out)
{
	size_t digits = 0;
	uint64_t count;
	int64_t v;

	while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	if (num_parse_u64((struct ev_str){ s.p, digits }, &count) != EV_OK)
		return EV_INVALID;
	struct ev_str name = { s.p + digits, s.n - digits };

	for (size_t i = 0; i < n; i++) {
		if (!ev_str_eqz(name, units[i].name))
			continue;
		if (__builtin_mul_overflow(count, units[i].factor, &v))
			return EV_INVALID;
		*out = v;
		return EV_OK;
	}
	return EV_INVALID;
}

ev_err config_duration_parse(struct ev_str s, int64_t *out_ns)
{
	if (ev_str_eqz(s, "0")) {
		*out_ns = 0;
		return EV_OK;
	}
	return parse_with_unit(s, duration_units, EV_ARRAY_LEN(duration_units), out_ns);
}

static ev_err parse_size(struct ev_str s, int64_t *out)
{
	return parse_with_unit(s, size_units, EV_ARRAY_LEN(size_units), out);
}

typedef ev_err parse_number_fn(struct ev_str s, int64_t *out);

static ev_err parse_within(struct ev_str s, const struct config_key *key, parse_number_fn *parse,
			   int64_t *out)
{
	int64_t v;
	ev_err e = parse(s, &v);

	if (e != EV_OK)
		return e;
	if (v < key->min || v > key->max)
		return EV_INVALID;
	*out = v;
	return EV_OK;
}

/* What the file could not hold is refused from every source, so that config_print reads back. */
static ev_err parse_text(struct ev_str s, char out[CONFIG_TEXT_MAX + 1])
{
	if (s.n > CONFIG_TEXT_MAX)
		return EV_INVALID;
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f || s.p[i] == ';')
			return EV_INVALID;
	}
	if (s.n > 0 && (s.p[0] == ' ' || s.p[s.n - 1] == ' '))
		return EV_INVALID;
	if (s.n > 0)
		memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return EV_OK;
}

static ev_err parse_enum(struct ev_str s, const struct config_key *key, unsigned *out)
{
	for (unsigned i = 0; key->choices[i] != NULL; i++) {
		if (ev_str_eqz(s, key->choices[i])) {
			*out = i;
			return EV_OK;
		}
	}
	return EV_INVALID;
}

/* Splits at the last colon; an IPv6 address must be in brackets, or its groups would be a port. */
static ev_err split_address(struct ev_str s, struct ev_str *host, struct ev_str *port)
{
	size_t colon = s.n;

	while (colon > 0 && s.p[colon - 1] != ':')
		colon--;
	if (colon < 2)
		return EV_INVALID;
	*host = (struct ev_str){ s.p, colon - 1 };
	*port = (struct ev_str){ s.p + colon, s.n - colon };
	if (host->p[0] != '[')
		return memchr(host->p, ':', host->n) == NULL ? EV_OK : EV_INVALID;
	if (host->n < 3 || host->p[host->n - 1] != ']')
		return EV_INVALID;
	*host = (struct ev_str){ host->p + 1, host->n - 2 };
	return memchr(host->p, ':', host->n) != NULL ? EV_OK : EV_INVALID;
}

static bool is_numeric_host(const char *host)
{
	struct in6_addr address;

	return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

ev_err config_address_parse(struct ev_str s, struct config_address *out)
{
	struct config_address a = { .port = 0 };
	struct ev_str host, port;
	uint64_t v;

	if (split_address(s, &host, &port) != EV_OK || host.n > CONFIG_HOST_MAX)
		return EV_INVALID;
	if (port.n > 5 || num_parse_u64(port, &v) != EV_OK || v > UINT16_MAX)
		return EV_INVALID;
	memcpy(a.host, host.p, host.n);
	if (!is_numeric_host(a.host) && strcmp(a.host, "localhost") != 0)
		return EV_INVALID;
	a.port = (uint16_t)v;
	*out = a;
	return EV_OK;
}

void config_address_text(const struct config_address *a, char out[CONFIG_ADDRESS_TEXT])
{
	struct ev_buf b = ev_buf_over(out, CONFIG_ADDRESS_TEXT - 1);
	bool v6 = strchr(a->host, ':') != NULL;

	if (v6)
		ev_buf_char(&b, '[');
	ev_buf_z(&b, a->host);
	ev_buf_z(&b, v6 ? "]:" : ":");
	ev_buf_u64(&b, a->port);
	assert(!b.overflow);
	out[b.len] = '\0';
}

bool config_is_loopback(const struct config_address *a)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (strcmp(a->host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, a->host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, a->host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

ev_err config_value_parse(struct config *c, const struct config_key *key, struct ev_str text)
{
	void *at = member(c, key);

	switch (key->type) {
	case CONFIG_STRING:
	case CONFIG_PATH:
		return parse_text(text, at);
	case CONFIG_BOOL:
		return parse_bool(text, at);
	case CONFIG_INTEGER:
		return parse_within(text, key, num_parse_i64, at);
	case CONFIG_DURATION:
		return parse_within(text, key, config_duration_parse, at);
	case CONFIG_SIZE:
		return parse_within(text, key, parse_size, at);
	case CONFIG_ADDRESS:
		return config_address_parse(text, at);
	case CONFIG_ENUM:
		return parse_enum(text, key, at);
	}
	return EV_INVALID;
}

static void write_with_unit(struct ev_buf *b, int64_t v, const struct unit *units, size_t n)
{
	size_t i = 0;

	while (i + 1 < n && v % units[i].factor != 0)
		i++;
	ev_buf_i64(b, v / units[i].factor);
	ev_buf_z(b, units[i].name);
}

static void write_duration(struct ev_buf *b, int64_t ns)
{
	if (ns == 0)
		ev_buf_char(b, '0');
	else
		write_with_unit(b, ns, duration_units, EV_ARRAY_LEN(duration_units));
}

static void write_size(struct ev_buf *b, int64_t bytes)
{
	if (bytes == 0)
		ev_buf_char(b, '0');
	else
		write_with_unit(b, bytes, size_units, EV_ARRAY_LEN(size_units));
}

void config_value_text(const struct config *c, const struct config_key *key, struct ev_buf *b)
{
	const void *at = member_const(c, key);
	char address[CONFIG_ADDRESS_TEXT];

	switch (key->type) {
	case CONFIG_STRING:
	case CONFIG_PATH:
		ev_buf_z(b, at);
		break;
	case CONFIG_BOOL:
		ev_buf_z(b, *(const bool *)at ? "on" : "off");
		break;
	case CONFIG_INTEGER:
		ev_buf_i64(b, *(const int64_t *)at);
		break;
	case CONFIG_DURATION:
		write_duration(b, *(const int64_t *)at);
		break;
	case CONFIG_SIZE:
		write_size(b, *(const int64_t *)at);
		break;
	case CONFIG_ADDRESS:
		config_address_text(at, address);
		ev_buf_z(b, address);
		break;
	case CONFIG_ENUM:
		ev_buf_z(b, key->choices[*(const unsigned *)at]);
		break;
	}
}

typedef void write_number_fn(struct ev_buf *b, int64_t v);

static void write_integer(struct ev_buf *b, int64_t v)
{
	ev_buf_i64(b, v);
}

static void write_range(struct ev_buf *b, const struct config_key *key, const char *what,
			write_number_fn *write, const char *example)
{
	ev_buf_z(b, what);
	write(b, key->min);
	ev_buf_z(b, " to ");
	write(b, key->max);
	ev_buf_z(b, example);
}

static void write_choices(struct ev_buf *b, const char *const *choices)
{
	for (size_t i = 0; choices[i] != NULL; i++) {
		if (i > 0)
			ev_buf_z(b, choices[i + 1] == NULL ? " or " : ", ");
		ev_buf_z(b, choices[i]);
	}
}

void config_value_allowed(const struct config_key *key, struct ev_buf *b)
{
	switch (key->type) {
	case CONFIG_STRING:
	case CONFIG_PATH:
		ev_buf_z(b, "a text of at most ");
		ev_buf_u64(b, CONFIG_TEXT_MAX);
		ev_buf_z(b, " bytes without control characters, `;` or spaces around");
		break;
	case CONFIG_BOOL:
		ev_buf_z(b, "on or off");
		break;
	case CONFIG_INTEGER:
		write_range(b, key, "a number from ", write_integer, "");
		break;
	case CONFIG_DURATION:
		write_range(b, key, "a duration from ", write_duration, ", like 30s, 5m, 24h, 90d");
		break;
	case CONFIG_SIZE:
		write_range(b, key, "a size from ", write_size, ", like 16384 or 16k");
		break;
	case CONFIG_ADDRESS:
		ev_buf_z(b, "an address and port, like 127.0.0.1:8080 or [::1]:8080");
		break;
	case CONFIG_ENUM:
		write_choices(b, key->choices);
		break;
	}
}

bool config_value_eq(const struct config *a, const struct config *b, const struct config_key *key)
{
	char text_a[CONFIG_TEXT_MAX + CONFIG_ADDRESS_TEXT], text_b[sizeof(text_a)];
	struct ev_buf out_a = ev_buf_over(text_a, sizeof(text_a));
	struct ev_buf out_b = ev_buf_over(text_b, sizeof(text_b));

	config_value_text(a, key, &out_a);
	config_value_text(b, key, &out_b);
	return ev_str_eq(ev_buf_str(&out_a), ev_buf_str(&out_b));
}

void config_value_copy(struct config *to, const struct config *from, const struct config_key *key)
{
	char text[CONFIG_TEXT_MAX + CONFIG_ADDRESS_TEXT];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	config_value_text(from, key, &b);
	ev_err e = config_value_parse(to, key, ev_buf_str(&b));

	assert(e == EV_OK && "every value reads back from its own text");
	(void)e; /* used by the assertion alone */
}
