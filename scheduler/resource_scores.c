// SPDX-License-Identifier: Apache-2.0
#include "scheduler/resource_scores.h"

#include <math.h>

#include "scheduler/plugin.h"

static struct resource_share extended_share(uint32_t name, const struct pod_class *class,
                                            const struct node *node)
{
    int64_t wanted = resource_amounts_extended(&class->requests, name);
    return wanted == 0 ? (struct resource_share){0, 0}
                       : (struct resource_share){
                             resource_amounts_extended(&node->allocatable, name),
                             resource_amounts_extended(&node->requested, name) + wanted};
}

struct resource_share resource_share_of(const struct weighted_resource *resource,
                                        const struct pod_class *class, const struct node *node,
                                        bool is_assumed)
{
    const struct resource_amounts *used = is_assumed ? &node->assumed : &node->requested,
                                  *wanted = is_assumed ? &class->assumed : &class->requests;
    switch (resource->kind) {
    case RESOURCE_CPU:
        return (struct resource_share){node->allocatable.milli_cpu,
                                       used->milli_cpu + wanted->milli_cpu};
    case RESOURCE_MEMORY:
        return (struct resource_share){node->allocatable.memory, used->memory + wanted->memory};
    case RESOURCE_EPHEMERAL_STORAGE:
        return (struct resource_share){node->allocatable.ephemeral_storage,
                                       node->requested.ephemeral_storage +
                                           class->requests.ephemeral_storage};
    default:
        return extended_share(resource->extended, class, node);
    }
}

/* ---- NodeResourcesFit ---- */

/* The shape's line at that utilization. */
static int64_t follow_shape(const struct profile *profile, int64_t utilization)
{
    const struct shape_point *shape = profile->shape;
    for (size_t i = 0; i < profile->shape_count; i++) {
        if (utilization <= shape[i].utilization) {
            return i == 0
                       ? shape[0].score
                       : shape[i - 1].score + (shape[i].score - shape[i - 1].score) *
                                                  (utilization - shape[i - 1].utilization) /
                                                  (shape[i].utilization - shape[i - 1].utilization);
        }
    }
    return profile->shape_count > 0 ? shape[profile->shape_count - 1].score : 0;
}

static int64_t score_share(const struct profile *profile, struct resource_share share)
{
    bool is_full = share.requested > share.allocatable;
    switch (profile->strategy) {
    case MOST_ALLOCATED:
        return is_full ? SCORE_MAX : share.requested * SCORE_MAX / share.allocatable;
    case REQUESTED_TO_CAPACITY_RATIO:
        return follow_shape(profile, is_full ? 100 : share.requested * 100 / share.allocatable);
    default:
        return is_full ? 0 : (share.allocatable - share.requested) * SCORE_MAX / share.allocatable;
    }
}

int64_t resource_score_fit(const struct profile *profile, const struct pod_class *class,
                           const struct node *node)
{
    int64_t sum = 0, weights = 0;
    bool is_ratio = profile->strategy == REQUESTED_TO_CAPACITY_RATIO;
    for (size_t i = 0; i < profile->fit_resources.count; i++) {
        const struct weighted_resource *resource = &profile->fit_resources.list[i];
        struct resource_share share = resource_share_of(resource, class, node, true);
        if (share.allocatable == 0) {
            continue;
        }
        int64_t score = score_share(profile, share);
        if (score > 0 || !is_ratio) {
            sum += score * resource->weight;
            weights += resource->weight;
        }
    }
    return weights == 0 ? 0 : is_ratio ? llround((double)sum / (double)weights) : sum / weights;
}

/* ---- NodeResourcesBalancedAllocation ---- */

/* Of more than two: the standard deviation. */
static double deviation(const double *shares, size_t count)
{
    double mean = 0, sum = 0;
    if (count < 2) {
        return 0;
    }
    if (count == 2) {
        return fabs((shares[0] - shares[1]) / 2);
    }
    for (size_t i = 0; i < count; i++) {
        mean += shares[i];
    }
    mean /= (double)count;
    for (size_t i = 0; i < count; i++) {
        sum += (shares[i] - mean) * (shares[i] - mean);
    }
    return sqrt(sum / (double)count);
}

int64_t resource_score_balance(const struct profile *profile, const struct pod_class *class,
                               const struct node *node)
{
    double shares[WEIGHTED_RESOURCES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < profile->balanced_resources.count; i++) {
        struct resource_share share =
            resource_share_of(&profile->balanced_resources.list[i], class, node, false);
        if (share.allocatable > 0) {
            double part = (double)share.requested / (double)share.allocatable;
            shares[count++] = part > 1 ? 1 : part;
        }
    }
    return (int64_t)((1 - deviation(shares, count)) * SCORE_MAX);
}
