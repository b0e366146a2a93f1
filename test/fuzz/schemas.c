// SPDX-License-Identifier: Apache-2.0
/* Schemas: any JSON tree, taken for a pod and for what else has a schema of its own kind of
 * trouble, is pruned, defaulted and validated; and what was pruned stays as it is. */
#include "common/schema_rules.h"
#include "test/fuzz/fuzz.h"

static void check(const struct schema *schema, json_t *tree)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    if (!schema_prune(schema, tree, NULL, NULL, &error)) {
        fuzz_expect_refusal(&error);
        return;
    }
    cleanup(free_char)
    char *once = json_text(tree);
    cleanup(json_release)
    json_t *before = json_deep_copy(tree);
    fuzz_expect(schema_prune(schema, tree, NULL, NULL, &error));
    cleanup(free_char)
    char *twice = json_text(tree);
    fuzz_expect(strcmp(once, twice) == 0);

    schema_default(schema, tree);
    cleanup(free_char)
    char *defaulted = json_text(tree);
    schema_default(schema, tree);
    cleanup(free_char)
    char *defaulted_again = json_text(tree);
    fuzz_expect(strcmp(defaulted, defaulted_again) == 0);

    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    schema_validate(schema, tree, NULL, &errors);
    schema_validate_update(schema, tree, before, NULL, &errors);
    if (field_errors_any(&errors)) {
        error_invalid(&error, "", "Pod", "p", &errors);
        fuzz_expect_refusal(&error);
        cleanup(json_release)
        json_t *status = error_to_status(&error);
        fuzz_expect(json_is_object(status));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const kinds[][3] = {
        {"", "v1", "Pod"},
        {"", "v1", "Service"},
        {"apiextensions.k8s.io", "v1", "CustomResourceDefinition"},
        {"autoscaling", "v2", "HorizontalPodAutoscaler"},
    };
    cleanup(json_release)
    json_t *tree = json_parse((const char *)data, size, NULL);
    if (!json_is_object(tree)) {
        return 0;
    }
    for (size_t i = 0; i < array_length(kinds); i++) {
        const struct schema *schema =
            scheme_kind_schema(scheme_builtin(), kinds[i][0], kinds[i][1], kinds[i][2]);
        fuzz_expect(schema != NULL);
        cleanup(json_release)
        json_t *copy = json_deep_copy(tree);
        check(schema, copy);
    }
    return 0;
}
