// SPDX-License-Identifier: Apache-2.0
/*
 * The store on an etcd cluster, by the JSON gateway of its v3 API.
 *
 * A commit is one transaction: "if the key's mod revision is the expected one then put or delete,
 * else read the key", so the answer to a lost race comes without another question. A delete also
 * demands that the key exists. Everything is linearizable, as etcd's transactions and reads are
 * unless asked not to be.
 *
 * etcd_transport.c carries the requests, etcd_watch.c keeps the watch, etcd_lease.c the leases.
 * gRPC instead of JSON would save the base64, but would bring HTTP/2 and a dependency; etcd itself
 * and its disk limit commits either way.
 */
#include <string.h>

#include "apiserver/storage/etcd_message.h"
#include "apiserver/storage/etcd_store.h"
#include "common/alloc.h"

enum {
    default_timeout_ms = 5000,
    opening_timeout_ms = 10000, /* etcd may have been started at the same moment. */
    refused_ms = 1000,          /* How long a refused connection is tried again. */
    health_timeout_ms = 2000,
    /* A part of a range is to be about this large, */
    part_bytes = 4 * 1024 * 1024,
    /* and is asked for in smaller parts when it turns out to be over this. */
    most_part_bytes = 32 * 1024 * 1024,
    first_part_keys = 16, /* Nothing is known yet about the size of the values. */
    most_part_keys = 2000,
};

static const struct store_class etcd_class;

static struct etcd_store *of(struct store *store)
{
    return container_of(store, struct etcd_store, base);
}

/* Sends a request that may be repeated. */
static bool ask(struct etcd_transport *transport, const char *path, const struct buffer *body,
                struct etcd_patience patience, struct buffer *answer, struct error *error)
{
    const struct etcd_request request = {
        .path = path,
        .body = buffer_text(body),
        .body_length = body->length,
        .repeatable = true,
        .patience = patience,
    };
    return etcd_transport_call(transport, &request, answer, error) == ETCD_ANSWERED;
}

/* ---- reading ---- */

bool etcd_revision(struct etcd_transport *transport, struct etcd_patience patience,
                   int64_t *revision, struct error *error)
{
    /* The key "\0" does not exist; only the header matters. */
    static const char *const paths[] = {"header.revision"};
    cleanup(buffer_free)
    struct buffer body = BUFFER_INIT, answer = BUFFER_INIT;
    buffer_add_literal(&body, "{\"key\":\"" ETCD_WHOLE "\",\"count_only\":true}");
    if (!ask(transport, "/v3/kv/range", &body, patience, &answer, error)) {
        return false;
    }
    struct json_span span = {0};
    json_scan(buffer_text(&answer), answer.length, paths, 1, &span);
    *revision = etcd_int(span);
    return *revision > 0 || error_internal(error, "etcd answered without a revision");
}

static bool etcd_current_revision(struct store *base, int64_t *revision, struct error *error)
{
    struct etcd_store *store = of(base);
    return etcd_revision(store->transport, store->patience, revision, error);
}

static bool etcd_healthy(struct store *base, struct error *error)
{
    const struct etcd_patience patience = {.timeout_ms = health_timeout_ms};
    int64_t revision;
    return etcd_revision(of(base)->transport, patience, &revision, error);
}

static bool bad_answer(struct error *error)
{
    return error_internal(error, "etcd gave an answer that can't be read");
}

static bool ask_for_key(struct etcd_store *store, const char *key, struct buffer *answer,
                        struct error *error)
{
    cleanup(buffer_free)
    struct buffer body = BUFFER_INIT;
    buffer_add_char(&body, '{');
    etcd_add_bytes(&body, "key", key, strlen(key));
    buffer_add_char(&body, '}');
    return ask(store->transport, "/v3/kv/range", &body, store->patience, answer, error);
}

/* '*revision' is one at which the key was so; the item has no key where there is none. */
static bool read_key(const struct buffer *answer, int64_t *revision, struct store_item *item,
                     struct error *error)
{
    static const char *const paths[] = {"header.revision", "kvs"};
    struct json_span spans[array_length(paths)] = {0}, kv;
    json_scan(buffer_text(answer), answer->length, paths, array_length(paths), spans);
    size_t at = 0;
    *revision = etcd_int(spans[0]);
    return !etcd_next(spans[1], &at, &kv) || etcd_read_item(kv, false, item, NULL) ||
           bad_answer(error);
}

