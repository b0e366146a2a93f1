// SPDX-License-Identifier: Apache-2.0
#include "apiserver/storage/etcd_message.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"

void etcd_add_bytes(struct buffer *out, const char *name, const void *bytes, size_t length)
{
    buffer_addf(out, "\"%s\":\"", name);
    base64_encode_to(out, bytes, length);
    buffer_add_char(out, '"');
}

void etcd_add_int(struct buffer *out, const char *name, int64_t number)
{
    buffer_addf(out, "\"%s\":\"%lld\"", name, (long long)number);
}

int64_t etcd_int(struct json_span span)
{
    char text[24] = "";
    if (span.text == NULL || span.length >= sizeof(text)) {
        return 0;
    }
    size_t quote = span.text[0] == '"' ? 1 : 0;
    memcpy(text, span.text + quote, span.length - quote);
    return strtoll(text, NULL, 10);
}

bool etcd_next(struct json_span array, size_t *position, struct json_span *element)
{
    if (array.text == NULL) {
        return false;
    }
    const char *end = array.text + array.length;
    const char *start = memchr(array.text + *position, '{', array.length - *position);
    int depth = 0;
    for (const char *at = start; at != NULL && at < end;) {
        if (*at == '"') {
            at = json_string_end(at, end);
            continue;
        }
        depth += *at == '{' ? 1 : *at == '}' ? -1 : 0;
        at++;
        if (depth == 0) {
            *element = (struct json_span){.text = start, .length = (size_t)(at - start)};
            *position = (size_t)(at - array.text);
            return true;
        }
    }
    return false;
}

/* The decoded bytes of a string in base64; those of an absent one are empty. */
static char *decode(struct json_span span, size_t *length)
{
    *length = 0;
    if (span.text == NULL) {
        return duplicate("");
    }
    return span.length < 2 ? NULL : base64_decode(span.text + 1, span.length - 2, length);
}

bool etcd_read_item(struct json_span kv, bool deleted, struct store_item *item, size_t *key_length)
{
    static const char *const paths[] = {"key", "mod_revision", "version", "value"};
    struct json_span spans[array_length(paths)] = {0};
    if (kv.text == NULL) {
        return false;
    }
    json_scan(kv.text, kv.length, paths, array_length(paths), spans);
    size_t length;
    *item = (struct store_item){
        .key = decode(spans[0], &length),
        .mod_revision = etcd_int(spans[1]),
        .version = deleted ? 0 : etcd_int(spans[2]),
    };
    if (!deleted) {
        item->value = decode(spans[3], &item->value_length);
    }
    if (item->key == NULL || (!deleted && item->value == NULL)) {
        store_item_clear(item);
        return false;
    }
    if (key_length != NULL) {
        *key_length = length;
    }
    return true;
}

struct store_item *etcd_add_item(struct store_items *items)
{
    items->list = grow(items->list, items->count, &items->capacity, sizeof(*items->list));
    struct store_item *item = &items->list[items->count++];
    *item = (struct store_item){0};
    return item;
}
