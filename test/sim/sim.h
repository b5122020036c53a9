/*
 * test/sim/sim.h — a world in one thread: both backends on the memory engine, devices, people, the
 * network between them, a clock that jumps, and faults, all drawn from one seed.
 *
 * A life is a number of steps and a rest.  In a step time passes, what is due on the network
 * arrives, somebody does something, and the backends work; every port call may fail or be the last
 * of its process.  After each step, and at rest, the invariants of docs/proof.md must hold.  The
 * same seed and mode give the same life, step for step.
 *
 * Two modes.  ONE: the pump runs both backends in one group, as the embedded engine does.  SPLIT:
 * each backend is a process with an engine of its own, and events travel over streams that delay,
 * repeat and (those of the App) reorder them.
 */
#ifndef EV_TEST_SIM_H
#define EV_TEST_SIM_H

#include <setjmp.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/rng.h"
#include "engine/memory/memory.h"
#include "service/pump.h"

#define SIM_DEVICES 4
#define SIM_CUSTOMERS 5
#define SIM_OUTBOX 24
#define SIM_WINDOW 4                    /* messages in flight on a WebSocket */
#define SIM_PACKETS 512                 /* on the network at a time */
#define SIM_QUEUE 256                   /* inputs that wait for a process */
#define SIM_BATCH 12                    /* inputs in a group */
#define SIM_GROUPS (16 * SIM_BATCH + 8) /* a job alone is decided up to 16 times */
#define SIM_RIVALS 8
#define SIM_NEWS 512 /* commands told by the engine during a batch */

enum sim_mode { SIM_ONE, SIM_SPLIT, SIM_MODE_COUNT };
const char *sim_mode_text(enum sim_mode m);

/* A message that some device made, remembered for ever: what the books must come to. */
struct sim_message {
	struct device_message m;
	struct identity id;
	unsigned device;  /* who sent it */
	bool garbage;     /* its bytes are no message */
	bool bad;         /* must be rejected */
	int64_t wire_mwh; /* as on the wire, also out of range */
	bool rejected;    /* it was: a dead letter may exist */
	bool parked;      /* answered `later` */
	bool credited;    /* by all that is durable, its energy is in the books */
};

/* One record of a stream between the backends. */
struct sim_record {
	struct charging_event event; /* as read back from its bytes */
	struct identity id;
	int64_t at_ns;      /* server time of its arrival */
	int64_t visible_ns; /* monotonic */
	bool consumed;
};

struct sim_stream {
	struct sim_record *records; /* owned */
	size_t n, cap;
	uint64_t sent;       /* seq of the last event that was put on it */
	uint64_t sent_known; /* … as a process knows that has just started */
	size_t position;     /* the consumer's next record, where the order counts */
	size_t checkpoint;
};

/* An input on its way through a process: a job, or (SPLIT) a record of a stream. */
struct sim_task {
	struct job *job; /* owned; NULL: a record */
	size_t record;
	size_t message;  /* JOB_DEVICE_MESSAGE */
	unsigned device; /* who waits for the answer */
	unsigned conn;
	bool second_look; /* JOB_COMMANDS, as the gateway's */
	bool alone;       /* nothing else was in its batch */
	bool durable;     /* its group was */
	size_t group;     /* a rival's */
};

enum sim_role { ROLE_BOTH, ROLE_OUTLET, ROLE_APP };

struct sim_process {
	struct store_ops ops; /* first: the spy's, by which the store finds its process */
	struct store_ops real;
	struct sim *sim;
	enum sim_role role;
	struct memory_engine *memory;
	struct query *query;
	struct pump pump; /* SPLIT: its services only */
	bool up;
	int64_t up_at_ns; /* monotonic */
	struct sim_task *queue[SIM_QUEUE];
	size_t n_queue;

	/* The faults of the present batch. */
	unsigned countdown;
	unsigned shots;
	ev_err fault;
	bool quiet; /* the simulation itself is asking */

	/* The present batch. */
	size_t groups; /* begun */
	struct {
		size_t first, n; /* tasks of the batch */
		bool durable;
	} group[SIM_GROUPS];
	size_t first, n; /* tasks of the group that begins next */
	size_t denials;  /* in the present group */
	bool nested;     /* a rival is at work */
	struct sim_task *rivals[SIM_RIVALS];
	size_t n_rivals;
	struct device_command news[SIM_NEWS];
	size_t n_news;
};

enum sim_phase { PHASE_OFF, PHASE_ASKING, PHASE_BACKLOG, PHASE_LOADING, PHASE_LIVE };

