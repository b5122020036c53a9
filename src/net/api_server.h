/* net/api_server.h — the API's answers through the HTTP server. */
#ifndef EV_NET_API_SERVER_H
#define EV_NET_API_SERVER_H

#include "net/api.h"

struct api_server_sink {
	struct api_sink base; /* first */
	struct net_server *server;
};

/* Borrows the server. */
void api_server_sink_init(struct api_server_sink *s, struct net_server *server);

#endif
