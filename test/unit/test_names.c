// SPDX-License-Identifier: Apache-2.0
/* Rules for names, labels and annotations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"
#define LONG_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_252 LONG_63 LONG_63 LONG_63 LONG_63

struct name_case {
    const char *text;
    const char *message; /* How it begins; NULL: the text is right. */
};

static void check(const char *(*rule)(const char *text), const struct name_case *cases,
                  size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *message = rule(cases[i].text);
        if (cases[i].message == NULL) {
            if (message != NULL) {
                fail_msg("%s: %s", cases[i].text, message);
            }
            continue;
        }
        if (message == NULL || strncmp(message, cases[i].message, strlen(cases[i].message)) != 0) {
            fail_msg("%s: %s", cases[i].text, message ? message : "no message");
        }
    }
}

static void labels_of_names_are_lower_case_without_dots(void **state)
{
    (void)state;
    static const struct name_case cases[] = {
        {"a", NULL},
        {"0", NULL},
        {"a--1--2--b", NULL},
        {LONG_63, NULL},
        {LONG_63 "a", "must be no more than 63 bytes"},
        {"a.b", "must not contain dots"},
        {"", "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or "
             "'-', and must start and end with an alphanumeric character (e.g. 'my-name',  or "
             "'123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"},
        {"A", "a lowercase RFC 1123 label"},
        {"-a", "a lowercase RFC 1123 label"},
        {"a-", "a lowercase RFC 1123 label"},
        {"a_b", "a lowercase RFC 1123 label"},
        {"a b", "a lowercase RFC 1123 label"},
    };
    check(names_check_dns_label, cases, array_length(cases));
}

static void subdomains_are_labels_joined_by_dots(void **state)
{
    (void)state;
    static const struct name_case cases[] = {
        {"a", NULL},
        {"0.1.a-b", NULL},
        {LONG_252, NULL},
        {LONG_252 "ab", "must be no more than 253 bytes"},
        {"",
         "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
         "'-' or '.', and must start and end with an alphanumeric character (e.g. "
         "'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]"
         "([-a-z0-9]*[a-z0-9])?)*')"},
        {"a..b", "a lowercase RFC 1123 subdomain"},
        {".a", "a lowercase RFC 1123 subdomain"},
        {"a.", "a lowercase RFC 1123 subdomain"},
        {"a.-b", "a lowercase RFC 1123 subdomain"},
        {"Foo", "a lowercase RFC 1123 subdomain"},
    };
    check(names_check_dns_subdomain, cases, array_length(cases));
}

static void service_names_begin_with_a_letter(void **state)
{
    (void)state;
    static const struct name_case cases[] = {
        {"a1", NULL},
        {"a-b", NULL},
        {"1a", "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start "
               "with an alphabetic character, and end with an alphanumeric character (e.g. "
               "'my-name',  or 'abc-123', regex used for validation is "
               "'[a-z]([-a-z0-9]*[a-z0-9])?')"},
        {"a.b", "a DNS-1035 label"},
        {"a-", "a DNS-1035 label"},
    };
    check(names_check_dns1035_label, cases, array_length(cases));
}

static void label_values_may_be_empty_but_not_end_in_punctuation(void **state)
{
    (void)state;
    static const struct name_case cases[] = {
        {"", NULL},
        {"A_b.c-1", NULL},
        {LONG_63 "a", "must be no more than 63 bytes"},
        {"a b", "a valid label must be an empty string or consist of alphanumeric characters, '-', "
                "'_' or '.', and must start and end with an alphanumeric character (e.g. "
                "'MyValue',  or 'my_value',  or '12345', regex used for validation is "
                "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"},
        {"a-", "a valid label"},
        {"_", "a valid label"},
        {"a/b", "a valid label"},
    };
    check(names_check_label_value, cases, array_length(cases));
}

