// SPDX-License-Identifier: Apache-2.0
/*
 * The JSON of etcd's gateway: what requests are made of and how answers are read.
 *
 * 64-bit integers are strings and a member that is zero is absent. Values are base64 and may be
 * megabytes, so answers are scanned and never parsed into a tree. Pure functions, any thread.
 */
#ifndef APISERVER_STORAGE_ETCD_MESSAGE_H
#define APISERVER_STORAGE_ETCD_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "apiserver/storage/store.h"
#include "common/buffer.h"
#include "common/json.h"

/* The key or range end "\0", in base64: as start and end of a range, the whole key space. */
#define ETCD_WHOLE "AA=="

/* Adds "name":"<base64>". */
void etcd_add_bytes(struct buffer *out, const char *name, const void *bytes, size_t length);
/* Adds "name":"<number>". */
void etcd_add_int(struct buffer *out, const char *name, int64_t number);

/* A number, quoted or not; 0 when absent. */
int64_t etcd_int(struct json_span span);
/* The element of an array behind '*at' (0 at first), which moves on. False behind the last. */
bool etcd_next(struct json_span array, size_t *at, struct json_span *element);
/* Reads a "kv" into an item; a delete has no value. '*key_length' (may be NULL) also counts what
 * follows a NUL in the key of a foreign program. False when it is no such thing. */
bool etcd_read_item(struct json_span kv, bool deleted, struct store_item *item, size_t *key_length);
/* Makes room for one more item, all zero, at the end. */
struct store_item *etcd_add_item(struct store_items *items);

#endif
