/*
 * cut_disk.h — a disk whose power can be cut: files in memory, of each what is durable and what was
 * written since its last sync.
 *
 * Every change is one step; the power goes at a chosen step, or when the test says so.  From then
 * on nothing works until cut_disk_boot has decided, by a seed, what of the unsynced was on the
 * medium: nothing, all, the first so many steps, any writes, any 512-byte sectors of them, or
 * sectors of bytes that nobody wrote where the file grew.  Names are durable only after a sync of
 * their directory.  No locks: the file layer above has one.
 */
#ifndef EV_TEST_CUT_DISK_H
#define EV_TEST_CUT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"

#define CUT_NAMES 8
#define CUT_NAME_MAX 128
#define CUT_CHANGES 16 /* of one name between two syncs of the directory */
#define CUT_SECTOR 512

enum cut_how {
	CUT_NOTHING, /* unsynced survives */
	CUT_EVERYTHING,
	CUT_PREFIX,  /* in the order of the steps, over all files */
	CUT_WRITES,  /* whole writes, any of them */
	CUT_SECTORS, /* any sector of any write */
	CUT_GARBAGE, /* the same, and what the file grew by without its bytes is anything */
	CUT_HOW_COUNT
};
const char *cut_how_text(enum cut_how how);

/* During what the power went. */
enum cut_place {
	CUT_AT_REST, /* nothing was under way */
	CUT_IN_NAMES,
	CUT_IN_LOG,
	CUT_IN_FILE, /* a checkpoint, or the making of the file */
	CUT_IN_SYNC,
	CUT_PLACE_COUNT
};
const char *cut_place_text(enum cut_place place);

/* Syncs that a disk (or a setting) says it did and did not. */
enum cut_lie { CUT_LIE_DB = 1, CUT_LIE_LOG = 2, CUT_LIE_DIR = 4, CUT_LIE_ALL = 7 };

struct cut_bytes {
	uint8_t *p;
	size_t n, cap;
};

/* One write or truncation that is not durable yet. */
struct cut_op {
	uint64_t step;
	bool truncate;
	size_t at, n; /* truncate: `at` is the new size */
	uint8_t *bytes;
};

struct cut_inode {
	struct cut_inode *next;
	struct cut_bytes now, durable;
	struct cut_op *ops;
	size_t n_ops, max_ops;
	bool is_log; /* or journal: whose syncs CUT_LIE_LOG drops */
};

/* What a name stood for, oldest (durable) first; NULL: nothing. */
struct cut_name {
	char name[CUT_NAME_MAX];
	struct cut_inode *inodes[CUT_CHANGES];
	uint64_t steps[CUT_CHANGES];
	size_t n;
};

struct cut_disk {
	struct cut_name names[CUT_NAMES];
	size_t n_names;
	struct cut_inode *inodes;
	uint64_t steps;        /* since the boot */
	uint64_t cut_at;       /* the power goes during the so many-th step; 0: not by itself */
	enum cut_place cut_in; /* of that place; CUT_AT_REST: of any */
	bool dead;
	unsigned lies;        /* enum cut_lie */
	uint64_t n_syncs;     /* since the disk was made */
	uint64_t n_dropped;   /* writes that cuts lost or tore */
	enum cut_place place; /* valid while dead, as the text below */
	char last[160];
	uint64_t trace; /* a hash of all steps: equal runs have equal traces */
};

void cut_disk_init(struct cut_disk *d);
void cut_disk_deinit(struct cut_disk *d);

/* The inode of a name; NULL: none, or the disk is dead. */
struct cut_inode *cut_disk_find(struct cut_disk *d, const char *name);
/* These change something: false once the power is gone, also when it goes in the midst. */
bool cut_disk_create(struct cut_disk *d, const char *name, bool is_log, struct cut_inode **out);
bool cut_disk_delete(struct cut_disk *d, const char *name);
bool cut_disk_write(struct cut_disk *d, struct cut_inode *f, const void *p, size_t n, size_t at);
bool cut_disk_truncate(struct cut_disk *d, struct cut_inode *f, size_t size);
bool cut_disk_sync(struct cut_disk *d, struct cut_inode *f);
bool cut_disk_sync_dir(struct cut_disk *d);

/* The power goes now, if it has not. */
void cut_disk_cut(struct cut_disk *d);
/* Power is back: decides what was kept, and works again.  No file may be in use. */
void cut_disk_boot(struct cut_disk *d, enum cut_how how, struct ev_rng *rng);
/* Writes what the disk holds now to the real files of those names, and removes the others. */
void cut_disk_export(const struct cut_disk *d);

#endif
