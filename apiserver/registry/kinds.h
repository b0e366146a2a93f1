// SPDX-License-Identifier: Apache-2.0
/*
 * What a kind does that its schema can't say: hooks at fixed places of the write road.
 *
 * Each file in registry/kinds/ defines one 'struct kind' (or a few that belong together) and stands
 * in the table of kinds.c with one line. Every member may be NULL: nothing special. Hooks work on
 * trees in the storage version and run on worker threads; those that may block say so.
 */
#ifndef APISERVER_REGISTRY_KINDS_H
#define APISERVER_REGISTRY_KINDS_H

#include "apiserver/registry/registry.h"

/* A subresource with a life of its own (not "status"). */
struct kind_subresource {
    const char *name;
    /* Serves get, update, patch and create on it. May block, unless … */
    void (*serve)(struct registry *registry, struct request *request, struct response *response);
    bool waits_for_commit; /* … it waits for nothing else. */
};

struct conditional_default;

struct kind {
    const char *group, *plural;

    /* Defaults that depend on other fields, see kinds/defaults.h: filled in this order after the
     * schema's own, on create and update. */
    const struct conditional_default *defaults;
    const char *pod_template; /* Where a pod's spec stands: "spec.template.spec". */
    void (*fill_defaults)(json_t *object);

    /* Before validation of a create: server-set fields. The status has been dropped if the kind has
     * a status subresource. */
    bool (*prepare_create)(struct write *write, struct error *error);
    /* Before validation of an update of the object or a subresource: write->live is the old one.
     * The generic rules (status or spec put back, generation) have been applied. */
    bool (*prepare_update)(struct write *write, struct error *error);
    /* More validation, beyond the schema, from registry/validation/; on create and update, of
     * subresources as well. */
    void (*validate)(const struct write *write, struct field_errors *errors);

    /* What whoever asks for this kind is told, whatever the request; NULL: nothing. */
    const char *deprecation;
    /* Warnings about an object that has been found valid, on create and update of it as a whole. */
    void (*warn)(struct write *write);

    /* Around the commit of a create or update: takes and gives back what is allocated beside the
     * object. 'end' is called once for each successful 'begin'. May block. */
    bool (*begin)(struct write *write, struct error *error);
    void (*end)(struct write *write, bool committed);
    /* After an object is gone from the store. */
    void (*gone)(struct registry *registry, const struct object *object);

    /* Before a delete does anything: may refuse it, or set '*grace_seconds' for kinds that are
     * deleted gracefully (it comes in as what the client asked, -1 if nothing; 0 means at once). */
    bool (*before_delete)(struct write *write, int64_t *grace_seconds, struct error *error);
    /* After a delete has marked the object as being deleted. */
    void (*mark_deleting)(json_t *object);
    /* The update has made the object ready to go (beyond metadata.finalizers); NULL: always. */
    bool (*may_go)(const json_t *object);
    /* Objects of this kind are deleted with dependents orphaned by default. */
    bool orphans_by_default;
    /* The status that a create brings is kept: whoever registers a node tells its state at once. */
    bool created_with_status;
    /* Updating without a resourceVersion is refused. */
    bool needs_revision;
    /* A write is acknowledged when the cache has it: whoever decides by these objects decides by
     * the new ones from then on. */
    bool acknowledged_when_cached;
    /* The object expires by itself. */
    bool expires; /* After registry->event_ttl_seconds. */
    /* Labels, or all of metadata, stay as they are on an update of the status. */
    bool status_keeps_labels;

    /* Conversion, in place, between the stored version and that of 'resource'. */
    void (*from_storage)(json_t *object, const struct resource *resource);
    void (*to_storage)(json_t *object, const struct resource *resource);

    const struct kind_subresource *subresources; /* Ends with a NULL name. */
    /* Serves a kind that is never stored: only posted (SubjectAccessReview), or observed when it is
     * asked for (ComponentStatus). May block, unless … */
    void (*serve_virtual)(struct registry *registry, struct request *request,
                          struct response *response);
    bool virtual_is_quick; /* … it waits for nothing. */
};

/* The hooks of a resource; one without any when it has none. */
const struct kind *kind_find(const struct resource *resource);
/* Serves a subresource that belongs to several kinds (scale). NULL when 'name' is none. */
const struct kind_subresource *kind_subresource_find(const struct kind *kind, const char *name);

#endif
