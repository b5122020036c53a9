#include "service/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "base/time.h"

#define PATH_MAX_BYTES 1024
#define FILE_MAX_BYTES (INT64_C(256) * 1024 * 1024)
#define LINE_MAX_BYTES 256
#define DIGEST_TEXT ((size_t)EV_SHA256_SIZE * 2)
#define SECRET_BYTES 32
#define SECRET_PREFIX "evc_"
#define FIELDS 4

static const char header[] =
	"# Written by evcharge; hashes only, the secrets are with their owners.\n";

/* By these the file read last is known again. */
struct file_mark {
	bool exists;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
	mode_t mode;
};

/* A set in memory; `by_digest` maps the first 16 bytes of a digest to an index. */
struct credential_set {
	struct credential *items;
	size_t n, cap;
	struct ev_map by_digest;
};

struct credentials {
	char path[PATH_MAX_BYTES];
	uint64_t seed[2];
	pthread_rwlock_t lock; /* of set: written by a refresh alone, and only as a whole */
	struct credential_set set;
	struct file_mark mark;
};

static const char *const kind_names[] = {
	[CREDENTIAL_API] = "api", [CREDENTIAL_DEVICE] = "device"
};

static ev_err fail_sys(struct ev_fail *fail, const char *path)
{
	int sys = errno;
	ev_err code = EV_IO;

	if (sys == EACCES || sys == EPERM || sys == EROFS)
		code = EV_DENIED;
	else if (sys == ENOSPC || sys == EDQUOT)
		code = EV_FULL;
	return ev_fail_set(fail, code, sys, "%.120s: %s", path, strerror(sys));
}

static ev_err file_path(char out[PATH_MAX_BYTES], const char *dir, const char *name,
			struct ev_fail *fail)
{
	int n = snprintf(out, PATH_MAX_BYTES, "%s/%s", dir, name);

	if (n < 0 || n >= PATH_MAX_BYTES)
		return ev_fail_set(fail, EV_INVALID, 0, "%.80s…: the path is too long", dir);
	return EV_OK;
}

/* --- The set --- */

static void set_init(struct credential_set *s, const uint64_t seed[2])
{
	*s = (struct credential_set){ .items = NULL };
	ev_map_init(&s->by_digest, CREDENTIALS_MAX, seed);
}

static void set_deinit(struct credential_set *s)
{
	ev_map_deinit(&s->by_digest);
	free(s->items);
	*s = (struct credential_set){ .items = NULL };
}

static ev_err set_grow(struct credential_set *s)
{
	size_t cap = s->cap == 0 ? 16 : s->cap * 2;
	struct credential *items;

	if (s->n < s->cap)
		return EV_OK;
	if (s->n >= CREDENTIALS_MAX)
		return EV_FULL;
	items = realloc(s->items, cap * sizeof(*items));
	if (items == NULL)
		return EV_NOMEM;
	s->items = items;
	s->cap = cap;
	return EV_OK;
}

static ev_err set_add(struct credential_set *s, const struct credential *item)
{
	ev_err e = set_grow(s);

	if (e != EV_OK)
		return e;
	e = ev_map_put(&s->by_digest, item->digest, s->n);
	if (e == EV_OK)
		s->items[s->n++] = *item;
	return e;
}

static bool is_named(const struct credential *item, enum credential_kind kind, const char *name)
{
	return item->kind == kind && strcmp(item->name, name) == 0;
}

static const struct credential *set_find(const struct credential_set *s, struct ev_str secret)
{
	uint8_t digest[EV_SHA256_SIZE];
	uintptr_t at;

	ev_sha256(secret.p, secret.n, digest);
	if (!ev_map_get(&s->by_digest, digest, &at))
		return NULL;
	if (!ev_equal_consttime(digest, s->items[at].digest, sizeof(digest)))
		return NULL;
	return &s->items[at];
}

