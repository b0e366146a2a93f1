// SPDX-License-Identifier: Apache-2.0
/*
 * How much stack a thread or a fiber has of which there are many: enough for the deepest that
 * clients may send (see JSON_LEVELS_MAX) to go through all that recurses. Only what is used of it
 * takes memory.
 */
#ifndef COMMON_STACK_SIZE_H
#define COMMON_STACK_SIZE_H

#if defined(__has_feature)
#define STACK_SIZE_HAS_FEATURE(name) __has_feature(name)
#else
#define STACK_SIZE_HAS_FEATURE(name) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    STACK_SIZE_HAS_FEATURE(address_sanitizer) || STACK_SIZE_HAS_FEATURE(thread_sanitizer)
enum { SMALL_STACK_BYTES = 2048 << 10 }; /* Sanitizers make frames larger. */
#else
enum { SMALL_STACK_BYTES = 512 << 10 };
#endif

#endif
