// SPDX-License-Identifier: Apache-2.0
/* Protobuf: any bytes are a pod (or, without the envelope, the kind the first byte picks) or
 * refused; what is decoded is a tree that the schema takes. */
#include "common/schema_rules.h"
#include "test/fuzz/fuzz.h"

static const struct schema *pick(uint8_t choice)
{
    static const char *const kinds[][3] = {
        {"", "v1", "Pod"},
        {"apps", "v1", "Deployment"},
        {"", "v1", "Service"},
        {"apiextensions.k8s.io", "v1", "CustomResourceDefinition"},
        {"", "v1", "DeleteOptions"},
        {"", "v1", "PodList"},
        {"authorization.k8s.io", "v1", "SubjectAccessReview"},
        {"admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"},
    };
    const char *const *kind = kinds[choice % array_length(kinds)];
    const struct schema *schema = scheme_kind_schema(scheme_builtin(), kind[0], kind[1], kind[2]);
    return schema != NULL ? schema : scheme_kind_schema(scheme_builtin(), "", "v1", "Pod");
}

static void decode(const struct schema *schema, const void *bytes, size_t length)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(json_release)
    json_t *tree = protobuf_decode(schema, bytes, length, &error);
    if (tree == NULL) {
        fuzz_expect_refusal(&error);
        return;
    }
    cleanup(free_char)
    char *text = json_text(tree);
    cleanup(json_release)
    json_t *again = json_parse(text, strlen(text), NULL);
    fuzz_expect(again != NULL);
    if (!schema_prune(schema, tree, NULL, NULL, &error)) {
        fuzz_expect_refusal(&error);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct protobuf_envelope envelope;
    if (protobuf_open(data, size, &envelope, &error)) {
        decode(pick(0), envelope.raw, envelope.raw_length);
        return 0;
    }
    fuzz_expect_refusal(&error);
    if (size > 0) {
        decode(pick(data[0]), data + 1, size - 1);
    }
    return 0;
}
