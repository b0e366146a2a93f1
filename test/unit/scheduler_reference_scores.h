// SPDX-License-Identifier: Apache-2.0
/* The scores of scheduler_reference.h, of the nodes that fit, with upstream's default weights. */
#ifndef TEST_UNIT_SCHEDULER_REFERENCE_SCORES_H
#define TEST_UNIT_SCHEDULER_REFERENCE_SCORES_H

#include "test/unit/scheduler_reference.h"

/* What is scored: a pod and the nodes that fit it. */
struct ref_choice {
    const struct ref_cluster *cluster;
    const json_t *pod;
    const json_t *nodes[REF_NODES_MAX];
    size_t count;
};

static inline int64_t ref_most(const int64_t *scores, size_t count)
{
    int64_t most = 0;
    for (size_t i = 0; i < count; i++) {
        most = scores[i] > most ? scores[i] : most;
    }
    return most;
}

/* ---- taints and node affinity ---- */

static inline void ref_score_taints(const struct ref_choice *choice, int64_t *scores)
{
    for (size_t i = 0; i < choice->count; i++) {
        scores[i] = ref_untolerated(choice->pod, ref_at(choice->nodes[i], "spec", "taints", NULL),
                                    "PreferNoSchedule", NULL);
    }
    int64_t most = ref_most(scores, choice->count);
    for (size_t i = 0; i < choice->count; i++) {
        scores[i] = most == 0 ? 100 : 100 - scores[i] * 100 / most;
    }
}

static inline void ref_score_node_affinity(const struct ref_choice *choice, int64_t *scores)
{
    json_t *terms = ref_terms(choice->pod, "nodeAffinity", false);
    for (size_t i = 0; i < choice->count; i++) {
        scores[i] = 0;
        for (size_t n = 0; n < json_array_size(terms); n++) {
            const json_t *term = json_array_get(terms, n);
            if (ref_node_term(json_object_get(term, "preference"), choice->nodes[i])) {
                scores[i] += json_integer_value(json_object_get(term, "weight"));
            }
        }
    }
    int64_t most = ref_most(scores, choice->count);
    for (size_t i = 0; i < choice->count; i++) {
        scores[i] = most == 0 ? 0 : scores[i] * 100 / most;
    }
}

/* ---- resources ---- */

/* With REF_RATIO: what so many percent are worth. */
static const int64_t ref_shape[][2] = {{20, 0}, {60, 100}, {80, 30}};

static inline int64_t ref_worth(int64_t percent)
{
    const int64_t(*at)[2] = ref_shape;
    return percent <= at[0][0] ? at[0][1]
           : percent <= at[1][0]
               ? at[0][1] + (at[1][1] - at[0][1]) * (percent - at[0][0]) / (at[1][0] - at[0][0])
           : percent <= at[2][0]
               ? at[1][1] + (at[2][1] - at[1][1]) * (percent - at[1][0]) / (at[2][0] - at[1][0])
               : at[2][1];
}

/* By the strategy, of one resource. */
static inline int64_t ref_resource(const struct ref_choice *choice, const json_t *node,
                                   const char *resource, int64_t if_none)
{
    int64_t asked = ref_number(choice->pod, resource), all = ref_number(node, resource);
    int64_t used =
        ref_used(choice->cluster, node, resource, if_none) + (asked < 0 ? if_none : asked);
    used = used > all ? all : used;
    return choice->cluster->strategy == REF_LEAST  ? (all - used) * 100 / all
           : choice->cluster->strategy == REF_MOST ? used * 100 / all
                                                   : ref_worth(used * 100 / all);
}

static inline void ref_score_resources(const struct ref_choice *choice, int64_t *scores)
{
    for (size_t i = 0; i < choice->count; i++) {
        int64_t cpu = ref_resource(choice, choice->nodes[i], "cpu", 100);
        int64_t memory = ref_resource(choice, choice->nodes[i], "memory", 200 << 20);
        /* By ratio what is worth nothing has no weight, and the mean is rounded. */
        scores[i] = choice->cluster->strategy != REF_RATIO ? (cpu + memory) / 2
                    : cpu == 0 || memory == 0              ? cpu + memory
                                                           : (cpu + memory + 1) / 2;
    }
}

static inline double ref_share(const struct ref_choice *choice, const json_t *node,
                               const char *resource)
{
    int64_t asked = ref_number(choice->pod, resource);
    int64_t used = ref_used(choice->cluster, node, resource, 0) + (asked < 0 ? 0 : asked);
    double share = (double)used / (double)ref_number(node, resource);
    return share > 1 ? 1 : share;
}

