// SPDX-License-Identifier: Apache-2.0
/*
 * A certificate authority: a certificate and its key, in files that are read for each signature, so
 * that new ones need no restart.
 *
 * Threads: any.
 */
#ifndef CONTROLLERS_CERTIFICATE_AUTHORITY_H
#define CONTROLLERS_CERTIFICATE_AUTHORITY_H

#include <jansson.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

/* Both files are PEM; the key isn't encrypted. */
struct certificate_authority {
    const char *certificate_file, *key_file;
};

/* Whether both can be read and belong together. */
bool certificate_authority_check(const struct certificate_authority *authority,
                                 struct error *error);

/* What is to be signed. */
struct certificate_wish {
    X509_REQ *request;    /* Subject, key and alternative names. */
    const json_t *usages; /* As spec.usages: "client auth". */
    int64_t seconds;      /* How long it is to be valid, from now. */
};

/* A certificate as PEM, the caller's; NULL with an error. It is valid from five minutes ago on, for
 * clocks that are behind, and no longer than the authority's own. */
char *certificate_authority_sign(const struct certificate_authority *authority,
                                 const struct certificate_wish *wish, struct error *error);

#endif
