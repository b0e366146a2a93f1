// SPDX-License-Identifier: Apache-2.0
#include "common/client_tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "common/alloc.h"

struct client_tls {
    X509_STORE *roots; /* NULL: those of the system. */
    X509 *certificate; /* NULL: none is shown. */
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
    bool is_insecure;
};

/* All certificates of the text; false when there is none. */
static bool read_certificates(const char *pem, STACK_OF(X509) * certificates)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    for (X509 *one; (one = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL;) {
        sk_X509_push(certificates, one);
    }
    BIO_free(bio);
    ERR_clear_error();
    return sk_X509_num(certificates) > 0;
}

static void free_certificates(STACK_OF(X509) * certificates)
{
    sk_X509_pop_free(certificates, X509_free);
}

static bool read_roots(struct client_tls *tls, const char *pem, struct error *error)
{
    STACK_OF(X509) *certificates = sk_X509_new_null();
    bool valid = read_certificates(pem, certificates);
    tls->roots = X509_STORE_new();
    for (int i = 0; i < sk_X509_num(certificates); i++) {
        X509_STORE_add_cert(tls->roots, sk_X509_value(certificates, i));
    }
    free_certificates(certificates);
    return valid || error_bad_request(error, "the server's certificate authority is no PEM text "
                                             "with certificates");
}

static bool read_key_pair(struct client_tls *tls, const char *certificate_pem, const char *key_pem,
                          struct error *error)
{
    BIO *bio = BIO_new_mem_buf(key_pem, -1);
    tls->chain = sk_X509_new_null();
    if (read_certificates(certificate_pem, tls->chain)) {
        tls->certificate = sk_X509_shift(tls->chain);
    }
    tls->key = PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"");
    BIO_free(bio);
    bool valid = true;
    if (tls->certificate == NULL || tls->key == NULL) {
        valid = error_bad_request(error, "the client's %s can't be read as PEM",
                                  tls->certificate == NULL ? "certificate" : "key");
    } else if (X509_check_private_key(tls->certificate, tls->key) != 1) {
        valid = error_bad_request(error, "the client's key is not that of its certificate");
    }
    ERR_clear_error();
    return valid;
}

struct client_tls *client_tls_new(const struct client_config *config, struct error *error)
{
    struct client_tls *tls = allocate_struct(struct client_tls);
    tls->is_insecure = config->insecure;
    if ((config->ca != NULL && !read_roots(tls, config->ca, error)) ||
        (config->certificate != NULL &&
         !read_key_pair(tls, config->certificate, config->key, error))) {
        client_tls_free(tls);
        return NULL;
    }
    return tls;
}

struct client_tls *client_tls_without_certificate(const struct client_tls *other)
{
    struct client_tls *tls = allocate_struct(struct client_tls);
    tls->is_insecure = other->is_insecure;
    tls->roots = other->roots;
    if (tls->roots != NULL) {
        X509_STORE_up_ref(tls->roots);
    }
    return tls;
}

void client_tls_free(struct client_tls *tls)
{
    if (tls != NULL) {
        X509_STORE_free(tls->roots);
        X509_free(tls->certificate);
        free_certificates(tls->chain);
        EVP_PKEY_free(tls->key);
        free(tls);
    }
}

static CURLcode set_context(CURL *easy, void *context, void *argument)
{
    const struct client_tls *tls = argument;
    (void)easy;
    if (tls->roots != NULL) {
        SSL_CTX_set1_cert_store(context, tls->roots);
    }
    if (tls->certificate != NULL &&
        (SSL_CTX_use_cert_and_key(context, tls->certificate, tls->key, tls->chain, 1) != 1)) {
        return CURLE_SSL_CERTPROBLEM;
    }
    return CURLE_OK;
}

void client_tls_apply(const struct client_tls *tls, CURL *easy)
{
    if (tls->roots != NULL) { /* Or curl would read the system's. */
        curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (tls->is_insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, set_context);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, tls);
}
