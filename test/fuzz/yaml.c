// SPDX-License-Identifier: Apache-2.0
/* YAML: any text is a tree or refused, and what is encoded reads back the same. */
#include "common/yaml.h"
#include "test/fuzz/fuzz.h"

static void notice(void *argument, const char *message)
{
    (void)argument;
    fuzz_expect(message != NULL);
}

static bool drop(void *argument, json_t *tree, size_t line)
{
    size_t *last_line = argument;
    fuzz_expect(line >= *last_line);
    *last_line = line;
    json_decref(tree);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size_t last_line = 0;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    if (!yaml_parse_stream(text, size, drop, &last_line, &error)) {
        fuzz_expect_refusal(&error);
    }
    cleanup(json_release)
    json_t *tree = yaml_parse(text, size, notice, NULL, &error);
    if (tree == NULL) {
        fuzz_expect_refusal(&error);
        return 0;
    }
    cleanup(buffer_free)
    struct buffer encoded = BUFFER_INIT;
    yaml_encode(tree, &encoded);
    cleanup(json_release)
    json_t *again = yaml_parse(buffer_text(&encoded), encoded.length, NULL, NULL, NULL);
    fuzz_expect(again != NULL && fuzz_same(tree, again));
    return 0;
}
