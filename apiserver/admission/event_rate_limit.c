// SPDX-License-Identifier: Apache-2.0
/*
 * Each limit has a bucket of tokens for the whole server, or for each namespace, user, or source
 * and object; those that were used least lately are forgotten when there are too many, and begin
 * anew.
 */
#include "apiserver/admission/event_rate_limit.h"

#include <pthread.h>
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/admission/configuration.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"
#include "common/timestamp.h"

enum { default_cache_size = 4096 };

enum limit_type { LIMIT_SERVER, LIMIT_NAMESPACE, LIMIT_USER, LIMIT_SOURCE_AND_OBJECT };

static const char *const type_names[] = {"Server", "Namespace", "User", "SourceAndObject"};

struct bucket {
    char *key;
    double tokens;
    int64_t filled_ns;
    struct bucket *newer, *older;
};

struct limit {
    enum limit_type type;
    double qps, burst;
    size_t cache_size;
    struct map buckets; /* By key. */
    struct bucket *newest, *oldest;
};

struct event_rate_limit {
    pthread_mutex_t lock; /* Guards the buckets. */
    struct limit *limits;
    size_t count;
};

/* ---- buckets ---- */

static void unlink_bucket(struct limit *limit, struct bucket *bucket)
{
    *(bucket->newer ? &bucket->newer->older : &limit->newest) = bucket->older;
    *(bucket->older ? &bucket->older->newer : &limit->oldest) = bucket->newer;
}

static void link_newest(struct limit *limit, struct bucket *bucket)
{
    bucket->newer = NULL;
    bucket->older = limit->newest;
    *(limit->newest ? &limit->newest->newer : &limit->oldest) = bucket;
    limit->newest = bucket;
}

static void bucket_free(void *value)
{
    struct bucket *bucket = value;
    free(bucket->key);
    free(bucket);
}

static struct bucket *bucket_of(struct limit *limit, const char *key, int64_t now_ns)
{
    struct bucket *bucket = map_get(&limit->buckets, key);
    if (bucket != NULL) {
        unlink_bucket(limit, bucket);
    } else {
        if (limit->buckets.count >= limit->cache_size) {
            struct bucket *oldest = limit->oldest;
            unlink_bucket(limit, oldest);
            map_remove(&limit->buckets, oldest->key);
            bucket_free(oldest);
        }
        bucket = allocate_struct(struct bucket);
        *bucket =
            (struct bucket){.key = duplicate(key), .tokens = limit->burst, .filled_ns = now_ns};
        map_set(&limit->buckets, key, bucket);
    }
    link_newest(limit, bucket);
    return bucket;
}

static bool take_token(struct limit *limit, const char *key, int64_t now_ns)
{
    struct bucket *bucket = bucket_of(limit, key, now_ns);
    bucket->tokens += (double)(now_ns - bucket->filled_ns) / 1e9 * limit->qps;
    bucket->tokens = bucket->tokens > limit->burst ? limit->burst : bucket->tokens;
    bucket->filled_ns = now_ns;
    if (bucket->tokens < 1) {
        return false;
    }
    bucket->tokens -= 1;
    return true;
}

static const char *text_at(const json_t *event, const char *part, const char *name)
{
    const char *text = json_path_string(event, part, name);
    return text ? text : "";
}

/* The caller's. */
static char *key_of(enum limit_type type, const char *user, const char *namespace,
                    const json_t *event)
{
    static const char object[] = "involvedObject";
    switch (type) {
    case LIMIT_NAMESPACE:
        return duplicate(namespace);
    case LIMIT_USER:
        return duplicate(user);
    case LIMIT_SOURCE_AND_OBJECT:
        return format("%s%s%s%s%s%s%s", text_at(event, "source", "component"),
                      text_at(event, "source", "host"), text_at(event, object, "kind"),
                      text_at(event, object, "namespace"), text_at(event, object, "name"),
                      text_at(event, object, "uid"), text_at(event, object, "apiVersion"));
    default:
        return duplicate("");
    }
}

bool event_rate_limit_accept(struct event_rate_limit *limit, const char *user,
                             const char *namespace, const json_t *event, int64_t now_ns,
                             struct error *error)
{
    cleanup(buffer_free)
    struct buffer why = BUFFER_INIT;
    size_t refusals = 0;
    for (size_t i = 0; i < limit->count; i++) {
        enum limit_type type = limit->limits[i].type;
        cleanup(free_char)
        char *key = key_of(type, user, namespace, event);
        pthread_mutex_lock(&limit->lock);
        bool taken = take_token(&limit->limits[i], key, now_ns);
        pthread_mutex_unlock(&limit->lock);
        if (!taken) {
            buffer_addf(&why, "%slimit reached on type %s for key %s", refusals > 0 ? ", " : "",
                        type_names[type], key);
            refusals++;
        }
    }
    bool several = refusals > 1;
    return refusals == 0 || error_set(error, 429, "TooManyRequests", "%s%s%s", several ? "[" : "",
                                      buffer_text(&why), several ? "]" : "");
}