/* --- Lines --- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static ev_err parse_digest(struct ev_str s, uint8_t out[EV_SHA256_SIZE])
{
	if (s.n != DIGEST_TEXT)
		return EV_INVALID;
	for (size_t i = 0; i < EV_SHA256_SIZE; i++) {
		int high = hex_value(s.p[2 * i]), low = hex_value(s.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return EV_INVALID;
		out[i] = (uint8_t)(high * 16 + low);
	}
	return EV_OK;
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '-' || c == '_';
}

/* A device's name is its outletId in one form, whatever case it was given in. */
static ev_err parse_name(enum credential_kind kind, struct ev_str s,
			 char out[CREDENTIAL_NAME_MAX + 1])
{
	struct ev_uuid id;

	if (kind == CREDENTIAL_DEVICE) {
		if (ev_uuid_parse(s, &id) != EV_OK)
			return EV_INVALID;
		ev_uuid_text(&id, out);
		return EV_OK;
	}
	if (s.n == 0 || s.n > CREDENTIAL_NAME_MAX)
		return EV_INVALID;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_name_char(s.p[i]))
			return EV_INVALID;
	}
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return EV_OK;
}

static ev_err parse_kind(struct ev_str s, enum credential_kind *out)
{
	if (ev_str_eqz(s, kind_names[CREDENTIAL_API]))
		*out = CREDENTIAL_API;
	else if (ev_str_eqz(s, kind_names[CREDENTIAL_DEVICE]))
		*out = CREDENTIAL_DEVICE;
	else
		return EV_INVALID;
	return EV_OK;
}

/* Exactly four words with single spaces between them. */
static ev_err split_words(struct ev_str line, struct ev_str out[FIELDS])
{
	for (size_t i = 0; i < FIELDS; i++) {
		const char *space = line.n > 0 ? memchr(line.p, ' ', line.n) : NULL;
		size_t n = space != NULL ? (size_t)(space - line.p) : line.n;

		if (n == 0 || (space != NULL) != (i + 1 < FIELDS))
			return EV_INVALID;
		out[i] = (struct ev_str){ line.p, n };
		if (space != NULL)
			line = (struct ev_str){ space + 1, line.n - n - 1 };
	}
	return EV_OK;
}

static ev_err parse_line(struct ev_str line, struct credential *out)
{
	struct ev_str words[FIELDS];
	struct credential item = { .kind = CREDENTIAL_API };

	if (split_words(line, words) != EV_OK || parse_kind(words[0], &item.kind) != EV_OK ||
	    parse_name(item.kind, words[1], item.name) != EV_OK ||
	    parse_digest(words[2], item.digest) != EV_OK ||
	    ev_time_parse(words[3], &item.created_ns, NULL) != EV_OK)
		return EV_INVALID;
	*out = item;
	return EV_OK;
}

static size_t write_line(const struct credential *item, char out[LINE_MAX_BYTES])
{
	struct ev_buf b = ev_buf_over(out, LINE_MAX_BYTES);
	char digest[DIGEST_TEXT + 1];

	ev_hex(item->digest, sizeof(item->digest), digest);
	ev_buf_z(&b, kind_names[item->kind]);
	ev_buf_char(&b, ' ');
	ev_buf_z(&b, item->name);
	ev_buf_char(&b, ' ');
	ev_buf_z(&b, digest);
	ev_buf_char(&b, ' ');
	ev_time_write(&b, item->created_ns);
	ev_buf_char(&b, '\n');
	return b.len;
}

static ev_err parse_text(struct ev_str text, struct credential_set *set, const char *path,
			 struct ev_fail *fail)
{
	for (unsigned number = 1; text.n > 0; number++) {
		const char *end = memchr(text.p, '\n', text.n);
		size_t n = end != NULL ? (size_t)(end - text.p) : text.n;
		struct ev_str line = { text.p, n };
		struct credential item;

		text = (struct ev_str){ text.p + n + (end != NULL), text.n - n - (end != NULL) };
		if (line.n == 0 || line.p[0] == '#')
			continue;
		if (parse_line(line, &item) != EV_OK)
			return ev_fail_set(fail, EV_CORRUPT, 0, "%.120s line %u: no credential",
					   path, number);
		ev_err e = set_add(set, &item);

		if (e != EV_OK)
			return ev_fail_set(fail, e, 0, "%.120s: %s", path, ev_err_text(e));
	}
	return EV_OK;
}

/* --- Reading --- */

