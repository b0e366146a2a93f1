// SPDX-License-Identifier: Apache-2.0
/*
 * Admission: plugins that may change or refuse a client's write, after it has been defaulted and
 * before it is validated.
 *
 * Each plugin is one file here and one line in the table of admission.c. All that are enabled may
 * change the object, in the table's order; then, when the object is final, all may refuse it. The
 * server's own writes are not asked about.
 *
 * Threads: any worker. A plugin keeps no state but what its configuration (configuration.h) holds.
 */
#ifndef APISERVER_ADMISSION_ADMISSION_H
#define APISERVER_ADMISSION_ADMISSION_H

#include "apiserver/registry/registry.h"

struct admission_plugin {
    const char *name; /* As upstream's: "NamespaceLifecycle". */
    bool is_on_by_default;
    bool sees_bodies; /* Of admission_admit_body(). */
    /* May change write->object; false refuses the write. NULL: nothing. Not called for deletes. */
    bool (*admit)(struct write *write, struct error *error);
    /* Looks at the final object, or at a delete (write->object is NULL). NULL: nothing. */
    bool (*validate)(const struct write *write, struct error *error);
};

/* Works out which plugins are enabled, and reads their configuration. 400 for a name that is none.
 */
bool admission_configure(struct admission_options *options, struct error *error);
/* "A, B, …": all plugins' names, for --help. The caller's. */
char *admission_names(void);

bool admission_admit(struct write *write, struct error *error);
/* For a plugin that has changed the object after others saw it: asks all others once more. */
bool admission_admit_again(struct write *write, struct error *error);
bool admission_validate(const struct write *write, struct error *error);
/* The same for what is posted but not stored (a review), or is a way to change something else (a
 * Binding, a Scale): write_begin_body() begins such a write. Asks the plugins that see these. */
bool admission_admit_body(struct write *write, struct error *error);
bool admission_validate_body(const struct write *write, struct error *error);

/* The write is about an object itself (not a subresource) of this kind. */
bool admission_is_about(const struct write *write, const char *group, const char *plural);

extern const struct admission_plugin admission_namespace_lifecycle;
extern const struct admission_plugin admission_limit_ranger;
extern const struct admission_plugin admission_service_account;
extern const struct admission_plugin admission_node_restriction;
extern const struct admission_plugin admission_taint_nodes_by_condition;
extern const struct admission_plugin admission_pod_security;
extern const struct admission_plugin admission_priority;
extern const struct admission_plugin admission_default_toleration_seconds;
extern const struct admission_plugin admission_default_storage_class;
extern const struct admission_plugin admission_default_ingress_class;
extern const struct admission_plugin admission_storage_protection;
extern const struct admission_plugin admission_persistent_volume_claim_resize;
extern const struct admission_plugin admission_runtime_class;
extern const struct admission_plugin admission_certificate_approval;
extern const struct admission_plugin admission_certificate_signing;
extern const struct admission_plugin admission_certificate_subject_restriction;
extern const struct admission_plugin admission_owner_references;
extern const struct admission_plugin admission_always_pull_images;
extern const struct admission_plugin admission_extended_resource_toleration;
extern const struct admission_plugin admission_limit_anti_affinity;
extern const struct admission_plugin admission_pod_node_selector;
extern const struct admission_plugin admission_resource_quota;
extern const struct admission_plugin admission_event_rate_limit;
extern const struct admission_plugin admission_always_admit;
extern const struct admission_plugin admission_always_deny;
extern const struct admission_plugin admission_cluster_trust_bundle_attest;
extern const struct admission_plugin admission_pod_topology_labels;
extern const struct admission_plugin admission_deny_service_external_ips;
extern const struct admission_plugin admission_namespace_exists;
extern const struct admission_plugin admission_namespace_auto_provision;
extern const struct admission_plugin admission_pod_toleration_restriction;
extern const struct admission_plugin admission_mutating_webhook;
extern const struct admission_plugin admission_validating_webhook;

#endif
