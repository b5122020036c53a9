/*
 * test/contract/gen.h — rows as they occur, made from a seed: every member in use, texts up to
 * their limits, tags empty, of 64 bytes and in UTF-8.  What a row calls absent is zero, as engines
 * load it.
 */
#ifndef EV_TEST_CONTRACT_GEN_H
#define EV_TEST_CONTRACT_GEN_H

#include "port/query.h"
#include "port/store.h"

struct gen {
	uint64_t state;
	bool full; /* every optional part present, every list and text at its limit */
};

uint64_t gen_u64(struct gen *g);
uint64_t gen_below(struct gen *g, uint64_t n); /* 0..n-1 */
bool gen_bool(struct gen *g);
int64_t gen_time(struct gen *g);

/* The same for the same kind and number. */
struct ev_uuid id_of(char kind, uint64_t n);
struct identity identity_of(char kind, uint64_t n);

struct rfid_tag gen_tag(struct gen *g);
void gen_text(struct gen *g, char *out, size_t cap);
struct outlet gen_outlet(struct gen *g, const struct ev_uuid *id, uint64_t version);
struct outlet_info gen_info(struct gen *g);
struct session gen_session(struct gen *g, const struct ev_uuid *id, uint64_t version);
struct customer gen_customer(struct gen *g, const struct ev_uuid *id, uint64_t version);
struct charging_event gen_event(struct gen *g, const struct ev_uuid *outlet_id);
struct device_command gen_command(struct gen *g, const struct ev_uuid *outlet_id, uint64_t version,
				  unsigned index);
struct unassigned_item gen_item(struct gen *g, const struct identity *id,
				const struct ev_uuid *outlet_id);
struct outlet_input gen_input(struct gen *g, enum outlet_input_kind kind);
struct parked_input gen_parked(struct gen *g, const struct identity *id,
			       const struct ev_uuid *outlet_id, enum outlet_input_kind kind);
/* Its body is borrowed from a constant. */
struct dead_letter gen_dead_letter(struct gen *g, const struct identity *id);

#endif
