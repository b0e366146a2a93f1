// SPDX-License-Identifier: Apache-2.0
/* Patches of each type: the patch on the first line, what is patched on the second; when there is
 * none, a pod. */
#include "apiserver/patch/patch.h"
#include "common/schema_rules.h"
#include "test/fuzz/fuzz.h"

static const char pod[] =
    "{\"metadata\":{\"name\":\"p\",\"labels\":{\"a\":\"b\"},\"finalizers\":[\"x/y\",\"z/w\"]},"
    "\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"i\",\"ports\":[{\"containerPort\":80,"
    "\"protocol\":\"TCP\"}],\"env\":[{\"name\":\"E\",\"value\":\"1\"}]},{\"name\":\"b\"}],"
    "\"tolerations\":[{\"key\":\"k\",\"operator\":\"Exists\"}],"
    "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}}";

enum patch_type { JSON, MERGE, STRATEGIC, PATCH_TYPES };

static bool apply(enum patch_type type, const json_t *patch, json_t **object, struct error *error)
{
    switch (type) {
    case JSON:
        return patch_json(patch, object, error);
    case MERGE:
        return patch_merge(patch, object, error);
    default:
        return patch_strategic(scheme_kind_schema(scheme_builtin(), "", "v1", "Pod"), patch,
                               *object, error);
    }
}

/* An object that no schema has approved may not fit strategic merge's expectations: upstream's
 * answer to that is a 500. */
static void expect_refusal(enum patch_type type, const struct error *error)
{
    if (type == STRATEGIC && error->code == 500) {
        fuzz_expect(error->message != NULL);
    } else {
        fuzz_expect_refusal(error);
    }
}

static void check(enum patch_type type, const json_t *patch, json_t *original)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(json_release)
    json_t *object = json_deep_copy(original);
    cleanup(free_char)
    char *patch_before = json_text(patch);
    if (!apply(type, patch, &object, &error)) {
        expect_refusal(type, &error);
        return;
    }
    cleanup(free_char)
    char *patch_after = json_text(patch);
    fuzz_expect(strcmp(patch_before, patch_after) == 0);
    cleanup(free_char)
    char *once = json_text(object);
    if (type == MERGE) {
        fuzz_expect(patch_merge(patch, &object, &error));
        cleanup(free_char)
        char *twice = json_text(object);
        fuzz_expect(strcmp(once, twice) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(free_char)
    char *patch_text = fuzz_line(&data, &size);
    cleanup(free_char)
    char *object_text = fuzz_line(&data, &size);
    cleanup(json_release)
    json_t *patch = json_parse(patch_text, strlen(patch_text), NULL);
    if (patch == NULL) {
        return 0;
    }
    cleanup(json_release)
    json_t *object = json_parse(object_text, strlen(object_text), NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        object = json_parse(pod, sizeof pod - 1, NULL);
    }
    for (enum patch_type type = JSON; type < PATCH_TYPES; type++) {
        check(type, patch, object);
    }
    return 0;
}
