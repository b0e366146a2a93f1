// SPDX-License-Identifier: Apache-2.0
#include "common/base64.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

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

/* The six bits of each character of both alphabets from the space on; 64 for others. */
static const unsigned char digits[96] = {
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 62, 64, 62, 64, 63, /* " !"#$%&'()*+,-./" */
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 64, 64, 64, 64, 64, 64, /* "0123456789:;<=>?" */
    64, 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, /* "@ABCDEFGHIJKLMNO" */
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 64, 64, 64, 64, 63, /* "PQRSTUVWXYZ[\]^_" */
    64, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, /* "`abcdefghijklmno" */
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 64, 64, 64, 64, 64, /* "p" and on */
};

static unsigned digit_of(char c)
{
    unsigned at = (unsigned char)c - 32U;
    return at < sizeof digits ? digits[at] : 64;
}

/* The last group, of less than four characters; false if there can't be one such. */
static bool decode_rest(const char *text, size_t count, char *out, size_t *written)
{
    uint32_t group = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned digit = digit_of(text[i]);
        if (digit > 63) {
            return false;
        }
        group |= digit << (18 - 6 * i);
    }
    for (size_t i = 1; i < count; i++) {
        out[(*written)++] = (char)(group >> (24 - 8 * i));
    }
    return count != 1;
}

static char *decode(const char *text, size_t length, size_t *decoded_length, const char *foreign)
{
    size_t written = 0;
    if (length > 0 && /* Of nothing, the text may be NULL. */
        (memchr(text, foreign[0], length) != NULL || memchr(text, foreign[1], length) != NULL)) {
        return NULL;
    }
    cleanup(free_char)
    char *out = allocate(length / 4 * 3 + 4);
    for (; length >= 4; length -= 4, text += 4) {
        unsigned a = digit_of(text[0]), b = digit_of(text[1]), c = digit_of(text[2]),
                 d = digit_of(text[3]);
        if ((a | b | c | d) > 63) {
            return NULL;
        }
        out[written++] = (char)(a << 2 | b >> 4);
        out[written++] = (char)(b << 4 | c >> 2);
        out[written++] = (char)(c << 6 | d);
    }
    if (!decode_rest(text, length, out, &written)) {
        return NULL;
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
    return decode(text, length - padding, decoded_length, "-_");
}

char *base64_decode_url(const char *text, size_t length, size_t *decoded_length)
{
    return decode(text, length, decoded_length, "+/");
}
