// SPDX-License-Identifier: Apache-2.0
/* Discovery: /, /api, /apis, each group and version, plain and aggregated (v2, v2beta1). */
#ifndef APISERVER_VIEWS_DISCOVERY_H
#define APISERVER_VIEWS_DISCOVERY_H

#include "apiserver/http/request.h"

/* Answers if the path is one of discovery's; false if it is not. request->scheme is set. */
bool discovery_serve(struct request *request, struct response *response);

#endif
