// SPDX-License-Identifier: Apache-2.0
/* What an AuthenticationConfiguration may say, and what is said of one that is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apiserver/auth/authn_configuration.h"
#include "common/alloc.h"
#include "common/json.h"

#define HEAD "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n"
#define ISSUER "issuer: {url: 'https://a.example.com', audiences: [x]}"
#define NAME "username: {claim: sub, prefix: ''}"
#define EXPRESSIONS "this server can't evaluate expressions yet"

static const struct flag_list own = {.values = {"https://own.example.com", "https://b%n"},
                                     .count = 2};

static bool reads(const char *text, struct authn_configuration *configuration, struct error *error)
{
    char path[] = "/tmp/test-authn-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    bool read = authn_configuration_read(configuration, path, &own, error);
    unlink(path);
    return read;
}

static const struct {
    const char *text, *message; /* Of one element of 'jwt'. */
} wrong_issuers[] = {
    {ISSUER ", claimMappings: {" NAME "}, other: 1",
     "strict decoding error: unknown field \"jwt[0].other\""},
    {"issuer: {url: 1, audiences: [x]}", "jwt[0].issuer.url: must be a string"},
    {"issuer: {url: '', audiences: [x]}, claimMappings: {" NAME "}",
     "invalid authentication configuration: jwt[0].issuer.url: Required value"},
    {"issuer: {url: 'http://a', audiences: [x]}, claimMappings: {" NAME "}",
     "jwt[0].issuer.url: Invalid value: \"http://a\": URL scheme must be https"},
    {"issuer: {url: 'https://u:p@a', audiences: [x]}, claimMappings: {" NAME "}",
     "URL must not contain a username or password"},
    {"issuer: {url: 'https://a?b', audiences: [x]}, claimMappings: {" NAME "}",
     "URL must not contain a query"},
    {"issuer: {url: 'https://a#b', audiences: [x]}, claimMappings: {" NAME "}",
     "URL must not contain a fragment"},
    {"issuer: {url: 'https://b%n', audiences: [x]}, claimMappings: {" NAME "}",
     "jwt[0].issuer.url: Invalid value: \"https://b%n\": URL must not overlap with disallowed "
     "issuers: [https://own.example.com https://b%n]"},
    {"issuer: {url: 'https://a/', discoveryURL: 'https://a', audiences: [x]}, claimMappings: {" NAME
     "}",
     "discoveryURL must be different from URL"},
    {"issuer: {url: 'https://a'}, claimMappings: {" NAME "}",
     "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required"},
    {"issuer: {url: 'https://a', audiences: [x, x]}, claimMappings: {" NAME "}",
     "[jwt[0].issuer.audiences[1]: Duplicate value: \"x\", jwt[0].issuer.audienceMatchPolicy: "
     "Invalid value: \"\": audienceMatchPolicy must be MatchAny for multiple audiences]"},
    {"issuer: {url: 'https://a', audiences: [x], audienceMatchPolicy: All}, claimMappings: {" NAME
     "}",
     "audienceMatchPolicy must be empty or MatchAny for single audience"},
    {"issuer: {url: 'https://a', audiences: [x], certificateAuthority: nothing}, claimMappings: "
     "{" NAME "}",
     "jwt[0].issuer.certificateAuthority: Invalid value: \"<omitted>\": data does not contain any "
     "valid RSA or ECDSA certificates"},
    {ISSUER, "jwt[0].claimMappings.username: Required value: claim or expression is required"},
    {ISSUER ", claimMappings: {username: {claim: sub}}",
     "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set. "
     "It can be set to an empty string to disable prefixing"},
    {ISSUER ", claimMappings: {username: {claim: sub, expression: x}}",
     "jwt[0].claimMappings.username: Invalid value: \"\": claim and expression can't both be set"},
    {ISSUER ", claimMappings: {username: {expression: claims.sub}}",
     "jwt[0].claimMappings.username.expression: Invalid value: \"claims.sub\": " EXPRESSIONS},
    {ISSUER ", claimMappings: {" NAME ", groups: {expression: x, prefix: a}}",
     "jwt[0].claimMappings.groups.prefix: Invalid value: \"a\": may not be specified when "
     "expression is set"},
    {ISSUER ", claimMappings: {" NAME ", uid: {expression: x}}",
     "jwt[0].claimMappings.uid.expression: Invalid value: \"x\": " EXPRESSIONS},
    {ISSUER ", claimMappings: {" NAME ", extra: [{key: a/b, valueExpression: x}]}",
     "jwt[0].claimMappings.extra: Invalid value: \"\": " EXPRESSIONS},
    {ISSUER ", claimMappings: {" NAME "}, userValidationRules: [{expression: x}]",
     "jwt[0].userValidationRules: Invalid value: \"\": " EXPRESSIONS},
    {ISSUER ", claimMappings: {" NAME "}, claimValidationRules: [{}]",
     "jwt[0].claimValidationRules[0]: Required value: claim or expression is required"},
    {ISSUER ", claimMappings: {" NAME "}, claimValidationRules: [{claim: a, message: b}]",
     "jwt[0].claimValidationRules[0].message: Invalid value: \"b\": may not be specified when "
     "claim is set"},
    {ISSUER ", claimMappings: {" NAME "}, claimValidationRules: [{claim: a}, {claim: a}]",
     "jwt[0].claimValidationRules[1].claim: Duplicate value: \"a\""},
    {ISSUER ", claimMappings: {" NAME "}, claimValidationRules: [{expression: a}]", EXPRESSIONS},
};

