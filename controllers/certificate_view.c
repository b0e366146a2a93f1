// SPDX-License-Identifier: Apache-2.0
#include "controllers/certificate_view.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/buffer.h"
#include "common/certificate_request.h"
#include "common/json.h"
#include "common/timestamp.h"

static const int64_t hour = INT64_C(3600000000000);

const char *const certificate_signer_names[SIGNER_COUNT] = {
    [SIGNER_KUBELET_SERVING] = "kubernetes.io/kubelet-serving",
    [SIGNER_KUBELET_CLIENT] = "kubernetes.io/kube-apiserver-client-kubelet",
    [SIGNER_API_CLIENT] = "kubernetes.io/kube-apiserver-client",
    [SIGNER_LEGACY_UNKNOWN] = "kubernetes.io/legacy-unknown",
};

enum certificate_signer certificate_signer_of(const json_t *csr)
{
    const char *name = json_path_string(csr, "spec", "signerName");
    enum certificate_signer signer = 0;
    while (signer < SIGNER_COUNT &&
           (name == NULL || strcmp(name, certificate_signer_names[signer]) != 0)) {
        signer++;
    }
    return signer;
}

/* ---- state ---- */

/* The condition of that type, unless it says no; NULL: there is none. */
static const json_t *find_condition(const json_t *csr, const char *type)
{
    size_t i;
    const json_t *condition;
    json_array_foreach (json_path(csr, "status", "conditions"), i, condition) {
        const char *own = json_get_string(condition, "type");
        const char *status = json_get_string(condition, "status");
        if (own != NULL && strcmp(own, type) == 0 &&
            (status == NULL || strcmp(status, "False") != 0)) {
            return condition;
        }
    }
    return NULL;
}

bool certificate_has(const json_t *csr, const char *type)
{
    return find_condition(csr, type) != NULL;
}

bool certificate_is_issued(const json_t *csr)
{
    const char *certificate = json_path_string(csr, "status", "certificate");
    return certificate != NULL && *certificate != '\0';
}

X509_REQ *certificate_parse(const json_t *csr, struct error *error)
{
    X509_REQ *request = certificate_request_read(json_path_string(csr, "spec", "request"));
    ERR_clear_error();
    if (request == NULL) {
        error_internal(error,
                       "unable to parse csr \"%s\": PEM block type must be CERTIFICATE REQUEST",
                       json_path_string(csr, "metadata", "name"));
    }
    return request;
}

/* ---- what is asked for ---- */

static char *entry_text(X509_NAME *name, int index)
{
    unsigned char *bytes = NULL;
    int length =
        ASN1_STRING_to_UTF8(&bytes, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
    if (length < 0) {
        return duplicate("");
    }
    /* One with a NUL within must not pass for what stands before it. */
    char *text = memchr(bytes, '\0', (size_t)length) != NULL
                     ? duplicate("")
                     : duplicate_bytes(bytes, (size_t)length);
    OPENSSL_free(bytes);
    return text;
}

char *certificate_common_name(X509_REQ *request)
{
    X509_NAME *subject = X509_REQ_get_subject_name(request);
    int last = -1;
    for (int i = -1; (i = X509_NAME_get_index_by_NID(subject, NID_commonName, i)) >= 0;) {
        last = i;
    }
    return last >= 0 ? entry_text(subject, last) : duplicate("");
}

static bool is_of_nodes(X509_REQ *request)
{
    X509_NAME *subject = X509_REQ_get_subject_name(request);
    int first = X509_NAME_get_index_by_NID(subject, NID_organizationName, -1);
    if (first < 0 || X509_NAME_get_index_by_NID(subject, NID_organizationName, first) >= 0) {
        return false;
    }
    cleanup(free_char)
    char *organization = entry_text(subject, first);
    return strcmp(organization, "system:nodes") == 0;
}

/* The alternative names asked for, by their kinds. */
struct names {
    size_t dns, ip, email, uri;
};

static struct names count_names(X509_REQ *request)
{
    struct names names = {0};
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
    GENERAL_NAMES *list = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(list); i++) {
        switch (sk_GENERAL_NAME_value(list, i)->type) {
        case GEN_DNS:
            names.dns++;
            break;
        case GEN_IPADD:
            names.ip++;
            break;
        case GEN_EMAIL:
            names.email++;
            break;
        case GEN_URI:
            names.uri++;
            break;
        default:
            break;
        }
    }
    GENERAL_NAMES_free(list);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    ERR_clear_error();
    return names;
}

/* ---- what signers sign ---- */

