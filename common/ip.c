// SPDX-License-Identifier: Apache-2.0
#include "common/ip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int width_of(int family)
{
    return family == AF_INET ? 32 : 128;
}

static bool parse_four(const char *text, uint8_t bytes[static 4])
{
    for (int part = 0; part < 4; part++) {
        unsigned number = 0;
        if (!is_digit(*text)) {
            return false;
        }
        for (; is_digit(*text); text++) {
            number = number * 10 + (unsigned)(*text - '0');
            if (number > 255) {
                return false;
            }
        }
        bytes[part] = (uint8_t)number;
        if (*text++ != (part < 3 ? '.' : '\0')) {
            return false;
        }
    }
    return true;
}

bool ip_parse(const char *text, struct ip_network *address)
{
    *address = (struct ip_network){0};
    if (strchr(text, ':') != NULL) {
        address->family = AF_INET6;
        address->bits = 128;
        return inet_pton(AF_INET6, text, address->bytes) == 1;
    }
    address->family = AF_INET;
    address->bits = 32;
    return parse_four(text, address->bytes);
}

bool ip_network_parse(const char *text, struct ip_network *network)
{
    char address[INET6_ADDRSTRLEN + 1];
    const char *slash = strchr(text, '/');
    if (slash == NULL || (size_t)(slash - text) >= sizeof address || !is_digit(slash[1]) ||
        strlen(slash + 1) > 3) {
        return false;
    }
    snprintf(address, sizeof address, "%.*s", (int)(slash - text), text);
    char *end;
    long bits = strtol(slash + 1, &end, 10);
    if (!ip_parse(address, network) || *end != '\0' || bits > network->bits) {
        return false;
    }
    network->bits = (int)bits;
    for (int i = 0; i < width_of(network->family) / 8; i++) {
        int covered = network->bits - i * 8;
        network->bytes[i] &= covered >= 8   ? 0xff
                             : covered <= 0 ? 0
                                            : (uint8_t)(0xff << (8 - covered));
    }
    return true;
}

bool ip_has_leading_zeros(const char *text)
{
    for (bool begins = strchr(text, ':') == NULL; *text != '\0'; text++) {
        if (begins && text[0] == '0' && is_digit(text[1])) {
            return true;
        }
        begins = text[0] == '/' || text[0] == '.';
    }
    return false;
}

bool ip_unmap(struct ip_network *address)
{
    static const uint8_t mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    int bits = 8 * (int)sizeof mapped;
    if (address->family != AF_INET6 || address->bits < bits ||
        memcmp(address->bytes, mapped, sizeof mapped) != 0) {
        return false;
    }
    memmove(address->bytes, address->bytes + sizeof mapped, 4);
    memset(address->bytes + 4, 0, sizeof mapped);
    address->family = AF_INET;
    address->bits -= bits;
    return true;
}

bool ip_network_contains(const struct ip_network *network, const struct ip_network *part)
{
    if (network->family != part->family || network->bits > part->bits) {
        return false;
    }
    int whole = network->bits / 8, rest = network->bits % 8;
    return memcmp(network->bytes, part->bytes, (size_t)whole) == 0 &&
           (rest == 0 || (network->bytes[whole] ^ part->bytes[whole]) >> (8 - rest) == 0);
}

bool ip_network_equal(const struct ip_network *a, const struct ip_network *b)
{
    return a->bits == b->bits && ip_network_contains(a, b);
}

struct ip_network ip_network_at(const struct ip_network *network, uint64_t offset)
{
    struct ip_network address = *network;
    address.bits = width_of(network->family);
    for (int i = address.bits / 8 - 1; i >= 0 && offset > 0; i--) {
        offset += address.bytes[i];
        address.bytes[i] = (uint8_t)offset;
        offset >>= 8;
    }
    return address;
}

uint64_t ip_network_offset(const struct ip_network *network, const struct ip_network *address)
{
    uint64_t offset = 0;
    if (!ip_network_contains(network, address)) {
        return UINT64_MAX;
    }
    for (int i = 0; i < width_of(network->family) / 8; i++) {
        if (offset >> 55 != 0) {
            return UINT64_MAX;
        }
        offset = offset << 8 | (uint8_t)(address->bytes[i] ^ network->bytes[i]);
    }
    return offset;
}

void ip_format(const struct ip_network *address, char text[static INET6_ADDRSTRLEN])
{
    inet_ntop(address->family, address->bytes, text, INET6_ADDRSTRLEN);
}

const char *ip_family_name(int family)
{
    return family == AF_INET6 ? "IPv6" : "IPv4";
}
