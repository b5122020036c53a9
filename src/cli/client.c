#include "cli/client.h"

#include <errno.h>
#include <fcntl.h>
#include <json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"

#define PAGE_MAX 1000
#define LIMIT_DEFAULT 100
#define PROBLEM_MAX 180

const struct arg_option client_options[CLIENT_N_OPTIONS] = {
	{ "outlet", "URL", "the outlet API (from the settings: http://127.0.0.1:8081)" },
	{ "app", "URL", "the app API (http://127.0.0.1:8080)" },
	{ "gateway", "URL", "the device gateway (http://127.0.0.1:8082)" },
	{ "token-file", "FILE", "a file with the API token; else EVCHARGE_TOKEN" },
	{ "ca", "FILE", "trust this certificate (PEM) instead of the system's" },
	{ "config", "FILE", "the server's settings, for its addresses" },
	{ "json", NULL, "print the server's JSON" },
};

static const struct {
	const char *option, *variable;
} url_sources[CLIENT_API_COUNT] = {
	[CLIENT_OUTLET] = { "outlet", "EVCHARGE_OUTLET_URL" },
	[CLIENT_APP] = { "app", "EVCHARGE_APP_URL" },
	[CLIENT_GATEWAY] = { "gateway", "EVCHARGE_GATEWAY_URL" },
};

/* --- Where the server is --- */

ev_err client_config(struct config *out, const struct args *a, struct ev_fail *fail)
{
	static const char *const names[] = { "config", "data" };
	char words[EV_ARRAY_LEN(names)][CONFIG_TEXT_MAX + 16];
	char *argv[EV_ARRAY_LEN(names)];
	int argc = 0;

	for (size_t i = 0; i < EV_ARRAY_LEN(names); i++) {
		const char *value = args_get(a, names[i]);

		if (value == NULL)
			continue;
		if (strlen(value) > CONFIG_TEXT_MAX)
			return ev_fail_set(fail, EV_INVALID, 0, "--%s is too long", names[i]);
		snprintf(words[argc], sizeof(words[argc]), "--%s=%s", names[i], value);
		argv[argc] = words[argc];
		argc++;
	}
	return config_load(out, argc, argv, environ, fail);
}

/* A listener on all addresses is reached on loopback. */
static void url_of(const struct config *c, const struct config_address *listen, char *out)
{
	struct config_address a = *listen;
	char text[CONFIG_ADDRESS_TEXT];

	if (strcmp(a.host, "0.0.0.0") == 0)
		snprintf(a.host, sizeof(a.host), "127.0.0.1");
	else if (strcmp(a.host, "::") == 0)
		snprintf(a.host, sizeof(a.host), "::1");
	config_address_text(&a, text);
	snprintf(out, CLIENT_URL_MAX + 1, "%s://%s", c->tls_cert[0] != '\0' ? "https" : "http",
		 text);
}

static ev_err set_url(char out[CLIENT_URL_MAX + 1], const char *given, struct ev_fail *fail)
{
	size_t n = strlen(given);

	if (strncmp(given, "http://", 7) != 0 && strncmp(given, "https://", 8) != 0)
		return ev_fail_set(fail, EV_INVALID, 0,
				   "%.80s: a URL begins with http:// or https://", given);
	while (n > 0 && given[n - 1] == '/')
		n--;
	if (n > CLIENT_URL_MAX)
		return ev_fail_set(fail, EV_INVALID, 0, "%.80s…: the URL is too long", given);
	memcpy(out, given, n);
	out[n] = '\0';
	return EV_OK;
}