static struct file_mark mark_of(const struct stat *st)
{
	return (struct file_mark){ .exists = true,
				   .inode = st->st_ino,
				   .size = st->st_size,
				   .modified = st->st_mtim,
				   .changed = st->st_ctim,
				   .mode = st->st_mode };
}

static bool time_eq(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool mark_eq(const struct file_mark *a, const struct file_mark *b)
{
	if (!a->exists || !b->exists)
		return a->exists == b->exists;
	return a->inode == b->inode && a->size == b->size && time_eq(a->modified, b->modified) &&
	       time_eq(a->changed, b->changed);
}

static ev_err read_bytes(int fd, char *out, size_t n, size_t *out_n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = read(fd, out + done, n - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return EV_IO;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	*out_n = done;
	return EV_OK;
}

static ev_err read_open_file(int fd, const char *path, struct credential_set *set,
			     struct file_mark *out_mark, struct ev_fail *fail)
{
	struct stat st;
	size_t n = 0;

	if (fstat(fd, &st) != 0)
		return fail_sys(fail, path);
	if (st.st_size > FILE_MAX_BYTES)
		return ev_fail_set(fail, EV_FULL, 0, "%.120s is too long", path);
	char *text = malloc((size_t)st.st_size + 1);

	if (text == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	ev_err e = read_bytes(fd, text, (size_t)st.st_size, &n);

	if (e != EV_OK)
		e = fail_sys(fail, path);
	else
		e = parse_text((struct ev_str){ text, n }, set, path, fail);
	free(text);
	if (e == EV_OK)
		*out_mark = mark_of(&st);
	return e;
}

/* The set is initialised and empty, and so it stays if there is no file. */
static ev_err read_file(const char *path, struct credential_set *set, struct file_mark *out_mark,
			struct ev_fail *fail)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		*out_mark = (struct file_mark){ .exists = false };
		return EV_OK;
	}
	if (fd < 0)
		return fail_sys(fail, path);
	ev_err e = read_open_file(fd, path, set, out_mark, fail);

	(void)close(fd); /* only read from */
	return e;
}

ev_err credentials_open(struct credentials **out, const char *dir, const uint64_t seed[2],
			struct ev_fail *fail)
{
	EV_CLEANUP(credentials_freep) struct credentials *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	if (pthread_rwlock_init(&c->lock, NULL) != 0) {
		free(c);
		c = NULL;
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	}
	memcpy(c->seed, seed, sizeof(c->seed));
	set_init(&c->set, c->seed);
	ev_err e = file_path(c->path, dir, CREDENTIALS_FILE, fail);

	if (e == EV_OK)
		e = read_file(c->path, &c->set, &c->mark, fail);
	if (e != EV_OK)
		return e;
	*out = c;
	c = NULL;
	return EV_OK;
}

void credentials_free(struct credentials *c)
{
	if (c == NULL)
		return;
	set_deinit(&c->set);
	(void)pthread_rwlock_destroy(&c->lock); /* nobody holds it */
	free(c);
}

void credentials_freep(struct credentials **c)
{
	credentials_free(*c);
	*c = NULL;
}

static ev_err reload(struct credentials *c, struct ev_fail *fail)
{
	struct credential_set set, old;
	struct file_mark mark;

	set_init(&set, c->seed);
	ev_err e = read_file(c->path, &set, &mark, fail);

	if (e != EV_OK) {
		set_deinit(&set);
		return e;
	}
	(void)pthread_rwlock_wrlock(&c->lock);
	old = c->set;
	c->set = set;
	(void)pthread_rwlock_unlock(&c->lock);
	set_deinit(&old);
	c->mark = mark;
	return EV_OK;
}

ev_err credentials_refresh(struct credentials *c, bool *out_changed, struct ev_fail *fail)
{
	struct stat st;
	struct file_mark now = { .exists = false };

	if (stat(c->path, &st) == 0)
		now = mark_of(&st);
	else if (errno != ENOENT)
		return fail_sys(fail, c->path);
	bool changed = !mark_eq(&now, &c->mark);
	ev_err e = changed ? reload(c, fail) : EV_OK;

	if (e == EV_OK && out_changed != NULL)
		*out_changed = changed;
	return e;
}

bool credentials_is_api(struct credentials *c, struct ev_str secret)
{
	(void)pthread_rwlock_rdlock(&c->lock);
	const struct credential *item = set_find(&c->set, secret);
	bool yes = item != NULL && item->kind == CREDENTIAL_API;

	(void)pthread_rwlock_unlock(&c->lock);
	return yes;
}

bool credentials_is_device(struct credentials *c, const struct ev_uuid *outlet_id,
			   struct ev_str secret)
{
	char name[EV_UUID_TEXT + 1];

	ev_uuid_text(outlet_id, name);
	(void)pthread_rwlock_rdlock(&c->lock);
	const struct credential *item = set_find(&c->set, secret);
	bool yes = item != NULL && is_named(item, CREDENTIAL_DEVICE, name);

	(void)pthread_rwlock_unlock(&c->lock);
	return yes;
}

size_t credentials_count(const struct credentials *c)
{
	return c->set.n;
}

const struct credential *credentials_at(const struct credentials *c, size_t i)
{
	return &c->set.items[i];
}

bool credentials_are_exposed(const struct credentials *c)
{
	return c->mark.exists && (c->mark.mode & (S_IRWXG | S_IRWXO)) != 0;
}

/* --- Writing --- */

static ev_err write_bytes(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t put = write(fd, p, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return EV_IO;
		p += put;
		n -= (size_t)put;
	}
	return EV_OK;
}

static ev_err write_set(int fd, const struct credential_set *set)
{
	char line[LINE_MAX_BYTES];
	ev_err e = write_bytes(fd, header, sizeof(header) - 1);

	for (size_t i = 0; i < set->n && e == EV_OK; i++)
		e = write_bytes(fd, line, write_line(&set->items[i], line));
	if (e == EV_OK && fsync(fd) != 0)
		e = EV_IO;
	return e;
}

/* A directory that is open and locked against other writers. */
struct writer {
	int dir_fd;
	char path[PATH_MAX_BYTES];
	char new_path[PATH_MAX_BYTES];
	struct credential_set set;
};

static void writer_close(struct writer *w)
{
	set_deinit(&w->set);
	if (w->dir_fd >= 0)
		(void)close(w->dir_fd); /* gives the lock back; the data was synced before */
}

static ev_err writer_lock(struct writer *w, const char *dir, struct ev_fail *fail)
{
	if (mkdir(dir, S_IRWXU) != 0 && errno != EEXIST)
		return fail_sys(fail, dir);
	w->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->dir_fd < 0 || flock(w->dir_fd, LOCK_EX) != 0)
		return fail_sys(fail, dir);
	return EV_OK;
}