static void a_wrong_issuer_is_told_in_upstreams_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_length(wrong_issuers); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        struct authn_configuration configuration = {0};
        cleanup(free_char)
        char *text = format(HEAD "jwt: [{%s}]\n", wrong_issuers[i].text);
        if (reads(text, &configuration, &error) ||
            strstr(error.message, wrong_issuers[i].message) == NULL) {
            fail_msg("%s\nexpected: %s\ngot: %s", text, wrong_issuers[i].message,
                     error_is_set(&error) ? error.message : "no error");
        }
    }
}

static const struct {
    const char *text, *message;
} wrong_files[] = {
    {"kind: AuthenticationConfiguration\n", "must be kind AuthenticationConfiguration"},
    {HEAD "jwts: []\n", "strict decoding error: unknown field \"jwts\""},
    {HEAD "jwt: [{" ISSUER ", claimMappings: {" NAME "}}, {" ISSUER ", claimMappings: {" NAME
          "}}]\n",
     "jwt[1].issuer.url: Duplicate value: \"https://a.example.com\""},
    {HEAD "anonymous: {enabled: false, conditions: [{path: /a}]}\n",
     "anonymous.conditions: Invalid value: "},
    {HEAD "anonymous: {enabled: true, conditions: [{paths: /a}]}\n",
     "strict decoding error: unknown field \"anonymous.conditions[0].paths\""},
};

static void a_wrong_file_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_length(wrong_files); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        struct authn_configuration configuration = {0};
        assert_false(reads(wrong_files[i].text, &configuration, &error));
        assert_non_null(strstr(error.message, wrong_files[i].message));
    }
}

static void what_is_right_is_taken(void **state)
{
    (void)state;
    cleanup(authn_configuration_clear)
    struct authn_configuration configuration = {0};
    assert_true(reads(HEAD "jwt:\n- {" ISSUER ", claimMappings: {" NAME "}}\n"
                           "anonymous: {enabled: true, conditions: [{path: /livez}]}\n",
                      &configuration, NULL));
    assert_int_equal(json_array_size(configuration.issuers), 1);
    assert_true(configuration.says_anonymous && configuration.anonymous);
    assert_true(json_array_has_string(configuration.anonymous_paths, "/livez"));
    authn_configuration_clear(&configuration);
    assert_true(reads(HEAD, &configuration, NULL));
    assert_int_equal(json_array_size(configuration.issuers), 0);
    assert_false(configuration.says_anonymous);
}

static void flags_that_exclude_each_other_are_named(void **state)
{
    (void)state;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct authn_options options = {.config_file = "a", .oidc_issuer_url = "b"};
    assert_false(authn_check_options(&options, &error));
    assert_string_equal(error.message,
                        "authentication-config file and oidc-* flags are mutually exclusive");
    error_clear(&error);
    options.config_file = NULL;
    assert_false(authn_check_options(&options, &error));
    assert_non_null(strstr(error.message, "oidc-issuer-url and oidc-client-id must be specified"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_issuer_is_told_in_upstreams_words),
        cmocka_unit_test(a_wrong_file_is_refused),
        cmocka_unit_test(what_is_right_is_taken),
        cmocka_unit_test(flags_that_exclude_each_other_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
