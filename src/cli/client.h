/*
 * cli/client.h — what the commands that talk to a running server have in common: where it is, the
 * token, the request, the answer shown, the problem told in one line on stderr.
 */
#ifndef EV_CLI_CLIENT_H
#define EV_CLI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "cli/args.h"
#include "cli/config.h"
#include "cli/http.h"
#include "cli/view.h"

struct json_object;

#define CLIENT_URL_MAX 200
#define CLIENT_TOKEN_MAX 200
#define CLIENT_PATH_MAX 600
#define CLIENT_N_OPTIONS 7

enum client_api { CLIENT_OUTLET, CLIENT_APP, CLIENT_GATEWAY, CLIENT_API_COUNT };

/* --outlet, --app, --gateway, --token-file, --ca, --config, --json. */
extern const struct arg_option client_options[CLIENT_N_OPTIONS];

struct client {
	char urls[CLIENT_API_COUNT][CLIENT_URL_MAX + 1]; /* without a slash at the end */
	char token[CLIENT_TOKEN_MAX + 1];                /* empty: none */
	const char *ca;                                  /* or NULL */
	bool json;
};

/*
 * URLs from the options, else EVCHARGE_…_URL, else the addresses that the settings give; the token
 * from --token-file, else EVCHARGE_TOKEN.  Fills *fail.
 */
EV_NODISCARD ev_err client_open(struct client *c, const struct args *a, struct ev_fail *fail);

/* The settings, with the command's --config and --data if it has them. */
EV_NODISCARD ev_err client_config(struct config *out, const struct args *a, struct ev_fail *fail);

/* A request's path: what is ours is added as it is, what a user gave is percent-encoded. */
struct client_path {
	struct ev_buf b;
	char text[CLIENT_PATH_MAX + 1];
};
void path_start(struct client_path *p, const char *ours);
void path_add(struct client_path *p, const char *ours);
void path_add_id(struct client_path *p, const char *given);
/* `?name=value` or `&name=value`; nothing if value is NULL. */
void path_add_query(struct client_path *p, const char *name, const char *value);

/*
 * One request.  On success *out_json (may be NULL) is the answer, owned by the caller (by
 * json_object_put; NULL if empty) and, with --json, it has been printed.  Otherwise *fail has the
 * problem in the server's words.  body may be NULL; it is not consumed.
 */
EV_NODISCARD ev_err client_call(const struct client *c, enum client_api api, const char *method,
				struct client_path *path, struct json_object *body,
				struct json_object **out_json, struct ev_fail *fail);

/* A POST of bytes that are JSON already. */
EV_NODISCARD ev_err client_send_raw(const struct client *c, enum client_api api,
				    struct client_path *path, struct ev_str body,
				    struct json_object **out_json, struct ev_fail *fail);

/* The same for a whole command: opens, calls, shows the object's fields; returns the exit code. */
struct client_show {
	enum client_api api;
	const char *method;
	const struct view_column *columns; /* NULL: nothing is shown but `done` */
	size_t n_columns;
	const char *done; /* printed if there is nothing to show; may be NULL */
};
int client_show(const struct args *a, const struct client_show *how, struct client_path *path,
		struct json_object *body);

/* A list, page by page up to --limit; `cursor` names the query parameter: "after" or "before". */
struct client_list {
	enum client_api api;
	const char *cursor;
	const struct view_column *columns;
	size_t n_columns;
};
int client_list(const struct args *a, const struct client_list *how, struct client_path *path);

/* The option that client_list reads. */
#define CLIENT_LIMIT_OPTION                                                                        \
	{                                                                                          \
		"limit", "N", "at most so many (100)"                                              \
	}

/* Adds the option's text under that key, if it was given. */
void body_add_text(struct json_object *body, const char *key, const struct args *a,
		   const char *option);
/* Likewise as a number; EV_INVALID if it is none. */
EV_NODISCARD ev_err body_add_number(struct json_object *body, const char *key, const struct args *a,
				    const char *option, struct ev_fail *fail);

#endif
