// SPDX-License-Identifier: Apache-2.0
/* What is accepted and still deserves a word to the client: kinds' hooks (registry/kinds.h), each
 * called with an object that is valid. */
#ifndef APISERVER_REGISTRY_VALIDATION_WARNINGS_H
#define APISERVER_REGISTRY_VALIDATION_WARNINGS_H

#include "apiserver/registry/registry.h"
#include "common/error.h"

void warn_about_persistent_volume(struct write *write);
void warn_about_volume_claim(struct write *write);
void warn_about_storage_class(struct write *write);
void warn_about_csi_storage_capacity(struct write *write);
void warn_about_runtime_class(struct write *write);
void warn_about_service_account(struct write *write);
/* A certificate without its key, or the like. */
void warn_about_secret(struct write *write);
/* traffic_warnings.c */
void warn_about_service(struct write *write);
void warn_about_network_policy(struct write *write);
void warn_about_ingress(struct write *write);
void warn_about_endpoints(struct write *write);
void warn_about_endpoint_slice(struct write *write);
void warn_about_node(struct write *write);
/* pod_warnings.c */
void warn_about_pod(struct write *write);
void warn_about_pod_template(struct write *write);
/* Deployments, ReplicaSets, ReplicationControllers. */
void warn_about_workload(struct write *write);
void warn_about_daemon_set(struct write *write);
void warn_about_stateful_set(struct write *write);
void warn_about_job(struct write *write);
void warn_about_cron_job(struct write *write);

/* ---- among the files of this topic ---- */

struct deprecation {
    const char *name, *message;
};

/* NULL when the name is not in the list, which ends with NULL. */
const char *deprecation_of(const struct deprecation *list, const char *name);
void warn_at(struct write *write, const struct field_path *path, const char *message);
/* The annotations of the list, which ends with NULL, that are there. */
void warn_about_annotations(struct write *write, const json_t *annotations,
                            const struct field_path *path, const struct deprecation *list);
/* NULL when the label of nodes is fine. */
const char *node_label_deprecation(const char *label);
/* Old labels of nodes among the keys of requirements; 'key' is the step below each of them, NULL:
 * none. */
void warn_about_requirements(struct write *write, const json_t *requirements, const char *key,
                             const struct field_path *path);
/* A number of bytes that isn't whole. */
void warn_about_fraction(struct write *write, const json_t *amount, const struct field_path *path);
/* A PersistentVolumeClaimSpec. */
void warn_about_claim_spec(struct write *write, const json_t *spec, const struct field_path *path);
/* An address, or a network, that is written in another way than the usual one; fine when it is
 * none. */
void warn_about_address(struct write *write, const json_t *value, const struct field_path *path);
void warn_about_network(struct write *write, const json_t *value, const struct field_path *path);
/* pod_clashes.c: 'path' is that of the spec. */
void warn_about_ports(struct write *write, const json_t *spec, const struct field_path *path);
void warn_about_overlapping_paths(struct write *write, const json_t *volumes);

#endif
