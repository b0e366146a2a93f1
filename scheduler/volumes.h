// SPDX-License-Identifier: Apache-2.0
/*
 * Volumes as the scheduler sees them: claims, the volumes that they are bound to or may be, storage
 * classes, and what CSI drivers say of their room and of how much a node takes. Objects are put
 * here as they come; what the scheduler decided and has not seen written yet (assumed) is kept
 * beside them, so that a volume is not given away twice.
 *
 * Pods name claims before they are there, so a claim is known as soon as a class of pods names it.
 *
 * Threads: everything here is guarded by the scheduler's lock.
 */
#ifndef SCHEDULER_VOLUMES_H
#define SCHEDULER_VOLUMES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/map.h"
#include "common/quantity.h"
#include "common/selector.h"
#include "common/volume_migration.h"

struct node;
struct pod_class;

enum access_mode {
    MODE_READ_WRITE_ONCE = 1,
    MODE_READ_ONLY_MANY = 2,
    MODE_READ_WRITE_MANY = 4,
    MODE_READ_WRITE_ONCE_POD = 8,
};

/* What a claim asks for, or a volume has. Strings are never NULL; "" is absent. */
struct volume_shape {
    struct quantity size;
    unsigned modes; /* enum access_mode */
    bool is_block;
    char *class_name, *attributes_class;
};

struct claim {
    char *key;         /* "namespace/name" */
    const char *name;  /* In 'key'. */
    size_t references; /* Of classes of pods that name it. */
    size_t users;      /* Pods that stand and name it. */
    bool exists;       /* What follows is the object's. */
    bool is_lost, is_deleting;
    bool is_complete; /* The binder has noted that it is bound. */
    int64_t version;
    char *uid, *owner_uid;
    char *volume_name, *selected_node;
    struct volume_shape shape;
    struct selector *selector; /* NULL: any volume. */
    bool is_unmatchable;       /* Its selector is wrong. */
    char *assumed_node;        /* Where a volume is to be made for it, or NULL. */
};

struct volume {
    char *name;
    int64_t version;
    bool is_available, is_deleting;
    struct volume_shape shape;
    json_t *affinity, *labels;   /* Terms of nodes that reach it, NULL: all do. */
    char *claim_key, *claim_uid; /* Whom it names; "" nobody. */
    char *driver, *handle;       /* Of CSI, or the one that took over from 'plugin'. */
    const char *plugin;          /* The one in the tree that it was made for; NULL: none. */
    struct claim *assumed;       /* Whom it is to name. */
};

struct storage_class {
    char *name, *provisioner;
    bool is_late; /* WaitForFirstConsumer */
    json_t *topologies;
};

/* How many volumes of a driver a node takes, and what is attached to it. */
struct volume_node {
    char *name;
    struct volume_limit {
        char *driver;
        int64_t count;
    } * limits;
    size_t limit_count;
    char *migrated; /* Names of plugins whose volumes are CSI drivers' here. */
    struct volume_attachment *attachments;
};

struct volume_attachment {
    char *name, *driver, *volume_name;
    struct volume_node *node;
    struct volume_attachment *next;
};

struct storage_capacity {
    char *class_name;
    int64_t limit;             /* Of one volume; -1: not known. */
    struct selector *topology; /* Nodes that reach it; NULL: none. */
};

struct volumes {
    struct map claims;  /* By "namespace/name". */
    struct map volumes; /* By name. */
    struct map classes; /* struct storage_class by name. */
    struct map nodes;   /* struct volume_node by name. */
    struct map attachments;
    struct map drivers;    /* CSI drivers that tell how much room there is. */
    struct map capacities; /* struct storage_capacity by "namespace/name". */
    struct map plans;      /* struct volume_plan by the pod's "namespace/name". */
};

struct volumes *volumes_new(void);
void volumes_free(struct volumes *volumes);

/* ---- objects as they come; trees are borrowed ---- */

void volumes_put_claim(struct volumes *volumes, const json_t *claim);
void volumes_put_volume(struct volumes *volumes, const json_t *volume);
void volumes_put_class(struct volumes *volumes, const json_t *class);
void volumes_put_csi_node(struct volumes *volumes, const json_t *node);
void volumes_put_driver(struct volumes *volumes, const json_t *driver);
void volumes_put_capacity(struct volumes *volumes, const json_t *capacity);
void volumes_put_attachment(struct volumes *volumes, const json_t *attachment);
/* What is gone, by "namespace/name" or name. */
void volumes_remove_claim(struct volumes *volumes, const char *key);
void volumes_remove_volume(struct volumes *volumes, const char *name);
void volumes_remove_class(struct volumes *volumes, const char *name);
void volumes_remove_csi_node(struct volumes *volumes, const char *name);
void volumes_remove_driver(struct volumes *volumes, const char *name);
void volumes_remove_capacity(struct volumes *volumes, const char *key);
void volumes_remove_attachment(struct volumes *volumes, const char *name);

/* ---- claims ---- */

/* The claim of that key, made if it is not known, and counted. */
struct claim *volumes_claim_ref(struct volumes *volumes, const char *key);
void volumes_claim_unref(struct volumes *volumes, struct claim *claim);

/* Bound for good, on both sides. */
static inline bool claim_is_bound(const struct claim *claim)
{
    return claim->volume_name[0] != '\0' && claim->is_complete;
}

/* A volume is chosen or made for it only when a pod that names it gets a node. */
bool volumes_claim_is_late(const struct volumes *volumes, const struct claim *claim);

/* ---- what volumes say of nodes ---- */

bool volume_reaches(const struct volume *volume, const struct node *node);
/* It names the claim, or is to. */
bool volume_is_for(const struct volume *volume, const struct claim *claim);

/* On that node the plugin's volumes are a CSI driver's. */
bool volume_node_migrates(const struct volume_node *node, const char *plugin);

#endif
