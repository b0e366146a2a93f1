// SPDX-License-Identifier: Apache-2.0
#include "apiserver/storage/encrypted_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "apiserver/storage/encryption.h"
#include "common/alloc.h"
#include "common/client_config.h"
#include "common/log.h"
#include "common/map.h"
#include "common/timestamp.h"

enum { file_bytes_max = 4 << 20 };

static const int64_t look_again_ns = 500000000;

/* Which keys belong to which resource. */
struct owner {
    char *prefix; /* "/registry/secrets/" */
    size_t length;
    const struct transformer *transformer; /* NULL: it is not encrypted. */
};

/* One state of the configuration. */
struct keys {
    atomic_uint references;
    struct encryption *encryption;
    struct owner *owners;
    size_t owner_count;
};

struct encrypted_store {
    struct store store;
    struct store *inner;
    const struct scheme *scheme;
    char *path;
    bool reloads;
    struct store_watcher watcher;
    _Atomic int64_t looked_ns; /* When the file was looked at. */

    pthread_mutex_t lock; /* Guards what follows. */
    struct keys *keys;
    struct stat file;               /* As it was when it was read. */
    struct map unreadable;          /* By key, what is wrong with it. */
    atomic_size_t unreadable_count; /* Of that; also read without the lock. */
};

static struct encrypted_store *encrypted_of(struct store *store)
{
    return container_of(store, struct encrypted_store, store);
}

/* ---- keys ---- */

