/*
 * codec/ddb_item.h — DynamoDB's JSON: attribute values read and written, updates and conditions.
 *
 * Allocates nothing.  Reading borrows from the input; whatever is not what was asked for is
 * EV_CORRUPT, attributes of types that we do not know are gone over.  Numbers are decimal: they are
 * read exactly and rounded once, never by way of a double.  Source: facts/original-system.md 1,
 * facts/aws.md.
 */
#ifndef EV_CODEC_DDB_ITEM_H
#define EV_CODEC_DDB_ITEM_H

#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"
#include "codec/json_read.h"
#include "codec/json_write.h"
#include "core/types.h"

enum ddb_type {
	DDB_NONE, /* no value: an attribute that is absent */
	DDB_S,
	DDB_N,
	DDB_B,
	DDB_BOOL,
	DDB_NULL,
	DDB_SS,
	DDB_L,
	DDB_M,
	DDB_OTHER, /* NS, BS and what may come */
};

/* One value as it stands in the input. */
struct ddb_value {
	enum ddb_type type;
	struct json_span text; /* S, N, B */
	bool flag;             /* BOOL */
	struct ev_str raw;     /* SS, L, M: the JSON of what is in it */
};

/* Goes over the attributes of one item, `{"name":{"S":"…"},…}`. */
struct ddb_reader {
	struct json_reader json;
};

/* item: the item's JSON object and nothing else, e.g. as json_skip gave it. */
EV_NODISCARD ev_err ddb_read_item(struct ddb_reader *r, struct ev_str item);
/*
 * The next attribute; *out_more false at the end.  *out_name is its name, unescaped into name_room
 * (DDB_NAME_MAX bytes) if need be; a longer name is cut and equal to none of ours.
 */
#define DDB_NAME_MAX 64
EV_NODISCARD ev_err ddb_read_next(struct ddb_reader *r, bool *out_more, char *name_room,
				  struct ev_str *out_name, struct ddb_value *out);

/*
 * A whole item at once: out[i] is the value of names[i], of type DDB_NONE if it is absent or NULL.
 * Other attributes are gone over; one given twice is EV_CORRUPT.
 */
EV_NODISCARD ev_err ddb_read_fields(struct ev_str item, const char *const names[], size_t n,
				    struct ddb_value out[]);

/* Reads one value, `{"S":"…"}`, at the reader's place: an item of a list, a key. */
EV_NODISCARD ev_err ddb_read_value(struct json_reader *r, struct ddb_value *out);

/* The content of an M, a list or a set as a reader over it: ddb_read_next, json_read_item. */
EV_NODISCARD ev_err ddb_value_map(const struct ddb_value *v, struct ddb_reader *out);
EV_NODISCARD ev_err ddb_value_list(const struct ddb_value *v, struct json_reader *out);

/* EV_CORRUPT: another type, or not of that form or range, or longer than cap. */
EV_NODISCARD ev_err ddb_value_text(const struct ddb_value *v, char *room, size_t cap,
				   struct ev_str *out); /* S, borrowed if it was not escaped */
EV_NODISCARD ev_err ddb_value_bytes(const struct ddb_value *v, void *room, size_t cap,
				    struct ev_str *out); /* B */
EV_NODISCARD ev_err ddb_value_z(const struct ddb_value *v, char *out,
				size_t cap); /* no NUL in it */
EV_NODISCARD ev_err ddb_value_uuid(const struct ddb_value *v, struct ev_uuid *out); /* leniently */
EV_NODISCARD ev_err ddb_value_tag(const struct ddb_value *v, struct rfid_tag *out);
EV_NODISCARD ev_err ddb_value_state(const struct ddb_value *v, enum outlet_state *out);
EV_NODISCARD ev_err ddb_value_time(const struct ddb_value *v, int64_t *out_ns); /* facts 1.3 */
EV_NODISCARD ev_err ddb_value_bool(const struct ddb_value *v, bool *out);
EV_NODISCARD ev_err ddb_value_i64(const struct ddb_value *v, int64_t *out); /* fraction cut off */
EV_NODISCARD ev_err ddb_value_u64(const struct ddb_value *v, uint64_t *out);
/* The number times 10^scale, rounded to the nearest, halves away from zero. */
EV_NODISCARD ev_err ddb_value_scaled(const struct ddb_value *v, unsigned scale, int64_t *out);

#define DDB_SCALE_KWH 6 /* kWh to mWh */
#define DDB_SCALE_W 3   /* W to mW */

/* A number as it was read, in one form whatever its text was: `123E-2`.  For conditions. */
#define DDB_NUMBER_MAX 48
struct ddb_number {
	uint8_t n; /* 0: none */
	char s[DDB_NUMBER_MAX];
};
EV_NODISCARD ev_err ddb_value_number(const struct ddb_value *v, struct ddb_number *out);
static inline struct ev_str ddb_number_str(const struct ddb_number *d)
{
	return (struct ev_str){ d->s, d->n };
}

