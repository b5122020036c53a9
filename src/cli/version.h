/* cli/version.h — the version that --version, /ready and the documents show. */
#ifndef EV_CLI_VERSION_H
#define EV_CLI_VERSION_H

#define EVCHARGE_VERSION "0.1.0"

#endif
