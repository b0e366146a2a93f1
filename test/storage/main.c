// SPDX-License-Identifier: Apache-2.0
/* Runs the tests of the stores. ETCD_ENDPOINT names the etcd they share; test/storage/run sets it.
 * An argument chooses tests by a pattern such as "*watch*". */
#include "test/storage/harness.h"

int main(int count, char **arguments)
{
    if (count > 1) {
        cmocka_set_test_filter(arguments[1]);
    }
    int failed = run_common_tests();
    failed += run_sqlite_tests();
    failed += run_etcd_tests();
    return failed > 0 ? 1 : 0;
}