static void path_segments_hold_nothing_that_a_url_would_split(void **state)
{
    (void)state;
    static const struct name_case cases[] = {
        {"system:node", NULL},          {"a b", NULL},
        {".", "may not be '.'"},        {"..", "may not be '..'"},
        {"a/b", "may not contain '/'"}, {"a%2Fb", "may not contain '%'"},
    };
    check(names_check_path_segment, cases, array_length(cases));
}

static void port_names_have_a_letter_and_single_hyphens(void **state)
{
    (void)state;
    static const struct name_case cases[] = {
        {"http", NULL},
        {"8080-a", NULL},
        {"abcdefghijklmnop", "must be no more than 15 bytes"},
        {"A", "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"},
        {"", "must contain only alpha-numeric characters"},
        {"80", "must contain at least one letter (a-z)"},
        {"a--b", "must not contain consecutive hyphens"},
        {"-a", "must not begin or end with a hyphen"},
        {"a-", "must not begin or end with a hyphen"},
    };
    check(names_check_port_name, cases, array_length(cases));
}

static void config_keys_are_file_names_that_stay_in_their_folder(void **state)
{
    (void)state;
    static const struct name_case cases[] = {
        {"KEY_name.txt-1", NULL},
        {".hidden", NULL},
        {".", "must not be '.'"},
        {"..", "must not be '..'"},
        {"..a", "must not start with '..'"},
        {"", "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
             "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
             "'[-._a-zA-Z0-9]+')"},
        {"a/b", "a valid config key"},
    };
    check(names_check_config_key, cases, array_length(cases));
}

static void environment_variables_are_printable_and_have_no_equals_sign(void **state)
{
    (void)state;
    static const struct name_case cases[] = {
        {"A", NULL},
        {"1 a:b", NULL},
        {"a=b", "a valid environment variable name must consist only of printable ASCII"},
        {"\x01", "a valid environment variable name"},
        {"\xc3\xa4", "a valid environment variable name"},
        {"", "environment variable name must be non-empty"},
    };
    check(names_check_env_name, cases, array_length(cases));
}

