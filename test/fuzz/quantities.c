// SPDX-License-Identifier: Apache-2.0
/* Quantities: the canonical form is stable and means the same amount. */
#include "common/quantity.h"
#include "test/fuzz/fuzz.h"

/* What is printed reads back as it was, and is printed the same again; but half a Ki is printed as
 * a plain number, as upstream has it, which is decimal when it is read. */
static void check_format(const struct quantity *quantity)
{
    char text[QUANTITY_SIZE], text_again[QUANTITY_SIZE];
    struct quantity again;
    quantity_format(quantity, text);
    fuzz_expect(quantity_parse(text, &again));
    fuzz_expect(quantity_compare(quantity, &again) == 0);
    quantity_format(&again, text_again);
    fuzz_expect(strcmp(text, text_again) == 0 || quantity->format == QUANTITY_BINARY_SI);
}

static void check(const char *text)
{
    char canonical[QUANTITY_SIZE], canonical_again[QUANTITY_SIZE], at_last[QUANTITY_SIZE];
    struct quantity quantity, again;
    bool parsed = quantity_parse(text, &quantity);
    const char *wrong = quantity_canonical(text, canonical);
    fuzz_expect(parsed == (wrong == NULL));
    if (!parsed) {
        return;
    }
    fuzz_expect(quantity_canonical(canonical, canonical_again) == NULL);
    /* Half a Ki is a plain number, as upstream prints it, which is decimal when it is read again.
     */
    fuzz_expect(strcmp(canonical, canonical_again) == 0 || strchr(text, 'i') != NULL);
    fuzz_expect(quantity_canonical(canonical_again, at_last) == NULL);
    fuzz_expect(strcmp(canonical_again, at_last) == 0);
    fuzz_expect(quantity_parse(canonical, &again) && quantity_compare(&quantity, &again) == 0);
    fuzz_expect(quantity_parse(at_last, &again) && quantity_compare(&quantity, &again) == 0);
    check_format(&quantity);
    quantity_value(&quantity);
    quantity_milli_value(&quantity);
    struct quantity rounded = quantity;
    if (quantity_round_up_milli(&rounded)) {
        fuzz_expect(quantity_compare(&quantity, &rounded) != 0);
        fuzz_expect(!quantity_round_up_milli(&rounded));
        check_format(&rounded);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(free_char)
    char *text = fuzz_line(&data, &size);
    check(text);
    return 0;
}
