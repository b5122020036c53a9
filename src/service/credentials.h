/*
 * service/credentials.h — who may come in: API tokens of people and programs, secrets of devices.
 *
 * DIR/credentials, mode 0600, one line for each: `api <name> <sha256 in hex> <created>` or
 * `device <outletId> <sha256 in hex> <created>`; `#` begins a comment.  A secret is `evc_` and 32
 * random bytes in base64url, shown once and stored as its SHA-256 only: it is random enough that a
 * slow hash would protect nothing and would cost a reconnecting fleet minutes.  Writers replace the
 * file as a whole, one after the other (flock on DIR); readers notice by credentials_refresh.
 *
 * Any thread may look a secret up; credentials_refresh and all else belong to one thread.
 */
#ifndef EV_SERVICE_CREDENTIALS_H
#define EV_SERVICE_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/uuid.h"

#define CREDENTIALS_FILE "credentials"
#define CREDENTIALS_MAX 1000000
#define CREDENTIAL_NAME_MAX 40    /* of letters, digits, `.`, `-` and `_` */
#define CREDENTIAL_SECRET_TEXT 47 /* without NUL */

enum credential_kind { CREDENTIAL_API, CREDENTIAL_DEVICE };

struct credential {
	enum credential_kind kind;
	char name[CREDENTIAL_NAME_MAX + 1]; /* the outletId in lower case for a device */
	uint8_t digest[EV_SHA256_SIZE];
	int64_t created_ns;
};

struct credentials;

/*
 * Reads DIR's file; none is an empty set.  The seed is the map's, random in production.
 * EV_CORRUPT names the line that is wrong; EV_DENIED, EV_IO, EV_NOMEM, EV_FULL.  Blocks for the
 * read.
 */
EV_NODISCARD ev_err credentials_open(struct credentials **out, const char *dir,
				     const uint64_t seed[2], struct ev_fail *fail);
void credentials_free(struct credentials *c);
void credentials_freep(struct credentials **c);

/*
 * Reads again if the file is not the one read last (inode, size, times); *out_changed may be NULL.
 * Errors as of credentials_open, and then the old set stays in force.
 */
EV_NODISCARD ev_err credentials_refresh(struct credentials *c, bool *out_changed,
					struct ev_fail *fail);

/* Whether the secret is an API token. */
bool credentials_is_api(struct credentials *c, struct ev_str secret);

/* Whether the secret is one of this outlet's; an outlet may have several, to change over. */
bool credentials_is_device(struct credentials *c, const struct ev_uuid *outlet_id,
			   struct ev_str secret);

size_t credentials_count(const struct credentials *c);
const struct credential *credentials_at(const struct credentials *c, size_t i); /* i < count */

/* The file can be read or written by others than its owner: worth a warning. */
bool credentials_are_exposed(const struct credentials *c);

/*
 * Adds one and writes its secret, NUL-terminated, to out_secret.  DIR is created if only it is
 * missing.  EV_INVALID: no valid name, or no UUID for a device; EV_EXISTS: an API token of that
 * name exists; EV_CORRUPT, EV_DENIED, EV_IO, EV_NOMEM, EV_FULL: nothing was changed.  Durable when
 * it returns.  Blocks.
 */
EV_NODISCARD ev_err credentials_create(const char *dir, enum credential_kind kind,
				       struct ev_str name, struct ev_rng *rng, int64_t now_ns,
				       char out_secret[CREDENTIAL_SECRET_TEXT + 1],
				       struct ev_fail *fail);

/* Removes all of that kind and name; EV_NOTFOUND if there is none, other errors as above. */
EV_NODISCARD ev_err credentials_revoke(const char *dir, enum credential_kind kind,
				       struct ev_str name, struct ev_fail *fail);

#endif
