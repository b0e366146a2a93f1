// SPDX-License-Identifier: Apache-2.0
/*
 * Encryption at rest: which resources are encrypted in the store, with which keys.
 *
 * A value is kept as "k8s:enc:<provider>:v1:<key name>:" and what the cipher makes of it,
 * upstream's layout. Of the providers of a resource the first one's first key encrypts, all
 * decrypt; identity takes what is not encrypted.
 *
 * Threads: immutable once it is read.
 */
#ifndef APISERVER_STORAGE_ENCRYPTION_H
#define APISERVER_STORAGE_ENCRYPTION_H

#include "apiserver/storage/cipher.h"
#include "common/schema.h"

struct encryption;
/* What covers one resource: a list of keys. */
struct transformer;

/* An EncryptionConfiguration of apiserver.config.k8s.io/v1, YAML or JSON. What is wrong is an error
 * (400) that names the field, and never shows a key. */
struct encryption *encryption_parse(const char *text, size_t length, struct error *error);
void encryption_free(struct encryption *encryption); /* NULL is fine. */

/* What covers a resource; NULL: nothing does. Borrowed. */
const struct transformer *encryption_find(const struct encryption *encryption, const char *group,
                                          const char *plural);

/* Appends the value as it is to be stored under that key. */
bool transformer_seal(const struct transformer *transformer, const char *key, const char *value,
                      size_t length, struct buffer *stored, struct error *error);
/* The value of what is stored; the caller's. '*stale' (may be NULL) tells that it is not as it
 * would be written now. NULL with an error (500): Internal error occurred: unable to transform key
 * "/registry/…": no matching prefix found A transformer of NULL takes what is not encrypted. */
char *transformer_open(const struct transformer *transformer, const char *key, const char *stored,
                       size_t stored_length, size_t *length, bool *stale, struct error *error);

#endif