/* The key as it is now. */
static bool read_current(struct etcd_store *store, const char *key, int64_t *revision,
                         struct store_item *current, struct error *error)
{
    cleanup(buffer_free)
    struct buffer answer = BUFFER_INIT;
    return ask_for_key(store, key, &answer, error) && read_key(&answer, revision, current, error);
}

static bool etcd_get(struct store *base, const char *key, struct store_item *item, bool *found,
                     struct error *error)
{
    int64_t revision;
    *item = (struct store_item){0};
    bool done = read_current(of(base), key, &revision, item, error);
    *found = item->key != NULL;
    return done;
}

/* A range as it is fetched in parts. */
struct range {
    struct buffer start; /* Of the next part; the key behind the last one read. */
    const char *end;
    size_t left;      /* Keys still wanted; SIZE_MAX: all. */
    size_t part_keys; /* To ask for next. */
    int64_t revision; /* 0 before the first part of a range at the newest revision. */
    int64_t total;
    bool more;
};

static enum etcd_outcome ask_part(struct etcd_store *store, const struct range *range, size_t limit,
                                  struct buffer *answer, struct error *error)
{
    cleanup(buffer_free)
    struct buffer body = BUFFER_INIT;
    buffer_add_char(&body, '{');
    etcd_add_bytes(&body, "key", buffer_text(&range->start), range->start.length);
    buffer_add_char(&body, ',');
    etcd_add_bytes(&body, "range_end", range->end, strlen(range->end));
    buffer_add_char(&body, ',');
    etcd_add_int(&body, "limit", (int64_t)limit);
    buffer_add_char(&body, ',');
    etcd_add_int(&body, "revision", range->revision);
    buffer_add_char(&body, '}');
    const struct etcd_request request = {
        .path = "/v3/kv/range",
        .body = buffer_text(&body),
        .body_length = body.length,
        .repeatable = true,
        .patience = store->patience,
        .answer_limit = limit > 1 ? most_part_bytes : 0,
    };
    return etcd_transport_call(store->transport, &request, answer, error);
}

/* Appends the items of a part; moves the start behind the last one. */
static bool read_part(struct range *range, const struct buffer *answer, struct store_items *items,
                      size_t *count, struct error *error)
{
    static const char *const paths[] = {"header.revision", "count", "more", "kvs"};
    struct json_span spans[array_length(paths)] = {0}, kv;
    json_scan(buffer_text(answer), answer->length, paths, array_length(paths), spans);
    if (range->revision == 0) {
        range->revision = etcd_int(spans[0]);
    }
    if (range->total < 0) {
        range->total = etcd_int(spans[1]);
    }
    range->more = spans[2].length == strlen("true");
    *count = 0;
    size_t key_length = 0;
    for (size_t at = 0; etcd_next(spans[3], &at, &kv); (*count)++) {
        if (!etcd_read_item(kv, false, etcd_add_item(items), &key_length)) {
            items->count--;
            return bad_answer(error);
        }
    }
    if (*count > 0) {
        buffer_reset(&range->start);
        buffer_add(&range->start, items->list[items->count - 1].key, key_length);
        buffer_add_char(&range->start, '\0');
    } else if (range->more) {
        return bad_answer(error);
    }
    return true;
}

/* How many keys to ask for after a part of 'count' keys and 'bytes' bytes. Grows in steps, as the
 * next values may be larger. */
static size_t next_part_keys(size_t count, size_t bytes)
{
    size_t keys = count * part_bytes / (bytes > 0 ? bytes : 1);
    keys = keys > count * 8 ? count * 8 : keys;
    keys = keys > most_part_keys ? most_part_keys : keys;
    return keys > 0 ? keys : 1;
}

static bool fetch_part(struct etcd_store *store, struct range *range, struct store_items *items,
                       struct error *error)
{
    cleanup(buffer_free)
    struct buffer answer = BUFFER_INIT;
    size_t limit = range->left < range->part_keys ? range->left : range->part_keys;
    size_t count;
    switch (ask_part(store, range, limit, &answer, error)) {
    case ETCD_ANSWERED:
        break;
    case ETCD_ANSWER_TOO_LONG:
        range->part_keys = limit / 8 > 0 ? limit / 8 : 1;
        return true;
    default:
        return false;
    }
    if (!read_part(range, &answer, items, &count, error)) {
        return false;
    }
    range->part_keys = next_part_keys(count > 0 ? count : 1, answer.length);
    if (range->left != SIZE_MAX) {
        range->left -= count;
    }
    return true;
}

