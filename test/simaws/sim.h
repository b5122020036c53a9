/*
 * test/simaws/sim.h — a world in one thread around the aws engine: two outlet backends, two app
 * backends and two gateways, each a process made of the engine's real parts, on one cloud in memory
 * that fails in all of its ways; devices that hop between gateways, people, a clock that jumps.
 *
 * A life is a number of steps and a rest.  A process has parts, as production has threads; a part
 * runs one turn at a time, and in the middle of any of its calls the turn of another part, of the
 * same or another process, may come in between.  A process dies at any call, before or after its
 * effect, and starts again with nothing but a new name.  After each step and at rest the tables are
 * read, and the invariants of docs/proof.md must hold.  The same seed gives the same life.
 */
#ifndef EV_TEST_SIMAWS_SIM_H
#define EV_TEST_SIMAWS_SIM_H

#include <setjmp.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/rng.h"
#include "cloud/cloud.h"
#include "codec/ddb_outlet.h"
#include "codec/ddb_session.h"
#include "engine/aws/consumer.h"
#include "engine/aws/front.h"
#include "engine/aws/intake.h"
#include "engine/aws/lanes.h"
#include "engine/aws/sender.h"
#include "engine/aws/store.h"

#define SIM_DEVICES 4
#define SIM_CUSTOMERS 4
#define SIM_PROCESSES 6
#define SIM_GATEWAYS 2
#define SIM_OUTBOX 16
#define SIM_SWEEP_NS (INT64_C(60) * 1000000000)

/* Bugs that are planted on order, to see that they are found. */
#define SIM_PLANT_LIST(X)                                                                          \
	X(NONE, "none")                                                                            \
	X(NO_IDENTITY, "no-identity")                                                              \
	X(EARLY_DELETE, "early-delete")                                                            \
	X(EARLY_CHECKPOINT, "early-checkpoint")                                                    \
	X(NO_CONDITION, "no-condition")                                                            \
	X(LOST_EFFECTS, "lost-effects")                                                            \
	X(NO_SWEEP, "no-sweep")                                                                    \
	X(STALE_CACHE, "stale-cache")                                                              \
	X(NO_BLOCK, "no-block")
enum sim_plant {
#define SIM_PLANT_MEMBER(name, text) PLANT_##name,
	SIM_PLANT_LIST(SIM_PLANT_MEMBER)
#undef SIM_PLANT_MEMBER
		PLANT_COUNT
};

/* Threads of a process, where production has them. */
enum sim_part { PART_LANE, PART_HOUSE, PART_INTAKE, PART_EVENTS, PART_JOBS, PART_TURN, PART_COUNT };

/* Somebody's job on its way through a process; the job follows, see task_new. */
struct sim_task {
	struct job_owner owner; /* first */
	struct sim *sim;
	struct sim_process *process;
	unsigned device, conn;
	size_t message;
	uint64_t acked_version; /* of a look: what was acknowledged when it began */
	unsigned acked_index;
	struct job *job; /* in the same memory */
};

struct sim_process {
	struct sim *sim;
	const char *name;
	unsigned place;
	unsigned roles;
	unsigned life;
	char worker[32];
	bool up;
	int64_t up_at_ns;                         /* monotonic */
	struct cloud_caller *callers[PART_COUNT]; /* NULL: it has no such part */
	bool busy[PART_COUNT];

	struct ev_rng_seeded rng;
	struct aws_sender *sender;
	struct aws_store *store;
	struct pump pump;
	struct ev_list queue; /* jobs of the lane, or of the front */
	struct aws_intake *intake;
	struct aws_consumer *consumer;
	struct aws_front *front;
	int64_t ticked_ns, swept_ns;
	/* What a sweep found: 64 a time, more are found again. */
	struct ev_uuid found[64];
	bool found_session[64];
	size_t n_found;
	struct planted *planted; /* owned; NULL: nothing is */
};

/* A message that some device made. */
struct sim_message {
	struct device_message m;
	unsigned device;
	bool garbage; /* its bytes are no message */
	bool bad;     /* must be rejected */
	bool named;   /* has a messageId of the device's own: may be sent again */
	bool direct;  /* put into the queue by somebody else's gateway */
	bool sent;    /* handed to a gateway or a queue */
	bool queued;  /* acknowledged, or in the queue for certain */
	bool refused; /* the front has rejected it */
	int64_t wire_mwh;
};

