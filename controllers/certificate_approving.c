// SPDX-License-Identifier: Apache-2.0
/*
 * certificatesigningrequest-approving-controller: approves what kubelets ask for as clients, when
 * the requester may create the subresource that stands for it: "selfnodeclient" for a certificate
 * that renews its own identity, "nodeclient" for a node's first.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/certificate_view.h"
#include "controllers/controller.h"
#include "controllers/resources.h"

struct approving_state {
    struct controller *controller;
    struct informer *requests;
};

static const struct recognized {
    const char *subresource, *message;
    bool renews_own; /* The requester is whom the certificate will name. */
} recognized[] = {
    {"selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.",
     true},
    {"nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.", false},
};

static json_t *make_review(const json_t *csr, const char *subresource)
{
    static const char *const members[] = {"uid", "groups", "extra"};
    const json_t *spec = json_object_get(csr, "spec");
    json_t *review =
        json_pack("{s:s, s:s, s:{s:{s:s, s:s, s:s, s:s, s:s}}}", "kind", "SubjectAccessReview",
                  "apiVersion", "authorization.k8s.io/v1", "spec", "resourceAttributes", "group",
                  "certificates.k8s.io", "version", "*", "resource", "certificatesigningrequests",
                  "verb", "create", "subresource", subresource);
    json_t *target = json_object_get(review, "spec");
    json_object_set(target, "user", json_object_get(spec, "username"));
    for (size_t i = 0; i < array_length(members); i++) {
        json_object_set(target, members[i], json_object_get(spec, members[i]));
    }
    return review;
}

/* Whether the requester may; false with an error when nobody can tell. */
static bool ask(struct approving_state *state, const json_t *csr, const char *subresource,
                bool *allowed, struct error *error)
{
    cleanup(json_release)
    json_t *review = make_review(csr, subresource);
    cleanup(json_release)
    json_t *answer = client_create(state->controller->client, &resource_subject_access_reviews,
                                   NULL, review, error);
    *allowed = json_is_true(json_path(answer, "status", "allowed"));
    return answer != NULL;
}

static bool approve(struct approving_state *state, json_t *csr, const char *message,
                    struct error *error)
{
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    json_t *status = json_get_or_add_object(csr, "status");
    if (!json_is_array(json_object_get(status, "conditions"))) {
        json_object_set_new(status, "conditions", json_array());
    }
    json_array_append_new(json_object_get(status, "conditions"),
                          json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "Approved", "status",
                                    "True", "reason", "AutoApproved", "message", message,
                                    "lastUpdateTime", now));
    cleanup(json_release)
    json_t *written = client_update(state->controller->client,
                                    &resource_certificate_signing_requests, "approval", csr, error);
    return written != NULL;
}

/* Whether the request is for a kubelet that is a client, and whether for the requester's own. */
static bool is_for_kubelet(const json_t *csr, bool *is_own, struct error *error)
{
    X509_REQ *request = certificate_parse(csr, error);
    if (request == NULL) {
        return false;
    }
    cleanup(free_char)
    char *why =
        certificate_refuse(SIGNER_KUBELET_CLIENT, request, json_path(csr, "spec", "usages"));
    cleanup(free_char)
    char *name = certificate_common_name(request);
    const char *user = json_path_string(csr, "spec", "username");
    *is_own = user != NULL && strcmp(user, name) == 0;
    X509_REQ_free(request);
    return why == NULL;
}

static bool sync_approving(void *argument, const char *key, struct error *error)
{
    struct approving_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(state->requests), key);
    cleanup(json_release)
    json_t *csr = cached != NULL ? cached_object_tree(cached) : NULL;
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    bool is_own;
    if (csr == NULL || certificate_signer_of(csr) != SIGNER_KUBELET_CLIENT ||
        certificate_is_issued(csr) || certificate_has(csr, "Approved") ||
        certificate_has(csr, "Denied")) {
        return true;
    }
    if (!is_for_kubelet(csr, &is_own, &why)) {
        return why.code == 0 || error_move(error, &why);
    }
    for (size_t i = 0; i < array_length(recognized); i++) {
        bool allowed = false;
        if (recognized[i].renews_own && !is_own) {
            continue;
        }
        if (!ask(state, csr, recognized[i].subresource, &allowed, error)) {
            return false;
        }
        if (allowed) {
            return approve(state, csr, recognized[i].message, error);
        }
    }
    /* Asked again later, as the requester may be given the right. */
    return error_internal(error,
                          "recognized csr \"%s\" as %s but subject access review was not approved",
                          key, is_own ? "[selfnodeclient nodeclient]" : "[nodeclient]");
}

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct approving_state *state = allocate_struct(struct approving_state);
    state->controller = controller;
    state->requests = informer_factory_get(controller->informers,
                                           &resource_certificate_signing_requests, NULL, NULL);
    informer_add_handler(state->requests, controller_handle_object, controller);
    return state;
}

const struct controller_type certificate_approving_controller = {
    .name = "certificatesigningrequest-approving-controller",
    .alias = "csrapproving",
    .account = "certificate-controller",
    .workers = 5,
    .start = start,
    .sync = sync_approving,
    .stop = free,
};
