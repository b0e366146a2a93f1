// SPDX-License-Identifier: Apache-2.0
/*
 * An event passes the spam filter, the aggregator and the counter under one lock, and becomes a
 * request: POST of a new event or PATCH of a former one's count. Requests of one object go through
 * the same lane, one after another, because a PATCH must not overtake its POST.
 */
#include "common/event_recorder.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/event_text.h"
#include "common/json.h"
#include "common/log.h"
#include "common/map.h"
#include "common/timestamp.h"

enum {
    remembered_max = 4096, /* Keys of each kind. */
    similar_max = 10,      /* Different messages until they are combined. */
    spam_burst = 25,
    lane_count = 2, /* Few: events yield to the work that they tell of. */
    lane_length_max = 4000,
    tries_max = 12,
    retry_ms = 10000,
    drain_seconds = 2,
};

static const int64_t second = INT64_C(1000000000);
static const int64_t similar_interval = 600 * INT64_C(1000000000);
static const double spam_rate = 1.0 / 300; /* Events a second beyond the burst. */

static const struct api_resource events = {"v1", "events", "Event", true};

/* ---- a bounded memory: the least recently used is forgotten ---- */

struct remembered {
    char *key;
    struct remembered *newer, *older;
    /* Of the spam filter: */
    double tokens;
    int64_t tokens_at;
    /* Of the aggregator: hashes of the messages seen. */
    uint64_t messages[similar_max];
    size_t message_count;
    int64_t last_seen;
    /* Of the counter: */
    char *name, *first_timestamp;
    int count;
};

struct memory {
    struct map map;
    struct remembered *newest, *oldest;
};

static void unlink_remembered(struct memory *memory, struct remembered *one)
{
    *(one->newer != NULL ? &one->newer->older : &memory->newest) = one->older;
    *(one->older != NULL ? &one->older->newer : &memory->oldest) = one->newer;
}

static void link_newest(struct memory *memory, struct remembered *one)
{
    one->newer = NULL;
    one->older = memory->newest;
    *(one->older != NULL ? &one->older->newer : &memory->oldest) = one;
    memory->newest = one;
}

static void forget(struct memory *memory, struct remembered *one)
{
    unlink_remembered(memory, one);
    map_remove(&memory->map, one->key);
    free(one->key);
    free(one->name);
    free(one->first_timestamp);
    free(one);
}

/* What is known under this key, new if nothing is. */
static struct remembered *recall(struct memory *memory, const char *key, bool *is_new)
{
    struct remembered *one = map_get(&memory->map, key);
    *is_new = one == NULL;
    if (one != NULL) {
        unlink_remembered(memory, one);
    } else {
        if (memory->map.count >= remembered_max) {
            forget(memory, memory->oldest);
        }
        one = allocate_struct(struct remembered);
        one->key = duplicate(key);
        map_set(&memory->map, key, one);
    }
    link_newest(memory, one);
    return one;
}

static void memory_free(struct memory *memory)
{
    while (memory->newest != NULL) {
        forget(memory, memory->newest);
    }
    map_free(&memory->map, NULL);
}

/* ---- the recorder ---- */

/* One write. It waits as text: a tree takes many times the memory. */
struct writing {
    struct lane *lane;
    struct buffer event; /* The whole object. */
    char *namespace;
    char *user; /* To impersonate, with this group; NULL: nobody. */
    const char *group;
    bool is_repeat; /* Only its count is new. */
    int tries;
    struct loop_timer timer;
    struct writing *next;
};

struct lane {
    struct event_recorder *recorder;
    struct writing *first, *last; /* The first is under way. */
    size_t length;
};

struct event_recorder {
    struct client *client;
    const char *component, *host;

    pthread_mutex_t lock; /* Guards what follows. */
    pthread_cond_t drained;
    struct memory spam, similar, counted;
    struct lane lanes[lane_count];
    size_t waiting; /* In all lanes. */
    bool closed;
    bool is_left; /* Nobody waits for the end any more: then it is to free itself. */
    uint64_t dropped;
};

static void write_first(struct lane *lane);

/* ---- writing ---- */

static void writing_free(struct writing *writing)
{
    buffer_free(&writing->event);
    free(writing->namespace);
    free(writing->user);
    free(writing);
}

static void recorder_free(struct event_recorder *recorder)
{
    memory_free(&recorder->spam);
    memory_free(&recorder->similar);
    memory_free(&recorder->counted);
    pthread_cond_destroy(&recorder->drained);
    pthread_mutex_destroy(&recorder->lock);
    free(recorder);
}

