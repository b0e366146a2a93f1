// SPDX-License-Identifier: Apache-2.0
/* base64 (RFC 4648), with padding, and base64url without. Pure functions, any thread. */
#ifndef COMMON_BASE64_H
#define COMMON_BASE64_H

#include <stddef.h>

#include "common/buffer.h"

/* Encodes; the caller's. */
char *base64_encode(const void *bytes, size_t length);
char *base64_encode_url(const void *bytes, size_t length);
void base64_encode_to(struct buffer *out, const void *bytes, size_t length);
/* Decodes; NULL for what is no base64. NUL-terminated behind '*decoded_length'; the caller's. */
char *base64_decode(const char *text, size_t length, size_t *decoded_length);
char *base64_decode_url(const char *text, size_t length, size_t *decoded_length);

#endif
