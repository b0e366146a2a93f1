// SPDX-License-Identifier: Apache-2.0
/* What plugins of admission are told by a file, and rates of events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/admission/admission.h"
#include "apiserver/admission/configuration.h"
#include "apiserver/admission/event_rate_limit.h"
#include "apiserver/admission/pod_security_configuration.h"
#include "apiserver/admission/quota_limits.h"
#include "common/alloc.h"
#include "common/json.h"

static const int64_t second = 1000000000;

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Reads a file that begins as all do, and goes on with these plugins. */
static bool read_plugins(const char *plugins, struct admission_options *options,
                         struct error *error)
{
    char path[] = "/tmp/admission-XXXXXX";
    close(mkstemp(path));
    cleanup(free_char)
    char *text = format("apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n"
                        "plugins:\n%s",
                        plugins);
    write_file(path, text);
    bool read = admission_configuration_read(options, path, error);
    unlink(path);
    return read;
}

#define RATE(limit)                                                                                \
    "- name: EventRateLimit\n  configuration: {apiVersion: "                                       \
    "eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration, limits: [" limit "]}\n"
#define SECURITY(parts)                                                                            \
    "- name: PodSecurity\n  configuration: {apiVersion: pod-security.admission.config.k8s.io/v1, " \
    "kind: PodSecurityConfiguration, " parts "}\n"
#define QUOTA(limit)                                                                               \
    "- name: ResourceQuota\n  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: "      \
    "ResourceQuotaConfiguration, limitedResources: [" limit "]}\n"

static void what_is_wrong_is_named_with_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *plugins, *message;
    } cases[] = {
        {"- {name: PodSecurity, paths: x}", "unknown field \"plugins[0].paths\""},
        {"- {name: PodSecurity}", "plugins[0]: one of path and configuration is needed"},
        {"- {name: Nothing, configuration: {}}",
         "plugins[0]: the plugin \"Nothing\" takes no configuration here"},
        {"- {path: x}", "plugins[0]: name: Required value"},
        {"- {name: PodSecurity, path: none.yaml}", "none.yaml"},
        {"- {name: PodSecurity, configuration: {kind: A, apiVersion: b}}",
         "no configuration of PodSecurity is kind \"A\" of \"b\""},
        {"- {name: PodNodeSelector, configuration: {podNodeSelectorPluginConfig: {a: b}}}",
         "podNodeSelectorPluginConfig.a: must be labels"},
        {RATE("{type: Server, qps: 1, burst: 1, size: 3}"), "unknown field \"limits[0].size\""},
        {RATE("{type: Server, qps: a, burst: 1}"), "limits[0].qps: must be an integer"},
        {RATE("{type: Server, qps: 0, burst: 1}"),
         "limits[0].qps: Invalid value: 0: must be positive"},
        {RATE("{type: All, qps: 1, burst: 1}"), "limits[0].type: Unsupported value: \"All\""},
        {RATE(""), "limits: Invalid value"},
        {SECURITY("defaults: {enforced: baseline}"), "unknown field \"defaults.enforced\""},
        {SECURITY("defaults: {enforce: strict}"), "defaults.enforce: Invalid value: \"strict\""},
        {SECURITY("defaults: {warn-version: v2}"), "defaults.warn-version: Invalid value: \"v2\""},
        {SECURITY("exemptions: {users: [a]}"), "unknown field \"exemptions.users\""},
        {SECURITY("exemptions: {usernames: [1]}"), "exemptions.usernames[0]: must be a string"},
        {QUOTA("{matchContains: [cpu]}"), "limitedResources[0].resource: Required value"},
        {QUOTA("{resource: pods, matchScopes: [{operator: In}]}"),
         "limitedResources[0].matchScopes[0].scopeName: Required value"},
        {QUOTA("{resource: pods, matchScopes: [{scope: a}]}"),
         "unknown field \"limitedResources[0].matchScopes[0].scope\""},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        struct admission_options options = {0};
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        assert_false(read_plugins(cases[i].plugins, &options, &error));
        if (error.code != 400 || strstr(error.message, cases[i].message) == NULL) {
            fail_msg("expected \"%s\" in: %s", cases[i].message, error.message);
        }
        admission_configuration_clear(&options);
    }
}

