// SPDX-License-Identifier: Apache-2.0
/*
 * The file that audit events are appended to, a line each. When it would grow beyond its size it is
 * renamed, "audit-2026-01-31T12-00-00.000.log", and a new one begun; old ones are compressed and
 * deleted in the background.
 *
 * Threads: any. Lines come one after the other, so that the lock is held while one is written: to
 * the page cache, which waits for nobody's network, and for the disk only when memory is short.
 */
#ifndef APISERVER_AUDIT_LOG_FILE_H
#define APISERVER_AUDIT_LOG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct audit_log_file;

struct audit_log_file_options {
    const char *path;        /* "-": standard output, which is never renamed. */
    int64_t size_bytes_max;  /* 0: 100 MiB. */
    int64_t backups_max;     /* Old files to keep; 0: all. */
    int64_t age_seconds_max; /* Of old files; 0: any. */
    bool compress;           /* Old files, with gzip. */
};

/* The folder is made when it is missing; files have mode 0600. */
struct audit_log_file *audit_log_file_open(const struct audit_log_file_options *options,
                                           struct error *error);
/* Appends a line; all of it, or nothing and an error. */
bool audit_log_file_write(struct audit_log_file *file, const char *line, size_t length,
                          struct error *error);
/* Waits for what is done in the background. NULL is fine. */
void audit_log_file_close(struct audit_log_file *file);

#endif
