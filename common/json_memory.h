// SPDX-License-Identifier: Apache-2.0
/*
 * Where JSON trees get their memory. A tree is hundreds of small blocks, taken and given back
 * together; the C library keeps seven blocks of a size at hand for a thread and works hard for the
 * rest. Here a thread keeps what its trees gave back, by size and up to a bound, and takes it again
 * for the next tree.
 *
 * Threads: any; a block may be freed by another thread than the one that took it.
 */
#ifndef COMMON_JSON_MEMORY_H
#define COMMON_JSON_MEMORY_H

/* To be called once, before the first tree is made. Without it, and in builds with a sanitizer
 * (which is to see each block), trees use malloc(). */
void json_memory_use(void);

#endif
