/*
 * cli/command.h — the subcommands.  argv holds the words after the command's name; the result is
 * the process's exit code: 0, 1, or 2 for a fault of the user, which has been told on stderr.
 */
#ifndef EV_CLI_COMMAND_H
#define EV_CLI_COMMAND_H

struct config;
struct ev_log;

int cmd_serve(int argc, char **argv);
int cmd_demo(int argc, char **argv);

int cmd_backup(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_customer(int argc, char **argv);
int cmd_drain(int argc, char **argv);
int cmd_deadletters(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_outlet(int argc, char **argv);
int cmd_provision(int argc, char **argv);
int cmd_send(int argc, char **argv);
int cmd_session(int argc, char **argv);
int cmd_simulate(int argc, char **argv);

/* All settings with their help on stdout; the exit code. */
int settings_help(void);

/* A log on stderr, as the settings have it. */
void serve_log_init(struct ev_log *log, const struct config *c);

#endif
