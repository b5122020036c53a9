/* codec/json_number.h — numbers in all the forms that the original takes. */
#ifndef EV_CODEC_JSON_NUMBER_H
#define EV_CODEC_JSON_NUMBER_H

#include "codec/json_read.h"

/*
 * A number, bare or quoted, in any form the original takes (`007.5`, `1.`, `" 1.5"`, `-Infinity`);
 * too large becomes infinite, too small zero.  A significand of 2^127 or more is refused.
 */
EV_NODISCARD ev_err json_read_double(struct json_reader *r, double *out);

#endif
