// SPDX-License-Identifier: Apache-2.0
/*
 * serviceaccounts/token: a token for the account, good for a while and, if it is bound to a pod,
 * secret or node, as long as that exists.
 */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/auth/authn.h"
#include "apiserver/auth/service_account_names.h"
#include "apiserver/auth/service_accounts.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/serve.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/random.h"
#include "common/schema_rules.h"
#include "common/timestamp.h"

static const char group[] = "authentication.k8s.io", kind[] = "TokenRequest";
static const json_int_t shortest = 600, longest = INT64_C(1) << 32;
/* Kubelets ask for an hour and a bit: who does so gets a token that goes on for a year, so that
 * pods whose clients don't read it again go on, and a note in it of when that was due. */
static const json_int_t kubelets_expiration = 60 * 60 + 7, extended_expiration = 365 * 24 * 60 * 60;

struct token_request {
    struct registry *registry;
    struct service_accounts *accounts;
    struct request *request;
    struct response *response;
    json_t *body;       /* The TokenRequest. */
    json_t *kubernetes; /* The claim "kubernetes.io". */
    struct write shown; /* The body, for webhooks. */
    bool is_of_pod;
    int64_t now;
};

/* ---- checking ---- */

static void check_name(const struct token_request *token, const char *member, const char *expected,
                       const char *what, struct field_errors *errors)
{
    const json_t *name = json_path(token->body, "metadata", member);
    if (json_string_length(name) > 0 && strcmp(json_string_value(name), expected) != 0) {
        field_error(errors, FIELD_INVALID, FIELD(FIELD(NULL, "metadata"), member), name,
                    "must match the service account %s if specified", what);
    }
}

static bool check_names(const struct token_request *token, struct error *error)
{
    struct field_errors errors = FIELD_ERRORS_INIT;
    const struct request_info *info = &token->request->info;
    check_name(token, "name", info->name, "name", &errors);
    if (!field_errors_any(&errors)) {
        check_name(token, "namespace", info->namespace, "namespace", &errors);
    }
    return !field_errors_any(&errors) || error_invalid(error, group, kind, info->name, &errors);
}

static bool check_admission(struct token_request *token, struct error *error)
{
    cleanup(write_clear)
    struct write write = {0};
    write_begin(&write, token->registry, token->request, token->response, token->request->resource,
                WRITE_CREATE);
    write.object = json_incref(token->body);
    write_begin_body(&token->shown, token->registry, token->request, token->response, token->body,
                     NULL);
    if (!admission_validate(&write, error) || !admission_admit_body(&token->shown, error)) {
        return false;
    }
    json_decref(token->body);
    token->body = json_incref(token->shown.object);
    return true;
}

static bool check_expiration(const struct token_request *token, struct error *error)
{
    struct field_errors errors = FIELD_ERRORS_INIT;
    const json_t *seconds = json_path(token->body, "spec", "expirationSeconds");
    const struct field_path *path = FIELD(FIELD(NULL, "spec"), "expirationSeconds");
    if (json_integer_value(seconds) < shortest) {
        field_error(&errors, FIELD_INVALID, path, seconds,
                    "may not specify a duration less than 10 minutes");
    } else if (json_integer_value(seconds) > longest) {
        field_error(&errors, FIELD_INVALID, path, seconds,
                    "may not specify a duration larger than 2^32 seconds");
    }
    return !field_errors_any(&errors) || error_invalid(error, group, kind, "", &errors);
}

/* ---- what the token is bound to ---- */

static json_t *reference(const json_t *object)
{
    const json_t *metadata = json_object_get(object, "metadata");
    return json_pack("{s:O, s:O}", "name", json_object_get(metadata, "name"), "uid",
                     json_object_get(metadata, "uid"));
}

static json_t *get_object(const struct token_request *token, const char *plural,
                          const char *namespace, const char *name)
{
    struct registry *registry = token->registry;
    cleanup(object_release)
    struct object *object =
        registry_get_current(registry, registry_resource(registry, "", plural), namespace, name);
    return object ? object_tree(object) : NULL;
}

/* Where the pod runs; of a node that is gone only the name. */
static void add_node_of_pod(struct token_request *token, const json_t *pod)
{
    const char *name = json_path_string(pod, "spec", "nodeName");
    if (name == NULL || name[0] == '\0') {
        return;
    }
    cleanup(json_release)
    json_t *node = get_object(token, "nodes", "", name);
    json_object_set_new(token->kubernetes, "node",
                        node ? reference(node) : json_pack("{s:s}", "name", name));
}

