// SPDX-License-Identifier: Apache-2.0
/* Label and field selectors, on the first line; the second is a LabelSelector object, the third an
 * object of labels to match. */
#include "common/selector.h"
#include "test/fuzz/fuzz.h"

static void use(struct selector *selector, const json_t *labels, const struct error *error)
{
    if (selector == NULL) {
        fuzz_expect_refusal(error);
        return;
    }
    bool matches = selector_matches_object(selector, labels);
    fuzz_expect(!selector_is_everything(selector) || matches);
    for (size_t i = 0; i < selector_key_count(selector); i++) {
        const char *key = selector_key(selector, i);
        const char *required = selector_required_value(selector, key);
        const char *value = json_get_string(labels, key);
        fuzz_expect(!matches || required == NULL ||
                    (value != NULL ? strcmp(value, required) == 0 : required[0] == '\0'));
    }
    selector_free(selector);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(free_char)
    char *text = fuzz_line(&data, &size);
    cleanup(free_char)
    char *object_text = fuzz_line(&data, &size);
    cleanup(free_char)
    char *labels_text = fuzz_line(&data, &size);
    cleanup(json_release)
    json_t *labels = json_parse(labels_text, strlen(labels_text), NULL);
    cleanup(json_release)
    json_t *object = json_parse(object_text, strlen(object_text), NULL);
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    use(selector_parse_labels(text, &error), labels, &error);
    error_clear(&error);
    use(selector_parse_fields(text, &error), labels, &error);
    error_clear(&error);
    if (object != NULL) {
        use(selector_from_object(object, &error), labels, &error);
        struct selector *map = selector_from_map(labels);
        selector_matches_object(map, object);
        selector_free(map);
    }
    return 0;
}