enum sim_phase { PHASE_OFF, PHASE_ASKING, PHASE_BACKLOG, PHASE_LOADING, PHASE_LIVE };

struct sim_device {
	struct ev_uuid outlet_id;
	bool acks;

	/* What is really so. */
	bool plugged, charging, requesting, told_to_start;
	struct rfid_tag tag;
	int64_t asked_ns;

	/* Its memory: messages without an answer, the oldest first; one is under way at a time. */
	size_t outbox[SIM_OUTBOX];
	unsigned n_outbox;
	bool waits;
	bool bursts;           /* what it says now is put directly */
	uint64_t last_version; /* of the commands it obeyed */
	unsigned last_index;

	/* Its connection, and that gateway's view of it. */
	unsigned gateway;
	unsigned conn; /* grows */
	enum sim_phase phase;
	bool has_looked;              /* with success, on this connection */
	bool left_open[SIM_GATEWAYS]; /* that gateway does not know yet that it is gone */
	int64_t connect_ns, opened_ns, heard_ns;
	uint64_t sent_version, missed_version, acked_version;
	unsigned sent_index, missed_index, acked_index;
};

struct sim_customer {
	struct ev_uuid id;
	struct rfid_tag tag;
	bool exists, blocked;
};

/* What the lives came to: a simulation that never gets there would show nothing. */
#define SIM_REACHED_LIST(X)                                                                        \
	X(steps)                                                                                   \
	X(calls)                                                                                   \
	X(faults)                                                                                  \
	X(races)                                                                                   \
	X(crashes)                                                                                 \
	X(messages)                                                                                \
	X(resent)                                                                                  \
	X(direct)                                                                                  \
	X(unnamed_unsure)                                                                          \
	X(poison)                                                                                  \
	X(conflicts)                                                                               \
	X(failed_groups)                                                                           \
	X(starts)                                                                                  \
	X(sessions)                                                                                \
	X(stops)                                                                                   \
	X(timers)                                                                                  \
	X(parked)                                                                                  \
	X(unassigned)                                                                              \
	X(attached)                                                                                \
	X(blocks)                                                                                  \
	X(swept)                                                                                   \
	X(commands)                                                                                \
	X(commands_again)                                                                          \
	X(hops)                                                                                    \
	X(handed_over)                                                                             \
	X(replayed_records)                                                                        \
	X(expired_iterators)                                                                       \
	X(lost_leases)                                                                             \
	X(reshards)                                                                                \
	X(clock_jumps)                                                                             \
	X(rests)

struct sim_reached {
#define SIM_REACHED_MEMBER(name) uint64_t name;
	SIM_REACHED_LIST(SIM_REACHED_MEMBER)
#undef SIM_REACHED_MEMBER
};

struct sim {
	uint64_t seed;
	uint64_t step;
	bool verbose;
	enum sim_plant plant;
	struct sim_reached *reached;
	jmp_buf failed;
	char failure[300];

	struct ev_rng_seeded rng; /* of the world */
	struct ev_rng_seeded ids;
	struct ev_clock_manual clock;
	int64_t latest_ns; /* the wall clock's highest */
	struct outlet_rules rules;
	uint64_t digest;
	struct aws_resources names;
	struct cloud *cloud;
	char messages_url[300];

	/* How this life is. */
	bool jumpy, went_back, racy, slow, reshards, rough;
	bool calm;    /* at rest */
	bool in_turn; /* a race may come in between */

	struct sim_process processes[SIM_PROCESSES];
	struct sim_device devices[SIM_DEVICES];
	struct sim_customer customers[SIM_CUSTOMERS];
	struct sim_message *messages; /* owned */
	size_t n_messages, cap_messages;
	size_t n_unsure[SIM_DEVICES]; /* not named, and nobody knows whether they were queued */
	size_t n_poison_events, n_poison_commands;
	struct ddb_outlet before[SIM_DEVICES]; /* rows after the last step; version 0: none */
	uint64_t was_activity;
};

/* --- world.c: a life, chance, time --- */