/* The same for a text that is a decimal: `[-+]digits[.digits][(e|E)[-+]digits]`. EV_INVALID. */
EV_NODISCARD ev_err ddb_decimal_scaled(struct ev_str s, unsigned scale, int64_t *out);

/* ---- writing ---- */

/* One attribute to write.  Names are literals, values borrowed. */
struct ddb_attr {
	const char *name;
	enum ddb_type type;  /* DDB_NONE: absent; else S, N, B, BOOL or SS */
	struct ev_str value; /* S, N: the text; B: the bytes */
	bool flag;
	const struct ev_str *set; /* SS */
	unsigned n_set;
};

/* All attributes of one row, and room for the texts that were made for them. */
#define DDB_ATTRS_MAX 24
#define DDB_ATTRS_ROOM 6144
struct ddb_attrs {
	unsigned n;
	struct ddb_attr of[DDB_ATTRS_MAX];
	struct ev_buf room;
	char bytes[DDB_ATTRS_ROOM];
};

void ddb_attrs_init(struct ddb_attrs *a);
void ddb_attr_s(struct ddb_attrs *a, const char *name, struct ev_str s);
void ddb_attr_n(struct ddb_attrs *a, const char *name, struct ev_str digits);
void ddb_attr_b(struct ddb_attrs *a, const char *name, struct ev_str bytes);
/* Copies the bytes into the room. */
void ddb_attr_bytes(struct ddb_attrs *a, const char *name, const void *p, size_t n);
void ddb_attr_bool(struct ddb_attrs *a, const char *name, bool v);
void ddb_attr_ss(struct ddb_attrs *a, const char *name, const struct ev_str *set, unsigned n);
void ddb_attr_none(struct ddb_attrs *a, const char *name); /* absent: removed by an update */
void ddb_attr_uuid(struct ddb_attrs *a, const char *name, const struct ev_uuid *u);
void ddb_attr_time(struct ddb_attrs *a, const char *name, int64_t ns); /* S, ISO 8601 with Z */
void ddb_attr_u64(struct ddb_attrs *a, const char *name, uint64_t v);
void ddb_attr_i64(struct ddb_attrs *a, const char *name, int64_t v);
void ddb_attr_scaled(struct ddb_attrs *a, const char *name, int64_t v, unsigned scale);
/* NULL if there is none. */
const struct ddb_attr *ddb_attrs_find(const struct ddb_attrs *a, const char *name);

/* Bytes as DynamoDB counts them against its limits and prices. */
size_t ddb_item_size(const struct ddb_attrs *a);

void ddb_value_write(const struct ddb_attr *a, struct json_writer *w); /* `{"S":"…"}` */
void ddb_item_write(const struct ddb_attrs *a, struct json_writer *w); /* the item, a value */

/* `{"name":{"S":"<uuid>"}}`: the key of a row, a value. */
void ddb_key_write(const char *name, const struct ev_uuid *id, struct json_writer *w);

enum ddb_test { DDB_IF_EQUAL, DDB_IF_ABSENT, DDB_IF_PRESENT };

struct ddb_condition {
	enum ddb_test test;
	struct ddb_attr attr; /* for ABSENT and PRESENT the name alone */
};

/* What an update does, and if: all conditions must hold. */
#define DDB_CONDITIONS_MAX 8
struct ddb_change {
	unsigned n_set;
	struct ddb_attr set[DDB_ATTRS_MAX];
	unsigned n_remove;
	const char *remove[DDB_ATTRS_MAX];
	unsigned n_if;
	struct ddb_condition if_all[DDB_CONDITIONS_MAX];
};

void ddb_change_set(struct ddb_change *c, const struct ddb_attr *attr); /* DDB_NONE: removes it */
void ddb_change_if(struct ddb_change *c, enum ddb_test test, const struct ddb_attr *attr);
void ddb_change_if_absent(struct ddb_change *c, const char *name);
/* What `now` has otherwise than `was`, which lists the same names, but for the attribute `key`. */
void ddb_change_diff(struct ddb_change *c, const struct ddb_attrs *was, const struct ddb_attrs *now,
		     const char *key);
/* All there is in `now` but the key; with `remove` also takes away what `now` calls absent. */
void ddb_change_all(struct ddb_change *c, const struct ddb_attrs *now, const char *key,
		    bool remove);
/*
 * Writes the members UpdateExpression, ConditionExpression, ExpressionAttributeNames and -Values
 * into the object that is open, each only if it is needed.
 */
void ddb_change_write(const struct ddb_change *c, struct json_writer *w);

#endif
