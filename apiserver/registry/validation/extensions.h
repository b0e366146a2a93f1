// SPDX-License-Identifier: Apache-2.0
/* Rules of what extends the API: webhooks, policies, definitions, API services. Each is a kind's
 * hook (registry/kinds.h) unless it says otherwise. */
#ifndef APISERVER_REGISTRY_VALIDATION_EXTENSIONS_H
#define APISERVER_REGISTRY_VALIDATION_EXTENSIONS_H

#include "apiserver/registry/registry.h"

/* webhooks.c */
void validate_webhook_configuration(const struct write *write, struct field_errors *errors);
/* How a webhook is reached: by an address or by a service. 'when_neither': what to say unless it is
 * exactly one of the two. */
void validate_webhook_client(const json_t *client, const char *when_neither,
                             const struct field_path *path, struct field_errors *errors);
/* A RuleWithOperations. */
void validate_webhook_rule(const json_t *rule, const struct field_path *path,
                           struct field_errors *errors);
void validate_match_conditions(const json_t *conditions, const struct field_path *path,
                               struct field_errors *errors);
/* policies.c */
void validate_admission_policy(const struct write *write, struct field_errors *errors);
void validate_admission_policy_binding(const struct write *write, struct field_errors *errors);
/* definitions.c */
void validate_definition(const struct write *write, struct field_errors *errors);
/* definition_values.c: of one schema that stands on its own, what it holds beside the shape of
 * values: the default, and x-kubernetes-validations as far as they are not expressions. */
void validate_definition_default(const json_t *schema, const struct field_path *path,
                                 struct field_errors *errors);
void validate_definition_rules(const json_t *schema, const struct field_path *path,
                               struct field_errors *errors);
/* definition_schemas.c: the schema of a version. */
void validate_definition_schema(const json_t *schema, const struct field_path *path,
                                struct field_errors *errors);
/* api_services.c */
void validate_api_service(const struct write *write, struct field_errors *errors);

#endif
