// SPDX-License-Identifier: Apache-2.0
#include "common/random.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

static void fill(unsigned char *bytes, size_t count)
{
    if (RAND_bytes(bytes, (int)count) != 1) {
        abort(); /* No randomness: nothing can be identified. */
    }
}

void random_uuid(char text[static RANDOM_UUID_SIZE])
{
    unsigned char bytes[16];
    fill(bytes, sizeof bytes);
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    char *at = text;
    for (int i = 0; i < 16; i++) {
        at += snprintf(at, 3, "%02x", bytes[i]);
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