static ev_err set_urls(struct client *c, const struct args *a, struct ev_fail *fail)
{
	struct config config;
	const struct config_address *listen[CLIENT_API_COUNT] = {
		[CLIENT_OUTLET] = &config.outlet_listen,
		[CLIENT_APP] = &config.app_listen,
		[CLIENT_GATEWAY] = &config.gateway_listen,
	};
	ev_err e = client_config(&config, a, fail);

	for (size_t i = 0; i < CLIENT_API_COUNT && e == EV_OK; i++) {
		const char *given = args_get(a, url_sources[i].option);

		if (given == NULL)
			given = getenv(url_sources[i].variable);
		if (given != NULL)
			e = set_url(c->urls[i], given, fail);
		else
			url_of(&config, listen[i], c->urls[i]);
	}
	return e;
}

static ev_err set_token(struct client *c, const char *text, size_t n, struct ev_fail *fail)
{
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
		n--;
	for (size_t i = 0; i < n; i++) {
		if (text[i] <= ' ' || text[i] == 0x7f)
			return ev_fail_set(fail, EV_INVALID, 0, "the token has a space within");
	}
	if (n > CLIENT_TOKEN_MAX)
		return ev_fail_set(fail, EV_INVALID, 0, "the token is too long");
	memcpy(c->token, text, n);
	c->token[n] = '\0';
	return EV_OK;
}

static ev_err read_token(struct client *c, const char *path, struct ev_fail *fail)
{
	char text[CLIENT_TOKEN_MAX + 8];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	ev_err e = n < 0 ? ev_fail_set(fail, EV_IO, errno, "%.120s: %s", path, strerror(errno))
			 : set_token(c, text, (size_t)n, fail);

	if (fd >= 0)
		(void)close(fd); /* only read from */
	return e;
}

ev_err client_open(struct client *c, const struct args *a, struct ev_fail *fail)
{
	const char *path = args_get(a, "token-file");
	const char *token = getenv("EVCHARGE_TOKEN");

	*c = (struct client){ .json = args_has(a, "json"), .ca = args_get(a, "ca") };
	if (c->ca == NULL)
		c->ca = getenv("EVCHARGE_CA");
	if (path == NULL)
		path = getenv("EVCHARGE_TOKEN_FILE");
	ev_err e = http_setup(fail);

	if (e == EV_OK)
		e = set_urls(c, a, fail);
	if (e == EV_OK && path != NULL)
		e = read_token(c, path, fail);
	else if (e == EV_OK && token != NULL)
		e = set_token(c, token, strlen(token), fail);
	return e;
}

/* --- Paths and bodies --- */

void path_start(struct client_path *p, const char *ours)
{
	p->b = ev_buf_over(p->text, CLIENT_PATH_MAX);
	ev_buf_z(&p->b, ours);
}

void path_add(struct client_path *p, const char *ours)
{
	ev_buf_z(&p->b, ours);
}

void path_add_id(struct client_path *p, const char *given)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *given != '\0'; given++) {
		unsigned char ch = (unsigned char)*given;
		bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
			     (ch >= '0' && ch <= '9') || strchr("-._~", ch) != NULL;

		if (plain) {
			ev_buf_char(&p->b, (char)ch);
			continue;
		}
		ev_buf_char(&p->b, '%');
		ev_buf_char(&p->b, hex[ch >> 4]);
		ev_buf_char(&p->b, hex[ch & 15]);
	}
}

void path_add_query(struct client_path *p, const char *name, const char *value)
{
	if (value == NULL)
		return;
	ev_buf_char(&p->b, memchr(p->text, '?', p->b.len) == NULL ? '?' : '&');
	ev_buf_z(&p->b, name);
	ev_buf_char(&p->b, '=');
	path_add_id(p, value);
}

void body_add_text(struct json_object *body, const char *key, const struct args *a,
		   const char *option)
{
	const char *value = args_get(a, option);

	if (value != NULL)
		json_object_object_add(body, key, json_object_new_string(value));
}

ev_err body_add_number(struct json_object *body, const char *key, const struct args *a,
		       const char *option, struct ev_fail *fail)
{
	const char *value = args_get(a, option);
	double v;

	if (value == NULL)
		return EV_OK;
	if (num_parse_double(ev_str_from(value), &v) != EV_OK)
		return ev_fail_set(fail, EV_INVALID, 0, "--%s: %.40s is no number", option, value);
	json_object_object_add(body, key, json_object_new_double(v));
	return EV_OK;
}

