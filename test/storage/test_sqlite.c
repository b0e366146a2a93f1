// SPDX-License-Identifier: Apache-2.0
/* What only the embedded store meets: the file and what happens to it. */
#include "test/storage/harness.h"

int run_sqlite_tests(void)
{
    return 0;
}
