// SPDX-License-Identifier: Apache-2.0
#include "controllers/certificate_authority.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/client_config.h"
#include "common/json.h"

enum {
    file_max_bytes = 1024 * 1024,
    serial_bytes = 16,
    backdate_seconds = 5 * 60,
    /* From this time on the part before now counts as part of it, as upstream. */
    long_seconds = 8 * 3600,
};

/* ---- the authority ---- */

struct pair {
    X509 *certificate;
    EVP_PKEY *key;
};

static void pair_clear(struct pair *pair)
{
    X509_free(pair->certificate);
    EVP_PKEY_free(pair->key);
}

static bool read_pair(const struct certificate_authority *authority, struct pair *pair,
                      struct error *error)
{
    cleanup(free_char)
    char *certificate = client_config_read_file(authority->certificate_file, file_max_bytes, error);
    cleanup(free_char)
    char *key = certificate != NULL
                    ? client_config_read_file(authority->key_file, file_max_bytes, error)
                    : NULL;
    if (key == NULL) {
        return false;
    }
    BIO *source = BIO_new_mem_buf(certificate, -1);
    pair->certificate = PEM_read_bio_X509(source, NULL, NULL, NULL);
    BIO_free(source);
    source = BIO_new_mem_buf(key, -1);
    /* With a password, nobody is asked for one. */
    pair->key = PEM_read_bio_PrivateKey(source, NULL, NULL, (void *)"");
    BIO_free(source);
    OPENSSL_cleanse(key, strlen(key));
    bool fit = pair->certificate != NULL && pair->key != NULL &&
               X509_check_private_key(pair->certificate, pair->key) == 1;
    ERR_clear_error();
    if (pair->certificate == NULL) {
        return error_internal(error, "%s holds no PEM certificate", authority->certificate_file);
    }
    if (pair->key == NULL) {
        return error_internal(error, "%s holds no PEM private key without a password",
                              authority->key_file);
    }
    return fit || error_internal(error, "the key in %s is not that of the certificate in %s",
                                 authority->key_file, authority->certificate_file);
}

bool certificate_authority_check(const struct certificate_authority *authority, struct error *error)
{
    cleanup(pair_clear)
    struct pair pair = {0};
    return read_pair(authority, &pair, error);
}

/* ---- usages ---- */

static const struct {
    const char *usage; /* In the API. */
    int extension;
    const char *name; /* OpenSSL's. */
} usages_known[] = {
    {"signing", NID_key_usage, "digitalSignature"},
    {"digital signature", NID_key_usage, "digitalSignature"},
    {"content commitment", NID_key_usage, "nonRepudiation"},
    {"key encipherment", NID_key_usage, "keyEncipherment"},
    {"key agreement", NID_key_usage, "keyAgreement"},
    {"data encipherment", NID_key_usage, "dataEncipherment"},
    {"cert sign", NID_key_usage, "keyCertSign"},
    {"crl sign", NID_key_usage, "cRLSign"},
    {"encipher only", NID_key_usage, "encipherOnly"},
    {"decipher only", NID_key_usage, "decipherOnly"},
    {"any", NID_ext_key_usage, "anyExtendedKeyUsage"},
    {"server auth", NID_ext_key_usage, "serverAuth"},
    {"client auth", NID_ext_key_usage, "clientAuth"},
    {"code signing", NID_ext_key_usage, "codeSigning"},
    {"email protection", NID_ext_key_usage, "emailProtection"},
    {"s/mime", NID_ext_key_usage, "emailProtection"},
    {"ipsec end system", NID_ext_key_usage, "ipsecEndSystem"},
    {"ipsec tunnel", NID_ext_key_usage, "ipsecTunnel"},
    {"ipsec user", NID_ext_key_usage, "ipsecUser"},
    {"timestamping", NID_ext_key_usage, "timeStamping"},
    {"ocsp signing", NID_ext_key_usage, "OCSPSigning"},
    {"microsoft sgc", NID_ext_key_usage, "msSGC"},
    {"netscape sgc", NID_ext_key_usage, "nsSGC"},
};

/* Appends OpenSSL's names of the usages that belong into the extension. */
static void list_usages(const json_t *usages, int extension, struct buffer *list)
{
    for (size_t i = 0; i < array_length(usages_known); i++) {
        /* Two of the names mean the same. */
        bool again = i > 0 && strcmp(usages_known[i].name, usages_known[i - 1].name) == 0 &&
                     json_array_has_string(usages, usages_known[i - 1].usage);
        if (usages_known[i].extension == extension && !again &&
            json_array_has_string(usages, usages_known[i].usage)) {
            buffer_addf(list, ",%s", usages_known[i].name);
        }
    }
}

/* ---- signing ---- */

