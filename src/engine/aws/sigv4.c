#include "engine/aws/sigv4.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/hash.h"
#include "base/time.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define HEX_SIZE (2 * EV_SHA256_SIZE)

/* Header names in lower case and in order: what both the request and its signature list. */
struct names {
	size_t n;
	char text[AWS_SIGN_HEADERS_MAX][AWS_SIGN_NAME_MAX + 1];
	const struct aws_header *of[AWS_SIGN_HEADERS_MAX];
};

void aws_date_text(int64_t ns, char out[AWS_DATE_TEXT])
{
	char iso[EV_TIME_TEXT];
	size_t n = 0;

	ev_time_text(ns - ns % EV_NS_PER_S, iso);
	for (const char *p = iso; *p != '\0'; p++) {
		if (*p == '-' || *p == ':')
			continue;
		assert(n < AWS_DATE_TEXT - 1);
		out[n++] = *p;
	}
	out[n] = '\0';
}

bool aws_header_safe(struct ev_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
			return false;
	}
	return true;
}

/* RFC 9110 5.6.2. */
static bool is_token_char(char c)
{
	return c > ' ' && c < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;
}

static bool lower_name(struct ev_str name, char out[AWS_SIGN_NAME_MAX + 1])
{
	if (name.n == 0 || name.n > AWS_SIGN_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!is_token_char(c))
			return false;
		out[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
	}
	out[name.n] = '\0';
	return true;
}

/* By the name alone: with the value, `accept:` would come after `accept-encoding:`. */
static ev_err sort_names(const struct aws_signing *s, struct names *out)
{
	char name[AWS_SIGN_NAME_MAX + 1];

	if (s->n_headers > AWS_SIGN_HEADERS_MAX)
		return EV_INVALID;
	out->n = 0;
	for (size_t i = 0; i < s->n_headers; i++) {
		size_t at = out->n;

		if (!lower_name(s->headers[i].name, name) || !aws_header_safe(s->headers[i].value))
			return EV_INVALID;
		for (; at > 0 && strcmp(name, out->text[at - 1]) < 0; at--) {
			memcpy(out->text[at], out->text[at - 1], sizeof(name));
			out->of[at] = out->of[at - 1];
		}
		if (at > 0 && strcmp(name, out->text[at - 1]) == 0)
			return EV_INVALID;
		memcpy(out->text[at], name, sizeof(name));
		out->of[at] = &s->headers[i];
		out->n++;
	}
	return EV_OK;
}

