// SPDX-License-Identifier: Apache-2.0
#include "common/base64.h"

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#ifdef __x86_64__
#include <emmintrin.h>
#endif

#include "common/alloc.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* ---- many at once ---- */

/* These take as many whole groups as they can and tell how many bytes they took; whoever calls them
 * goes on group by group, on other machines from the start. */

#ifdef __x86_64__

static __m128i at_each(char byte)
{
    return _mm_set1_epi8(byte);
}

/* What is added to each digit over 'least'. */
static __m128i above(__m128i digits, int least, int difference)
{
    return _mm_and_si128(_mm_cmpgt_epi8(digits, at_each((char)least)), at_each((char)difference));
}

/* What differs between the alphabets. */
struct last_two {
    char of_62, of_63;
};

static __m128i characters_of(__m128i digits, struct last_two last)
{
    __m128i sum = _mm_add_epi8(digits, at_each('A'));
    sum = _mm_add_epi8(sum, above(digits, 25, 'a' - 'Z' - 1));
    sum = _mm_add_epi8(sum, above(digits, 51, '0' - 'z' - 1));
    sum = _mm_add_epi8(sum, above(digits, 61, last.of_62 - '9' - 1));
    return _mm_add_epi8(sum, above(digits, 62, last.of_63 - last.of_62 - 1));
}

/* The three bytes there and one more, as a number. */
static int group_at(const unsigned char *in)
{
    uint32_t group;
    memcpy(&group, in, sizeof group);
    return (int)be32toh(group);
}

static size_t encode_many(const unsigned char *in, size_t length, char *to, const char *alphabet)
{
    const struct last_two last = {alphabet[62], alphabet[63]};
    size_t taken = 0;
    for (; length - taken > 12; taken += 12, in += 12, to += 16) {
        __m128i groups =
            _mm_set_epi32(group_at(in + 9), group_at(in + 6), group_at(in + 3), group_at(in));
        __m128i digits = _mm_srli_epi32(groups, 26);
        digits =
            _mm_or_si128(digits, _mm_and_si128(_mm_srli_epi32(groups, 12), _mm_set1_epi32(0x3f00)));
        digits = _mm_or_si128(digits,
                              _mm_and_si128(_mm_slli_epi32(groups, 2), _mm_set1_epi32(0x3f0000)));
        digits = _mm_or_si128(
            digits, _mm_and_si128(_mm_slli_epi32(groups, 16), _mm_set1_epi32(0x3f000000)));
        _mm_storeu_si128((__m128i *)to, characters_of(digits, last));
    }
    return taken;
}

/* Of the characters from 'first' to 'last': adds what makes them digits to 'differences', and what
 * they are to 'known'. */
static void know(__m128i characters, char first, char last, int digit, __m128i *differences,
                 __m128i *known)
{
    __m128i mask = _mm_and_si128(_mm_cmpgt_epi8(characters, at_each((char)(first - 1))),
                                 _mm_cmplt_epi8(characters, at_each((char)(last + 1))));
    *known = _mm_or_si128(*known, mask);
    *differences = _mm_or_si128(*differences, _mm_and_si128(mask, at_each((char)(digit - first))));
}

/* The digits of characters; false if one of them is none. */
static bool digits_of(__m128i characters, struct last_two last, __m128i *digits)
{
    __m128i known = _mm_setzero_si128(), differences = _mm_setzero_si128();
    know(characters, 'A', 'Z', 0, &differences, &known);
    know(characters, 'a', 'z', 26, &differences, &known);
    know(characters, '0', '9', 52, &differences, &known);
    know(characters, last.of_62, last.of_62, 62, &differences, &known);
    know(characters, last.of_63, last.of_63, 63, &differences, &known);
    *digits = _mm_add_epi8(characters, differences);
    return _mm_movemask_epi8(known) == 0xffff;
}

/* Writes the six bytes of eight digits, which are the lower 48 bits, and two bytes more. */
static void put_groups(int64_t groups, char *to)
{
    uint64_t bytes = htobe64((uint64_t)groups << 16);
    memcpy(to, &bytes, sizeof bytes);
}

