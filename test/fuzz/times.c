// SPDX-License-Identifier: Apache-2.0
/* Timestamps and durations: what is printed reads back as the same time. */
#include "common/timestamp.h"
#include "test/fuzz/fuzz.h"

static void check_timestamp(const char *text)
{
    int64_t time, again;
    char printed[TIMESTAMP_SIZE], printed_again[TIMESTAMP_SIZE];
    for (int micro = 0; micro < 2; micro++) {
        if (timestamp_canonical(text, micro, printed) && printed[0] != '\0') {
            fuzz_expect(timestamp_canonical(printed, micro, printed_again));
            fuzz_expect(strcmp(printed, printed_again) == 0);
        }
    }
    if (timestamp_parse(text, &time)) {
        timestamp_format(time, printed);
        timestamp_format_micro(time, printed);
        fuzz_expect(timestamp_parse(printed, &again));
        fuzz_expect(again <= time && time - again < 1000);
    }
}

static void check_duration(const char *text)
{
    int64_t duration, again;
    if (duration_parse(text, &duration)) {
        char printed[TIMESTAMP_SIZE];
        duration_format(duration, printed);
        fuzz_expect(duration_parse(printed, &again) && again == duration);
        duration_format_human(duration, printed);
        fuzz_expect(strlen(printed) < TIMESTAMP_SIZE);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(free_char)
    char *text = fuzz_line(&data, &size);
    check_timestamp(text);
    check_duration(text);
    return 0;
}
