// SPDX-License-Identifier: Apache-2.0
/* Requests for certificates: what is asked for, who decides, and what comes of it. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "apiserver/registry/validation/access.h"
#include "apiserver/registry/validation/check.h"
#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"
#include "common/names.h"

static const struct field_path spec_path = {.name = "spec"};
static const struct field_path conditions_path = {
    .parent = &(const struct field_path){.name = "status"}, .name = "conditions"};
static const char legacy_signer[] = "kubernetes.io/legacy-unknown";

/* ---- PEM ---- */

/* One block after another of a text in base64. */
struct reader {
    char *text;
    BIO *source;
    char *name, *header; /* OpenSSL's, as the rest. */
    unsigned char *bytes;
    long length;
};

static void reader_drop(struct reader *reader)
{
    OPENSSL_free(reader->name);
    OPENSSL_free(reader->header);
    OPENSSL_free(reader->bytes);
    reader->name = reader->header = NULL;
    reader->bytes = NULL;
}

static void reader_clear(struct reader *reader)
{
    reader_drop(reader);
    BIO_free(reader->source);
    free(reader->text);
}

static void reader_open(struct reader *reader, const json_t *value)
{
    size_t length = 0;
    reader->text = base64_decode(json_string_value(value), json_string_length(value), &length);
    reader->source = BIO_new_mem_buf(reader->text ? reader->text : "", (int)length);
}

static bool reader_next(struct reader *reader)
{
    reader_drop(reader);
    bool read =
        reader->source != NULL && PEM_read_bio(reader->source, &reader->name, &reader->header,
                                               &reader->bytes, &reader->length) == 1;
    ERR_clear_error();
    return read;
}

/* ---- the request ---- */

/* What is wrong with the PKCS #10 request; NULL when it is signed by whose key it names. */
static const char *complaint_about_request(const json_t *value)
{
    cleanup(reader_clear)
    struct reader reader = {0};
    reader_open(&reader, value);
    if (!reader_next(&reader) || strcmp(reader.name, "CERTIFICATE REQUEST") != 0) {
        return "PEM block type must be CERTIFICATE REQUEST";
    }
    const unsigned char *at = reader.bytes;
    X509_REQ *request = d2i_X509_REQ(NULL, &at, reader.length);
    EVP_PKEY *key = request ? X509_REQ_get0_pubkey(request) : NULL;
    const char *complaint = NULL;
    if (request == NULL || at != reader.bytes + reader.length) {
        complaint = "asn1: structure error: malformed certificate request";
    } else if (key == NULL || X509_REQ_verify(request, key) != 1) {
        complaint = "x509: verification failure";
    }
    X509_REQ_free(request);
    ERR_clear_error();
    return complaint;
}

static const char *const usages[] = {"any",
                                     "cert sign",
                                     "client auth",
                                     "code signing",
                                     "content commitment",
                                     "crl sign",
                                     "data encipherment",
                                     "decipher only",
                                     "digital signature",
                                     "email protection",
                                     "encipher only",
                                     "ipsec end system",
                                     "ipsec tunnel",
                                     "ipsec user",
                                     "key agreement",
                                     "key encipherment",
                                     "microsoft sgc",
                                     "netscape sgc",
                                     "ocsp signing",
                                     "s/mime",
                                     "server auth",
                                     "signing",
                                     "timestamping",
                                     NULL};

static void validate_usages(const json_t *list, struct field_errors *errors)
{
    const struct field_path *path = FIELD(&spec_path, "usages");
    struct map seen = MAP_INIT;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *usage = json_string_value(json_array_get(list, i));
        if (!check_one_of(usage, usages)) {
            check_not_supported(usage, usages, FIELD_INDEX(path, i), errors);
        }
        if (map_set(&seen, usage, &seen) != NULL) {
            check_duplicate_text(usage, FIELD_INDEX(path, i), errors);
        }
    }
    map_free(&seen, NULL);
}

