/* test/cloud/cond.c — conditions: their grammar, and whether they hold. */
#include <string.h>

#include "base/num.h"
#include "cloud/expr.h"

#define DEPTH_MAX 100
#define IN_MAX 100

/* --- Grammar: OR below AND below NOT below comparisons --- */

static bool parse_or(struct parser *ps, const struct cond **out);

static struct cond *new_cond(struct parser *ps, enum cond_op op, size_t n)
{
	struct cond *c = pool_alloc(&ps->env->r->pool, sizeof(*c));

	c->op = op;
	c->n = n;
	c->args = pool_alloc(&ps->env->r->pool, n * sizeof(*c->args));
	return c;
}

static bool plain_operand(struct parser *ps, struct operand *out)
{
	*out = (struct operand){ .kind = OPERAND_PATH };
	if (ps->kind == TOKEN_VALUE) {
		out->kind = OPERAND_VALUE;
		return parser_value(ps, &out->value);
	}
	return parser_path(ps, &out->path);
}

static bool is_call(const struct parser *ps, const char *name)
{
	struct parser ahead = *ps;

	if (ps->kind != TOKEN_WORD || !ev_str_eqz(ps->token, name))
		return false;
	parser_next(&ahead);
	return ahead.kind == TOKEN_OPEN;
}

static bool parse_operand(struct parser *ps, struct operand *out)
{
	if (!is_call(ps, "size"))
		return plain_operand(ps, out);
	parser_next(ps);
	parser_next(ps);
	*out = (struct operand){ .kind = OPERAND_SIZE };
	return parser_path(ps, &out->path) && parser_take(ps, TOKEN_CLOSE);
}

static bool refuse_type(struct parser *ps, const char *name, const struct value *v)
{
	return refuse_invalid(ps->env->r,
			      "Invalid %s: Incorrect operand type for operator or function; "
			      "operator or function: %s, operand type: %s",
			      ps->what, name, value_type_text(v->type));
}

static const struct {
	const char *name;
	enum cond_op op;
	size_t n;
} functions[] = {
	{ "attribute_exists", COND_EXISTS, 1 }, { "attribute_not_exists", COND_NOT_EXISTS, 1 },
	{ "begins_with", COND_BEGINS, 2 },      { "contains", COND_CONTAINS, 2 },
	{ "attribute_type", COND_TYPE, 2 },
};

/* *out stays NULL if there is no function here. */
static bool parse_function(struct parser *ps, const struct cond **out)
{
	for (size_t i = 0; i < EV_ARRAY_LEN(functions); i++) {
		struct operand args[2] = { 0 };
		struct cond *c;

		if (!is_call(ps, functions[i].name))
			continue;
		parser_next(ps);
		parser_next(ps);
		if (!parser_path(ps, &args[0].path))
			return false;
		if (functions[i].n > 1 &&
		    (!parser_take(ps, TOKEN_COMMA) || !plain_operand(ps, &args[1])))
			return false;
		if (!parser_take(ps, TOKEN_CLOSE))
			return false;
		if (args[1].value != NULL &&
		    ((functions[i].op == COND_BEGINS && args[1].value->type != VALUE_S &&
		      args[1].value->type != VALUE_B) ||
		     (functions[i].op == COND_TYPE && args[1].value->type != VALUE_S)))
			return refuse_type(ps, functions[i].name, args[1].value);
		c = new_cond(ps, functions[i].op, functions[i].n);
		memcpy(c->args, args, c->n * sizeof(*args));
		*out = c;
		return true;
	}
	return true;
}

static bool has_order(const struct value *v)
{
	return v->type == VALUE_S || v->type == VALUE_N || v->type == VALUE_B;
}

static bool parse_between(struct parser *ps, struct operand args[3], const struct cond **out)
{
	struct cond *c = new_cond(ps, COND_BETWEEN, 3);

	if (!parse_operand(ps, &args[1]))
		return false;
	if (!parser_is_word(ps, "and"))
		return parser_syntax(ps);
	parser_next(ps);
	if (!parse_operand(ps, &args[2]))
		return false;
	for (size_t i = 0; i < 3; i++) {
		if (args[i].value != NULL && !has_order(args[i].value))
			return refuse_type(ps, "BETWEEN", args[i].value);
		c->args[i] = args[i];
	}
	if (args[1].value != NULL && args[2].value != NULL &&
	    (args[1].value->type != args[2].value->type ||
	     value_order(args[1].value, args[2].value) > 0))
		return refuse_invalid(ps->env->r,
				      "Invalid %s: The BETWEEN operator requires upper bound to be "
				      "greater than or equal to lower bound",
				      ps->what);
	*out = c;
	return true;
}

