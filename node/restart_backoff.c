// SPDX-License-Identifier: Apache-2.0
#include "node/restart_backoff.h"

#include <stdbool.h>

enum { first_ms = 10000, most_ms = 300000 };
static const int64_t forgotten_after = 2 * INT64_C(300000000000);
static const int64_t millisecond = 1000000;

static bool is_forgotten(const struct restart_backoff *backoff, int64_t ended)
{
    return backoff->delay_ms == 0 || ended - backoff->updated_at > forgotten_after;
}

int64_t restart_backoff_left_ms(const struct restart_backoff *backoff, int64_t ended, int64_t now)
{
    if (is_forgotten(backoff, ended)) {
        return 0;
    }
    int64_t left = backoff->delay_ms * millisecond - (now - ended);
    return left > 0 ? (left + millisecond - 1) / millisecond : 0;
}

void restart_backoff_raise(struct restart_backoff *backoff, int64_t ended, int64_t now)
{
    if (is_forgotten(backoff, ended)) {
        backoff->delay_ms = first_ms;
    } else {
        backoff->delay_ms = backoff->delay_ms * 2 < most_ms ? backoff->delay_ms * 2 : most_ms;
    }
    backoff->updated_at = now;
}
