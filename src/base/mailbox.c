#include "base/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"

void ev_list_push(struct ev_list *l, struct ev_node *node)
{
	node->next = NULL;
	if (l->last != NULL)
		l->last->next = node;
	else
		l->first = node;
	l->last = node;
	l->n++;
}

struct ev_node *ev_list_pop(struct ev_list *l)
{
	struct ev_node *node = l->first;

	if (node == NULL)
		return NULL;
	l->first = node->next;
	if (l->first == NULL)
		l->last = NULL;
	l->n--;
	node->next = NULL;
	return node;
}

void ev_list_join(struct ev_list *a, struct ev_list *b)
{
	if (b->first == NULL)
		return;
	if (a->last != NULL)
		a->last->next = b->first;
	else
		a->first = b->first;
	a->last = b->last;
	a->n += b->n;
	*b = (struct ev_list){ .first = NULL };
}

/* The default mutex fails only when it is misused. */
static void lock(struct ev_mailbox *mb)
{
	int failed = pthread_mutex_lock(&mb->lock);

	assert(failed == 0);
}

static void unlock(struct ev_mailbox *mb)
{
	int failed = pthread_mutex_unlock(&mb->lock);

	assert(failed == 0);
}

/* Waits are measured on the monotonic clock: setting the time of day must not stretch them. */
static bool init_condition(pthread_cond_t *some)
{
	pthread_condattr_t attr;
	bool ok;

	if (pthread_condattr_init(&attr) != 0)
		return false;
	ok = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
	     pthread_cond_init(some, &attr) == 0;
	pthread_condattr_destroy(&attr);
	return ok;
}

ev_err ev_mailbox_init(struct ev_mailbox *mb, size_t max, unsigned flags)
{
	ev_err e = EV_NOMEM;

	*mb = (struct ev_mailbox){ .max = max, .fd = -1 };
	if (pthread_mutex_init(&mb->lock, NULL) != 0)
		return EV_NOMEM;
	if (!init_condition(&mb->some))
		goto err_mutex;
	if (flags & EV_MAILBOX_EVENTFD) {
		mb->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (mb->fd < 0) {
			e = EV_IO;
			goto err_condition;
		}
	}
	return EV_OK;

err_condition:
	pthread_cond_destroy(&mb->some);
err_mutex:
	pthread_mutex_destroy(&mb->lock);
	return e;
}

void ev_mailbox_deinit(struct ev_mailbox *mb)
{
	assert(mb->list.first == NULL);
	if (mb->fd >= 0)
		close(mb->fd);
	pthread_cond_destroy(&mb->some);
	pthread_mutex_destroy(&mb->lock);
}

/* With the lock held, so that the descriptor is readable exactly while there is something. */
static void wake(struct ev_mailbox *mb)
{
	pthread_cond_signal(&mb->some);
	if (mb->fd >= 0) {
		int failed = eventfd_write(mb->fd, 1);

		assert(failed == 0 || errno == EAGAIN); /* EAGAIN: readable for long */
	}
}

ev_err ev_mailbox_post(struct ev_mailbox *mb, struct ev_list *list)
{
	ev_err e = EV_OK;

	if (list->first == NULL)
		return EV_OK;
	lock(mb);
	if (mb->closed) {
		e = EV_CLOSED;
	} else if (mb->max > 0 && list->n > mb->max - mb->list.n) {
		e = EV_FULL;
	} else {
		bool was_empty = mb->list.first == NULL;

		ev_list_join(&mb->list, list);
		if (was_empty)
			wake(mb);
	}
	unlock(mb);
	return e;
}

static struct timespec deadline_after(int64_t ns)
{
	struct timespec t;
	int failed = clock_gettime(CLOCK_MONOTONIC, &t);

	assert(failed == 0);
	t.tv_sec += ns / EV_NS_PER_S;
	t.tv_nsec += ns % EV_NS_PER_S;
	if (t.tv_nsec >= EV_NS_PER_S) {
		t.tv_nsec -= EV_NS_PER_S;
		t.tv_sec++;
	}
	return t;
}

/* With the lock held: waits until something is there, the box is closed or the time is over. */
static void wait_for_some(struct ev_mailbox *mb, int64_t timeout_ns)
{
	struct timespec deadline = deadline_after(timeout_ns > 0 ? timeout_ns : 0);
	int status = 0;

	while (mb->list.first == NULL && !mb->closed && status != ETIMEDOUT) {
		if (timeout_ns < 0)
			status = pthread_cond_wait(&mb->some, &mb->lock);
		else
			status = pthread_cond_timedwait(&mb->some, &mb->lock, &deadline);
	}
}

ev_err ev_mailbox_take(struct ev_mailbox *mb, int64_t timeout_ns, struct ev_list *out)
{
	ev_err e = EV_OK;

	lock(mb);
	if (mb->list.first == NULL && timeout_ns != 0)
		wait_for_some(mb, timeout_ns);
	if (mb->list.first == NULL)
		e = mb->closed ? EV_CLOSED : EV_TIMEOUT;
	ev_list_join(out, &mb->list);
	/* Once closed it stays readable, so that no loop misses the end. */
	if (mb->fd >= 0 && !mb->closed) {
		eventfd_t count;

		(void)!eventfd_read(mb->fd, &count); /* EAGAIN: it was not readable */
	}
	unlock(mb);
	return e;
}

void ev_mailbox_close(struct ev_mailbox *mb)
{
	lock(mb);
	mb->closed = true;
	wake(mb);
	unlock(mb);
}

int ev_mailbox_fd(const struct ev_mailbox *mb)
{
	return mb->fd;
}

size_t ev_mailbox_len(struct ev_mailbox *mb)
{
	size_t n;

	lock(mb);
	n = mb->list.n;
	unlock(mb);
	return n;
}
