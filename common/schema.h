// SPDX-License-Identifier: Apache-2.0
/*
 * Schemas: what the API's objects look like, as data.
 *
 * Every built-in kind is described in api-schemas/ and compiled into constant tables of these
 * structs; the same structs will be made at run time of CustomResourceDefinitions. Defaulting,
 * pruning, validation, patches, Tables, discovery, OpenAPI and protobuf are written once against
 * them. What a schema can't say is a hook in apiserver/registry/kinds/.
 *
 * A 'struct schema' describes one value where it is used: its type and what holds for it there. The
 * members of an object type are in a 'struct schema_object', shared by all its uses. A 'struct
 * resource' is a served resource with the schema of its kind. A 'struct scheme' is the set of all
 * that is served at a time: an immutable, reference-counted snapshot that is replaced as a whole;
 * ask for it once a request and hold on to it.
 *
 * Threads: all of it is immutable after it is made, and free to read from anywhere.
 */
#ifndef COMMON_SCHEMA_H
#define COMMON_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The JSON and the protobuf form that a value has. */
enum schema_type {
    SCHEMA_STRING,
    SCHEMA_BOOLEAN,
    SCHEMA_INT32,
    SCHEMA_INT64,
    SCHEMA_DOUBLE,
    SCHEMA_BYTES,         /* base64 in JSON. */
    SCHEMA_TIME,          /* metav1.Time: RFC 3339, seconds; protobuf {seconds, nanos}. */
    SCHEMA_MICRO_TIME,    /* metav1.MicroTime: RFC 3339, six decimals. */
    SCHEMA_DURATION,      /* metav1.Duration: "1h30m"; protobuf {duration: nanoseconds}. */
    SCHEMA_QUANTITY,      /* resource.Quantity: string, or number on input; protobuf {string}. */
    SCHEMA_INT_OR_STRING, /* intstr.IntOrString. */
    SCHEMA_FIELDS_V1,     /* metav1.FieldsV1: any object; protobuf {Raw}. */
    SCHEMA_JSON,          /* Any JSON value, kept as it is; protobuf {raw}. With an 'object' (the
                           * three unions of JSONSchemaProps): in protobuf a message of which one
                           * member is set, whose value is the JSON form. */
    SCHEMA_RAW,           /* runtime.RawExtension: any object, kept; protobuf {raw}. */
    SCHEMA_OBJECT,        /* Members of its 'object'. */
    SCHEMA_MAP,           /* String keys to 'items'. */
    SCHEMA_LIST,          /* Of 'items'. */
};

/* What a string must look like, checked by structural validation; the messages are upstream's. */
enum schema_format {
    SCHEMA_FORMAT_NONE,
    SCHEMA_FORMAT_DNS_LABEL,     /* RFC 1123 label. */
    SCHEMA_FORMAT_DNS_SUBDOMAIN, /* RFC 1123 subdomain. */
    SCHEMA_FORMAT_DNS_1035,      /* RFC 1035 label. */
    SCHEMA_FORMAT_QUALIFIED,     /* [prefix/]name, as a label's key. */
    SCHEMA_FORMAT_LABEL_VALUE,
    SCHEMA_FORMAT_PATH_SEGMENT, /* Not ".", "..", no "/" or "%". */
    SCHEMA_FORMAT_IP,
    SCHEMA_FORMAT_CIDR,
    SCHEMA_FORMAT_PORT_NAME,  /* IANA service name. */
    SCHEMA_FORMAT_CONFIG_KEY, /* Key of a ConfigMap or Secret; applies to a map's keys. */
    SCHEMA_FORMAT_ENV_NAME,
    SCHEMA_FORMAT_URL,
};

enum schema_list_type { SCHEMA_LIST_ATOMIC, SCHEMA_LIST_SET, SCHEMA_LIST_MAP };

enum schema_presence {
    SCHEMA_OPTIONAL,
    SCHEMA_REQUIRED,   /* Validation insists on it. An absent required number or boolean reads as
                        * zero and is then held against the other rules, as in Go. */
    SCHEMA_DOCUMENTED, /* Declared required in OpenAPI, but an absent one is accepted. */
};

