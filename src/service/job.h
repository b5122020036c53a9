/*
 * service/job.h — one input for the services, with its answer: what the front ends hand over.
 *
 * A job is owned by one thread at a time and handed over whole.  Whoever made it fills the input,
 * the pump fills the answer, and `done` gives it back after its effects are durable.  A job may be
 * run more than once before that (a group that failed is run again one by one): running it must
 * depend on its input only.
 */
#ifndef EV_SERVICE_JOB_H
#define EV_SERVICE_JOB_H

#include "base/mailbox.h"
#include "core/customer.h"
#include "core/outlet.h"
#include "core/session.h"
#include "port/store.h"

enum job_kind {
	JOB_DEVICE_MESSAGE,
	JOB_COMMAND_ACK,
	JOB_COMMANDS, /* what is to be delivered to a device that (re)connects or polls */
	JOB_OUTLET_CREATE,
	JOB_OUTLET_CHANGE,
	JOB_OUTLET_SERVICE,
	JOB_OUTLET_RETIRE,
	JOB_OUTLET_FINISH,
	JOB_ATTACH,
	JOB_DEAD_LETTER_REPLAY,
	JOB_DEAD_LETTER_DROP,
	JOB_CUSTOMER_CREATE,
	JOB_CUSTOMER_CHANGE,
	JOB_CUSTOMER_BLOCK,
	JOB_CUSTOMER_TAG,
	JOB_CUSTOMER_ERASE,
	JOB_START,
	JOB_STOP,
	JOB_SESSION_CLOSE,
	JOB_TICK,  /* timers and parked inputs that are due */
	JOB_EVENT, /* a charging event from the stream, for the backend that did not put it */
	JOB_COUNT
};
const char *job_kind_text(enum job_kind k);

struct job;

/* Who made a job and takes it back; embedded in the maker's own struct. */
struct job_owner {
	void (*done)(struct job_owner *owner, struct job *j);
};

struct host;

struct job {
	struct ev_node node; /* first; for whoever owns it */
	struct host *from;   /* the host's: which loop submitted it */
	enum job_kind kind;
	int64_t at_ns; /* server time of receipt */
	struct job_owner *owner;

	/* The answer. */
	/* EV_OK: decided, see verdict; EV_NOTFOUND, EV_EXISTS, EV_DENIED, EV_IO, EV_FULL, … */
	ev_err err;
	enum verdict verdict;
	enum reason reason;
};

#define JOB_BODY_MAX DEAD_LETTER_BODY_MAX

/* JOB_DEVICE_MESSAGE.  The body follows the struct: bytes as they came, for a dead letter. */
struct device_job {
	struct job job;
	struct ev_uuid outlet_id; /* whose connection or path it came by */
	bool decoded;
	enum reason why;  /* if not decoded */
	char detail[120]; /* the decoder's text, NUL-terminated */
	struct device_message message;
	struct identity id;
	bool has_state; /* the answer: the outlet's shown state */
	enum outlet_state shown;
	size_t body_n;
	char body[];
};

/*
 * A device's new connection or poll, told to all loops: each ends an older one of that kind, by
 * the number, which says in which order they came (docs/decisions/0014).
 */
enum arrival_kind { ARRIVAL_NONE, ARRIVAL_SOCKET, ARRIVAL_POLL };
struct arrival {
	enum arrival_kind kind;
	struct ev_uuid outlet_id;
	uint64_t number; /* host_next_arrival's */
};

/* JOB_COMMAND_ACK, JOB_COMMANDS */
#define JOB_COMMANDS_MAX 16
struct command_job {
	struct job job;
	struct ev_uuid outlet_id;
	uint64_t version; /* ack: the command's; commands: above this one … */
	unsigned index;
	bool delivered_only;    /* ack: it was sent, not acknowledged */
	struct arrival arrival; /* commands: who asks, if it is new; ARRIVAL_NONE */
	bool again;             /* commands: a later look for a connection that has looked before */
	size_t n;
	struct device_command commands[JOB_COMMANDS_MAX];
};

/* JOB_OUTLET_*, JOB_ATTACH */
struct outlet_job {
	struct job job;
	struct ev_uuid outlet_id; /* create: given by the maker */
	struct outlet_info info;  /* create and change */
	bool set_group, set_code, set_address, set_power;
	int64_t max_power_mw;
	bool out;                  /* service */
	struct ev_uuid session_id; /* finish, attach; nil at finish: the running one */
	struct identity item_id;   /* attach */
	struct outlet outlet;      /* the answer */
};

/* JOB_DEAD_LETTER_* */
struct dead_letter_job {
	struct job job;
	struct identity id;
	bool has_session; /* replay: the session it belongs to */
	struct ev_uuid session_id;
};

/* JOB_CUSTOMER_* */
struct customer_job {
	struct job job;
	struct ev_uuid customer_id; /* create: given by the maker */
	struct rfid_tag tag;        /* create, tag */
	bool set_address, set_email, set_payment;
	struct customer fields; /* create, change */
	bool block;
	struct customer customer; /* the answer */
};

/* JOB_START, JOB_STOP, JOB_SESSION_CLOSE */
struct session_job {
	struct job job;
	struct ev_uuid customer_id; /* start */
	struct ev_uuid outlet_id;   /* start */
	struct ev_uuid session_id;  /* start: a new id by the maker; stop, close */
	struct session session;     /* the answer */
};

/* JOB_EVENT; at_ns of the job is the event's first receipt. */
struct event_job {
	struct job job;
	struct charging_event event;
	struct identity id;
};

/* JOB_TICK */
struct tick_job {
	struct job job;
	bool has_outlet; /* only this one's */
	struct ev_uuid outlet_id;
	bool more;           /* the answer: there is more that is due now */
	int64_t next_due_ns; /* not used by engines that are asked again each second */
};

#endif
