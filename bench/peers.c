/* bench/peers.c — see peers.h. */
#include "peers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/time.h"
#include "bench.h"

#define EVENTS 512
#define READ_BYTES 65536
#define PER_ADDRESS 5000

static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };

void peers_init(struct peers *s, uint16_t port, const struct peers_ops *ops, void *user)
{
	*s = (struct peers){ .port = port, .ops = ops, .user = user };
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	bench_must(s->epoll >= 0, "epoll");
	(void)prctl(PR_SET_TIMERSLACK, 1000UL); /* or each wait is up to 50 µs too long */
}

static void watch(struct peers *s, struct peer *p, int op)
{
	struct epoll_event ev = { .data.ptr = p };

	if (!p->muted)
		ev.events |= EPOLLIN;
	if (p->unsent_n > 0 || p->state == PEER_CONNECTING)
		ev.events |= EPOLLOUT;
	bench_must(epoll_ctl(s->epoll, op, p->fd, &ev) == 0, "epoll_ctl");
}

/*
 * From another address of loopback for every few thousand connections: the kernel looks for a free
 * port of one address the longer, the more are taken.
 */
static void bind_source(struct peers *s, int fd)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	int one = 1;

	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(s->n_made++ / PER_ADDRESS % 100));
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	bench_must(bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0, "bind");
}

void peer_connect(struct peers *s, struct peer *p, const struct ev_uuid *outlet)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(s->port) };
	int one = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p->outlet = *outlet;
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bench_must(p->fd >= 0, "socket");
	(void)setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	bind_source(s, p->fd);
	bench_must(connect(p->fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS,
		   "connect");
	p->state = PEER_CONNECTING;
	s->n_opening++;
	watch(s, p, EPOLL_CTL_ADD);
}

static void forget(struct peers *s, struct peer *p)
{
	if (p->state == PEER_OPEN)
		s->n_open--;
	else if (p->state != PEER_CLOSED)
		s->n_opening--;
	if (p->fd >= 0)
		(void)close(p->fd);
	free(p->kept);
	free(p->unsent);
	*p = (struct peer){ .fd = -1, .state = PEER_CLOSED, .outlet = p->outlet };
}