static bool bind_pod(struct token_request *token, const json_t *pod, struct error *error)
{
    const char *account = json_path_string(pod, "spec", "serviceAccountName");
    const char *name = token->request->info.name;
    if (account == NULL || strcmp(account, name) != 0) {
        return error_bad_request(error,
                                 "cannot bind token for serviceaccount \"%s\" to pod running with "
                                 "different serviceaccount name.",
                                 name);
    }
    token->is_of_pod = true;
    add_node_of_pod(token, pod);
    return true;
}

static bool refuse_kind(const char *api_version, const char *of_kind, struct error *error)
{
    const char *slash = strchr(api_version, '/');
    const char *version = slash ? slash + 1 : api_version;
    return error_bad_request(error, "cannot bind token to object of type %.*s/%s, Kind=%s",
                             slash ? (int)(slash - api_version) : 0, api_version, version, of_kind);
}

static bool check_uid(const json_t *wanted, const json_t *object, const char *of_kind,
                      const char *name, struct error *error)
{
    const char *uid = json_path_string(object, "metadata", "uid");
    return json_string_length(wanted) == 0 || strcmp(json_string_value(wanted), uid) == 0 ||
           error_conflict(error, "", of_kind, name,
                          "the UID in the bound object reference (%s) does not match the UID in "
                          "record. The object might have been deleted and then recreated",
                          json_string_value(wanted));
}

static bool bind(struct token_request *token, struct error *error)
{
    static const struct {
        const char *kind, *plural, *claim;
        bool is_namespaced;
    } kinds[] = {{"Pod", "pods", "pod", true},
                 {"Node", "nodes", "node", false},
                 {"Secret", "secrets", "secret", true}};
    const json_t *bound = json_path(token->body, "spec", "boundObjectRef");
    const char *of_kind = json_get_string(bound, "kind"), *name = json_get_string(bound, "name");
    const char *version = json_get_string(bound, "apiVersion");
    if (!json_is_object(bound)) {
        return true;
    }
    of_kind = of_kind ? of_kind : "";
    version = version ? version : "";
    name = name ? name : "";
    for (size_t i = 0; i < array_length(kinds); i++) {
        if (strcmp(kinds[i].kind, of_kind) != 0 || strchr(version, '/') != NULL) {
            continue;
        }
        cleanup(json_release)
        json_t *object =
            get_object(token, kinds[i].plural,
                       kinds[i].is_namespaced ? token->request->info.namespace : "", name);
        if (object == NULL) {
            return error_not_found(error, "", kinds[i].plural, name);
        }
        json_object_set_new(token->kubernetes, kinds[i].claim, reference(object));
        return (i != 0 || bind_pod(token, object, error)) &&
               check_uid(json_object_get(bound, "uid"), object, of_kind, name, error);
    }
    return refuse_kind(version, of_kind, error);
}

/* ---- signing ---- */

/* All of them are audiences of the API server itself. */
static bool is_for_us(const struct token_request *token)
{
    const json_t *audiences = json_path(token->body, "spec", "audiences");
    const json_t *own = service_accounts_audiences(token->accounts);
    for (size_t i = 0; i < json_array_size(audiences); i++) {
        if (!json_array_has_string(own, json_string_value(json_array_get(audiences, i)))) {
            return false;
        }
    }
    return true;
}

/* For how long it is really good; see extended_expiration. */
static json_int_t find_expiration(struct token_request *token)
{
    json_t *spec = json_object_get(token->body, "spec");
    json_int_t seconds = json_get_int(spec, "expirationSeconds", 0);
    int64_t most = service_accounts_max_expiration(token->accounts);
    if (most > 0 && seconds > most) {
        cleanup(free_char)
        char *warning = format("requested expiration of %lld seconds shortened to %lld seconds",
                               (long long)seconds, (long long)most);
        response_add_warning(token->response, warning);
        json_object_set_new(spec, "expirationSeconds", json_integer(most));
        seconds = most;
    }
    if (!service_accounts_extend_expiration(token->accounts) || !token->is_of_pod ||
        seconds != kubelets_expiration || !is_for_us(token)) {
        return seconds;
    }
    json_object_set_new(token->kubernetes, "warnafter",
                        json_integer(token->now / 1000000000 + seconds));
    return extended_expiration;
}