static bool etcd_range(struct store *base, const char *start, const char *end, size_t limit,
                       int64_t revision, struct store_items *items, int64_t *at_revision,
                       int64_t *total, struct error *error)
{
    struct etcd_store *store = of(base);
    size_t before = items->count;
    struct range range = {
        .end = *end != '\0' ? end : start, /* To etcd, no end means one key. */
        .left = limit > 0 ? limit : SIZE_MAX,
        .part_keys = first_part_keys,
        .revision = revision,
        .total = -1,
        .more = true,
    };
    /* To etcd, no start means an error. */
    buffer_add(&range.start, start, *start != '\0' ? strlen(start) : 1);
    bool done = true;
    while (done && range.more && range.left > 0) {
        done = fetch_part(store, &range, items, error);
    }
    buffer_free(&range.start);
    while (!done && items->count > before) {
        store_item_clear(&items->list[--items->count]);
    }
    if (done && at_revision != NULL) {
        *at_revision = range.revision;
    }
    if (done && total != NULL) {
        *total = range.total;
    }
    return done;
}

/* ---- writing ---- */

static void add_key(struct buffer *body, const char *key)
{
    etcd_add_bytes(body, "key", key, strlen(key));
}

/* What has to be so for the write to happen. etcd pays for each word, so it is told what it would
 * not assume itself: two versions are compared for being equal, and with 0, unless it is said
 * otherwise. A key that does not exist has the version 0. */
static void add_condition(const struct store_write *write, struct buffer *body)
{
    if (write->expected == STORE_ANY && write->operation == STORE_PUT) {
        return;
    }
    buffer_add_literal(body, "\"compare\":[{");
    add_key(body, write->key);
    if (write->expected == STORE_ANY) {
        buffer_add_literal(body, ",\"result\":\"GREATER\",\"version\":\"0\"");
    } else if (write->expected != 0 || write->operation == STORE_DELETE) {
        /* What does not exist can't be deleted: no key has a revision of -1. */
        buffer_add_literal(body, ",\"target\":\"MOD\",");
        etcd_add_int(body, "mod_revision", write->expected != 0 ? write->expected : -1);
    }
    buffer_add_literal(body, "}],");
}

/* The transaction of a write. 'lease' is 0 for none. It does not ask for the present value in case
 * the condition does not hold: that is seldom, and the question would cost every write. */
static void build_transaction(const struct store_write *write, int64_t lease, struct buffer *body)
{
    bool delete = write->operation == STORE_DELETE;
    buffer_reserve(body, write->value_length * 4 / 3 + 1024);
    buffer_add_char(body, '{');
    add_condition(write, body);
    buffer_add_text(body, delete ? "\"success\":[{\"request_delete_range\":{"
                                 : "\"success\":[{\"request_put\":{");
    add_key(body, write->key);
    if (!delete) {
        buffer_add_char(body, ',');
        etcd_add_bytes(body, "value", write->value, write->value_length);
        if (lease != 0) {
            buffer_add_char(body, ',');
            etcd_add_int(body, "lease", lease);
        }
    }
    buffer_add_literal(body, "}}]}");
}

static bool read_commit(const struct buffer *answer, int64_t *revision, bool *conflict,
                        struct error *error)
{
    static const char *const paths[] = {"header.revision", "succeeded"};
    struct json_span spans[array_length(paths)] = {0};
    json_scan(buffer_text(answer), answer->length, paths, array_length(paths), spans);
    *revision = etcd_int(spans[0]);
    *conflict = spans[1].length != strlen("true");
    return *revision > 0 || bad_answer(error);
}

static enum etcd_outcome send_write(struct etcd_store *store, const struct store_write *write,
                                    int64_t lease, struct buffer *answer, struct error *error)
{
    cleanup(buffer_free)
    struct buffer body = BUFFER_INIT;
    build_transaction(write, lease, &body);
    const struct etcd_request request = {
        .path = "/v3/kv/txn",
        .body = buffer_text(&body),
        .body_length = body.length,
        .patience = store->patience,
    };
    return etcd_transport_call(store->transport, &request, answer, error);
}

