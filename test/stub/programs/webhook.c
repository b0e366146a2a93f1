// SPDX-License-Identifier: Apache-2.0
/*
 * An admission webhook on loopback, with TLS, that does as it is told.
 *
 *   webhook FOLDER PORT CERTIFICATE KEY
 *
 * POST /NAME answers as the file FOLDER/NAME says, a JSON object: its member "response" with the
 * request's uid; or "patch", an array that goes out encoded; or "raw", text as it stands; or
 * "size", that many spaces; or "redirect", an URL; "hang": never. What was asked is a line each in
 * FOLDER/asked: NAME and the review.
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/buffer.h"
#include "common/client_config.h"
#include "common/json.h"

enum { file_bytes_max = 1 << 20 };

static const char *folder;

static void note(const char *name, const char *body)
{
    cleanup(free_char)
    char *path = format("%s/asked", folder);
    cleanup(close_stream)
    FILE *file = fopen(path, "ae");
    if (file != NULL) {
        fprintf(file, "%s %s\n", name, body);
    }
}

static json_t *script_of(const char *name)
{
    cleanup(free_char)
    char *path = format("%s/%s", folder, name);
    cleanup(free_char)
    char *text =
        strchr(name, '/') == NULL ? client_config_read_file(path, file_bytes_max, NULL) : NULL;
    return text != NULL ? json_parse(text, strlen(text), NULL) : NULL;
}

static char *answer_of(const json_t *script, const struct buffer *body)
{
    const char *raw = json_get_string(script, "raw");
    json_int_t size = json_get_int(script, "size", 0);
    if (raw != NULL || size > 0) {
        return raw != NULL ? duplicate(raw) : format("%*s", (int)size, "");
    }
    cleanup(json_release)
    json_t *review = json_parse(body->bytes, body->length, NULL);
    json_t *response =
        json_pack("{s:O?, s:b}", "uid", json_path(review, "request", "uid"), "allowed", 1);
    const json_t *patch = json_object_get(script, "patch");
    if (patch != NULL) {
        cleanup(free_char)
        char *text = json_text(patch);
        cleanup(free_char)
        char *encoded = base64_encode(text, strlen(text));
        json_object_set_new(response, "patch", json_string(encoded));
        json_object_set_new(response, "patchType", json_string("JSONPatch"));
    }
    json_object_update(response, json_object_get(script, "response"));
    cleanup(json_release)
    json_t *answer = json_pack("{s:s, s:s, s:o}", "kind", "AdmissionReview", "apiVersion",
                               "admission.k8s.io/v1", "response", response);
    return json_text(answer);
}

static enum MHD_Result answer(struct MHD_Connection *connection, const char *name,
                              const struct buffer *body)
{
    cleanup(json_release)
    json_t *script = script_of(name);
    note(name, body->bytes);
    while (json_get_bool(script, "hang", false)) {
        pause();
    }
    const char *redirect = json_get_string(script, "redirect");
    char *text = answer_of(script, body);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    MHD_add_response_header(response, "Content-Type", "application/json");
    if (redirect != NULL) {
        MHD_add_response_header(response, "Location", redirect);
    }
    enum MHD_Result queued = MHD_queue_response(connection,
                                                script == NULL ? 404
                                                : redirect     ? 307
                                                               : 200,
                                                response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result handle(void *argument, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **context)
{
    (void)argument;
    (void)method;
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
    buffer_add_text(body, "");
    return answer(connection, url + 1, body);
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
        fprintf(stderr, "usage: webhook FOLDER PORT CERTIFICATE KEY\n");
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
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_TLS, 0, NULL,
        NULL, handle, NULL, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_HTTPS_MEM_CERT, certificate,
        MHD_OPTION_HTTPS_MEM_KEY, key, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
        MHD_OPTION_END);
    if (daemon == NULL) {
        fprintf(stderr, "webhook: can't serve on port %s\n", arguments[2]);
        return 1;
    }
    printf("webhook serves\n");
    fflush(stdout);
    sigwait(&signals, &received);
    _exit(0); /* Threads that hang would hold up an end in order. */
}
