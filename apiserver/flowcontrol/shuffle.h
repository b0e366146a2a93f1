// SPDX-License-Identifier: Apache-2.0
/*
 * Shuffle sharding: each flow gets a small hand of queues out of many, so that one that floods its
 * own queues shares all of them with hardly any other.
 */
#ifndef APISERVER_FLOWCONTROL_SHUFFLE_H
#define APISERVER_FLOWCONTROL_SHUFFLE_H

#include <stdint.h>

enum { SHUFFLE_HAND_MAX = 64 }; /* More would need more than 64 bits of hash. */

/* Deals 'hand_size' different cards of a deck of 'deck_size' (at least as many), decided by the
 * hash alone. 'hand_size' is at most SHUFFLE_HAND_MAX. */
void shuffle_deal(uint64_t hash, unsigned deck_size, unsigned hand_size, unsigned *hand);

#endif
