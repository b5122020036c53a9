/*
 * engine/aws/keys.h — one set of access keys: id, secret, token and expiry belong together.
 *
 * Immutable and counted: a request holds the set that it was signed with, however often the keys
 * are renewed meanwhile.  Any thread.  The memory is wiped with the last reference.
 */
#ifndef EV_AWS_KEYS_H
#define EV_AWS_KEYS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define AWS_KEY_ID_MAX 128
#define AWS_TOKEN_MAX 32768
#define AWS_KEYS_ANSWER_MAX (64 * 1024) /* bytes of an answer with keys */
#define AWS_NEVER INT64_MAX

/* Where keys came from. */
enum aws_source {
	AWS_SOURCE_ENVIRONMENT,
	AWS_SOURCE_PROFILE,
	AWS_SOURCE_PROCESS,
	AWS_SOURCE_ROLE,
	AWS_SOURCE_WEB_IDENTITY,
	AWS_SOURCE_CONTAINER,
	AWS_SOURCE_INSTANCE,
	AWS_SOURCE_COUNT,
};

/* A constant word for logs, never NULL. */
const char *aws_source_text(enum aws_source source);

struct aws_keys {
	struct ev_str id;
	struct ev_str secret;
	struct ev_str token; /* empty: long-lived keys */
	int64_t expires_ns;  /* AWS_NEVER: not known to end */
	enum aws_source source;
	_Atomic unsigned refs;
};

/*
 * Copies; one reference, the caller's.  EV_INVALID: an empty id or secret, anything but printable
 * ASCII without blanks, or too long.  EV_NOMEM.
 */
EV_NODISCARD ev_err aws_keys_new(const struct aws_keys *from, const struct aws_keys **out);

const struct aws_keys *aws_keys_ref(const struct aws_keys *k);
void aws_keys_unref(const struct aws_keys *k);

static inline void aws_keys_unrefp(const struct aws_keys **k)
{
	aws_keys_unref(*k);
}

/* Wipes n bytes and frees them; NULL is fine. */
void aws_secret_free(char *p, size_t n);

/* What the JSON documents of all providers have in common. */
enum aws_keys_form {
	AWS_FORM_ENDPOINT, /* of a container or an instance: Token; a Code, if given, is Success */
	AWS_FORM_PROCESS,  /* of credential_process: Version 1, SessionToken */
};

/*
 * EV_INVALID: not such a document, or a field is missing or of a wrong form; the text names the
 * field, never a value.  EV_DENIED: a Code other than Success.
 */
EV_NODISCARD ev_err aws_keys_from_json(struct ev_str json, enum aws_keys_form form,
				       enum aws_source source, const struct aws_keys **out,
				       struct ev_fail *fail);

#endif
