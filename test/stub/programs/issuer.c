// SPDX-License-Identifier: Apache-2.0
/*
 * An identity provider of others, on loopback, with TLS: for tests of OpenID Connect and of
 * webhooks.
 *
 *   issuer FOLDER PORT CERTIFICATE KEY
 *
 * GET /… answers with the file of that name in FOLDER/public; POST /review takes a TokenReview or
 * SubjectAccessReview and answers with the status in FOLDER/reviews/<token or user>, or with a no.
 * What was asked is a line each in FOLDER/asked.
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/client_config.h"
#include "common/json.h"

enum { file_bytes_max = 1 << 20 };

static const char *folder;

/* Only names that lead nowhere else. */
static bool is_name(const char *text)
{
    return text[0] != '\0' && strstr(text, "..") == NULL &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") ==
               strlen(text);
}

static char *read_public(const char *path)
{
    cleanup(free_char)
    char *name = format("%s/public%s", folder, path);
    return is_name(path) ? client_config_read_file(name, file_bytes_max, NULL) : NULL;
}

static json_t *status_of(const char *token)
{
    cleanup(free_char)
    char *name = format("%s/reviews/%s", folder, token);
    cleanup(free_char)
    char *text = is_name(token) && strchr(token, '/') == NULL
                     ? client_config_read_file(name, file_bytes_max, NULL)
                     : NULL;
    json_t *status = text ? json_parse(text, strlen(text), NULL) : NULL;
    return status ? status : json_pack("{s:b, s:b}", "authenticated", 0, "allowed", 0);
}

static char *review(const struct buffer *body)
{
    cleanup(json_release)
    json_t *asked = json_parse(buffer_text(body), body->length, NULL);
    const char *token = json_path_string(asked, "spec", "token");
    token = token ? token : json_path_string(asked, "spec", "user");
    if (token == NULL) {
        return NULL;
    }
    json_object_set_new(asked, "status", status_of(token));
    return json_text(asked);
}

static void note(const char *method, const char *url)
{
    cleanup(free_char)
    char *name = format("%s/asked", folder);
    cleanup(close_stream)
    FILE *file = fopen(name, "ae");
    if (file != NULL) {
        fprintf(file, "%s %s\n", method, url);
    }
}

static enum MHD_Result answer(struct MHD_Connection *connection, char *text)
{
    unsigned code = text ? 200 : 404;
    text = text ? text : duplicate("{}");
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result queued = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result handle(void *argument, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **context)
{
    (void)argument;
    (void)version;
    struct buffer *body = *context;
    if (body == NULL) {
        *context = allocate_struct(struct buffer);
        return MHD_YES;
    }
    if (*upload_size > 0) {
        buffer_add(body, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    note(method, url);
    return answer(connection, strcmp(method, "POST") == 0 ? review(body) : read_public(url));
}

static void completed(void *argument, struct MHD_Connection *connection, void **context,
                      enum MHD_RequestTerminationCode code)
{
    (void)argument;
    (void)connection;
    (void)code;
    struct buffer *body = *context;
    if (body != NULL) {
        buffer_free(body);
        free(body);
    }
}

int main(int count, char **arguments)
{
    if (count != 5) {
        fprintf(stderr, "usage: issuer FOLDER PORT CERTIFICATE KEY\n");
        return 2;
    }
    folder = arguments[1];
    cleanup(free_char)
    char *certificate = client_config_read_file(arguments[3], file_bytes_max, NULL);
    cleanup(free_char)
    char *key = client_config_read_file(arguments[4], file_bytes_max, NULL);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)atoi(arguments[2]))};
    sigset_t signals;
    int received;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_TLS, 0, NULL, NULL, handle, NULL,
                         MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_HTTPS_MEM_CERT, certificate,
                         MHD_OPTION_HTTPS_MEM_KEY, key, MHD_OPTION_NOTIFY_COMPLETED, completed,
                         NULL, MHD_OPTION_END);
    if (daemon == NULL) {
        fprintf(stderr, "issuer: can't serve on port %s\n", arguments[2]);
        return 1;
    }
    printf("issuer serves\n");
    fflush(stdout);
    sigwait(&signals, &received);
    MHD_stop_daemon(daemon);
    return 0;
}