/* --- Requests --- */

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return NULL;
	return json_object_get_string(v);
}

static void add_field_problems(struct ev_buf *b, struct json_object *problem)
{
	struct json_object *list = NULL;

	if (!json_object_object_get_ex(problem, "problems", &list) ||
	    !json_object_is_type(list, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		const char *field = text_of(item, "field"), *text = text_of(item, "text");

		if (field == NULL || text == NULL)
			continue;
		ev_buf_z(b, i == 0 ? ": " : "; ");
		ev_buf_z(b, field);
		ev_buf_char(b, ' ');
		ev_buf_z(b, text);
	}
}

static ev_err code_of(long status)
{
	switch (status) {
	case 401:
	case 403:
		return EV_DENIED;
	case 404:
		return EV_NOTFOUND;
	case 409:
		return EV_CONFLICT;
	case 429:
	case 503:
		return EV_BUSY;
	default:
		return EV_IO;
	}
}

/* The server's problem in one line; anything else by its status. */
static ev_err fail_with_problem(const struct http_response *r, struct ev_fail *fail)
{
	struct json_object *problem = r->body != NULL ? json_tokener_parse(r->body) : NULL;
	char text[PROBLEM_MAX + 1];
	struct ev_buf b = ev_buf_over(text, PROBLEM_MAX);
	const char *title = problem != NULL ? text_of(problem, "title") : NULL;
	const char *detail = problem != NULL ? text_of(problem, "detail") : NULL;

	ev_buf_z(&b, title != NULL ? title : "the server declined");
	if (detail != NULL && (title == NULL || strcmp(title, detail) != 0)) {
		ev_buf_z(&b, ": ");
		ev_buf_z(&b, detail);
	}
	if (problem != NULL)
		add_field_problems(&b, problem);
	text[b.len] = '\0';
	for (size_t i = 0; i < b.len; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = ' ';
	}
	json_object_put(problem);
	return ev_fail_set(fail, code_of(r->status), (int)r->status, "%s (%ld)", text, r->status);
}

static ev_err take_answer(const struct client *c, struct http_response *r,
			  struct json_object **out_json, struct ev_fail *fail)
{
	struct json_object *json = NULL;

	if (r->status < 200 || r->status > 299)
		return fail_with_problem(r, fail);
	if (r->n > 0)
		json = json_tokener_parse(r->body);
	if (r->n > 0 && json == NULL)
		return ev_fail_set(fail, EV_CORRUPT, 0, "the server's answer is no JSON");
	if (c->json && r->n > 0)
		printf("%s\n", r->body);
	if (out_json != NULL)
		*out_json = json;
	else
		json_object_put(json);
	return EV_OK;
}

static ev_err call(const struct client *c, enum client_api api, const char *method,
		   struct client_path *path, struct ev_str body, struct json_object **out_json,
		   struct ev_fail *fail)
{
	char url[CLIENT_URL_MAX + CLIENT_PATH_MAX + 1];
	struct http_request q = { .method = method,
				  .url = url,
				  .token = c->token[0] != '\0' ? c->token : NULL,
				  .ca = c->ca,
				  .body = body };
	struct http_response r = { .body = NULL };

	if (path->b.overflow)
		return ev_fail_set(fail, EV_INVALID, 0, "an argument is too long");
	path->text[path->b.len] = '\0';
	snprintf(url, sizeof(url), "%s%s", c->urls[api], path->text);
	ev_err e = http_call(&q, &r, fail);

	if (e == EV_OK)
		e = take_answer(c, &r, out_json, fail);
	http_response_deinit(&r);
	return e;
}

ev_err client_call(const struct client *c, enum client_api api, const char *method,
		   struct client_path *path, struct json_object *body,
		   struct json_object **out_json, struct ev_fail *fail)
{
	struct ev_str text = { .n = 0 };

	if (body != NULL)
		text = ev_str_from(json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN));
	return call(c, api, method, path, text, out_json, fail);
}