void peer_drop(struct peers *s, struct peer *p)
{
	struct linger hard = { .l_onoff = 1 };

	if (p->state == PEER_CLOSED)
		return;
	(void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	forget(s, p);
}

static void lost(struct peers *s, struct peer *p)
{
	if (p->state == PEER_CLOSED)
		return;
	s->n_closed++;
	forget(s, p);
	s->ops->closed(s->user, p);
}

/* --- sending --- */

static void keep_unsent(struct peers *s, struct peer *p, const char *bytes, size_t n)
{
	char *grown = realloc(p->unsent, p->unsent_n + n);

	bench_must(grown != NULL, "memory");
	memcpy(grown + p->unsent_n, bytes, n);
	p->unsent = grown;
	p->unsent_n += (uint32_t)n;
	watch(s, p, EPOLL_CTL_MOD);
}

static void send_bytes(struct peers *s, struct peer *p, const char *bytes, size_t n)
{
	ssize_t sent = p->unsent_n == 0 ? send(p->fd, bytes, n, MSG_NOSIGNAL) : 0;

	/* A broken connection shows when it is read. */
	if (sent < 0)
		sent = errno == EAGAIN ? 0 : (ssize_t)n;
	if ((size_t)sent < n)
		keep_unsent(s, p, bytes + sent, n - (size_t)sent);
}

static void send_frame(struct peers *s, struct peer *p, unsigned opcode, struct ev_str payload)
{
	static char frame[READ_BYTES + 16];
	size_t at = 0;

	bench_must(payload.n < READ_BYTES, "a frame is too long");
	frame[at++] = (char)(0x80U | opcode);
	if (payload.n < 126) {
		frame[at++] = (char)(0x80U | payload.n);
	} else {
		frame[at++] = (char)(0x80U | 126U);
		frame[at++] = (char)(payload.n >> 8);
		frame[at++] = (char)(payload.n & 0xffU);
	}
	memcpy(frame + at, mask, sizeof(mask));
	at += sizeof(mask);
	for (size_t i = 0; i < payload.n; i++)
		frame[at + i] = (char)((uint8_t)payload.p[i] ^ mask[i & 3U]);
	send_bytes(s, p, frame, at + payload.n);
}

void peer_send(struct peers *s, struct peer *p, struct ev_str text)
{
	send_frame(s, p, 1, text);
}

static void send_unsent(struct peers *s, struct peer *p)
{
	ssize_t sent = send(p->fd, p->unsent, p->unsent_n, MSG_NOSIGNAL);

	if (sent < 0 && errno == EAGAIN)
		return;
	if (sent < 0) {
		lost(s, p);
		return;
	}
	p->unsent_n -= (uint32_t)sent;
	memmove(p->unsent, p->unsent + sent, p->unsent_n);
	if (p->unsent_n > 0)
		return;
	free(p->unsent);
	p->unsent = NULL;
	watch(s, p, EPOLL_CTL_MOD);
	if (p->state == PEER_OPEN)
		s->ops->writable(s->user, p);
}

static void send_upgrade(struct peers *s, struct peer *p)
{
	char text[320];
	char id[EV_UUID_TEXT + 1];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	ev_uuid_text(&p->outlet, id);
	ev_buf_z(&b, "GET /devices/");
	ev_buf_z(&b, id);
	ev_buf_z(&b, " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
		     "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
		     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	p->state = PEER_UPGRADING;
	watch(s, p, EPOLL_CTL_MOD);
	send_bytes(s, p, b.p, b.len);
}

/* --- reading --- */

struct frame {
	unsigned opcode;
	struct ev_str payload;
	size_t size;
};

/* False: not whole yet.  Frames of a server are not masked; ours are never split. */
static bool next_frame(const char *p, size_t n, struct frame *out)
{
	size_t head = 2;

	if (n < head)
		return false;
	size_t len = (uint8_t)p[1] & 0x7fU;

	if (len == 126) {
		head = 4;
		if (n < head)
			return false;
		len = (size_t)(uint8_t)p[2] << 8 | (uint8_t)p[3];
	}
	bench_must(len != 127, "a frame above 64 KiB");
	if (n < head + len)
		return false;
	*out = (struct frame){ .opcode = (uint8_t)p[0] & 15U,
			       .payload = { p + head, len },
			       .size = head + len };
	return true;
}

static size_t take_upgrade(struct peers *s, struct peer *p, const char *bytes, size_t n)
{
	static const char ok[] = "HTTP/1.1 101";
	const char *end = memmem(bytes, n, "\r\n\r\n", 4);

	if (end == NULL)
		return 0;
	if (n < sizeof(ok) || memcmp(bytes, ok, sizeof(ok) - 1) != 0) {
		lost(s, p); /* refused */
		return n;
	}
	p->state = PEER_OPEN;
	s->n_opening--;
	s->n_open++;
	s->ops->open(s->user, p);
	return (size_t)(end + 4 - bytes);
}

/* Returns how many bytes were used; the peer may be closed after that. */
static size_t take_bytes(struct peers *s, struct peer *p, const char *bytes, size_t n)
{
	size_t at = 0;
	struct frame f;

	if (p->state == PEER_UPGRADING)
		at = take_upgrade(s, p, bytes, n);
	while (p->state == PEER_OPEN && next_frame(bytes + at, n - at, &f)) {
		at += f.size;
		if (f.opcode == 1)
			s->ops->text(s->user, p, f.payload);
		else if (f.opcode == 9)
			send_frame(s, p, 10, f.payload);
		else if (f.opcode == 8)
			lost(s, p);
	}
	return at;
}

static void keep_rest(struct peer *p, const char *bytes, size_t n)
{
	free(p->kept);
	p->kept = NULL;
	p->kept_n = (uint32_t)n;
	if (n == 0)
		return;
	p->kept = malloc(n);
	bench_must(p->kept != NULL, "memory");
	memcpy(p->kept, bytes, n);
}

void peer_read(struct peers *s, struct peer *p, size_t max)
{
	static char bytes[2 * READ_BYTES];
	size_t kept = p->kept_n;

	if (p->state == PEER_CLOSED)
		return;
	if (kept > 0)
		memcpy(bytes, p->kept, kept);
	ssize_t got = recv(p->fd, bytes + kept, max < READ_BYTES ? max : READ_BYTES, 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		lost(s, p);
		return;
	}
	size_t n = kept + (size_t)got;
	int fd = p->fd;
	size_t used = take_bytes(s, p, bytes, n);

	if (p->state != PEER_CLOSED && p->fd == fd && (kept > 0 || used < n))
		keep_rest(p, bytes + used, n - used);
}

void peer_mute(struct peers *s, struct peer *p, bool on)
{
	p->muted = on;
	watch(s, p, EPOLL_CTL_MOD);
}

static void on_event(struct peers *s, struct peer *p, unsigned events)
{
	if (p->state == PEER_CONNECTING) {
		if ((events & (EPOLLERR | EPOLLHUP)) != 0)
			lost(s, p);
		else
			send_upgrade(s, p);
		return;
	}
	if ((events & EPOLLOUT) != 0 && p->unsent_n > 0)
		send_unsent(s, p);
	if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
		peer_read(s, p, READ_BYTES);
}

void peers_turn(struct peers *s, int64_t wait_ns)
{
	struct epoll_event events[EVENTS];
	struct timespec ts = { .tv_sec = wait_ns / EV_NS_PER_S, .tv_nsec = wait_ns % EV_NS_PER_S };
	int n = epoll_pwait2(s->epoll, events, EVENTS, &ts, NULL);

	bench_must(n >= 0 || errno == EINTR, "epoll_pwait2");
	for (int i = 0; i < n; i++)
		on_event(s, events[i].data.ptr, events[i].events);
}
