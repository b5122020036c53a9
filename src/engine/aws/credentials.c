#include "engine/aws/credentials.h"

#include <pthread.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/time.h"
#include "engine/aws/sources.h"

#define ADVISORY_NS (15 * EV_NS_PER_MIN)
#define MANDATORY_NS (10 * EV_NS_PER_MIN)
#define AFTER_FAILURE_NS (5 * EV_NS_PER_S)
#define AFTER_SUCCESS_NS (60 * EV_NS_PER_S) /* for keys that are short-lived from the start */
#define SERVE_ON_NS (15 * EV_NS_PER_MIN) /* and 2 to 10 minutes more, so that not all ask at once */

struct aws_credentials {
	pthread_mutex_t lock;
	pthread_cond_t fetched;
	struct aws_sources sources; /* the fetching thread's alone */
	struct ev_clock *clock;
	const struct aws_keys *keys; /* NULL: none yet */
	int64_t expires_ns;          /* of keys, or later, see serve_on() */
	int64_t next_ns;   /* monotonic: no fetch before, unless there are no valid keys */
	int64_t reject_ns; /* monotonic: rejections before are not heard */
	bool fetching;
	bool rejected;
	uint64_t n_fetched, n_failed, n_rejected;
	struct ev_fail last;
};

static void destroy(struct aws_credentials *c)
{
	aws_keys_unref(c->keys);
	aws_http_free(c->sources.http);
	aws_http_free(c->sources.direct);
	OPENSSL_cleanse(&c->sources, sizeof(c->sources)); /* the instance's token */
	free(c);
}

ev_err aws_credentials_new(const struct aws_credentials_config *config,
			   struct aws_credentials **out)
{
	struct aws_http_config net = { .max_in_flight = 1, .ca_file = config->ca_file };
	struct aws_http_config near = { .max_in_flight = 1,
					.ca_file = config->ca_file,
					.direct = true };
	struct aws_credentials *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return EV_NOMEM;
	c->clock = config->clock;
	c->sources = (struct aws_sources){
		.env = config->env,
		.profile = config->profile,
		.clock = config->clock,
		.rng = config->rng,
		.pause = config->pause,
		.container_base = config->container_base,
	};
	if (aws_http_new(&net, &c->sources.http) != EV_OK ||
	    aws_http_new(&near, &c->sources.direct) != EV_OK ||
	    pthread_mutex_init(&c->lock, NULL) != 0) {
		destroy(c);
		return EV_NOMEM;
	}
	if (pthread_cond_init(&c->fetched, NULL) != 0) {
		(void)pthread_mutex_destroy(&c->lock);
		destroy(c);
		return EV_NOMEM;
	}
	*out = c;
	return EV_OK;
}

void aws_credentials_free(struct aws_credentials *c)
{
	if (c == NULL)
		return;
	(void)pthread_cond_destroy(&c->fetched);
	(void)pthread_mutex_destroy(&c->lock);
	destroy(c);
}

/* All below: under the lock. */

static int64_t left_ns(const struct aws_credentials *c)
{
	return c->expires_ns == AWS_NEVER ? AWS_NEVER : c->expires_ns - ev_clock_wall_ns(c->clock);
}

static bool is_valid(const struct aws_credentials *c)
{
	return c->keys != NULL && !c->rejected && left_ns(c) > 0;
}

static bool is_due(const struct aws_credentials *c)
{
	return !is_valid(c) || left_ns(c) < ADVISORY_NS;
}

/*
 * An instance whose metadata service is ill hands out old keys, or none; what it handed out last is
 * then accepted by the services for longer than it says.
 */
static void serve_on(struct aws_credentials *c)
{
	int64_t more = SERVE_ON_NS + 2 * EV_NS_PER_MIN;

	if (c->keys == NULL || c->keys->source != AWS_SOURCE_INSTANCE || c->rejected ||
	    left_ns(c) >= ADVISORY_NS)
		return;
	more += (int64_t)ev_rng_below(c->sources.rng, (uint64_t)(8 * EV_NS_PER_MIN));
	c->expires_ns = ev_clock_wall_ns(c->clock) + more;
}