static void add(struct ev_sha256_ctx *h, struct ev_str s)
{
	ev_sha256_add(h, s.p, s.n);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Without blanks at both ends, and one space for each run of them. */
static void add_value(struct ev_sha256_ctx *h, struct ev_str v)
{
	bool first = true;
	size_t at = 0;

	while (at < v.n) {
		size_t from = at;

		while (at < v.n && !is_blank(v.p[at]))
			at++;
		if (at > from) {
			if (!first)
				add(h, EV_LIT(" "));
			add(h, (struct ev_str){ v.p + from, at - from });
			first = false;
		}
		while (at < v.n && is_blank(v.p[at]))
			at++;
	}
}

static void add_signed_names(struct ev_sha256_ctx *h, const struct names *names)
{
	for (size_t i = 0; i < names->n; i++) {
		if (i > 0)
			add(h, EV_LIT(";"));
		add(h, ev_str_from(names->text[i]));
	}
}

static void hash_hex(const uint8_t hash[EV_SHA256_SIZE], char out[HEX_SIZE + 1])
{
	ev_hex(hash, EV_SHA256_SIZE, out);
}

/* The hash of the canonical request, which with a long token is too long to be worth building. */
static void hash_request(const struct aws_signing *s, const struct names *names,
			 char out[HEX_SIZE + 1])
{
	struct ev_sha256_ctx *h = ev_sha256_new();
	uint8_t hash[EV_SHA256_SIZE];
	char body[HEX_SIZE + 1];
	const struct ev_str lines[] = { s->method, s->path, s->query };

	for (size_t i = 0; i < EV_ARRAY_LEN(lines); i++) {
		add(h, lines[i]);
		add(h, EV_LIT("\n"));
	}
	for (size_t i = 0; i < names->n; i++) {
		add(h, ev_str_from(names->text[i]));
		add(h, EV_LIT(":"));
		add_value(h, names->of[i]->value);
		add(h, EV_LIT("\n"));
	}
	add(h, EV_LIT("\n"));
	add_signed_names(h, names);
	add(h, EV_LIT("\n"));
	ev_sha256(s->body.p, s->body.n, hash);
	hash_hex(hash, body);
	add(h, ev_str_from(body));
	ev_sha256_final(h, hash);
	hash_hex(hash, out);
}

static void hmac(const void *key, size_t n, struct ev_str data, uint8_t out[EV_SHA256_SIZE])
{
	static const uint8_t nothing[1];
	const uint8_t *p = data.n > 0 ? (const uint8_t *)data.p : nothing;

	/* As in base/hash.h: nothing may go on with a signature that was not computed. */
	if (HMAC(EVP_sha256(), key, (int)n, p, data.n, out, NULL) == NULL) {
		fputs("openssl: no memory, or no HMAC\n", stderr);
		abort();
	}
}

static void signing_key(const struct aws_signing *s, struct ev_str day, uint8_t out[EV_SHA256_SIZE])
{
	char first[4 + AWS_SECRET_MAX] = "AWS4";

	memcpy(first + 4, s->secret.p, s->secret.n);
	hmac(first, 4 + s->secret.n, day, out);
	hmac(out, EV_SHA256_SIZE, s->region, out);
	hmac(out, EV_SHA256_SIZE, s->service, out);
	hmac(out, EV_SHA256_SIZE, EV_LIT("aws4_request"), out);
	OPENSSL_cleanse(first, sizeof(first));
}

static void write_scope(struct ev_buf *b, const struct aws_signing *s, struct ev_str day)
{
	ev_buf_str_add(b, day);
	ev_buf_char(b, '/');
	ev_buf_str_add(b, s->region);
	ev_buf_char(b, '/');
	ev_buf_str_add(b, s->service);
	ev_buf_z(b, "/aws4_request");
}

static ev_err signature(const struct aws_signing *s, const struct names *names,
			char out[HEX_SIZE + 1])
{
	char room[256];
	struct ev_buf b = ev_buf_over(room, sizeof(room));
	char date[AWS_DATE_TEXT];
	char request[HEX_SIZE + 1];
	struct ev_str day = { date, 8 };
	uint8_t key[EV_SHA256_SIZE];

	aws_date_text(s->at_ns, date);
	hash_request(s, names, request);
	ev_buf_z(&b, ALGORITHM "\n");
	ev_buf_z(&b, date);
	ev_buf_char(&b, '\n');
	write_scope(&b, s, day);
	ev_buf_char(&b, '\n');
	ev_buf_z(&b, request);
	if (b.overflow)
		return EV_INVALID;
	signing_key(s, day, key);
	hmac(key, sizeof(key), ev_buf_str(&b), key);
	hash_hex(key, out);
	OPENSSL_cleanse(key, sizeof(key));
	return EV_OK;
}

static void write_authorization(struct ev_buf *b, const struct aws_signing *s,
				const struct names *names, const char *sig)
{
	char date[AWS_DATE_TEXT];

	aws_date_text(s->at_ns, date);
	ev_buf_z(b, ALGORITHM " Credential=");
	ev_buf_str_add(b, s->key_id);
	ev_buf_char(b, '/');
	write_scope(b, s, (struct ev_str){ date, 8 });
	ev_buf_z(b, ", SignedHeaders=");
	for (size_t i = 0; i < names->n; i++) {
		if (i > 0)
			ev_buf_char(b, ';');
		ev_buf_z(b, names->text[i]);
	}
	ev_buf_z(b, ", Signature=");
	ev_buf_z(b, sig);
}

ev_err aws_sign(const struct aws_signing *s, struct ev_buf *out)
{
	struct names names;
	char sig[HEX_SIZE + 1];

	if (s->secret.n == 0 || s->secret.n > AWS_SECRET_MAX || !aws_header_safe(s->key_id) ||
	    sort_names(s, &names) != EV_OK || signature(s, &names, sig) != EV_OK)
		return EV_INVALID;
	write_authorization(out, s, &names, sig);
	return out->overflow ? EV_FULL : EV_OK;
}
