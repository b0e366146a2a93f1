// SPDX-License-Identifier: Apache-2.0
/* What is accepted and still deserves a word to the client: kinds' hooks (registry/kinds.h), each
 * called with an object that is valid. */
#ifndef APISERVER_REGISTRY_VALIDATION_WARNINGS_H
#define APISERVER_REGISTRY_VALIDATION_WARNINGS_H

#include "apiserver/registry/registry.h"

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

#endif
