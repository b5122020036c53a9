/* cloud_fixture.c — see cloud_fixture.h. */
#include "cloud_fixture.h"

#include <stdio.h>
#include <string.h>

static char *swapped(const char *text, char from, char to)
{
	size_t n = strlen(text);
	char *copy = malloc(n + 1);

	assert_non_null(copy);
	for (size_t i = 0; i <= n; i++)
		copy[i] = text[i] == from ? to : text[i];
	return copy;
}

void kit_open(struct kit *k, const struct cloud_config *config)
{
	struct cloud_config c = config != NULL ? *config : (struct cloud_config){ .seed = 1 };

	memset(k, 0, sizeof(*k));
	ev_clock_manual_init(&k->clock, KIT_START);
	c.clock = &k->clock;
	k->cloud = cloud_new(&c);
	k->p = cloud_caller_new(k->cloud, "p");
}

void kit_close(struct kit *k)
{
	cloud_caller_free(k->p);
	cloud_free(k->cloud);
	free(k->answer);
}

enum aws_service kit_service(char letter)
{
	return letter == 'd' ? AWS_DYNAMODB : letter == 's' ? AWS_SQS : AWS_KINESIS;
}

const char *kit_call_by(struct kit *k, struct cloud_caller *p, char service, const char *operation,
			const char *body)
{
	static char code[AWS_ERROR_CODE];
	char *json = swapped(body, '\'', '"');
	struct aws_call call = { .service = kit_service(service),
				 .operation = operation,
				 .body = ev_str_from(json) };
	ev_err err = aws_caller_one(cloud_caller(p), &call, 0);

	free(k->answer);
	k->answer = swapped(call.answer.p != NULL ? call.answer.p : "", '"', '\'');
	snprintf(code, sizeof(code), "%s", call.error.code);
	assert_int_equal(err == EV_OK, call.error.kind == AWS_ERROR_NONE);
	aws_call_clear(&call);
	free(json);
	return code;
}

const char *kit_call(struct kit *k, char service, const char *operation, const char *body)
{
	return kit_call_by(k, k->p, service, operation, body);
}

void kit_do(struct kit *k, char service, const char *operation, const char *body)
{
	const char *code = kit_call(k, service, operation, body);

	if (code[0] != '\0')
		fail_msg("%s %s: %s %s", operation, body, code, k->answer);
}

const char *kit_take(struct kit *k, const char *key)
{
	char pattern[80];
	const char *start, *end;

	snprintf(pattern, sizeof(pattern), "'%s':'", key);
	start = strstr(k->answer, pattern);
	if (start == NULL)
		fail_msg("no %s in %s", key, k->answer);
	start += strlen(pattern);
	end = strchr(start, '\'');
	assert_non_null(end);
	assert_true((size_t)(end - start) < sizeof(k->found));
	memcpy(k->found, start, (size_t)(end - start));
	k->found[end - start] = '\0';
	return k->found;
}

const char *kit_text(const char *fmt, ...)
{
	static char text[4][8192];
	static unsigned at;
	va_list args;
	int n;

	at = (at + 1) % 4;
	va_start(args, fmt);
	n = vsnprintf(text[at], sizeof(text[at]), fmt, args);
	va_end(args);
	assert_true(n >= 0 && (size_t)n < sizeof(text[at]));
	return text[at];
}

void kit_steps(struct kit *k, const struct kit_step steps[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct kit_step *s = &steps[i];
		const char *code = kit_call(k, s->service, s->operation, s->body);

		if (strcmp(code, s->code) != 0)
			fail_msg("step %zu: %s %s: %s, not %s: %s", i, s->operation, s->body, code,
				 s->code, k->answer);
		if (s->has != NULL && strstr(k->answer, s->has) == NULL)
			fail_msg("step %zu: %s %s: no %s in %s", i, s->operation, s->body, s->has,
				 k->answer);
		if (s->has_not != NULL && strstr(k->answer, s->has_not) != NULL)
			fail_msg("step %zu: %s %s: %s in %s", i, s->operation, s->body, s->has_not,
				 k->answer);
	}
}
