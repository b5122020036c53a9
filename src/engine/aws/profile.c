#include "engine/aws/profile.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/buf.h"

enum section_kind { SECTION_OTHER, SECTION_PROFILE, SECTION_SERVICES };

struct section {
	enum aws_profile_file file;
	enum section_kind kind;
	bool prefixed; /* `[profile default]`, which wins over `[default]` */
	struct ev_str name;
};

struct entry {
	unsigned section;
	struct ev_str parent; /* the key that this one is nested below, or empty */
	struct ev_str key;
	struct ev_str value;
};

struct aws_profiles {
	char *text[AWS_FILE_COUNT];
	size_t text_n[AWS_FILE_COUNT];
	struct section *sections;
	size_t n_sections, cap_sections;
	struct entry *entries;
	size_t n_entries, cap_entries;
};

static const char *const file_names[AWS_FILE_COUNT] = {
	[AWS_FILE_CREDENTIALS] = "the AWS credentials file",
	[AWS_FILE_CONFIG] = "the AWS config file",
};

/* --- Parsing --- */

struct parser {
	struct aws_profiles *p;
	enum aws_profile_file file;
	unsigned line;
	bool in_section;
	size_t section;  /* index, valid if in_section */
	bool has_parent; /* the last key had no value: indented lines nest below it */
	bool has_key;    /* there was a key in this section at all */
	struct ev_str parent;
	struct ev_fail *fail;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct ev_str trim(struct ev_str s)
{
	while (s.n > 0 && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

static ev_err fault(struct parser *ps, const char *what)
{
	return ev_fail_set(ps->fail, EV_INVALID, 0, "%s, line %u: %s", file_names[ps->file],
			   ps->line, what);
}

static ev_err grow(void **items, size_t *cap, size_t n, size_t size)
{
	size_t wanted = *cap == 0 ? 32 : *cap * 2;
	void *grown;

	if (n < *cap)
		return EV_OK;
	if (n >= AWS_PROFILE_ENTRIES_MAX)
		return EV_FULL;
	grown = reallocarray(*items, wanted, size);
	if (grown == NULL)
		return EV_NOMEM;
	*items = grown;
	*cap = wanted;
	return EV_OK;
}

static ev_err add_section(struct parser *ps, struct section s)
{
	struct aws_profiles *p = ps->p;
	void *items = p->sections;
	ev_err err = grow(&items, &p->cap_sections, p->n_sections, sizeof(s));

	p->sections = items;
	if (err != EV_OK)
		return ev_fail_set(ps->fail, err, 0, "%s: too many sections", file_names[ps->file]);
	s.file = ps->file;
	ps->section = p->n_sections;
	ps->in_section = true;
	ps->has_key = ps->has_parent = false;
	p->sections[p->n_sections++] = s;
	return EV_OK;
}

static ev_err add_entry(struct parser *ps, struct ev_str parent, struct ev_str key,
			struct ev_str value)
{
	struct aws_profiles *p = ps->p;
	void *items = p->entries;
	ev_err err = grow(&items, &p->cap_entries, p->n_entries, sizeof(*p->entries));

	p->entries = items;
	if (err != EV_OK)
		return ev_fail_set(ps->fail, err, 0, "%s: too many lines", file_names[ps->file]);
	p->entries[p->n_entries++] = (struct entry){
		.section = (unsigned)ps->section, .parent = parent, .key = key, .value = value
	};
	return EV_OK;
}

/* `NAME`, `"NA ME"` or `'NA ME'`; empty if it is neither. */
static struct ev_str unquote(struct ev_str s)
{
	s = trim(s);
	if (s.n >= 2 && (s.p[0] == '"' || s.p[0] == '\'')) {
		if (s.p[s.n - 1] != s.p[0])
			return (struct ev_str){ .n = 0 };
		return (struct ev_str){ s.p + 1, s.n - 2 };
	}
	return s;
}

/* True if s is the word and a blank behind it; *rest is what follows. */
static bool begins_with_word(struct ev_str s, struct ev_str word, struct ev_str *rest)
{
	if (s.n <= word.n || !ev_str_starts(s, word) || !is_blank(s.p[word.n]))
		return false;
	*rest = (struct ev_str){ s.p + word.n, s.n - word.n };
	return true;
}

static struct section section_of(enum aws_profile_file file, struct ev_str name)
{
	struct ev_str rest;

	if (file == AWS_FILE_CREDENTIALS)
		return (struct section){ .kind = SECTION_PROFILE, .name = unquote(name) };
	if (ev_str_eqz(name, "default"))
		return (struct section){ .kind = SECTION_PROFILE, .name = name };
	if (begins_with_word(name, EV_LIT("profile"), &rest))
		return (struct section){ .kind = SECTION_PROFILE,
					 .prefixed = true,
					 .name = unquote(rest) };
	if (begins_with_word(name, EV_LIT("services"), &rest))
		return (struct section){ .kind = SECTION_SERVICES, .name = unquote(rest) };
	return (struct section){ .kind = SECTION_OTHER };
}

static ev_err section_line(struct parser *ps, struct ev_str line)
{
	const char *end = memchr(line.p, ']', line.n);
	struct section s;
	struct ev_str rest;

	if (end == NULL)
		return fault(ps, "a section without its closing bracket");
	rest = trim((struct ev_str){ end + 1, line.n - (size_t)(end + 1 - line.p) });
	if (rest.n > 0 && rest.p[0] != '#' && rest.p[0] != ';')
		return fault(ps, "something behind a section's name");
	s = section_of(ps->file, trim((struct ev_str){ line.p + 1, (size_t)(end - line.p - 1) }));
	if (s.name.n == 0)
		s.kind = SECTION_OTHER;
	return add_section(ps, s);
}

/* `# …` and `; …` behind a blank are no part of a value. */
static struct ev_str without_comment(struct ev_str v)
{
	for (size_t i = 0; i + 1 < v.n; i++) {
		if (is_blank(v.p[i]) && (v.p[i + 1] == '#' || v.p[i + 1] == ';'))
			return (struct ev_str){ v.p, i };
	}
	return v;
}

static bool split(struct ev_str line, struct ev_str *key, struct ev_str *value)
{
	const char *eq = memchr(line.p, '=', line.n);

	if (eq == NULL)
		return false;
	*key = trim((struct ev_str){ line.p, (size_t)(eq - line.p) });
	*value = trim(
		without_comment((struct ev_str){ eq + 1, line.n - (size_t)(eq + 1 - line.p) }));
	return key->n > 0;
}

/*
 * An indented line: nested below a key without value, else more of a value, which none of ours
 * has.
 */
static ev_err nested_line(struct parser *ps, struct ev_str line)
{
	struct ev_str key, value;

	if (!ps->has_key)
		return fault(ps, "an indented line without a key above it");
	if (!ps->has_parent)
		return EV_OK;
	if (!split(trim(line), &key, &value))
		return fault(ps, "neither a key with a value nor a section");
	return add_entry(ps, ps->parent, key, value);
}

static ev_err key_line(struct parser *ps, struct ev_str line)
{
	struct ev_str key, value;

	if (!split(line, &key, &value))
		return fault(ps, "neither a key with a value nor a section");
	ps->has_key = true;
	ps->has_parent = value.n == 0;
	ps->parent = key;
	return add_entry(ps, (struct ev_str){ .n = 0 }, key, value);
}

static ev_err one_line(struct parser *ps, struct ev_str line)
{
	struct ev_str t = trim(line);

	if (t.n == 0 || t.p[0] == '#' || t.p[0] == ';')
		return EV_OK;
	if (line.p[0] == '[')
		return section_line(ps, t);
	if (!ps->in_section)
		return fault(ps, "a line outside any section");
	if (is_blank(line.p[0]))
		return nested_line(ps, line);
	return key_line(ps, t);
}

static ev_err parse_file(struct parser *ps, struct ev_str text)
{
	ev_err err = EV_OK;

	if (text.n == 0)
		return EV_OK;
	if (memchr(text.p, '\0', text.n) != NULL)
		return ev_fail_set(ps->fail, EV_INVALID, 0, "%s: not a text", file_names[ps->file]);
	if (ev_str_starts(text, EV_LIT("\xEF\xBB\xBF"))) {
		text.p += 3;
		text.n -= 3;
	}
	while (err == EV_OK && text.n > 0) {
		const char *end = memchr(text.p, '\n', text.n);
		size_t n = end != NULL ? (size_t)(end - text.p) : text.n;
		size_t used = end != NULL ? n + 1 : n;

		ps->line++;
		if (n > 0)
			err = one_line(ps, (struct ev_str){ text.p, n });
		text.p += used;
		text.n -= used;
	}
	return err;
}

/* Takes the texts over, also on failure. */
static ev_err take_over(char *const texts[AWS_FILE_COUNT], const size_t sizes[AWS_FILE_COUNT],
			struct aws_profiles **out, struct ev_fail *fail)
{
	struct aws_profiles *p = calloc(1, sizeof(*p));
	ev_err err = p != NULL ? EV_OK : EV_NOMEM;

	for (int f = 0; f < AWS_FILE_COUNT; f++) {
		struct parser ps = { .p = p, .file = (enum aws_profile_file)f, .fail = fail };

		if (p == NULL) {
			free(texts[f]);
			continue;
		}
		p->text[f] = texts[f];
		p->text_n[f] = sizes[f];
		if (err == EV_OK)
			err = parse_file(&ps, (struct ev_str){ texts[f], sizes[f] });
	}
	if (err == EV_NOMEM)
		ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	if (err == EV_OK)
		*out = p;
	else
		aws_profiles_free(p);
	return err;
}

ev_err aws_profiles_parse(const struct ev_str files[AWS_FILE_COUNT], struct aws_profiles **out,
			  struct ev_fail *fail)
{
	char *texts[AWS_FILE_COUNT] = { NULL };
	size_t sizes[AWS_FILE_COUNT] = { 0 };

	for (int f = 0; f < AWS_FILE_COUNT; f++) {
		if (files[f].n > AWS_PROFILE_FILE_MAX)
			return ev_fail_set(fail, EV_FULL, 0, "%s is too large", file_names[f]);
	}
	for (int f = 0; f < AWS_FILE_COUNT; f++) {
		texts[f] = malloc(files[f].n + 1);
		if (texts[f] == NULL)
			continue; /* as an empty one; reported below */
		sizes[f] = files[f].n;
		if (files[f].n > 0)
			memcpy(texts[f], files[f].p, files[f].n);
	}
	if (texts[AWS_FILE_CREDENTIALS] == NULL || texts[AWS_FILE_CONFIG] == NULL) {
		free(texts[AWS_FILE_CREDENTIALS]);
		free(texts[AWS_FILE_CONFIG]);
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	}
	return take_over(texts, sizes, out, fail);
}

/* --- Files --- */

static ev_err map_errno(int sys)
{
	if (sys == ENOENT || sys == ENOTDIR)
		return EV_NOTFOUND;
	return sys == EACCES || sys == EPERM ? EV_DENIED : EV_IO;
}

static ev_err read_all(int fd, char *buf, size_t max, size_t *out_n)
{
	size_t n = 0;

	for (;;) {
		ssize_t got = read(fd, buf + n, max + 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return map_errno(errno);
		if (got == 0)
			break;
		n += (size_t)got;
		if (n > max)
			return EV_FULL;
	}
	buf[n] = '\0';
	*out_n = n;
	return EV_OK;
}

ev_err aws_file_read(const char *path, size_t max, char **out, size_t *out_n)
{
	/* Not blocking, in case somebody names a pipe. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *buf;
	ev_err err;

	if (fd < 0)
		return map_errno(errno);
	buf = malloc(max + 1);
	err = buf != NULL ? read_all(fd, buf, max, out_n) : EV_NOMEM;
	(void)close(fd);
	if (err == EV_OK) {
		*out = buf;
		return EV_OK;
	}
	if (buf != NULL)
		OPENSSL_cleanse(buf, max + 1);
	free(buf);
	return err;
}

/* False: there is no such path to be had. */
static bool file_path(const struct aws_env *env, const char *variable, const char *below_home,
		      char out[PATH_MAX])
{
	struct ev_str named = aws_env_get(env, variable);
	struct ev_str home = aws_env_get(env, "HOME");
	struct ev_buf b = ev_buf_over(out, PATH_MAX - 1);

	if (named.n == 0 || ev_str_starts(named, EV_LIT("~/"))) {
		if (home.n == 0)
			return false;
		ev_buf_str_add(&b, home);
		if (named.n > 0)
			ev_buf_z(&b, named.p + 1);
		else
			ev_buf_z(&b, below_home);
	} else {
		ev_buf_str_add(&b, named);
	}
	out[b.len] = '\0';
	return !b.overflow;
}

static ev_err load_file(const struct aws_env *env, enum aws_profile_file f, char **out,
			size_t *out_n, struct ev_fail *fail)
{
	static const char *const variables[AWS_FILE_COUNT] = {
		[AWS_FILE_CREDENTIALS] = "AWS_SHARED_CREDENTIALS_FILE",
		[AWS_FILE_CONFIG] = "AWS_CONFIG_FILE",
	};
	static const char *const usual[AWS_FILE_COUNT] = {
		[AWS_FILE_CREDENTIALS] = "/.aws/credentials",
		[AWS_FILE_CONFIG] = "/.aws/config",
	};
	char path[PATH_MAX];
	ev_err err = EV_NOTFOUND;

	if (file_path(env, variables[f], usual[f], path))
		err = aws_file_read(path, AWS_PROFILE_FILE_MAX, out, out_n);
	if (err == EV_NOTFOUND)
		return EV_OK;
	if (err != EV_OK)
		return ev_fail_set(fail, err, 0, "%s (%s): %s", file_names[f], path,
				   err == EV_FULL ? "too large" : ev_err_text(err));
	return EV_OK;
}

ev_err aws_profiles_load(const struct aws_env *env, struct aws_profiles **out, struct ev_fail *fail)
{
	char *texts[AWS_FILE_COUNT] = { NULL };
	size_t sizes[AWS_FILE_COUNT] = { 0 };
	ev_err err = load_file(env, AWS_FILE_CREDENTIALS, &texts[AWS_FILE_CREDENTIALS],
			       &sizes[AWS_FILE_CREDENTIALS], fail);

	if (err == EV_OK)
		err = load_file(env, AWS_FILE_CONFIG, &texts[AWS_FILE_CONFIG],
				&sizes[AWS_FILE_CONFIG], fail);
	if (err == EV_OK)
		return take_over(texts, sizes, out, fail);
	for (int f = 0; f < AWS_FILE_COUNT; f++) {
		if (texts[f] != NULL)
			OPENSSL_cleanse(texts[f], sizes[f]);
		free(texts[f]);
	}
	return err;
}

void aws_profiles_free(struct aws_profiles *p)
{
	if (p == NULL)
		return;
	for (int f = 0; f < AWS_FILE_COUNT; f++) {
		if (p->text[f] != NULL)
			OPENSSL_cleanse(p->text[f], p->text_n[f]);
		free(p->text[f]);
	}
	free(p->sections);
	free(p->entries);
	free(p);
}

/* --- Looking up --- */

struct ev_str aws_profile_name(const struct aws_env *env)
{
	struct ev_str name = aws_env_get(env, "AWS_PROFILE");

	if (name.n == 0)
		name = aws_env_get(env, "AWS_DEFAULT_PROFILE");
	return name.n > 0 ? name : EV_LIT("default");
}

bool aws_profile_exists(const struct aws_profiles *p, struct ev_str profile)
{
	for (size_t i = 0; i < p->n_sections; i++) {
		const struct section *s = &p->sections[i];

		if (s->kind == SECTION_PROFILE && ev_str_eq(s->name, profile))
			return true;
	}
	return false;
}

struct wanted {
	enum aws_profile_file file;
	enum section_kind kind;
	struct ev_str name, parent, key;
};

static bool matches(const struct aws_profiles *p, const struct entry *e, const struct wanted *w)
{
	const struct section *s = &p->sections[e->section];

	return s->file == w->file && s->kind == w->kind && ev_str_eq(s->name, w->name) &&
	       ev_str_eq(e->parent, w->parent) && ev_str_eq_nocase(e->key, w->key) &&
	       e->value.n > 0;
}

static bool look_up(const struct aws_profiles *p, const struct wanted *w, struct ev_str *out)
{
	const struct entry *best = NULL;

	for (size_t i = 0; i < p->n_entries; i++) {
		const struct entry *e = &p->entries[i];

		if (!matches(p, e, w))
			continue;
		if (best == NULL || p->sections[e->section].prefixed ||
		    !p->sections[best->section].prefixed)
			best = e;
	}
	if (best != NULL)
		*out = best->value;
	return best != NULL;
}

bool aws_profile_get_in(const struct aws_profiles *p, enum aws_profile_file file,
			struct ev_str profile, const char *key, struct ev_str *out)
{
	struct wanted w = {
		.file = file, .kind = SECTION_PROFILE, .name = profile, .key = ev_str_from(key)
	};

	return look_up(p, &w, out);
}

bool aws_profile_get(const struct aws_profiles *p, struct ev_str profile, const char *key,
		     struct ev_str *out)
{
	return aws_profile_get_in(p, AWS_FILE_CREDENTIALS, profile, key, out) ||
	       aws_profile_get_in(p, AWS_FILE_CONFIG, profile, key, out);
}

bool aws_services_get(const struct aws_profiles *p, struct ev_str services, const char *service,
		      const char *key, struct ev_str *out)
{
	struct wanted w = { .file = AWS_FILE_CONFIG,
			    .kind = SECTION_SERVICES,
			    .name = services,
			    .parent = ev_str_from(service),
			    .key = ev_str_from(key) };

	return look_up(p, &w, out);
}