static bool add_extension(X509 *certificate, X509V3_CTX *context, int type, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, context, type, value);
    bool added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool add_usages(X509 *certificate, const json_t *usages)
{
    cleanup(buffer_free)
    struct buffer basic = BUFFER_INIT;
    cleanup(buffer_free)
    struct buffer extended = BUFFER_INIT;
    buffer_add_literal(&basic, "critical");
    size_t none = basic.length;
    list_usages(usages, NID_key_usage, &basic);
    list_usages(usages, NID_ext_key_usage, &extended);
    return (basic.length == none ||
            add_extension(certificate, NULL, NID_key_usage, buffer_text(&basic))) &&
           (extended.length == 0 ||
            add_extension(certificate, NULL, NID_ext_key_usage, buffer_text(&extended) + 1));
}

/* The alternative names of the request, as they stand there. */
static bool copy_names(X509 *certificate, X509_REQ *request)
{
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
    int at = X509v3_get_ext_by_NID(extensions, NID_subject_alt_name, -1);
    bool done =
        at < 0 || X509_add_ext(certificate, sk_X509_EXTENSION_value(extensions, at), -1) == 1;
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return done;
}

static bool set_serial(X509 *certificate)
{
    unsigned char bytes[serial_bytes];
    if (RAND_bytes(bytes, sizeof bytes) != 1) {
        return false;
    }
    bytes[0] = (bytes[0] & 0x7f) | 0x40; /* Positive, and never short. */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool done =
        number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return done;
}

static bool set_times(X509 *certificate, const X509 *authority, int64_t seconds)
{
    int64_t until = seconds < long_seconds ? seconds : seconds - backdate_seconds;
    if (X509_gmtime_adj(X509_getm_notBefore(certificate), -backdate_seconds) == NULL ||
        X509_gmtime_adj(X509_getm_notAfter(certificate), (long)until) == NULL) {
        return false;
    }
    const ASN1_TIME *end = X509_get0_notAfter(authority);
    return ASN1_TIME_compare(X509_get0_notAfter(certificate), end) <= 0 ||
           X509_set1_notAfter(certificate, end) == 1;
}

static bool fill_in(X509 *certificate, const struct pair *pair, const struct certificate_wish *wish)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, pair->certificate, certificate, NULL, NULL, 0);
    bool has_key_id = X509_get0_subject_key_id(pair->certificate) != NULL;
    return X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
           set_times(certificate, pair->certificate, wish->seconds) &&
           X509_set_issuer_name(certificate, X509_get_subject_name(pair->certificate)) == 1 &&
           X509_set_subject_name(certificate, X509_REQ_get_subject_name(wish->request)) == 1 &&
           X509_set_pubkey(certificate, X509_REQ_get0_pubkey(wish->request)) == 1 &&
           add_usages(certificate, wish->usages) &&
           add_extension(certificate, NULL, NID_basic_constraints, "critical,CA:FALSE") &&
           (!has_key_id ||
            add_extension(certificate, &context, NID_authority_key_identifier, "keyid")) &&
           copy_names(certificate, wish->request);
}

/* Those keys that have a digest of their own take no other. */
static const EVP_MD *digest_of(EVP_PKEY *key)
{
    int own = EVP_PKEY_get_base_id(key);
    return own == EVP_PKEY_ED25519 || own == EVP_PKEY_ED448 ? NULL : EVP_sha256();
}

static char *certificate_pem(X509 *certificate)
{
    BIO *text = BIO_new(BIO_s_mem());
    char *bytes, *pem = NULL;
    if (PEM_write_bio_X509(text, certificate) == 1) {
        long length = BIO_get_mem_data(text, &bytes);
        pem = duplicate_bytes(bytes, (size_t)length);
    }
    BIO_free(text);
    return pem;
}

char *certificate_authority_sign(const struct certificate_authority *authority,
                                 const struct certificate_wish *wish, struct error *error)
{
    cleanup(pair_clear)
    struct pair pair = {0};
    if (!read_pair(authority, &pair, error)) {
        return NULL;
    }
    if (X509_cmp_current_time(X509_get0_notAfter(pair.certificate)) < 0) {
        error_internal(error, "the certificate in %s has expired: nothing is signed with it",
                       authority->certificate_file);
        return NULL;
    }
    if (X509_REQ_verify(wish->request, X509_REQ_get0_pubkey(wish->request)) != 1) {
        ERR_clear_error();
        error_internal(error, "the request isn't signed with the key that it asks for");
        return NULL;
    }
    X509 *certificate = X509_new();
    char *pem = NULL;
    if (fill_in(certificate, &pair, wish) &&
        X509_sign(certificate, pair.key, digest_of(pair.key)) > 0) {
        pem = certificate_pem(certificate);
    }
    X509_free(certificate);
    if (pem == NULL) {
        error_internal(error, "OpenSSL can't make the certificate: %s",
                       ERR_reason_error_string(ERR_peek_error()));
    }
    ERR_clear_error();
    return pem;
}