/* A put under a lease. A lease may have been lost since it was granted, then another is taken. */
static bool send_leased(struct etcd_store *store, const struct store_write *write,
                        struct buffer *answer, struct error *error)
{
    for (int attempt = 0; attempt < 3; attempt++) {
        struct etcd_lease lease;
        if (!etcd_lease_for(store->leases, write->ttl_seconds, &lease, error)) {
            return false;
        }
        enum etcd_outcome outcome = send_write(store, write, lease.id, answer, error);
        if (outcome == ETCD_ANSWERED) {
            etcd_lease_used(store->leases, &lease);
        }
        if (outcome != ETCD_LEASE_NOT_FOUND) {
            return outcome == ETCD_ANSWERED;
        }
        etcd_lease_lost(store->leases, lease.id);
    }
    return error_internal(error, "etcd loses leases as fast as it grants them");
}

static bool send_once(struct etcd_store *store, const struct store_write *write, int64_t *revision,
                      bool *conflict, struct error *error)
{
    cleanup(buffer_free)
    struct buffer answer = BUFFER_INIT;
    bool leased = write->operation == STORE_PUT && write->ttl_seconds > 0;
    bool sent = leased ? send_leased(store, write, &answer, error)
                       : send_write(store, write, 0, &answer, error) == ETCD_ANSWERED;
    return sent && read_commit(&answer, revision, conflict, error);
}

/* What the write expects is so, by now. */
static bool holds(const struct store_write *write, const struct store_item *current)
{
    if (current->key == NULL) {
        return write->operation == STORE_PUT && write->expected <= 0;
    }
    return write->expected == STORE_ANY || current->mod_revision == write->expected;
}

static bool etcd_commit(struct store *base, const struct store_write *write, int64_t *revision,
                        struct store_item *current, bool *conflict, struct error *error)
{
    struct etcd_store *store = of(base);
    for (;;) {
        if (!send_once(store, write, revision, conflict, error)) {
            return false;
        }
        if (!*conflict || current == NULL) {
            return true;
        }
        *current = (struct store_item){0};
        if (!read_current(store, write->key, revision, current, error)) {
            return false;
        }
        if (!holds(write, current)) {
            return true;
        }
        store_item_clear(current); /* Changed in between; somebody gets on, so this ends. */
    }
}

static bool etcd_compact(struct store *base, int64_t revision, struct error *error)
{
    struct etcd_store *store = of(base);
    cleanup(buffer_free)
    struct buffer body = BUFFER_INIT, answer = BUFFER_INIT;
    buffer_add_char(&body, '{');
    etcd_add_int(&body, "revision", revision);
    buffer_add_char(&body, '}');
    return ask(store->transport, "/v3/kv/compaction", &body, store->patience, &answer, error);
}

/* ---- opening and closing ---- */

static bool etcd_watch_from(struct store *base, int64_t after, struct store_watcher watcher,
                            struct error *error)
{
    (void)error; /* A watch that can't begin is begun again and again. */
    etcd_watch_start(of(base)->watch, after, watcher);
    return true;
}

static void etcd_close(struct store *base)
{
    struct etcd_store *store = of(base);
    etcd_watch_close(store->watch);
    etcd_leases_close(store->leases);
    etcd_transport_close(store->transport);
    free(store);
}

static const struct store_class etcd_class = {
    .name = "etcd",
    .get = etcd_get,
    .range = etcd_range,
    .commit = etcd_commit,
    .current_revision = etcd_current_revision,
    .watch = etcd_watch_from,
    .compact = etcd_compact,
    .healthy = etcd_healthy,
    .close = etcd_close,
};

struct store *store_etcd_open(const struct store_etcd_options *options, struct error *error)
{
    int timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : default_timeout_ms;
    int opening_ms = options->timeout_ms > 0 ? options->timeout_ms : opening_timeout_ms;
    const struct etcd_patience patience = {timeout_ms, refused_ms},
                               opening = {opening_ms, opening_ms};
    struct etcd_transport *transport = etcd_transport_open(options, error);
    if (transport == NULL) {
        return NULL;
    }
    struct error reason = ERROR_INIT;
    int64_t revision;
    if (!etcd_revision(transport, opening, &revision, &reason)) {
        error_wrap(error, &reason, "no etcd endpoint answered within %g seconds",
                   opening_ms / 1000.0);
        etcd_transport_close(transport);
        return NULL;
    }
    struct etcd_store *store = allocate_struct(struct etcd_store);
    store->base.class = &etcd_class;
    store->transport = transport;
    store->patience = patience;
    store->leases = etcd_leases_open(transport, patience);
    store->watch = etcd_watch_open(transport);
    return &store->base;
}
