// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/oidc_keys.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "apiserver/auth/fetch.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/timestamp.h"

enum {
    retry_seconds = 10,   /* After a fetch that failed. */
    refreshes_max = 3,    /* At once; and then … */
    refresh_seconds = 10, /* … one each so often. */
    wait_seconds = 15,
};

struct oidc_keys {
    const char *issuer, *discovery_url, *ca; /* Borrowed; the last two may be NULL. */
    const atomic_bool *server_stops;
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock; /* Guards the rest. */
    pthread_cond_t changed;
    struct key_set *current; /* NULL: nothing fetched yet. */
    bool wanted, fetching, stopping;
    uint64_t fetches; /* Ended ones, well or not. */
    int refreshes;    /* That are allowed now. */
    int64_t refreshed_ns;
};

/* ---- fetching ---- */

static json_t *fetch(const struct oidc_keys *keys, const char *url, const char *path,
                     struct error *error)
{
    cleanup(client_config_clear)
    struct client_config config = CLIENT_CONFIG_INIT;
    size_t length = strlen(url);
    bool has_slash = path[0] == '/' && length > 0 && url[length - 1] == '/';
    config.server = format("%.*s", (int)(length - has_slash), url);
    config.ca = keys->ca != NULL ? duplicate(keys->ca) : NULL;
    struct fetcher *fetcher = fetcher_new(&config, error);
    if (fetcher == NULL) {
        return NULL;
    }
    fetcher_stop_when(fetcher, keys->server_stops);
    fetcher_follow_redirections(fetcher);
    json_t *document = fetch_json(fetcher, path, NULL, error);
    fetcher_free(fetcher);
    return document;
}

/* Where the keys are: the document must be this issuer's. The caller's. */
static char *find_keys(const struct oidc_keys *keys, struct error *error)
{
    cleanup(json_release)
    json_t *document = keys->discovery_url != NULL
                           ? fetch(keys, keys->discovery_url, "", error)
                           : fetch(keys, keys->issuer, "/.well-known/openid-configuration", error);
    const char *issuer = json_get_string(document, "issuer");
    const char *uri = json_get_string(document, "jwks_uri");
    if (document == NULL) {
        return NULL;
    }
    if (issuer == NULL || strcmp(issuer, keys->issuer) != 0) {
        error_unavailable(error,
                          "oidc: issuer did not match the issuer returned by provider, expected "
                          "\"%s\" got \"%s\"",
                          keys->issuer, issuer ? issuer : "");
        return NULL;
    }
    if (uri == NULL || strncmp(uri, "https://", 8) != 0) {
        error_unavailable(error, "the issuer has no jwks_uri with https");
        return NULL;
    }
    return duplicate(uri);
}

static struct key_set *fetch_keys(const struct oidc_keys *keys, struct error *error)
{
    cleanup(free_char)
    char *uri = find_keys(keys, error);
    cleanup(json_release)
    json_t *document = uri ? fetch(keys, uri, "", error) : NULL;
    if (document == NULL) {
        return NULL;
    }
    cleanup(key_set_release)
    struct key_set *set = allocate_struct(struct key_set);
    atomic_store(&set->references, 1);
    return jwt_keys_add_set(&set->keys, document, error) ? steal(set) : NULL;
}

/* ---- the thread ---- */

static struct timespec in_seconds(int seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    return until;
}

/* Waits for a wish, or, without any keys, until it is time to try again. With the lock. */
static void wait_for_work(struct oidc_keys *keys)
{
    struct timespec until = in_seconds(retry_seconds);
    int waited = 0;
    while (!keys->stopping && !keys->wanted && waited == 0) {
        waited = keys->current != NULL
                     ? pthread_cond_wait(&keys->changed, &keys->lock)
                     : pthread_cond_timedwait(&keys->changed, &keys->lock, &until);
    }
}

