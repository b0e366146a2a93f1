// SPDX-License-Identifier: Apache-2.0
/*
 * Expectations keep a controller from acting twice on a view that does not show yet what it did.
 *
 * Before it creates or deletes, it notes how many creations and which deletions its informer is
 * going to see; until they were seen, or five minutes have gone by, the key's expectations are not
 * satisfied and the controller does not create or delete again.
 *
 * They also remember how many creations at once went well under a key, so that a controller that
 * goes on where it stopped need not feel its way again.
 *
 * Threads: any.
 */
#ifndef CONTROLLERS_EXPECTATIONS_H
#define CONTROLLERS_EXPECTATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct expectations;

struct expectations *expectations_new(void);
void expectations_free(struct expectations *expectations);

/* Adds to what is expected under the key. */
void expectations_expect_creations(struct expectations *expectations, const char *key,
                                   size_t count);
void expectations_expect_deletion(struct expectations *expectations, const char *key,
                                  const char *uid);
/* One creation was seen, or will never be because it failed. */
void expectations_saw_creation(struct expectations *expectations, const char *key);
/* This deletion was seen or failed; one that nobody expects is ignored. */
void expectations_saw_deletion(struct expectations *expectations, const char *key, const char *uid);
/* This deletion is expected and was not seen yet, however long ago that was. */
bool expectations_expects_deletion(struct expectations *expectations, const char *key,
                                   const char *uid);
/* It is not known whether some of what is expected will ever be seen, because the answer was lost:
 * after that time it is not waited for any more. */
void expectations_doubt(struct expectations *expectations, const char *key, int64_t delay_ms);
/* 0 when the controller may act; else in how many milliseconds what is expected will be given up,
 * at the latest: the key is to be looked at again then, because nothing else may bring it. */
int64_t expectations_wait_ms(struct expectations *expectations, const char *key);
/* A batch of so many creations succeeded as a whole; 0: one did not. */
void expectations_set_batch(struct expectations *expectations, const char *key, size_t size);
/* How many creations to begin with: as many as were set within the last seconds, else 1. */
size_t expectations_batch(struct expectations *expectations, const char *key);
void expectations_forget(struct expectations *expectations, const char *key);

#endif
