// SPDX-License-Identifier: Apache-2.0
#include "common/json_memory.h"

#include <jansson.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/alloc.h"

enum {
    granule = 16,           /* Blocks differ in size by this: that of the C library. */
    header = 8,             /* What the C library needs of it. */
    largest = 1024,         /* Larger blocks are not kept. */
    kept_bytes_max = 65536, /* By one thread. */
};

struct block {
    struct block *next;
};

/* Class c holds blocks of at least c * granule - header bytes. */
struct kept {
    struct block *classes[largest / granule + 1];
    size_t bytes;
    bool is_known; /* The thread's end will free it. */
};

static _Thread_local struct kept kept;
static pthread_key_t at_thread_end;

static void release(void *argument)
{
    struct kept *mine = argument;
    for (size_t i = 0; i < array_length(mine->classes); i++) {
        while (mine->classes[i] != NULL) {
            struct block *block = mine->classes[i];
            mine->classes[i] = block->next;
            free(block);
        }
    }
    mine->bytes = kept_bytes_max; /* What is still freed by this thread goes back at once. */
}

static void *take(size_t size)
{
    size_t class = (size + header + granule - 1) / granule;
    if (class >= array_length(kept.classes) || kept.classes[class] == NULL) {
        return malloc(size);
    }
    struct block *block = kept.classes[class];
    kept.classes[class] = block->next;
    kept.bytes -= class * granule;
    return block;
}

static void give_back(void *memory)
{
    size_t class = memory != NULL ? (malloc_usable_size(memory) + header) / granule : 0;
    size_t bytes = class * granule;
    if (class == 0 || class >= array_length(kept.classes) || kept.bytes + bytes > kept_bytes_max) {
        free(memory);
        return;
    }
    if (!kept.is_known) {
        kept.is_known = pthread_setspecific(at_thread_end, &kept) == 0;
    }
    struct block *block = memory;
    block->next = kept.classes[class];
    kept.classes[class] = block;
    kept.bytes += bytes;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { may_keep = false };
#else
enum { may_keep = true };
#endif

void json_memory_use(void)
{
    if (may_keep && pthread_key_create(&at_thread_end, release) == 0) {
        json_set_alloc_funcs(take, give_back);
    }
}
