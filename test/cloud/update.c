/* test/cloud/update.c — update expressions. */
#include <string.h>

#include "cloud/expr.h"
#include "cloud/number.h"

/* --- Grammar --- */

static bool parse_term(struct parser *ps, const struct term **out);

static bool at_call(const struct parser *ps, const char *name)
{
	struct parser ahead = *ps;

	if (ps->kind != TOKEN_WORD || !ev_str_eqz(ps->token, name))
		return false;
	parser_next(&ahead);
	return ahead.kind == TOKEN_OPEN;
}

/* name(a, b), from the opening bracket on. */
static bool parse_call(struct parser *ps, struct term *t)
{
	parser_next(ps);
	parser_next(ps);
	if (t->kind == TERM_IF_NOT_EXISTS) {
		if (!parser_path(ps, &t->operand.path))
			return false;
	} else if (!parse_term(ps, &t->a)) {
		return false;
	}
	return parser_take(ps, TOKEN_COMMA) && parse_term(ps, &t->b) &&
	       parser_take(ps, TOKEN_CLOSE);
}

static bool parse_term(struct parser *ps, const struct term **out)
{
	struct term *t = pool_alloc(&ps->env->r->pool, sizeof(*t));

	*out = t;
	if (at_call(ps, "if_not_exists") || at_call(ps, "list_append")) {
		t->kind = ps->token.p[0] == 'i' ? TERM_IF_NOT_EXISTS : TERM_LIST_APPEND;
		if (++ps->depth > 8)
			return parser_syntax(ps);
		return parse_call(ps, t);
	}
	t->kind = TERM_OPERAND;
	if (ps->kind == TOKEN_VALUE) {
		t->operand.kind = OPERAND_VALUE;
		return parser_value(ps, &t->operand.value);
	}
	return parser_path(ps, &t->operand.path);
}

static bool parse_sum(struct parser *ps, const struct term **out)
{
	struct term *sum;

	if (!parse_term(ps, out))
		return false;
	if (ps->kind != TOKEN_PLUS && ps->kind != TOKEN_MINUS)
		return true;
	sum = pool_alloc(&ps->env->r->pool, sizeof(*sum));
	sum->kind = ps->kind == TOKEN_PLUS ? TERM_PLUS : TERM_MINUS;
	sum->a = *out;
	*out = sum;
	parser_next(ps);
	return parse_term(ps, &sum->b);
}

static bool parse_action(struct parser *ps, struct update_action *a)
{
	if (!parser_path(ps, &a->path))
		return false;
	if (a->op == UPDATE_SET)
		return parser_take(ps, TOKEN_EQ) && parse_sum(ps, &a->term);
	return a->op == UPDATE_REMOVE || parser_value(ps, &a->value);
}

static bool overlaps(struct parser *ps, const struct update_action *all,
		     const struct update_action *a)
{
	for (const struct update_action *o = all; o != a; o = o->next) {
		if (ev_str_eq(o->path, a->path))
			return !refuse_invalid(ps->env->r,
					       "Invalid UpdateExpression: Two document paths "
					       "overlap with each other; must remove or rewrite "
					       "one of these paths; path one: [%.*s], path two: "
					       "[%.*s]",
					       (int)o->path.n, o->path.p, (int)a->path.n,
					       a->path.p);
	}
	return false;
}

static const char *const sections[] = {
	[UPDATE_SET] = "SET",
	[UPDATE_REMOVE] = "REMOVE",
	[UPDATE_ADD] = "ADD",
	[UPDATE_DELETE] = "DELETE",
};

/* The section that begins here, each at most once. */
static bool parse_section(struct parser *ps, unsigned *seen, enum update_op *out)
{
	for (unsigned i = 0; i < EV_ARRAY_LEN(sections); i++) {
		if (!parser_is_word(ps, sections[i]))
			continue;
		if ((*seen & (1U << i)) != 0)
			return refuse_invalid(ps->env->r,
					      "Invalid UpdateExpression: The \"%s\" section can "
					      "only be used once in an update expression;",
					      sections[i]);
		*seen |= 1U << i;
		*out = (enum update_op)i;
		parser_next(ps);
		return true;
	}
	return parser_syntax(ps);
}

bool update_parse(struct expr_env *env, struct ev_str text, struct update_action **out)
{
	struct update_action *first = NULL, **last = &first;
	struct parser ps;
	unsigned seen = 0;

	if (!parser_init(&ps, env, "UpdateExpression", text))
		return false;
	while (ps.kind != TOKEN_END) {
		enum update_op op;
		bool more = true;

		if (!parse_section(&ps, &seen, &op))
			return false;
		while (more) {
			struct update_action *a = pool_alloc(&env->r->pool, sizeof(*a));

			a->op = op;
			*last = a;
			last = &a->next;
			if (!parse_action(&ps, a) || overlaps(&ps, first, a))
				return false;
			more = ps.kind == TOKEN_COMMA;
			if (more)
				parser_next(&ps);
		}
	}
	*out = first;
	return true;
}

