// SPDX-License-Identifier: Apache-2.0
/*
 * Quantities keep apimachinery's habits, odd ones included, because clients compare what they sent
 * with what they get back: an amount below a nano rounds up to one, a binary one is capped at
 * 2^63-1, and which texts count as canonical is decided as its parser decides it.
 */
#include "common/quantity.h"

#include <stddef.h>
#include <string.h>

#include "common/alloc.h"

typedef unsigned __int128 wide;

#define NANO ((__int128)1000000000)
#define WIDE_MAX (~(wide)0)

/* The largest amount kept, 10^29; upstream has no limit for decimal ones. */
#define AMOUNT_MAX (NANO * NANO * NANO * NANO * 100)

const char quantity_parse_message[] = "quantities must match the regular expression "
                                      "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
static const char wrong_suffix[] = "unable to parse quantity's suffix";

static const struct suffix {
    char text[3];
    int base, exponent;
} suffixes[] = {
    {"n", 10, -9}, {"u", 10, -6}, {"m", 10, -3}, {"", 10, 0},   {"k", 10, 3},  {"M", 10, 6},
    {"G", 10, 9},  {"T", 10, 12}, {"P", 10, 15}, {"E", 10, 18}, {"Ki", 2, 10}, {"Mi", 2, 20},
    {"Gi", 2, 30}, {"Ti", 2, 40}, {"Pi", 2, 50}, {"Ei", 2, 60},
};

/* A text taken apart; the spans point into it. */
struct parts {
    bool negative;
    const char *whole;
    size_t whole_length; /* Without leading zeros. */
    const char *fraction;
    size_t fraction_length;
    const char *suffix;
    int base, exponent;
    bool scientific; /* "e3" rather than a letter. */
};

static size_t count_digits(const char *text)
{
    size_t count = 0; /* For the few that there are, strspn() is much ado. */
    while (text[count] >= '0' && text[count] <= '9') {
        count++;
    }
    return count;
}

/* "e-12", "E3". Exponents beyond any use are cut. */
static bool read_exponent(const char *text, int *exponent)
{
    int sign = 1;
    if (*text != 'e' && *text != 'E') {
        return false;
    }
    text++;
    if (*text == '-' || *text == '+') {
        sign = *text++ == '-' ? -1 : 1;
    }
    if (*text == '\0' || text[count_digits(text)] != '\0') {
        return false;
    }
    int value = 0;
    for (; *text != '\0'; text++) {
        value = value > 1000 ? value : value * 10 + (*text - '0');
    }
    *exponent = sign * value;
    return true;
}

static bool read_suffix(const char *text, struct parts *parts)
{
    for (size_t i = 0; i < array_length(suffixes); i++) {
        const char *suffix = suffixes[i].text;
        if (suffix[0] == text[0] && strcmp(suffix, text) == 0) {
            parts->base = suffixes[i].base;
            parts->exponent = suffixes[i].exponent;
            return true;
        }
    }
    parts->base = 10;
    parts->scientific = true;
    return read_exponent(text, &parts->exponent);
}

/* NULL, or what is wrong. */
static const char *take_apart(const char *text, struct parts *parts)
{
    *parts = (struct parts){.negative = *text == '-'};
    if (*text == '\0') {
        return quantity_parse_message;
    }
    if (*text == '-' || *text == '+') {
        text++;
    }
    while (*text == '0') {
        text++;
    }
    parts->whole = text;
    parts->whole_length = count_digits(text);
    text += parts->whole_length;
    if (*text == '.') {
        parts->fraction = ++text;
        parts->fraction_length = count_digits(text);
        text += parts->fraction_length;
    }
    parts->suffix = text;
    while (*text != '\0' && strchr("eEinumkKMGTP", *text) != NULL) {
        text++;
    }
    if (*text == '-' || *text == '+') {
        text++;
    }
    if (text[count_digits(text)] != '\0') {
        return quantity_parse_message;
    }
    return read_suffix(parts->suffix, parts) ? NULL : wrong_suffix;
}

/* The digits as one number; those that find no room count in '*dropped', and '*inexact' says that
 * one of them was not zero. */
