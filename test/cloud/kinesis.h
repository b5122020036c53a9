/* test/cloud/kinesis.h — streams in memory. */
#ifndef EV_TEST_CLOUD_KINESIS_H
#define EV_TEST_CLOUD_KINESIS_H

#include "cloud/internal.h"

#define SEQUENCE_DIGITS 56
#define NO_SHARD SIZE_MAX

__extension__ typedef unsigned __int128 hash_key;

struct record {
	char sequence[SEQUENCE_DIGITS + 1];
	struct ev_str key;
	struct ev_str data;
	int64_t at_ns;   /* wall */
	int64_t mono_ns; /* it is kept for the stream's retention from here */
	struct pool pool;
};

struct shard {
	char id[24];
	hash_key low, high;
	size_t parent, adjacent; /* places in the stream, or NO_SHARD */
	char first[SEQUENCE_DIGITS + 1];
	char last[SEQUENCE_DIGITS + 1]; /* of a closed one */
	int64_t opened_ns, closed_ns;   /* wall; closed 0: open */
	int64_t closed_mono_ns;
	struct record **records;
	size_t n, cap;
};

struct stream {
	struct stream *next;
	uint64_t id;
	struct ev_str name;
	struct shard *shards;
	size_t n;
	int64_t retention_h;
	bool on_demand;
	int64_t created_ns; /* wall */
	struct pool pool;
};

/* --- kinesis_stream.c --- */

struct stream *stream_find(struct cloud *c, struct ev_str name);
/* By StreamName or StreamARN. */
bool stream_of(struct request *r, struct stream **out);
struct shard *shard_open(struct cloud *c, struct stream *s, hash_key low, hash_key high,
			 size_t parent, size_t adjacent);
void shard_close(struct cloud *c, struct shard *sh);
/* By id; ResourceNotFoundException, also if it closed so long ago that it has gone. */
bool shard_of(struct request *r, struct stream *s, struct ev_str id, size_t *out);
bool shard_is_gone(struct cloud *c, const struct stream *s, const struct shard *sh);
/* The place of the first record that is still kept. */
size_t shard_horizon(struct cloud *c, const struct stream *s, const struct shard *sh);
void sequence_next(struct cloud *c, char out[SEQUENCE_DIGITS + 1]);

/* Decimal; false: none, or 2^128 and above. */
bool hash_key_parse(struct ev_str s, hash_key *out);
void hash_key_write(struct json_writer *w, hash_key k); /* as a string */

/* --- The operations --- */

request_fn kinesis_create, kinesis_delete, kinesis_summary, kinesis_list_streams,
	kinesis_list_shards, kinesis_split, kinesis_merge, kinesis_set_retention, kinesis_iterator,
	kinesis_get, kinesis_put, kinesis_put_batch;

#endif
