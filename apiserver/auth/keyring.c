// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/keyring.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "common/alloc.h"
#include "common/client_config.h"
#include "common/log.h"
#include "common/timestamp.h"

enum { files_max = 20, file_bytes_max = 1 << 20, look_interval_ns = 1000000000 };

struct keyring {
    char *files[files_max]; /* The signing key's, if there is one, is the last. */
    size_t file_count;
    bool signs;
    _Atomic int64_t looked_ns; /* When somebody last looked at the files. */
    atomic_ullong generation;  /* Of 'current'. */
    pthread_mutex_t lock;      /* Guards the rest. */
    struct timespec changed[files_max];
    struct key_set *current;
};

static void key_set_unref(struct key_set *set)
{
    if (set != NULL && atomic_fetch_sub(&set->references, 1) == 1) {
        jwt_keys_clear(&set->keys);
        jwt_keys_clear(&set->signing);
        free(set);
    }
}

void key_set_release(struct key_set **set)
{
    key_set_unref(*set);
}

/* ---- reading ---- */

static bool add_file(struct jwt_keys *keys, const char *path, struct error *error)
{
    cleanup(free_char)
    char *pem = client_config_read_file(path, file_bytes_max, error);
    if (pem == NULL) {
        return false;
    }
    bool added = jwt_keys_add_pem(keys, pem, strlen(pem), path, error);
    OPENSSL_cleanse(pem, strlen(pem));
    return added;
}

static bool add_signing_key(struct key_set *set, const char *path, struct error *error)
{
    return add_file(&set->signing, path, error) &&
           (set->signing.keys[0].is_private ||
            error_bad_request(error, "%s holds no private key", path));
}

static struct key_set *read_files(const struct keyring *keyring, struct error *error)
{
    struct key_set *set = allocate_struct(struct key_set);
    atomic_store(&set->references, 1);
    bool read = true;
    for (size_t i = 0; read && i < keyring->file_count; i++) {
        read = add_file(&set->keys, keyring->files[i], error);
    }
    if (!read ||
        (keyring->signs && !add_signing_key(set, keyring->files[keyring->file_count - 1], error))) {
        key_set_unref(set);
        return NULL;
    }
    return set;
}

/* ---- changes ---- */

static bool files_changed(struct keyring *keyring)
{
    bool changed = false;
    for (size_t i = 0; i < keyring->file_count; i++) {
        struct stat file;
        struct timespec *seen = &keyring->changed[i];
        if (stat(keyring->files[i], &file) == 0 &&
            (file.st_mtim.tv_sec != seen->tv_sec || file.st_mtim.tv_nsec != seen->tv_nsec)) {
            *seen = file.st_mtim;
            changed = true;
        }
    }
    return changed;
}

static void reload(struct keyring *keyring)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct key_set *fresh = read_files(keyring, &error);
    if (fresh == NULL) {
        log_warning("keeping the present keys of service accounts: %s", error.message);
        return;
    }
    fresh->generation = keyring->current->generation + 1;
    key_set_unref(keyring->current);
    keyring->current = fresh;
    atomic_store(&keyring->generation, fresh->generation);
    log_info("keys of service accounts read again");
}

static void look_if_due(struct keyring *keyring)
{
    int64_t now = timestamp_monotonic(), looked = atomic_load(&keyring->looked_ns);
    if (now - looked < look_interval_ns ||
        !atomic_compare_exchange_strong(&keyring->looked_ns, &looked, now)) {
        return;
    }
    pthread_mutex_lock(&keyring->lock);
    if (files_changed(keyring)) {
        reload(keyring);
    }
    pthread_mutex_unlock(&keyring->lock);
}

uint64_t keyring_generation(struct keyring *keyring)
{
    look_if_due(keyring);
    return atomic_load(&keyring->generation);
}

struct key_set *keyring_get(struct keyring *keyring)
{
    look_if_due(keyring);
    pthread_mutex_lock(&keyring->lock);
    struct key_set *set = keyring->current;
    atomic_fetch_add(&set->references, 1);
    pthread_mutex_unlock(&keyring->lock);
    return set;
}

struct keyring *keyring_open(const char *const *files, const char *signing_file,
                             struct error *error)
{
    struct keyring *keyring = allocate_struct(struct keyring);
    pthread_mutex_init(&keyring->lock, NULL);
    for (; *files != NULL && keyring->file_count < files_max - 1; files++) {
        keyring->files[keyring->file_count++] = duplicate(*files);
    }
    if (signing_file != NULL) {
        keyring->signs = true;
        keyring->files[keyring->file_count++] = duplicate(signing_file);
    }
    files_changed(keyring);
    keyring->current = read_files(keyring, error);
    if (keyring->current == NULL) {
        keyring_free(keyring);
        return NULL;
    }
    return keyring;
}

void keyring_free(struct keyring *keyring)
{
    if (keyring == NULL) {
        return;
    }
    for (size_t i = 0; i < keyring->file_count; i++) {
        free(keyring->files[i]);
    }
    key_set_unref(keyring->current);
    pthread_mutex_destroy(&keyring->lock);
    free(keyring);
}