static wide gather_digits(const struct parts *parts, int *dropped, bool *inexact)
{
    wide mantissa = 0;
    for (size_t i = 0; i < parts->whole_length + parts->fraction_length; i++) {
        char digit =
            i < parts->whole_length ? parts->whole[i] : parts->fraction[i - parts->whole_length];
        if (mantissa < WIDE_MAX / 10 - 1) {
            mantissa = mantissa * 10 + (wide)(digit - '0');
        } else {
            *dropped += *dropped < 10000 ? 1 : 0;
            *inexact = *inexact || digit != '0';
        }
    }
    return mantissa;
}

/* mantissa * 10^power, rounded up, at most AMOUNT_MAX. */
static wide scale(wide mantissa, int power, bool inexact)
{
    static const uint64_t powers[] = {1,      10,      100,      1000,      10000,
                                      100000, 1000000, 10000000, 100000000, 1000000000};
    if (power >= 0 && power < (int)array_length(powers) && mantissa <= UINT64_MAX) {
        return mantissa * powers[power] + (inexact ? 1 : 0); /* All but odd amounts. */
    }
    for (; power > 0 && mantissa > 0; power--) {
        if (mantissa > (wide)AMOUNT_MAX / 10) {
            return (wide)AMOUNT_MAX;
        }
        mantissa *= 10;
    }
    for (; power < 0 && mantissa > 0; power++) {
        inexact = inexact || mantissa % 10 != 0;
        mantissa /= 10;
    }
    mantissa += inexact ? 1 : 0;
    return mantissa > (wide)AMOUNT_MAX ? (wide)AMOUNT_MAX : mantissa;
}

/* The magnitude in nano units. */
static wide magnitude(const struct parts *parts)
{
    int dropped = 0;
    bool inexact = false;
    wide mantissa = gather_digits(parts, &dropped, &inexact);
    size_t fraction = parts->fraction_length < 10000 ? parts->fraction_length : 10000;
    int power = 9 + dropped - (int)fraction;
    if (parts->base == 10) {
        return scale(mantissa, power + parts->exponent, inexact);
    }
    while (mantissa >> (127 - parts->exponent) != 0) {
        inexact = inexact || mantissa % 10 != 0;
        mantissa /= 10;
        power++;
    }
    return scale(mantissa << parts->exponent, power, inexact);
}

static void set_from_parts(const struct parts *parts, struct quantity *quantity)
{
    wide amount = magnitude(parts);
    quantity->format = parts->scientific  ? QUANTITY_DECIMAL_EXPONENT
                       : parts->base == 2 ? QUANTITY_BINARY_SI
                                          : QUANTITY_DECIMAL_SI;
    if (quantity->format == QUANTITY_BINARY_SI) {
        wide most = (wide)INT64_MAX * (wide)NANO;
        amount = amount > most ? most : amount;
        if (amount > 0 && amount < (wide)NANO) {
            quantity->format = QUANTITY_DECIMAL_SI;
        }
    }
    quantity->nano = parts->negative ? -(__int128)amount : (__int128)amount;
}

bool quantity_parse(const char *text, struct quantity *quantity)
{
    struct parts parts;
    if (take_apart(text, &parts) != NULL) {
        return false;
    }
    set_from_parts(&parts, quantity);
    return true;
}

/* Whether upstream's parser takes the text to be canonical already. */
static bool counts_as_canonical(const struct parts *parts)
{
    size_t digits = (parts->whole_length ? parts->whole_length : 1) + parts->fraction_length;
    if (parts->base == 2) {
        int room = 15 - (int)digits - parts->exponent * 3 / 10 - 1;
        if (parts->fraction_length > 0 || digits > 15 || room < 0) {
            return false;
        }
        int dropped = 0;
        bool inexact = false;
        return gather_digits(parts, &dropped, &inexact) % 8 != 0;
    }
    if (digits > 18 || parts->whole_length == 0) {
        return false;
    }
    int power = parts->exponent - (int)parts->fraction_length;
    if (power < -9 || power % 3 != 0) {
        return false;
    }
    size_t zeros = 0;
    for (size_t i = parts->fraction_length; i > 0 && parts->fraction[i - 1] == '0'; i--) {
        zeros++;
    }
    if (zeros == parts->fraction_length) {
        for (size_t i = parts->whole_length; i > 0 && parts->whole[i - 1] == '0'; i--) {
            zeros++;
        }
    }
    return zeros < 3;
}

