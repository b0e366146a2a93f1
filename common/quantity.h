// SPDX-License-Identifier: Apache-2.0
/* resource.Quantity: decimal numbers with SI or binary suffixes ("100m", "1Gi", "1.5", "1e3"). */
#ifndef COMMON_QUANTITY_H
#define COMMON_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

enum { QUANTITY_SIZE = 64 };

/* Parsed to nano units in 128 bits: exact down to 1n, beyond that rounded up as upstream does. */
struct quantity {
    __int128 nano;
    enum { QUANTITY_DECIMAL_SI, QUANTITY_BINARY_SI, QUANTITY_DECIMAL_EXPONENT } format;
};

/* False when the text is no quantity: upstream's message is
 * "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'". */
bool quantity_parse(const char *text, struct quantity *quantity);
extern const char quantity_parse_message[];
/* The text that upstream would send back for a text that it was sent: canonical, but some that
 * upstream takes for canonical ("1.234", "+5") stay as they are. NULL, or what is wrong (static).
 */
const char *quantity_canonical(const char *text, char canonical[static QUANTITY_SIZE]);
/* Rounds up to thousandths; of negative amounts too the size grows. False when there is nothing to
 * round. */
bool quantity_round_up_milli(struct quantity *quantity);
/* The canonical text, as upstream prints it: "1500m", "1536Mi". */
void quantity_format(const struct quantity *quantity, char text[static QUANTITY_SIZE]);
int quantity_compare(const struct quantity *a, const struct quantity *b);
/* The value in whole units, and in thousandths, both rounded up; clamped to int64. */
int64_t quantity_value(const struct quantity *quantity);
int64_t quantity_milli_value(const struct quantity *quantity);

#endif
