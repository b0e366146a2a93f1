// SPDX-License-Identifier: Apache-2.0
/*
 * certificatesigningrequest-signing-controller: gives approved requests of the kubernetes.io
 * signers their certificates, each signer's with its own authority. What a signer doesn't sign gets
 * the condition Failed.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/log.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/certificate_authority.h"
#include "controllers/certificate_view.h"
#include "controllers/controller.h"
#include "controllers/resources.h"

enum { least_seconds = 600 };

struct signing_state {
    struct controller *controller;
    struct informer *requests;
    struct certificate_authority authorities[SIGNER_COUNT]; /* Without files: it signs nothing. */
};

/* What is asked for within what is allowed, as upstream's signer. */
static int64_t seconds_of(const struct signing_state *state, const json_t *csr)
{
    int64_t most = state->controller->settings->cluster_signing_duration / 1000000000;
    int64_t wanted = json_get_int(json_object_get(csr, "spec"), "expirationSeconds", most);
    wanted = wanted < least_seconds ? least_seconds : wanted;
    return wanted < most ? wanted : most;
}

static void add_failure(json_t *csr, const char *message)
{
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    json_t *status = json_get_or_add_object(csr, "status");
    json_t *conditions = json_object_get(status, "conditions");
    if (conditions == NULL) {
        conditions = json_array();
        json_object_set_new(status, "conditions", conditions);
    }
    json_array_append_new(conditions,
                          json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "Failed", "status", "True",
                                    "reason", "SignerValidationFailure", "message", message,
                                    "lastUpdateTime", now));
}

/* Puts the outcome into the request's status. */
static bool decide(struct signing_state *state, enum certificate_signer signer, json_t *csr,
                   X509_REQ *request, struct error *error)
{
    const json_t *usages = json_path(csr, "spec", "usages");
    cleanup(free_char)
    char *why = certificate_refuse(signer, request, usages);
    if (why != NULL) {
        add_failure(csr, why);
        return true;
    }
    const struct certificate_wish wish = {request, usages, seconds_of(state, csr)};
    cleanup(free_char)
    char *pem = certificate_authority_sign(&state->authorities[signer], &wish, error);
    if (pem == NULL) {
        return false;
    }
    cleanup(free_char)
    char *encoded = base64_encode(pem, strlen(pem));
    json_object_set_new(json_get_or_add_object(csr, "status"), "certificate", json_string(encoded));
    return true;
}

static bool sync_signing(void *argument, const char *key, struct error *error)
{
    struct signing_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(state->requests), key);
    cleanup(json_release)
    json_t *csr = cached != NULL ? cached_object_tree(cached) : NULL;
    enum certificate_signer signer = certificate_signer_of(csr);
    if (csr == NULL || signer == SIGNER_COUNT ||
        state->authorities[signer].certificate_file == NULL || certificate_is_issued(csr) ||
        !certificate_has(csr, "Approved") || certificate_has(csr, "Denied") ||
        certificate_has(csr, "Failed")) {
        return true;
    }
    X509_REQ *request = certificate_parse(csr, error);
    bool decided = request != NULL && decide(state, signer, csr, request, error);
    X509_REQ_free(request);
    if (!decided) {
        return false;
    }
    cleanup(json_release)
    json_t *written = client_update(state->controller->client,
                                    &resource_certificate_signing_requests, "status", csr, error);
    return written != NULL;
}

static bool choose_authorities(struct signing_state *state, struct error *error)
{
    const struct controller_settings *settings = state->controller->settings;
    bool any = false;
    for (size_t i = 0; i < SIGNER_COUNT; i++) {
        struct certificate_authority *chosen = &state->authorities[i];
        *chosen = settings->cluster_signing[SIGNER_COUNT];
        if (settings->cluster_signing[i].certificate_file[0] != '\0') {
            *chosen = settings->cluster_signing[i];
        }
        if (chosen->certificate_file[0] == '\0') {
            chosen->certificate_file = NULL;
        } else if (!certificate_authority_check(chosen, error)) {
            return false;
        }
        any = any || chosen->certificate_file != NULL;
    }
    if (!any) {
        log_info("requests for certificates are not signed: --cluster-signing-cert-file isn't "
                 "given");
    }
    return true;
}

static void *start(struct controller *controller, struct error *error)
{
    struct signing_state *state = allocate_struct(struct signing_state);
    state->controller = controller;
    if (!choose_authorities(state, error)) {
        free(state);
        return NULL;
    }
    state->requests = informer_factory_get(controller->informers,
                                           &resource_certificate_signing_requests, NULL, NULL);
    informer_add_handler(state->requests, controller_handle_object, controller);
    return state;
}

const struct controller_type certificate_signing_controller = {
    .name = "certificatesigningrequest-signing-controller",
    .alias = "csrsigning",
    .account = "certificate-controller",
    .workers = 5,
    .start = start,
    .sync = sync_signing,
    .stop = free,
};