static bool parse_in(struct parser *ps, const struct operand *first, const struct cond **out)
{
	struct cond *c = new_cond(ps, COND_IN, IN_MAX + 1);

	c->args[0] = *first;
	c->n = 1;
	if (!parser_take(ps, TOKEN_OPEN))
		return false;
	for (;;) {
		if (c->n > IN_MAX)
			return refuse_invalid(ps->env->r,
					      "Invalid %s: The IN operator is provided with too "
					      "many operands",
					      ps->what);
		if (!parse_operand(ps, &c->args[c->n++]))
			return false;
		if (ps->kind == TOKEN_CLOSE)
			break;
		if (!parser_take(ps, TOKEN_COMMA))
			return false;
	}
	parser_next(ps);
	*out = c;
	return true;
}

static bool parse_comparison(struct parser *ps, const struct cond **out)
{
	static const enum cond_op ops[] = {
		[TOKEN_EQ] = COND_EQ, [TOKEN_NE] = COND_NE, [TOKEN_LT] = COND_LT,
		[TOKEN_LE] = COND_LE, [TOKEN_GT] = COND_GT, [TOKEN_GE] = COND_GE,
	};
	static const char *const words[] = {
		[COND_LT] = "<",
		[COND_LE] = "<=",
		[COND_GT] = ">",
		[COND_GE] = ">=",
	};
	struct operand args[3] = { 0 };
	struct cond *c;

	if (!parse_operand(ps, &args[0]))
		return false;
	if (parser_is_word(ps, "between")) {
		parser_next(ps);
		return parse_between(ps, args, out);
	}
	if (parser_is_word(ps, "in")) {
		parser_next(ps);
		return parse_in(ps, &args[0], out);
	}
	if (ps->kind < TOKEN_EQ || ps->kind > TOKEN_GE)
		return parser_syntax(ps);
	c = new_cond(ps, ops[ps->kind], 2);
	parser_next(ps);
	if (!parse_operand(ps, &args[1]))
		return false;
	for (size_t i = 0; i < 2; i++) {
		if (c->op >= COND_LT && args[i].value != NULL && !has_order(args[i].value))
			return refuse_type(ps, words[c->op], args[i].value);
		c->args[i] = args[i];
	}
	*out = c;
	return true;
}

static bool parse_primary(struct parser *ps, const struct cond **out)
{
	if (ps->kind == TOKEN_OPEN) {
		parser_next(ps);
		return parse_or(ps, out) && parser_take(ps, TOKEN_CLOSE);
	}
	*out = NULL;
	if (!parse_function(ps, out))
		return false;
	return *out != NULL || parse_comparison(ps, out);
}

static bool parse_not(struct parser *ps, const struct cond **out)
{
	struct cond *c;

	if (!parser_is_word(ps, "not"))
		return parse_primary(ps, out);
	if (++ps->depth > DEPTH_MAX)
		return parser_syntax(ps);
	parser_next(ps);
	c = new_cond(ps, COND_NOT, 0);
	*out = c;
	return parse_not(ps, &c->a);
}

static bool parse_and(struct parser *ps, const struct cond **out)
{
	if (!parse_not(ps, out))
		return false;
	while (parser_is_word(ps, "and")) {
		struct cond *c = new_cond(ps, COND_AND, 0);

		parser_next(ps);
		c->a = *out;
		*out = c;
		if (!parse_not(ps, &c->b))
			return false;
	}
	return true;
}

static bool parse_or(struct parser *ps, const struct cond **out)
{
	if (++ps->depth > DEPTH_MAX)
		return parser_syntax(ps);
	if (!parse_and(ps, out))
		return false;
	while (parser_is_word(ps, "or")) {
		struct cond *c = new_cond(ps, COND_OR, 0);

		parser_next(ps);
		c->a = *out;
		*out = c;
		if (!parse_and(ps, &c->b))
			return false;
	}
	return true;
}

bool cond_parse(struct expr_env *env, const char *what, struct ev_str text, const struct cond **out)
{
	struct parser ps;
	const struct cond *c;

	if (!parser_init(&ps, env, what, text) || !parse_or(&ps, &c))
		return false;
	if (ps.kind != TOKEN_END)
		return parser_syntax(&ps);
	*out = c;
	return true;
}

/* --- Whether they hold --- */

struct seen {
	const struct value *v; /* NULL: there is none */
	struct value size;
	char digits[24];
};

static bool size_of(const struct value *v, size_t *out)
{
	if (v->type == VALUE_N || v->type == VALUE_BOOL || v->type == VALUE_NULL)
		return false;
	*out = v->type == VALUE_S || v->type == VALUE_B ? v->text.n : v->n;
	for (const struct attr *a = v->members; a != NULL; a = a->next)
		++*out;
	return true;
}

static void look(const struct operand *o, const struct item *it, struct seen *out)
{
	const struct value *v = o->kind == OPERAND_VALUE ? o->value : item_get(it, o->path);
	size_t n;

	out->v = v;
	if (o->kind != OPERAND_SIZE || v == NULL)
		return;
	out->v = NULL;
	if (size_of(v, &n)) {
		struct ev_buf b = ev_buf_over(out->digits, sizeof(out->digits));

		ev_buf_u64(&b, n);
		out->size = (struct value){ .type = VALUE_N, .text = ev_buf_str(&b) };
		out->v = &out->size;
	}
}

