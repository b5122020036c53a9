/* test/cloud/parser.c — tokens, names and values of DynamoDB's expressions. */
#include <string.h>

#include "cloud/expr.h"

#define EXPRESSION_MAX 4096

/* --- Placeholders --- */

static bool read_names(struct request *r, const struct node *from, char sign, struct expr_env *env)
{
	const char *what = sign == '#' ? "ExpressionAttributeNames" : "ExpressionAttributeValues";

	if (from != NULL && from->n == 0)
		return refuse_invalid(r, "%s must not be empty", what);
	for (const struct node *m = from == NULL ? NULL : from->first; m != NULL; m = m->next) {
		struct expr_name *name = &env->names[env->n++];

		if (m->key.n < 2 || m->key.p[0] != sign)
			return refuse_invalid(r,
					      "%s contains invalid key: Syntax error; key: "
					      "\"%.*s\"",
					      what, (int)m->key.n, m->key.p);
		name->placeholder = m->key;
		if (sign == ':' && !value_read(r, m, &name->value))
			return false;
		if (sign == '#' && (m->kind != NODE_STRING || m->text.n == 0))
			return refuse_invalid(r, "%s contains invalid value for key %.*s", what,
					      (int)m->key.n, m->key.p);
		name->name = m->text;
	}
	return true;
}

bool expr_env_read(struct request *r, struct expr_env *out)
{
	const struct node *names, *values;

	*out = (struct expr_env){ .r = r };
	if (!want(r, r->body, "ExpressionAttributeNames", NODE_OBJECT, &names) ||
	    !want(r, r->body, "ExpressionAttributeValues", NODE_OBJECT, &values))
		return false;
	out->names = pool_alloc(
		&r->pool, ((names != NULL ? names->n : 0) + (values != NULL ? values->n : 0)) *
				  sizeof(*out->names));
	return read_names(r, names, '#', out) && read_names(r, values, ':', out);
}

bool expr_env_check(const struct expr_env *env)
{
	for (size_t i = 0; i < env->n; i++) {
		const struct expr_name *n = &env->names[i];

		if (!n->used)
			return refuse_invalid(env->r,
					      "Value provided in %s unused in expressions: keys: "
					      "{%.*s}",
					      n->value != NULL ? "ExpressionAttributeValues"
							       : "ExpressionAttributeNames",
					      (int)n->placeholder.n, n->placeholder.p);
	}
	return true;
}

static struct expr_name *find_name(struct expr_env *env, struct ev_str placeholder)
{
	for (size_t i = 0; i < env->n; i++) {
		if (ev_str_eq(env->names[i].placeholder, placeholder))
			return &env->names[i];
	}
	return NULL;
}