static void keys_release(struct keys **pointer)
{
    struct keys *keys = *pointer;
    if (keys == NULL || atomic_fetch_sub(&keys->references, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < keys->owner_count; i++) {
        free(keys->owners[i].prefix);
    }
    free(keys->owners);
    encryption_free(keys->encryption);
    free(keys);
}

static struct keys *read_keys(const struct encrypted_store *store, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(free_char)
    char *text = client_config_read_file(store->path, file_bytes_max, error);
    if (text == NULL) {
        return NULL;
    }
    struct encryption *encryption = encryption_parse(text, strlen(text), &why);
    explicit_bzero(text, strlen(text));
    if (encryption == NULL) {
        error_wrap(error, &why, "--encryption-provider-config %s", store->path);
        return NULL;
    }
    struct keys *keys = allocate_struct(struct keys);
    size_t count = scheme_resource_count(store->scheme);
    atomic_store(&keys->references, 1);
    keys->encryption = encryption;
    keys->owners = allocate_zero(count + 1, sizeof *keys->owners);
    for (size_t i = 0; i < count; i++) {
        const struct resource *resource = scheme_resource(store->scheme, i);
        if (resource->storage_prefix[0] != '\0') {
            keys->owners[keys->owner_count++] = (struct owner){
                duplicate(resource->storage_prefix), strlen(resource->storage_prefix),
                encryption_find(encryption, resource->group, resource->plural)};
        }
    }
    return keys;
}

static bool is_same_file(const struct stat *one, const struct stat *other)
{
    return one->st_ino == other->st_ino && one->st_size == other->st_size &&
           one->st_mtim.tv_sec == other->st_mtim.tv_sec &&
           one->st_mtim.tv_nsec == other->st_mtim.tv_nsec;
}

/* One caller at a time looks whether the file has changed. A wrong one changes nothing. */
static void look_again(struct encrypted_store *store)
{
    int64_t now = timestamp_monotonic(), looked = atomic_load(&store->looked_ns);
    struct stat file;
    if (!store->reloads || now - looked < look_again_ns ||
        !atomic_compare_exchange_strong(&store->looked_ns, &looked, now) ||
        stat(store->path, &file) != 0) {
        return;
    }
    pthread_mutex_lock(&store->lock);
    bool same = is_same_file(&file, &store->file);
    store->file = file;
    pthread_mutex_unlock(&store->lock);
    if (same) {
        return;
    }
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct keys *keys = read_keys(store, &error);
    if (keys == NULL) {
        log_error("encryption goes on with the keys that it has: %s", error.message);
        return;
    }
    pthread_mutex_lock(&store->lock);
    struct keys *before = store->keys;
    store->keys = keys;
    pthread_mutex_unlock(&store->lock);
    keys_release(&before);
    log_info("read the encryption configuration %s again", store->path);
}

static struct keys *keys_ref(struct encrypted_store *store)
{
    look_again(store);
    pthread_mutex_lock(&store->lock);
    struct keys *keys = store->keys;
    atomic_fetch_add(&keys->references, 1);
    pthread_mutex_unlock(&store->lock);
    return keys;
}

/* Of objects whose resource came later, "/registry/<group>/<plural>/…". */
static const struct transformer *find_custom(const struct keys *keys, const char *key)
{
    static const char root[] = "/registry/";
    const char *group = key + sizeof root - 1;
    const char *slash = strncmp(key, root, sizeof root - 1) == 0 ? strchr(group, '/') : NULL;
    const char *end = slash != NULL ? strchr(slash + 1, '/') : NULL;
    if (end == NULL || memchr(group, '.', (size_t)(slash - group)) == NULL) {
        return NULL;
    }
    cleanup(free_char)
    char *name = duplicate_bytes(group, (size_t)(slash - group));
    cleanup(free_char)
    char *plural = duplicate_bytes(slash + 1, (size_t)(end - slash - 1));
    return encryption_find(keys->encryption, name, plural);
}

static const struct transformer *find(const struct keys *keys, const char *key)
{
    for (size_t i = 0; i < keys->owner_count; i++) {
        if (strncmp(keys->owners[i].prefix, key, keys->owners[i].length) == 0) {
            return keys->owners[i].transformer;
        }
    }
    return find_custom(keys, key);
}

/* Puts the plain value in the place of the stored one. */
static bool open_item(const struct keys *keys, struct store_item *item, struct error *error)
{
    if (item->key == NULL || item->value == NULL) {
        return true;
    }
    const struct transformer *transformer = find(keys, item->key);
    size_t length;
    char *value = transformer_open(transformer, item->key, item->value, item->value_length, &length,
                                   NULL, error);
    if (value == NULL) {
        return false;
    }
    free(item->value);
    item->value = value;
    item->value_length = length;
    return true;
}

/* The same. Another server may have written with a key that this one has not read yet. */
static bool open_change(struct encrypted_store *store, struct store_item *item, struct error *error)
{
    cleanup(keys_release)
    struct keys *keys = keys_ref(store);
    if (open_item(keys, item, error)) {
        return true;
    }
    atomic_store(&store->looked_ns, 0);
    cleanup(keys_release)
    struct keys *newer = keys_ref(store);
    return newer != keys && open_item(newer, item, error);
}

/* ---- the store ---- */

static bool get(struct store *base, const char *key, struct store_item *item, bool *found,
                struct error *error)
{
    struct encrypted_store *store = encrypted_of(base);
    cleanup(keys_release)
    struct keys *keys = keys_ref(store);
    if (!store_get(store->inner, key, item, found, error)) {
        return false;
    }
    if (*found && !open_item(keys, item, error)) {
        store_item_clear(item);
        return false;
    }
    return true;
}

static bool range(struct store *base, const char *start, const char *end, size_t limit,
                  int64_t revision, struct store_items *items, int64_t *at_revision, int64_t *total,
                  struct error *error)
{
    struct encrypted_store *store = encrypted_of(base);
    cleanup(keys_release)
    struct keys *keys = keys_ref(store);
    size_t before = items->count;
    if (!store_range(store->inner, start, end, limit, revision, items, at_revision, total, error)) {
        return false;
    }
    for (size_t i = before; i < items->count; i++) {
        if (!open_item(keys, &items->list[i], error)) {
            return false;
        }
    }
    return true;
}

static bool commit(struct store *base, const struct store_write *write, int64_t *revision,
                   struct store_item *current, bool *conflict, struct error *error)
{
    struct encrypted_store *store = encrypted_of(base);
    cleanup(keys_release)
    struct keys *keys = keys_ref(store);
    cleanup(buffer_free)
    struct buffer stored = BUFFER_INIT;
    struct store_write sealed = *write;
    const struct transformer *transformer = find(keys, write->key);
    if (write->operation == STORE_PUT && transformer != NULL) {
        if (!transformer_seal(transformer, write->key, write->value, write->value_length, &stored,
                              error)) {
            return false;
        }
        sealed.value = stored.bytes;
        sealed.value_length = stored.length;
    }
    if (!store_commit(store->inner, &sealed, revision, current, conflict, error)) {
        return false;
    }
    if (*conflict && current != NULL && !open_item(keys, current, error)) {
        store_item_clear(current);
        return false;
    }
    return true;
}

static bool current_revision(struct store *base, int64_t *revision, struct error *error)
{
    return store_current_revision(encrypted_of(base)->inner, revision, error);
}

/* Takes the message over; NULL: the key can be read, or is gone. */
static void note_readable(struct encrypted_store *store, const char *key, char *message)
{
    if (message == NULL && atomic_load(&store->unreadable_count) == 0) {
        return;
    }
    pthread_mutex_lock(&store->lock);
    char *before =
        message ? map_set(&store->unreadable, key, message) : map_remove(&store->unreadable, key);
    atomic_store(&store->unreadable_count, store->unreadable.count);
    pthread_mutex_unlock(&store->lock);
    free(before);
}

static bool check_readable(struct store *base, const char *prefix, struct error *error)
{
    struct encrypted_store *store = encrypted_of(base);
    const char *key;
    void *message;
    size_t length = strlen(prefix);
    bool readable = true, is_folder = length > 0 && prefix[length - 1] == '/';
    if (atomic_load(&store->unreadable_count) == 0) {
        return true;
    }
    pthread_mutex_lock(&store->lock);
    for (size_t at = 0; readable && map_next(&store->unreadable, &at, &key, &message);) {
        readable = strncmp(key, prefix, is_folder ? length : length + 1) != 0 ||
                   error_internal(error, "%s", (const char *)message);
    }
    pthread_mutex_unlock(&store->lock);
    return readable;
}

static void changes(void *argument, struct store_item *items, size_t count, int64_t revision)
{
    struct encrypted_store *store = argument;
    for (size_t i = 0; i < count; i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        if (!open_change(store, &items[i], &error)) {
            log_error("%s", error.message);
            note_readable(store, items[i].key, steal(error.message));
        } else {
            note_readable(store, items[i].key, NULL);
        }
    }
    store->watcher.changes(store->watcher.argument, items, count, revision);
}

static void lost(void *argument, const struct error *error)
{
    struct encrypted_store *store = argument;
    store->watcher.lost(store->watcher.argument, error);
}

static bool watch(struct store *base, int64_t after, struct store_watcher watcher,
                  struct error *error)
{
    struct encrypted_store *store = encrypted_of(base);
    store->watcher = watcher;
    return store_watch(store->inner, after, (struct store_watcher){changes, lost, store}, error);
}

static bool compact(struct store *base, int64_t revision, struct error *error)
{
    return store_compact(encrypted_of(base)->inner, revision, error);
}

static bool healthy(struct store *base, struct error *error)
{
    return store_healthy(encrypted_of(base)->inner, error);
}

static bool is_stale(struct store *base, const char *key)
{
    struct encrypted_store *store = encrypted_of(base);
    cleanup(keys_release)
    struct keys *keys = keys_ref(store);
    cleanup(store_item_clear)
    struct store_item item = {0};
    const struct transformer *transformer = find(keys, key);
    bool found = false, stale = false;
    size_t length;
    if (transformer == NULL || !store_get(store->inner, key, &item, &found, NULL) || !found) {
        return false;
    }
    cleanup(free_char)
    char *value =
        transformer_open(transformer, key, item.value, item.value_length, &length, &stale, NULL);
    return value != NULL && stale;
}

static void close_store(struct store *base)
{
    struct encrypted_store *store = encrypted_of(base);
    store_close(store->inner);
    keys_release(&store->keys);
    map_free(&store->unreadable, free);
    pthread_mutex_destroy(&store->lock);
    free(store->path);
    free(store);
}

static const struct store_class encrypted_class = {
    .name = "encrypted",
    .get = get,
    .range = range,
    .commit = commit,
    .current_revision = current_revision,
    .watch = watch,
    .compact = compact,
    .healthy = healthy,
    .is_stale = is_stale,
    .check_readable = check_readable,
    .close = close_store,
};

struct store *store_encrypted_open(struct store *inner,
                                   const struct encrypted_store_options *options,
                                   const struct scheme *scheme, struct error *error)
{
    struct encrypted_store *store = allocate_struct(struct encrypted_store);
    store->store = (struct store){&encrypted_class, inner->local};
    store->inner = inner;
    store->scheme = scheme;
    store->path = duplicate(options->path);
    store->reloads = options->reloads;
    atomic_store(&store->looked_ns, timestamp_monotonic());
    pthread_mutex_init(&store->lock, NULL);
    if (stat(store->path, &store->file) != 0) {
        store->file = (struct stat){0};
    }
    store->keys = read_keys(store, error);
    if (store->keys == NULL) {
        close_store(&store->store);
        return NULL;
    }
    return &store->store;
}
