// SPDX-License-Identifier: Apache-2.0
/*
 * What the controllers of CertificateSigningRequests know of one: its state, and whether what it
 * asks for is what its signer signs. Pure functions of trees and of parsed requests.
 *
 * Threads: any.
 */
#ifndef CONTROLLERS_CERTIFICATE_VIEW_H
#define CONTROLLERS_CERTIFICATE_VIEW_H

#include <jansson.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

/* The signers whose requests are signed here. */
enum certificate_signer {
    SIGNER_KUBELET_SERVING,
    SIGNER_KUBELET_CLIENT,
    SIGNER_API_CLIENT,
    SIGNER_LEGACY_UNKNOWN,
    SIGNER_COUNT, /* Also: none of them. */
};
extern const char *const certificate_signer_names[SIGNER_COUNT];

enum certificate_signer certificate_signer_of(const json_t *csr);

/* A condition of the type that has not been said to be false. */
bool certificate_has(const json_t *csr, const char *type);
bool certificate_is_issued(const json_t *csr);

/* Its spec.request, to be freed with X509_REQ_free(). NULL with an error. */
X509_REQ *certificate_parse(const json_t *csr, struct error *error);

/* Why the signer doesn't sign such a request for these usages, in words for people; the caller's,
 * NULL when it does. */
char *certificate_refuse(enum certificate_signer signer, X509_REQ *request, const json_t *usages);

/* The common name of the request's subject; the caller's, "" when there is none. */
char *certificate_common_name(X509_REQ *request);

/* When the cleaner deletes the request; nanoseconds since 1970, INT64_MAX: not before something
 * changes. Requests that nobody decides stay a day, those that were decided an hour, and no longer
 * than the certificate is valid. */
int64_t certificate_clean_at(const json_t *csr);

#endif
