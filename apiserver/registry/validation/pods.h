// SPDX-License-Identifier: Apache-2.0
/*
 * Rules of pods and of the templates they are made from; see check.h for what such rules are.
 *
 * validate_pod_spec() walks the whole spec. The parts below it are in files of their own, by topic,
 * and share a 'struct pod_view': what the parts must know of each other.
 */
#ifndef APISERVER_REGISTRY_VALIDATION_PODS_H
#define APISERVER_REGISTRY_VALIDATION_PODS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/error.h"
#include "common/map.h"

/* ---- for the kinds ---- */

/* A PodTemplateSpec, at "spec.template" or "template". */
void validate_pod_template(const json_t *template, const struct field_path *path,
                           struct field_errors *errors);
/* The part of it that a StatefulSet looks at: labels and annotations; its volumes are not all known
 * yet. */
void validate_pod_template_metadata(const json_t *template, const struct field_path *path,
                                    struct field_errors *errors);
/* A pod that is created, with 'live' NULL, or updated: all of it must be right, and of a live one
 * only a few fields may change (pod_update.c). */
void validate_pod(const json_t *pod, const json_t *live, struct field_errors *errors);
/* The same through the subresources. */
void validate_pod_ephemeral_containers(const json_t *pod, const json_t *live,
                                       struct field_errors *errors);
void validate_pod_resize(const json_t *pod, const json_t *live, struct field_errors *errors);
/* pod_status.c */
void validate_pod_status(const json_t *pod, const json_t *live, struct field_errors *errors);

/* scheduling.c: of a list, which may be NULL. */
void validate_tolerations(const json_t *tolerations, const struct field_path *path,
                          struct field_errors *errors);

/* ---- among the files of this topic ---- */

struct pod_view {
    const json_t *spec;
    const json_t *metadata; /* The pod's own; NULL in a template, whose pods have no name yet. */
    bool host_users;        /* The pod shares the node's users. */
    const json_t *grace_period; /* terminationGracePeriodSeconds; NULL when it is absent. */
    struct map volumes;         /* By name, borrowed: the volumes that nothing is wrong with. */
    struct map claims;          /* By name, borrowed: spec.resourceClaims. */
};

static inline bool pod_view_is_pod(const struct pod_view *view)
{
    return view->metadata != NULL;
}

/* The lists of containers in a spec, in upstream's order; ends with NULL. */
extern const char *const pod_container_lists[];

/* containers.c */
void validate_containers(const struct pod_view *view, const struct field_path *path,
                         struct field_errors *errors);
/* env.c */
void validate_env(const json_t *container, const struct field_path *path,
                  struct field_errors *errors);
/* A field of the pod; 'supported' ends with NULL. */
void validate_field_ref(const json_t *reference, const char *const *supported,
                        const struct field_path *path, struct field_errors *errors);
/* A resource of a container; 'in_volume': which one must be named. */
void validate_resource_field_ref(const json_t *reference, bool in_volume,
                                 const struct field_path *path, struct field_errors *errors);
/* mounts.c */
void validate_mounts(const struct pod_view *view, const json_t *container,
                     const struct field_path *path, struct field_errors *errors);
/* probes.c */
void validate_probes(const struct pod_view *view, const json_t *container,
                     const struct field_path *path, struct field_errors *errors);
/* scheduling.c: affinity, tolerations, spreading, gates; of a pod or of a template. */
void validate_scheduling(const json_t *spec, bool is_pod, const struct field_path *path,
                         struct field_errors *errors);
/* security.c */
void validate_pod_security_context(const struct pod_view *view, const struct field_path *path,
                                   struct field_errors *errors);
void validate_container_security_context(const struct pod_view *view, const json_t *container,
                                         const struct field_path *path,
                                         struct field_errors *errors);
/* The annotations by which profiles were named once. */
void validate_pod_annotations(const json_t *annotations, const json_t *spec,
                              const struct field_path *path, struct field_errors *errors);
void validate_profile_annotations_match(const json_t *pod, struct field_errors *errors);
/* operating_system.c: what a pod for Windows or Linux can't have, and host processes. */
void validate_operating_system(const json_t *spec, const struct field_path *path,
                               struct field_errors *errors);
void validate_windows_options(const json_t *options, const struct field_path *path,
                              struct field_errors *errors);
/* volumes.c: fills view->volumes. */
void validate_volumes(struct pod_view *view, const struct field_path *path,
                      struct field_errors *errors);
/* Of one volume, by its name within the pod. */
void validate_volume_source(const struct pod_view *view, const json_t *volume,
                            const struct field_path *path, struct field_errors *errors);
/* projected.c: sources made of entries, fields and tokens. */
void validate_key_paths(const json_t *source, const struct field_path *path,
                        struct field_errors *errors);
void validate_downward_api(const json_t *source, const struct field_path *path,
                           struct field_errors *errors);
void validate_projected(const json_t *source, const struct field_path *path,
                        struct field_errors *errors);
void validate_default_mode(const json_t *source, const struct field_path *path,
                           struct field_errors *errors);

#endif
