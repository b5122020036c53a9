/* cli/config_value.h — the texts of single values, for cli/config.c. */
#ifndef EV_CLI_CONFIG_VALUE_H
#define EV_CLI_CONFIG_VALUE_H

#include "cli/config.h"

/* Sets the key's member; EV_INVALID (member untouched) if the text is not allowed. */
EV_NODISCARD ev_err config_value_parse(struct config *c, const struct config_key *key,
				       struct ev_str text);

/* What config_value_parse takes, for people: "a duration from 1s to 90d, like 30s, 5m, 24h". */
void config_value_allowed(const struct config_key *key, struct ev_buf *b);

bool config_value_eq(const struct config *a, const struct config *b, const struct config_key *key);
void config_value_copy(struct config *to, const struct config *from, const struct config_key *key);

#endif
