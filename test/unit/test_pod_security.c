// SPDX-License-Identifier: Apache-2.0
/* What the Pod Security Standards accept and refuse, case by case, from the tables in
 * test/pod_security; their README tells how they are written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/admission/pod_security.h"
#include "common/yaml.h"
#include "test/unit/object_changes.h"

/* The level and the version that a case names, read as a namespace's labels are. */
static struct pod_security_standard standard_of(const json_t *one)
{
    const char *level = json_get_string(one, "level"), *version = json_get_string(one, "version");
    cleanup(json_release)
    json_t *labels =
        json_pack("{s:s, s:s}", "pod-security.kubernetes.io/enforce", level != NULL ? level : "",
                  "pod-security.kubernetes.io/enforce-version", version ? version : "latest");
    struct field_errors errors = FIELD_ERRORS_INIT;
    struct pod_security_policy policy = pod_security_policy_of(labels, NULL, &errors);
    assert_false(field_errors_any(&errors));
    return policy.enforce;
}

static bool run_case(const json_t *base, const json_t *one)
{
    const char *name = json_get_string(one, "case");
    const char *expected = json_get_string(one, "violates");
    cleanup(json_release)
    json_t *pod = json_deep_copy(base);
    assert_non_null(name);
    assert_true(apply_changes(pod, json_object_get(one, "set"), json_object_get(one, "remove")));
    struct pod_security_standard standard = standard_of(one);
    cleanup(buffer_free)
    struct buffer details = BUFFER_INIT;
    bool allowed = pod_security_allows(&standard, json_object_get(pod, "metadata"),
                                       json_object_get(pod, "spec"), NULL, &details);
    if (allowed != (expected == NULL) ||
        strcmp(buffer_text(&details), expected != NULL ? expected : "") != 0) {
        print_error("  %s\n    given    %s\n    expected %s\n", name, buffer_text(&details),
                    expected != NULL ? expected : "nothing");
        return false;
    }
    return true;
}

struct counts {
    size_t cases, failures;
};

static bool run_table(void *argument, json_t *table, size_t line)
{
    struct counts *counts = argument;
    (void)line;
    size_t i;
    const json_t *one;
    json_array_foreach (json_object_get(table, "cases"), i, one) {
        counts->cases++;
        counts->failures += !run_case(json_object_get(table, "base"), one);
    }
    json_decref(table);
    return true;
}

static void every_case_of(const char *path)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct counts counts = {0};
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    cleanup(close_stream)
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (size_t got = 1; got > 0; text.length += got) {
        got = fread(buffer_reserve(&text, 65536), 1, 65536, file);
    }
    if (!yaml_parse_stream(text.bytes, text.length, run_table, &counts, &error)) {
        fail_msg("%s: %s", path, error.message);
    }
    print_message("# %s: %zu cases\n", path, counts.cases);
    assert_true(counts.cases > 0);
    assert_int_equal(counts.failures, 0);
}

static void baseline_refuses_what_gets_hold_of_the_node(void **state)
{
    (void)state;
    every_case_of("test/pod_security/baseline.yaml");
}

static void restricted_wants_pods_to_give_up_what_they_do_not_need(void **state)
{
    (void)state;
    every_case_of("test/pod_security/restricted.yaml");
}

/* ---- policies ---- */

struct policy_case {
    const char *labels; /* After "pod-security.kubernetes.io/". */
    const char *policy; /* enforce, audit and warn. */
    const char *errors; /* The fields that are wrong. */
};

static void print_policy(const struct pod_security_policy *policy, struct buffer *text)
{
    pod_security_print(&policy->enforce, text);
    buffer_add_char(text, ' ');
    pod_security_print(&policy->audit, text);
    buffer_add_char(text, ' ');
    pod_security_print(&policy->warn, text);
}

static json_t *labels_of(const char *text)
{
    json_t *labels = json_object();
    cleanup(free_char)
    char *copy = duplicate(text);
    char *rest = NULL;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        char *value = strchr(word, '=');
        assert_non_null(value);
        *value++ = '\0';
        cleanup(free_char)
        char *key = format("pod-security.kubernetes.io/%s", word);
        json_object_set_new(labels, key, json_string(value));
    }
    return labels;
}

static void labels_say_what_holds_in_a_namespace(void **state)
{
    (void)state;
    static const struct policy_case cases[] = {
        {"", "privileged:latest privileged:latest privileged:latest", ""},
        {"enforce=baseline", "baseline:latest privileged:latest baseline:latest", ""},
        {"enforce=baseline enforce-version=v1.20",
         "baseline:v1.20 privileged:latest baseline:v1.20", ""},
        {"enforce=baseline enforce-version=v1.20 warn-version=v1.21",
         "baseline:v1.20 privileged:latest baseline:v1.21", ""},
        {"enforce=restricted warn=privileged",
         "restricted:latest privileged:latest privileged:latest", ""},
        {"audit=restricted warn=baseline audit-version=v1.0",
         "privileged:latest restricted:v1.0 baseline:latest", ""},
        {"enforce=none", "restricted:latest privileged:latest privileged:latest",
         "metadata.labels[pod-security.kubernetes.io/enforce]"},
        {"audit=x warn=y", "privileged:latest privileged:latest privileged:latest",
         "metadata.labels[pod-security.kubernetes.io/audit] "
         "metadata.labels[pod-security.kubernetes.io/warn]"},
        {"enforce-version=v1.01", "privileged:latest privileged:latest privileged:latest",
         "metadata.labels[pod-security.kubernetes.io/enforce-version]"},
        {"warn-version=1.2", "privileged:latest privileged:latest privileged:latest",
         "metadata.labels[pod-security.kubernetes.io/warn-version]"},
        {"warn-version=v1.99999999999", "privileged:latest privileged:latest privileged:latest",
         "metadata.labels[pod-security.kubernetes.io/warn-version]"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *labels = labels_of(cases[i].labels);
        cleanup(field_errors_clear)
        struct field_errors errors = FIELD_ERRORS_INIT;
        cleanup(buffer_free)
        struct buffer given = BUFFER_INIT;
        cleanup(buffer_free)
        struct buffer fields = BUFFER_INIT;
        struct pod_security_policy policy = pod_security_policy_of(labels, NULL, &errors);
        print_policy(&policy, &given);
        assert_string_equal(buffer_text(&given), cases[i].policy);
        for (size_t at = 0; at < json_array_size(errors.causes); at++) {
            buffer_addf(&fields, "%s%s", at > 0 ? " " : "",
                        json_get_string(json_array_get(errors.causes, at), "field"));
        }
        assert_string_equal(buffer_text(&fields), cases[i].errors);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(baseline_refuses_what_gets_hold_of_the_node),
        cmocka_unit_test(restricted_wants_pods_to_give_up_what_they_do_not_need),
        cmocka_unit_test(labels_say_what_holds_in_a_namespace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