static void all_three_plugins_are_told_what_they_ask_for(void **state)
{
    (void)state;
    struct admission_options options = {0};
    struct error error = ERROR_INIT;
    if (!read_plugins(RATE("{type: User, qps: 5, burst: 10, cacheSize: 3}") SECURITY(
                          "defaults: {enforce: baseline, warn: restricted, warn-version: v1.29}, "
                          "exemptions: {namespaces: [kube-system]}")
                          QUOTA("{resource: pods, matchContains: [cpu]}"),
                      &options, &error)) {
        fail_msg("%s", error.message);
    }
    assert_non_null(options.event_rate_limit);
    assert_int_equal(options.pod_security->defaults.enforce.level, POD_SECURITY_BASELINE);
    assert_int_equal(options.pod_security->defaults.warn.minor, 29);
    assert_int_equal(options.pod_security->defaults.audit.level, POD_SECURITY_PRIVILEGED);
    assert_true(json_array_has_string(options.pod_security->namespaces, "kube-system"));
    assert_true(quota_limits_apply(options.quota_limits, "", "pods", "requests.cpu"));
    assert_false(quota_limits_apply(options.quota_limits, "", "pods", "requests.memory"));
    assert_false(quota_limits_apply(options.quota_limits, "", "services", "requests.cpu"));
    admission_configuration_clear(&options);
}

static void a_plugin_may_have_a_file_of_its_own_beside_the_first(void **state)
{
    (void)state;
    struct admission_options options = {0};
    struct error error = ERROR_INIT;
    char other[] = "/tmp/admission-XXXXXX";
    close(mkstemp(other));
    write_file(other, "apiVersion: eventratelimit.admission.k8s.io/v1alpha1\nkind: Configuration\n"
                      "limits: [{type: Server, qps: 1, burst: 1}]\n");
    cleanup(free_char)
    char *entry = format("- {name: EventRateLimit, path: %s}\n", strrchr(other, '/') + 1);
    if (!read_plugins(entry, &options, &error)) {
        fail_msg("%s", error.message);
    }
    assert_non_null(options.event_rate_limit);
    admission_configuration_clear(&options);
    unlink(other);
}

static void defaults_hold_where_labels_say_nothing(void **state)
{
    (void)state;
    const struct pod_security_policy defaults = {
        .enforce = {POD_SECURITY_BASELINE, 25},
        .audit = {POD_SECURITY_PRIVILEGED, POD_SECURITY_LATEST},
        .warn = {POD_SECURITY_RESTRICTED, POD_SECURITY_LATEST},
    };
    struct pod_security_policy policy = pod_security_policy_of(NULL, &defaults, NULL);
    assert_int_equal(policy.enforce.level, POD_SECURITY_BASELINE);
    assert_int_equal(policy.enforce.minor, 25);
    assert_int_equal(policy.warn.level, POD_SECURITY_RESTRICTED);
    cleanup(json_release)
    json_t *labels = json_pack("{s:s}", "pod-security.kubernetes.io/enforce", "privileged");
    policy = pod_security_policy_of(labels, &defaults, NULL);
    assert_int_equal(policy.enforce.level, POD_SECURITY_PRIVILEGED);
}

/* ---- rates ---- */

static struct event_rate_limit *limit_of(const char *limits)
{
    cleanup(free_char)
    char *text = format("{\"limits\":[%s]}", limits);
    cleanup(json_release)
    json_t *json = json_parse(text, strlen(text), NULL);
    struct event_rate_limit *limit = event_rate_limit_new(json, NULL);
    assert_non_null(limit);
    return limit;
}

static bool accepts(struct event_rate_limit *limit, const char *user, const char *namespace,
                    const char *pod, int64_t now_ns)
{
    cleanup(json_release)
    json_t *event = json_pack("{s:{s:s}}", "involvedObject", "name", pod);
    return event_rate_limit_accept(limit, user, namespace, event, now_ns, NULL);
}

