// SPDX-License-Identifier: Apache-2.0
/*
 * What schemas do to objects: prune, default, validate, decode from protobuf.
 *
 * Each works on a jansson tree of a whole object or of one value and walks schema and tree side by
 * side. Each is written once and serves built-in and custom kinds alike.
 */
#ifndef COMMON_SCHEMA_RULES_H
#define COMMON_SCHEMA_RULES_H

#include <jansson.h>
#include <stdbool.h>

#include "common/error.h"
#include "common/schema.h"

/* Normalises what a client sent into what Go would have decoded: members the schema lacks are
 * removed, null members are removed unless nullable, and so are zero values that say nothing
 * (schema_omits()), member names must match exactly. Values of a
 * wrong JSON type are an error (400 BadRequest) with upstream's sense:
 *   json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32
 * A SCHEMA_QUANTITY given as a number becomes a string, in canonical form as upstream prints it;
 * times are normalised to UTC (seconds for SCHEMA_TIME, six decimals for SCHEMA_MICRO_TIME); bytes
 * must be base64. kind and apiVersion are fields like others. 'unknown' (may be NULL) is called
 * with the path of each removed unknown member, "spec.template.foo" or "spec.containers[0].foo". */
bool schema_prune(const struct schema *schema, json_t *value,
                  void (*unknown)(void *argument, const char *path), void *argument,
                  struct error *error);

/* The same for what a strategic merge has made. Go restores that from a map and not from JSON, and
 * tells of a wrong type in other words: "cannot restore slice from map". */
bool schema_prune_merged(const struct schema *schema, json_t *value,
                         void (*unknown)(void *argument, const char *path), void *argument,
                         struct error *error);

/* The value of a member says nothing and is not written: see omits_zero in struct schema. */
bool schema_omits(const struct schema *schema, const json_t *value);

/* Fills in the defaults of absent members, at every depth where the containing object exists. */
void schema_default(const struct schema *schema, json_t *value);

/* Structural validation of a pruned, defaulted value: required members (an empty string, list or
 * object counts as absent, as in Go), enumerations, ranges, formats, lengths, duplicates in lists
 * of type set and map, quantities. Adds to 'errors' with paths below 'path'. 'metadata' and
 * 'status' of a resource's object are not looked at (see registry). */
void schema_validate(const struct schema *schema, const json_t *value,
                     const struct field_path *path, struct field_errors *errors);

/* Validation of an update: fields marked immutable may not change once they are set
 * ("field is immutable"). */
void schema_validate_update(const struct schema *schema, const json_t *value, const json_t *old,
                            const struct field_path *path, struct field_errors *errors);

/* ---- protobuf ---- */

/* What stands around a protobuf body: the magic "k8s\0" and runtime.Unknown. Borrowed from the
 * bytes. */
struct protobuf_envelope {
    const char *api_version;
    size_t api_version_length;
    const char *kind;
    size_t kind_length;
    const unsigned char *raw; /* The object's own message. */
    size_t raw_length;
};

/* Opens the envelope. False with 400 when it is not one. */
bool protobuf_open(const void *bytes, size_t length, struct protobuf_envelope *envelope,
                   struct error *error);

/* Decodes a message into the tree that the JSON form would have given: enums and zero values as
 * upstream's Go types would encode them in JSON (zero values that say nothing are left out).
 * Unknown fields are skipped; wrong wire types, lengths past the end and more than 64 levels are an
 * error (400). The caller's. */
json_t *protobuf_decode(const struct schema *schema, const void *bytes, size_t length,
                        struct error *error);

#endif