static inline void ref_score_balance(const struct ref_choice *choice, int64_t *scores)
{
    bool asks = ref_number(choice->pod, "cpu") > 0 || ref_number(choice->pod, "memory") > 0;
    for (size_t i = 0; i < choice->count; i++) {
        double cpu = ref_share(choice, choice->nodes[i], "cpu"),
               memory = ref_share(choice, choice->nodes[i], "memory");
        scores[i] = asks ? (int64_t)((1 - fabs((cpu - memory) / 2)) * 100) : 0;
    }
}

/* ---- images ---- */

static inline int64_t ref_image_size(const json_t *node, const char *name)
{
    json_t *images = ref_at(node, "status", "images", NULL);
    for (size_t i = 0; i < json_array_size(images); i++) {
        const json_t *image = json_array_get(images, i);
        if (ref_lists(json_object_get(image, "names"), name)) {
            return json_integer_value(json_object_get(image, "sizeBytes"));
        }
    }
    return 0;
}

static inline void ref_score_images(const struct ref_choice *choice, int64_t *scores)
{
    const int64_t mebibyte = 1 << 20;
    const json_t *container = json_array_get(ref_at(choice->pod, "spec", "containers", NULL), 0);
    const char *name = ref_text(container, "image");
    size_t all = json_array_size(choice->cluster->nodes), holders = 0;
    for (size_t i = 0; i < all; i++) {
        holders += ref_image_size(json_array_get(choice->cluster->nodes, i), name) > 0;
    }
    for (size_t i = 0; i < choice->count; i++) {
        int64_t sum = (int64_t)((double)ref_image_size(choice->nodes[i], name) *
                                ((double)holders / (double)all));
        sum = sum < 23 * mebibyte ? 23 * mebibyte : sum > 1000 * mebibyte ? 1000 * mebibyte : sum;
        scores[i] = 100 * (sum - 23 * mebibyte) / (977 * mebibyte);
    }
}

/* ---- spreading ---- */

static inline bool ref_is_soft(const json_t *constraint)
{
    return ref_is(ref_text(constraint, "whenUnsatisfiable"), "ScheduleAnyway");
}

/* The domains of the nodes that fit; nodes that lack a key count when not all keys are needed. */
static inline size_t ref_domains(const struct ref_choice *choice, const json_t *constraints,
                                 const char *key, bool needs_all)
{
    json_t *seen = json_object();
    for (size_t i = 0; i < choice->count; i++) {
        const char *value = ref_label(choice->nodes[i], key);
        if (!needs_all || ref_has_keys(constraints, "ScheduleAnyway", choice->nodes[i])) {
            bool is_host = strcmp(key, "kubernetes.io/hostname") == 0;
            json_object_set_new(seen,
                                is_host ? ref_name(choice->nodes[i])
                                : value ? value
                                        : "",
                                json_true());
        }
    }
    size_t count = json_object_size(seen);
    json_decref(seen);
    return count;
}

static inline double ref_crowd(const struct ref_choice *choice, const json_t *constraints,
                               const json_t *constraint, const json_t *node, bool needs_all)
{
    const char *key = ref_text(constraint, "topologyKey"), *value = ref_label(node, key);
    int64_t skew = json_integer_value(json_object_get(constraint, "maxSkew")), pods = 0;
    if (value == NULL) {
        return 0;
    }
    if (strcmp(key, "kubernetes.io/hostname") == 0) {
        pods = ref_pods_on(choice->cluster, choice->pod, constraint, node);
    } else {
        for (size_t i = 0; i < json_array_size(choice->cluster->nodes); i++) {
            const json_t *other = json_array_get(choice->cluster->nodes, i);
            if (ref_is(ref_label(other, key), value) &&
                (!needs_all || ref_has_keys(constraints, "ScheduleAnyway", other)) &&
                ref_included(choice->pod, constraint, other)) {
                pods += ref_pods_on(choice->cluster, choice->pod, constraint, other);
            }
        }
    }
    double weight = log((double)ref_domains(choice, constraints, key, needs_all) + 2);
    return (double)pods * weight + (double)(skew - 1);
}

/* What holds for pods with the label "app", as if a service selected all of the same. */
static inline json_t *ref_default_constraints(const json_t *pod)
{
    const char *app = ref_label(pod, "app");
    return app == NULL ? json_array()
                       : json_pack("[{s:s,s:i,s:s,s:{s:{s:s}}},{s:s,s:i,s:s,s:{s:{s:s}}}]",
                                   "topologyKey", "kubernetes.io/hostname", "maxSkew", 3,
                                   "whenUnsatisfiable", "ScheduleAnyway", "labelSelector",
                                   "matchLabels", "app", app, "topologyKey",
                                   "topology.kubernetes.io/zone", "maxSkew", 5, "whenUnsatisfiable",
                                   "ScheduleAnyway", "labelSelector", "matchLabels", "app", app);
}