/* On failure, too, it is to be closed. */
static ev_err writer_open(struct writer *w, const char *dir, struct ev_fail *fail)
{
	static const uint64_t no_peer_chooses_these[2] = { 0, 0 };
	struct file_mark mark;
	ev_err e;

	w->dir_fd = -1;
	set_init(&w->set, no_peer_chooses_these);
	e = file_path(w->path, dir, CREDENTIALS_FILE, fail);
	if (e == EV_OK)
		e = file_path(w->new_path, dir, CREDENTIALS_FILE ".new", fail);
	if (e == EV_OK)
		e = writer_lock(w, dir, fail);
	if (e == EV_OK)
		e = read_file(w->path, &w->set, &mark, fail);
	return e;
}

static ev_err writer_replace(struct writer *w, struct ev_fail *fail)
{
	/* What a crash left there would keep its mode and owner. */
	if (unlink(w->new_path) != 0 && errno != ENOENT)
		return fail_sys(fail, w->new_path);
	int fd = open(w->new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);

	if (fd < 0)
		return fail_sys(fail, w->new_path);
	ev_err e = write_set(fd, &w->set) == EV_OK ? EV_OK : fail_sys(fail, w->new_path);

	if (close(fd) != 0 && e == EV_OK)
		e = fail_sys(fail, w->new_path);
	if (e == EV_OK && (rename(w->new_path, w->path) != 0 || fsync(w->dir_fd) != 0))
		e = fail_sys(fail, w->path);
	if (e != EV_OK)
		(void)unlink(w->new_path); /* the next writer does it, if this fails */
	return e;
}

