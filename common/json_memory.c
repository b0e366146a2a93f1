// SPDX-License-Identifier: Apache-2.0
#include "common/json_memory.h"

#include <jansson.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/alloc.h"

enum {
    granule = 16,             /* Blocks differ in size by this: that of the C library. */
    header = 8,               /* What the C library needs of it. */
    smallest = 24,            /* It gives no less. */
    largest = 1024,           /* Larger blocks are not kept. */
    kept_bytes_max = 1 << 18, /* By one thread: some trees of a pod. */
    class_bytes_max = kept_bytes_max / 4, /* Else what nobody asks for would fill it one day. */
};

struct block {
    struct block *next;
};

/* Class c holds blocks of c * granule - header bytes. */
struct class {
    struct block *first;
    size_t bytes; /* Of all its blocks. */
};

struct kept {
    struct class classes[largest / granule + 1];
    size_t room;   /* Bytes that may still be kept: none before the thread's first block. */
    bool is_known; /* The thread's end will free it. */
};

static _Thread_local struct kept kept;
static pthread_key_t at_thread_end;

static void release(void *argument)
{
    struct kept *mine = argument;
    for (size_t i = 0; i < array_length(mine->classes); i++) {
        while (mine->classes[i].first != NULL) {
            struct block *block = mine->classes[i].first;
            mine->classes[i].first = block->next;
            free(block);
        }
    }
    mine->room = 0; /* What is still freed by this thread goes back at once. */
}

static void *take(size_t size)
{
    size_t wanted = size > smallest ? size : smallest;
    size_t index = (wanted + header + granule - 1) / granule;
    if (index + 1 >= array_length(kept.classes)) {
        return malloc(size);
    }
    /* The C library gives a granule more than is wanted where less would be left. */
    index += kept.classes[index].first == NULL;
    struct class *class = &kept.classes[index];
    struct block *block = class->first;
    if (block == NULL) {
        return malloc(size);
    }
    class->first = block->next;
    class->bytes -= index * granule;
    kept.room += index * granule;
    return block;
}

/* The thread's first block goes as it came; from then on there is room for others. */
static void begin(void)
{
    kept.is_known = true;
    if (pthread_setspecific(at_thread_end, &kept) == 0) {
        kept.room = kept_bytes_max;
    }
}

static void give_back(void *memory)
{
    if (memory == NULL) {
        return;
    }
    size_t index = (malloc_usable_size(memory) + header) / granule;
    size_t bytes = index * granule;
    if (index >= array_length(kept.classes) || bytes > kept.room ||
        kept.classes[index].bytes + bytes > class_bytes_max) {
        if (!kept.is_known) {
            begin();
        }
        free(memory);
        return;
    }
    struct class *class = &kept.classes[index];
    struct block *block = memory;
    block->next = class->first;
    class->first = block;
    class->bytes += bytes;
    kept.room -= bytes;
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
