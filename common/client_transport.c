// SPDX-License-Identifier: Apache-2.0
#include "common/client_transport.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "common/alloc.h"
#include "common/log.h"
#include "common/timestamp.h"
#include "common/version.h"

enum { connect_timeout_ms = 10000, largest_token = 64 * 1024 };

static const int64_t token_lifetime = 60 * INT64_C(1000000000);

struct client_transport {
    struct client_config config;
    char *user_agent;
    char *base;                    /* What stands before a path in a URL. */
    struct curl_slist *connect_to; /* NULL: the URL says where. */
    char *authorization;           /* The header, NULL without a token. */
    int64_t token_read_at;         /* When the token file was read, monotonic; 0: not yet. */
};

/* ---- certificates ---- */

static bool check_certificates(const char *pem, struct error *error)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    bool valid = certificate != NULL;
    X509_free(certificate);
    BIO_free(bio);
    return valid || error_bad_request(error, "the server's certificate authority is no PEM text "
                                             "with certificates");
}

static bool check_key_pair(const char *certificate_pem, const char *key_pem, struct error *error)
{
    BIO *certificate_bio = BIO_new_mem_buf(certificate_pem, -1);
    BIO *key_bio = BIO_new_mem_buf(key_pem, -1);
    X509 *certificate = PEM_read_bio_X509(certificate_bio, NULL, NULL, NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, (void *)"");
    bool valid = true;
    if (certificate == NULL || key == NULL) {
        valid = error_bad_request(error, "the client's %s can't be read as PEM",
                                  certificate == NULL ? "certificate" : "key");
    } else if (X509_check_private_key(certificate, key) != 1) {
        valid = error_bad_request(error, "the client's key is not that of its certificate");
    }
    EVP_PKEY_free(key);
    X509_free(certificate);
    BIO_free(key_bio);
    BIO_free(certificate_bio);
    ERR_clear_error();
    return valid;
}

/* ---- life ---- */

/* tls-server-name: the connection goes to the address in 'server', but asks for and expects another
 * name; curl takes that from the URL, so the URL carries the name and a connect-to the address. */
static void set_address(struct client_transport *transport)
{
    const struct client_config *config = &transport->config;
    if (config->tls_server_name == NULL || strncmp(config->server, "https://", 8) != 0) {
        transport->base = duplicate(config->server);
        return;
    }
    const char *authority = config->server + 8;
    const char *colon = strrchr(authority, ':');
    bool has_port = colon != NULL && strchr(colon, ']') == NULL;
    size_t host_length = has_port ? (size_t)(colon - authority) : strlen(authority);
    cleanup(free_char)
    char *rule = format("::%.*s:%s", (int)host_length, authority, has_port ? colon + 1 : "443");
    transport->connect_to = curl_slist_append(NULL, rule);
    transport->base = format("https://%s%s", config->tls_server_name, has_port ? colon : "");
}

struct client_transport *client_transport_new(struct client_config *config, const char *user_agent,
                                              struct error *error)
{
    if ((config->ca != NULL && !check_certificates(config->ca, error)) ||
        (config->certificate != NULL && !check_key_pair(config->certificate, config->key, error))) {
        return NULL;
    }
    struct client_transport *transport = allocate_struct(struct client_transport);
    transport->config = *config;
    *config = CLIENT_CONFIG_INIT;
    transport->user_agent = format("%s/%s (linux) kubernetes/%.12s", user_agent,
                                   version_git_version, version_git_commit);
    set_address(transport);
    return transport;
}

static void forget_token(struct client_transport *transport)
{
    if (transport->authorization != NULL) {
        explicit_bzero(transport->authorization, strlen(transport->authorization));
    }
    free(transport->authorization);
    transport->authorization = NULL;
}

static char *duplicate_if_any(const char *text)
{
    return text != NULL ? duplicate(text) : NULL;
}