/* RFC 4648 §5 without padding: 32 bytes are 43 characters. */
static void write_base64url(const uint8_t *p, size_t n, char *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t bits = 0;
	unsigned n_bits = 0;

	for (size_t i = 0; i < n; i++) {
		bits = bits << 8 | p[i];
		n_bits += 8;
		while (n_bits >= 6) {
			n_bits -= 6;
			*out++ = digits[bits >> n_bits & 63];
		}
	}
	if (n_bits > 0)
		*out++ = digits[bits << (6 - n_bits) & 63];
	*out = '\0';
}

static void make_secret(struct ev_rng *rng, char out[CREDENTIAL_SECRET_TEXT + 1])
{
	uint8_t bytes[SECRET_BYTES];

	ev_rng_fill(rng, bytes, sizeof(bytes));
	memcpy(out, SECRET_PREFIX, sizeof(SECRET_PREFIX) - 1);
	write_base64url(bytes, sizeof(bytes), out + sizeof(SECRET_PREFIX) - 1);
	explicit_bzero(bytes, sizeof(bytes));
}

static bool has_api_name(const struct credential_set *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++) {
		if (is_named(&set->items[i], CREDENTIAL_API, name))
			return true;
	}
	return false;
}

static ev_err add_and_replace(struct writer *w, const struct credential *item, struct ev_fail *fail)
{
	if (item->kind == CREDENTIAL_API && has_api_name(&w->set, item->name))
		return ev_fail_set(fail, EV_EXISTS, 0, "there is a token %s already", item->name);
	ev_err e = set_add(&w->set, item);

	if (e != EV_OK)
		return ev_fail_set(fail, e, 0, "%.120s: %s", w->path, ev_err_text(e));
	return writer_replace(w, fail);
}

static ev_err check_name(enum credential_kind kind, struct ev_str name,
			 char out[CREDENTIAL_NAME_MAX + 1], struct ev_fail *fail)
{
	if (parse_name(kind, name, out) == EV_OK)
		return EV_OK;
	if (kind == CREDENTIAL_DEVICE)
		return ev_fail_set(fail, EV_INVALID, 0, "an outletId is a UUID");
	return ev_fail_set(fail, EV_INVALID, 0,
			   "a name has 1 to %d letters, digits, dots, dashes or underscores",
			   CREDENTIAL_NAME_MAX);
}

ev_err credentials_create(const char *dir, enum credential_kind kind, struct ev_str name,
			  struct ev_rng *rng, int64_t now_ns,
			  char out_secret[CREDENTIAL_SECRET_TEXT + 1], struct ev_fail *fail)
{
	struct credential item = { .kind = kind, .created_ns = now_ns };
	char secret[CREDENTIAL_SECRET_TEXT + 1];
	struct writer w;
	ev_err e = check_name(kind, name, item.name, fail);

	if (e != EV_OK)
		return e;
	make_secret(rng, secret);
	ev_sha256(secret, CREDENTIAL_SECRET_TEXT, item.digest);
	e = writer_open(&w, dir, fail);
	if (e == EV_OK)
		e = add_and_replace(&w, &item, fail);
	writer_close(&w);
	if (e == EV_OK)
		memcpy(out_secret, secret, sizeof(secret));
	explicit_bzero(secret, sizeof(secret));
	return e;
}

static ev_err remove_and_replace(struct writer *w, enum credential_kind kind, const char *name,
				 struct ev_fail *fail)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->set.n; i++) {
		if (!is_named(&w->set.items[i], kind, name))
			w->set.items[kept++] = w->set.items[i];
	}
	if (kept == w->set.n)
		return ev_fail_set(fail, EV_NOTFOUND, 0, "there is no %s credential of %s",
				   kind_names[kind], name);
	w->set.n = kept; /* the map is stale now, but a writer does not look anything up */
	return writer_replace(w, fail);
}

ev_err credentials_revoke(const char *dir, enum credential_kind kind, struct ev_str name,
			  struct ev_fail *fail)
{
	char text[CREDENTIAL_NAME_MAX + 1];
	struct writer w;
	ev_err e = check_name(kind, name, text, fail);

	if (e != EV_OK)
		return e;
	e = writer_open(&w, dir, fail);
	if (e == EV_OK)
		e = remove_and_replace(&w, kind, text, fail);
	writer_close(&w);
	return e;
}