const char *quantity_canonical(const char *text, char canonical[static QUANTITY_SIZE])
{
    struct parts parts;
    const char *wrong = take_apart(text, &parts);
    if (wrong != NULL) {
        return wrong;
    }
    size_t length = strlen(text);
    if (length < QUANTITY_SIZE && counts_as_canonical(&parts)) {
        memcpy(canonical, text, length + 1);
        return NULL;
    }
    struct quantity quantity;
    set_from_parts(&parts, &quantity);
    quantity_format(&quantity, canonical);
    return NULL;
}

/* ---- printing ---- */

/* Prints backwards, ending before 'end'; returns where it begins. */
static char *print_wide(char *end, wide number)
{
    do {
        *--end = (char)('0' + (int)(number % 10));
        number /= 10;
    } while (number > 0);
    return end;
}

static void print(char text[static QUANTITY_SIZE], bool negative, wide number, const char *suffix)
{
    char digits[40];
    char *start = print_wide(digits + sizeof digits, number);
    size_t length = (size_t)(digits + sizeof digits - start);
    if (negative) {
        *text++ = '-';
    }
    memcpy(text, start, length);
    memcpy(text + length, suffix, strlen(suffix) + 1);
}

static const char *find_suffix(int base, int exponent)
{
    for (size_t i = 0; i < array_length(suffixes); i++) {
        if (suffixes[i].base == base && suffixes[i].exponent == exponent) {
            return suffixes[i].text;
        }
    }
    return NULL;
}

static void print_binary(char text[static QUANTITY_SIZE], bool negative, wide whole)
{
    int exponent = 0;
    while (whole % 1024 == 0 && exponent < 60) {
        whole /= 1024;
        exponent += 10;
    }
    const char *suffix = exponent ? find_suffix(2, exponent) : "";
    print(text, negative, whole, suffix ? suffix : "");
}

static void print_decimal(char text[static QUANTITY_SIZE], bool negative, wide nano,
                          bool scientific)
{
    char letters[8] = "e";
    int exponent = -9;
    while (nano % 1000 == 0) {
        nano /= 1000;
        exponent += 3;
    }
    const char *suffix = exponent == 0 ? "" : scientific ? NULL : find_suffix(10, exponent);
    if (suffix == NULL) {
        char *at = letters + 1;
        if (exponent < 0) {
            *at++ = '-';
        }
        wide size = (wide)(exponent < 0 ? -exponent : exponent);
        char *end = at + (size >= 10 ? 2 : 1);
        *end = '\0';
        print_wide(end, size);
        suffix = letters;
    }
    print(text, negative, nano, suffix);
}

void quantity_format(const struct quantity *quantity, char text[static QUANTITY_SIZE])
{
    bool negative = quantity->nano < 0;
    wide nano = negative ? -(wide)quantity->nano : (wide)quantity->nano;
    if (nano == 0) {
        memcpy(text, "0", 2);
    } else if (quantity->format == QUANTITY_BINARY_SI && nano >= 1024 * (wide)NANO &&
               nano % (wide)NANO == 0) {
        print_binary(text, negative, nano / (wide)NANO);
    } else {
        print_decimal(text, negative, nano, quantity->format == QUANTITY_DECIMAL_EXPONENT);
    }
}

/* ---- values ---- */

int quantity_compare(const struct quantity *a, const struct quantity *b)
{
    return (a->nano > b->nano) - (a->nano < b->nano);
}

/* In units of 'unit' nano, rounded away from zero. */
static int64_t in_units(__int128 nano, __int128 unit)
{
    __int128 value = nano / unit;
    __int128 rest = nano % unit;
    value += (rest > 0) - (rest < 0);
    return value > INT64_MAX ? INT64_MAX : value < INT64_MIN ? INT64_MIN : (int64_t)value;
}

int64_t quantity_value(const struct quantity *quantity)
{
    return in_units(quantity->nano, NANO);
}

int64_t quantity_milli_value(const struct quantity *quantity)
{
    return in_units(quantity->nano, NANO / 1000);
}

bool quantity_round_up_milli(struct quantity *quantity)
{
    __int128 rest = quantity->nano % (NANO / 1000);
    if (rest != 0) {
        quantity->nano += (rest > 0 ? NANO / 1000 : -(NANO / 1000)) - rest;
    }
    return rest != 0;
}