/* A value where it is used. */
struct schema {
    enum schema_type type;
    enum schema_format
        format; /* Of a string; of a map's keys; of each element of a list of strings. */
    const struct schema_object *object; /* SCHEMA_OBJECT, and unions of SCHEMA_JSON. */
    const struct schema *items;         /* SCHEMA_LIST and SCHEMA_MAP only. */
    enum schema_list_type list_type;    /* For server-side apply and duplicates. */
    const char *const *list_keys;       /* SCHEMA_LIST_MAP: its keys, NULL-terminated. */
    bool unique;                        /* Validation refuses duplicates in a list of type set or
                                         * map; many built-in lists accept them. */
    bool wrapped;           /* A list that protobuf has in a message of its own, as field
                             * 1: ExtraValue, Verbs. */
    const char *merge_key;  /* Strategic merge: key of a merged list of objects. */
    bool patch_merge;       /* Strategic merge: patchStrategy has "merge". */
    bool patch_retain_keys; /* Strategic merge: patchStrategy has "retainKeys". */
    bool atomic;            /* A map or object whose map-type is atomic. */
    bool omits_zero;        /* A member whose zero value ("", 0, false, an empty list or map) says
                             * nothing and goes: in Go it is no pointer and has "omitempty". */
    bool rounded;          /* A map of quantities, each rounded up to a thousandth: ResourceList. */
    bool nullable;         /* null is kept, not dropped. */
    bool preserve_unknown; /* Members that the schema lacks are kept. */
    bool embedded;         /* A complete object with kind, apiVersion, metadata. */
    bool has_minimum, has_maximum;
    int64_t minimum, maximum;       /* Of a number; inclusive. */
    int64_t max_length;             /* Of a string in bytes, of a list in elements; 0: none. */
    const char *const *enumeration; /* Accepted strings, NULL-terminated; NULL: any. Of a list of
                                     * strings it is in 'items', as are minimum and maximum. */
    const char *default_value;      /* JSON text; NULL: none. */
};

struct schema_field {
    const char *name;
    const char *doc; /* One line, "" when there is none. */
    const struct schema *schema;
    uint32_t number; /* In protobuf; 0: not in the protobuf form. */
    enum schema_presence presence;
    bool undeclared; /* SCHEMA_REQUIRED, yet OpenAPI does not declare it so. */
    bool immutable;  /* An update may not change it once it is set. */
};

/* Members that stand among the object's own in JSON (and in its 'fields', with number 0), while
 * protobuf has them in a message of their own: Go's embedded structs. */
struct schema_inline {
    uint32_t number; /* Of that message. */
    const struct schema_object *object;
};

/* The members of an object type. */
struct schema_object {
    const char *name; /* As upstream's OpenAPI: "io.k8s.api.core.v1.Container". */
    const char *doc;
    const struct schema_field *fields; /* Sorted by name, bytewise. */
    size_t field_count;
    const struct schema_inline *inlines;
    size_t inline_count;
    bool atomic;       /* The type's own map-type is atomic; a use may differ. */
    bool has_defaults; /* Some field at any depth below has a default: worth walking into. */
};

/* The field of that name, or NULL. */
const struct schema_field *schema_field_find(const struct schema_object *object, const char *name);
/* The field with that protobuf number, or NULL. */
const struct schema_field *schema_field_by_number(const struct schema_object *object,
                                                  uint32_t number);
/* The embedded members with that protobuf number, or NULL. Decode the message as that object, into
 * the same JSON object. */
const struct schema_inline *schema_inline_by_number(const struct schema_object *object,
                                                    uint32_t number);
/* Follows a dotted path of fields ("spec.template.spec"), stepping through lists and maps to their
 * items. NULL when it leads nowhere. */
const struct schema_field *schema_find_path(const struct schema *schema, const char *path);

/* ---- resources ---- */

enum verb {
    VERB_GET = 1 << 0,
    VERB_LIST = 1 << 1,
    VERB_WATCH = 1 << 2,
    VERB_CREATE = 1 << 3,
    VERB_UPDATE = 1 << 4,
    VERB_PATCH = 1 << 5,
    VERB_DELETE = 1 << 6,
    VERB_DELETE_COLLECTION = 1 << 7,
};

/* Table column. 'value' is how to get the cell: a path of members ".spec.replicas" (absent: the
 * zero value of the member's type), or the name of a function in apiserver/views/columns.c, with
 * the paths it works on behind it: "pod_ready", "or_none .spec.nodeName". */
struct resource_column {
    const char *name, *type, *format, *doc;
    int priority; /* 0: always shown; 1: with -o wide. */
    const char *value;
};

struct resource_subresource {
    const char *name;                   /* "status", "scale", "binding", … */
    const char *group, *version, *kind; /* Of its bodies; the resource's own where equal. */
    const struct schema *schema;        /* Of that kind. */
    unsigned verbs;                     /* enum verb bits. */
};

