/* net/gateway_rate.c — see gateway_rate.h. */
#include "net/gateway_rate.h"

#include <stdatomic.h>
#include <stdlib.h>

#define SHARDS 64U

struct shard {
	pthread_mutex_t lock;
	struct ev_map rates; /* outletId → struct gateway_rate */
};

struct gateway_rates {
	struct shard shards[SHARDS];
	size_t n_shards; /* that are set up */
	size_t max;
	atomic_size_t n;
};

/* --- the shared ones --- */

static struct shard *shard_of(struct gateway_rates *r, const struct ev_uuid *id)
{
	return &r->shards[id->b[15] % SHARDS];
}

ev_err gateway_rates_new(uint32_t max_devices, struct ev_rng *rng, struct gateway_rates **out)
{
	struct gateway_rates *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return EV_NOMEM;
	r->max = max_devices;
	for (; r->n_shards < SHARDS; r->n_shards++) {
		struct shard *s = &r->shards[r->n_shards];
		uint64_t seed[2];

		if (pthread_mutex_init(&s->lock, NULL) != 0) {
			gateway_rates_free(r);
			return EV_NOMEM;
		}
		ev_rng_fill(rng, seed, sizeof(seed));
		ev_map_init(&s->rates, 0, seed);
	}
	*out = r;
	return EV_OK;
}

void gateway_rates_free(struct gateway_rates *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n_shards; i++) {
		ev_map_deinit(&r->shards[i].rates);
		(void)pthread_mutex_destroy(&r->shards[i].lock); /* nobody holds it */
	}
	free(r);
}

static struct gateway_rate *make(struct shard *s, const struct ev_uuid *id,
				 const struct gateway_bucket *fresh)
{
	struct gateway_rate *rate = calloc(1, sizeof(*rate));

	if (rate == NULL)
		return NULL;
	*rate = (struct gateway_rate){ .bucket = *fresh, .lock = &s->lock, .id = *id };
	if (ev_map_put(&s->rates, id->b, (uintptr_t)rate) == EV_OK)
		return rate;
	free(rate);
	return NULL;
}

/* Under the shard's lock. */
static struct gateway_rate *find_or_make(struct gateway_rates *r, struct shard *s,
					 const struct ev_uuid *id,
					 const struct gateway_bucket *fresh)
{
	struct gateway_rate *rate = NULL;
	uintptr_t value;

	if (ev_map_get(&s->rates, id->b, &value))
		return (struct gateway_rate *)value;
	if (atomic_fetch_add(&r->n, 1) < r->max)
		rate = make(s, id, fresh);
	if (rate == NULL)
		atomic_fetch_sub(&r->n, 1);
	return rate;
}

struct gateway_rate *gateway_rates_get(struct gateway_rates *r, const struct ev_uuid *id,
				       const struct gateway_bucket *fresh)
{
	struct shard *s = shard_of(r, id);
	struct gateway_rate *rate;

	pthread_mutex_lock(&s->lock);
	rate = find_or_make(r, s, id, fresh);
	if (rate != NULL)
		rate->holders++;
	pthread_mutex_unlock(&s->lock);
	return rate;
}

void gateway_rates_put(struct gateway_rates *r, struct gateway_rate *rate)
{
	struct shard *s = shard_of(r, &rate->id);
	bool last;

	pthread_mutex_lock(&s->lock);
	last = --rate->holders == 0;
	if (last)
		ev_map_remove(&s->rates, rate->id.b, NULL);
	pthread_mutex_unlock(&s->lock);
	if (last) {
		atomic_fetch_sub(&r->n, 1);
		free(rate);
	}
}

/* --- the bucket --- */

static void lock(struct gateway_rate *r)
{
	if (r->lock != NULL)
		pthread_mutex_lock(r->lock);
}

static void unlock(struct gateway_rate *r)
{
	if (r->lock != NULL)
		pthread_mutex_unlock(r->lock);
}

static int64_t full(const struct gateway_limits *l)
{
	return (int64_t)l->burst * 1000;
}

struct gateway_bucket gateway_bucket_full(const struct gateway_limits *l, int64_t now_ms)
{
	return (struct gateway_bucket){ .milli = full(l), .at_ms = now_ms };
}

static void take(struct gateway_bucket *b, const struct gateway_limits *l, int64_t now_ms)
{
	int64_t passed = now_ms - b->at_ms;

	/* Another loop's turn may have begun a little later than ours. */
	if (passed < 0)
		passed = 0;
	b->at_ms += passed;
	/* One message a second fills 1 milli-message a millisecond. */
	if (passed > full(l))
		passed = full(l);
	b->milli += passed * l->rate;
	if (b->milli > full(l))
		b->milli = full(l);
	b->milli -= 1000;
}

int64_t gateway_rate_take(struct gateway_rate *r, const struct gateway_limits *l, int64_t now_ms)
{
	int64_t missing;

	lock(r);
	take(&r->bucket, l, now_ms);
	missing = r->bucket.milli < 0 ? 1000 - r->bucket.milli : 0;
	unlock(r);
	return missing == 0 ? 0 : missing / l->rate + 1;
}

/* A batch may draw the bucket below zero once; the next one waits for it. */
static bool take_batch(struct gateway_bucket *b, const struct gateway_limits *l, size_t n,
		       int64_t now_ms)
{
	if (b->milli < 0) {
		take(b, l, now_ms);
		if (b->milli < 0) {
			b->milli += 1000;
			return false;
		}
	}
	for (size_t i = 0; i < n; i++)
		take(b, l, now_ms);
	return true;
}

bool gateway_rate_take_batch(struct gateway_rate *r, const struct gateway_limits *l, size_t n,
			     int64_t now_ms)
{
	bool taken;

	lock(r);
	taken = take_batch(&r->bucket, l, n, now_ms);
	unlock(r);
	return taken;
}

bool gateway_rate_matters(struct gateway_rate *r, const struct gateway_limits *l, int64_t keep_ms,
			  int64_t now_ms)
{
	bool matters;

	lock(r);
	matters = now_ms - r->bucket.at_ms < keep_ms && r->bucket.milli < full(l);
	unlock(r);
	return matters;
}