/* A life of `steps` and a rest.  False: s->failure says what broke, and s->step where. */
bool sim_live(struct sim *s, uint64_t seed, uint64_t steps);
uint64_t sim_below(struct sim *s, uint64_t n);
bool sim_chance(struct sim *s, unsigned percent);
struct rfid_tag sim_tag(const char *text);
int64_t sim_now(struct sim *s);  /* wall clock */
int64_t sim_mono(struct sim *s); /* for everything that waits */
void sim_advance(struct sim *s, int64_t ns);
void sim_trace(struct sim *s, const char *fmt, ...) EV_PRINTF(2, 3);
EV_NORETURN void sim_fail(struct sim *s, const char *fmt, ...) EV_PRINTF(2, 3);
/* Where it cannot end at once: at the end of the step. */
void sim_fail_later(struct sim *s, const char *fmt, ...) EV_PRINTF(2, 3);
#define sim_must(s, holds, ...) ((holds) ? (void)0 : sim_fail((s), __VA_ARGS__))

/* --- faults.c: what goes wrong in the cloud --- */

void faults_open(struct sim *s);
void faults_draw(struct sim *s);
void faults_reshard(struct sim *s);
/* The URL of the queue of devices' messages. */
const char *faults_messages_url(struct sim *s);
void faults_poison(struct sim *s);

/* --- process.c --- */

void processes_open(struct sim *s);
void processes_close(struct sim *s);
/* One turn of a part, if the process has it and it is not in the middle of one. */
void process_turn(struct sim_process *p, enum sim_part part);
void processes_step(struct sim *s);
/* A turn of everything, then burial of whoever died; at rest and before. */
void processes_round(struct sim *s);
void process_kill(struct sim_process *p);
bool process_is_dead(const struct sim_process *p);
bool process_is_alive(const struct sim_process *p);
bool process_is_busy(void *user);
/* A process of that role that is up; NULL: none. */
struct sim_process *process_of(struct sim *s, unsigned role);
struct sim_task *task_new(struct sim *s, enum job_kind kind, size_t size);
void task_drop(struct sim_task *t);
void task_submit(struct sim_process *p, struct sim_task *t);
bool processes_are_idle(struct sim *s);
/* All give back what they hold. */
void processes_drain(struct sim *s);

/* --- lane.c --- */

/* Jobs, timers, unsent effects, what the last sweep found. */
void process_lane_turn(struct sim_process *p);
/* A sweep, if it is time for one. */
void process_house_turn(struct sim_process *p);

/* --- plants.c --- */

const char *plant_text(enum sim_plant p);
bool plant_parse(struct ev_str s, enum sim_plant *out);
/* What is planted below the store, and into it. */
void plants_config(struct sim_process *p, struct aws_store_config *c);
void plants_install(struct sim_process *p);
void plants_remove(struct sim_process *p);
/* True: the job was copied into the lane, and its owner has been told that it is done. */
bool plants_hurry(struct sim_process *p, struct job *j);

/* --- gateway.c: the loop's side of a gateway --- */

void gateway_step(struct sim *s);
void gateway_done(struct sim_task *t);
void gateway_command(void *user, const struct device_command *c);
void gateway_died(struct sim_process *p);
void gateway_disconnect(struct sim *s, struct sim_device *d);

/* --- devices.c --- */

void devices_open(struct sim *s);
void devices_act(struct sim *s);
void device_say(struct sim *s, struct sim_device *d, enum outlet_state change,
		const struct rfid_tag *tag, int64_t mwh);
void device_answered(struct sim_device *d, size_t message, const struct job *j);
void device_told(struct sim *s, struct sim_device *d, const struct device_command *c);
void device_settle(struct sim *s, struct sim_device *d);
/* The message in its bytes. */
void device_encode(const struct sim_message *m, struct ev_buf *b);

/* --- people.c --- */

void people_open(struct sim *s);
void people_act(struct sim *s);
void people_done(struct sim_task *t);
struct sim_process *people_ask(struct sim *s, struct sim_task *t, unsigned role);
struct sim_task *people_outlet_job(struct sim *s, enum job_kind kind, unsigned device);

/* --- books.c: what must hold --- */

void books_check(struct sim *s);
void books_check_rest(struct sim *s);
/* All have left: nothing is in limbo. */
void books_check_empty(struct sim *s);
/* Leases are held by the living; after the drain by nobody. */
void books_check_leases(struct sim *s);
void books_check_drained(struct sim *s);
/* A number that changes whenever a table or queue does. */
uint64_t books_activity(struct sim *s);
bool books_read_newest(struct sim *s, unsigned device, struct session *out);
/* A session at random, live or not; false: none. */
bool books_pick_session(struct sim *s, const struct ev_uuid *outlet_id, bool live,
			struct session *out);
bool books_pick_item(struct sim *s, struct unassigned_item *out);

/* --- rest.c --- */

void sim_rest(struct sim *s);

#endif