/* The first of the lane is through. Returns whether there is another; if not, the lane may be gone.
 */
static bool lane_remove_first(struct lane *lane)
{
    struct event_recorder *recorder = lane->recorder;
    pthread_mutex_lock(&recorder->lock);
    struct writing *writing = lane->first;
    lane->first = writing->next;
    if (lane->first == NULL) {
        lane->last = NULL;
    }
    lane->length--;
    bool more = lane->first != NULL;
    if (--recorder->waiting == 0) {
        pthread_cond_signal(&recorder->drained);
    }
    bool is_left = recorder->is_left && recorder->waiting == 0;
    pthread_mutex_unlock(&recorder->lock);
    writing_free(writing);
    if (is_left) {
        recorder_free(recorder);
        return false;
    }
    return more;
}

static void lane_proceed(struct lane *lane)
{
    if (lane_remove_first(lane)) {
        write_first(lane);
    }
}

static void lane_drop(struct lane *lane)
{
    while (lane_remove_first(lane)) {
    }
}

static void write_again(void *argument)
{
    write_first(argument);
}

static void written(void *argument, struct client_response *response)
{
    struct lane *lane = argument;
    struct writing *writing = lane->first;
    int code = response->error.code;
    if (code == 404 && writing->is_repeat) {
        writing->is_repeat = false; /* The first has expired: this one stands for it. */
        write_first(lane);
        return;
    }
    bool may_succeed_later = code >= 500 || code == 429;
    pthread_mutex_lock(&lane->recorder->lock);
    bool closed = lane->recorder->closed;
    pthread_mutex_unlock(&lane->recorder->lock);
    if (may_succeed_later && ++writing->tries < tries_max && !closed) {
        loop_timer_set(client_loop(lane->recorder->client), &writing->timer, retry_ms, write_again,
                       lane);
        return;
    }
    if (code != 0) {
        log_debug("event dropped: %s", response->error.message);
    }
    if (may_succeed_later && closed) {
        lane_drop(lane); /* The client is closed, too, or the server does not answer in time. */
    } else {
        lane_proceed(lane);
    }
}

static struct client_request repeat_request(const struct writing *writing)
{
    static const char *const members[] = {"count", "lastTimestamp", "firstTimestamp", "message"};
    cleanup(json_release)
    json_t *event = json_parse(writing->event.bytes, writing->event.length, NULL);
    cleanup(json_release)
    json_t *patch = json_object();
    for (size_t i = 0; i < array_length(members); i++) {
        json_object_set(patch, members[i], json_object_get(event, members[i]));
    }
    return client_patch_request(&events, writing->namespace,
                                json_path_string(event, "metadata", "name"), NULL,
                                client_strategic_merge_patch, patch);
}

static struct client_request first_request(const struct writing *writing)
{
    struct client_request request = {.method = "POST",
                                     .path = client_path(&events, writing->namespace, NULL, NULL)};
    buffer_add(&request.body, writing->event.bytes, writing->event.length);
    return request;
}

static void write_first(struct lane *lane)
{
    const struct writing *writing = lane->first;
    struct client_request request =
        writing->is_repeat ? repeat_request(writing) : first_request(writing);
    request.user = writing->user;
    request.group = writing->group;
    client_send(lane->recorder->client, request, written, lane);
}

static void write_posted(void *argument)
{
    write_first(argument);
}

/* ---- condensing ---- */

static bool passes_spam_filter(struct event_recorder *recorder, const char *object_key)
{
    bool is_new;
    int64_t now = timestamp_monotonic();
    struct remembered *one = recall(&recorder->spam, object_key, &is_new);
    one->tokens = is_new
                      ? spam_burst
                      : one->tokens + (double)(now - one->tokens_at) / (double)second * spam_rate;
    one->tokens = one->tokens > spam_burst ? spam_burst : one->tokens;
    one->tokens_at = now;
    if (one->tokens < 1) {
        return false;
    }
    one->tokens -= 1;
    return true;
}

