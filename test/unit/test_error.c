// SPDX-License-Identifier: Apache-2.0
/* Errors as Status objects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/error.h"
#include "common/json.h"

static void a_message_that_is_not_utf8_is_told_nevertheless(void **state)
{
    (void)state;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    error_not_found(&error, "", "pods", "\xc3");
    cleanup(json_release)
    json_t *status = error_to_status(&error);
    assert_string_equal(json_get_string(status, "message"), "pods \"?\" not found");
    assert_string_equal(json_path_string(status, "details", "name"), "?");
    assert_int_equal(json_get_int(status, "code", 0), 404);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_that_is_not_utf8_is_told_nevertheless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
