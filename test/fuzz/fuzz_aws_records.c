/* fuzz_aws_records.c — answers of Kinesis and of the lease table, whatever is in them. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "engine/aws/shard_reader.h"

#define KINDS 5

struct kept {
	struct shard_record *of[64];
	size_t n;
};

/* Some are done at once, as soon as the answer is through; the rest stays out. */
static void give(void *user, struct shard_record *r)
{
	struct kept *k = user;

	CHECK(r->state == SHARD_RECORD_OUT);
	CHECK(r->through.kind == LEASE_SEQUENCE);
	if (k->n < 64)
		k->of[k->n++] = r;
}

static void read_records(struct ev_str answer)
{
	struct ev_rng_seeded rng;
	struct shard_counts counts = { .records = 0 };
	struct kept kept = { .n = 0 };
	struct shard_reader_config config = { .stream = "s",
					      .from = INITIATOR_APP_BACKEND,
					      .limit = 10,
					      .max_in_hand = 10,
					      .idle_ns = 1,
					      .rng = &rng.base,
					      .counts = &counts,
					      .give = give,
					      .user = &kept };
	struct lease_checkpoint from = { .kind = LEASE_SEQUENCE, .sequence = "5" };
	struct aws_call call = { .answer = answer };
	struct shard_reader r;

	ev_rng_seeded_init(&rng, 1);
	CHECK(shard_reader_init(&r, &config, "shard", &from) == EV_OK);
	for (unsigned round = 0; round < 2; round++) {
		uint64_t before = counts.records;

		(void)!shard_reader_take(&r, SHARD_WANT_RECORDS, &call, 1);
		CHECK(round == 0 || counts.records == before); /* nothing is taken twice */
	}
	for (size_t i = 0; i < kept.n && i < 64; i++)
		shard_reader_done(&r, kept.of[i]);
	CHECK(kept.n == 64 || r.window.first == NULL);
	shard_reader_deinit(&r);
}

static void on_shard(void *user, const struct lease_shard *s)
{
	(void)user;
	CHECK(s->id[0] != '\0' && s->n_parents <= LEASE_SHARD_PARENTS);
}

static void on_row(void *user, const struct lease_row *row)
{
	CHECK(leases_scan_row(user, row, 1) == EV_OK);
}

static void read_rows(struct ev_str answer)
{
	struct lease_step steps[4];
	struct shard_token next;
	struct leases l;
	size_t bad = 0;

	CHECK(leases_init(&l, EV_LIT("me"), 10, 100) == EV_OK);
	leases_scan_begin(&l);
	(void)!lease_scan_read(answer, on_row, &l, &bad, &next);
	leases_scan_end(&l);
	CHECK(leases_plan(&l, 200, 1, steps, 4) == 0); /* no shard is listed */
	leases_deinit(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ev_str answer;
	struct shard_token token;
	struct lease_row row;

	if (size == 0)
		return 0;
	answer = (struct ev_str){ (const char *)data + 1, size - 1 };
	switch (data[0] % KINDS) {
	case 0:
		read_records(answer);
		break;
	case 1:
		(void)!shard_list_read(answer, on_shard, NULL, &token);
		break;
	case 2:
		(void)!shard_iterator_read(answer, &token);
		break;
	case 3:
		read_rows(answer);
		break;
	default:
		(void)!lease_get_read(answer, &row);
		break;
	}
	return 0;
}
