// SPDX-License-Identifier: Apache-2.0
#ifndef APISERVER_AUDIT_OPTIONS_H
#define APISERVER_AUDIT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* How events get to one place. */
struct audit_sink_options {
    const char *mode; /* "batch", "blocking" or "blocking-strict" */
    /* Of batches: how many events may wait, how many go at once, how long the first of them waits.
     */
    int64_t buffer_size, batch_size, batch_wait_ns;
    bool truncates;
    int64_t event_bytes_max, batch_bytes_max; /* When it truncates. */
};

/* As on the command line; NULL where it says nothing. */
struct audit_options {
    const char *policy_file;
    const char *log_path, *log_format;
    int64_t log_days_max, log_backups_max, log_megabytes_max;
    bool log_compress;
    struct audit_sink_options log;
    const char *webhook_config_file;
    int64_t webhook_backoff_ns;
    struct audit_sink_options webhook;
};

#endif