/* With the lock, which is not held while it fetches. */
static void fetch_once(struct oidc_keys *keys)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    keys->wanted = false;
    keys->fetching = true;
    pthread_mutex_unlock(&keys->lock);
    struct key_set *fresh = fetch_keys(keys, &error);
    if (fresh == NULL) {
        log_warning("oidc: the keys of %s could not be fetched: %s", keys->issuer, error.message);
    }
    pthread_mutex_lock(&keys->lock);
    if (fresh != NULL) {
        if (keys->current != NULL) {
            key_set_release(&keys->current);
        }
        keys->current = fresh;
    }
    keys->fetching = false;
    keys->fetches++;
    pthread_cond_broadcast(&keys->changed);
}

static void *fetch_always(void *argument)
{
    struct oidc_keys *keys = argument;
    pthread_mutex_lock(&keys->lock);
    while (!keys->stopping) {
        fetch_once(keys);
        wait_for_work(keys);
    }
    pthread_mutex_unlock(&keys->lock);
    return NULL;
}

/* ---- life ---- */

/* NULL for what is absent or empty. */
static const char *text_of(const json_t *issuer, const char *name)
{
    const char *text = json_get_string(issuer, name);
    return text != NULL && text[0] != '\0' ? text : NULL;
}

struct oidc_keys *oidc_keys_open(const json_t *issuer, const atomic_bool *stopping,
                                 struct error *error)
{
    struct oidc_keys *keys = allocate_struct(struct oidc_keys);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&keys->lock, NULL);
    pthread_cond_init(&keys->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    keys->server_stops = stopping;
    keys->issuer = json_get_string(issuer, "url");
    keys->discovery_url = text_of(issuer, "discoveryURL");
    keys->ca = text_of(issuer, "certificateAuthority");
    keys->refreshes = refreshes_max;
    keys->runs = pthread_create(&keys->thread, NULL, fetch_always, keys) == 0;
    if (!keys->runs) {
        oidc_keys_free(keys);
        error_internal(error, "no thread to fetch an issuer's keys");
        return NULL;
    }
    return keys;
}

void oidc_keys_free(struct oidc_keys *keys)
{
    if (keys == NULL) {
        return;
    }
    pthread_mutex_lock(&keys->lock);
    keys->stopping = true;
    pthread_cond_broadcast(&keys->changed);
    pthread_mutex_unlock(&keys->lock);
    if (keys->runs) {
        pthread_join(keys->thread, NULL);
    }
    if (keys->current != NULL) {
        key_set_release(&keys->current);
    }
    pthread_cond_destroy(&keys->changed);
    pthread_mutex_destroy(&keys->lock);
    free(keys);
}

struct key_set *oidc_keys_get(struct oidc_keys *keys)
{
    pthread_mutex_lock(&keys->lock);
    struct key_set *set = keys->current;
    if (set != NULL) {
        atomic_fetch_add(&set->references, 1);
    }
    pthread_mutex_unlock(&keys->lock);
    return set;
}

/* Gives back what time has brought. With the lock. */
static bool is_allowed(struct oidc_keys *keys)
{
    int64_t now = timestamp_monotonic(), step = refresh_seconds * INT64_C(1000000000);
    if (keys->refreshes == refreshes_max) {
        keys->refreshed_ns = now;
    }
    while (keys->refreshes < refreshes_max && now - keys->refreshed_ns >= step) {
        keys->refreshes++;
        keys->refreshed_ns += step;
    }
    return keys->refreshes > 0;
}

bool oidc_keys_may_refresh(struct oidc_keys *keys)
{
    pthread_mutex_lock(&keys->lock);
    bool allowed = is_allowed(keys);
    pthread_mutex_unlock(&keys->lock);
    return allowed;
}

void oidc_keys_refresh(struct oidc_keys *keys)
{
    struct timespec until = in_seconds(wait_seconds);
    pthread_mutex_lock(&keys->lock);
    if (!keys->wanted && is_allowed(keys)) {
        keys->refreshes--;
        keys->wanted = true;
        pthread_cond_broadcast(&keys->changed);
    }
    /* The one under way may have begun before the key was there. */
    uint64_t enough = keys->wanted ? keys->fetches + 1 + keys->fetching : keys->fetches;
    int waited = 0;
    while (keys->fetches < enough && !keys->stopping && waited == 0) {
        waited = pthread_cond_timedwait(&keys->changed, &keys->lock, &until);
    }
    pthread_mutex_unlock(&keys->lock);
}
