/* engine/memory/engine.h — the engine's inside, shared by its files. */
#ifndef EV_ENGINE_MEMORY_ENGINE_H
#define EV_ENGINE_MEMORY_ENGINE_H

#include "engine/memory/memory.h"
#include "engine/memory/tables.h"

struct memory_engine {
	struct store base; /* first: a store of ours is the engine */
	struct memory_options options;
	struct memory_listener listener;
	struct tables durable;
	struct tables tip; /* durable and the open group; without a group the same */
	bool in_group;
	ev_err lost; /* the error of the engine that the open group met */
	bool dead;
	struct device_command *commands; /* of the open group, in the order of commit */
	size_t n_commands;
	size_t cap_commands;
};

extern const struct store_ops memory_store_ops;

/* Lets the fault function speak; EV_CLOSED, also of a dead engine, means: answer so, do nothing. */
EV_NODISCARD ev_err engine_fault(struct memory_engine *m, enum memory_point point);
/* Gives the open group up. */
void engine_roll_back(struct memory_engine *m);

/* The whole of a stored dead letter, its body borrowed from the table. */
struct dead_letter dead_letter_row(const void *value);
/* EV_NOTFOUND; the body is copied. */
EV_NODISCARD ev_err dead_letter_load(const struct tables *s, const struct identity *id,
				     struct dead_letter *out, char *body_out);

#endif
