/* engine/aws/query_internal.h — shared by query.c (rows, sums) and query_list.c (lists). */
#ifndef EV_AWS_QUERY_INTERNAL_H
#define EV_AWS_QUERY_INTERNAL_H

#include "codec/ddb_customer.h"
#include "codec/ddb_outlet.h"
#include "codec/ddb_session.h"
#include "engine/aws/ddb_call.h"
#include "engine/aws/store.h"

struct aws_query {
	struct query base; /* first */
	struct ddb_io io;
	const struct aws_resources *resources;
	unsigned roles;
};

static inline struct aws_query *aws_query_of(struct query *q)
{
	return (struct aws_query *)q;
}

/* Something found in an index, in the order that is wanted. */
struct found_ref {
	int64_t at; /* start, time or seq */
	uint8_t id[16];
};
struct found_refs {
	struct found_ref *of;
	size_t n, cap;
};
EV_NODISCARD ev_err refs_add(struct found_refs *l, int64_t at, const uint8_t id[16]);
/* Newest first, then highest id. */
void refs_sort(struct found_refs *l);

/* query_list.c */
ev_err query_outlets(struct query *q, const struct outlet_filter *f, const struct ev_uuid *after,
		     size_t limit, outlet_visit_fn fn, void *user);
ev_err query_customers(struct query *q, const struct ev_uuid *after, size_t limit,
		       customer_visit_fn fn, void *user);
ev_err query_history(struct query *q, const struct ev_uuid *customer_id, int64_t before_ns,
		     size_t limit, session_visit_fn fn, void *user);
ev_err query_sessions(struct query *q, bool live_only, int64_t heard_before_ns, int64_t before_ns,
		      size_t limit, session_visit_fn fn, void *user);
ev_err query_unassigned(struct query *q, const struct ev_uuid *outlet_id, bool open_only,
			size_t limit, item_visit_fn fn, void *user);
ev_err query_dead_letters(struct query *q, bool all, uint64_t before, size_t limit,
			  dead_letter_visit_fn fn, void *user);

#endif
