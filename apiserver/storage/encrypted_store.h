// SPDX-License-Identifier: Apache-2.0
/*
 * A store that encrypts what it keeps in another one, whichever that is. All above it, the cache
 * included, sees plain values; all below it, files and etcd, encrypted ones.
 *
 * A value that can't be decrypted is an error of the read that meets it. To a watcher it is shown
 * as it is stored, so that nothing of the stream is lost.
 */
#ifndef APISERVER_STORAGE_ENCRYPTED_STORE_H
#define APISERVER_STORAGE_ENCRYPTED_STORE_H

#include "apiserver/storage/store.h"
#include "common/schema.h"

struct encrypted_store_options {
    const char *path; /* Of an EncryptionConfiguration; see encryption.h. */
    bool reloads;     /* It is read again, within about a second, when it changes. */
};

/* Takes over the store, which is closed with this one, also on an error (400, naming file and
 * field). The scheme is borrowed: it says whose key is whose. */
struct store *store_encrypted_open(struct store *inner,
                                   const struct encrypted_store_options *options,
                                   const struct scheme *scheme, struct error *error);

#endif
