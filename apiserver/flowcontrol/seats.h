// SPDX-License-Identifier: Apache-2.0
/*
 * How many seats a priority level wants, and how many each gets.
 *
 * A seat is the room for one request of ordinary cost. Levels lend what they don't use: every ten
 * seconds each gets at least what it needed of its own, and the rest is shared in proportion to
 * what each wanted lately, within the bounds of what they may borrow and lend.
 *
 * Plain data without locks or clocks: callers bring both.
 */
#ifndef APISERVER_FLOWCONTROL_SEATS_H
#define APISERVER_FLOWCONTROL_SEATS_H

#include <stddef.h>
#include <stdint.h>

/* The demand of a level over a period: seats in use and seats waited for. */
struct seat_demand {
    int64_t began_ns, changed_ns;
    double now, most;                 /* Seats. */
    double integral, square_integral; /* Over time: seat seconds, and seats squared. */
};

/* What a period has shown. */
struct seat_demand_summary {
    double high_watermark, average, deviation;
};

void seat_demand_set(struct seat_demand *demand, double seats, int64_t now_ns);
/* Ends a period and begins the next. */
struct seat_demand_summary seat_demand_finish(struct seat_demand *demand, int64_t now_ns);
/* The demand to reckon with: rises at once with the average and its deviation, and falls slowly. */
double seat_demand_smooth(double before, const struct seat_demand_summary *summary);

/* One level's part in the sharing: 'low' <= 'high', 'low' <= 'target'. */
struct seat_share {
    double low, high, target;
    double seats; /* The result. */
};

/* Shares 'total' seats: each gets the same multiple of its target, but not less than 'low' nor more
 * than 'high'; the sum is 'total' if the bounds allow it. Returns the multiple. */
double seats_share(struct seat_share *shares, size_t count, double total);

#endif
