/*
 * bench_net.c — echoes over WebSocket: how many a second, at what processor time and memory.
 *
 * usage: bench_net [connections [seconds [bytes]]]
 *
 * The server runs in a child process on one core, the clients in this one on another, one message
 * in flight for each connection; then all connections rest and the server's memory is read.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "net/server.h"

#define MAX_FRAME 4096

struct peer {
	int fd;
	bool open; /* the handshake is answered */
	size_t got;
};

struct run {
	struct peer *peers;
	size_t n;
	size_t n_open;
	int epoll;
	char frame[MAX_FRAME];
	size_t frame_len;
	size_t echo_len;
	uint64_t n_echoes;
	bool resting; /* echoes are not sent again */
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void pin(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)core, &set);
	(void)sched_setaffinity(0, sizeof(set), &set); /* with one core it fails, and may */
}

/* --- the server --- */

static struct net_server *server;

static void on_request(void *user, const struct net_request *req)
{
	struct net_response r = { .status = 404 };

	(void)user;
	(void)!net_reply(server, req->handle, &r);
}

static void on_ws_request(void *user, const struct net_request *req)
{
	struct net_ws_accept a = { 0 };
	struct net_handle ws;

	(void)user;
	(void)!net_ws_accept(server, req->handle, &a, &ws);
}

static void on_ws_message(void *user, struct net_handle ws, void *conn_user, enum net_ws_kind kind,
			  struct ev_str bytes)
{
	(void)user;
	(void)conn_user;
	(void)!net_ws_send(server, ws, kind, bytes);
}

static void on_ws_close(void *user, struct net_handle ws, void *conn_user, unsigned code)
{
	(void)user;
	(void)ws;
	(void)conn_user;
	(void)code;
}

static void stop(void *user)
{
	net_loop_stop(user);
}

static const struct net_handlers handlers = {
	.on_request = on_request,
	.on_ws_request = on_ws_request,
	.on_ws_message = on_ws_message,
	.on_ws_close = on_ws_close,
};

static int serve(int port_pipe)
{
	struct net_loop *loop;
	struct net_listener_config c;
	struct net_listener *l;
	struct ev_fail fail = { 0 };

	pin(0);
	net_listener_config_init(&c);
	c.handlers = &handlers;
	c.limits.max_connections = 100000;
	if (net_loop_new(&loop) != EV_OK || net_server_new(loop, NULL, &server, &fail) != EV_OK ||
	    net_server_listen(server, &c, &l, &fail) != EV_OK ||
	    net_loop_on_signal(loop, SIGTERM, stop, loop) != EV_OK) {
		fprintf(stderr, "%s\n", fail.text);
		return 1;
	}
	uint16_t port = net_listener_port(l);

	if (write(port_pipe, &port, sizeof(port)) != (ssize_t)sizeof(port))
		return 1;
	net_loop_run(loop);
	net_server_free(server);
	net_loop_free(loop);
	return 0;
}

/* --- the clients --- */

static void make_frame(struct run *r, size_t n)
{
	size_t at = 0;

	r->frame[at++] = (char)0x81;
	if (n < 126) {
		r->frame[at++] = (char)(0x80 | n);
	} else {
		r->frame[at++] = (char)(0x80 | 126);
		r->frame[at++] = (char)(n >> 8);
		r->frame[at++] = (char)n;
	}
	r->echo_len = at + n;
	memset(r->frame + at, 0, 4); /* a mask of zeros */
	at += 4;
	memset(r->frame + at, 'x', n);
	r->frame_len = at + n;
}

static void send_frame(struct run *r, struct peer *p)
{
	if (send(p->fd, r->frame, r->frame_len, MSG_NOSIGNAL) != (ssize_t)r->frame_len)
		die("send");
}

static void connect_peer(struct run *r, struct peer *p, uint16_t port)
{
	static const char hello[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
				    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
				    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = p };
	int one = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("connect");
	(void)setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, p->fd, &ev) != 0 ||
	    send(p->fd, hello, sizeof(hello) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(hello) - 1)
		die("hello");
}

