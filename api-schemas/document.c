// SPDX-License-Identifier: Apache-2.0
/*
 * YAML into nodes, with libyaml's event parser: the lines of things are needed in complaints, and
 * keys that stand twice in a mapping are a mistake here. Anchors and aliases are not part of the
 * format.
 */
#include "api-schemas/compiler.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "common/alloc.h"

struct reader {
    struct compiler *compiler;
    const char *file;
    yaml_parser_t parser;
};

static const struct node *read_value(struct reader *reader, const yaml_event_t *event);

/* The next event; false at a syntax error, which has been complained about. */
static bool next_event(struct reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event)) {
        return true;
    }
    struct node at = {.file = reader->file, .line = reader->parser.problem_mark.line + 1};
    complain(reader->compiler, &at, "%s", reader->parser.problem);
    return false;
}

static struct node *new_node(struct reader *reader, const yaml_event_t *event, enum node_kind kind)
{
    struct node *node = arena_allocate(reader->compiler, sizeof(*node));
    node->kind = kind;
    node->file = reader->file;
    node->line = event->start_mark.line + 1;
    return node;
}

static const struct node *read_scalar(struct reader *reader, const yaml_event_t *event)
{
    struct node *node = new_node(reader, event, NODE_SCALAR);
    node->text = arena_duplicate(reader->compiler, (const char *)event->data.scalar.value,
                                 event->data.scalar.length);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return node;
}

/* A growing list of nodes, handed over to the arena when it is complete. */
struct node_list {
    const struct node **nodes;
    size_t count, capacity;
};

static void node_list_add(struct node_list *list, const struct node *node)
{
    list->nodes = grow(list->nodes, list->count, &list->capacity, sizeof(const struct node *));
    list->nodes[list->count++] = node;
}

static void node_list_free(struct node_list *list)
{
    free(list->nodes);
}

static const struct node **node_list_keep(struct reader *reader, const struct node_list *list)
{
    const struct node **kept =
        arena_allocate(reader->compiler, (list->count + 1) * sizeof(const struct node *));
    if (list->count > 0) {
        memcpy(kept, list->nodes, list->count * sizeof(const struct node *));
    }
    return kept;
}

/* Reads values up to the end of a sequence or mapping into 'list'. */
static bool read_values(struct reader *reader, yaml_event_type_t end, struct node_list *list)
{
    for (;;) {
        yaml_event_t event;
        if (!next_event(reader, &event)) {
            return false;
        }
        bool at_end = event.type == end;
        const struct node *value = at_end ? NULL : read_value(reader, &event);
        yaml_event_delete(&event);
        if (at_end) {
            return true;
        }
        if (value == NULL) {
            return false;
        }
        node_list_add(list, value);
    }
}

static const struct node *read_sequence(struct reader *reader, const yaml_event_t *event)
{
    struct node *node = new_node(reader, event, NODE_SEQUENCE);
    cleanup(node_list_free)
    struct node_list list = {0};
    if (!read_values(reader, YAML_SEQUENCE_END_EVENT, &list)) {
        return NULL;
    }
    node->values = node_list_keep(reader, &list);
    node->count = list.count;
    return node;
}

static const struct node *read_mapping(struct reader *reader, const yaml_event_t *event)
{
    struct node *node = new_node(reader, event, NODE_MAPPING);
    cleanup(node_list_free)
    struct node_list list = {0};
    if (!read_values(reader, YAML_MAPPING_END_EVENT, &list)) {
        return NULL;
    }
    node->count = list.count / 2;
    node->keys = arena_allocate(reader->compiler, (node->count + 1) * sizeof(const struct node *));
    node->values =
        arena_allocate(reader->compiler, (node->count + 1) * sizeof(const struct node *));
    for (size_t i = 0; i < node->count; i++) {
        const struct node *key = list.nodes[2 * i];
        if (key->kind != NODE_SCALAR) {
            complain(reader->compiler, key, "a key must be a plain word");
            return NULL;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(node->keys[j]->text, key->text) == 0) {
                complain(reader->compiler, key, "\"%s\" stands twice, first in line %zu", key->text,
                         node->keys[j]->line);
            }
        }
        node->keys[i] = key;
        node->values[i] = list.nodes[2 * i + 1];
    }
    return node;
}

static const struct node *read_value(struct reader *reader, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(reader, event);
    case YAML_SEQUENCE_START_EVENT:
        return read_sequence(reader, event);
    case YAML_MAPPING_START_EVENT:
        return read_mapping(reader, event);
    default: {
        struct node at = {.file = reader->file, .line = event->start_mark.line + 1};
        complain(reader->compiler, &at, "anchors and aliases are not part of the format");
        return NULL;
    }
    }
}

/* Reads from the start of the stream to the end of its first document. */
static const struct node *read_document(struct reader *reader)
{
    const struct node *root = NULL;
    bool at_end = false;
    while (!at_end) {
        yaml_event_t event;
        if (!next_event(reader, &event)) {
            return NULL;
        }
        switch (event.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_START_EVENT:
            break;
        case YAML_STREAM_END_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            at_end = true;
            break;
        default:
            root = read_value(reader, &event);
            at_end = root == NULL;
            break;
        }
        yaml_event_delete(&event);
    }
    return root;
}

const struct node *document_read(struct compiler *compiler, const char *path)
{
    struct node at = {.file = path, .line = 1};
    cleanup(close_stream)
    FILE *stream = fopen(path, "re");
    if (stream == NULL) {
        complain(compiler, &at, "%s", strerror(errno));
        return NULL;
    }
    struct reader reader = {.compiler = compiler, .file = path};
    if (!yaml_parser_initialize(&reader.parser)) {
        complain(compiler, &at, "the YAML parser can't be set up");
        return NULL;
    }
    yaml_parser_set_input_file(&reader.parser, stream);
    size_t complaints = compiler->complaint_count;
    const struct node *root = read_document(&reader);
    yaml_parser_delete(&reader.parser);
    if (root == NULL && compiler->complaint_count == complaints) {
        complain(compiler, &at, "the file is empty");
    } else if (root != NULL && root->kind != NODE_MAPPING) {
        complain(compiler, root, "expected a mapping");
        root = NULL;
    }
    return root;
}

const struct node *node_get(const struct node *mapping, const char *key)
{
    for (size_t i = 0; i < mapping->count; i++) {
        if (strcmp(mapping->keys[i]->text, key) == 0) {
            return mapping->values[i];
        }
    }
    return NULL;
}
