/* net/api_openapi.h — the documents of src/net/openapi, put together and embedded by the build. */
#ifndef EV_NET_API_OPENAPI_H
#define EV_NET_API_OPENAPI_H

#include <stddef.h>

extern const char api_openapi_outlet[];
extern const size_t api_openapi_outlet_n;
extern const char api_openapi_app[];
extern const size_t api_openapi_app_n;

#endif
