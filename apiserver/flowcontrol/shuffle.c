// SPDX-License-Identifier: Apache-2.0
#include "apiserver/flowcontrol/shuffle.h"

/* The hash is taken apart as a number whose digits have the bases deck, deck - 1, …: each digit
 * names one of the cards that are left. Those dealt before are kept in order, so that the place
 * among the rest becomes the card's own number by stepping over the smaller ones. */
void shuffle_deal(uint64_t hash, unsigned deck_size, unsigned hand_size, unsigned *hand)
{
    unsigned dealt[SHUFFLE_HAND_MAX];
    for (unsigned count = 0; count < hand_size; count++) {
        unsigned card = (unsigned)(hash % (deck_size - count));
        hash /= deck_size - count;
        unsigned place = 0;
        while (place < count && dealt[place] <= card) {
            card++;
            place++;
        }
        for (unsigned i = count; i > place; i--) {
            dealt[i] = dealt[i - 1];
        }
        dealt[place] = card;
        hand[count] = card;
    }
}
