// SPDX-License-Identifier: Apache-2.0
/* The algorithms that tokens are signed with. Of use to common/jwt*.c only. */
#ifndef COMMON_JWT_ALGORITHMS_H
#define COMMON_JWT_ALGORITHMS_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

struct jwt_algorithm {
    const char *name;
    const EVP_MD *(*digest)(void);
    bool is_pss;
    const char *curve;       /* OpenSSL's name of it; NULL: RSA. */
    const char *jwk_curve;   /* The same as JWKs have it. */
    size_t coordinate_bytes; /* Of a number of that curve; 0: RSA. */
};

/* NULL when there is none of that name. */
const struct jwt_algorithm *jwt_algorithm_find(const char *name);
/* What a private key signs with: RS256, or what goes with its curve; NULL for keys of no use. */
const struct jwt_algorithm *jwt_algorithm_of_key(EVP_PKEY *key);
const struct jwt_algorithm *jwt_algorithm_of_curve(const char *jwk_curve);
bool jwt_algorithm_fits(const struct jwt_algorithm *algorithm, EVP_PKEY *key);

#endif
