// SPDX-License-Identifier: Apache-2.0
/* YAML to trees and back, with libyaml: the YAML 1.1 subset that Kubernetes' tools accept. */
#ifndef COMMON_YAML_H
#define COMMON_YAML_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/error.h"

/* Parses one document (the first of a stream) as sigs.k8s.io/yaml would turn it into JSON: plain
 * scalars become null, booleans (true, false and, as there, yes, no, on, off), integers (also
 * 0x, 0o and leading-zero octal), floats or strings; quoted ones strings; anchors, aliases and
 * merge keys are resolved. Bounded: at most 100 levels, and expansion of aliases at most ten times
 * the size of the text (bombs are an error). Duplicate keys: the last counts; 'duplicate' (may be
 * NULL) is called with a text such as
 *   line 5: key "a" already set in map
 * Errors are 400 with line and column. An empty document is null. The caller's. */
json_t *yaml_parse(const char *text, size_t length,
                   void (*duplicate)(void *argument, const char *message), void *argument,
                   struct error *error);

/* Like yaml_parse, but of a stream of documents: calls 'document' (takes over the tree, may be
 * json null) for each with the line on which it starts, until that returns false. */
bool yaml_parse_stream(const char *text, size_t length,
                       bool (*document)(void *argument, json_t *tree, size_t line), void *argument,
                       struct error *error);

/* Appends a tree as one YAML document in block style, members sorted, strings quoted where they
 * would read as something else. */
void yaml_encode(const json_t *json, struct buffer *buffer);

#endif