/* The first part between dots that is wrong. 'check' looks at one. */
static void validate_labels(const char *text, const char *(*check)(const char *text),
                            const struct field_path *path, struct field_errors *errors)
{
    for (const char *at = text;;) {
        size_t length = strcspn(at, ".");
        cleanup(free_char)
        char *label = duplicate_bytes(at, length);
        const char *message = check(label);
        if (message != NULL) {
            cleanup(free_char)
            char *detail = format("validating label \"%s\": %s", label, message);
            check_invalid_text(text, detail, path, errors);
            return;
        }
        if (at[length] == '\0') {
            return;
        }
        at += length + 1;
    }
}

static void validate_signer(const char *signer, const struct field_path *path,
                            struct field_errors *errors)
{
    enum { DOMAIN_MAX = 253, SIGNER_MAX = DOMAIN_MAX + 1 + 253 + 1 + 63 };
    const char *slash = strchr(signer, '/');
    if (signer[0] == '\0') {
        return; /* Reported as missing. */
    }
    if (slash == NULL || strchr(slash + 1, '/') != NULL) {
        check_invalid_text(
            signer,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'", path,
            errors);
        return;
    }
    cleanup(free_char)
    char *domain = duplicate_bytes(signer, (size_t)(slash - signer));
    if (strlen(domain) > DOMAIN_MAX) {
        field_error(errors, FIELD_TOO_LONG, path, NULL, "may not be more than %d bytes",
                    DOMAIN_MAX);
    }
    validate_labels(domain, names_check_dns_label, path, errors);
    if (strchr(domain, '.') == NULL) {
        check_invalid_text(domain,
                           "should be a domain with at least two segments separated by dots", path,
                           errors);
    }
    validate_labels(slash + 1, names_check_dns_subdomain, path, errors);
    if (strlen(signer) > SIGNER_MAX) {
        field_error(errors, FIELD_TOO_LONG, path, NULL, "may not be more than %d bytes",
                    SIGNER_MAX);
    }
}

/* The spec never changes: it is looked at once. */
static void validate_spec(const json_t *spec, struct field_errors *errors)
{
    const json_t *request = json_object_get(spec, "request");
    const json_t *seconds = json_object_get(spec, "expirationSeconds");
    const struct field_path *signer_path = FIELD(&spec_path, "signerName");
    cleanup(json_release)
    json_t *none = json_string("");
    check_message(request ? request : none, complaint_about_request(request),
                  FIELD(&spec_path, "request"), errors);
    validate_usages(json_object_get(spec, "usages"), errors);
    if (check_is(spec, "signerName", legacy_signer)) {
        check_invalid_text(legacy_signer,
                           "the legacy signerName is not allowed via this API version", signer_path,
                           errors);
    } else {
        validate_signer(check_text(spec, "signerName"), signer_path, errors);
    }
    if (seconds != NULL && json_integer_value(seconds) < 600) {
        field_error(errors, FIELD_INVALID, FIELD(&spec_path, "expirationSeconds"), seconds,
                    "may not specify a duration less than 600 seconds (10 minutes)");
    }
}

/* ---- decisions ---- */

static const char *const final_types[] = {"Approved", "Denied", "Failed", NULL};

static void validate_condition(const json_t *condition, const struct field_path *path,
                               struct field_errors *errors)
{
    static const char *const only_true[] = {"True", NULL};
    static const char *const any[] = {"False", "True", "Unknown", NULL};
    const char *type = check_text(condition, "type"), *status = check_text(condition, "status");
    const char *const *supported = check_one_of(type, final_types) ? only_true : any;
    if (type[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "type"), NULL, NULL);
    }
    if (status[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "status"), NULL, NULL);
    } else if (!check_one_of(status, supported)) {
        check_not_supported(status, supported, FIELD(path, "status"), errors);
    }
}

static void validate_conditions(const json_t *list, struct field_errors *errors)
{
    struct map seen = MAP_INIT;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *type = check_text(json_array_get(list, i), "type");
        const struct field_path *here = FIELD_INDEX(&conditions_path, i);
        bool approves = strcmp(type, "Approved") == 0, denies = strcmp(type, "Denied") == 0;
        validate_condition(json_array_get(list, i), here, errors);
        if ((approves && map_get(&seen, "Denied")) || (denies && map_get(&seen, "Approved"))) {
            check_invalid_text(type, "Approved and Denied conditions are mutually exclusive",
                               FIELD(here, "type"), errors);
        }
        if (map_set(&seen, type, &seen) != NULL) {
            check_duplicate_text(type, FIELD(here, "type"), errors);
        }
    }
    map_free(&seen, NULL);
}

