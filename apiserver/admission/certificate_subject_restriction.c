// SPDX-License-Identifier: Apache-2.0
/* CertificateSubjectRestriction: nobody gets a certificate for clients that makes them a member of
 * system:masters, who may do everything. */
#include <openssl/x509.h>
#include <string.h>

#include "apiserver/admission/admission.h"
#include "common/certificate_request.h"
#include "common/alloc.h"
#include "common/json.h"

static const char signer[] = "kubernetes.io/kube-apiserver-client";
static const char masters[] = "system:masters";

static bool has_organization(X509_NAME *subject, const char *name)
{
    for (int i = -1; (i = X509_NAME_get_index_by_NID(subject, NID_organizationName, i)) >= 0;) {
        unsigned char *text = NULL;
        int length =
            ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
        bool same = length >= 0 && (size_t)length == strlen(name) &&
                    memcmp(text, name, (size_t)length) == 0;
        if (length >= 0) {
            OPENSSL_free(text);
        }
        if (same) {
            return true;
        }
    }
    return false;
}

static bool validate(const struct write *write, struct error *error)
{
    const char *wanted = json_path_string(write->object, "spec", "signerName");
    if (write->operation != WRITE_CREATE || wanted == NULL || strcmp(wanted, signer) != 0 ||
        !admission_is_about(write, "certificates.k8s.io", "certificatesigningrequests")) {
        return true;
    }
    X509_REQ *request =
        certificate_request_read(json_path_string(write->object, "spec", "request"));
    if (request == NULL) {
        return error_forbidden(error, write->resource->group, write->resource->plural, write->name,
                               "failed to parse CSR");
    }
    bool wants_all = has_organization(X509_REQ_get_subject_name(request), masters);
    X509_REQ_free(request);
    return !wants_all ||
           error_forbidden(error, write->resource->group, write->resource->plural, write->name,
                           "use of %s signer with %s group is not allowed", signer, masters);
}

const struct admission_plugin admission_certificate_subject_restriction = {
    .name = "CertificateSubjectRestriction",
    .is_on_by_default = true,
    .validate = validate,
};
