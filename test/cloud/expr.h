/*
 * test/cloud/expr.h — DynamoDB's expressions: conditions, updates, projections, key conditions.
 *
 * Everything is allocated in the request's pool and refused in DynamoDB's words.
 */
#ifndef EV_TEST_CLOUD_EXPR_H
#define EV_TEST_CLOUD_EXPR_H

#include "cloud/value.h"

/* ExpressionAttributeNames and -Values of a request, and which of them were used. */
struct expr_name {
	struct ev_str placeholder; /* with # or : */
	struct ev_str name;        /* of # */
	const struct value *value; /* of : */
	bool used;
};
struct expr_env {
	struct request *r;
	struct expr_name *names;
	size_t n;
};

bool expr_env_read(struct request *r, struct expr_env *out);
/* After all expressions were parsed: none is unused. */
bool expr_env_check(const struct expr_env *env);

enum operand_kind { OPERAND_PATH, OPERAND_VALUE, OPERAND_SIZE };
struct operand {
	enum operand_kind kind;
	struct ev_str path; /* of PATH and SIZE */
	const struct value *value;
};

enum cond_op {
	COND_AND,
	COND_OR,
	COND_NOT,
	COND_EQ,
	COND_NE,
	COND_LT,
	COND_LE,
	COND_GT,
	COND_GE,
	COND_BETWEEN,
	COND_IN,
	COND_EXISTS,
	COND_NOT_EXISTS,
	COND_BEGINS,
	COND_CONTAINS,
	COND_TYPE,
};
struct cond {
	enum cond_op op;
	const struct cond *a, *b; /* of AND, OR, NOT */
	struct operand *args;
	size_t n;
};

/* what: "ConditionExpression" and so on, for the refusal. */
bool cond_parse(struct expr_env *env, const char *what, struct ev_str text,
		const struct cond **out);
/* NULL is true.  it NULL: there is no item. */
bool cond_true(const struct cond *c, const struct item *it);

/* A key condition: one value of the hash, and maybe a range of the other key. */
struct key_range {
	const struct value *hash;
	const struct cond *range; /* NULL: all; else on the range key alone */
};
bool key_condition(struct request *r, const struct cond *c, struct ev_str hash, struct ev_str range,
		   struct key_range *out);

enum update_op { UPDATE_SET, UPDATE_REMOVE, UPDATE_ADD, UPDATE_DELETE };
enum term_kind { TERM_OPERAND, TERM_IF_NOT_EXISTS, TERM_LIST_APPEND, TERM_PLUS, TERM_MINUS };
struct term {
	enum term_kind kind;
	struct operand operand; /* of IF_NOT_EXISTS the path */
	const struct term *a, *b;
};
struct update_action {
	struct update_action *next;
	enum update_op op;
	struct ev_str path;
	const struct term *term;   /* of SET */
	const struct value *value; /* of ADD and DELETE */
};
bool update_parse(struct expr_env *env, struct ev_str text, struct update_action **out);
/* *it is the item before, and after.  The values live in the request's pool. */
bool update_apply(struct request *r, const struct update_action *u, struct item *it);

/* The names of a ProjectionExpression. */
bool projection_parse(struct expr_env *env, struct ev_str text, struct ev_str **out, size_t *out_n);

/* --- Between expr.c and update.c --- */

enum token_kind {
	TOKEN_END,
	TOKEN_WORD,
	TOKEN_NAME,
	TOKEN_VALUE,
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_COMMA,
	TOKEN_EQ,
	TOKEN_NE,
	TOKEN_LT,
	TOKEN_LE,
	TOKEN_GT,
	TOKEN_GE,
	TOKEN_PLUS,
	TOKEN_MINUS,
	TOKEN_BAD,
};
struct parser {
	struct expr_env *env;
	const char *what;
	struct ev_str all;
	const char *p; /* behind the token */
	enum token_kind kind;
	struct ev_str token;
	unsigned depth;
};

bool parser_init(struct parser *ps, struct expr_env *env, const char *what, struct ev_str text);
void parser_next(struct parser *ps);
bool parser_is_word(const struct parser *ps, const char *word); /* without case */
bool parser_syntax(struct parser *ps); /* refuses: not at this token; always false */
bool parser_take(struct parser *ps, enum token_kind kind);
bool parser_path(struct parser *ps, struct ev_str *out);
bool parser_value(struct parser *ps, const struct value **out);
bool is_reserved_word(struct ev_str word);

#endif
