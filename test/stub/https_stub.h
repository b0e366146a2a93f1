// SPDX-License-Identifier: Apache-2.0
/*
 * What the tests' servers on loopback share: TLS, a thread a connection, whole bodies, an end by
 * signal, and a file of what was asked.
 */
#ifndef TEST_STUB_HTTPS_STUB_H
#define TEST_STUB_HTTPS_STUB_H

#include <microhttpd.h>

#include "common/buffer.h"

enum { https_stub_file_bytes_max = 1 << 20 };

/* The folder that the command line names. */
extern const char *https_stub_folder;

/* Queues the answer to a request whose body is complete (and ends with a NUL). Several threads at
 * once. */
typedef enum MHD_Result (*https_stub_answer)(struct MHD_Connection *connection, const char *method,
                                             const char *url, const struct buffer *body);

/* NAME FOLDER PORT CERTIFICATE KEY: says "NAME serves" and serves until SIGTERM. The program's
 * status. */
int https_stub_main(int count, char **arguments, const char *name, https_stub_answer answer);
/* Adds a line of two words to FOLDER/asked. */
void https_stub_note(const char *first, const char *second);

#endif