/* --- Tokens --- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool in_word(char c)
{
	return is_letter(c) || (c >= '0' && c <= '9');
}

static enum token_kind scan_word(const char *start, const char *end, const char **p)
{
	enum token_kind kind = *start == '#'   ? TOKEN_NAME
			       : *start == ':' ? TOKEN_VALUE
					       : TOKEN_WORD;
	const char *q = start + (kind != TOKEN_WORD);

	while (q < end && in_word(*q))
		q++;
	*p = q;
	return kind != TOKEN_WORD && q == start + 1 ? TOKEN_BAD : kind;
}

static enum token_kind scan_sign(const char *start, const char *end, const char **p)
{
	static const struct {
		const char *text;
		enum token_kind kind;
	} signs[] = {
		{ "<>", TOKEN_NE },   { "<=", TOKEN_LE },   { ">=", TOKEN_GE },
		{ "<", TOKEN_LT },    { ">", TOKEN_GT },    { "=", TOKEN_EQ },
		{ "(", TOKEN_OPEN },  { ")", TOKEN_CLOSE }, { "+", TOKEN_PLUS },
		{ "-", TOKEN_MINUS }, { ",", TOKEN_COMMA },
	};

	for (size_t i = 0; i < EV_ARRAY_LEN(signs); i++) {
		size_t n = strlen(signs[i].text);

		if ((size_t)(end - start) >= n && memcmp(start, signs[i].text, n) == 0) {
			*p = start + n;
			return signs[i].kind;
		}
	}
	*p = start + 1;
	return TOKEN_BAD;
}

void parser_next(struct parser *ps)
{
	const char *end = ps->all.p + ps->all.n, *start = ps->p;

	while (start < end && strchr(" \t\r\n", *start) != NULL)
		start++;
	if (start == end) {
		ps->kind = TOKEN_END;
		ps->p = end;
	} else if (is_letter(*start) || *start == '#' || *start == ':') {
		ps->kind = scan_word(start, end, &ps->p);
	} else {
		ps->kind = scan_sign(start, end, &ps->p);
	}
	ps->token = (struct ev_str){ start, (size_t)(ps->p - start) };
}

bool parser_init(struct parser *ps, struct expr_env *env, const char *what, struct ev_str text)
{
	*ps = (struct parser){ .env = env, .what = what, .all = text, .p = text.p };
	if (text.n == 0)
		return refuse_invalid(env->r, "Invalid %s: The expression can not be empty;", what);
	if (text.n > EXPRESSION_MAX)
		return refuse_invalid(env->r,
				      "Invalid %s: Expression size has exceeded the maximum "
				      "allowed size; expression size: %zu",
				      what, text.n);
	parser_next(ps);
	return true;
}

bool parser_is_word(const struct parser *ps, const char *word)
{
	return ps->kind == TOKEN_WORD && ev_str_eq_nocase(ps->token, ev_str_from(word));
}

bool parser_syntax(struct parser *ps)
{
	size_t at = (size_t)(ps->token.p - ps->all.p);

	return refuse_invalid(ps->env->r,
			      "Invalid %s: Syntax error; token: \"%.*s\", near: \"%.*s\"", ps->what,
			      ps->kind == TOKEN_END ? 5 : (int)ps->token.n,
			      ps->kind == TOKEN_END ? "<EOF>" : ps->token.p,
			      (int)(ps->all.n - at < 20 ? ps->all.n - at : 20), ps->token.p);
}

bool parser_take(struct parser *ps, enum token_kind kind)
{
	if (ps->kind != kind)
		return parser_syntax(ps);
	parser_next(ps);
	return true;
}

/* --- Names and values --- */

bool parser_path(struct parser *ps, struct ev_str *out)
{
	struct expr_name *name;

	if (ps->kind == TOKEN_WORD) {
		if (is_reserved_word(ps->token))
			return refuse_invalid(ps->env->r,
					      "Invalid %s: Attribute name is a reserved keyword; "
					      "reserved keyword: %.*s",
					      ps->what, (int)ps->token.n, ps->token.p);
		*out = ps->token;
		parser_next(ps);
		return true;
	}
	if (ps->kind != TOKEN_NAME)
		return parser_syntax(ps);
	name = find_name(ps->env, ps->token);
	if (name == NULL)
		return refuse_invalid(ps->env->r,
				      "Invalid %s: An expression attribute name used in the "
				      "document path is not defined; attribute name: %.*s",
				      ps->what, (int)ps->token.n, ps->token.p);
	name->used = true;
	*out = name->name;
	parser_next(ps);
	return true;
}

bool parser_value(struct parser *ps, const struct value **out)
{
	struct expr_name *name = ps->kind == TOKEN_VALUE ? find_name(ps->env, ps->token) : NULL;

	if (ps->kind != TOKEN_VALUE)
		return parser_syntax(ps);
	if (name == NULL)
		return refuse_invalid(ps->env->r,
				      "Invalid %s: An expression attribute value used in "
				      "expression is not defined; attribute value: %.*s",
				      ps->what, (int)ps->token.n, ps->token.p);
	name->used = true;
	*out = name->value;
	parser_next(ps);
	return true;
}

bool projection_parse(struct expr_env *env, struct ev_str text, struct ev_str **out, size_t *out_n)
{
	struct parser ps;
	struct ev_str *names = pool_alloc(&env->r->pool, (text.n + 1) * sizeof(*names));
	size_t n = 0;

	if (!parser_init(&ps, env, "ProjectionExpression", text))
		return false;
	for (;;) {
		if (!parser_path(&ps, &names[n]))
			return false;
		for (size_t i = 0; i < n; i++) {
			if (ev_str_eq(names[i], names[n]))
				return refuse_invalid(env->r,
						      "Invalid ProjectionExpression: Two document "
						      "paths overlap with each other; path: [%.*s]",
						      (int)names[n].n, names[n].p);
		}
		n++;
		if (ps.kind == TOKEN_END)
			break;
		if (!parser_take(&ps, TOKEN_COMMA))
			return false;
	}
	*out = names;
	*out_n = n;
	return true;
}
