// SPDX-License-Identifier: Apache-2.0
/*
 * What the API server accepts and refuses, case by case, from the tables in test/validation;
 * their README tells how they are written. Each case goes through the steps of a write up to the
 * commit: prune, default, prepare, validate. Admission plugins are left out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <glob.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/registry/kinds.h"
#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/metadata.h"
#include "apiserver/registry/registry.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/schema_rules.h"
#include "common/yaml.h"
#include "test/unit/object_changes.h"

static struct registry registry;

/* ---- the steps of a write ---- */

static void note_unknown(void *argument, const char *path)
{
    print_error("unknown field %s\n", path);
    *(bool *)argument = true;
}

static bool prune(const struct resource *resource, json_t *object)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    bool unknown = false;
    if (!schema_prune(resource->schema, object, note_unknown, &unknown, &error)) {
        print_error("%s\n", error.message);
        return false;
    }
    return !unknown;
}

/* Makes 'write' one of this object, consumes it, and takes it up to where it is validated. False
 * when it doesn't come so far. */
static bool begin(struct write *write, const struct resource *resource, json_t *object,
                  const json_t *live, const char *subresource)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    bool creates = live == NULL;
    write_begin(write, &registry, NULL, NULL, resource, creates ? WRITE_CREATE : WRITE_UPDATE);
    write->object = object;
    write->subresource = subresource;
    write->live = creates ? NULL : json_deep_copy(live);
    if (!prune(resource, object)) {
        return false;
    }
    if (write->kind->to_storage != NULL) {
        write->kind->to_storage(object, resource);
    }
    json_t *metadata = json_get_or_add_object(object, "metadata");
    const char *name = json_get_string(metadata, "name");
    write_address(write, resource->namespaced ? "default" : "", name ? name : "");
    if (creates) {
        json_object_set_new(metadata, "uid", json_string("00000000-0000-0000-0000-000000000001"));
    }
    schema_default(write->storage->schema, object);
    kind_fill_defaults(write->kind, object);
    bool (*prepare)(struct write *, struct error *) =
        creates ? write->kind->prepare_create : write->kind->prepare_update;
    if (prepare != NULL && !prepare(write, &error)) {
        print_error("%s\n", error.message);
        return false;
    }
    return true;
}

/* ---- causes ---- */

/* What a case expects, "Invalid: must be 1", is said by a cause. */
static bool says(const json_t *cause, const char *expected)
{
    const char *reason = json_get_string(cause, "reason");
    const char *message = json_get_string(cause, "message");
    size_t length = strcspn(expected, ":");
    const char *detail = expected[length] == ':' ? expected + length : "";
    if (strncmp(reason, "FieldValue", strlen("FieldValue")) != 0 ||
        strlen(reason) != strlen("FieldValue") + length ||
        strncmp(reason + strlen("FieldValue"), expected, length) != 0) {
        return false;
    }
    size_t tail = strlen(detail), whole = strlen(message);
    return tail <= whole && strcmp(message + whole - tail, detail) == 0;
}

static bool take_cause(json_t *causes, const char *field, const char *expected)
{
    for (size_t i = 0; i < json_array_size(causes); i++) {
        const json_t *cause = json_array_get(causes, i);
        if (strcmp(json_get_string(cause, "field"), field) == 0 && says(cause, expected)) {
            json_array_remove(causes, i);
            return true;
        }
    }
    return false;
}

/* The causes are exactly the expected ones, in any order; what is not goes to 'report'. */
static void compare(const json_t *expected, json_t *causes, struct buffer *report)
{
    for (size_t i = 0; i < json_array_size(expected); i++) {
        const char *field;
        json_t *text;
        json_object_foreach (json_array_get(expected, i), field, text) {
            if (!take_cause(causes, field, json_string_value(text))) {
                buffer_addf(report, "    missing  %s: %s\n", field, json_string_value(text));
            }
        }
    }
    for (size_t i = 0; i < json_array_size(causes); i++) {
        const json_t *cause = json_array_get(causes, i);
        buffer_addf(report, "    too many %s: %s (%s)\n", json_get_string(cause, "field"),
                    json_get_string(cause, "message"), json_get_string(cause, "reason"));
    }
}

/* ---- cases ---- */

static const struct resource *find_resource(const char *name)
{
    char *parts[3] = {NULL};
    size_t count = 0;
    cleanup(free_char)
    char *copy = duplicate(name);
    for (char *part = strtok(copy, "/"); part != NULL && count < 3; part = strtok(NULL, "/")) {
        parts[count++] = part;
    }
    return count < 2 ? NULL
                     : scheme_resource_find(registry.scheme, count == 3 ? parts[0] : "",
                                            parts[count - 2], parts[count - 1]);
}

/* Validates a new object; the write is left to the caller. */
static void try_create(struct write *write, const struct resource *resource, const json_t *base,
                       const json_t *changes, const json_t *removals, struct field_errors *errors,
                       struct buffer *report)
{
    json_t *object = json_deep_copy(base);
    bool changed = apply_changes(object, changes, removals);
    if (!begin(write, resource, object, NULL, "") || !changed) {
        buffer_add_text(report, "    the object could not be made\n");
        return;
    }
    write_validate(write, errors);
}

