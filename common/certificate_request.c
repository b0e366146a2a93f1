// SPDX-License-Identifier: Apache-2.0
#include "common/certificate_request.h"

#include <openssl/pem.h>
#include <string.h>

#include "common/base64.h"

X509_REQ *certificate_request_read(const char *encoded)
{
    size_t length = 0;
    char *pem = encoded != NULL ? base64_decode(encoded, strlen(encoded), &length) : NULL;
    if (pem == NULL) {
        return NULL;
    }
    BIO *source = BIO_new_mem_buf(pem, (int)length);
    X509_REQ *request = PEM_read_bio_X509_REQ(source, NULL, NULL, NULL);
    BIO_free(source);
    free(pem);
    return request;
}
