/* test/unit/vectors.h — reads test/vectors with json-c, which the code under test does not use. */
#ifndef EV_TEST_VECTORS_H
#define EV_TEST_VECTORS_H

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static inline struct json_object *vectors_load(const char *name)
{
	char path[1024];
	struct json_object *o;

	snprintf(path, sizeof(path), "%s/%s", TEST_VECTORS, name);
	o = json_object_from_file(path);
	if (o == NULL) {
		fprintf(stderr, "%s: %s\n", path, json_util_get_last_err());
		abort();
	}
	return o;
}

/* NULL if there is none. */
static inline struct json_object *vector_get(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) ? v : NULL;
}

/* The text of a string member, which must exist; it may hold NULs. */
static inline struct ev_str vector_str(struct json_object *o, const char *key)
{
	struct json_object *v = vector_get(o, key);

	if (v == NULL || !json_object_is_type(v, json_type_string)) {
		fprintf(stderr, "no string %s in a vector\n", key);
		abort();
	}
	return (struct ev_str){ json_object_get_string(v), (size_t)json_object_get_string_len(v) };
}

static inline size_t vector_unhex(struct ev_str hex, unsigned char *out, size_t cap)
{
	if (hex.n % 2 != 0 || hex.n / 2 > cap)
		abort();
	for (size_t i = 0; i < hex.n / 2; i++) {
		unsigned v;

		if (sscanf(hex.p + 2 * i, "%2x", &v) != 1)
			abort();
		out[i] = (unsigned char)v;
	}
	return hex.n / 2;
}

#endif