static inline void ref_score_spread(const struct ref_choice *choice, int64_t *scores)
{
    json_t *own = ref_at(choice->pod, "spec", "topologySpreadConstraints", NULL);
    bool is_own = json_array_size(own) > 0, any = false;
    json_t *constraints = is_own ? json_incref(own) : ref_default_constraints(choice->pod);
    int64_t least = INT64_MAX, most = 0;
    for (size_t i = 0; i < choice->count; i++) {
        double sum = 0;
        for (size_t n = 0; n < json_array_size(constraints); n++) {
            const json_t *constraint = json_array_get(constraints, n);
            if (ref_is_soft(constraint)) {
                sum += ref_crowd(choice, constraints, constraint, choice->nodes[i], is_own);
                any = true;
            }
        }
        scores[i] = llround(sum);
        if (is_own && !ref_has_keys(constraints, "ScheduleAnyway", choice->nodes[i])) {
            scores[i] = -1;
            continue;
        }
        least = scores[i] < least ? scores[i] : least;
        most = scores[i] > most ? scores[i] : most;
    }
    for (size_t i = 0; i < choice->count; i++) {
        scores[i] = !any || scores[i] < 0 ? 0
                    : most == 0           ? 100
                                          : 100 * (most + least - scores[i]) / most;
    }
    json_decref(constraints);
}

/* ---- affinity between pods ---- */

/* The sum of the weights of the owner's terms that are about the other, where the one that stands
 * is in the node's domain. */
static inline int64_t ref_wishes(const struct ref_choice *choice, const json_t *owner,
                                 const char *kind, const json_t *other, const json_t *there,
                                 const json_t *node)
{
    json_t *terms = ref_terms(owner, kind, false);
    int64_t sum = 0;
    for (size_t i = 0; i < json_array_size(terms); i++) {
        const json_t *weighted = json_array_get(terms, i),
                     *term = json_object_get(weighted, "podAffinityTerm");
        if (ref_same_domain(term, node, there) &&
            ref_is_about(choice->cluster, term, owner, other)) {
            sum += json_integer_value(json_object_get(weighted, "weight"));
        }
    }
    return sum;
}

static inline void ref_score_pod_affinity(const struct ref_choice *choice, int64_t *scores)
{
    const json_t *pod = choice->pod;
    for (size_t i = 0; i < choice->count; i++) {
        const json_t *node = choice->nodes[i];
        scores[i] = 0;
        for (size_t n = 0; n < json_array_size(choice->cluster->pods); n++) {
            const json_t *other = json_array_get(choice->cluster->pods, n),
                         *there = ref_node_of(choice->cluster, other);
            json_t *required = ref_terms(other, "podAffinity", true);
            scores[i] += ref_wishes(choice, pod, "podAffinity", other, there, node) -
                         ref_wishes(choice, pod, "podAntiAffinity", other, there, node) +
                         ref_wishes(choice, other, "podAffinity", pod, there, node) -
                         ref_wishes(choice, other, "podAntiAffinity", pod, there, node);
            for (size_t t = 0; t < json_array_size(required); t++) {
                const json_t *term = json_array_get(required, t);
                scores[i] += ref_same_domain(term, node, there) &&
                             ref_is_about(choice->cluster, term, other, pod);
            }
        }
    }
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (size_t i = 0; i < choice->count; i++) {
        least = scores[i] < least ? scores[i] : least;
        most = scores[i] > most ? scores[i] : most;
    }
    for (size_t i = 0; i < choice->count; i++) {
        double part = most > least ? (double)(scores[i] - least) / (double)(most - least) : 0;
        scores[i] = (int64_t)(100 * part);
    }
}

/* ---- all scores ---- */

static const struct {
    const char *plugin;
    int64_t weight;
    void (*score)(const struct ref_choice *choice, int64_t *scores);
} ref_scorers[] = {
    {"TaintToleration", 3, ref_score_taints},
    {"NodeAffinity", 2, ref_score_node_affinity},
    {"NodeResourcesFit", 1, ref_score_resources},
    {"PodTopologySpread", 2, ref_score_spread},
    {"InterPodAffinity", 2, ref_score_pod_affinity},
    {"NodeResourcesBalancedAllocation", 1, ref_score_balance},
    {"ImageLocality", 1, ref_score_images},
};

static inline void ref_score(const struct ref_choice *choice, int64_t *totals)
{
    int64_t scores[REF_NODES_MAX];
    memset(totals, 0, REF_NODES_MAX * sizeof *totals);
    for (size_t i = 0; i < sizeof ref_scorers / sizeof *ref_scorers; i++) {
        ref_scorers[i].score(choice, scores);
        for (size_t n = 0; n < choice->count; n++) {
            totals[n] += scores[n] * ref_scorers[i].weight;
        }
    }
}

#endif
