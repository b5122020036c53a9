/*
 * test/unit/ddb_kit.h — a table of one row, by json-c: items are put, conditions looked at and
 * updates applied as DynamoDB would, from what the codecs write.
 */
#ifndef EV_TEST_DDB_KIT_H
#define EV_TEST_DDB_KIT_H

#include <json-c/json.h>

#include "codec/json_write.h"

#define KIT_JSON_MAX 65536

/* Where a codec writes; kit_begin empties it. */
struct kit {
	char bytes[KIT_JSON_MAX];
	struct ev_buf buf;
	struct json_writer w;
};
/* For a value; kit_begin_members opens an object first. */
struct json_writer *kit_begin(struct kit *k);
struct json_writer *kit_begin_members(struct kit *k);
/* What was written, which must be JSON; owned by the caller. */
struct json_object *kit_end(struct kit *k);
struct json_object *kit_end_members(struct kit *k);

/* Is the condition of an update (or put) met by the item?  NULL: there is no item. */
bool kit_holds(struct json_object *request, struct json_object *item);

/* The item after an UpdateItem with Key; item NULL: a new one.  Owned by the caller. */
struct json_object *kit_apply(struct json_object *request, struct json_object *item);

/* How many attributes an update sets and removes. */
unsigned kit_changes(struct json_object *request);

/* The text of a member, JSON without spaces; borrowed from o. */
struct ev_str kit_text(struct json_object *o);

/* A copy of an item without one attribute. */
struct json_object *kit_without(struct json_object *item, const char *name);
struct json_object *kit_copy(struct json_object *item);

/* The whole of a value is "same" by content, attributes in any order. */
void kit_assert_same(struct json_object *got, struct json_object *want);

/* A reader over memory of its exact size, NUL not included; frees it afterwards. */
typedef ev_err (*kit_read_fn)(struct ev_str item, void *out);
ev_err kit_read(kit_read_fn read, struct json_object *item, void *out);
/* Every beginning of the item is EV_CORRUPT, and so is every rest behind it. */
void kit_assert_truncated(kit_read_fn read, struct json_object *item, void *out);

#endif
