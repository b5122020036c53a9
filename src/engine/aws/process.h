/*
 * engine/aws/process.h — runs a program and takes what it prints, for credential_process.
 *
 * No shell: the command is split into words as one would, and the first is looked for in PATH.  The
 * program gets the environment, an empty standard input, and nowhere to complain to: its standard
 * error may hold anything, so it goes to /dev/null.
 */
#ifndef EV_AWS_PROCESS_H
#define EV_AWS_PROCESS_H

#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

#define AWS_COMMAND_MAX 4096 /* bytes */
#define AWS_WORDS_MAX 64

/*
 * Splits at blanks; '…' and "…" keep them, \ keeps the next character (within "…" only \ and ").
 * Words are written to room one after the other, each with its NUL, and listed in words with a NULL
 * at the end.  EV_INVALID: nothing in it, too many words, an open quote, a NUL.
 */
EV_NODISCARD ev_err aws_command_split(struct ev_str command, char room[AWS_COMMAND_MAX + 1],
				      char *words[AWS_WORDS_MAX + 1]);

/*
 * Runs the command to its end and gives its output in new memory of *out_n bytes, for the caller
 * to wipe and free.  EV_TIMEOUT (the program and its children are killed), EV_FULL (it printed
 * more than max), EV_DENIED (it ended with another status than 0), EV_NOTFOUND (no such program),
 * EV_INVALID (the command), EV_IO, EV_NOMEM.  Blocks for up to timeout_ms.
 */
EV_NODISCARD ev_err aws_process_run(struct ev_str command, size_t max, int timeout_ms, char **out,
				    size_t *out_n, struct ev_fail *fail);

#endif