/* So many different messages of this kind came lately that this one is to be combined with them. */
static bool is_one_of_many(struct event_recorder *recorder, const char *similar_key,
                           const char *message)
{
    bool is_new;
    int64_t now = timestamp_monotonic();
    uint64_t hash = hash_bytes(message, strlen(message));
    struct remembered *one = recall(&recorder->similar, similar_key, &is_new);
    if (now - one->last_seen > similar_interval) {
        one->message_count = 0;
    }
    one->last_seen = now;
    size_t i = 0;
    while (i < one->message_count && one->messages[i] != hash) {
        i++;
    }
    if (i == one->message_count) {
        one->messages[one->message_count++] = hash;
    }
    if (one->message_count < similar_max) {
        return false;
    }
    one->message_count--;
    return true;
}

/* Counts the event under its key; what is remembered of its first has its name. */
static const struct remembered *count_event(struct event_recorder *recorder, const char *key,
                                            const char *name, const char *now)
{
    bool is_new;
    struct remembered *one = recall(&recorder->counted, key, &is_new);
    one->count++;
    if (is_new) {
        one->name = duplicate(name);
        one->first_timestamp = duplicate(now);
    }
    return one;
}

static const char *text_or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static const char *host_of(const struct event_recorder *recorder, const struct event_target *target)
{
    return target->host != NULL ? target->host : recorder->host;
}

static void add_part(struct buffer *key, const char *part)
{
    buffer_add_text(key, text_or_empty(part));
    buffer_add_char(key, '\n');
}

static void add_object_key(struct buffer *key, const struct event_recorder *recorder,
                           const struct event_target *target)
{
    add_part(key, recorder->component);
    add_part(key, host_of(recorder, target));
    add_part(key, target->kind);
    add_part(key, target->namespace);
    add_part(key, target->name);
    add_part(key, target->uid);
    add_part(key, target->api_version);
}

static const char *namespace_of(const struct event_target *target)
{
    const char *namespace = text_or_empty(target->namespace);
    return *namespace != '\0' ? namespace : "default";
}

/* ---- all of it ---- */

/* The caller holds the lock. */
static bool lane_append(struct lane *lane, const struct event_text *event)
{
    struct event_recorder *recorder = lane->recorder;
    const struct event_target *target = event->target;
    if (lane->length >= lane_length_max || recorder->closed) {
        recorder->dropped++;
        return false;
    }
    struct writing *writing = allocate_struct(struct writing);
    writing->lane = lane;
    writing->namespace = duplicate(event->namespace);
    event_text_write(&writing->event, event);
    writing->user = target->user != NULL ? duplicate(target->user) : NULL;
    writing->group = target->group;
    writing->is_repeat = event->count > 1;
    *(lane->last != NULL ? &lane->last->next : &lane->first) = writing;
    lane->last = writing;
    lane->length++;
    recorder->waiting++;
    return lane->length == 1;
}

/* Of the correlator: three buffers for what it knows things by. */
struct keys {
    struct buffer object, similar, whole;
};

static void make_keys(struct keys *keys, const struct event_recorder *recorder,
                      const struct event_text *event)
{
    add_object_key(&keys->object, recorder, event->target);
    buffer_add(&keys->similar, keys->object.bytes, keys->object.length);
    add_part(&keys->similar, event->type);
    add_part(&keys->similar, event->reason);
    buffer_add(&keys->whole, keys->similar.bytes, keys->similar.length);
    add_part(&keys->whole, event->target->field_path);
    add_part(&keys->whole, event->message);
}

static void keys_clear(struct keys *keys)
{
    buffer_free(&keys->object);
    buffer_free(&keys->similar);
    buffer_free(&keys->whole);
}

static void name_event(struct buffer *name, const struct event_target *target, int64_t time)
{
    char number[20];
    snprintf(number, sizeof number, ".%llx", (unsigned long long)time);
    buffer_add_text(name, text_or_empty(target->name));
    buffer_add_text(name, number);
}

static void record(struct event_recorder *recorder, const struct event_target *target,
                   const char *type, const char *reason, const char *message)
{
    char now[TIMESTAMP_SIZE];
    int64_t time = timestamp_now();
    cleanup(buffer_free)
    struct buffer name = BUFFER_INIT;
    cleanup(keys_clear)
    struct keys keys = {0};
    bool is_first_of_lane = false;
    struct event_text event = {.target = target,
                               .namespace = namespace_of(target),
                               .type = type,
                               .reason = reason,
                               .message = message,
                               .component = recorder->component,
                               .host = host_of(recorder, target),
                               .last_time = now};
    timestamp_format(time, now);
    name_event(&name, target, time);
    make_keys(&keys, recorder, &event);
    struct lane *lane =
        &recorder->lanes[hash_bytes(keys.object.bytes, keys.object.length) % lane_count];
    pthread_mutex_lock(&recorder->lock);
    event.is_combined = is_one_of_many(recorder, keys.similar.bytes, message);
    const struct remembered *counted = count_event(
        recorder, event.is_combined ? keys.similar.bytes : keys.whole.bytes, name.bytes, now);
    event.name = counted->name;
    event.first_time = counted->first_timestamp;
    event.count = counted->count;
    if (passes_spam_filter(recorder, keys.object.bytes)) {
        is_first_of_lane = lane_append(lane, &event);
    }
    pthread_mutex_unlock(&recorder->lock);
    if (is_first_of_lane) {
        loop_post(client_loop(recorder->client), write_posted, lane);
    }
}

