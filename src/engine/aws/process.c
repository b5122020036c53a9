#include "engine/aws/process.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/time.h"

/* --- Words --- */

struct splitter {
	struct ev_str in;
	size_t at;
	char *room;
	size_t n; /* bytes in room: of each word no more than were read, its blank as a NUL */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Up to the closing quote. */
static bool quoted(struct splitter *s, char quote)
{
	while (s->at < s->in.n && s->in.p[s->at] != quote) {
		char c = s->in.p[s->at++];

		if (c == '\\' && quote == '"' && s->at < s->in.n &&
		    (s->in.p[s->at] == '\\' || s->in.p[s->at] == '"'))
			c = s->in.p[s->at++];
		s->room[s->n++] = c;
	}
	return s->at++ < s->in.n;
}

static bool word(struct splitter *s)
{
	while (s->at < s->in.n && !is_blank(s->in.p[s->at])) {
		char c = s->in.p[s->at++];

		if (c == '"' || c == '\'') {
			if (!quoted(s, c))
				return false;
			continue;
		}
		if (c == '\\') {
			if (s->at == s->in.n)
				return false;
			c = s->in.p[s->at++];
		}
		s->room[s->n++] = c;
	}
	s->room[s->n++] = '\0';
	return true;
}

ev_err aws_command_split(struct ev_str command, char room[AWS_COMMAND_MAX + 1],
			 char *words[AWS_WORDS_MAX + 1])
{
	struct splitter s = { .in = command, .room = room };
	size_t n = 0;

	if (command.n > AWS_COMMAND_MAX ||
	    (command.n > 0 && memchr(command.p, '\0', command.n) != NULL))
		return EV_INVALID;
	for (;;) {
		while (s.at < s.in.n && is_blank(s.in.p[s.at]))
			s.at++;
		if (s.at == s.in.n)
			break;
		if (n == AWS_WORDS_MAX)
			return EV_INVALID;
		words[n++] = room + s.n;
		if (!word(&s))
			return EV_INVALID;
	}
	words[n] = NULL;
	return n > 0 && words[0][0] != '\0' ? EV_OK : EV_INVALID;
}

/* --- Running --- */

struct child {
	pid_t pid;
	int pidfd;
	int out; /* the reading end of its output */
	char *buf;
	size_t n, max;
	bool ended;
	int64_t end_ns; /* monotonic */
};

/* A group of its own, to be killed with its children, and none of our signal masks. */
static int set_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int e;

	sigemptyset(&none);
	sigfillset(&all);
	e = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						   POSIX_SPAWN_SETSIGDEF);
	if (e == 0)
		e = posix_spawnattr_setpgroup(attr, 0);
	if (e == 0)
		e = posix_spawnattr_setsigmask(attr, &none);
	if (e == 0)
		e = posix_spawnattr_setsigdefault(attr, &all);
	return e;
}

static int set_files(posix_spawn_file_actions_t *files, int out)
{
	int e = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);

	if (e == 0)
		e = posix_spawn_file_actions_adddup2(files, out, 1);
	if (e == 0)
		e = posix_spawn_file_actions_addopen(files, 2, "/dev/null", O_WRONLY, 0);
	return e;
}

static int spawn(char *const words[], int out, pid_t *out_pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int e = posix_spawn_file_actions_init(&files);

	if (e != 0)
		return e;
	e = posix_spawnattr_init(&attr);
	if (e != 0) {
		(void)posix_spawn_file_actions_destroy(&files);
		return e;
	}
	e = set_attributes(&attr);
	if (e == 0)
		e = set_files(&files, out);
	if (e == 0)
		e = posix_spawnp(out_pid, words[0], &files, &attr, words, environ);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&files);
	return e;
}

/* One read; EV_CLOSED at the end of the output. */
static ev_err take_output(struct child *c)
{
	ssize_t got = read(c->out, c->buf + c->n, c->max + 1 - c->n);

	if (got < 0)
		return errno == EINTR || errno == EAGAIN ? EV_OK : EV_IO;
	if (got == 0)
		return EV_CLOSED;
	c->n += (size_t)got;
	return c->n > c->max ? EV_FULL : EV_OK;
}

