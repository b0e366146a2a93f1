// SPDX-License-Identifier: Apache-2.0
/*
 * Keeps the FlowSchemas and PriorityLevelConfigurations that every cluster has.
 *
 * Mandatory ones are always as they are built in. A suggested one is while its annotation
 * apf.kubernetes.io/autoupdate-spec is true; an object without the annotation gets it, true if
 * nobody has changed its spec yet, else false. An object that says true but is no longer built in
 * is deleted. Each FlowSchema's condition Dangling is kept true to whether its level is there.
 *
 * One thread, woken when an object changes and each minute; it writes through the registry.
 */
#ifndef APISERVER_FLOWCONTROL_KEEPER_H
#define APISERVER_FLOWCONTROL_KEEPER_H

#include <jansson.h>
#include <stdbool.h>

#include "common/error.h"

struct flowcontrol;
struct keeper;

/* The objects that every cluster has: list of {kind, name, mandatory, spec}. The caller's. */
json_t *keeper_objects(struct error *error);
/* What a stored object becomes: NULL when it is fine as it is. 'wanted' is one of those above. The
 * caller's. */
json_t *keeper_repair(const json_t *live, const json_t *wanted);
/* The FlowSchema with its condition put right; NULL when it is right. The caller's. */
json_t *keeper_set_dangling(const json_t *live, bool dangling);

/* Begins to follow what is stored, applies it, and starts the thread of flowcontrol->keeper. */
bool keeper_start(struct flowcontrol *flowcontrol, struct error *error);
void keeper_wake(struct keeper *keeper);          /* From any thread. NULL is fine. */
bool keeper_is_done(const struct keeper *keeper); /* Everything has been there once. */
void keeper_stop(struct keeper *keeper);          /* NULL is fine, also for the next. */
void keeper_free(struct keeper *keeper);          /* When nobody wakes it any more. */

#endif
