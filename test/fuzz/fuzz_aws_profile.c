/*
 * The shared files, both from the same bytes: what is looked up is not empty, has no line break and
 * no blanks around it; a failure never cites the input.  Commands and URLs beside them.
 */
#include "check.h"
#include "engine/aws/endpoint.h"
#include "engine/aws/process.h"
#include "engine/aws/profile.h"

static void check_value(struct ev_str v)
{
	CHECK(v.n > 0);
	CHECK(memchr(v.p, '\n', v.n) == NULL && memchr(v.p, '\0', v.n) == NULL);
	CHECK(v.p[0] != ' ' && v.p[0] != '\t' && v.p[v.n - 1] != ' ' && v.p[v.n - 1] != '\t');
}

static void check_profiles(struct ev_str text)
{
	const struct ev_str files[AWS_FILE_COUNT] = { text, text };
	struct aws_profiles *p = NULL;
	struct ev_fail fail = { .text = "" };
	struct ev_str v;

	if (aws_profiles_parse(files, &p, &fail) != EV_OK) {
		CHECK(p == NULL && text_len(fail.text, sizeof(fail.text)) < 100);
		return;
	}
	if (aws_profile_get(p, EV_LIT("default"), "region", &v))
		check_value(v);
	if (aws_profile_get_in(p, AWS_FILE_CREDENTIALS, EV_LIT("a b"), "k", &v))
		check_value(v);
	if (aws_services_get(p, EV_LIT("s"), "sqs", "endpoint_url", &v))
		check_value(v);
	aws_profiles_free(p);
}

static void check_command(struct ev_str text)
{
	char room[AWS_COMMAND_MAX + 1];
	char *words[AWS_WORDS_MAX + 1];

	if (aws_command_split(text, room, words) != EV_OK)
		return;
	for (size_t i = 0; words[i] != NULL; i++) {
		CHECK(i < AWS_WORDS_MAX && words[i] >= room);
		CHECK(text_len(words[i], sizeof(room)) < sizeof(room));
	}
}

static void check_url(struct ev_str text)
{
	struct aws_url u;

	if (aws_url_parse(text, &u) != EV_OK)
		return;
	CHECK(u.port != 0 && u.host.n > 0 && u.host.n < AWS_HOST_MAX && u.path.n > 0);
	CHECK(memchr(u.host.p, '@', u.host.n) == NULL);
	for (size_t i = 0; i < u.path.n; i++)
		CHECK(u.path.p[i] > ' ' && u.path.p[i] < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ev_str text = { (const char *)data, size };

	check_profiles(text);
	check_command(text);
	check_url(text);
	return 0;
}
