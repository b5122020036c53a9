#include "engine/aws/keys.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/attr.h"
#include "base/time.h"
#include "codec/json_read.h"
#include "engine/aws/sigv4.h"

static const char *const source_texts[AWS_SOURCE_COUNT] = {
	[AWS_SOURCE_ENVIRONMENT] = "environment",   [AWS_SOURCE_PROFILE] = "profile",
	[AWS_SOURCE_PROCESS] = "process",           [AWS_SOURCE_ROLE] = "role",
	[AWS_SOURCE_WEB_IDENTITY] = "web_identity", [AWS_SOURCE_CONTAINER] = "container",
	[AWS_SOURCE_INSTANCE] = "instance",
};

const char *aws_source_text(enum aws_source source)
{
	return (unsigned)source < AWS_SOURCE_COUNT ? source_texts[source] : "unknown";
}

/* They become parts of header lines: nothing that could end one. */
static bool is_sound(struct ev_str s, size_t max)
{
	if (s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
			return false;
	}
	return true;
}

/* The texts stand behind the struct in one block. */
struct block {
	struct aws_keys keys;
	size_t n;
	char text[];
};

static struct ev_str copy(struct block *b, struct ev_str from)
{
	struct ev_str to = { b->text + b->n, from.n };

	if (from.n > 0)
		memcpy(b->text + b->n, from.p, from.n);
	b->n += from.n;
	return to;
}

ev_err aws_keys_new(const struct aws_keys *from, const struct aws_keys **out)
{
	struct block *b;

	if (from->id.n == 0 || from->secret.n == 0 || !is_sound(from->id, AWS_KEY_ID_MAX) ||
	    !is_sound(from->secret, AWS_SECRET_MAX) || !is_sound(from->token, AWS_TOKEN_MAX))
		return EV_INVALID;
	b = malloc(sizeof(*b) + from->id.n + from->secret.n + from->token.n);
	if (b == NULL)
		return EV_NOMEM;
	b->n = 0;
	b->keys.id = copy(b, from->id);
	b->keys.secret = copy(b, from->secret);
	b->keys.token = copy(b, from->token);
	b->keys.expires_ns = from->expires_ns;
	b->keys.source = from->source;
	atomic_init(&b->keys.refs, 1);
	*out = &b->keys;
	return EV_OK;
}

/* The count is not part of the value that const protects. */
static struct block *block_of(const struct aws_keys *k)
{
	return (struct block *)((uintptr_t)k - offsetof(struct block, keys));
}

const struct aws_keys *aws_keys_ref(const struct aws_keys *k)
{
	atomic_fetch_add_explicit(&block_of(k)->keys.refs, 1, memory_order_relaxed);
	return k;
}

void aws_keys_unref(const struct aws_keys *k)
{
	struct block *b;
	unsigned before;

	if (k == NULL)
		return;
	b = block_of(k);
	before = atomic_fetch_sub_explicit(&b->keys.refs, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before > 1)
		return;
	OPENSSL_cleanse(b->text, b->n);
	free(b);
}

void aws_secret_free(char *p, size_t n)
{
	if (p == NULL)
		return;
	OPENSSL_cleanse(p, n);
	free(p);
}

/* --- JSON --- */

enum field { FIELD_ID, FIELD_SECRET, FIELD_TOKEN, FIELD_EXPIRATION, FIELD_CODE, FIELD_COUNT };

struct document {
	char *room; /* AWS_KEYS_ANSWER_MAX, for what is unescaped */
	size_t used;
	struct ev_str fields[FIELD_COUNT];
	bool has_version;
	struct ev_str version;
	const char *wrong; /* the field that is */
};

static const char *const endpoint_names[FIELD_COUNT] = {
	"AccessKeyId", "SecretAccessKey", "Token", "Expiration", "Code",
};
static const char *const process_names[FIELD_COUNT] = {
	"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", NULL,
};

