// SPDX-License-Identifier: Apache-2.0
/*
 * For tests of the HTTP layer: a server on a port of its own, with a certificate made for it, and
 * a client that sends what it is told, byte for byte, right or wrong.
 *
 * Nothing waits without end: a client that gets no answer within 20 s fails its test.
 */
#ifndef TEST_UNIT_HTTP_HARNESS_H
#define TEST_UNIT_HTTP_HARNESS_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "apiserver/http/server.h"
#include "common/alloc.h"
#include "common/buffer.h"

enum { patience_seconds = 20 };

/* ---- certificates ---- */

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

static inline void add_name(X509_NAME *name, const char *field, const char *value)
{
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_ASC, (const unsigned char *)value, -1, -1, 0);
}

static inline void add_extension(X509 *certificate, int kind, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

/* A key and a certificate for it that says 'name', in 'organization' unless NULL, valid until
 * 'seconds' from now, signed by 'issuer' or, if that is NULL, by itself as an authority. 'usage'
 * is "clientAuth", "serverAuth" or NULL. */
static inline struct identity make_identity(const char *name, const char *organization,
                                            const struct identity *issuer, const char *usage,
                                            long seconds)
{
    struct identity made = {EVP_EC_gen("P-256"), X509_new()};
    X509_set_version(made.certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(made.certificate), -7200);
    X509_gmtime_adj(X509_getm_notAfter(made.certificate), seconds);
    X509_NAME *subject = X509_get_subject_name(made.certificate);
    if (organization != NULL) {
        add_name(subject, "O", organization);
    }
    add_name(subject, "CN", name);
    X509_set_issuer_name(made.certificate,
                         issuer ? X509_get_subject_name(issuer->certificate) : subject);
    X509_set_pubkey(made.certificate, made.key);
    add_extension(made.certificate, NID_basic_constraints,
                  issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (usage != NULL) {
        add_extension(made.certificate, NID_ext_key_usage, usage);
    }
    X509_sign(made.certificate, issuer ? issuer->key : made.key, EVP_sha256());
    return made;
}

static inline void identity_free(struct identity *identity)
{
    X509_free(identity->certificate);
    EVP_PKEY_free(identity->key);
}

static inline void write_certificate(const char *path, const struct identity *identity)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    PEM_write_X509(file, identity->certificate);
    fclose(file);
}

static inline void write_key(const char *path, const struct identity *identity)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    PEM_write_PrivateKey(file, identity->key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
}

/* ---- the server ---- */

struct fixture {
    char directory[32], certificate[64], key[64];
    struct server_options options; /* May be changed before fixture_start(). */
    struct server *server;
};

static inline void fixture_init(struct fixture *fixture)
{
    signal(SIGPIPE, SIG_IGN);
    *fixture = (struct fixture){.directory = "/tmp/http-test-XXXXXX"};
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->certificate, sizeof fixture->certificate, "%s/crt", fixture->directory);
    snprintf(fixture->key, sizeof fixture->key, "%s/key", fixture->directory);
    cleanup(identity_free)
    struct identity identity = make_identity("first", NULL, NULL, NULL, 3600);
    write_certificate(fixture->certificate, &identity);
    write_key(fixture->key, &identity);
    fixture->options = (struct server_options){
        .authentication_workers = 2,
        .bind_address = "127.0.0.1",
        .certificate_file = fixture->certificate,
        .key_file = fixture->key,
        .http_threads = 2,
        .workers = 4,
    };
}

static inline void fixture_start(struct fixture *fixture, const struct handler *handler)
{
    struct error error = ERROR_INIT;
    fixture->server = server_start(&fixture->options, handler, &error);
    if (fixture->server == NULL) {
        fail_msg("%s", error.message);
    }
}

static inline void fixture_clear(struct fixture *fixture)
{
    server_stop(fixture->server, 10000);
    unlink(fixture->certificate);
    unlink(fixture->key);
    rmdir(fixture->directory);
}

/* ---- a client ---- */

struct client {
    int socket;
    SSL_CTX *context;
    SSL *tls;
    struct buffer received; /* What came and was not taken yet. */
};

/* A TCP connection to the server that does not even say hello. */
static inline int connect_socket(const struct fixture *fixture)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(server_port(fixture->server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = patience_seconds};
    int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (file < 0 || connect(file, (struct sockaddr *)&address, sizeof address) != 0) {
        fail_msg("can't connect: %s", strerror(errno));
    }
    return file;
}

/* With a client certificate unless NULL. */
static inline struct client *client_open_as(const struct fixture *fixture,
                                            const struct identity *identity)
{
    struct client *client = allocate_struct(struct client);
    client->socket = connect_socket(fixture);
    client->context = SSL_CTX_new(TLS_client_method());
    if (identity != NULL) {
        SSL_CTX_use_certificate(client->context, identity->certificate);
        SSL_CTX_use_PrivateKey(client->context, identity->key);
    }
    client->tls = SSL_new(client->context);
    SSL_set_fd(client->tls, client->socket);
    if (SSL_connect(client->tls) != 1) {
        fail_msg("no TLS with the server");
    }
    return client;
}

static inline struct client *client_open(const struct fixture *fixture)
{
    return client_open_as(fixture, NULL);
}

static inline void client_close(struct client *client)
{
    SSL_free(client->tls);
    SSL_CTX_free(client->context);
    close(client->socket);
    buffer_free(&client->received);
    free(client);
}

/* False when the server has closed the connection. */
static inline bool client_send_bytes(struct client *client, const char *bytes, size_t length)
{
    return length == 0 || SSL_write(client->tls, bytes, (int)length) == (int)length;
}

static inline bool client_send(struct client *client, const char *text)
{
    return client_send_bytes(client, text, strlen(text));
}

static inline void client_ask(struct client *client, const char *path)
{
    cleanup(free_char)
    char *text = format("GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    client_send(client, text);
}

/* Waits for more; false at the end of the connection. */
static inline bool client_receive(struct client *client)
{
    char bytes[16384];
    errno = 0;
    int count = SSL_read(client->tls, bytes, sizeof bytes);
    if (count <= 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        fail_msg("no answer within %d s, only: %s", patience_seconds,
                 buffer_text(&client->received));
    }
    if (count > 0) {
        buffer_add(&client->received, bytes, (size_t)count);
    }
    return count > 0;
}

/* Waits until 'text' has come. */
static inline void client_expect(struct client *client, const char *text)
{
    while (strstr(buffer_text(&client->received), text) == NULL) {
        if (!client_receive(client)) {
            fail_msg("the connection ended before \"%s\" came, behind: %s", text,
                     buffer_text(&client->received));
        }
    }
}

/* All that comes until the server closes the connection. Borrowed. */
static inline const char *client_rest(struct client *client)
{
    while (client_receive(client)) {
    }
    return buffer_text(&client->received);
}

/* One connection: sends the text and returns all that comes until the server closes it. */
static inline char *converse(const struct fixture *fixture, const char *text)
{
    struct client *client = client_open(fixture);
    client_send(client, text);
    char *answer = duplicate(client_rest(client));
    client_close(client);
    return answer;
}

static inline size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part)) {
        count++;
    }
    return count;
}

static inline void assert_begins(const char *text, const char *beginning)
{
    if (strncmp(text, beginning, strlen(beginning)) != 0) {
        fail_msg("expected \"%s\" at the beginning of: %s", beginning, text);
    }
}

static inline void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("expected \"%s\" in: %s", part, text);
    }
}

static inline void assert_has_not(const char *text, const char *part)
{
    if (strstr(text, part) != NULL) {
        fail_msg("expected no \"%s\" in: %s", part, text);
    }
}

#endif
