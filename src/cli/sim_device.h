/*
 * cli/sim_device.h — one charging outlet and its visitors, as a pure state machine.
 *
 * No clock, no socket, no allocation: time comes in, messages go out through a small outbox that
 * keeps each until it is acknowledged.  What a device does follows from its seed and from what the
 * backend tells it, so a run can be repeated.  Visitors plug in, present a tag or start by app,
 * take energy along a power curve, sometimes pause, and end by tag, by app, by a full car or by
 * simply unplugging; some present a tag that nobody knows.
 *
 * Invariant: measured energy = what is in acknowledged, rejected and waiting messages, plus what
 * was not yet reported.
 */
#ifndef EV_CLI_SIM_DEVICE_H
#define EV_CLI_SIM_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "core/types.h"

#define SIM_OUTBOX 16 /* messages kept until they are acknowledged */
#define SIM_WINDOW 4  /* of them, sent and not yet answered */

enum sim_state {
	SIM_IDLE,       /* nobody there */
	SIM_PLUGGED,    /* a visitor plugged in, and looks for the tag or the phone */
	SIM_REQUESTING, /* presented the tag, waits for the command */
	SIM_STARTING,   /* started by app, waits for the command */
	SIM_CHARGING,
	SIM_STOPPING, /* asked to stop by app, waits for the command, still charging */
	SIM_FINISHED, /* done or denied; the cable is still in */
	SIM_STATE_COUNT
};
const char *sim_state_text(enum sim_state s);

/* How visitors behave; all devices of a run share one.  Durations in virtual nanoseconds. */
struct sim_habits {
	int64_t idle_min_ns, idle_max_ns;       /* between two visitors */
	int64_t think_min_ns, think_max_ns;     /* before a tag, an app, an unplugging */
	int64_t session_min_ns, session_max_ns; /* how long somebody means to stay */
	int64_t report_every_ns;
	int64_t patience_ns; /* with an answer that does not come */
	/* Out of 100 visitors. */
	unsigned start_by_app, stop_by_app, stop_by_tag, unplug_charging, strangers, pauses;
	unsigned again; /* of those who finished: stay plugged and charge again */
};
struct sim_habits sim_habits_usual(void);

/* How a visitor's session is going to end. */
enum sim_end { SIM_END_TAG, SIM_END_APP, SIM_END_FULL, SIM_END_UNPLUG };

/* What the visitor wants of the app, for the caller to do: see sim_device_wish. */
enum sim_wish { SIM_WISH_NONE, SIM_WISH_START, SIM_WISH_STOP };

struct sim_device_stats {
	uint64_t sessions; /* Charging commands followed */
	uint64_t denied;   /* visitors who went without energy */
	uint64_t messages, answers, resent, rejected, commands;
	int64_t acknowledged_mwh; /* in messages that were answered by anything but `rejected` */
	int64_t rejected_mwh;
	int64_t measured_mwh;
};

struct sim_outgoing {
	struct device_message m;
	bool was_sent; /* at least once: sending it again is a repetition */
};

struct sim_device {
	struct sim_habits habits;
	struct ev_uuid outlet_id;
	uint32_t run;   /* in each messageId, so that runs do not share any */
	uint32_t index; /* likewise, of the device */
	uint64_t next_message;
	struct ev_rng_seeded rng;

	enum sim_state state;
	int64_t due_ns;  /* when the state ends by itself */
	bool winding_up; /* no new visitors, and those who are here leave */
	bool may_go_again;
	enum sim_wish wish;

	/* The visitor. */
	struct rfid_tag own_tag; /* of the customer who comes here */
	struct rfid_tag tag;     /* that is presented, or was commanded */
	bool by_app;
	enum sim_end end;

	/* The session. */
	int64_t max_power_w;
	int64_t car_power_w;
	int64_t begun_ns;
	int64_t end_ns;
	int64_t pause_from_ns, pause_until_ns;
	int64_t metered_ns; /* the meter's reading is up to date to here */
	int64_t report_due_ns;
	int64_t period_start_ns; /* of the next report */
	int64_t watt_ns;         /* energy below one mWh */
	int64_t unreported_mwh;

	/* Commands, taken up by the next step. */
	bool told_to_start, told_to_stop, told_no;
	struct rfid_tag told_tag;
	struct message_id last_command;

	struct sim_outgoing outbox[SIM_OUTBOX];
	unsigned first, n, n_sent; /* a ring: the first n_sent of n are in flight */
	struct sim_device_stats stats;
};

struct sim_device_options {
	struct sim_habits habits;
	struct ev_uuid outlet_id;
	struct rfid_tag tag; /* of a customer the backend knows */
	int64_t max_power_w;
	uint32_t run, index;
	uint64_t seed;
};

/* Idle; the first visitor comes within idle_max_ns after now. */
void sim_device_init(struct sim_device *d, const struct sim_device_options *o, int64_t now_ns);

/* Does all that is due at now; time does not go back. */
void sim_device_step(struct sim_device *d, int64_t now_ns);

/* When sim_device_step has something to do next, if nothing comes in before. */
int64_t sim_device_due(const struct sim_device *d);

/*
 * The next message to send, marked as sent; false if there is none or the window is full.  After
 * sim_device_disconnected all that was not acknowledged comes again, in the same order.
 */
bool sim_device_next(struct sim_device *d, struct device_message *out);
void sim_device_disconnected(struct sim_device *d);

/* The backend's answer; an id that is not waiting is ignored. */
void sim_device_answered(struct sim_device *d, const struct message_id *id, enum verdict v);

/* A command; one that is not newer than the last is ignored (it came again).  Follow by a step. */
void sim_device_command(struct sim_device *d, const struct message_id *id, enum outlet_state change,
			const struct rfid_tag *tag);

/* What is wanted of the app now; taken by this call.  Failing is told by sim_device_app_failed. */
enum sim_wish sim_device_wish(struct sim_device *d);
void sim_device_app_failed(struct sim_device *d, int64_t now_ns);

/* No new visitors; whoever is here leaves at the next step. */
void sim_device_wind_up(struct sim_device *d, int64_t now_ns);

/* Nobody there, and everything acknowledged. */
bool sim_device_is_quiet(const struct sim_device *d);

#endif
