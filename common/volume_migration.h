// SPDX-License-Identifier: Apache-2.0
/*
 * Volumes of plugins that were once part of Kubernetes, which CSI drivers have taken over. Pure
 * functions, any thread.
 */
#ifndef COMMON_VOLUME_MIGRATION_H
#define COMMON_VOLUME_MIGRATION_H

#include <jansson.h>

/* The plugin in the tree for which a volume of this spec was made (static), NULL when it is none
 * that a CSI driver has taken over; then '*driver' is that one (static), and '*handle' is what the
 * driver calls the volume (borrowed). */
const char *volume_migration(const json_t *spec, const char **driver, const char **handle);
/* The driver that took over from the plugin; 'provisioner' itself when there is none. */
const char *volume_migrated_driver(const char *provisioner);

#endif
