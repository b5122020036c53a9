/* net/api_server.c — see api_server.h. */
#include "net/api_server.h"

static struct net_server *net_of(struct api_sink *s)
{
	return ((struct api_server_sink *)s)->server;
}

static ev_err reply(struct api_sink *s, struct net_handle h, const struct net_response *r)
{
	return net_reply(net_of(s), h, r);
}

static ev_err stream_begin(struct api_sink *s, struct net_handle h, const struct net_response *r)
{
	return net_stream_begin(net_of(s), h, r);
}

static ev_err stream_write(struct api_sink *s, struct net_handle h, struct ev_str bytes)
{
	return net_stream_write(net_of(s), h, bytes);
}

static ev_err stream_end(struct api_sink *s, struct net_handle h)
{
	return net_stream_end(net_of(s), h);
}

void api_server_sink_init(struct api_server_sink *s, struct net_server *server)
{
	static const struct api_sink_ops ops = {
		.reply = reply,
		.stream_begin = stream_begin,
		.stream_write = stream_write,
		.stream_end = stream_end,
	};

	*s = (struct api_server_sink){ .base = { &ops }, .server = server };
}
