/*
 * Answers of SQS: whatever they hold, texts lie within the answer and unescape to no more than they
 * are there; attributes are as we write them; places of a batch stay within it.  What was received
 * can be sent on: a request made of it reads back as the same texts.
 */
#include "check.h"
#include "codec/json_read.h"
#include "engine/aws/sqs.h"

static void check_span(struct ev_str in, const struct json_span *s)
{
	CHECK(s->raw.p >= in.p && s->raw.p + s->raw.n <= in.p + in.n);
	CHECK(json_unescape(s, NULL, 0) <= s->raw.n);
}

/* A message's receipt in a request: the same text again. */
static void check_receipt(const struct sqs_received *m)
{
	size_t n = json_unescape(&m->receipt, NULL, 0);
	char *text = malloc(n + 1);
	struct ev_str receipt = { text, n };
	size_t room = sqs_receipts_room(&receipt, 1);
	char *request = malloc(room);
	struct ev_buf b = ev_buf_over(request, room);
	struct json_error error;
	struct json_reader r;

	CHECK(text != NULL && request != NULL);
	(void)json_unescape(&m->receipt, text, n);
	sqs_write_delete(EV_LIT("https://q"), &receipt, 1, &b);
	CHECK(!b.overflow);
	json_read_init(&r, ev_buf_str(&b), &error);
	CHECK(json_skip(&r, NULL) == EV_OK && json_read_end(&r) == EV_OK);
	free(request);
	free(text);
}

/* What may not be sent is made sendable. */
static void check_clean(struct ev_str in)
{
	char room[SQS_REASON_MAX];
	struct ev_buf b = ev_buf_over(room, sizeof(room));

	sqs_clean(in, sizeof(room), &b);
	CHECK(!b.overflow);
	CHECK(in.n == 0 || sqs_may_send(ev_buf_str(&b)));
	CHECK(!sqs_may_send(in) || in.n > sizeof(room) || ev_str_eq(in, ev_buf_str(&b)));
}

static void check_received(struct ev_str in)
{
	struct sqs_received of[SQS_ENTRIES_MAX];
	size_t n = SQS_ENTRIES_MAX + 1;
	ev_err e = sqs_read_received(in, of, &n);

	CHECK(e == EV_OK || e == EV_INVALID);
	if (e != EV_OK)
		return;
	CHECK(n <= SQS_ENTRIES_MAX);
	for (size_t i = 0; i < n; i++) {
		check_span(in, &of[i].id);
		check_span(in, &of[i].receipt);
		check_span(in, &of[i].body);
		CHECK(of[i].sent_ns >= 0);
		CHECK(!of[i].has_at || of[i].at_ns >= 0);
		CHECK(!of[i].has_identity || !identity_is_none(&of[i].identity));
		check_receipt(&of[i]);
	}
}

static void check_batch(struct ev_str in)
{
	struct aws_call call = { .answer = in };
	enum aws_error_kind of[SQS_ENTRIES_MAX + 1];

	for (size_t n = 0; n <= SQS_ENTRIES_MAX; n += SQS_ENTRIES_MAX / 2) {
		of[n] = AWS_ERROR_COUNT;
		sqs_batch_results(&call, n, of);
		CHECK(of[n] == AWS_ERROR_COUNT);
		for (size_t i = 0; i < n; i++)
			CHECK((unsigned)of[i] < AWS_ERROR_COUNT);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ev_str in = { (const char *)data, size };
	char url[SQS_URL_MAX];

	check_received(in);
	check_batch(in);
	check_clean(in);
	if (sqs_read_url(in, url) == EV_OK)
		CHECK(text_len(url, sizeof(url)) > 0 && text_len(url, sizeof(url)) < sizeof(url));
	return 0;
}
