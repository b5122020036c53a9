/* test/cloud/request.c — reading requests, refusing them. */
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "cloud/internal.h"

EV_PRINTF(3, 0)
static void fail(struct request *r, const char *code, const char *fmt, va_list args)
{
	if (r->failed)
		return; /* the first one counts */
	r->failed = true;
	r->status = 400;
	r->code = code;
	(void)vsnprintf(r->message, sizeof(r->message), fmt, args);
}

bool refuse(struct request *r, const char *code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fail(r, code, fmt, args);
	va_end(args);
	return false;
}

bool refuse_invalid(struct request *r, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fail(r, "ValidationException", fmt, args);
	va_end(args);
	return false;
}

static const char *const kind_words[] = {
	[NODE_NULL] = "null",     [NODE_BOOL] = "a boolean", [NODE_NUMBER] = "a number",
	[NODE_STRING] = "a text", [NODE_ARRAY] = "a list",   [NODE_OBJECT] = "an object",
};

bool want(struct request *r, const struct node *object, const char *key, enum node_kind kind,
	  const struct node **out)
{
	const struct node *n = node_get(object, key);

	if (n != NULL && n->kind != kind)
		return refuse(r, "SerializationException", "%s is %s where %s is expected", key,
			      kind_words[n->kind], kind_words[kind]);
	*out = n;
	return true;
}

bool need(struct request *r, const struct node *object, const char *key, enum node_kind kind,
	  const struct node **out)
{
	if (!want(r, object, key, kind, out))
		return false;
	if (*out == NULL)
		return refuse_invalid(r,
				      "Value null at '%s' failed to satisfy constraint: Member "
				      "must not be null",
				      key);
	return true;
}

bool want_text(struct request *r, const struct node *object, const char *key, struct ev_str *out)
{
	const struct node *n = NULL;

	if (!want(r, object, key, NODE_STRING, &n))
		return false;
	if (n != NULL)
		*out = n->text;
	return true;
}

bool need_text(struct request *r, const struct node *object, const char *key, struct ev_str *out)
{
	const struct node *n = NULL;

	if (!need(r, object, key, NODE_STRING, &n) || n == NULL)
		return false;
	*out = n->text;
	return true;
}

bool want_int(struct request *r, const struct node *object, const char *key, int64_t min,
	      int64_t max, int64_t *out)
{
	const struct node *n = NULL;
	int64_t v;

	if (!want(r, object, key, NODE_NUMBER, &n))
		return false;
	if (n == NULL)
		return true;
	if (num_parse_i64(n->text, &v) != EV_OK)
		return refuse(r, "SerializationException", "%s is no integer", key);
	if (v < min || v > max)
		return refuse_invalid(r, "Value '%lld' at '%s' failed to satisfy constraint",
				      v + 0LL, key);
	*out = v;
	return true;
}

bool want_flag(struct request *r, const struct node *object, const char *key, bool *out)
{
	const struct node *n = NULL;

	if (!want(r, object, key, NODE_BOOL, &n))
		return false;
	if (n != NULL)
		*out = n->flag;
	return true;
}

static bool among(const char *words, struct ev_str word)
{
	const char *p = words;

	while ((p = strchr(p, ' ')) != NULL) {
		const char *end = strchr(++p, ' ');

		if (end != NULL && ev_str_eq((struct ev_str){ p, (size_t)(end - p) }, word))
			return true;
	}
	return false;
}

bool known_keys(struct request *r, const struct node *object, const char *keys)
{
	for (const struct node *m = object->first; m != NULL; m = m->next) {
		if (!among(keys, m->key))
			return refuse(r, "SerializationException", "unknown member %.*s",
				      (int)m->key.n, m->key.p);
	}
	return true;
}

bool entry_fails(struct request *r, size_t i, size_t n)
{
	struct cloud *c = r->cloud;

	if (r->fault != CLOUD_PARTIAL)
		return false;
	if (i == 0)
		c->partial_at = (size_t)cloud_below(c, n);
	return i == c->partial_at || cloud_below(c, 3) == 0;
}

/* --- Base64 and MD5 --- */

struct ev_str base64_encode(struct pool *p, struct ev_str bytes)
{
	unsigned char *out = pool_alloc(p, 4 * ((bytes.n + 2) / 3) + 1);
	int n = EVP_EncodeBlock(out, (const unsigned char *)bytes.p, (int)bytes.n);

	return (struct ev_str){ (const char *)out, (size_t)n };
}

static bool is_base64(struct ev_str text)
{
	size_t padding = 0;

	if (text.n % 4 != 0)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		char ch = text.p[i];
		bool letter = (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') ||
			      (ch >= '0' && ch <= '9') || ch == '+' || ch == '/';

		padding += ch == '=';
		if ((!letter && ch != '=') || (padding > 0 && letter))
			return false;
	}
	return padding <= 2;
}

bool base64_decode(struct pool *p, struct ev_str text, struct ev_str *out)
{
	unsigned char *bytes;
	int n;

	if (!is_base64(text))
		return false;
	bytes = pool_alloc(p, text.n / 4 * 3 + 1);
	n = EVP_DecodeBlock(bytes, (const unsigned char *)text.p, (int)text.n);
	if (n < 0)
		return false;
	for (size_t i = text.n; i > 0 && text.p[i - 1] == '='; i--)
		n--;
	*out = (struct ev_str){ (const char *)bytes, (size_t)n };
	return true;
}

void md5(struct ev_str s, uint8_t out[16])
{
	if (EVP_Digest(s.n > 0 ? s.p : "", s.n, out, NULL, EVP_md5(), NULL) != 1)
		abort();
}