static void addresses_are_of_both_families(void **state)
{
    (void)state;
    static const struct name_case addresses[] = {
        {"10.9.8.7", NULL},
        {"010.001.1.1", NULL},
        {"2001:db8::ffff", NULL},
        {"::ffff:1.2.3.4", NULL},
        {"10.9.8", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"},
        {"10.9.8.7.6", "must be a valid IP address"},
        {"10.9.8.256", "must be a valid IP address"},
        {"10.9.8.7 ", "must be a valid IP address"},
        {"fe80::1%eth0", "must be a valid IP address"},
        {"", "must be a valid IP address"},
    };
    static const struct name_case networks[] = {
        {"10.9.8.0/24", NULL},
        {"0.0.0.0/0", NULL},
        {"2001:db8::/128", NULL},
        {"10.9.8.0", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"},
        {"10.9.8.0/33", "must be a valid CIDR value"},
        {"2001:db8::/129", "must be a valid CIDR value"},
        {"10.9.8.0/", "must be a valid CIDR value"},
        {"10.9.8.0/-1", "must be a valid CIDR value"},
        {"10.9.8.0/2x", "must be a valid CIDR value"},
        {"/24", "must be a valid CIDR value"},
    };
    check(names_check_ip, addresses, array_length(addresses));
    check(names_check_cidr, networks, array_length(networks));
}

static void qualified_names_have_one_optional_prefix(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "A.b_c-1", "example.com/a", LONG_63 ".x/" LONG_63};
    for (size_t i = 0; i < array_length(good); i++) {
        assert_null(names_check_qualified(good[i]));
    }
    static const struct name_case bad[] = {
        {"/a", "prefix part must be non-empty"},
        {"Example/a", "prefix part a lowercase RFC 1123 subdomain"},
        {"a/", "name part must be non-empty; name part must consist of alphanumeric characters, "
               "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
               "'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
               "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"},
        {LONG_63 "a", "name part must be no more than 63 bytes"},
        {"a b", "name part must consist of"},
        {"a/b/c", "a valid label key must consist of"},
    };
    for (size_t i = 0; i < array_length(bad); i++) {
        cleanup(free_char)
        char *message = names_check_qualified(bad[i].text);
        assert_non_null(message);
        assert_memory_equal(message, bad[i].message, strlen(bad[i].message));
    }
}

static void each_resource_has_its_form_of_names(void **state)
{
    (void)state;
    assert_null(names_check("subdomain", "a.b"));
    assert_non_null(names_check("label", "a.b"));
    assert_non_null(names_check("label1035", "1a"));
    assert_null(names_check("path-segment", "system:controller:x"));
}

static void bad_labels_are_told_with_their_path(void **state)
{
    (void)state;
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    cleanup(json_release)
    json_t *labels = json_pack("{s:s, s:s, s:s}", "good", "1", "a b", "x", "c", "d e");
    names_validate_labels(labels, FIELD(FIELD(NULL, "metadata"), "labels"), &errors);
    assert_int_equal(json_array_size(errors.causes), 2);
    assert_string_equal(json_get_string(json_array_get(errors.causes, 0), "field"),
                        "metadata.labels");
    const char *message = json_get_string(json_array_get(errors.causes, 1), "message");
    assert_memory_equal(message, "Invalid value: \"d e\": a valid label", 35);
}

static void a_nul_in_a_label_or_name_is_refused(void **state)
{
    (void)state;
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    cleanup(json_release)
    json_t *labels = json_pack("{s:s#}", "app", "a\0b", 3);
    names_validate_labels(labels, FIELD(NULL, "labels"), &errors);
    assert_int_equal(json_array_size(errors.causes), 1);
    static const char *const formats[] = {"subdomain", "label", "label1035", "path-segment"};
    for (size_t i = 0; i < array_length(formats); i++) {
        cleanup(free_char)
        char *text = json_without_nul(json_object_get(labels, "app"));
        assert_non_null(names_check(formats[i], text));
    }
}

static void annotations_may_have_any_value_of_bounded_size(void **state)
{
    (void)state;
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    cleanup(json_release)
    json_t *annotations = json_pack("{s:s}", "Example.com/A", "any / thing");
    names_validate_annotations(annotations, FIELD(NULL, "annotations"), &errors);
    assert_false(field_errors_any(&errors));
    cleanup(free_char)
    char *large = allocate_zero(1, 256 * 1024);
    memset(large, 'a', 256 * 1024 - 1);
    json_object_set_new(annotations, "b", json_string(large));
    names_validate_annotations(annotations, FIELD(NULL, "annotations"), &errors);
    assert_int_equal(json_array_size(errors.causes), 1);
    assert_string_equal(json_get_string(json_array_get(errors.causes, 0), "message"),
                        "Too long: may not be more than 262144 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_of_names_are_lower_case_without_dots),
        cmocka_unit_test(subdomains_are_labels_joined_by_dots),
        cmocka_unit_test(service_names_begin_with_a_letter),
        cmocka_unit_test(label_values_may_be_empty_but_not_end_in_punctuation),
        cmocka_unit_test(path_segments_hold_nothing_that_a_url_would_split),
        cmocka_unit_test(port_names_have_a_letter_and_single_hyphens),
        cmocka_unit_test(config_keys_are_file_names_that_stay_in_their_folder),
        cmocka_unit_test(environment_variables_are_printable_and_have_no_equals_sign),
        cmocka_unit_test(addresses_are_of_both_families),
        cmocka_unit_test(qualified_names_have_one_optional_prefix),
        cmocka_unit_test(each_resource_has_its_form_of_names),
        cmocka_unit_test(bad_labels_are_told_with_their_path),
        cmocka_unit_test(a_nul_in_a_label_or_name_is_refused),
        cmocka_unit_test(annotations_may_have_any_value_of_bounded_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