/* A kubelet asks for both usages, and for the third with a key that can do it. */
static char *refuse_usages(const json_t *usages, const char *auth)
{
    bool has_encipherment = json_array_has_string(usages, "key encipherment");
    bool right = json_array_has_string(usages, "digital signature") &&
                 json_array_has_string(usages, auth) &&
                 json_array_size(usages) == 2 + (size_t)has_encipherment;
    if (right) {
        return NULL;
    }
    bool serves = strcmp(auth, "server auth") == 0;
    return format("usages did not match [%sdigital signature key encipherment%s]",
                  serves ? "" : "client auth ", serves ? " server auth" : "");
}

static char *refuse_subject(X509_REQ *request)
{
    static const char prefix[] = "system:node:";
    cleanup(free_char)
    char *name = certificate_common_name(request);
    return strncmp(name, prefix, sizeof prefix - 1) == 0
               ? NULL
               : duplicate("subject common name does not begin with system:node:");
}

static char *refuse_kubelet(X509_REQ *request, const json_t *usages, bool serves)
{
    struct names names = count_names(request);
    const char *why = NULL;
    if (!is_of_nodes(request)) {
        why = "subject organization is not system:nodes";
    } else if (serves && names.dns + names.ip == 0) {
        why = "DNS or IP subjectAltName is required";
    } else if (!serves && names.dns > 0) {
        why = "DNS subjectAltNames are not allowed";
    } else if (names.email > 0) {
        why = "Email subjectAltNames are not allowed";
    } else if (!serves && names.ip > 0) {
        why = "IP subjectAltNames are not allowed";
    } else if (names.uri > 0) {
        why = "URI subjectAltNames are not allowed";
    }
    if (why != NULL) {
        return duplicate(why);
    }
    char *wrong = refuse_usages(usages, serves ? "server auth" : "client auth");
    return wrong != NULL ? wrong : refuse_subject(request);
}

static char *refuse_api_client(const json_t *usages)
{
    bool authenticates = false;
    size_t i;
    const json_t *usage;
    json_array_foreach (usages, i, usage) {
        const char *name = json_string_value(usage);
        if (name != NULL && strcmp(name, "client auth") == 0) {
            authenticates = true;
        } else if (name == NULL || (strcmp(name, "digital signature") != 0 &&
                                    strcmp(name, "key encipherment") != 0)) {
            return format("invalid usage for client certificate: %s", name != NULL ? name : "");
        }
    }
    return authenticates ? NULL
                         : duplicate("missing required usage for client certificate: client auth");
}

char *certificate_refuse(enum certificate_signer signer, X509_REQ *request, const json_t *usages)
{
    switch (signer) {
    case SIGNER_KUBELET_SERVING:
        return refuse_kubelet(request, usages, true);
    case SIGNER_KUBELET_CLIENT:
        return refuse_kubelet(request, usages, false);
    case SIGNER_API_CLIENT:
        return refuse_api_client(usages);
    default:
        return NULL; /* Who asks the unknown signer may have anything that was approved. */
    }
}

/* ---- cleaning ---- */

static int64_t not_after(const json_t *csr)
{
    const char *encoded = json_path_string(csr, "status", "certificate");
    size_t length = 0;
    char *pem = encoded != NULL ? base64_decode(encoded, strlen(encoded), &length) : NULL;
    if (pem == NULL) {
        return INT64_MAX;
    }
    BIO *source = BIO_new_mem_buf(pem, (int)length);
    X509 *certificate = PEM_read_bio_X509(source, NULL, NULL, NULL);
    BIO_free(source);
    free(pem);
    struct tm end;
    int64_t at = INT64_MAX;
    if (certificate != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1) {
        int64_t seconds = timegm(&end);
        at = seconds < INT64_MAX / 1000000000 ? seconds * 1000000000 : INT64_MAX;
    }
    X509_free(certificate);
    ERR_clear_error();
    return at;
}

static int64_t time_of(const json_t *object, const char *member)
{
    const char *text = json_get_string(object, member);
    int64_t at;
    return text != NULL && timestamp_parse(text, &at) ? at : INT64_MAX;
}

/* An hour after a decision; INT64_MAX when it was not made. */
static int64_t after_decision(const json_t *csr, const char *type)
{
    const json_t *condition = find_condition(csr, type);
    int64_t at = condition != NULL ? time_of(condition, "lastUpdateTime") : INT64_MAX;
    return at < INT64_MAX ? at + hour : INT64_MAX;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t certificate_clean_at(const json_t *csr)
{
    int64_t at = earlier(not_after(csr),
                         earlier(after_decision(csr, "Denied"), after_decision(csr, "Failed")));
    if (certificate_is_issued(csr)) {
        at = earlier(at, after_decision(csr, "Approved"));
    }
    if (json_array_size(json_path(csr, "status", "conditions")) == 0) {
        int64_t created = time_of(json_object_get(csr, "metadata"), "creationTimestamp");
        at = created < INT64_MAX ? created + 24 * hour : INT64_MAX;
    }
    return at;
}