/* --- Applying --- */

static bool refuse_operand(struct request *r)
{
	return refuse_invalid(r, "An operand in the update expression has an incorrect data type");
}

static bool eval(struct request *r, const struct term *t, const struct item *it,
		 const struct value **out);

static bool sum(struct request *r, const struct value *a, const struct value *b, bool subtract,
		const struct value **out)
{
	char text[NUMBER_TEXT];
	struct ev_buf buf = ev_buf_over(text, sizeof(text));
	struct number x, y, z;

	if (a->type != VALUE_N || b->type != VALUE_N)
		return refuse_operand(r);
	if (number_parse(a->text, &x) != EV_OK || number_parse(b->text, &y) != EV_OK ||
	    number_add(&x, &y, subtract, &z) != EV_OK)
		return refuse_invalid(r, "Number overflow. Attempting to store a number with "
					 "magnitude or precision larger than supported");
	number_write(&z, &buf);
	*out = value_number(&r->pool, ev_buf_str(&buf));
	return true;
}

static struct value *join(struct request *r, const struct value *a, const struct value *b)
{
	struct value *v = pool_alloc(&r->pool, sizeof(*v));

	v->type = a->type;
	v->items = pool_alloc(&r->pool, (a->n + b->n) * sizeof(*v->items));
	for (size_t i = 0; i < a->n + b->n; i++) {
		const struct value *e = i < a->n ? a->items[i] : b->items[i - a->n];

		if (v->type == VALUE_L || !value_holds(v, e))
			v->items[v->n++] = e;
	}
	return v;
}

static bool eval_pair(struct request *r, const struct term *t, const struct item *it,
		      const struct value **out)
{
	const struct value *a, *b;

	if (!eval(r, t->a, it, &a) || !eval(r, t->b, it, &b))
		return false;
	if (t->kind != TERM_LIST_APPEND)
		return sum(r, a, b, t->kind == TERM_MINUS, out);
	if (a->type != VALUE_L || b->type != VALUE_L)
		return refuse_operand(r);
	*out = join(r, a, b);
	return true;
}

static bool eval(struct request *r, const struct term *t, const struct item *it,
		 const struct value **out)
{
	if (t->kind == TERM_IF_NOT_EXISTS) {
		*out = item_get(it, t->operand.path);
		return *out != NULL || eval(r, t->b, it, out);
	}
	if (t->kind != TERM_OPERAND)
		return eval_pair(r, t, it, out);
	*out = t->operand.kind == OPERAND_VALUE ? t->operand.value : item_get(it, t->operand.path);
	if (*out == NULL)
		return refuse_invalid(r, "The provided expression refers to an attribute that does "
					 "not exist in the item");
	return true;
}

static bool is_set(const struct value *v)
{
	return v->type == VALUE_SS || v->type == VALUE_NS || v->type == VALUE_BS;
}

static bool add(struct request *r, const struct value *old, const struct value *v,
		const struct value **out)
{
	if (v->type != VALUE_N && !is_set(v))
		return refuse_invalid(r,
				      "Invalid UpdateExpression: Incorrect operand type for "
				      "operator or function; operator: ADD, operand type: %s",
				      value_type_text(v->type));
	*out = v;
	if (old == NULL)
		return true;
	if (old->type != v->type)
		return refuse_operand(r);
	if (v->type == VALUE_N)
		return sum(r, old, v, false, out);
	*out = join(r, old, v);
	return true;
}

static bool take_out(struct request *r, const struct value *old, const struct value *v,
		     const struct value **out)
{
	struct value *left;

	if (!is_set(v))
		return refuse_invalid(r,
				      "Invalid UpdateExpression: Incorrect operand type for "
				      "operator or function; operator: DELETE, operand type: %s",
				      value_type_text(v->type));
	*out = NULL;
	if (old == NULL)
		return true;
	if (old->type != v->type)
		return refuse_operand(r);
	left = pool_alloc(&r->pool, sizeof(*left));
	left->type = old->type;
	left->items = pool_alloc(&r->pool, old->n * sizeof(*left->items));
	for (size_t i = 0; i < old->n; i++) {
		if (!value_holds(v, old->items[i]))
			left->items[left->n++] = old->items[i];
	}
	*out = left->n > 0 ? left : NULL;
	return true;
}

bool update_apply(struct request *r, const struct update_action *u, struct item *it)
{
	struct item before = *it;

	for (; u != NULL; u = u->next) {
		const struct value *old = item_get(&before, u->path), *v = NULL;
		bool ok = true;

		if (u->op == UPDATE_SET)
			ok = eval(r, u->term, &before, &v);
		else if (u->op == UPDATE_ADD)
			ok = add(r, old, u->value, &v);
		else if (u->op == UPDATE_DELETE)
			ok = take_out(r, old, u->value, &v);
		if (!ok)
			return false;
		item_set(it, &r->pool, u->path, v);
	}
	return true;
}
