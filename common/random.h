// SPDX-License-Identifier: Apache-2.0
/* Unpredictable identifiers. Any thread; no randomness ends the process. */
#ifndef COMMON_RANDOM_H
#define COMMON_RANDOM_H

#include <stddef.h>

enum { RANDOM_UUID_SIZE = 37 };

/* A version 4 UUID. */
void random_uuid(char text[static RANDOM_UUID_SIZE]);
/* 'length' characters without vowels and look-alikes, as apimachinery's rand.String, and a NUL. */
void random_name(char *text, size_t length);

#endif
