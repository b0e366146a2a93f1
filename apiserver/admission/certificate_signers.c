// SPDX-License-Identifier: Apache-2.0
/* CertificateApproval and CertificateSigning: to approve or sign a request for a certificate takes
 * the permission to do so for its signer, by its name or by all of its domain ("example.com/…"). */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/auth/authz.h"
#include "common/alloc.h"
#include "common/json.h"

static bool may(const struct write *write, const char *verb, const char *signer)
{
    struct authz_attributes attributes =
        AUTHZ_RESOURCE(&write->request->user, verb, "certificates.k8s.io", "signers");
    attributes.name = signer;
    if (authz_decide(write->registry->authz, &attributes, NULL, NULL) == AUTHZ_ALLOW) {
        return true;
    }
    cleanup(free_char)
    char *all_of_domain = format("%.*s/*", (int)strcspn(signer, "/"), signer);
    attributes.name = all_of_domain;
    return authz_decide(write->registry->authz, &attributes, NULL, NULL) == AUTHZ_ALLOW;
}

static bool check(const struct write *write, const char *verb, struct error *error)
{
    const char *signer = json_path_string(write->live, "spec", "signerName");
    signer = signer != NULL ? signer : "";
    return may(write, verb, signer) ||
           error_forbidden(error, write->resource->group, write->resource->plural, write->name,
                           "user not permitted to %s requests with signerName \"%s\"", verb,
                           signer);
}

static bool is_update_of(const struct write *write, const char *subresource)
{
    return write->operation == WRITE_UPDATE && strcmp(write->subresource, subresource) == 0 &&
           strcmp(write->storage->plural, "certificatesigningrequests") == 0 &&
           strcmp(write->storage->group, "certificates.k8s.io") == 0;
}

static bool validate_approval(const struct write *write, struct error *error)
{
    return !is_update_of(write, "approval") || check(write, "approve", error);
}

static bool differs(const struct write *write, const char *field)
{
    json_t *after = json_path(write->object, "status", field);
    json_t *before = json_path(write->live, "status", field);
    return after != before && !json_equal(after, before);
}

static bool validate_signing(const struct write *write, struct error *error)
{
    return !is_update_of(write, "status") ||
           (!differs(write, "certificate") && !differs(write, "conditions")) ||
           check(write, "sign", error);
}

const struct admission_plugin admission_certificate_approval = {
    .name = "CertificateApproval",
    .is_on_by_default = true,
    .validate = validate_approval,
};

const struct admission_plugin admission_certificate_signing = {
    .name = "CertificateSigning",
    .is_on_by_default = true,
    .validate = validate_signing,
};