/* ---- configuration ---- */

static bool read_type(const json_t *json, const char *path, enum limit_type *type,
                      struct error *error)
{
    const char *text = json_get_string(json, "type");
    for (size_t i = 0; text != NULL && i < array_length(type_names); i++) {
        if (strcmp(text, type_names[i]) == 0) {
            *type = (enum limit_type)i;
            return true;
        }
    }
    return error_bad_request(error,
                             "%s.type: Unsupported value: \"%s\": supported values: \"Namespace\", "
                             "\"Server\", \"SourceAndObject\", \"User\"",
                             path, text ? text : "");
}

static bool read_amount(const json_t *json, const char *path, const char *name, json_int_t least,
                        json_int_t *amount, struct error *error)
{
    *amount = json_get_int(json, name, *amount);
    return (*amount >= least && *amount <= INT32_MAX) ||
           error_bad_request(error, "%s.%s: Invalid value: %lld: must be %s", path, name,
                             (long long)*amount, least > 0 ? "positive" : "not be negative");
}

static bool read_limit(const json_t *json, const char *path, struct limit *limit,
                       struct error *error)
{
    static const struct configuration_member members[] = {{"type", JSON_STRING},
                                                          {"qps", JSON_INTEGER},
                                                          {"burst", JSON_INTEGER},
                                                          {"cacheSize", JSON_INTEGER},
                                                          {NULL, 0}};
    json_int_t qps = 0, burst = 0, cache_size = 0;
    if (!configuration_check(json, path, members, error) ||
        !read_type(json, path, &limit->type, error) ||
        !read_amount(json, path, "burst", 1, &burst, error) ||
        !read_amount(json, path, "qps", 1, &qps, error) ||
        !read_amount(json, path, "cacheSize", 0, &cache_size, error)) {
        return false;
    }
    limit->qps = (double)qps;
    limit->burst = (double)burst;
    limit->cache_size = cache_size > 0 ? (size_t)cache_size : default_cache_size;
    return true;
}

struct event_rate_limit *event_rate_limit_new(const json_t *configuration, struct error *error)
{
    static const struct configuration_member members[] = {
        {"apiVersion", JSON_STRING}, {"kind", JSON_STRING}, {"limits", JSON_ARRAY}, {NULL, 0}};
    if (!configuration_check(configuration, "", members, error)) {
        return NULL;
    }
    const json_t *limits = json_object_get(configuration, "limits");
    if (json_array_size(limits) == 0) {
        error_bad_request(error, "limits: Invalid value: []: must not be empty");
        return NULL;
    }
    struct event_rate_limit *limit = allocate_struct(struct event_rate_limit);
    pthread_mutex_init(&limit->lock, NULL);
    limit->limits = allocate_zero(json_array_size(limits), sizeof *limit->limits);
    limit->count = json_array_size(limits);
    for (size_t i = 0; i < limit->count; i++) {
        cleanup(free_char)
        char *path = format("limits[%zu]", i);
        if (!read_limit(json_array_get(limits, i), path, &limit->limits[i], error)) {
            event_rate_limit_free(limit);
            return NULL;
        }
    }
    return limit;
}

void event_rate_limit_free(struct event_rate_limit *limit)
{
    if (limit == NULL) {
        return;
    }
    for (size_t i = 0; i < limit->count; i++) {
        map_free(&limit->limits[i].buckets, bucket_free);
    }
    pthread_mutex_destroy(&limit->lock);
    free(limit->limits);
    free(limit);
}

/* ---- the plugin ---- */

static bool validate(const struct write *write, struct error *error)
{
    struct event_rate_limit *limit = write->registry->admission.event_rate_limit;
    bool is_event = write->resource->group[0] == '\0' &&
                    strcmp(write->resource->plural, "events") == 0 && write->object != NULL;
    return limit == NULL || !is_event || write->dry_run ||
           event_rate_limit_accept(limit, write->request->user.name, write->namespace,
                                   write->object, timestamp_monotonic(), error);
}

/* Only as upstream: events of the group events.k8s.io are not limited. */
const struct admission_plugin admission_event_rate_limit = {
    .name = "EventRateLimit",
    .validate = validate,
};
