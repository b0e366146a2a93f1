// SPDX-License-Identifier: Apache-2.0
#include "common/base64.h"

#include <stdbool.h>
#include <stdint.h>

#include "common/alloc.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(struct buffer *out, const unsigned char *in, size_t length, const char *alphabet,
                   bool padded)
{
    char *to = buffer_reserve(out, (length + 2) / 3 * 4), *start = to;
    for (; length >= 3; length -= 3, in += 3) {
        uint32_t group = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *to++ = alphabet[group >> 18];
        *to++ = alphabet[group >> 12 & 63];
        *to++ = alphabet[group >> 6 & 63];
        *to++ = alphabet[group & 63];
    }
    if (length > 0) {
        uint32_t group = (uint32_t)in[0] << 16 | (length == 2 ? (uint32_t)in[1] << 8 : 0);
        *to++ = alphabet[group >> 18];
        *to++ = alphabet[group >> 12 & 63];
        if (length == 2) {
            *to++ = alphabet[group >> 6 & 63];
        } else if (padded) {
            *to++ = '=';
        }
        if (padded) {
            *to++ = '=';
        }
    }
    out->length += (size_t)(to - start);
    out->bytes[out->length] = '\0';
}

void base64_encode_to(struct buffer *out, const void *bytes, size_t length)
{
    encode(out, bytes, length, standard, true);
}

char *base64_encode(const void *bytes, size_t length)
{
    struct buffer out = BUFFER_INIT;
    encode(&out, bytes, length, standard, true);
    return buffer_steal(&out);
}

char *base64_encode_url(const void *bytes, size_t length)
{
    struct buffer out = BUFFER_INIT;
    encode(&out, bytes, length, url, false);
    return buffer_steal(&out);
}

/* The six bits of a character; -1 for one that is not of the alphabet. */
static int bits_of(char c, bool url_safe)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == (url_safe ? '-' : '+')) {
        return 62;
    }
    return c == (url_safe ? '_' : '/') ? 63 : -1;
}

static char *decode(const char *text, size_t length, size_t *decoded_length, bool url_safe)
{
    cleanup(free_char)
    char *out = allocate(length / 4 * 3 + 4);
    size_t written = 0;
    uint32_t group = 0;
    unsigned count = 0;
    for (size_t i = 0; i < length; i++) {
        int bits = bits_of(text[i], url_safe);
        if (bits < 0) {
            return NULL;
        }
        group = group << 6 | (uint32_t)bits;
        if (++count == 4) {
            out[written++] = (char)(group >> 16);
            out[written++] = (char)(group >> 8);
            out[written++] = (char)group;
            group = count = 0;
        }
    }
    if (count == 1) {
        return NULL;
    }
    if (count > 1) {
        group <<= 6 * (4 - count);
        out[written++] = (char)(group >> 16);
        if (count == 3) {
            out[written++] = (char)(group >> 8);
        }
    }
    out[written] = '\0';
    *decoded_length = written;
    return steal(out);
}

char *base64_decode(const char *text, size_t length, size_t *decoded_length)
{
    size_t padding = 0;
    if (length % 4 != 0) {
        return NULL;
    }
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=') {
        padding++;
    }
    return decode(text, length - padding, decoded_length, false);
}

char *base64_decode_url(const char *text, size_t length, size_t *decoded_length)
{
    return decode(text, length, decoded_length, true);
}
