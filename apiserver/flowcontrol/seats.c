// SPDX-License-Identifier: Apache-2.0
#include "apiserver/flowcontrol/seats.h"

#include <math.h>

static const double smoothing = 0.977;    /* Upstream's: what is left of a demand after 10 s. */
static const double least_target = 0.001; /* So that a multiple of it can be anything. */

enum { bisections = 80 };

static void advance(struct seat_demand *demand, int64_t now_ns)
{
    double seconds = (double)(now_ns - demand->changed_ns) / 1e9;
    if (seconds > 0) {
        demand->integral += demand->now * seconds;
        demand->square_integral += demand->now * demand->now * seconds;
        demand->changed_ns = now_ns;
    }
}

void seat_demand_set(struct seat_demand *demand, double seats, int64_t now_ns)
{
    advance(demand, now_ns);
    demand->now = seats;
    demand->most = seats > demand->most ? seats : demand->most;
}

struct seat_demand_summary seat_demand_finish(struct seat_demand *demand, int64_t now_ns)
{
    advance(demand, now_ns);
    struct seat_demand_summary summary = {.high_watermark = demand->most, .average = demand->now};
    double seconds = (double)(now_ns - demand->began_ns) / 1e9;
    if (seconds > 0) {
        summary.average = demand->integral / seconds;
        double variance = demand->square_integral / seconds - summary.average * summary.average;
        summary.deviation = variance > 0 ? sqrt(variance) : 0;
    }
    *demand = (struct seat_demand){
        .began_ns = now_ns, .changed_ns = now_ns, .now = demand->now, .most = demand->now};
    return summary;
}

double seat_demand_smooth(double before, const struct seat_demand_summary *summary)
{
    double envelope = fmin(summary->high_watermark, summary->average + summary->deviation);
    return fmax(envelope, smoothing * before + (1 - smoothing) * envelope);
}

/* What all get together when each gets this multiple of its target. */
static double give(struct seat_share *shares, size_t count, double multiple)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double target = fmax(shares[i].target, least_target);
        shares[i].seats = fmax(shares[i].low, fmin(shares[i].high, multiple * target));
        sum += shares[i].seats;
    }
    return sum;
}

double seats_share(struct seat_share *shares, size_t count, double total)
{
    double low = 0, high = 1;
    for (size_t i = 0; i < count; i++) {
        high = fmax(high, shares[i].high / fmax(shares[i].target, least_target));
    }
    for (unsigned i = 0; i < bisections; i++) {
        double middle = (low + high) / 2;
        if (give(shares, count, middle) < total) {
            low = middle;
        } else {
            high = middle;
        }
    }
    give(shares, count, high);
    return high;
}
