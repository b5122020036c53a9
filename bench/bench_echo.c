/*
 * bench/bench_echo.c — the least that a message can cost here: frames of the same size echoed by a
 * bare epoll loop, which decodes them and does nothing else.
 *
 * usage: bench_echo [CONNECTIONS [SECONDS [BYTES]]]
 *
 * The server is a child on processor 0, the clients are on 1, one message outstanding each.  Output
 * as of bench_load.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "bench.h"
#include "peers.h"

#define EVENTS 512
#define READ_BYTES 65536
#define ANSWER                                                                                     \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"        \
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

/* --- the server --- */

static void send_all(int fd, const char *p, size_t n)
{
	/* One message outstanding always fits. */
	if (send(fd, p, n, MSG_NOSIGNAL) != (ssize_t)n)
		(void)close(fd);
}

/* A whole frame as it comes on loopback: unmasked in place, then sent with a shorter header. */
static void echo(int fd, char *p, size_t n)
{
	size_t head = ((uint8_t)p[1] & 0x7fU) == 126 ? 4 : 2;

	if (n < head + 4) {
		(void)close(fd);
		return;
	}
	const char *mask = p + head;
	char *payload = p + head + 4;

	for (size_t i = 0; i < n - head - 4; i++)
		payload[i] = (char)(payload[i] ^ mask[i & 3U]);
	memmove(p + 4, p, head);
	p[5] = (char)((uint8_t)p[5] & 0x7fU);
	send_all(fd, p + 4, n - 4);
}

static void on_ready(int fd)
{
	static char bytes[READ_BYTES];
	ssize_t got = recv(fd, bytes, sizeof(bytes), 0);

	if (got <= 0) {
		if (got == 0 || errno != EAGAIN)
			(void)close(fd);
	} else if (bytes[0] == 'G') {
		send_all(fd, ANSWER, sizeof(ANSWER) - 1);
	} else {
		echo(fd, bytes, (size_t)got);
	}
}

static void accept_some(int epoll, int listener)
{
	int one = 1;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		bench_must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) == 0, "epoll_ctl");
	}
}

EV_NORETURN static void serve(int listener)
{
	struct epoll_event events[EVENTS];
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = listener };
	int epoll = epoll_create1(0);

	bench_pin(0);
	bench_must(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev) == 0, "epoll_ctl");
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				accept_some(epoll, listener);
			else
				on_ready(events[i].data.fd);
		}
	}
}

static int listen_anywhere(uint16_t *out_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bench_must(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
			   listen(fd, 4096) == 0 &&
			   getsockname(fd, (struct sockaddr *)&at, &n) == 0,
		   "listen");
	*out_port = ntohs(at.sin_port);
	return fd;
}

/* --- the clients --- */

struct one {
	struct peer peer;
	int64_t sent_ns;
};

struct clients {
	struct peers peers;
	struct one *all;
	uint64_t n, n_opened;
	bool sending;
	struct bench_times times;
	struct ev_str text;
};

static void send_one(struct clients *c, struct one *o)
{
	o->sent_ns = bench_now_ns();
	peer_send(&c->peers, &o->peer, c->text);
}

static void on_open(void *user, struct peer *p)
{
	(void)user;
	(void)p;
}

static void on_text(void *user, struct peer *p, struct ev_str text)
{
	struct clients *c = user;
	struct one *o = (struct one *)p;

	bench_must(text.n == c->text.n, "another text comes back");
	bench_times_add(&c->times, bench_now_ns() - o->sent_ns);
	if (c->sending)
		send_one(c, o);
}

static void on_closed(void *user, struct peer *p)
{
	(void)user;
	(void)p;
	bench_die("the echo server closes", false);
}

static const struct peers_ops ops = {
	.open = on_open,
	.text = on_text,
	.closed = on_closed,
	.writable = on_open,
};

static void connect_all(struct clients *c)
{
	struct ev_uuid id = bench_outlet_id(0);

	while (c->peers.n_open < c->n) {
		while (c->n_opened < c->n && c->peers.n_opening < 200)
			peer_connect(&c->peers, &c->all[c->n_opened++].peer, &id);
		peers_turn(&c->peers, 10 * EV_NS_PER_MS);
	}
}

static void run_for(struct clients *c, int64_t ns)
{
	int64_t until_ns = bench_now_ns() + ns;

	while (bench_now_ns() < until_ns)
		peers_turn(&c->peers, 10 * EV_NS_PER_MS);
}

static void measure(struct clients *c, pid_t pid, int64_t run_ns)
{
	c->sending = true;
	for (uint64_t i = 0; i < c->n; i++)
		send_one(c, &c->all[i]);
	run_for(c, EV_NS_PER_S / 2);
	bench_times_clear(&c->times);
	int64_t from_ns = bench_now_ns(), own_ns = bench_own_cpu_ns(),
		server_ns = bench_cpu_ns(pid);
	int64_t all_ns = bench_machine_cpu_ns();

	run_for(c, run_ns);
	double took = (double)(bench_now_ns() - from_ns);
	double own = (double)(bench_own_cpu_ns() - own_ns);
	double server = (double)(bench_cpu_ns(pid) - server_ns);
	double all = (double)(bench_machine_cpu_ns() - all_ns);

	(void)printf("answers %" PRIu64 "\nrate %.0f\nserver_us %.2f\n", c->times.n,
		     (double)c->times.n * 1e9 / took, server / 1e3 / (double)c->times.n);
	(void)printf("generator_share %.3f\nserver_share %.3f\nforeign_share %.3f\n", own / took,
		     server / took, (all - own - server) / took);
	(void)printf("p50_us %.0f\np99_us %.0f\n", bench_times_us(&c->times, 0.5),
		     bench_times_us(&c->times, 0.99));
}

static uint64_t argument(int argc, char **argv, int i, uint64_t max, uint64_t otherwise)
{
	uint64_t v = otherwise;

	if (i < argc)
		bench_must(bench_take_u64(ev_str_from(argv[i]), 1, max, &v), argv[i]);
	return v;
}

int main(int argc, char **argv)
{
	static char text[READ_BYTES / 2];
	struct clients *c = calloc(1, sizeof(*c));
	uint64_t seconds = argument(argc, argv, 2, 3600, 3);
	uint16_t port = 0;

	bench_must(c != NULL, "memory");
	c->n = argument(argc, argv, 1, 100000, 1000);
	memset(text, 'x', sizeof(text));
	c->text = (struct ev_str){ text, argument(argc, argv, 3, sizeof(text), 290) };
	bench_must(bench_descriptors() > c->n + 16, "too few descriptors");
	int listener = listen_anywhere(&port);
	pid_t pid = fork();

	bench_must(pid >= 0, "fork");
	if (pid == 0)
		serve(listener);
	bench_pin(1);
	(void)close(listener);
	c->all = calloc(c->n, sizeof(c->all[0]));
	bench_must(c->all != NULL, "memory");
	peers_init(&c->peers, port, &ops, c);
	connect_all(c);
	measure(c, pid, (int64_t)seconds * EV_NS_PER_S);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	return 0;
}