static bool ordered(const struct value *a, const struct value *b, enum cond_op op)
{
	int order;

	if (a->type != b->type || !has_order(a))
		return false;
	order = value_order(a, b);
	switch ((int)op) {
	case COND_LT:
		return order < 0;
	case COND_LE:
		return order <= 0;
	case COND_GT:
		return order > 0;
	default:
		return order >= 0;
	}
}

static bool starts(const struct value *v, const struct value *prefix)
{
	return v->type == prefix->type && (v->type == VALUE_S || v->type == VALUE_B) &&
	       ev_str_starts(v->text, prefix->text);
}

static bool contains(const struct value *v, const struct value *part)
{
	if (v->type != VALUE_S && v->type != VALUE_B)
		return value_holds(v, part);
	return v->type == part->type &&
	       (part->text.n == 0 || (v->text.n > 0 && memmem(v->text.p, v->text.n, part->text.p,
							      part->text.n) != NULL));
}

static bool is_in(const struct value *v, const struct cond *c, const struct item *it)
{
	for (size_t i = 1; i < c->n; i++) {
		struct seen s;

		look(&c->args[i], it, &s);
		if (s.v != NULL && value_equal(v, s.v))
			return true;
	}
	return false;
}

static bool compared(const struct cond *c, const struct item *it)
{
	struct seen a, b, d;

	look(&c->args[0], it, &a);
	if (c->op == COND_EXISTS || c->op == COND_NOT_EXISTS)
		return (a.v != NULL) == (c->op == COND_EXISTS);
	if (c->op == COND_IN)
		return a.v != NULL && is_in(a.v, c, it);
	look(&c->args[1], it, &b);
	if (a.v == NULL || b.v == NULL)
		return c->op == COND_NE;
	if (c->op == COND_EQ || c->op == COND_NE)
		return value_equal(a.v, b.v) == (c->op == COND_EQ);
	if (c->op == COND_BEGINS)
		return starts(a.v, b.v);
	if (c->op == COND_CONTAINS)
		return contains(a.v, b.v);
	if (c->op == COND_TYPE)
		return value_type_of(b.v->text) == a.v->type;
	if (c->op != COND_BETWEEN)
		return ordered(a.v, b.v, c->op);
	look(&c->args[2], it, &d);
	return d.v != NULL && ordered(a.v, b.v, COND_GE) && ordered(a.v, d.v, COND_LE);
}

bool cond_true(const struct cond *c, const struct item *it)
{
	static const struct item nothing = { NULL };

	if (c == NULL)
		return true;
	if (it == NULL)
		it = &nothing;
	if (c->op == COND_AND)
		return cond_true(c->a, it) && cond_true(c->b, it);
	if (c->op == COND_OR)
		return cond_true(c->a, it) || cond_true(c->b, it);
	if (c->op == COND_NOT)
		return !cond_true(c->a, it);
	return compared(c, it);
}

/* --- Key conditions --- */

static bool on_key(const struct cond *c, struct ev_str key)
{
	if (c->op < COND_EQ || c->op == COND_NE || c->op == COND_IN || c->op == COND_EXISTS ||
	    c->op == COND_NOT_EXISTS || c->op > COND_BEGINS)
		return false;
	for (size_t i = 1; i < c->n; i++) {
		if (c->args[i].kind != OPERAND_VALUE)
			return false;
	}
	return c->args[0].kind == OPERAND_PATH && ev_str_eq(c->args[0].path, key);
}

static bool refuse_key(struct request *r)
{
	return refuse_invalid(r, "Query key condition not supported");
}

bool key_condition(struct request *r, const struct cond *c, struct ev_str hash, struct ev_str range,
		   struct key_range *out)
{
	const struct cond *first = c->op == COND_AND ? c->a : c;
	const struct cond *second = c->op == COND_AND ? c->b : NULL;

	if (first->op == COND_AND || first->op == COND_OR || first->op == COND_NOT)
		return refuse_key(r);
	if (second != NULL && !on_key(first, hash)) {
		first = c->b;
		second = c->a;
	}
	if (!on_key(first, hash))
		return refuse_invalid(r, "Query condition missed key schema element: %.*s",
				      (int)hash.n, hash.p);
	if (first->op != COND_EQ)
		return refuse_key(r);
	if (second != NULL && (range.n == 0 || !on_key(second, range)))
		return range.n == 0 ? refuse_key(r)
				    : refuse_invalid(r,
						     "Query condition missed key schema element: "
						     "%.*s",
						     (int)range.n, range.p);
	*out = (struct key_range){ first->args[1].value, second };
	return true;
}
