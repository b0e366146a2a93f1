// SPDX-License-Identifier: Apache-2.0
#ifndef COMMON_CERTIFICATE_REQUEST_H
#define COMMON_CERTIFICATE_REQUEST_H

#include <openssl/x509.h>

/* What a CertificateSigningRequest's spec.request holds, a PKCS #10 request as PEM in base64: the
 * caller's, to be freed with X509_REQ_free(). NULL when it is none, or absent. Any thread. */
X509_REQ *certificate_request_read(const char *encoded);

#endif
