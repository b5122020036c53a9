/*
 * engine/embedded/rowblob.h — what the rows keep beside their readable columns, as bytes.
 *
 * Little-endian, field after field, lists and tags with their count first, what a flag calls absent
 * left out; the first byte is the version of the form.  Pure.  Readers take bytes of any kind:
 * EV_CORRUPT unless they are what a writer here makes.
 */
#ifndef EV_EMBEDDED_ROWBLOB_H
#define EV_EMBEDDED_ROWBLOB_H

#include "core/outlet.h"
#include "core/session.h"
#include "port/store.h"

#define OUTLET_BLOB_MAX 1536
#define SESSION_BLOB_MAX 128
#define INPUT_BLOB_MAX 512
#define BLOCK_BLOB_MAX (OUTLET_IDS_MAX * 16)

/*
 * The fields of an outlet that have no column: since, request, reported, acknowledged, stop_*,
 * stray_stop, foreign, recent, refused, ids.  Returns how many bytes it wrote.
 */
size_t outlet_blob_write(const struct outlet *o, uint8_t out[OUTLET_BLOB_MAX]);
/* Fills these fields of *o, which was zero; *o is undefined after EV_CORRUPT. */
EV_NODISCARD ev_err outlet_blob_read(struct ev_str blob, struct outlet *o);

/* Of a session: sums, folded, attached, charging_seen, stop_wished, request_*. */
size_t session_blob_write(const struct session *s, uint8_t out[SESSION_BLOB_MAX]);
EV_NODISCARD ev_err session_blob_read(struct ev_str blob, struct session *s);

/* A whole input with its union, for parking. */
size_t input_blob_write(const struct outlet_input *in, uint8_t out[INPUT_BLOB_MAX]);
EV_NODISCARD ev_err input_blob_read(struct ev_str blob, struct outlet_input *in);

#endif