/* ---- the interface ---- */

void event_record(struct event_recorder *recorder, const struct event_target *target,
                  const char *type, const char *reason, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    cleanup(free_char)
    char *message = format_list(text, arguments);
    va_end(arguments);
    record(recorder, target, type, reason, message);
}

void event_record_about(struct event_recorder *recorder, const json_t *object, const char *type,
                        const char *reason, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    cleanup(free_char)
    char *message = format_list(text, arguments);
    va_end(arguments);
    struct event_target target = event_target_of(object);
    record(recorder, &target, type, reason, message);
}

struct event_target event_target_of(const json_t *object)
{
    const json_t *metadata = json_object_get(object, "metadata");
    return (struct event_target){
        .api_version = json_get_string(object, "apiVersion"),
        .kind = json_get_string(object, "kind"),
        .namespace = json_get_string(metadata, "namespace"),
        .name = json_get_string(metadata, "name"),
        .uid = json_get_string(metadata, "uid"),
        .resource_version = json_get_string(metadata, "resourceVersion"),
    };
}

struct event_target event_target_of_cached(const struct api_resource *resource,
                                           const struct cached_object *object)
{
    return (struct event_target){
        .api_version = resource->group_version,
        .kind = resource->kind,
        .namespace = object->namespace,
        .name = object->name,
        .uid = object->uid,
    };
}

struct event_recorder *event_recorder_new(struct client *client, const char *component,
                                          const char *host)
{
    struct event_recorder *recorder = allocate_struct(struct event_recorder);
    recorder->client = client;
    recorder->component = component;
    recorder->host = host;
    pthread_mutex_init(&recorder->lock, NULL);
    pthread_cond_init(&recorder->drained, NULL);
    for (size_t i = 0; i < lane_count; i++) {
        recorder->lanes[i].recorder = recorder;
    }
    return recorder;
}

/* Events that wait for another try are given up. */
static void cancel_retries(void *argument)
{
    struct event_recorder *recorder = argument;
    for (size_t i = 0; i < lane_count; i++) {
        struct lane *lane = &recorder->lanes[i];
        if (lane->first != NULL && loop_timer_is_set(&lane->first->timer)) {
            loop_timer_cancel(client_loop(recorder->client), &lane->first->timer);
            lane_proceed(lane);
        }
    }
}

/* All but what is under way. The caller holds the lock. */
static void drop_rest(struct event_recorder *recorder)
{
    for (size_t i = 0; i < lane_count; i++) {
        struct lane *lane = &recorder->lanes[i];
        struct writing *first = lane->first, *next;
        for (struct writing *writing = first != NULL ? first->next : NULL; writing != NULL;
             writing = next) {
            next = writing->next;
            writing_free(writing);
            lane->length--;
            recorder->waiting--;
        }
        if (first != NULL) {
            first->next = NULL;
        }
        lane->last = first;
    }
}

void event_recorder_free(struct event_recorder *recorder)
{
    if (recorder == NULL) {
        return;
    }
    struct timespec until = timestamp_after(drain_seconds * INT64_C(1000000000));
    pthread_mutex_lock(&recorder->lock);
    recorder->closed = true;
    pthread_mutex_unlock(&recorder->lock);
    loop_call(client_loop(recorder->client), cancel_retries, recorder);
    pthread_mutex_lock(&recorder->lock);
    while (recorder->waiting > 0 &&
           pthread_cond_timedwait(&recorder->drained, &recorder->lock, &until) == 0) {
    }
    bool drained = recorder->waiting == 0;
    recorder->is_left = !drained;
    drop_rest(recorder);
    pthread_mutex_unlock(&recorder->lock);
    if (drained) {
        recorder_free(recorder);
    }
}