static void on_readable(struct run *r, struct peer *p)
{
	char bytes[MAX_FRAME];
	ssize_t got = recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (got <= 0) {
		if (got < 0 && errno == EAGAIN)
			return;
		die("closed");
	}
	p->got += (size_t)got;
	if (!p->open) { /* the answer comes in one piece on loopback */
		p->open = true;
		p->got = 0;
		r->n_open++;
		return;
	}
	if (p->got < r->echo_len)
		return;
	p->got -= r->echo_len;
	r->n_echoes++;
	if (!r->resting)
		send_frame(r, p);
}

static void turn(struct run *r)
{
	struct epoll_event events[256];
	int n = epoll_wait(r->epoll, events, 256, 100);

	for (int i = 0; i < n; i++)
		on_readable(r, events[i].data.ptr);
}

/* --- measuring --- */

/* The first number behind `key` in a file of /proc, 0 if there is none. */
static uint64_t proc_number(pid_t pid, const char *file, const char *key)
{
	char path[64];
	char text[4096];
	uint64_t v = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	FILE *in = fopen(path, "r");
	size_t n = in != NULL ? fread(text, 1, sizeof(text) - 1, in) : 0;

	if (in != NULL)
		(void)fclose(in);
	text[n] = '\0';
	const char *at = strstr(text, key);

	if (at == NULL)
		return 0;
	at += strlen(key);
	at += strspn(at, " \t:");
	struct ev_str digits = { at, strspn(at, "0123456789") };

	return num_parse_u64(digits, &v) == EV_OK ? v : 0;
}

static double cpu_s(pid_t pid)
{
	return (double)proc_number(pid, "schedstat", "") / 1e9;
}

static void measure(struct run *r, pid_t pid, uint16_t port, double seconds)
{
	uint64_t memory = proc_number(pid, "status", "VmRSS");
	double start = now_s();
	double cpu = cpu_s(pid);

	for (size_t i = 0; i < r->n; i++) {
		connect_peer(r, &r->peers[i], port);
		while (i - r->n_open > 500)
			turn(r);
	}
	while (r->n_open < r->n)
		turn(r);
	printf("%zu connections in %.2f s, %.1f us of server time each\n", r->n, now_s() - start,
	       (cpu_s(pid) - cpu) * 1e6 / (double)r->n);
	memory = proc_number(pid, "status", "VmRSS") - memory;
	printf("%.0f bytes of server memory for each\n", (double)memory * 1024 / (double)r->n);

	start = now_s();
	cpu = cpu_s(pid);
	for (size_t i = 0; i < r->n; i++)
		send_frame(r, &r->peers[i]);
	while (now_s() - start < seconds)
		turn(r);
	double took = now_s() - start;

	printf("%.0f echoes/s, %.2f us of server time each\n", (double)r->n_echoes / took,
	       (cpu_s(pid) - cpu) * 1e6 / (double)r->n_echoes);
	r->resting = true;
}

static uint64_t argument(int argc, char **argv, int i, uint64_t otherwise)
{
	uint64_t v = otherwise;

	if (argc > i && num_parse_u64(ev_str_from(argv[i]), &v) != EV_OK) {
		fprintf(stderr, "%s is no number\n", argv[i]);
		exit(2);
	}
	return v;
}

int main(int argc, char **argv)
{
	struct run r = { .n = (size_t)argument(argc, argv, 1, 1000) };
	uint64_t seconds = argument(argc, argv, 2, 3);
	uint64_t bytes = argument(argc, argv, 3, 160);
	int ends[2];
	uint16_t port = 0;

	if (r.n == 0 || bytes > MAX_FRAME - 8 || pipe(ends) != 0)
		return 2;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0)
		return serve(ends[1]);
	pin(1);
	if (read(ends[0], &port, sizeof(port)) != (ssize_t)sizeof(port))
		die("server");
	r.peers = calloc(r.n, sizeof(*r.peers));
	r.epoll = epoll_create1(0);
	if (r.peers == NULL || r.epoll < 0)
		die("clients");
	make_frame(&r, (size_t)bytes);
	measure(&r, pid, port, (double)seconds);
	(void)kill(pid, SIGTERM);
	(void)waitpid(pid, NULL, 0);
	free(r.peers);
	return 0;
}
