// SPDX-License-Identifier: Apache-2.0
#include "scheduler/node_images.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

static void image_free(void *argument)
{
    struct node_image *image = argument;
    free(image->held);
    free(image->name);
    free(image);
}

/* A name with neither tag nor digest means the tag "latest"; the caller's. */
static char *with_tag(const char *name)
{
    const char *colon = strrchr(name, ':'), *slash = strrchr(name, '/');
    bool is_tagged = colon != NULL && (slash == NULL || colon > slash);
    return is_tagged ? duplicate(name) : format("%s:latest", name);
}

const struct node_image *node_images_find(const struct node_cache *cache, const char *name)
{
    if (cache->images.count == 0) {
        return NULL;
    }
    cleanup(free_char)
    char *tagged = with_tag(name);
    return map_get(&cache->images, tagged);
}

static void drop_all(struct node_cache *cache, struct node *node)
{
    for (size_t i = 0; i < node->image_count; i++) {
        struct node_image *image = node->images[i];
        image->held[node->index] = 0;
        if (--image->nodes == 0) {
            map_remove(&cache->images, image->name);
            image_free(image);
        }
    }
    free(steal(node->images));
    node->image_count = 0;
}

static struct node_image *image_of(struct node_cache *cache, const char *name, int64_t size)
{
    struct node_image *image = map_get(&cache->images, name);
    if (image == NULL) {
        image = allocate_struct(struct node_image);
        image->name = duplicate(name);
        image->size = size;
        map_set(&cache->images, name, image);
    }
    return image;
}

static void hold(struct node_image *image, struct node *node, size_t *capacity)
{
    if (node->index >= image->held_capacity) {
        size_t room = ((size_t)node->index + 32) * 2;
        image->held = reallocate(image->held, room);
        memset(image->held + image->held_capacity, 0, room - image->held_capacity);
        image->held_capacity = room;
    }
    if (image->held[node->index] == 0) {
        image->held[node->index] = 1;
        image->nodes++;
        node->images = grow(node->images, node->image_count, capacity, sizeof(struct node_image *));
        node->images[node->image_count++] = image;
    }
}

static void hold_all(struct node_cache *cache, struct node *node, const json_t *list)
{
    size_t i, n, capacity = 0;
    const json_t *image, *name;
    json_array_foreach (list, i, image) {
        int64_t size = json_get_int(image, "sizeBytes", 0);
        json_array_foreach (json_object_get(image, "names"), n, name) {
            if (json_is_string(name)) {
                hold(image_of(cache, json_string_value(name), size), node, &capacity);
            }
        }
    }
}

void node_images_put(struct node_cache *cache, struct node *node, const char *text, size_t length)
{
    uint64_t hash = length > 0 ? hash_bytes(text, length) : 0;
    if (hash == node->images_hash) {
        return; /* A heartbeat. */
    }
    cleanup(json_release)
    json_t *list = length > 0 ? json_parse(text, length, NULL) : NULL;
    drop_all(cache, node);
    hold_all(cache, node, list);
    node->images_hash = hash;
}

void node_images_free(struct node_cache *cache)
{
    map_free(&cache->images, image_free);
}
