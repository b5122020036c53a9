/*
 * engine/aws/sigv4.h — AWS Signature Version 4 of a request, in its Authorization header.
 *
 * Pure: the time and the keys are given, and nothing is read or kept.  Our own, since libcurl 7.88
 * signs headers that it does not send, sends a given date twice and sorts prefixes wrongly.
 * Source: AWS IAM user guide, "Create a signed AWS API request".
 */
#ifndef EV_AWS_SIGV4_H
#define EV_AWS_SIGV4_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define AWS_SIGN_HEADERS_MAX 16
#define AWS_SIGN_NAME_MAX 64
#define AWS_SECRET_MAX 256
#define AWS_DATE_TEXT 17 /* YYYYMMDDTHHMMSSZ and a NUL */

struct aws_header {
	struct ev_str name;
	struct ev_str value;
};

struct aws_signing {
	struct ev_str method;
	struct ev_str path;  /* as sent, percent-encoded, from the slash on */
	struct ev_str query; /* as sent, already in canonical order and encoding; may be empty */
	/*
	 * Exactly these are signed, and must be sent as they are: Host, X-Amz-Date with the text
	 * of aws_date_text(at_ns) and, with temporary keys, X-Amz-Security-Token belong to them.
	 */
	const struct aws_header *headers;
	size_t n_headers;
	struct ev_str body;
	struct ev_str region;
	struct ev_str service;
	int64_t at_ns; /* server time, whole seconds count */
	struct ev_str key_id;
	struct ev_str secret;
};

/* Years 1970 to 2261. */
void aws_date_text(int64_t ns, char out[AWS_DATE_TEXT]);

/* Whether s is empty or free of CR, LF and NUL, so that it cannot end a header early. */
bool aws_header_safe(struct ev_str s);

/*
 * Appends the value of the Authorization header.  EV_INVALID, with nothing appended: too many
 * headers, one twice, a name or value that is no header's, a secret above AWS_SECRET_MAX.
 * EV_FULL: out is too small (200 bytes, the scope and the names are enough).
 */
EV_NODISCARD ev_err aws_sign(const struct aws_signing *s, struct ev_buf *out);

#endif
