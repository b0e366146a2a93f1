// SPDX-License-Identifier: Apache-2.0
/*
 * The quick road from text to a tree. jansson's parser looks at a text byte by byte, through
 * several functions each, and copies every string twice: with a pod that is most of what a write
 * costs. This one takes runs of plain characters as they stand, and knows no errors: what is wrong,
 * or rare (integers that overflow, surrogates, NULs), is left to jansson, whose judgement and words
 * count.
 */
#ifndef COMMON_JSON_READ_H
#define COMMON_JSON_READ_H

#include <endian.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __x86_64__
#include <emmintrin.h>
#endif

struct json_read_limits {
    unsigned levels;    /* How deep objects and arrays may stand in one another. */
    size_t values;      /* How many values there may be, those with members included. */
    bool no_duplicates; /* No object may have two members of one name. Else the last one counts. */
};

/* The tree that json_loadb() makes with JSON_DECODE_ANY, the caller's; NULL when the text is beyond
 * the limits or is to be parsed by jansson. Any thread. */
json_t *json_read(const char *text, size_t length, const struct json_read_limits *limits);

/* ---- runs of plain characters ---- */

/* For each of the eight bytes in a word, its highest bit: whether it is NUL. Right for the lowest
 * such byte and those below. */
static inline uint64_t json_nul_bytes(uint64_t word)
{
    return (word - UINT64_C(0x0101010101010101)) & ~word & UINT64_C(0x8080808080808080);
}

/* The same: whether it is a quote, a backslash, a control character or not ASCII. */
static inline uint64_t json_special_bytes(uint64_t word)
{
    uint64_t controls = (word - UINT64_C(0x2020202020202020)) & ~word;
    return ((controls | word) & UINT64_C(0x8080808080808080)) |
           json_nul_bytes(word ^ UINT64_C(0x2222222222222222)) |
           json_nul_bytes(word ^ UINT64_C(0x5c5c5c5c5c5c5c5c));
}

static inline bool json_is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* How many bytes from the start of the text stand for themselves in a JSON string and are ASCII. */
static inline size_t json_plain_length(const char *text, size_t length)
{
    size_t plain = 0;
    uint64_t word;
#ifdef __x86_64__
    for (; length - plain >= sizeof(__m128i); plain += sizeof(__m128i)) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(text + plain));
        __m128i special = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20)); /* From 0x80: negative. */
        special = _mm_or_si128(special, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
        special = _mm_or_si128(special, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
        int mask = _mm_movemask_epi8(special);
        if (mask != 0) {
            return plain + (size_t)__builtin_ctz((unsigned)mask);
        }
    }
#endif
    for (; length - plain >= sizeof word; plain += sizeof word) {
        memcpy(&word, text + plain, sizeof word);
        uint64_t special = json_special_bytes(le64toh(word)); /* The first byte is the lowest. */
        if (special != 0) {
            return plain + (size_t)__builtin_ctzll(special) / 8;
        }
    }
    if (plain > 0 && plain < length) { /* The last word, which begins with plain ones. */
        plain = length - sizeof word;
        memcpy(&word, text + plain, sizeof word);
        uint64_t special = json_special_bytes(le64toh(word));
        return special != 0 ? plain + (size_t)__builtin_ctzll(special) / 8 : length;
    }
    uint32_t halves[2]; /* Of a short text: its first and its last four, some twice perhaps. */
    if (length - plain >= sizeof halves[0]) {
        memcpy(&halves[0], text, sizeof halves[0]);
        memcpy(&halves[1], text + length - sizeof halves[1], sizeof halves[1]);
        memcpy(&word, halves, sizeof word);
        if (json_special_bytes(word) == 0) {
            return length;
        }
    }
    while (plain < length && json_is_plain((unsigned char)text[plain])) {
        plain++;
    }
    return plain;
}

#endif
