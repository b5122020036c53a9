/*
 * cli/config.h — the settings of the program: one table of keys, and one struct that holds them.
 *
 * Sources in rising precedence: defaults, the file (`key = value`, `#` and `;` begin comments, no
 * sections), the environment (`EVCHARGE_KEY_NAME`), the command line (`--key-name VALUE` or
 * `--key-name=VALUE`; a switch alone is on).  An unknown key is an error that names the nearest
 * known one; a bad value is an error that names the source, the key, the value and what is allowed.
 */
#ifndef EV_CLI_CONFIG_H
#define EV_CLI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define CONFIG_TEXT_MAX 160 /* bytes of a text or path: the file's reader takes lines below 200 */
#define CONFIG_HOST_MAX 63
#define CONFIG_ADDRESS_TEXT (CONFIG_HOST_MAX + 9) /* [host]:65535 and NUL */
#define CONFIG_PRINT_MAX 16384                    /* bytes of config_print */

/* Host is a numeric address without brackets, or `localhost`; port 0 lets the system choose. */
struct config_address {
	char host[CONFIG_HOST_MAX + 1];
	uint16_t port;
};

enum config_auth { CONFIG_AUTH_AUTO, CONFIG_AUTH_ALWAYS };
enum config_log_format { CONFIG_FORMAT_AUTO, CONFIG_FORMAT_LOGFMT, CONFIG_FORMAT_JSON };

enum config_engine { CONFIG_ENGINE_EMBEDDED, CONFIG_ENGINE_AWS };

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENVIRONMENT, CONFIG_OPTION };

#define CONFIG_KEYS_MAX 64

/* Durations are nanoseconds, sizes bytes; members are in the order of the table. */
struct config {
	char config[CONFIG_TEXT_MAX + 1]; /* the file; empty: none */
	unsigned engine;                  /* enum config_engine */
	char role[CONFIG_TEXT_MAX + 1];   /* "outlet,app,gateway", see config_roles */
	char data[CONFIG_TEXT_MAX + 1];
	struct config_address outlet_listen;
	struct config_address app_listen;
	struct config_address gateway_listen;
	int64_t gateway_loops;              /* 0: as the processors allow */
	char tls_cert[CONFIG_TEXT_MAX + 1]; /* empty: no TLS */
	char tls_key[CONFIG_TEXT_MAX + 1];
	bool insecure;
	unsigned auth;            /* enum config_auth */
	unsigned log_level;       /* enum ev_log_level */
	unsigned log_format;      /* enum config_log_format */
	int64_t retain_events_ns; /* 0: for ever; so the next two */
	int64_t retain_commands_ns;
	int64_t retain_dead_letters_ns;
	int64_t request_timeout_ns;
	int64_t command_timeout_ns;
	int64_t stop_timeout_ns;
	int64_t stuck_after_ns;
	bool stop_requires_tag;
	bool notify_denials;
	int64_t max_connections;
	int64_t max_connections_per_address;
	int64_t max_frame;    /* bytes */
	int64_t message_rate; /* a second and device */
	int64_t message_burst;
	int64_t max_outstanding; /* unanswered messages of one connection */
	int64_t ping_interval_ns;
	int64_t idle_timeout_ns;
	int64_t drain_timeout_ns;
	char aws_prefix[CONFIG_TEXT_MAX + 1];
	char aws_region[CONFIG_TEXT_MAX + 1];  /* empty: as the environment or the profile says */
	char aws_profile[CONFIG_TEXT_MAX + 1]; /* likewise */
	int64_t aws_lanes;                     /* rows that are written at the same time */
	int64_t aws_receives;                  /* long polls in flight on each queue */
	char gateway_id[CONFIG_TEXT_MAX + 1];  /* empty: a random one */
	int64_t sweep_interval_ns;
	uint8_t source
		[CONFIG_KEYS_MAX]; /* enum config_source of each key, by its place in the table */
};

