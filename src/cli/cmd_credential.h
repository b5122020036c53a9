/* cli/cmd_credential.h — what `config token` and `outlet secret` have in common. */
#ifndef EV_CLI_CMD_CREDENTIAL_H
#define EV_CLI_CMD_CREDENTIAL_H

#include "cli/args.h"
#include "service/credentials.h"

/* The name is the first positional word; the directory that of --data or the settings. */
int credential_create(const struct args *a, enum credential_kind kind);
int credential_revoke(const struct args *a, enum credential_kind kind);
int credential_list(const struct args *a, enum credential_kind kind);

#endif
