// SPDX-License-Identifier: Apache-2.0
/*
 * How long failed pods of a DaemonSet stay: a node on which pods fail at once must not be given one
 * after the other. The first goes at once, the next a second later, then each after twice as long,
 * at most 15 min; a node that was left alone for twice that long begins anew.
 *
 * Threads: any.
 */
#ifndef CONTROLLERS_DAEMONSET_BACKOFF_H
#define CONTROLLERS_DAEMONSET_BACKOFF_H

#include <stdint.h>

struct daemonset_backoffs;

struct daemonset_backoffs *daemonset_backoffs_new(void);
/* NULL is fine. */
void daemonset_backoffs_free(struct daemonset_backoffs *backoffs);

/* How long the failed pod of this key has to stay, from 'now' on; 0 when it may go, which counts.
 * Nanoseconds, of a clock that only goes forward. */
int64_t daemonset_back_off(struct daemonset_backoffs *backoffs, const char *key, int64_t now);

#endif
