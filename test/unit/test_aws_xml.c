/* test_aws_xml.c — the reader of what STS answers. */
#include "engine/aws/xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static ev_err read_one(struct ev_str doc, const char *path, char *room, size_t cap, bool *found)
{
	struct aws_xml_field f = { .path = path, .out = ev_buf_over(room, cap - 1) };
	ev_err err = aws_xml_read(doc, &f, 1);

	room[f.out.len] = '\0';
	*found = f.found;
	return err;
}

static const char whole[] =
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	"<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n"
	"  <!-- a comment -->\n"
	"  <AssumeRoleResult>\n"
	"    <Credentials>\n"
	"      <AccessKeyId>ASIAEXAMPLE</AccessKeyId>\n"
	"      <SessionToken>a&amp;b&lt;&gt;&quot;&apos;&#65;&#x42;&#x20AC;</SessionToken>\n"
	"      <Expiration>2026-11-23T09:00:00Z</Expiration><Empty/><Spaced attr='1' />\n"
	"    </Credentials>\n"
	"  </AssumeRoleResult>\n"
	"</AssumeRoleResponse>\n";

static void finds_texts_by_their_paths(void **state)
{
	char id[64], token[64], empty[8];
	struct aws_xml_field f[] = {
		{ .path = "AssumeRoleResponse/AssumeRoleResult/Credentials/AccessKeyId",
		  .out = ev_buf_over(id, sizeof(id)) },
		{ .path = "AssumeRoleResponse/AssumeRoleResult/Credentials/SessionToken",
		  .out = ev_buf_over(token, sizeof(token)) },
		{ .path = "AssumeRoleResponse/AssumeRoleResult/Credentials/Empty",
		  .out = ev_buf_over(empty, sizeof(empty)) },
		{ .path = "AccessKeyId", .out = ev_buf_over(empty, sizeof(empty)) },
		{ .path = "AssumeRoleResponse/AssumeRoleResult/Credentials/AccessKey",
		  .out = ev_buf_over(empty, sizeof(empty)) },
	};

	(void)state;
	assert_int_equal(aws_xml_read(EV_LIT(whole), f, EV_ARRAY_LEN(f)), EV_OK);
	assert_true(f[0].found && ev_str_eqz(ev_buf_str(&f[0].out), "ASIAEXAMPLE"));
	assert_true(f[1].found && ev_str_eqz(ev_buf_str(&f[1].out), "a&b<>\"'AB\xE2\x82\xAC"));
	assert_true(f[2].found && f[2].out.len == 0);
	assert_false(f[3].found);
	assert_false(f[4].found);
}

static void judges_documents(void **state)
{
	const struct {
		struct ev_str doc;
		ev_err err;
		const char *text; /* of a/b, NULL: not there */
	} cases[] = {
		{ EV_LIT("<a><b>x</b></a>"), EV_OK, "x" },
		{ EV_LIT("<a><b>x<c>y</c>z</b></a>"), EV_OK, "xz" },
		{ EV_LIT("\xEF\xBB\xBF<a><b>x</b></a>"), EV_OK, "x" },
		{ EV_LIT("<a><b>x<!-- > <b> -->y</b></a>"), EV_OK, "xy" },
		{ EV_LIT("<!-- c --><a><b>x</b></a><!-- d -->\n"), EV_OK, "x" },
		{ EV_LIT("<a n=\"1\" m='<'><b>x</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a n=\"1\" m='&lt;'><b>x</b ></a>"), EV_OK, "x" },
		{ EV_LIT("<x:a><b>x</b></x:a>"), EV_OK, NULL },
		{ EV_LIT("<a/>"), EV_OK, NULL },
		{ EV_LIT(""), EV_INVALID, NULL },
		{ EV_LIT("   "), EV_INVALID, NULL },
		{ EV_LIT("text"), EV_INVALID, NULL },
		{ EV_LIT("<a>"), EV_INVALID, NULL },
		{ EV_LIT("<a></b>"), EV_INVALID, NULL },
		{ EV_LIT("<a><b></a></b>"), EV_INVALID, NULL },
		{ EV_LIT("<a></a><a></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a></a>x"), EV_INVALID, NULL },
		{ EV_LIT("<a><b>x</b><b>y</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<!DOCTYPE a [<!ENTITY x \"y\">]><a><b>&x;</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a><b>&x;</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a><b>&#0;</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a><b>&#xD800;</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a><b>&#x110000;</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a><b>&#99999999999999999999;</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a><b>&#x;</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a><b>&;</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a><b>&amp</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a><b><![CDATA[x]]></b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a><?pi x?><b>x</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a><b>\x01</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a><b>\0</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a><b>\xff</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a b><b>x</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a b=1><b>x</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a b=\"1\"c=\"2\"><b>x</b></a>"), EV_INVALID, NULL },
		{ EV_LIT("<1a></1a>"), EV_INVALID, NULL },
		{ EV_LIT("< a></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a><!-- -- --></a>"), EV_INVALID, NULL },
		{ EV_LIT("<?xml <a></a>"), EV_INVALID, NULL },
		{ EV_LIT("<a><b>0123456789abcdef0</b></a>"), EV_FULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		char room[17];
		bool found;

		assert_int_equal(read_one(cases[i].doc, "a/b", room, sizeof(room), &found),
				 cases[i].err);
		if (cases[i].err != EV_OK)
			continue;
		assert_int_equal(found, cases[i].text != NULL);
		if (cases[i].text != NULL)
			assert_string_equal(room, cases[i].text);
	}
}

static void refuses_every_truncation(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(whole) - 2; n++) {
		char *cut = malloc(n > 0 ? n : 1); /* exactly: ASan sees what is read behind it */
		char room[64];
		bool found;

		assert_non_null(cut);
		memcpy(cut, whole, n);
		assert_int_equal(
			read_one((struct ev_str){ cut, n }, "a/b", room, sizeof(room), &found),
			EV_INVALID);
		free(cut);
	}
}

static void bounds_depth_and_path(void **state)
{
	char doc[4096] = "";
	char room[16];
	bool found;

	(void)state;
	for (unsigned depth = AWS_XML_DEPTH; depth <= AWS_XML_DEPTH + 1; depth++) {
		size_t n = 0;

		for (unsigned i = 0; i < depth; i++)
			n += (size_t)snprintf(doc + n, sizeof(doc) - n, "<a>");
		for (unsigned i = 0; i < depth; i++)
			n += (size_t)snprintf(doc + n, sizeof(doc) - n, "</a>");
		assert_int_equal(
			read_one((struct ev_str){ doc, n }, "b", room, sizeof(room), &found),
			depth <= AWS_XML_DEPTH ? EV_OK : EV_INVALID);
	}
	memset(doc, 'n', AWS_XML_PATH + 10);
	doc[0] = '<';
	memcpy(doc + AWS_XML_PATH + 1, "/>", 3);
	assert_int_equal(read_one(ev_str_from(doc), "b", room, sizeof(room), &found), EV_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_texts_by_their_paths),
		cmocka_unit_test(judges_documents),
		cmocka_unit_test(refuses_every_truncation),
		cmocka_unit_test(bounds_depth_and_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
