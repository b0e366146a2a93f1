// SPDX-License-Identifier: Apache-2.0
/* JSON: what is parsed survives encoding, and what the scanner finds is what the tree holds. */
#include "common/json_read.h"
#include "test/fuzz/fuzz.h"

static void count_duplicate(void *argument, const char *path)
{
    size_t *count = argument;
    *count += 1;
    fuzz_expect(path != NULL);
}

static bool lies_within(struct json_span span, const char *text, size_t length)
{
    return span.text == NULL ||
           (span.text >= text && span.length <= length && span.text + span.length <= text + length);
}

static bool visit_member(void *argument, struct json_span key, struct json_span value)
{
    const struct json_span *all = argument;
    fuzz_expect(lies_within(key, all->text, all->length));
    fuzz_expect(lies_within(value, all->text, all->length));
    free(json_span_value(value));
    return true;
}

static bool visit_element(void *argument, struct json_span value)
{
    return visit_member(argument, (struct json_span){0}, value);
}

static const char *const paths[] = {"a", "metadata.name", "metadata.labels", "a.b.c"};

/* The scanner, on text that may be anything: it stays within it. */
static void scan(const char *text, size_t length, struct json_span spans[])
{
    json_scan(text, length, paths, array_length(paths), spans);
    struct json_span all = {.text = text, .length = length};
    for (size_t i = 0; i < array_length(paths); i++) {
        fuzz_expect(lies_within(spans[i], text, length));
        if (spans[i].text != NULL) {
            json_scan_members(spans[i], visit_member, &all);
            json_scan_elements(spans[i], visit_element, &all);
        }
    }
}

static void expect_same(const json_t *tree, struct json_span span)
{
    if (span.text == NULL) {
        return; /* A name with escapes is none that the scanner looks for. */
    }
    cleanup(json_release)
    json_t *found = json_parse(span.text, span.length, NULL);
    fuzz_expect(found != NULL && fuzz_same(found, tree));
}

static void check_tree(const json_t *tree, const char *text, size_t length,
                       const struct json_span spans[])
{
    cleanup(free_char)
    char *encoded = json_text(tree);
    cleanup(json_release)
    json_t *again = json_parse(encoded, strlen(encoded), NULL);
    fuzz_expect(again != NULL && fuzz_same(tree, again));

    size_t duplicates = 0;
    json_duplicates(text, length, count_duplicate, &duplicates);
    if (duplicates == 0) {
        expect_same(json_path(tree, "a"), spans[0]);
        expect_same(json_path(tree, "metadata", "name"), spans[1]);
        expect_same(json_path(tree, "metadata", "labels"), spans[2]);
        expect_same(json_path(tree, "a", "b", "c"), spans[3]);
    }
}

/* The quick reader makes what jansson makes, or nothing. */
static void check_reader(const char *text, size_t length)
{
    static const struct json_read_limits limits = {JSON_LEVELS_MAX, SIZE_MAX, false};
    cleanup(json_release)
    json_t *read = json_read(text, length, &limits);
    if (read != NULL) {
        cleanup(json_release)
        json_t *expected = json_loadb(text, length, JSON_DECODE_ANY, NULL);
        fuzz_expect(expected != NULL && fuzz_same(read, expected));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct json_span spans[array_length(paths)];
    scan(text, size, spans);
    json_count_values(text, size);
    check_reader(text, size);
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(json_release)
    json_t *tree = json_parse(text, size, &error);
    if (tree == NULL) {
        fuzz_expect_refusal(&error);
    } else {
        check_tree(tree, text, size, spans);
    }
    return 0;
}
