/* faults.c — the cloud, what goes wrong in it, and who comes in between. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/time.h"
#include "codec/json_read.h"
#include "simaws/sim.h"

#define RACE_PERCENT 20

/* --- races --- */

static void race(void *user, const struct cloud_attempt *a)
{
	struct sim *s = user;
	struct sim_process *p;

	(void)a;
	if (!s->racy || s->calm || !s->in_turn || !sim_chance(s, RACE_PERCENT))
		return;
	p = &s->processes[sim_below(s, SIM_PROCESSES)];
	s->reached->races++;
	process_turn(p, (enum sim_part)sim_below(s, PART_COUNT));
}

void faults_open(struct sim *s)
{
	struct cloud_config config = {
		.clock = &s->clock,
		.seed = s->seed ^ 0xc10d,
		.race = race,
		.race_depth = 2,
		.user = s,
	};

	sim_must(s, aws_resources_init(&s->names, EV_LIT(AWS_PREFIX_DEFAULT)) == EV_OK, "names");
	s->cloud = cloud_new(&config);
	cloud_set_faults(s->cloud, false);
	cloud_provision(s->cloud, &s->names);
}

/* --- rates, per million attempts --- */

void faults_draw(struct sim *s)
{
	static const unsigned scales[] = { 0, 1, 4, 12, 30 };
	static const struct {
		enum cloud_fault fault;
		unsigned rate;
	} rates[] = {
		{ CLOUD_THROTTLED, 3000 },     { CLOUD_SERVER_ERROR, 3000 },
		{ CLOUD_LOST_REQUEST, 2000 },  { CLOUD_LOST_ANSWER, 3000 },
		{ CLOUD_PARTIAL, 4000 },       { CLOUD_DUPLICATE, 6000 },
		{ CLOUD_STALE, 5000 },         { CLOUD_EXPIRED_ITERATOR, 3000 },
		{ CLOUD_EXPIRED_TOKEN, 1000 }, { CLOUD_DENIED, 300 },
		{ CLOUD_GARBAGE, 500 },        { CLOUD_DIES_BEFORE, 150 },
		{ CLOUD_DIES_AFTER, 150 },
	};
	unsigned scale = scales[sim_below(s, EV_ARRAY_LEN(scales))];

	for (size_t i = 0; i < EV_ARRAY_LEN(rates); i++)
		cloud_set_rate(s->cloud, rates[i].fault, rates[i].rate * scale);
	cloud_set_index_lag(s->cloud,
			    sim_chance(s, 50) ? (int64_t)sim_below(s, 3 * EV_NS_PER_S) : 0);
	if (s->slow)
		cloud_set_delay(s->cloud, (int64_t)sim_below(s, 400 * EV_NS_PER_MS));
	cloud_set_faults(s->cloud, true);
	sim_trace(s, "faults times %u", scale);
}

/* --- by the test's own hand --- */

static bool by_hand(struct sim *s, enum aws_service service, const char *operation,
		    const char *body, struct ev_str *answer)
{
	return cloud_do(s->cloud, service, operation, body, answer) == EV_OK;
}

__extension__ typedef unsigned __int128 hash_key;

struct open_shard {
	char id[64];
	hash_key from, to;
};

static bool text_after(struct ev_str in, const char *key, char *out, size_t cap)
{
	const char *at = memmem(in.p, in.n, key, strlen(key));
	size_t n = 0;

	if (at == NULL)
		return false;
	at += strlen(key);
	while (at < in.p + in.n && *at != '"' && n + 1 < cap)
		out[n++] = *at++;
	out[n] = '\0';
	return true;
}

static hash_key key_of(const char *digits)
{
	hash_key k = 0;

	for (; *digits != '\0'; digits++)
		k = k * 10 + (unsigned)(*digits - '0');
	return k;
}

static void key_text(hash_key k, char out[48])
{
	char back[48];
	size_t n = 0, i = 0;

	do {
		back[n++] = (char)('0' + (unsigned)(k % 10));
		k /= 10;
	} while (k > 0);
	while (n > 0)
		out[i++] = back[--n];
	out[i] = '\0';
}