/* One resource of one group and version. */
struct resource {
    const char *group, *version, *kind, *plural, *singular; /* group "" for core. */
    const char *list_kind;
    const char *doc;
    const char *const *short_names; /* NULL-terminated, as the following ones. */
    const char *const *categories;
    const struct schema *schema;      /* Of the kind; SCHEMA_OBJECT. */
    const struct schema *list_schema; /* Of the list kind; NULL for what can't be listed. */
    unsigned verbs;                   /* enum verb bits; of a kind that is only posted
                                       * (SubjectAccessReview): VERB_CREATE alone. */
    bool namespaced;
    bool has_generation;        /* metadata.generation counts changes of the spec. */
    bool update_creates;        /* PUT to an absent name creates. */
    bool delete_returns_object; /* DELETE answers with the object instead of a Status. */
    bool virtual;               /* Never stored: reviews, component statuses, metrics. */
    const char *name_format;    /* How metadata.name is checked: "subdomain", "label", "label1035",
                                 * "path-segment". */
    const char *storage_prefix; /* "/registry/pods/"; "" for virtual ones. Resources that are views
                                 * of the same stored objects share it. */
    const char *storage_group, *storage_version; /* Version in which objects are stored. */
    const struct resource_column *columns;
    size_t column_count;
    const struct resource_subresource *subresources;
    size_t subresource_count;
    const char *const *selectable_fields; /* Names usable in fieldSelector besides metadata.name
                                           * and metadata.namespace. */
    const char *const *selectable_paths;  /* Where the value of each is: ".spec.nodeName"; absent:
                                           * the zero value. */
};

bool resource_has_verb(const struct resource *resource, enum verb verb);
const struct resource_subresource *resource_subresource_find(const struct resource *resource,
                                                             const char *name);

/* ---- schemes ---- */

/* A group with its versions, the preferred one first; groups stand in discovery order. */
struct scheme_group {
    const char *name;
    const char *const *versions; /* NULL-terminated. */
    int priority;                /* Of the group's APIService objects, which order discovery. */
    const int *version_priorities;
};

/* A kind that bodies may have: a resource's own, or DeleteOptions, Scale, Eviction, TokenRequest.
 * List kinds excluded. Group and version are both "" for kinds that every group and version knows:
 * DeleteOptions, CreateOptions, …. */
struct scheme_kind {
    const char *group, *version, *kind;
    const struct schema *schema;
};

struct scheme;

/* The built-in API. Constant; never freed, but ref and unref it like any other. The compiler makes
 * this function beside the tables. */
struct scheme *scheme_builtin(void);
struct scheme *scheme_ref(struct scheme *scheme);
void scheme_unref(struct scheme *scheme);

size_t scheme_group_count(const struct scheme *scheme);
const struct scheme_group *scheme_group(const struct scheme *scheme, size_t index);
const struct scheme_group *scheme_group_find(const struct scheme *scheme, const char *name);
size_t scheme_resource_count(const struct scheme *scheme);
/* Resources by group, then version, then plural: the order of discovery. */
const struct resource *scheme_resource(const struct scheme *scheme, size_t index);
/* By URL; NULL when there is none. */
const struct resource *scheme_resource_find(const struct scheme *scheme, const char *group,
                                            const char *version, const char *plural);
/* The same in the version in which it is stored. */
const struct resource *scheme_resource_stored(const struct scheme *scheme, const char *group,
                                              const char *plural);
/* By kind; NULL when no resource has it. */
const struct resource *scheme_resource_of_kind(const struct scheme *scheme, const char *group,
                                               const char *version, const char *kind);
/* The resource in whose version objects of this one are stored (itself, mostly). */
const struct resource *scheme_storage_resource(const struct scheme *scheme,
                                               const struct resource *resource);
/* The schema of any kind that a body may have, resources' kinds included. NULL when unknown. */
const struct schema *scheme_kind_schema(const struct scheme *scheme, const char *group,
                                        const char *version, const char *kind);
/* Object types of a group and version that OpenAPI shows; iterate while it returns non-NULL. */
const struct schema_object *scheme_object(const struct scheme *scheme, size_t index);

/* The kinds of bodies; iterate while it returns non-NULL. */
const struct scheme_kind *scheme_kind(const struct scheme *scheme, size_t index);

/* The constant tables, made by the compiler from api-schemas/. Read by the functions above. */
struct schema_tables {
    const struct scheme_group *groups;
    size_t group_count;
    const struct resource *resources;
    size_t resource_count;
    const uint16_t *resources_by_plural; /* Their indexes, sorted by plural, group, version … */
    const uint16_t *resources_by_kind;   /* … and by kind, group, version. */
    const struct scheme_kind *kinds;     /* Sorted by group, version, kind. */
    size_t kind_count;
    const struct schema_object *const *objects;
    size_t object_count;
};
extern const struct schema_tables schema_builtin_tables;

struct scheme {
    const struct schema_tables *tables;
    size_t references; /* Atomic; 0: constant, never freed. */
};

#endif
