/*
 * test/fuzz/wire_check.h — reads what the server wrote on one connection, strictly and by code of
 * its own, and compares it with the answers and messages that were given to the server.
 */
#ifndef EV_FUZZ_WIRE_CHECK_H
#define EV_FUZZ_WIRE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_ANSWERS_MAX 48
#define WIRE_MESSAGES_MAX 256

/* A body or message is n times one byte. */
struct wire_answer {
	int status; /* 101: an upgrade, which nothing but frames follows */
	size_t n;
	char fill;
	bool head;   /* of a HEAD request: no body */
	bool stream; /* of unknown length */
	bool done;   /* the stream was ended, the rest is always */
};

struct wire_message {
	unsigned opcode;
	size_t n;
	char fill;
};

struct wire {
	size_t n_answers, n_messages;
	struct wire_answer answers[WIRE_ANSWERS_MAX];
	struct wire_message messages[WIRE_MESSAGES_MAX];
};

/*
 * Aborts unless p[0..n) is those answers and messages in this order, each once, with nothing in
 * between but what the server says by itself: 100 Continue, one refusal at the very end, pings,
 * pongs, and a close frame as the last one.  Whole: the server has ended the connection in order;
 * else anything may be missing at the end.
 */
void wire_check(const struct wire *w, const char *p, size_t n, bool whole);

#endif
