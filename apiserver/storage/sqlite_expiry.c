// SPDX-License-Identifier: Apache-2.0
/* The heap of what expires in the embedded store. */
#include "apiserver/storage/sqlite_store.h"
#include "common/alloc.h"

static void expiry_swap(struct expiry *a, struct expiry *b)
{
    struct expiry other = *a;
    *a = *b;
    *b = other;
}

void expiries_add(struct expiries *expiries, const char *key, int64_t revision, int64_t at)
{
    expiries->list =
        grow(expiries->list, expiries->count, &expiries->capacity, sizeof *expiries->list);
    size_t place = expiries->count++;
    expiries->list[place] = (struct expiry){at, revision, duplicate(key)};
    while (place > 0 && expiries->list[(place - 1) / 2].at > expiries->list[place].at) {
        expiry_swap(&expiries->list[(place - 1) / 2], &expiries->list[place]);
        place = (place - 1) / 2;
    }
}

struct expiry expiries_take(struct expiries *expiries)
{
    struct expiry first = expiries->list[0];
    expiries->list[0] = expiries->list[--expiries->count];
    for (size_t place = 0;;) {
        size_t least = place;
        for (size_t child = place * 2 + 1; child <= place * 2 + 2 && child < expiries->count;
             child++) {
            if (expiries->list[child].at < expiries->list[least].at) {
                least = child;
            }
        }
        if (least == place) {
            return first;
        }
        expiry_swap(&expiries->list[place], &expiries->list[least]);
        place = least;
    }
}

void expiries_clear(struct expiries *expiries)
{
    for (size_t i = 0; i < expiries->count; i++) {
        free(expiries->list[i].key);
    }
    free(expiries->list);
    *expiries = (struct expiries){0};
}
