/*
 * core/outlet.h — the Outlet Backend's heart: one outlet's row and the decision about one input.
 *
 * Pure: no clock, no randomness, no allocation, no I/O.  Source: design sections 2 and 3.
 *
 * Invariant of every decision: next.total_energy_mwh - cur.total_energy_mwh = credited_mwh = what
 * the row's session, one of its ended sessions or unassigned_mwh grew by.  AttachEnergy moves
 * unassigned energy to the App's session by its item, outside of the row's sums.
 */
#ifndef EV_CORE_OUTLET_H
#define EV_CORE_OUTLET_H

#include "core/types.h"

#define OUTLET_RECENT_MAX 8
#define OUTLET_REFUSED_MAX 4
#define OUTLET_IDS_MAX 16

enum request_status {
	REQUEST_NONE,
	REQUEST_WAITING,
	REQUEST_WITHDRAWN,
	REQUEST_LAPSED,
	REQUEST_ANSWERED
};

/* A presented tag that waits for the App's answer; design section 2, `request`. */
struct outlet_request {
	enum request_status status;
	struct rfid_tag tag;
	int64_t period_start_ns;
	int64_t period_end_ns;
	int64_t at_ns;
	struct identity event_id; /* of the event that asked; names the request in RequestLapsed */
};

/* An ended session that late energy may still correct. */
struct ended_session {
	struct ev_uuid id;
	struct rfid_tag tag;
	int64_t since_ns; /* the row's `since` while it ran */
	int64_t start_ns; /* periodStart of its events */
	int64_t end_ns;
	int64_t sum_mwh;
};

struct outlet {
	struct ev_uuid id;
	uint64_t version;        /* 0: not stored yet */
	enum outlet_state state; /* Available, CablePlugged, Charging or ChargingFinished only */
	bool has_session;
	struct ev_uuid session_id;
	struct rfid_tag tag;
	int64_t start_ns;
	bool has_end;
	int64_t end_ns;
	int64_t energy_mwh; /* of this session */
	int64_t total_sessions;
	int64_t total_energy_mwh;
	int64_t unassigned_mwh; /* part of the total that belongs to no session */
	int64_t max_power_mw;

	int64_t since_ns; /* inputs with an earlier `at` change nothing but energy */
	struct outlet_request request;
	bool reported;         /* a report came in this session */
	bool acknowledged;     /* the Charging command was found acknowledged by its timer */
	int64_t stop_at_ns;    /* stopRequested: when, 0 if not */
	bool stop_repeated;    /* the stop command was sent a second time by the timer */
	int64_t stray_stop_ns; /* when a stop was last sent to a device charging without session */
	bool out_of_service;
	bool retired;
	bool foreign; /* last written by the original: version had vanished */

	unsigned n_recent; /* newest first */
	struct ended_session recent[OUTLET_RECENT_MAX];
	unsigned n_refused; /* newest first */
	struct ev_uuid refused[OUTLET_REFUSED_MAX];
	unsigned n_ids; /* identities since the last block was written, oldest first */
	struct identity ids[OUTLET_IDS_MAX];
};

/* What a person registers; kept in the same row, no concern of the decisions. */
#define OUTLET_CODE_MAX 64
#define OUTLET_ADDRESS_MAX 256
struct outlet_info {
	struct ev_uuid group_id;
	char code[OUTLET_CODE_MAX + 1];       /* UTF-8, NUL-terminated */
	char address[OUTLET_ADDRESS_MAX + 1]; /* UTF-8, NUL-terminated */
	int64_t created_ns;
};

enum outlet_input_kind {
	OUTLET_IN_DEVICE,
	OUTLET_IN_EVENT,
	OUTLET_IN_REQUEST_LAPSED,
	OUTLET_IN_COMMAND_LAPSED,
	OUTLET_IN_STOP_TIMEOUT,
	OUTLET_IN_OPERATOR_FINISH,
	OUTLET_IN_ATTACH,
	OUTLET_IN_SERVICE,
	OUTLET_IN_RETIRE,
	OUTLET_IN_COUNT
};