static json_t *make_claims(struct token_request *token)
{
    const struct request_info *info = &token->request->info;
    char id[RANDOM_UUID_SIZE];
    random_uuid(id);
    cleanup(free_char)
    char *subject = service_account_username(info->namespace, info->name);
    json_int_t now = token->now / 1000000000, until = now + find_expiration(token);
    return json_pack("{s:O, s:I, s:I, s:s, s:s, s:O, s:I, s:s}", "aud",
                     json_path(token->body, "spec", "audiences"), "exp", until, "iat", now, "iss",
                     "", "jti", id, "kubernetes.io", token->kubernetes, "nbf", now, "sub", subject);
}

static void complete_metadata(struct token_request *token)
{
    char now[TIMESTAMP_SIZE];
    timestamp_format(token->now, now);
    json_t *metadata = json_get_or_add_object(token->body, "metadata");
    json_object_set_new(metadata, "name", json_string(token->request->info.name));
    json_object_set_new(metadata, "namespace", json_string(token->request->info.namespace));
    json_object_set_new(metadata, "creationTimestamp", json_string(now));
}

static bool issue(struct token_request *token, struct error *error)
{
    cleanup(json_release)
    json_t *claims = make_claims(token);
    cleanup(free_char)
    char *text = service_accounts_sign(token->accounts, claims, error);
    if (text == NULL) {
        return false;
    }
    char until[TIMESTAMP_SIZE];
    json_int_t seconds = json_get_int(json_object_get(token->body, "spec"), "expirationSeconds", 0);
    timestamp_format(token->now + seconds * 1000000000, until);
    complete_metadata(token);
    json_t *spec = json_object_get(token->body, "spec");
    if (json_object_get(spec, "boundObjectRef") == NULL) {
        json_object_set_new(spec, "boundObjectRef", json_null()); /* As upstream prints it. */
    }
    json_object_set_new(token->body, "status",
                        json_pack("{s:s, s:s}", "token", text, "expirationTimestamp", until));
    return true;
}

/* ---- the request ---- */

static bool decode(struct token_request *token, struct error *error)
{
    const struct schema *schema = scheme_kind_schema(token->request->scheme, group, "v1", kind);
    token->body = decode_body(token->request, token->response, schema, group, "v1", kind, error);
    if (token->body == NULL || !serve_check_options(token->request, error)) {
        return false;
    }
    schema_default(schema, token->body);
    return true;
}

static bool start_claims(struct token_request *token, struct error *error)
{
    const struct request_info *info = &token->request->info;
    cleanup(json_release)
    json_t *account = get_object(token, "serviceaccounts", info->namespace, info->name);
    if (account == NULL) {
        return error_not_found(error, "", "serviceaccounts", info->name);
    }
    token->kubernetes =
        json_pack("{s:s, s:o}", "namespace", info->namespace, "serviceaccount", reference(account));
    json_t *spec = json_get_or_add_object(token->body, "spec");
    if (json_array_size(json_object_get(spec, "audiences")) == 0) {
        json_object_set_new(spec, "audiences",
                            json_deep_copy(service_accounts_audiences(token->accounts)));
    }
    return true;
}

static void serve_token(struct registry *registry, struct request *request,
                        struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct token_request token = {
        .registry = registry,
        .accounts = authn_service_accounts(registry->authn),
        .request = request,
        .response = response,
        .now = timestamp_now(),
    };
    bool done = token.accounts != NULL && service_accounts_sign_tokens(token.accounts);
    if (!done) {
        error_set(&error, 404, "NotFound", "the server could not find the requested resource");
    }
    done = done && decode(&token, &error) && check_names(&token, &error) &&
           check_admission(&token, &error) && start_claims(&token, &error) &&
           check_expiration(&token, &error) && admission_validate_body(&token.shown, &error) &&
           bind(&token, &error) && issue(&token, &error);
    if (done) {
        response_set_json(response, request, 201, token.body);
    } else {
        response_set_error(response, request, &error);
    }
    json_decref(token.kubernetes);
    json_decref(token.body);
    write_clear(&token.shown);
}

const struct kind_subresource service_account_subresources[] = {
    {"token", serve_token, .waits_for_commit = false},
    {NULL, NULL, false},
};
