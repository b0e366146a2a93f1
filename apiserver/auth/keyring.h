// SPDX-License-Identifier: Apache-2.0
/*
 * The keys of service account tokens: those that verify, and the one that signs. The files are
 * looked at again now and then, so that keys change without a restart; each state of them is one
 * immutable, reference-counted set.
 *
 * Threads: all of it from any thread. A look at the files is a stat() of each, once a second.
 */
#ifndef APISERVER_AUTH_KEYRING_H
#define APISERVER_AUTH_KEYRING_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/jwt.h"

struct key_set {
    atomic_uint references;
    uint64_t generation;     /* Another one for each state. */
    struct jwt_keys keys;    /* That verify; the signing key among them. */
    struct jwt_keys signing; /* The first one signs; empty: nothing can be signed. */
};

struct keyring;

/* 'files' ends with NULL; 'signing_file' may be NULL. False when one can't be read. */
struct keyring *keyring_open(const char *const *files, const char *signing_file,
                             struct error *error);
void keyring_free(struct keyring *keyring);
/* The keys of now; the caller's reference. */
struct key_set *keyring_get(struct keyring *keyring);
/* The generation of the keys of now. */
uint64_t keyring_generation(struct keyring *keyring);
void key_set_release(struct key_set **set); /* For cleanup(). */

#endif