static int left_ms(const struct child *c)
{
	int64_t left = c->end_ns - ev_clock_mono_ns(ev_clock_os());

	return left > 0 ? (int)(left / EV_NS_PER_MS) + 1 : 0;
}

/* Until its output has ended and it has, or the time is over. */
static ev_err attend(struct child *c)
{
	ev_err err = EV_OK;

	while (err == EV_OK && !(c->out < 0 && c->ended)) {
		struct pollfd fds[] = {
			{ .fd = c->out, .events = POLLIN },
			{ .fd = c->ended ? -1 : c->pidfd, .events = POLLIN },
		};
		int n = poll(fds, 2, left_ms(c));

		if (n < 0 && errno != EINTR)
			return EV_IO;
		if (n == 0)
			return EV_TIMEOUT;
		if (n < 0)
			continue;
		if (fds[0].revents != 0)
			err = take_output(c);
		if (err == EV_CLOSED) {
			(void)close(c->out);
			c->out = -1;
			err = EV_OK;
		}
		c->ended = c->ended || fds[1].revents != 0;
	}
	return err;
}

static ev_err reap(struct child *c, ev_err err, struct ev_fail *fail)
{
	int status = 0;

	if (err != EV_OK)
		(void)kill(-c->pid, SIGKILL);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (err == EV_TIMEOUT)
		return ev_fail_set(fail, err, 0, "credential_process did not end in time");
	if (err == EV_FULL)
		return ev_fail_set(fail, err, 0, "credential_process printed too much");
	if (err != EV_OK)
		return ev_fail_set(fail, err, 0, "credential_process cannot be read");
	if (WIFSIGNALED(status))
		return ev_fail_set(fail, EV_DENIED, 0, "credential_process ended by signal %d",
				   WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return ev_fail_set(fail, EV_DENIED, 0, "credential_process ended with status %d",
				   WEXITSTATUS(status));
	return EV_OK;
}

static ev_err start(struct child *c, char *const words[], struct ev_fail *fail)
{
	int ends[2];
	int e;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return ev_fail_set(fail, EV_IO, errno, "credential_process: no pipe");
	e = spawn(words, ends[1], &c->pid);
	(void)close(ends[1]);
	c->out = ends[0];
	if (e != 0)
		return ev_fail_set(fail, e == ENOENT ? EV_NOTFOUND : EV_IO, e,
				   "credential_process cannot be started: %s", strerror(e));
	c->pidfd = pidfd_open(c->pid, 0);
	if (c->pidfd >= 0)
		return EV_OK;
	e = errno;
	(void)reap(c, EV_IO, NULL);
	return ev_fail_set(fail, EV_IO, e, "credential_process cannot be watched");
}

ev_err aws_process_run(struct ev_str command, size_t max, int timeout_ms, char **out, size_t *out_n,
		       struct ev_fail *fail)
{
	char room[AWS_COMMAND_MAX + 1];
	char *words[AWS_WORDS_MAX + 1];
	struct child c = { .out = -1, .pidfd = -1, .max = max };
	ev_err err = aws_command_split(command, room, words);

	if (err != EV_OK)
		return ev_fail_set(fail, err, 0, "credential_process is no command");
	c.end_ns = ev_clock_mono_ns(ev_clock_os()) + timeout_ms * EV_NS_PER_MS;
	c.buf = malloc(max + 1);
	if (c.buf == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	err = start(&c, words, fail);
	if (err == EV_OK)
		err = reap(&c, attend(&c), fail);
	if (c.out >= 0)
		(void)close(c.out);
	if (c.pidfd >= 0)
		(void)close(c.pidfd);
	if (err == EV_OK) {
		*out = c.buf;
		*out_n = c.n;
		return EV_OK;
	}
	OPENSSL_cleanse(c.buf, max + 1);
	free(c.buf);
	return err;
}