enum sim_habit { HABIT_SOCKET, HABIT_POST, HABIT_COUNT };

struct sim_device {
	struct ev_uuid outlet_id;
	enum sim_habit habit;
	bool acks;       /* acknowledges commands */
	bool waits;      /* HABIT_POST: its polls are long ones */
	bool registered; /* its outlet is, durably */

	/* What is really so. */
	bool plugged, charging, requesting;
	struct rfid_tag tag; /* presented, or commanded */
	int64_t asked_ns;
	bool wild; /* did what no device does: what it is and what it said may differ */
	bool told_to_start;

	/* Its memory. */
	size_t outbox[SIM_OUTBOX]; /* messages without an answer, oldest first */
	int64_t retry_ns[SIM_OUTBOX];
	unsigned n_outbox, n_sent;
	uint64_t last_version;
	unsigned last_index;
	int64_t poll_ns;

	/* Its connection, and the gateway's view of it. */
	bool connected;
	unsigned conn;
	int64_t connect_ns;
	int64_t up_due_ns, down_due_ns;
	enum sim_phase phase;
	int64_t opened_ns, heard_ns;
	uint64_t sent_version;
	unsigned sent_index;

	int64_t expected_mwh;                      /* of its outlet, by what is durable */
	struct ev_uuid denied[OUTLET_REFUSED_MAX]; /* the last sessions that never were, a ring */
	size_t n_denied;
	size_t n_told_commands;
	enum outlet_state told[4]; /* the last commands, a ring */
};

enum sim_packet_kind { PACKET_MESSAGE, PACKET_ACK, PACKET_POLL, PACKET_ANSWER, PACKET_COMMAND };

struct sim_packet {
	enum sim_packet_kind kind;
	int64_t due_ns; /* monotonic */
	uint64_t order;
	unsigned device;
	unsigned conn;
	size_t message;
	enum verdict verdict;
	struct device_command command;
};

struct sim_customer {
	struct ev_uuid id;
	struct rfid_tag tag;
	bool exists, blocked;
};

/* What the lives came to: a simulation that never gets there would show nothing. */
#define SIM_REACHED_LIST(X)                                                                        \
	X(steps)                                                                                   \
	X(messages)                                                                                \
	X(credited)                                                                                \
	X(duplicates)                                                                              \
	X(parked)                                                                                  \
	X(refused)                                                                                 \
	X(rejected)                                                                                \
	X(crashes)                                                                                 \
	X(crashes_after_commit)                                                                    \
	X(faults)                                                                                  \
	X(groups_failed)                                                                           \
	X(conflicts)                                                                               \
	X(blocks)                                                                                  \
	X(starts)                                                                                  \
	X(denials)                                                                                 \
	X(ends)                                                                                    \
	X(timers)                                                                                  \
	X(late_energy)                                                                             \
	X(unassigned)                                                                              \
	X(attached)                                                                                \
	X(replayed)                                                                                \
	X(stops)                                                                                   \
	X(clock_jumps)                                                                             \
	X(records_repeated)                                                                        \
	X(rests)

struct sim_reached {
#define SIM_REACHED_MEMBER(name) uint64_t name;
	SIM_REACHED_LIST(SIM_REACHED_MEMBER)
#undef SIM_REACHED_MEMBER
};

struct sim {
	uint64_t seed;
	uint64_t step;
	enum sim_mode mode;
	bool verbose;
	struct sim_reached *reached;
	jmp_buf failed;
	char failure[240];

	struct ev_rng_seeded rng; /* of the world */
	struct ev_rng_seeded ids; /* of the backends */
	struct ev_clock_manual clock;
	int64_t latest_ns; /* the wall clock's highest */
	struct outlet_rules rules;
	uint64_t digest; /* of the life so far */

	/* How this life is. */
	bool jumpy, went_back, wild, rivals, lossy;
	unsigned fault_permille;
	bool calm; /* at rest: no faults, no loss, and devices as they should be */

	struct sim_process processes[2];
	size_t n_processes;
	struct sim_stream from_outlet, from_app; /* SPLIT */

	struct sim_device devices[SIM_DEVICES];
	struct sim_customer customers[SIM_CUSTOMERS];
	struct sim_packet packets[SIM_PACKETS];
	size_t n_packets;
	uint64_t n_order;

