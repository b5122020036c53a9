/*
 * engine/aws/profile.h — the shared files ~/.aws/config and ~/.aws/credentials.
 *
 * Sections in brackets, `key = value` lines, comments from # or ; at the start of a line or after
 * a blank in a value; indented lines under a key without a value are one nested level.  In config
 * a section is `[default]`, `[profile NAME]` (which wins over `[default]` for that name) or
 * `[services NAME]`, names may be in quotes; in credentials it is `[NAME]`.  Other sections are
 * passed over.  A profile's sections add up, of the same key the last one counts.  Immutable once
 * read, so any thread may look things up.
 */
#ifndef EV_AWS_PROFILE_H
#define EV_AWS_PROFILE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "engine/aws/env.h"

#define AWS_PROFILE_FILE_MAX (256 * 1024) /* bytes of one file */
#define AWS_PROFILE_ENTRIES_MAX 8192      /* lines with a key, of both files */

enum aws_profile_file { AWS_FILE_CREDENTIALS, AWS_FILE_CONFIG, AWS_FILE_COUNT };

struct aws_profiles;

/*
 * From text; both are copied and may be empty.  EV_INVALID: the text names the file and the line
 * but never cites it, as there may be secrets in it.  EV_FULL above the limits, EV_NOMEM.
 */
EV_NODISCARD ev_err aws_profiles_parse(const struct ev_str files[AWS_FILE_COUNT],
				       struct aws_profiles **out, struct ev_fail *fail);

/*
 * Reads the files that AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name, else those below
 * HOME; one that does not exist is as an empty one.  EV_DENIED, EV_IO, and as above.  Blocks for
 * the disk.
 */
EV_NODISCARD ev_err aws_profiles_load(const struct aws_env *env, struct aws_profiles **out,
				      struct ev_fail *fail);

/* Wipes what was read. */
void aws_profiles_free(struct aws_profiles *p);

static inline void aws_profiles_freep(struct aws_profiles **p)
{
	aws_profiles_free(*p);
}

/* AWS_PROFILE, AWS_DEFAULT_PROFILE, or "default". */
struct ev_str aws_profile_name(const struct aws_env *env);

/* Whether either file has a section for it. */
bool aws_profile_exists(const struct aws_profiles *p, struct ev_str profile);

/*
 * The value, not empty and without its blanks, borrowed from p; false and *out as it was if none.
 */
bool aws_profile_get_in(const struct aws_profiles *p, enum aws_profile_file file,
			struct ev_str profile, const char *key, struct ev_str *out);

/* The same in either file, credentials first. */
bool aws_profile_get(const struct aws_profiles *p, struct ev_str profile, const char *key,
		     struct ev_str *out);

/* In config's `[services NAME]`: the nested key below the service's name. */
bool aws_services_get(const struct aws_profiles *p, struct ev_str services, const char *service,
		      const char *key, struct ev_str *out);

/*
 * Reads a whole file of at most max bytes into new memory with a NUL behind it; the caller wipes
 * and frees it.  EV_NOTFOUND, EV_DENIED, EV_FULL, EV_IO, EV_NOMEM.  Blocks for the disk.
 */
EV_NODISCARD ev_err aws_file_read(const char *path, size_t max, char **out, size_t *out_n);

#endif
