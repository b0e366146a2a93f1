// SPDX-License-Identifier: Apache-2.0
/* Which requests an admission webhook is asked about, and in which order webhooks stand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apiserver/admission/webhook_credentials.h"
#include "apiserver/admission/webhook_list.h"
#include "common/alloc.h"
#include "common/json.h"

static json_t *parse(const char *text)
{
    json_t *json = json_parse(text, strlen(text), NULL);
    assert_non_null(json);
    return json;
}

static struct webhook *webhook_of(const char *text)
{
    cleanup(json_release)
    json_t *json = parse(text);
    return webhook_new("a", json, NULL, NULL);
}

static const struct {
    const char *rule; /* operations, groups, versions, resources, scope */
    struct webhook_question question;
    bool matches;
} rules[] = {
    {"'CREATE'|''|'v1'|'pods'|*", {"CREATE", "", "v1", "pods", "", true}, true},
    {"'CREATE'|''|'v1'|'pods'|*", {"UPDATE", "", "v1", "pods", "", true}, false},
    {"'CREATE'|''|'v1'|'pods'|*", {"CREATE", "apps", "v1", "pods", "", true}, false},
    {"'CREATE'|''|'v1'|'pods'|*", {"CREATE", "", "v2", "pods", "", true}, false},
    {"'CREATE'|''|'v1'|'pods'|*", {"CREATE", "", "v1", "pod", "", true}, false},
    {"'CREATE'|''|'v1'|'pods'|*", {"CREATE", "", "v1", "pods", "status", true}, false},
    {"'*'|'*'|'*'|'*'|*", {"DELETE", "apps", "v1", "deployments", "", true}, true},
    {"'*'|'*'|'*'|'*'|*", {"UPDATE", "apps", "v1", "deployments", "status", true}, false},
    {"'*'|'*'|'*'|'*/*'|*", {"UPDATE", "apps", "v1", "deployments", "status", true}, true},
    {"'*'|'*'|'*'|'*/*'|*", {"UPDATE", "apps", "v1", "deployments", "", true}, true},
    {"'*'|'*'|'*'|'*/status'|*", {"UPDATE", "apps", "v1", "deployments", "status", true}, true},
    {"'*'|'*'|'*'|'*/status'|*", {"UPDATE", "apps", "v1", "deployments", "", true}, false},
    {"'*'|'*'|'*'|'pods/*'|*", {"UPDATE", "", "v1", "pods", "resize", true}, true},
    {"'*'|'*'|'*'|'pods/*'|*", {"UPDATE", "", "v1", "nodes", "status", false}, false},
    {"'*'|'*'|'*'|'a','pods/status'|*", {"UPDATE", "", "v1", "pods", "status", true}, true},
    {"'*'|'*'|'*'|'*'|Cluster", {"CREATE", "", "v1", "nodes", "", false}, true},
    {"'*'|'*'|'*'|'*'|Cluster", {"CREATE", "", "v1", "pods", "", true}, false},
    {"'*'|'*'|'*'|'*'|Namespaced", {"CREATE", "", "v1", "pods", "", true}, true},
    {"'*'|'*'|'*'|'*'|Namespaced", {"CREATE", "", "v1", "namespaces", "", false}, false},
};

/* The rule's short form above as JSON. */
static char *rule_text(const char *rule)
{
    char parts[5][64] = {""};
    sscanf(rule, "%63[^|]|%63[^|]|%63[^|]|%63[^|]|%63[^|]", parts[0], parts[1], parts[2], parts[3],
           parts[4]);
    char *text = format("{'rules': [{'operations': [%s], 'apiGroups': [%s], 'apiVersions': [%s], "
                        "'resources': [%s], 'scope': '%s'}]}",
                        parts[0], parts[1], parts[2], parts[3], parts[4]);
    for (char *at = text; (at = strchr(at, '\'')) != NULL;) {
        *at = '"';
    }
    return text;
}

static void rules_match_as_upstream(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_length(rules); i++) {
        cleanup(free_char)
        char *text = rule_text(rules[i].rule);
        struct webhook *webhook = webhook_of(text);
        if (webhook_has_rule_for(webhook, &rules[i].question) != rules[i].matches) {
            fail_msg("%zu: %s", i, rules[i].rule);
        }
        webhook_unref(webhook);
    }
}

static void the_old_or_the_new_object_may_be_selected(void **state)
{
    (void)state;
    struct webhook *picky = webhook_of("{\"objectSelector\": {\"matchLabels\": {\"a\": \"b\"}}}");
    struct webhook *easy = webhook_of("{\"objectSelector\": {}}");
    cleanup(json_release)
    json_t *with = parse("{\"metadata\": {\"labels\": {\"a\": \"b\"}}}");
    cleanup(json_release)
    json_t *without = parse("{\"metadata\": {}}");
    assert_true(webhook_selects_object(picky, with, NULL));
    assert_true(webhook_selects_object(picky, without, with));
    assert_true(webhook_selects_object(picky, NULL, with));
    assert_false(webhook_selects_object(picky, without, NULL));
    assert_false(webhook_selects_object(picky, NULL, NULL));
    assert_true(webhook_selects_object(easy, without, NULL));
    webhook_unref(picky);
    webhook_unref(easy);
}

