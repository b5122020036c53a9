/*
 * codec/input_pack.h — a whole input with its union as bytes, for one that waits.  Exact.  Pure.
 */
#ifndef EV_CODEC_INPUT_PACK_H
#define EV_CODEC_INPUT_PACK_H

#include "core/outlet.h"

#define INPUT_PACK_MAX 512

/* Returns how many bytes it wrote. */
size_t input_pack(const struct outlet_input *in, uint8_t out[INPUT_PACK_MAX]);

/* EV_CORRUPT unless they are what the writer makes; *out is untouched then. */
EV_NODISCARD ev_err input_unpack(struct ev_str bytes, struct outlet_input *out);

#endif
