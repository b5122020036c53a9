/* net/api_body.c — answers of any length: JSON and text into memory that grows, and pages. */
#include <stdlib.h>
#include <string.h>

#include "net/api_internal.h"

#define BODY_FIRST 4096

static bool grow(struct api_body *b, size_t room)
{
	size_t cap = b->cap == 0 ? BODY_FIRST : 2 * b->cap;
	char *p;

	while (cap - b->n < room)
		cap *= 2;
	p = realloc(b->p, cap);
	if (p == NULL) {
		b->failed = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void api_body_json(struct api_body *b, api_body_fn *fn, const void *row)
{
	if (b->failed || (b->cap == 0 && !grow(b, 1)))
		return;
	do {
		struct ev_buf out = ev_buf_over(b->p + b->n, b->cap - b->n);
		struct json_writer w = { .b = &out, .comma = b->comma };

		fn(&w, row);
		if (!out.overflow) {
			b->n += out.len;
			b->comma = w.comma;
			return;
		}
	} while (grow(b, 2 * (b->cap - b->n)));
}

void api_body_text(struct api_body *b, struct ev_str s)
{
	if (b->failed || s.n == 0)
		return;
	if (b->cap - b->n < s.n && !grow(b, s.n))
		return;
	memcpy(b->p + b->n, s.p, s.n);
	b->n += s.n;
}

static void write_begin(struct json_writer *w, const void *row)
{
	(void)row; /* a page's head has none */
	api_write_page(w);
}

static void write_end(struct json_writer *w, const void *row)
{
	const struct api_task *t = row;

	api_write_page_end(w, ev_str_from(t->more ? t->cursor : ""));
}

void api_page_begin(struct api_task *t)
{
	api_body_json(&t->body, write_begin, NULL);
}

void api_page_end(struct api_task *t)
{
	api_body_json(&t->body, write_end, t);
}

bool api_page_has_room(struct api_task *t)
{
	if (t->n_rows < t->limit && t->body.n < t->max_bytes)
		return true;
	t->more = true;
	return false;
}

bool api_page_add(struct api_task *t, api_body_fn *fn, const void *row)
{
	api_body_json(&t->body, fn, row);
	t->n_rows++;
	return !t->body.failed;
}

void api_page_seq_cursor(struct api_task *t, uint64_t seq)
{
	struct ev_buf b = ev_buf_over(t->cursor, sizeof(t->cursor));

	ev_buf_u64(&b, seq);
	ev_buf_char(&b, '\0');
}