static void a_bucket_holds_the_burst_and_is_filled_by_the_rate(void **state)
{
    (void)state;
    struct event_rate_limit *limit = limit_of("{\"type\":\"Server\",\"qps\":2,\"burst\":3}");
    for (int i = 0; i < 3; i++) {
        assert_true(accepts(limit, "a", "x", "p", second));
    }
    assert_false(accepts(limit, "b", "y", "q", second));
    assert_true(accepts(limit, "b", "y", "q", second + second / 2));
    assert_false(accepts(limit, "b", "y", "q", second + second / 2));
    for (int i = 0; i < 3; i++) { /* However long nothing came. */
        assert_true(accepts(limit, "a", "x", "p", 100 * second));
    }
    assert_false(accepts(limit, "a", "x", "p", 100 * second));
    event_rate_limit_free(limit);
}

static void limits_count_by_namespace_user_or_object(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        bool user, namespace, object; /* Whether another one has a bucket of its own. */
    } cases[] = {{"Server", false, false, false},
                 {"Namespace", false, true, false},
                 {"User", true, false, false},
                 {"SourceAndObject", false, false, true}};
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(free_char)
        char *text = format("{\"type\":\"%s\",\"qps\":1,\"burst\":1}", cases[i].type);
        struct event_rate_limit *limit = limit_of(text);
        assert_true(accepts(limit, "a", "x", "p", second));
        assert_false(accepts(limit, "a", "x", "p", second));
        assert_int_equal(accepts(limit, "b", "x", "p", second), cases[i].user);
        assert_int_equal(accepts(limit, "a", "y", "p", second), cases[i].namespace);
        assert_int_equal(accepts(limit, "a", "x", "q", second), cases[i].object);
        event_rate_limit_free(limit);
    }
}

static void the_bucket_used_least_lately_is_forgotten(void **state)
{
    (void)state;
    struct event_rate_limit *limit =
        limit_of("{\"type\":\"User\",\"qps\":1,\"burst\":1,\"cacheSize\":2}");
    assert_true(accepts(limit, "a", "x", "p", second));
    assert_true(accepts(limit, "b", "x", "p", second));
    assert_false(accepts(limit, "a", "x", "p", second));
    assert_true(accepts(limit, "c", "x", "p", second));  /* Takes the place of b's. */
    assert_false(accepts(limit, "a", "x", "p", second)); /* Was used after it. */
    assert_true(accepts(limit, "b", "x", "p", second));
    event_rate_limit_free(limit);
}

static void a_refusal_names_each_limit_and_its_key(void **state)
{
    (void)state;
    struct event_rate_limit *limit = limit_of("{\"type\":\"Server\",\"qps\":1,\"burst\":1},"
                                              "{\"type\":\"User\",\"qps\":1,\"burst\":1}");
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_true(event_rate_limit_accept(limit, "jane", "x", NULL, second, &error));
    assert_false(event_rate_limit_accept(limit, "jane", "x", NULL, second, &error));
    assert_int_equal(error.code, 429);
    assert_string_equal(error.reason, "TooManyRequests");
    assert_string_equal(error.message, "[limit reached on type Server for key , limit reached on "
                                       "type User for key jane]");
    event_rate_limit_free(limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_named_with_its_field),
        cmocka_unit_test(all_three_plugins_are_told_what_they_ask_for),
        cmocka_unit_test(a_plugin_may_have_a_file_of_its_own_beside_the_first),
        cmocka_unit_test(defaults_hold_where_labels_say_nothing),
        cmocka_unit_test(a_bucket_holds_the_burst_and_is_filled_by_the_rate),
        cmocka_unit_test(limits_count_by_namespace_user_or_object),
        cmocka_unit_test(the_bucket_used_least_lately_is_forgotten),
        cmocka_unit_test(a_refusal_names_each_limit_and_its_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