/* There is to be room for two bytes more than there is to decode. */
static size_t decode_many(const char *text, size_t length, char *to, const char *alphabet)
{
    const struct last_two last = {alphabet[62], alphabet[63]};
    size_t taken = 0;
    __m128i digits;
    for (; length - taken >= 16; taken += 16, text += 16, to += 12) {
        if (!digits_of(_mm_loadu_si128((const __m128i *)text), last, &digits)) {
            break;
        }
        __m128i pairs = _mm_or_si128(_mm_slli_epi16(_mm_and_si128(digits, _mm_set1_epi16(0x3f)), 6),
                                     _mm_srli_epi16(digits, 8));
        __m128i groups = _mm_madd_epi16(pairs, _mm_set1_epi32(1 << 16 | 1 << 12));
        __m128i twos =
            _mm_or_si128(_mm_srli_epi64(_mm_slli_epi64(groups, 32), 8), _mm_srli_epi64(groups, 32));
        put_groups(_mm_cvtsi128_si64(twos), to);
        put_groups(_mm_cvtsi128_si64(_mm_unpackhi_epi64(twos, twos)), to + 6);
    }
    return taken;
}

#else

static size_t encode_many(const unsigned char *in, size_t length, char *to, const char *alphabet)
{
    (void)in, (void)length, (void)to, (void)alphabet;
    return 0;
}

static size_t decode_many(const char *text, size_t length, char *to, const char *alphabet)
{
    (void)text, (void)length, (void)to, (void)alphabet;
    return 0;
}

#endif

/* ---- group by group ---- */

static void encode(struct buffer *out, const unsigned char *in, size_t length, const char *alphabet,
                   bool padded)
{
    char *to = buffer_reserve(out, (length + 2) / 3 * 4), *start = to;
    size_t taken = encode_many(in, length, to, alphabet);
    in += taken, length -= taken, to += taken / 3 * 4;
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

enum { is_digit = 64, all_digits = is_digit << 18 | is_digit << 12 | is_digit << 6 | is_digit };

/* The six bits of each character of both alphabets, with is_digit; 0 for others. */
static const unsigned char digits[256] = {
    [' '] = 0, 0,   0,   0,   0,   0,   0,   0,
    0,         0,   0,   126, 0,   126, 0,   127, /* From " " to "/" */
    116,       117, 118, 119, 120, 121, 122, 123,
    124,       125, 0,   0,   0,   0,   0,   0, /* "0" to "?" */
    0,         64,  65,  66,  67,  68,  69,  70,
    71,        72,  73,  74,  75,  76,  77,  78, /* "@" to "O" */
    79,        80,  81,  82,  83,  84,  85,  86,
    87,        88,  89,  0,   0,   0,   0,   127, /* "P" to "_" */
    0,         90,  91,  92,  93,  94,  95,  96,
    97,        98,  99,  100, 101, 102, 103, 104, /* "`" to "o" */
    105,       106, 107, 108, 109, 110, 111, 112,
    113,       114, 115, 0,   0,   0,   0,   0, /* "p" and on */
};

static unsigned digit_of(char c)
{
    return digits[(unsigned char)c];
}

/* The last group, of less than four characters; false if there can't be one such. */
static bool decode_rest(const char *text, size_t count, char *out, size_t *written)
{
    uint32_t group = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned digit = digit_of(text[i]);
        if (digit == 0) {
            return false;
        }
        group |= (digit - is_digit) << (18 - 6 * i);
    }
    for (size_t i = 1; i < count; i++) {
        out[(*written)++] = (char)(group >> (24 - 8 * i));
    }
    return count != 1;
}

static char *decode(const char *text, size_t length, size_t *decoded_length, const char *alphabet)
{
    const char *foreign = alphabet == standard ? url : standard;
    cleanup(free_char)
    char *out = allocate(length / 4 * 3 + 4);
    size_t taken = decode_many(text, length, out, alphabet), written = taken / 4 * 3;
    length -= taken;
    text += taken;
    if (length > 0 &&
        (memchr(text, foreign[62], length) != NULL || memchr(text, foreign[63], length) != NULL)) {
        return NULL;
    }
    for (; length >= 4; length -= 4, text += 4) {
        unsigned a = digit_of(text[0]), b = digit_of(text[1]), c = digit_of(text[2]),
                 d = digit_of(text[3]);
        if ((a & b & c & d) == 0) {
            return NULL;
        }
        uint32_t group = (a << 18) + (b << 12) + (c << 6) + d - all_digits;
        uint32_t bytes = htobe32(group << 8); /* Three of them; there is room for the fourth. */
        memcpy(out + written, &bytes, sizeof bytes);
        written += 3;
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
    return decode(text, length - padding, decoded_length, standard);
}

char *base64_decode_url(const char *text, size_t length, size_t *decoded_length)
{
    return decode(text, length, decoded_length, url);
}