struct outlet_input {
	enum outlet_input_kind kind;
	struct identity id; /* also the seed of the eventIds this input causes */
	int64_t at_ns;      /* server time of first receipt; kept by a replay */
	bool seen;          /* the shell found the identity in a rotated block */
	bool parked;        /* was answered `later` and is tried again (docs/decisions/0005) */
	bool waited;        /* the time for `later` is over: decide */
	union {
		struct device_message device;
		struct charging_event event;
		struct {
			struct identity event_id;
		} lapsed; /* the request */
		struct {
			struct ev_uuid session_id;
			bool acknowledged; /* the device acknowledged the Charging command */
		} command;
		struct {
			struct ev_uuid session_id;
		} stop, finish;
		struct {
			struct identity item_id;
			int64_t mwh;
			struct ev_uuid session_id;
		} attach;
		struct {
			bool out;
		} service;
	};
};

struct outlet_rules {
	int64_t request_timeout_ns;     /* 60 s */
	int64_t command_timeout_ns;     /* 5 min: CommandLapsed */
	int64_t command_expiry_ns;      /* 4 min: a Charging command expires */
	int64_t stop_timeout_ns;        /* 60 s */
	int64_t stray_stop_interval_ns; /* 60 s */
	bool stop_requires_tag;
	bool notify_denials;
	/* Put the running sum also while a stop is under way: docs/decisions/0008. */
	bool report_while_stopping;
};
struct outlet_rules outlet_rules_default(void);

#define OUTLET_EVENTS_MAX 4
#define OUTLET_COMMANDS_MAX 3

struct unassigned_item {
	struct identity id; /* identity of the message that brought it */
	struct ev_uuid outlet_id;
	int64_t at_ns;
	int64_t mwh;
	struct rfid_tag tag;
	bool attached;
	struct ev_uuid session_id; /* if attached */
};

struct outlet_decision {
	enum verdict verdict;
	enum reason reason;
	bool write; /* next must be stored (version, state, identity); else next == cur */
	struct outlet next;
	int64_t credited_mwh;
	bool suspect;     /* more than max_power_mw could deliver in the period */
	bool foreign_tag; /* a stop or report with a tag that is not the session's */
	unsigned n_events;
	struct charging_event events[OUTLET_EVENTS_MAX];
	unsigned n_commands;
	struct device_command commands[OUTLET_COMMANDS_MAX];
	bool has_item; /* energy that belongs to no known session: keep it for a person */
	struct unassigned_item item;
	bool has_block; /* store these identities before the row lets go of them */
	struct identity block[OUTLET_IDS_MAX];
};

/* A new row: Available, version from now, session fields cleared. */
struct outlet outlet_new(const struct ev_uuid *id, int64_t max_power_mw, int64_t now_ns);

/*
 * Decides one input about *cur at server time now_ns.  *out is fully written.  The codecs see to it
 * that cur->state is one of the four that are stored, that a message's energy is from 0 to
 * MESSAGE_ENERGY_MAX_MWH, and that no sum of the row is negative or more than its total.
 */
void outlet_decide(const struct outlet *cur, const struct outlet_input *in,
		   const struct outlet_rules *rules, int64_t now_ns, struct outlet_decision *out);

/* The answer to a start for an outlet that does not exist: DeviceDeniesCharging for its session. */
struct charging_event outlet_unknown_denial(const struct charging_event *start,
					    const struct identity *seed, int64_t now_ns);

/*
 * What people and devices are told: CablePlugged with a waiting request is DeviceRequestsCharging,
 * Charging with a stop under way is AppRequestsStop.
 */
enum outlet_state outlet_shown_state(const struct outlet *o);

/*
 * The row's next timer: false if none.  *out_in is the input to give when the server's time has
 * reached *out_due_ns (its id is left none; `acknowledged` is the shell's to fill).
 */
bool outlet_next_timer(const struct outlet *o, const struct outlet_rules *rules,
		       int64_t *out_due_ns, struct outlet_input *out_in);

/*
 * Does the reason of a command still stand?  A gateway drops a command older than 5 s whose reason
 * has gone (design section 3, Commands).
 */
bool outlet_command_stands(const struct outlet *o, const struct device_command *c, int64_t now_ns);

/* True if identity is one of the row's last inputs. */
bool outlet_knows_identity(const struct outlet *o, const struct identity *id);

#endif