/* The condition of that type; each stands once. */
static const json_t *find_condition(const json_t *list, const char *type)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (check_is(json_array_get(list, i), "type", type)) {
            return json_array_get(list, i);
        }
    }
    return NULL;
}

/* What was decided stays, and only the approval decides. */
static void validate_decisions(const json_t *now, const json_t *before, bool approves,
                               struct field_errors *errors)
{
    for (size_t i = 0; final_types[i] != NULL; i++) {
        const json_t *new = find_condition(now, final_types[i]);
        const json_t *old = find_condition(before, final_types[i]);
        bool guarded = !approves && strcmp(final_types[i], "Failed") != 0;
        const char *verb = NULL;
        if (new == NULL && old != NULL) {
            verb = "remove";
        } else if (guarded && new != NULL && old == NULL) {
            verb = "add";
        } else if (guarded && !check_equal(new, old)) {
            verb = "modify";
        }
        if (verb != NULL) {
            field_error(errors, FIELD_FORBIDDEN, &conditions_path, NULL,
                        "updates may not %s a condition of type \"%s\"", verb, final_types[i]);
        }
    }
}

/* ---- the certificate ---- */

/* The caller's; NULL when the text is certificates. */
static char *complaint_about_certificates(const json_t *value)
{
    size_t blocks = 0;
    cleanup(reader_clear)
    struct reader reader = {0};
    reader_open(&reader, value);
    for (; reader_next(&reader); blocks++) {
        if (strcmp(reader.name, "CERTIFICATE") != 0) {
            return format("only CERTIFICATE PEM blocks are allowed, found \"%s\"", reader.name);
        }
        if (reader.header[0] != '\0') {
            return duplicate("no PEM block headers are permitted");
        }
        const unsigned char *at = reader.bytes;
        X509 *certificate = d2i_X509(NULL, &at, reader.length);
        ERR_clear_error();
        if (certificate == NULL) {
            return duplicate("x509: malformed certificate");
        }
        X509_free(certificate);
    }
    return blocks > 0 ? NULL : duplicate("must contain at least one CERTIFICATE PEM block");
}

/* Set once, by the signer, through the status. */
static void validate_certificate(const json_t *now, const json_t *before, bool may_set,
                                 struct field_errors *errors)
{
    const struct field_path *path = FIELD(conditions_path.parent, "certificate");
    bool had_one = json_string_length(before) > 0;
    if (json_string_length(now) == 0 ? !had_one : had_one && json_equal(now, before)) {
        return;
    }
    if (!may_set) {
        field_error(errors, FIELD_FORBIDDEN, path, NULL, "updates may not set certificate content");
    } else if (had_one) {
        field_error(errors, FIELD_FORBIDDEN, path, NULL,
                    "updates may not modify existing certificate content");
    }
    if (json_string_length(now) > 0) {
        cleanup(free_char)
        char *complaint = complaint_about_certificates(now);
        check_invalid_text("<certificate data>", complaint, path, errors);
    }
}

void validate_certificate_request(const struct write *write, struct field_errors *errors)
{
    const json_t *now = json_object_get(write->object, "status");
    const json_t *before = json_object_get(write->live, "status");
    if (write->live == NULL) {
        validate_spec(json_object_get(write->object, "spec"), errors);
        return;
    }
    validate_conditions(json_object_get(now, "conditions"), errors);
    validate_decisions(json_object_get(now, "conditions"), json_object_get(before, "conditions"),
                       strcmp(write->subresource, "approval") == 0, errors);
    validate_certificate(json_object_get(now, "certificate"),
                         json_object_get(before, "certificate"),
                         strcmp(write->subresource, "status") == 0, errors);
}
