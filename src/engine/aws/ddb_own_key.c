/* engine/aws/ddb_own_key.c — keys of our own table's items; see ddb_own.h. */
#include <assert.h>

#include "base/hash.h"
#include "engine/aws/ddb_own.h"
#include "engine/aws/resources.h"

#define DIGITS 20 /* of a time or a version in a key */

/* The parts of a key's text, into its memory. */
static struct ev_buf over(char text[OWN_KEY_MAX])
{
	return ev_buf_over(text, OWN_KEY_MAX - 1);
}

static void end(struct ev_buf *b)
{
	assert(!b->overflow);
	b->p[b->len] = '\0';
}

static void add_uuid(struct ev_buf *b, const struct ev_uuid *u)
{
	char text[EV_UUID_TEXT + 1];

	ev_uuid_text(u, text);
	ev_buf_z(b, text);
}

static void add_identity(struct ev_buf *b, const struct identity *id)
{
	char text[2 * sizeof(id->b) + 1];

	ev_hex(id->b, sizeof(id->b), text);
	ev_buf_z(b, text);
}

static void add_padded(struct ev_buf *b, uint64_t v)
{
	char digits[DIGITS];

	for (size_t i = DIGITS; i > 0; v /= 10)
		digits[--i] = (char)('0' + v % 10);
	ev_buf_bytes(b, digits, sizeof(digits));
}

void own_time_text(int64_t ns, char out[DIGITS + 1])
{
	struct ev_buf b = ev_buf_over(out, DIGITS);

	add_padded(&b, ns > 0 ? (uint64_t)ns : 0);
	out[DIGITS] = '\0';
}

void own_index_key(int64_t at, const struct ev_uuid *uuid, const struct identity *id,
		   char out[OWN_KEY_MAX])
{
	struct ev_buf b = over(out);

	add_padded(&b, at > 0 ? (uint64_t)at : 0);
	ev_buf_char(&b, '#');
	if (uuid != NULL)
		add_uuid(&b, uuid);
	else
		add_identity(&b, id);
	end(&b);
}

/* Prefix and an id as pk, sk as given. */
static struct own_key key_of(const char *prefix, const struct ev_uuid *uuid,
			     const struct identity *id, const char *sk)
{
	struct own_key k;
	struct ev_buf b = over(k.pk);

	ev_buf_z(&b, prefix);
	if (uuid != NULL)
		add_uuid(&b, uuid);
	else
		add_identity(&b, id);
	end(&b);
	b = over(k.sk);
	ev_buf_z(&b, sk);
	end(&b);
	return k;
}

/* The end of sk once more, to add to it. */
static struct ev_buf sk_of(struct own_key *k)
{
	struct ev_buf b = over(k->sk);

	b.len = strlen(k->sk);
	return b;
}

struct own_key own_block_key(const struct identity_block *block)
{
	struct own_key k = key_of(OWN_PK_OUTLET, &block->outlet_id, NULL, OWN_SK_IDS);
	struct ev_buf b = sk_of(&k);

	add_padded(&b, block->at_ns > 0 ? (uint64_t)block->at_ns : 0);
	ev_buf_char(&b, '#');
	add_identity(&b, &block->ids[0]);
	end(&b);
	return k;
}

struct own_key own_parked_key(const struct ev_uuid *outlet_id, const struct identity *id)
{
	struct own_key k = key_of(OWN_PK_OUTLET, outlet_id, NULL, OWN_SK_PARKED);
	struct ev_buf b = sk_of(&k);

	add_identity(&b, id);
	end(&b);
	return k;
}

struct own_key own_delivery_key(const struct ev_uuid *outlet_id)
{
	return key_of(OWN_PK_OUTLET, outlet_id, NULL, OWN_SK_DELIVERY);
}

struct own_key own_command_key(const struct ev_uuid *outlet_id, uint64_t version, unsigned index)
{
	struct own_key k = key_of(OWN_PK_OUTLET, outlet_id, NULL, OWN_SK_COMMAND);
	struct ev_buf b = sk_of(&k);

	assert(index < 100);
	add_padded(&b, version);
	ev_buf_char(&b, '#');
	ev_buf_char(&b, (char)('0' + index / 10));
	ev_buf_char(&b, (char)('0' + index % 10));
	end(&b);
	return k;
}

struct own_key own_unassigned_key(const struct identity *id)
{
	return key_of(OWN_PK_ITEM, NULL, id, OWN_SK_NONE);
}

struct own_key own_attachment_key(const struct identity *item_id)
{
	return key_of(OWN_PK_ATTACHED, NULL, item_id, OWN_SK_NONE);
}

struct own_key own_letter_key(const struct identity *id)
{
	return key_of(OWN_PK_LETTER, NULL, id, OWN_SK_NONE);
}

struct own_key own_claim_key(const struct rfid_tag *tag)
{
	struct own_key k = { .sk = OWN_SK_NONE };
	struct ev_buf b = over(k.pk);

	ev_buf_z(&b, OWN_PK_TAG);
	ev_buf_str_add(&b, rfid_tag_str(tag));
	end(&b);
	return k;
}

struct own_key own_live_key(const struct ev_uuid *outlet_id, const struct ev_uuid *session_id)
{
	struct own_key k = key_of(OWN_PK_LIVE, outlet_id, NULL, "");
	struct ev_buf b = sk_of(&k);

	add_uuid(&b, session_id);
	end(&b);
	return k;
}

struct own_key own_sweep_key(bool sessions)
{
	struct own_key outlets = { .pk = OWN_PK_SWEEP, .sk = OWN_SK_NONE };

	return sessions ? (struct own_key){ .pk = OWN_PK_SWEEP, .sk = OWN_SK_SESSIONS } : outlets;
}

void own_key_write(const struct own_key *key, struct json_writer *w)
{
	json_write_object(w);
	json_write_key(w, AWS_ITEM_PK);
	ddb_value_write(&(struct ddb_attr){ .type = DDB_S, .value = ev_str_from(key->pk) }, w);
	json_write_key(w, AWS_ITEM_SK);
	ddb_value_write(&(struct ddb_attr){ .type = DDB_S, .value = ev_str_from(key->sk) }, w);
	json_write_object_end(w);
}

static const struct {
	const char *pk;
	const char *sk;
} kinds[OWN_KIND_COUNT] = {
	[OWN_BLOCK] = { OWN_PK_OUTLET, OWN_SK_IDS },
	[OWN_PARKED] = { OWN_PK_OUTLET, OWN_SK_PARKED },
	[OWN_DELIVERY] = { OWN_PK_OUTLET, OWN_SK_DELIVERY },
	[OWN_COMMAND] = { OWN_PK_OUTLET, OWN_SK_COMMAND },
	[OWN_UNASSIGNED] = { OWN_PK_ITEM, OWN_SK_NONE },
	[OWN_ATTACHMENT] = { OWN_PK_ATTACHED, OWN_SK_NONE },
	[OWN_CLAIM] = { OWN_PK_TAG, OWN_SK_NONE },
	[OWN_LETTER] = { OWN_PK_LETTER, OWN_SK_NONE },
	[OWN_LIVE] = { OWN_PK_LIVE, "" },
	[OWN_SWEEP] = { OWN_PK_SWEEP, OWN_SK_NONE },
};

enum own_kind own_kind_of(struct ev_str pk, struct ev_str sk)
{
	unsigned i = 0;

	while (i < OWN_KIND_COUNT && !(ev_str_starts(pk, ev_str_from(kinds[i].pk)) &&
				       ev_str_starts(sk, ev_str_from(kinds[i].sk))))
		i++;
	return (enum own_kind)i;
}