ev_err client_send_raw(const struct client *c, enum client_api api, struct client_path *path,
		       struct ev_str body, struct json_object **out_json, struct ev_fail *fail)
{
	return call(c, api, "POST", path, body, out_json, fail);
}

int client_show(const struct args *a, const struct client_show *how, struct client_path *path,
		struct json_object *body)
{
	struct ev_fail fail = { .code = EV_OK };
	struct json_object *answer = NULL;
	struct client c;
	ev_err e = client_open(&c, a, &fail);

	if (e == EV_OK)
		e = client_call(&c, how->api, how->method, path, body, &answer, &fail);
	if (e != EV_OK)
		return cli_fail(&fail);
	if (!c.json && how->columns != NULL && answer != NULL)
		view_fields(stdout, answer, how->columns, how->n_columns);
	else if (!c.json && how->done != NULL)
		printf("%s\n", how->done);
	json_object_put(answer);
	return CLI_OK;
}

/* --- Lists --- */

static ev_err read_limit(const struct args *a, uint64_t *out, struct ev_fail *fail)
{
	const char *text = args_get(a, "limit");

	*out = LIMIT_DEFAULT;
	if (text == NULL)
		return EV_OK;
	if (num_parse_u64(ev_str_from(text), out) != EV_OK || *out == 0)
		return ev_fail_set(fail, EV_INVALID, 0, "--limit: %.40s is no number above 0",
				   text);
	return EV_OK;
}

/* An array as it is, or the `items` of a list; *out_next borrows from page. */
static struct json_object *items_of(struct json_object *page, const char **out_next)
{
	struct json_object *items = page;

	*out_next = NULL;
	if (json_object_is_type(page, json_type_object)) {
		*out_next = text_of(page, "next");
		(void)json_object_object_get_ex(page, "items", &items); /* else shown as nothing */
	}
	return items;
}

/* One page; *left goes down, and to 0 at the end.  The cursor is taken from and put into `next`. */
static ev_err show_page(const struct client *c, const struct client_list *how,
			const struct client_path *path, uint64_t *left, char next[CLIENT_PATH_MAX],
			struct ev_fail *fail)
{
	struct client_path p = { .b = { .len = 0 } };
	struct json_object *page = NULL;
	const char *cursor;
	char limit[24];

	path_start(&p, "");
	ev_buf_bytes(&p.b, path->text, path->b.len);
	snprintf(limit, sizeof(limit), "%u", (unsigned)(*left < PAGE_MAX ? *left : PAGE_MAX));
	path_add_query(&p, "limit", limit);
	path_add_query(&p, how->cursor, next[0] != '\0' ? next : NULL);
	ev_err e = client_call(c, how->api, "GET", &p, NULL, &page, fail);

	if (e != EV_OK)
		return e;
	struct json_object *items = items_of(page, &cursor);
	size_t n = json_object_is_type(items, json_type_array) ? json_object_array_length(items)
							       : 0;

	if (!c->json)
		view_table(stdout, items, how->columns, how->n_columns);
	*left = cursor != NULL && n < *left ? *left - n : 0;
	snprintf(next, CLIENT_PATH_MAX, "%s", cursor != NULL ? cursor : "");
	json_object_put(page);
	return EV_OK;
}

int client_list(const struct args *a, const struct client_list *how, struct client_path *path)
{
	struct ev_fail fail = { .code = EV_OK };
	char next[CLIENT_PATH_MAX] = "";
	struct client c;
	uint64_t left;
	ev_err e = read_limit(a, &left, &fail);

	if (e == EV_OK)
		e = client_open(&c, a, &fail);
	while (e == EV_OK && left > 0)
		e = show_page(&c, how, path, &left, next, &fail);
	return e == EV_OK ? CLI_OK : cli_fail(&fail);
}