	struct sim_message *messages; /* owned */
	size_t n_messages, cap_messages;
	struct ev_map by_identity;         /* → place in messages, plus 1 */
	struct outlet before[SIM_DEVICES]; /* rows after the last step; version 0: none */
	struct ev_map started;             /* sessions that some row has carried, durably */
	struct ev_map stopped;             /* sessions that somebody asked to stop, durably */
	struct ev_map denied;              /* sessions whose outlet has said that they never were */
	struct ev_map approved;            /* eventId of an approval → its session's first word */
	uint64_t app_events_read;
	uint64_t events_read; /* seq of the last durable event that was looked at */
	bool tick_was_clean;
	int64_t ticked_ns; /* wall clock of the last tick that left nothing due */
};

/* --- world.c: a life, chance, time, what is printed --- */

/*
 * Runs a life of `steps` (one in ten: of more) and a rest.  False: s->failure says what broke, and
 * s->step where.
 */
bool sim_live(struct sim *s, uint64_t seed, enum sim_mode mode, uint64_t steps);

uint64_t sim_below(struct sim *s, uint64_t n);
bool sim_chance(struct sim *s, unsigned percent);
struct rfid_tag sim_tag(const char *text);
int64_t sim_now(struct sim *s);  /* wall clock */
int64_t sim_mono(struct sim *s); /* for everything that waits */
void sim_advance(struct sim *s, int64_t ns);
void sim_trace(struct sim *s, const char *fmt, ...) EV_PRINTF(2, 3);
EV_NORETURN void sim_fail(struct sim *s, const char *fmt, ...) EV_PRINTF(2, 3);
#define sim_must(s, holds, ...) ((holds) ? (void)0 : sim_fail((s), __VA_ARGS__))

/* --- process.c: backends that work, fail, die and start again --- */

void sim_processes_open(struct sim *s);
void sim_processes_close(struct sim *s);
struct sim_process *sim_outlet_process(struct sim *s);
struct sim_process *sim_app_process(struct sim *s);
/* Takes the task over; a process that is down or has too much to do loses it: false. */
bool sim_submit(struct sim_process *p, struct sim_task *t);
struct sim_task *sim_task_new(enum job_kind kind, size_t size);
void sim_task_free(struct sim_task *t);
/* Runs up to n of what waits, in one batch. */
void sim_work(struct sim_process *p, size_t n);
/* Runs these, as one batch; they stay the caller's. */
void sim_run(struct sim_process *p, struct sim_task **tasks, size_t n);
void sim_crash(struct sim_process *p);
void sim_start_again(struct sim_process *p);
void sim_tick(struct sim_process *p);

/* --- spy.c: between services and store: rivals, and each row's every change --- */

void spy_install(struct sim_process *p);

/* --- streams.c (SPLIT) --- */

void streams_close(struct sim *s);
void streams_crash(struct sim_process *p);
void streams_step(struct sim *s);
/* Until nothing is on its way; true if anything was. */
bool streams_drain(struct sim *s);

/* --- network.c: devices' messages and commands, and the gateway's rules --- */

void network_connect(struct sim *s, struct sim_device *d);
void network_disconnect(struct sim *s, struct sim_device *d);
void network_process_died(struct sim *s);
/* What devices have to say goes out; what is due arrives; connections come back. */
void network_step(struct sim *s);
void network_answer(struct sim *s, struct sim_task *t);
void network_command(struct sim *s, const struct device_command *c);

/* --- devices.c --- */

void devices_open(struct sim *s);
void devices_act(struct sim *s);
void device_say(struct sim *s, struct sim_device *d, enum outlet_state change,
		const struct rfid_tag *tag, int64_t mwh);
void device_answered(struct sim *s, struct sim_device *d, size_t message, enum verdict v);
void device_told(struct sim *s, struct sim_device *d, const struct device_command *c);
/* At rest: reports if it charges, gives up what it waits for in vain. */
void device_settle(struct sim *s, struct sim_device *d);
struct device_job *device_job_of(struct sim *s, size_t message);

/* --- people.c --- */

void people_open(struct sim *s);
void people_act(struct sim *s);
void people_answered(struct sim *s, struct sim_process *p, struct sim_task *t);
void people_finish(struct sim *s, struct sim_device *d);
/* A customer who may charge now; NULL: none. */
struct sim_customer *people_welcome(struct sim *s);

/* --- books.c: the oracle --- */

size_t books_message(struct sim *s, const struct sim_message *m);
struct sim_message *books_message_of(struct sim *s, const struct identity *id);
/* What a durable task means for what is expected. */
void books_task(struct sim *s, const struct sim_task *t);
void books_check(struct sim *s);
void books_check_tick(struct sim *s);
/* At rest: all of it, and nothing in limbo. */
void books_check_rest(struct sim *s);
void books_check_empty(struct sim *s);

/* --- rest.c --- */

void sim_rest(struct sim *s);

#endif
