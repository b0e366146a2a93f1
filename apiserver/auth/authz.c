// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "apiserver/auth/authn.h"
#include "common/alloc.h"

static bool is_public(const struct request *request)
{
    static const char *const roots[] = {"/healthz", "/livez", "/readyz", "/version"};
    for (size_t i = 0; i < array_length(roots); i++) {
        size_t length = strlen(roots[i]);
        const char *rest = request->path + length;
        if (strncmp(request->path, roots[i], length) == 0 && (*rest == '\0' || *rest == '/')) {
            return strcmp(request->info.verb, "get") == 0 ||
                   strcmp(request->info.verb, "head") == 0;
        }
    }
    return false;
}

static bool refuse_resource(const struct request *request, struct error *error)
{
    const struct request_info *info = &request->info;
    cleanup(free_char)
    char *resource = info->subresource[0] ? format("%s/%s", info->plural, info->subresource)
                                          : duplicate(info->plural);
    cleanup(free_char)
    char *where = info->namespace[0] ? format("in the namespace \"%s\"", info->namespace)
                                     : duplicate("at the cluster scope");
    return error_forbidden(error, info->group, info->plural, info->name,
                           "User \"%s\" cannot %s resource \"%s\" in API group \"%s\" %s",
                           request->user.name, info->verb, resource, info->group, where);
}

bool authz_allows(const struct request *request, struct error *error)
{
    if (user_in_group(&request->user, "system:masters")) {
        return true;
    }
    if (request->info.is_resource_request) {
        return refuse_resource(request, error);
    }
    return is_public(request) ||
           error_set(error, 403, "Forbidden", "forbidden: User \"%s\" cannot %s path \"%s\"",
                     request->user.name, request->info.verb, request->path);
}