static ev_err read_field(struct json_reader *r, struct document *d, struct ev_str *out)
{
	struct json_span s;
	bool null;
	size_t n;
	ev_err err = json_read_null(r, &null);

	if (err != EV_OK || null)
		return err;
	err = json_read_string(r, &s);
	if (err != EV_OK)
		return err;
	n = json_unescape(&s, d->room + d->used, AWS_KEYS_ANSWER_MAX - d->used);
	if (n > AWS_KEYS_ANSWER_MAX - d->used)
		return EV_INVALID;
	*out = (struct ev_str){ d->room + d->used, n };
	d->used += n;
	return EV_OK;
}

static ev_err read_value(struct json_reader *r, struct document *d, struct ev_str key,
			 const char *const names[FIELD_COUNT])
{
	for (int f = 0; f < FIELD_COUNT; f++) {
		if (names[f] == NULL || !ev_str_eqz(key, names[f]))
			continue;
		d->wrong = names[f];
		if (d->fields[f].p != NULL)
			return EV_INVALID;
		return read_field(r, d, &d->fields[f]);
	}
	d->wrong = "the document";
	if (ev_str_eqz(key, "Version"))
		return json_skip(r, &d->version);
	return json_skip(r, NULL);
}

static ev_err read_document(struct ev_str json, struct document *d,
			    const char *const names[FIELD_COUNT])
{
	struct json_reader r;
	struct json_span key;
	bool more;
	ev_err err;

	d->wrong = "the document";
	json_read_init(&r, json, NULL);
	err = json_read_object(&r);
	while (err == EV_OK && (err = json_read_key(&r, &more, &key)) == EV_OK && more)
		err = read_value(&r, d, key.raw, names);
	return err == EV_OK ? json_read_end(&r) : err;
}

static ev_err judge(const struct document *d, enum aws_keys_form form, enum aws_source source,
		    const struct aws_keys **out, struct ev_fail *fail)
{
	struct aws_keys k = { .id = d->fields[FIELD_ID],
			      .secret = d->fields[FIELD_SECRET],
			      .token = d->fields[FIELD_TOKEN],
			      .expires_ns = AWS_NEVER,
			      .source = source };
	struct ev_str code = d->fields[FIELD_CODE];
	struct ev_str expiration = d->fields[FIELD_EXPIRATION];
	ev_err err;

	if (form == AWS_FORM_PROCESS && !ev_str_eqz(d->version, "1"))
		return ev_fail_set(fail, EV_INVALID, 0, "keys as JSON: Version is not 1");
	if (code.n > 0 && !ev_str_eqz(code, "Success"))
		return ev_fail_set(fail, EV_DENIED, 0, "keys as JSON: Code is not Success");
	if (expiration.n > 0 && ev_time_parse(expiration, &k.expires_ns, NULL) != EV_OK)
		return ev_fail_set(fail, EV_INVALID, 0, "keys as JSON: Expiration is no time");
	/* An endpoint's keys are always temporary. */
	if (form == AWS_FORM_ENDPOINT && (k.token.n == 0 || expiration.n == 0))
		return ev_fail_set(fail, EV_INVALID, 0,
				   "keys as JSON: Token or Expiration is missing");
	err = aws_keys_new(&k, out);
	if (err != EV_OK)
		return ev_fail_set(fail, err, 0,
				   "keys as JSON: AccessKeyId, SecretAccessKey or the token is "
				   "missing or of a wrong form");
	return EV_OK;
}

ev_err aws_keys_from_json(struct ev_str json, enum aws_keys_form form, enum aws_source source,
			  const struct aws_keys **out, struct ev_fail *fail)
{
	struct document d = { .room = malloc(AWS_KEYS_ANSWER_MAX) };
	ev_err err;

	if (d.room == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	err = read_document(json, &d, form == AWS_FORM_PROCESS ? process_names : endpoint_names);
	if (err != EV_OK)
		err = ev_fail_set(fail, EV_INVALID, 0, "keys as JSON: %s is not as it should be",
				  d.wrong);
	else
		err = judge(&d, form, source, out, fail);
	aws_secret_free(d.room, AWS_KEYS_ANSWER_MAX);
	return err;
}
