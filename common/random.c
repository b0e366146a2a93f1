// SPDX-License-Identifier: Apache-2.0
#include "common/random.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

/* Asking OpenSSL costs more than what is asked for, so threads keep some in reserve. What has been
 * handed out is wiped: nobody finds an identifier's source in memory. */
static void fill(unsigned char *bytes, size_t count)
{
    static _Thread_local unsigned char reserve[256];
    static _Thread_local size_t left;
    if (left < count) {
        if (RAND_bytes(reserve, sizeof reserve) != 1) {
            abort(); /* No randomness: nothing can be identified. */
        }
        left = sizeof reserve;
    }
    left -= count;
    memcpy(bytes, reserve + left, count);
    memset(reserve + left, 0, count);
}

void random_uuid(char text[static RANDOM_UUID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[16];
    fill(bytes, sizeof bytes);
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    char *at = text;
    for (int i = 0; i < 16; i++) {
        *at++ = digits[bytes[i] >> 4];
        *at++ = digits[bytes[i] & 0xf];
        if (i == 3 || i == 5 || i == 7 || i == 9) {
            *at++ = '-';
        }
    }
    *at = '\0';
}

void random_name(char *text, size_t length)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    for (size_t i = 0; i < length; i++) {
        unsigned char byte;
        fill(&byte, 1);
        text[i] = alphabet[byte % (sizeof alphabet - 1)];
    }
    text[length] = '\0';
}