/* The same of an update. */
static void try_update(struct write *updated, const struct resource *resource, const json_t *base,
                       const json_t *one, struct field_errors *errors, struct buffer *report)
{
    cleanup(write_clear)
    struct write created = {0};
    cleanup(field_errors_clear)
    struct field_errors none = FIELD_ERRORS_INIT;
    try_create(&created, resource, base, json_object_get(one, "before"), NULL, &none, report);
    if (field_errors_any(&none)) {
        buffer_add_text(report, "    what is to be updated is refused itself:\n");
        compare(NULL, none.causes, report);
    }
    bool changed = apply_changes(created.object, json_object_get(one, "live"), NULL);
    json_t *object = json_deep_copy(created.object);
    if (created.kind->from_storage != NULL) {
        created.kind->from_storage(object, resource);
    }
    changed = changed &&
              apply_changes(object, json_object_get(one, "set"), json_object_get(one, "remove"));
    const char *subresource = json_get_string(one, "subresource");
    if (!begin(updated, resource, object, created.object, subresource ? subresource : "") ||
        !changed) {
        buffer_add_text(report, "    the update could not be made\n");
        return;
    }
    if (updated->subresource[0] == '\0') {
        metadata_count_generation(updated);
    }
    write_validate(updated, errors);
}

/* As the header has it. */
static char *quoted(const char *text)
{
    struct buffer value = BUFFER_INIT;
    buffer_add_literal(&value, "299 - \"");
    for (; *text != '\0'; text++) {
        buffer_addf(&value, *text == '"' ? "\\%c" : "%c", *text);
    }
    buffer_add_char(&value, '"');
    return buffer_steal(&value);
}

/* The warnings about the object are exactly the expected ones, in their order. */
static void compare_warnings(const json_t *expected, struct write *write, struct buffer *report)
{
    cleanup(response_clear)
    struct response response = {0};
    write->response = &response;
    if (write->kind->warn != NULL) {
        write->kind->warn(write);
    }
    write->response = NULL;
    size_t count = json_array_size(expected);
    for (size_t i = 0; i < count || i < response.header_count; i++) {
        cleanup(free_char)
        char *wanted = i < count ? quoted(json_string_value(json_array_get(expected, i))) : NULL;
        const char *given = i < response.header_count ? response.headers[i].value : "none";
        if (wanted == NULL || strcmp(wanted, given) != 0) {
            buffer_addf(report, "    warning  %s\n    not      %s\n", given,
                        wanted ? wanted : "one");
        }
    }
}

static bool run_case(const json_t *table, const json_t *one, bool creates)
{
    const char *name = json_get_string(one, "case");
    const char *resource_name = json_get_string(table, "resource");
    const struct resource *resource = find_resource(resource_name ? resource_name : "");
    const json_t *base = json_object_get(table, "base");
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    cleanup(buffer_free)
    struct buffer report = BUFFER_INIT;
    if (resource == NULL || base == NULL || name == NULL) {
        print_error("a table needs a resource and a base, a case a name: %s, %s\n", resource_name,
                    name);
        return false;
    }
    cleanup(write_clear)
    struct write write = {0};
    if (creates) {
        try_create(&write, resource, base, json_object_get(one, "set"),
                   json_object_get(one, "remove"), &errors, &report);
    } else {
        try_update(&write, resource, base, one, &errors, &report);
    }
    if (!field_errors_any(&errors) && report.length == 0 && write.subresource[0] == '\0') {
        compare_warnings(json_object_get(one, "warnings"), &write, &report);
    }
    compare(json_object_get(one, "causes"), errors.causes, &report);
    if (report.length > 0) {
        print_error("  %s, %s: %s\n%s", resource_name, creates ? "create" : "update", name,
                    buffer_text(&report));
    }
    return report.length == 0;
}

struct counts {
    size_t cases, failures;
};

static bool run_table(void *argument, json_t *table, size_t line)
{
    static const char *const lists[] = {"create", "update"};
    struct counts *counts = argument;
    (void)line;
    for (size_t list = 0; list < array_length(lists); list++) {
        const json_t *cases = json_object_get(table, lists[list]);
        for (size_t i = 0; i < json_array_size(cases); i++) {
            counts->cases++;
            counts->failures += !run_case(table, json_array_get(cases, i), list == 0);
        }
    }
    json_decref(table);
    return true;
}

static void every_case_of_the_file(void **state)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct counts counts = {0};
    cleanup(close_stream)
    FILE *file = fopen(*state, "r");
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    assert_non_null(file);
    for (size_t got = 1; got > 0; text.length += got) {
        got = fread(buffer_reserve(&text, 65536), 1, 65536, file);
    }
    if (!yaml_parse_stream(text.bytes, text.length, run_table, &counts, &error)) {
        fail_msg("%s: %s", (char *)*state, error.message);
    }
    print_message("# %s: %zu cases\n", (char *)*state, counts.cases);
    assert_true(counts.cases > 0);
    if (counts.failures > 0) {
        fail_msg("%s: %zu of %zu cases failed", (char *)*state, counts.failures, counts.cases);
    }
}

int main(void)
{
    glob_t files = {0};
    registry.scheme = scheme_builtin();
    if (glob("test/validation/*.yaml", 0, NULL, &files) != 0) {
        fprintf(stderr, "no test/validation/*.yaml below the working directory\n");
        return 1;
    }
    struct CMUnitTest *tests = allocate_zero(files.gl_pathc, sizeof *tests);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        tests[i] = (struct CMUnitTest){.name = files.gl_pathv[i],
                                       .test_func = every_case_of_the_file,
                                       .initial_state = files.gl_pathv[i]};
    }
    int status = _cmocka_run_group_tests("validation", tests, files.gl_pathc, NULL, NULL);
    free(tests);
    globfree(&files);
    scheme_unref(registry.scheme);
    return status;
}
