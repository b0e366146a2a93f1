// SPDX-License-Identifier: Apache-2.0
/*
 * The volumes of a class of pods that matter to where they stand: the claims that it names, those
 * of generic ephemeral volumes included, and disks that are named in the pod itself. Most pods have
 * none.
 *
 * Threads: parsed on the informers' thread; the rest under the scheduler's lock.
 */
#ifndef SCHEDULER_POD_VOLUMES_H
#define SCHEDULER_POD_VOLUMES_H

#include "common/buffer.h"
#include "common/cached_object.h"
#include "scheduler/volumes.h"

struct volume_search;

struct pod_claim {
    char *key;           /* "namespace/name" */
    bool is_ephemeral;   /* It is the pod's own. */
    struct claim *claim; /* See pod_volumes_know(). */
};

struct pod_volumes {
    struct pod_claim *claims; /* Each once. */
    size_t claim_count;
    json_t *disks;                  /* Volumes as they are in the pod. */
    struct volume_search *searches; /* See volume_plan.h. */
    size_t search_count;
};

/* Adds to the key of the pod's class what volumes make of it: nothing for most pods, and the pod
 * itself when a claim is its own. */
void pod_volumes_add_key(struct json_span volumes, const struct cached_object *pod,
                         struct buffer *key);
/* Those of a pod of that spec; the caller's, NULL when there are none that matter. */
struct pod_volumes *pod_volumes_parse(const json_t *spec, const char *namespace, const char *name);
void pod_volumes_free(struct pod_volumes *pod_volumes); /* NULL is fine. */

/* Looks up its claims; before any of what follows. */
void pod_volumes_know(struct volumes *volumes, struct pod_volumes *pod_volumes);
/* Gives them up. NULL is fine. */
void pod_volumes_forget(struct volumes *volumes, struct pod_volumes *pod_volumes);

/* A pod of the class, which has volumes, stands on the node (1), or does not any more (-1). */
void pod_volumes_count(struct node *node, const struct pod_class *class, int change);

/* What may matter to the pods that wait: an object that came, changed or is gone. */
enum volume_change_kind {
    CHANGE_CLAIM,
    CHANGE_VOLUME,
    CHANGE_CLASS,
    CHANGE_CSI_NODE,
    CHANGE_DRIVER,
    CHANGE_CAPACITY,
    CHANGE_DETACHED,
};

struct volume_change {
    enum volume_change_kind kind;
    const char *name;       /* The claim's key, the volume's or class's name. */
    const char *class_name; /* Of a volume or capacity. */
};

/* Whether it can matter to pods of the class. */
bool pod_volumes_concern(const struct pod_class *class, const struct volume_change *change);
/* The two have a claim or a disk in common. */
bool pod_volumes_meet(const struct pod_class *class, const struct pod_class *other);
/* Both name the disk, and one of them writes; both as they are in pods. */
bool pod_volumes_disks_conflict(const json_t *disk, const json_t *other);

#endif
