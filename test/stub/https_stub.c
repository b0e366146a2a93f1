// SPDX-License-Identifier: Apache-2.0
#include "test/stub/https_stub.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/client_config.h"

const char *https_stub_folder;

static https_stub_answer answer_with;

void https_stub_note(const char *first, const char *second)
{
    cleanup(free_char)
    char *path = format("%s/asked", https_stub_folder);
    cleanup(close_stream)
    FILE *file = fopen(path, "ae");
    if (file != NULL) {
        fprintf(file, "%s %s\n", first, second);
    }
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
    buffer_add_text(body, "");
    return answer_with(connection, method, url, body);
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

int https_stub_main(int count, char **arguments, const char *name, https_stub_answer answer)
{
    if (count != 5) {
        fprintf(stderr, "usage: %s FOLDER PORT CERTIFICATE KEY\n", name);
        return 2;
    }
    https_stub_folder = arguments[1];
    answer_with = answer;
    cleanup(free_char)
    char *certificate = client_config_read_file(arguments[3], https_stub_file_bytes_max, NULL);
    cleanup(free_char)
    char *key = client_config_read_file(arguments[4], https_stub_file_bytes_max, NULL);
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
        fprintf(stderr, "%s: can't serve on port %s\n", name, arguments[2]);
        return 1;
    }
    printf("%s serves\n", name);
    fflush(stdout);
    sigwait(&signals, &received);
    _exit(0); /* Threads that hang would hold up an end in order. */
}