static void put(struct webhook_lists *lists, const char *name, const char *configuration)
{
    cleanup(json_release)
    json_t *json = configuration ? parse(configuration) : NULL;
    webhook_lists_put(lists, WEBHOOKS_MUTATING, name, json);
}

static void expect_names(struct webhook_lists *lists, const char *expected)
{
    cleanup(webhooks_clear)
    struct webhooks webhooks = webhooks_get(lists, WEBHOOKS_MUTATING);
    cleanup(buffer_free)
    struct buffer names = BUFFER_INIT;
    for (size_t i = 0; i < webhooks.count; i++) {
        buffer_addf(&names, "%s ", webhooks.webhooks[i]->name);
    }
    assert_string_equal(buffer_text(&names), expected);
}

static void webhooks_stand_by_configuration_and_then_by_place(void **state)
{
    (void)state;
    struct webhook_lists *lists =
        webhook_lists_new(NULL, NULL, &(struct admission_options){0}, NULL);
    expect_names(lists, "");
    put(lists, "m", "{\"webhooks\": [{\"name\": \"m2\"}, {\"name\": \"m1\"}]}");
    put(lists, "z", "{\"webhooks\": [{\"name\": \"z\"}]}");
    put(lists, "a", "{\"webhooks\": [{\"name\": \"a\"}]}");
    expect_names(lists, "a m2 m1 z ");
    put(lists, "m", "{\"webhooks\": [{\"name\": \"m3\"}]}");
    expect_names(lists, "a m3 z ");
    put(lists, "a", NULL);
    put(lists, "z", "{}");
    expect_names(lists, "m3 ");
    cleanup(webhooks_clear)
    struct webhooks others = webhooks_get(lists, WEBHOOKS_VALIDATING);
    assert_int_equal(others.count, 0);
    webhook_lists_free(lists);
}

static const char kubeconfig[] = "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
                                 "contexts: [{name: c, context: {user: current, cluster: x}}]\n"
                                 "users:\n- {name: 'a.example.com:8443', user: {token: exact}}\n"
                                 "- {name: a.example.com, user: {token: without-port}}\n"
                                 "- {name: '*.example.com:8443', user: {token: star}}\n"
                                 "- {name: '*.com', user: {token: far-star}}\n"
                                 "- {name: hook.ns.svc, user: {token: service}}\n"
                                 "- {name: '[::1]:8443', user: {token: six}}\n"
                                 "- {name: current, user: {username: u, password: p}}\n";

static const struct {
    const char *host;
    int port;
    const char *token; /* NULL: that of the current context, which has none. */
} servers[] = {
    {"a.example.com", 8443, "exact"},
    {"a.example.com", 443, "without-port"},
    {"b.example.com", 8443, "star"},
    {"b.c.example.com", 8443, "star"},
    {"b.example.com", 443, "far-star"},
    {"b.example.com", 80, NULL},
    {"hook.ns.svc", 443, "service"},
    {"hook.ns.svc", 8443, NULL},
    {"::1", 8443, "six"},
    {"a.example.org", 443, NULL},
};

static struct webhook_credentials *read_credentials(const char *text)
{
    char path[] = "/tmp/test-webhook-XXXXXX";
    int file = mkstemp(path);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    cleanup(json_release)
    json_t *configuration = json_pack("{s:s}", "kubeConfigFile", path);
    struct webhook_credentials *credentials = NULL;
    assert_true(webhook_credentials_read(configuration, &credentials, NULL));
    unlink(path);
    return credentials;
}

static void credentials_are_found_by_the_servers_name(void **state)
{
    (void)state;
    struct webhook_credentials *credentials = read_credentials(kubeconfig);
    for (size_t i = 0; i < array_length(servers); i++) {
        cleanup(client_config_clear)
        struct client_config config = CLIENT_CONFIG_INIT;
        webhook_credentials_add(credentials, servers[i].host, servers[i].port, &config);
        const char *expected = servers[i].token ? servers[i].token : "none";
        assert_string_equal(config.token ? config.token : "none", expected);
        assert_int_equal(config.username != NULL, servers[i].token == NULL);
    }
    webhook_credentials_free(credentials);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_match_as_upstream),
        cmocka_unit_test(the_old_or_the_new_object_may_be_selected),
        cmocka_unit_test(webhooks_stand_by_configuration_and_then_by_place),
        cmocka_unit_test(credentials_are_found_by_the_servers_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
