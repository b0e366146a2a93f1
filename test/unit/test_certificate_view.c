// SPDX-License-Identifier: Apache-2.0
/* Which requests for certificates are signed, and when they are cleaned up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include <openssl/x509v3.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"
#include "controllers/certificate_view.h"

static X509_REQ *make_request(const char *organization, const char *other, const char *name,
                              const char *names)
{
    X509_REQ *request = X509_REQ_new();
    X509_NAME *subject = X509_REQ_get_subject_name(request);
    const char *const organizations[] = {organization, other};
    for (size_t i = 0; i < array_length(organizations); i++) {
        if (organizations[i] != NULL) {
            X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8,
                                       (const unsigned char *)organizations[i], -1, -1, 0);
        }
    }
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1,
                               0);
    if (names != NULL) {
        STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
        sk_X509_EXTENSION_push(extensions,
                               X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names));
        assert_int_equal(X509_REQ_add_extensions(request, extensions), 1);
        sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    }
    return request;
}

#define CLIENT "[\"digital signature\",\"key encipherment\",\"client auth\"]"
#define SERVER "[\"digital signature\",\"key encipherment\",\"server auth\"]"
#define NODES "system:nodes"
#define NODE "system:node:a"

static void signers_sign_what_is_theirs(void **state)
{
    (void)state;
    static const struct {
        enum certificate_signer signer;
        const char *organization, *other, *name, *names, *usages, *why;
    } cases[] = {
        {SIGNER_KUBELET_SERVING, NODES, NULL, NODE, "DNS:a", SERVER, NULL},
        {SIGNER_KUBELET_SERVING, NODES, NULL, NODE, "IP:10.0.0.1",
         "[\"server auth\",\"digital signature\"]", NULL},
        {SIGNER_KUBELET_SERVING, NODES, NULL, NODE, NULL, SERVER,
         "DNS or IP subjectAltName is required"},
        {SIGNER_KUBELET_SERVING, NODES, NULL, NODE, "DNS:a,email:a@example.com", SERVER,
         "Email subjectAltNames are not allowed"},
        {SIGNER_KUBELET_SERVING, NODES, NULL, NODE, "DNS:a,URI:https://a", SERVER,
         "URI subjectAltNames are not allowed"},
        {SIGNER_KUBELET_SERVING, NODES, NULL, NODE, "DNS:a", CLIENT,
         "usages did not match [digital signature key encipherment server auth]"},
        {SIGNER_KUBELET_SERVING, NODES, NULL, "a", "DNS:a", SERVER,
         "subject common name does not begin with system:node:"},
        {SIGNER_KUBELET_SERVING, NULL, NULL, NODE, "DNS:a", SERVER,
         "subject organization is not system:nodes"},
        {SIGNER_KUBELET_SERVING, NODES, "system:masters", NODE, "DNS:a", SERVER,
         "subject organization is not system:nodes"},
        {SIGNER_KUBELET_CLIENT, NODES, NULL, NODE, NULL, CLIENT, NULL},
        {SIGNER_KUBELET_CLIENT, NODES, NULL, NODE, "DNS:a", CLIENT,
         "DNS subjectAltNames are not allowed"},
        {SIGNER_KUBELET_CLIENT, NODES, NULL, NODE, "IP:10.0.0.1", CLIENT,
         "IP subjectAltNames are not allowed"},
        {SIGNER_KUBELET_CLIENT, NODES, NULL, NODE, NULL,
         "[\"digital signature\",\"client auth\",\"server auth\"]",
         "usages did not match [client auth digital signature key encipherment]"},
        {SIGNER_API_CLIENT, "anything", NULL, "joe", "DNS:a", CLIENT, NULL},
        {SIGNER_API_CLIENT, NULL, NULL, "joe", NULL, "[\"client auth\"]", NULL},
        {SIGNER_API_CLIENT, NULL, NULL, "joe", NULL, "[\"digital signature\"]",
         "missing required usage for client certificate: client auth"},
        {SIGNER_API_CLIENT, NULL, NULL, "joe", NULL, SERVER,
         "invalid usage for client certificate: server auth"},
        {SIGNER_LEGACY_UNKNOWN, NULL, NULL, "anybody", "DNS:a", SERVER, NULL},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        X509_REQ *request =
            make_request(cases[i].organization, cases[i].other, cases[i].name, cases[i].names);
        cleanup(json_release)
        json_t *usages = json_loads(cases[i].usages, 0, NULL);
        cleanup(free_char)
        char *why = certificate_refuse(cases[i].signer, request, usages);
        if (cases[i].why == NULL) {
            assert_null(why);
        } else {
            assert_non_null(why);
            assert_string_equal(why, cases[i].why);
        }
        X509_REQ_free(request);
    }
}

/* Of a request made at noon, in hours after that; -1: never. */
static void requests_go_when_their_time_is_over(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        int hours;
    } cases[] = {
        {"{}", 24},
        {"{\"conditions\":[{\"type\":\"Approved\",\"lastUpdateTime\":\"2026-01-01T13:00:00Z\"}]}",
         -1},
        {"{\"conditions\":[{\"type\":\"Approved\",\"lastUpdateTime\":\"2026-01-01T13:00:00Z\"}],"
         "\"certificate\":\"eA==\"}",
         2},
        {"{\"conditions\":[{\"type\":\"Denied\",\"lastUpdateTime\":\"2026-01-01T14:00:00Z\"}]}", 3},
        {"{\"conditions\":[{\"type\":\"Approved\",\"lastUpdateTime\":\"2026-01-01T13:00:00Z\"},"
         "{\"type\":\"Failed\",\"lastUpdateTime\":\"2026-01-01T16:00:00Z\"}]}",
         5},
    };
    int64_t noon;
    assert_true(timestamp_parse("2026-01-01T12:00:00Z", &noon));
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *csr =
            json_pack("{s:{s:s}, s:o}", "metadata", "creationTimestamp", "2026-01-01T12:00:00Z",
                      "status", json_loads(cases[i].status, 0, NULL));
        int64_t at = certificate_clean_at(csr);
        assert_int_equal(cases[i].hours < 0 ? -1 : (at - noon) / INT64_C(3600000000000),
                         cases[i].hours);
        assert_int_equal(at == INT64_MAX, cases[i].hours < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signers_sign_what_is_theirs),
        cmocka_unit_test(requests_go_when_their_time_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