static ev_err take(struct aws_credentials *c, const struct aws_keys *keys, struct ev_fail *fail)
{
	bool is_old = keys->expires_ns != AWS_NEVER &&
		      keys->expires_ns <= ev_clock_wall_ns(c->clock);

	if (is_old && keys->source != AWS_SOURCE_INSTANCE) {
		ev_fail_set(fail, EV_INVALID, 0, "the keys (%s) had expired when they were fetched",
			    aws_source_text(keys->source));
		aws_keys_unref(keys);
		return EV_INVALID;
	}
	aws_keys_unref(c->keys);
	c->keys = keys;
	c->expires_ns = keys->expires_ns;
	c->rejected = false;
	c->last.code = EV_OK;
	c->last.text[0] = '\0';
	c->n_fetched++;
	c->next_ns = ev_clock_mono_ns(c->clock) + AFTER_SUCCESS_NS;
	serve_on(c);
	return EV_OK;
}

static void note_failure(struct aws_credentials *c, const struct ev_fail *fail)
{
	c->n_failed++;
	c->last = *fail;
	c->next_ns = ev_clock_mono_ns(c->clock) + AFTER_FAILURE_NS;
	serve_on(c);
}

static void fetch(struct aws_credentials *c)
{
	const struct aws_keys *keys = NULL;
	struct ev_fail fail = { .code = EV_IO };
	ev_err err;

	c->fetching = true;
	(void)pthread_mutex_unlock(&c->lock);
	err = aws_sources_fetch(&c->sources, &keys, &fail);
	(void)pthread_mutex_lock(&c->lock);
	c->fetching = false;
	if (err == EV_OK)
		err = take(c, keys, &fail);
	if (err != EV_OK) {
		fail.code = err;
		note_failure(c, &fail);
	}
	(void)pthread_cond_broadcast(&c->fetched);
}

static ev_err give(struct aws_credentials *c, const struct aws_keys **out, struct ev_fail *fail)
{
	if (is_valid(c)) {
		*out = aws_keys_ref(c->keys);
		return EV_OK;
	}
	if (fail != NULL)
		*fail = c->last;
	return c->last.code;
}

/* Whether this caller has nothing to wait for: keys that serve, or a failure that stands. */
static bool is_settled(const struct aws_credentials *c)
{
	if (!is_due(c))
		return true;
	if (ev_clock_mono_ns(c->clock) < c->next_ns)
		return is_valid(c) || (c->last.code != EV_OK && !c->fetching);
	return c->fetching && is_valid(c) && left_ns(c) >= MANDATORY_NS;
}

ev_err aws_credentials_get(struct aws_credentials *c, const struct aws_keys **out,
			   struct ev_fail *fail)
{
	ev_err err;

	(void)pthread_mutex_lock(&c->lock);
	while (!is_settled(c)) {
		if (c->fetching) {
			(void)pthread_cond_wait(&c->fetched, &c->lock);
			continue;
		}
		fetch(c);
		if (c->last.code != EV_OK || is_valid(c))
			break;
	}
	err = give(c, out, fail);
	(void)pthread_mutex_unlock(&c->lock);
	return err;
}

void aws_credentials_reject(struct aws_credentials *c, const struct aws_keys *keys)
{
	int64_t now = ev_clock_mono_ns(c->clock);

	(void)pthread_mutex_lock(&c->lock);
	if (keys == c->keys && !c->rejected && now >= c->reject_ns) {
		c->rejected = true;
		c->n_rejected++;
		c->reject_ns = now + AFTER_FAILURE_NS;
		c->next_ns = now;
	}
	(void)pthread_mutex_unlock(&c->lock);
}

void aws_credentials_state(struct aws_credentials *c, struct aws_credentials_state *out)
{
	(void)pthread_mutex_lock(&c->lock);
	*out = (struct aws_credentials_state){
		.has_keys = is_valid(c),
		.source = c->keys != NULL ? c->keys->source : AWS_SOURCE_ENVIRONMENT,
		.expires_ns = c->expires_ns,
		.n_fetched = c->n_fetched,
		.n_failed = c->n_failed,
		.n_rejected = c->n_rejected,
		.last = c->last,
	};
	(void)pthread_mutex_unlock(&c->lock);
}
