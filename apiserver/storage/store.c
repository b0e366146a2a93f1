// SPDX-License-Identifier: Apache-2.0
#include "apiserver/storage/store.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

void store_item_clear(struct store_item *item)
{
    free(item->key);
    free(item->value);
    *item = (struct store_item){0};
}

void store_items_clear(struct store_items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        store_item_clear(&items->list[i]);
    }
    free(items->list);
    *items = STORE_ITEMS_INIT;
}

bool store_get(struct store *store, const char *key, struct store_item *item, bool *found,
               struct error *error)
{
    return store->class->get(store, key, item, found, error);
}

bool store_range(struct store *store, const char *start, const char *end, size_t limit,
                 int64_t revision, struct store_items *items, int64_t *at_revision, int64_t *total,
                 struct error *error)
{
    return store->class->range(store, start, end, limit, revision, items, at_revision, total,
                               error);
}

bool store_commit(struct store *store, const struct store_write *write, int64_t *revision,
                  struct store_item *current, bool *conflict, struct error *error)
{
    return store->class->commit(store, write, revision, current, conflict, error);
}

bool store_current_revision(struct store *store, int64_t *revision, struct error *error)
{
    return store->class->current_revision(store, revision, error);
}

bool store_watch(struct store *store, int64_t after, struct store_watcher watcher,
                 struct error *error)
{
    return store->class->watch(store, after, watcher, error);
}

bool store_compact(struct store *store, int64_t revision, struct error *error)
{
    return store->class->compact(store, revision, error);
}

bool store_healthy(struct store *store, struct error *error)
{
    return store->class->healthy(store, error);
}

bool store_is_stale(struct store *store, const char *key)
{
    return store->class->is_stale != NULL && store->class->is_stale(store, key);
}

bool store_check_readable(struct store *store, const char *prefix, struct error *error)
{
    return store->class->check_readable == NULL ||
           store->class->check_readable(store, prefix, error);
}

void store_close(struct store *store)
{
    if (store != NULL) {
        store->class->close(store);
    }
}

char *store_prefix_end(const char *prefix)
{
    char *end = duplicate(prefix);
    size_t length = strlen(end);
    while (length > 0 && (unsigned char)end[length - 1] == 0xff) {
        length--;
    }
    if (length > 0) {
        end[length - 1]++;
    }
    end[length] = '\0';
    return end;
}
