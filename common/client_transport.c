// SPDX-License-Identifier: Apache-2.0
#include "common/client_transport.h"

#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/client_tls.h"
#include "common/log.h"
#include "common/timestamp.h"
#include "common/version.h"

enum { connect_timeout_ms = 10000, largest_token = 64 * 1024 };

static const int64_t token_lifetime = 60 * INT64_C(1000000000);

struct client_transport {
    struct client_config config;
    struct client_tls *tls;
    char *user_agent;
    char *base;                    /* What stands before a path in a URL. */
    char *prefix;                  /* And in a request: the path of the base, "" for most. */
    char *same_fields;             /* What all heads say. */
    struct curl_slist *connect_to; /* NULL: the URL says where. */
    char *authorization;           /* The header, NULL without a token. */
    int64_t token_read_at;         /* When the token file was read, monotonic; 0: not yet. */
};

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

/* Host and User-Agent, with what follows the host in the base. */
static void set_same_fields(struct client_transport *transport)
{
    bool has_tls = strncmp(transport->base, "https:", 6) == 0;
    const char *default_port = has_tls ? ":443" : ":80";
    const char *host = strstr(transport->base, "://") + 3;
    size_t length = strcspn(host, "/?#"), port_length = strlen(default_port);
    const char *path = host + length;
    size_t path_length = strlen(path);
    while (path_length > 0 && path[path_length - 1] == '/') {
        path_length--;
    }
    if (length > port_length &&
        memcmp(host + length - port_length, default_port, port_length) == 0) {
        length -= port_length;
    }
    transport->prefix = duplicate_bytes(path, path_length);
    transport->same_fields =
        format("Host: %.*s\r\nUser-Agent: %s\r\n", (int)length, host, transport->user_agent);
}

struct client_transport *client_transport_new(struct client_config *config, const char *user_agent,
                                              struct error *error)
{
    struct client_tls *tls = client_tls_new(config, error);
    if (tls == NULL) {
        return NULL;
    }
    struct client_transport *transport = allocate_struct(struct client_transport);
    transport->tls = tls;
    transport->config = *config;
    *config = CLIENT_CONFIG_INIT;
    transport->user_agent = format("%s/%s (linux) kubernetes/%.12s", user_agent,
                                   version_git_version, version_git_commit);
    set_address(transport);
    set_same_fields(transport);
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
    transport->config.tls_server_name = duplicate_if_any(other->config.tls_server_name);
    transport->tls = client_tls_without_certificate(other->tls);
    transport->user_agent = duplicate(other->user_agent);
    set_address(transport);
    set_same_fields(transport);
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
    client_tls_free(transport->tls);
    curl_slist_free_all(transport->connect_to);
    free(transport->base);
    free(transport->prefix);
    free(transport->same_fields);
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

static void set_connection(const struct client_transport *transport, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, transport->connect_to);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_timeout_ms);
    client_tls_apply(transport->tls, easy);
}

void client_transport_connect(struct client_transport *transport, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_URL, transport->base);
    set_connection(transport, easy);
}

/* ---- heads ---- */

static bool has_only_visible(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text <= ' ' || *text == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool fits_a_line(const char *text)
{
    return text == NULL || strpbrk(text, "\r\n") == NULL;
}

/* 'value' may be NULL: then there is no such field. */
static void add_field(struct buffer *text, const char *name, const char *value)
{
    if (value != NULL) {
        buffer_add_text(text, name);
        buffer_add_literal(text, ": ");
        buffer_add_text(text, value);
        buffer_add_literal(text, "\r\n");
    }
}

static void add_credentials(struct client_transport *transport, struct buffer *text)
{
    const struct client_config *config = &transport->config;
    const char *token = authorization(transport);
    if (token != NULL) {
        buffer_add_text(text, token);
        buffer_add_literal(text, "\r\n");
    } else if (config->username != NULL) {
        cleanup(free_char)
        char *both =
            format("%s:%s", config->username, config->password != NULL ? config->password : "");
        buffer_add_literal(text, "Authorization: Basic ");
        base64_encode_to(text, both, strlen(both));
        buffer_add_literal(text, "\r\n");
        explicit_bzero(both, strlen(both));
    }
}

static bool must_tell_length(const struct client_head *head)
{
    return head->body_length > 0 || head->method[0] == 'P'; /* POST, PUT or PATCH */
}

static const char *type_or_json(const char *type)
{
    return type != NULL ? type : "application/json";
}

bool client_transport_add_head(struct client_transport *transport, const struct client_head *head,
                               struct buffer *text, struct error *error)
{
    if (!has_only_visible(head->path) || !fits_a_line(head->user) || !fits_a_line(head->group)) {
        return error_bad_request(error, "no request can be made with this path or user");
    }
    buffer_add_text(text, head->method);
    buffer_add_char(text, ' ');
    buffer_add_text(text, transport->prefix);
    buffer_add_text(text, head->path);
    buffer_add_literal(text, " HTTP/1.1\r\n");
    buffer_add_text(text, transport->same_fields);
    add_credentials(transport, text);
    add_field(text, "Accept", type_or_json(head->accept));
    add_field(text, "Impersonate-User", head->user);
    add_field(text, "Impersonate-Group", head->user != NULL ? head->group : NULL);
    if (must_tell_length(head)) {
        add_field(text, "Content-Type", type_or_json(head->content_type));
        buffer_add_literal(text, "Content-Length: ");
        buffer_add_int(text, (int64_t)head->body_length);
        buffer_add_literal(text, "\r\n");
    }
    buffer_add_literal(text, "\r\n");
    return true;
}

/* ---- transfers ---- */

struct curl_slist *client_transport_prepare(struct client_transport *transport, CURL *easy,
                                            const char *path, const char *accept,
                                            const char *content_type)
{
    const struct client_config *config = &transport->config;
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    cleanup(free_char)
    char *accept_line = format("Accept: %s", type_or_json(accept));
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
    set_connection(transport, easy);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, transport->user_agent);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
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