static size_t open_shards(struct sim *s, struct open_shard *out, size_t max)
{
	char body[200];
	struct json_reader r;
	struct ev_str answer, key, shard;
	size_t n = 0;
	bool more = false;

	(void)snprintf(body, sizeof(body), "{\"StreamName\":\"%s\"}", s->names.event_stream);
	if (!by_hand(s, AWS_KINESIS, "ListShards", body, &answer))
		return 0;
	key.p = memmem(answer.p, answer.n, "\"Shards\":", 9);
	assert(key.p != NULL);
	json_read_init(&r, (struct ev_str){ key.p + 9, (size_t)(answer.p + answer.n - key.p - 9) },
		       NULL);
	if (json_read_array(&r) != EV_OK)
		return 0;
	while (n < max && json_read_item(&r, &more) == EV_OK && more &&
	       json_skip(&r, &shard) == EV_OK) {
		char from[48], to[48];

		if (memmem(shard.p, shard.n, "EndingSequenceNumber", 20) != NULL)
			continue;
		if (text_after(shard, "\"ShardId\":\"", out[n].id, sizeof(out[n].id)) &&
		    text_after(shard, "\"StartingHashKey\":\"", from, sizeof(from)) &&
		    text_after(shard, "\"EndingHashKey\":\"", to, sizeof(to))) {
			out[n].from = key_of(from);
			out[n].to = key_of(to);
			n++;
		}
	}
	return n;
}

static bool split(struct sim *s, const struct open_shard *shard)
{
	char middle[48], body[400];

	key_text(shard->from + (shard->to - shard->from) / 2, middle);
	(void)snprintf(body, sizeof(body),
		       "{\"StreamName\":\"%s\",\"ShardToSplit\":\"%.63s\","
		       "\"NewStartingHashKey\":\"%.47s\"}",
		       s->names.event_stream, shard->id, middle);
	return by_hand(s, AWS_KINESIS, "SplitShard", body, NULL);
}

static bool merge(struct sim *s, const struct open_shard *a, const struct open_shard *b)
{
	char body[400];

	(void)snprintf(body, sizeof(body),
		       "{\"StreamName\":\"%s\",\"ShardToMerge\":\"%.63s\","
		       "\"AdjacentShardToMerge\":\"%.63s\"}",
		       s->names.event_stream, a->id, b->id);
	return by_hand(s, AWS_KINESIS, "MergeShards", body, NULL);
}

void faults_reshard(struct sim *s)
{
	struct open_shard shards[32];
	size_t n = open_shards(s, shards, EV_ARRAY_LEN(shards));
	size_t i, k;
	bool done = false;

	if (n == 0)
		return;
	i = (size_t)sim_below(s, n);
	k = (size_t)sim_below(s, n);
	if (n < 8 && sim_chance(s, 60))
		done = split(s, &shards[i]);
	for (k = 0; !done && n > 2 && k < n; k++)
		done = shards[k].from == shards[i].to + 1 && shards[i].to + 1 != 0 &&
		       merge(s, &shards[i], &shards[k]);
	s->reached->reshards += done;
	sim_trace(s, "  resharding: %d", done);
}

static bool queue_url(struct sim *s, const char *queue, char *out, size_t cap)
{
	char body[200];
	struct ev_str answer;

	(void)snprintf(body, sizeof(body), "{\"QueueName\":\"%s\"}", queue);
	return by_hand(s, AWS_SQS, "GetQueueUrl", body, &answer) &&
	       text_after(answer, "\"QueueUrl\":\"", out, cap);
}

const char *faults_messages_url(struct sim *s)
{
	if (s->messages_url[0] == '\0')
		(void)queue_url(s, s->names.messages_in, s->messages_url, sizeof(s->messages_url));
	return s->messages_url;
}

static void poison_commands(struct sim *s)
{
	char url[300], body[600];

	if (!queue_url(s, s->names.commands_out, url, sizeof(url)))
		return;
	(void)snprintf(body, sizeof(body),
		       "{\"QueueUrl\":\"%s\",\"MessageBody\":\"no command %zu\"}", url,
		       s->n_poison_commands);
	if (by_hand(s, AWS_SQS, "SendMessage", body, NULL))
		s->n_poison_commands++;
}

static void poison_events(struct sim *s)
{
	char text[40], data[80], body[400];
	struct ev_buf b = ev_buf_over(data, sizeof(data) - 1);
	int n = snprintf(text, sizeof(text), "\xff no event %zu", s->n_poison_events);

	ev_base64_write(&b, text, (size_t)n);
	data[b.len] = '\0';
	(void)snprintf(body, sizeof(body),
		       "{\"StreamName\":\"%s\",\"PartitionKey\":\"p%llu\",\"Data\":\"%s\"}",
		       s->names.event_stream, (unsigned long long)sim_below(s, 1000), data);
	if (by_hand(s, AWS_KINESIS, "PutRecord", body, NULL))
		s->n_poison_events++;
}

void faults_poison(struct sim *s)
{
	s->reached->poison++;
	if (sim_chance(s, 50))
		poison_commands(s);
	else
		poison_events(s);
}
