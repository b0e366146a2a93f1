// SPDX-License-Identifier: Apache-2.0
/* Which authorizers flags and configurations name, and what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apiserver/auth/authz_plan.h"
#include "common/alloc.h"

static bool read_text(const char *text, struct authz_plan *plan, struct error *error)
{
    char path[] = "/tmp/authz-plan-test-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    struct authz_options options = {.config_file = path, .webhook_version = "v1beta1"};
    bool made = authz_plan_make(plan, &options, error);
    unlink(path);
    return made;
}

#define CONFIGURATION(authorizers)                                                                 \
    "{apiVersion: apiserver.config.k8s.io/v1, kind: AuthorizationConfiguration, authorizers: "     \
    "[" authorizers "]}"
#define WEBHOOK(more)                                                                              \
    "{type: Webhook, name: hook, webhook: {subjectAccessReviewVersion: v1, " more "}}"
#define TO_FILE "connectionInfo: {type: KubeConfigFile, kubeConfigFile: /a/b}"

static void authorizers_stand_in_their_order_with_their_webhooks(void **state)
{
    (void)state;
    cleanup(authz_plan_clear)
    struct authz_plan plan;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    bool made = read_text(
        CONFIGURATION("{type: Node, name: node}, {type: RBAC, name: "
                      "rbac}, " WEBHOOK("timeout: 3s, authorizedTTL: 1m, failurePolicy: "
                                        "Deny, " TO_FILE) ", {type: Webhook, name: pod, "
                                                          "webhook: {timeout: 30s, "
                                                          "cacheAuthorizedRequests: false, "
                                                          "subjectAccessReviewVersion: "
                                                          "v1beta1, failurePolicy: NoOpinion, "
                                                          "connectionInfo: {type: "
                                                          "InClusterConfig}}}"),
        &plan, &error);
    if (!made) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(plan.count, 4);
    assert_int_equal(plan.steps[0].mode, MODE_NODE);
    assert_int_equal(plan.steps[1].mode, MODE_RBAC);
    const struct webhook_authorizer_options *hook = &plan.steps[2].webhook,
                                            *pod = &plan.steps[3].webhook;
    assert_string_equal(hook->config_file, "/a/b");
    assert_true(hook->is_v1 && hook->denies_on_failure);
    assert_int_equal(hook->timeout_ms, 3000);
    assert_int_equal(hook->authorized_ttl_ns, INT64_C(60) * 1000000000);
    assert_int_equal(hook->unauthorized_ttl_ns, INT64_C(30) * 1000000000);
    assert_null(pod->config_file);
    assert_false(pod->is_v1 || pod->denies_on_failure);
    assert_int_equal(pod->authorized_ttl_ns, 0);
}

static void what_is_wrong_is_named_with_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{kind: A}", "must be kind AuthorizationConfiguration"},
        {CONFIGURATION(""), "authorizers: Required value"},
        {CONFIGURATION("{type: ABAC, name: a}"),
         "authorizers[0].type: Unsupported value: \"ABAC\""},
        {CONFIGURATION("{type: RBAC, name: A}"), "authorizers[0].name: must be a DNS subdomain"},
        {CONFIGURATION("{type: RBAC, name: a, for: b}"), "unknown field \"authorizers[0].for\""},
        {CONFIGURATION("{type: RBAC, name: a}, {type: RBAC, name: b}"),
         "authorizers[1].type: Duplicate value: \"RBAC\""},
        {CONFIGURATION("{type: RBAC, name: a}, {type: Node, name: a}"),
         "authorizers[1].name: Duplicate value: \"a\""},
        {CONFIGURATION("{type: Webhook, name: a}"), "authorizers[0].webhook: Required value"},
        {CONFIGURATION("{type: RBAC, name: a, webhook: {}}"),
         "authorizers[0].webhook: may only be specified when type=Webhook"},
        {CONFIGURATION(WEBHOOK("failurePolicy: Deny, " TO_FILE)),
         "authorizers[0].webhook.timeout: Required value"},
        {CONFIGURATION(WEBHOOK("timeout: 31s, failurePolicy: Deny, " TO_FILE)),
         "authorizers[0].webhook.timeout: Invalid value"},
        {CONFIGURATION(WEBHOOK("timeout: 3s, " TO_FILE)),
         "authorizers[0].webhook.failurePolicy: must be NoOpinion or Deny"},
        {CONFIGURATION(WEBHOOK("timeout: 3s, failurePolicy: Deny")),
         "authorizers[0].webhook.connectionInfo"},
        {CONFIGURATION(WEBHOOK("timeout: 3s, failurePolicy: Deny, connectionInfo: {type: "
                               "KubeConfigFile, kubeConfigFile: b}")),
         "kubeConfigFile: must be an absolute path"},
        {CONFIGURATION(WEBHOOK("timeout: 3s, failurePolicy: Deny, matchConditions: [{expression: "
                               "\"true\"}], " TO_FILE)),
         "authorizers[0].webhook.matchConditions: this server can't evaluate expressions yet"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(authz_plan_clear)
        struct authz_plan plan;
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        assert_false(read_text(cases[i].text, &plan, &error));
        if (error.code != 400 || strstr(error.message, cases[i].message) == NULL) {
            fail_msg("expected \"%s\" in: %s", cases[i].message, error.message);
        }
    }
}

static void a_configuration_stands_alone(void **state)
{
    (void)state;
    struct authz_plan plan;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct authz_options options = {
        .config_file = "/none", .modes = "RBAC", .webhook_version = "v1"};
    assert_false(authz_plan_make(&plan, &options, &error));
    assert_non_null(strstr(error.message, "--authorization-config can not be specified when"));
}

static void without_a_word_nodes_and_roles_are_asked(void **state)
{
    (void)state;
    struct authz_plan plan;
    struct authz_options options = {.webhook_version = "v1"};
    assert_true(authz_plan_make(&plan, &options, NULL));
    assert_int_equal(plan.count, 2);
    assert_true(authz_plan_has(&plan, MODE_NODE) && authz_plan_has(&plan, MODE_RBAC));
    authz_plan_clear(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(authorizers_stand_in_their_order_with_their_webhooks),
        cmocka_unit_test(what_is_wrong_is_named_with_its_field),
        cmocka_unit_test(a_configuration_stands_alone),
        cmocka_unit_test(without_a_word_nodes_and_roles_are_asked),
    };
    return cmocka_run_group_tests_name("plans of authorizers", tests, NULL, NULL);
}
