/*
 * The XML of STS: what is found lies within its room, is UTF-8, and is not longer than the
 * document; an error found in it is printable.
 */
#include "check.h"
#include "engine/aws/error.h"
#include "engine/aws/xml.h"

static void check_error(struct ev_str doc)
{
	struct aws_error e;

	aws_error_parse_xml(400, (struct ev_str){ .n = 0 }, doc, &e);
	CHECK(e.kind != AWS_ERROR_NONE && (unsigned)e.kind < AWS_ERROR_COUNT);
	CHECK(text_len(e.code, sizeof(e.code)) < sizeof(e.code));
	CHECK(text_len(e.message, sizeof(e.message)) < sizeof(e.message));
	for (const char *p = e.message; *p != '\0'; p++)
		CHECK(*p >= ' ' && *p < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char a[64], b[64];
	struct ev_str doc = { (const char *)data, size };
	struct aws_xml_field fields[] = {
		{ .path = "AssumeRoleResponse/AssumeRoleResult/Credentials/AccessKeyId",
		  .out = ev_buf_over(a, sizeof(a)) },
		{ .path = "a/b", .out = ev_buf_over(b, sizeof(b)) },
	};
	ev_err err = aws_xml_read(doc, fields, 2);

	CHECK(err == EV_OK || err == EV_INVALID || err == EV_FULL);
	for (size_t i = 0; i < 2 && err == EV_OK; i++) {
		CHECK(fields[i].out.len <= sizeof(a) && fields[i].out.len <= size);
		CHECK(fields[i].found || fields[i].out.len == 0);
		CHECK(ev_utf8_valid(fields[i].out.p, fields[i].out.len));
	}
	check_error(doc);
	return 0;
}