struct client_transport *client_transport_for_token(const struct client_transport *other)
{
    struct client_transport *transport = allocate_struct(struct client_transport);
    transport->config.server = duplicate(other->config.server);
    transport->config.ca = duplicate_if_any(other->config.ca);
    transport->config.tls_server_name = duplicate_if_any(other->config.tls_server_name);
    transport->config.insecure = other->config.insecure;
    transport->user_agent = duplicate(other->user_agent);
    set_address(transport);
    return transport;
}

void client_transport_set_token(struct client_transport *transport, const char *token)
{
    forget_token(transport);
    if (token != NULL) {
        transport->authorization = format("Authorization: Bearer %s", token);
    }
}

void client_transport_free(struct client_transport *transport)
{
    if (transport == NULL) {
        return;
    }
    forget_token(transport);
    client_config_clear(&transport->config);
    curl_slist_free_all(transport->connect_to);
    free(transport->base);
    free(transport->user_agent);
    free(transport);
}

const char *client_transport_host(const struct client_transport *transport)
{
    return strstr(transport->config.server, "://") + 3;
}

/* ---- requests ---- */

/* Keeps the token that it has when the file can't be read just now. */
static void read_token(struct client_transport *transport)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(free_char)
    char *token = client_config_read_file(transport->config.token_file, largest_token, &error);
    transport->token_read_at = timestamp_monotonic();
    if (token == NULL) {
        log_warning("token file %s", error.message);
        return;
    }
    token[strcspn(token, " \r\n\t")] = '\0';
    client_transport_set_token(transport, token);
    explicit_bzero(token, strlen(token));
}

static const char *authorization(struct client_transport *transport)
{
    const struct client_config *config = &transport->config;
    if (config->token_file != NULL &&
        (transport->token_read_at == 0 ||
         timestamp_monotonic() - transport->token_read_at > token_lifetime)) {
        read_token(transport);
    } else if (config->token != NULL && transport->authorization == NULL) {
        client_transport_set_token(transport, config->token);
    }
    return transport->authorization;
}

static void set_blob(CURL *easy, CURLoption option, char *text)
{
    if (text != NULL) {
        struct curl_blob blob = {text, strlen(text), CURL_BLOB_NOCOPY};
        curl_easy_setopt(easy, option, &blob);
    }
}

static void set_tls(CURL *easy, const struct client_config *config)
{
    set_blob(easy, CURLOPT_CAINFO_BLOB, config->ca);
    set_blob(easy, CURLOPT_SSLCERT_BLOB, config->certificate);
    set_blob(easy, CURLOPT_SSLKEY_BLOB, config->key);
    if (config->insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

struct curl_slist *client_transport_prepare(struct client_transport *transport, CURL *easy,
                                            const char *path, const char *accept,
                                            const char *content_type)
{
    const struct client_config *config = &transport->config;
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    cleanup(free_char)
    char *accept_line = format("Accept: %s", accept != NULL ? accept : "application/json");
    curl_easy_reset(easy);
    headers = curl_slist_append(headers, accept_line);
    if (content_type != NULL) {
        cleanup(free_char)
        char *line = format("Content-Type: %s", content_type);
        headers = curl_slist_append(headers, line);
    }
    if (authorization(transport) != NULL) {
        headers = curl_slist_append(headers, transport->authorization);
    } else if (config->username != NULL) {
        curl_easy_setopt(easy, CURLOPT_USERNAME, config->username);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, config->password ? config->password : "");
    }
    cleanup(free_char)
    char *url = format("%s%s", transport->base, path);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, transport->connect_to);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, transport->user_agent);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_timeout_ms);
    set_tls(easy, config);
    return headers;
}

bool client_transport_failed(const struct client_transport *transport, CURLcode result,
                             const char *detail, const char *method, const char *path,
                             struct error *error)
{
    return error_unavailable(error, "%s %s%.*s: %s", method, transport->config.server,
                             (int)strcspn(path, "?"), path,
                             detail[0] != '\0' ? detail : curl_easy_strerror(result));
}