enum config_type {
	CONFIG_STRING,
	CONFIG_PATH,
	CONFIG_BOOL,
	CONFIG_INTEGER,
	CONFIG_DURATION,
	CONFIG_SIZE,
	CONFIG_ADDRESS,
	CONFIG_ENUM
};

struct config_key {
	const char *name; /* as in the file and after `--` */
	enum config_type type;
	size_t offset;      /* in struct config */
	const char *preset; /* the default, as text */
	int64_t min;        /* INTEGER, DURATION (ns), SIZE: inclusive */
	int64_t max;
	const char *const *choices; /* ENUM: NULL-terminated, in the order of the enum's values */
	bool reloadable;            /* SIGHUP applies a change without a restart */
	bool outside;               /* not a key of the file */
	const char *help;           /* one sentence for people */
};

/* The table; constant. */
const struct config_key *config_keys(size_t *out_n);

/* All defaults. */
void config_init(struct config *c);

/*
 * Everything: defaults, then the file named by --config or EVCHARGE_CONFIG (none: no file), then
 * the environment, then the options.  argv holds the options alone, without program and command;
 * envp is NULL-terminated.  EV_INVALID: a fault of the user, *fail says which; EV_IO: the file
 * cannot be read.  *out is untouched on failure.  Reads the file, else nothing of the system.
 */
EV_NODISCARD ev_err config_load(struct config *out, int argc, char *const *argv, char *const *envp,
				struct ev_fail *fail);

/* The single sources; EV_INVALID as above, and then *c may be half changed. */
EV_NODISCARD ev_err config_read_text(struct config *c, struct ev_str text, const char *name,
				     struct ev_fail *fail);
EV_NODISCARD ev_err config_read_env(struct config *c, char *const *envp, struct ev_fail *fail);
EV_NODISCARD ev_err config_read_args(struct config *c, int argc, char *const *argv,
				     struct ev_fail *fail);

/*
 * What no single key can tell: TLS needs both files and both must be readable, an address that is
 * not loopback needs TLS or `insecure`, two listeners need two ports, idle above ping.
 * EV_INVALID with *fail.
 */
EV_NODISCARD ev_err config_check(const struct config *c, struct ev_fail *fail);

/* As a file that config_read_text reads back to the same values, with comments. */
void config_print(const struct config *c, struct ev_buf *b);

/* One value as text, as the file would have it. */
void config_value_text(const struct config *c, const struct config_key *key, struct ev_buf *b);

/* One line for each key: `  --key VALUE   help (default …)`. */
void config_help(struct ev_buf *b);

/* For SIGHUP: which keys differ; those of `restart` only take effect after one. */
struct config_diff {
	size_t n_reloadable;
	size_t n_restart;
	const struct config_key *reloadable[CONFIG_KEYS_MAX];
	const struct config_key *restart[CONFIG_KEYS_MAX];
};
void config_diff_reloadable(const struct config *running, const struct config *fresh,
			    struct config_diff *out);

/* Copies the reloadable keys of `fresh` into `running`. */
void config_apply_reloadable(struct config *running, const struct config *fresh);

/* Roles as bits, from the text of the setting; EV_INVALID for other words or none. */
#define CONFIG_ROLE_OUTLET 1U
#define CONFIG_ROLE_APP 2U
#define CONFIG_ROLE_GATEWAY 4U
#define CONFIG_ROLES_ALL 7U
EV_NODISCARD ev_err config_roles(const struct config *c, unsigned *out);

/* Where the value of a key came from. */
enum config_source config_source_of(const struct config *c, const char *name);

/* 127.0.0.0/8, ::1 and localhost. */
bool config_is_loopback(const struct config_address *a);

/* `A:P`, `[IPv6]:P`; EV_INVALID otherwise. */
EV_NODISCARD ev_err config_address_parse(struct ev_str s, struct config_address *out);
void config_address_text(const struct config_address *a, char out[CONFIG_ADDRESS_TEXT]);

/* `90d`, `24h`, `5m`, `30s`, `250ms`, `0`; EV_INVALID otherwise. */
EV_NODISCARD ev_err config_duration_parse(struct ev_str s, int64_t *out_ns);

#endif
