// SPDX-License-Identifier: Apache-2.0
/* Regular expressions: what is said of a wrong one is what Go would say of a part of it. */
#include "common/regexp.h"
#include "test/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char prefix[] = "error parsing regexp: ";
    cleanup(free_char)
    char *text = fuzz_line(&data, &size);
    size_t length = strlen(text);
    char *exact = allocate(length + (length == 0)); /* Nothing is behind it. */
    memcpy(exact, text, length);
    cleanup(free_char)
    char *message = regexp_check(exact, length);
    free(exact);
    if (message != NULL) {
        fuzz_expect(strncmp(message, prefix, strlen(prefix)) == 0);
        const char *part = strchr(message, '`');
        fuzz_expect(part != NULL && message[strlen(message) - 1] == '`');
        fuzz_expect(memmem(text, length, part + 1, strlen(part) - 2) != NULL || strlen(part) == 2);
    }
    return 0;
}
