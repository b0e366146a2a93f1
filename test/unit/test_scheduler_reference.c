// SPDX-License-Identifier: Apache-2.0
/*
 * The scheduler against a reference as slow and obvious as can be: in thousands of random clusters
 * the same nodes fit each pod, every score of theirs is the same, and the node that is chosen is
 * one of the best. Between pods the cluster changes, so that what is counted as pods come and go is
 * held against what is counted afresh.
 *
 * CLUSTERS=10000 says how many, SEED=7 where to begin.
 */
#include "test/unit/scheduler_harness.h"

#include "scheduler/affinity.h"
#include "scheduler/cycle.h"
#include "scheduler/node_images.h"
#include "test/unit/scheduler_reference_scores.h"

#ifdef __SANITIZE_ADDRESS__
enum { clusters_by_default = 200 };
#else
enum { clusters_by_default = 1000 };
#endif
enum { pods_a_cluster = 14 };

struct trial {
    struct ref_cluster reference;
    struct decider decider;
    struct profile profile; /* The default one but for its strategy. */
    unsigned seed, serial;
    size_t placed, refused;
};

static size_t total_placed, total_refused;

/* ---- chance ---- */

static int pick(struct trial *trial, int count)
{
    trial->seed = trial->seed * 1103515245 + 12345;
    return (int)(trial->seed >> 16 & 0x7fff) % count;
}

static bool happens(struct trial *trial, int percent)
{
    return pick(trial, 100) < percent;
}

static const char *one_of(struct trial *trial, const char *const *texts, int count)
{
    return texts[pick(trial, count)];
}

#define ONE_OF(trial, ...)                                                                         \
    one_of(trial, (const char *const[]){__VA_ARGS__},                                              \
           (int)array_length(((const char *const[]){__VA_ARGS__})))

static const char *any_app(struct trial *trial)
{
    return ONE_OF(trial, "a", "b", "c");
}

static const char *any_key(struct trial *trial)
{
    return ONE_OF(trial, "kubernetes.io/hostname", "topology.kubernetes.io/zone", "rack");
}

/* ---- nodes ---- */

static json_t *make_taints(struct trial *trial)
{
    json_t *taints = json_array();
    while (happens(trial, 25)) {
        json_array_append_new(taints, json_pack("{s:s,s:s,s:s}", "key", ONE_OF(trial, "k", "l"),
                                                "value", ONE_OF(trial, "1", "2"), "effect",
                                                ONE_OF(trial, "NoSchedule", "PreferNoSchedule",
                                                       "PreferNoSchedule", "NoExecute")));
    }
    return taints;
}

static json_t *make_images(struct trial *trial)
{
    json_t *images = json_array();
    for (int i = 0; i < 3; i++) {
        if (happens(trial, 30)) {
            char name[16];
            snprintf(name, sizeof name, "i%d:1", i);
            json_array_append_new(images, json_pack("{s:[s],s:I}", "names", name, "sizeBytes",
                                                    (json_int_t)(100 + 300 * i) << 20));
        }
    }
    return images;
}

static json_t *make_random_node(struct trial *trial, const char *name)
{
    json_t *labels = json_pack("{s:s,s:s}", "kubernetes.io/hostname", name, "rank",
                               ONE_OF(trial, "1", "5", "9"));
    if (happens(trial, 85)) {
        json_object_set_new(labels, "topology.kubernetes.io/zone",
                            json_string(ONE_OF(trial, "x", "y", "z")));
    }
    if (happens(trial, 70)) {
        json_object_set_new(labels, "rack", json_string(ONE_OF(trial, "1", "2")));
    }
    int cpu = 1000 * (1 + pick(trial, 8)), mebibytes = 1024 * (1 + pick(trial, 8)),
        gpus = pick(trial, 3), pods = 2 + pick(trial, 8);
    char text[4][32];
    snprintf(text[0], sizeof text[0], "%dm", cpu);
    snprintf(text[1], sizeof text[1], "%dMi", mebibytes);
    snprintf(text[2], sizeof text[2], "%d", gpus);
    snprintf(text[3], sizeof text[3], "%d", pods);
    return json_pack("{s:{s:s,s:o},s:{s:o,s:b},s:{s:{s:s,s:s,s:s,s:s},s:o},s:{s:i,s:I,s:i,s:i}}",
                     "metadata", "name", name, "labels", labels, "spec", "taints",
                     make_taints(trial), "unschedulable", happens(trial, 8), "status",
                     "allocatable", "cpu", text[0], "memory", text[1], "x/gpu", text[2], "pods",
                     text[3], "images", make_images(trial), "ref", "cpu", cpu, "memory",
                     (json_int_t)mebibytes << 20, "gpu", gpus, "pods", pods);
}

/* ---- pods ---- */

static json_t *make_selector(struct trial *trial)
{
    switch (pick(trial, 8)) {
    case 0:
        return json_object();
    case 1:
        return json_pack("{s:[{s:s,s:s}]}", "matchExpressions", "key", "tier", "operator",
                         ONE_OF(trial, "Exists", "DoesNotExist"));
    case 2:
        return json_pack("{s:[{s:s,s:s,s:[s,s]}]}", "matchExpressions", "key", "app", "operator",
                         ONE_OF(trial, "In", "NotIn"), "values", any_app(trial), any_app(trial));
    default:
        return json_pack("{s:{s:s}}", "matchLabels", "app", any_app(trial));
    }
}

static json_t *make_term(struct trial *trial)
{
    json_t *term = json_pack("{s:s}", "topologyKey", any_key(trial));
    if (happens(trial, 95)) {
        json_object_set_new(term, "labelSelector", make_selector(trial));
    }
    if (happens(trial, 20)) {
        json_object_set_new(term, "namespaces", json_pack("[s]", ONE_OF(trial, "red", "blue")));
    }
    if (happens(trial, 20)) {
        json_object_set_new(term, "namespaceSelector",
                            happens(trial, 30) ? json_object()
                                               : json_pack("{s:{s:s}}", "matchLabels", "team",
                                                           ONE_OF(trial, "1", "2")));
    }
    return term;
}

static json_t *make_pod_affinity(struct trial *trial)
{
    json_t *required = json_array(), *preferred = json_array();
    while (happens(trial, 35)) {
        json_array_append_new(required, make_term(trial));
    }
    while (happens(trial, 35)) {
        json_array_append_new(preferred, json_pack("{s:i,s:o}", "weight", 1 + pick(trial, 100),
                                                   "podAffinityTerm", make_term(trial)));
    }
    return json_pack("{s:o,s:o}", "requiredDuringSchedulingIgnoredDuringExecution", required,
                     "preferredDuringSchedulingIgnoredDuringExecution", preferred);
}

static json_t *make_node_term(struct trial *trial)
{
    if (happens(trial, 15)) {
        return json_pack("{s:[{s:s,s:s,s:[s]}]}", "matchFields", "key", "metadata.name", "operator",
                         ONE_OF(trial, "In", "NotIn"), "values", ONE_OF(trial, "n0", "n1"));
    }
    if (happens(trial, 40)) {
        return json_pack("{s:[{s:s,s:s,s:[s]}]}", "matchExpressions", "key", "rank", "operator",
                         ONE_OF(trial, "Gt", "Lt"), "values", ONE_OF(trial, "2", "6"));
    }
    return json_pack("{s:[{s:s,s:s,s:[s,s]}]}", "matchExpressions", "key",
                     "topology.kubernetes.io/zone", "operator", ONE_OF(trial, "In", "NotIn"),
                     "values", "x", ONE_OF(trial, "y", "z"));
}

static json_t *make_node_affinity(struct trial *trial)
{
    json_t *affinity = json_object(), *preferred = json_array();
    if (happens(trial, 50)) {
        json_object_set_new(affinity, "requiredDuringSchedulingIgnoredDuringExecution",
                            json_pack("{s:[o,o]}", "nodeSelectorTerms", make_node_term(trial),
                                      make_node_term(trial)));
    }
    while (happens(trial, 50)) {
        json_array_append_new(preferred, json_pack("{s:i,s:o}", "weight", 1 + pick(trial, 100),
                                                   "preference", make_node_term(trial)));
    }
    json_object_set_new(affinity, "preferredDuringSchedulingIgnoredDuringExecution", preferred);
    return affinity;
}

static json_t *make_constraint(struct trial *trial)
{
    bool is_hard = happens(trial, 50);
    json_t *constraint =
        json_pack("{s:s,s:i,s:s,s:o}", "topologyKey", any_key(trial), "maxSkew", 1 + pick(trial, 2),
                  "whenUnsatisfiable", is_hard ? "DoNotSchedule" : "ScheduleAnyway",
                  "labelSelector", make_selector(trial));
    if (is_hard && happens(trial, 25)) {
        json_object_set_new(constraint, "minDomains", json_integer(1 + pick(trial, 4)));
    }
    if (happens(trial, 25)) {
        json_object_set_new(constraint, "nodeAffinityPolicy",
                            json_string(ONE_OF(trial, "Honor", "Ignore")));
    }
    if (happens(trial, 25)) {
        json_object_set_new(constraint, "nodeTaintsPolicy",
                            json_string(ONE_OF(trial, "Honor", "Ignore")));
    }
    if (happens(trial, 20)) {
        json_object_set_new(constraint, "matchLabelKeys", json_pack("[s]", "tier"));
    }
    return constraint;
}

static json_t *make_tolerations(struct trial *trial)
{
    json_t *list = json_array();
    while (happens(trial, 30)) {
        json_t *toleration = json_object();
        if (happens(trial, 50)) {
            json_object_set_new(toleration, "operator", json_string("Exists"));
        } else {
            json_object_set_new(toleration, "value", json_string(ONE_OF(trial, "1", "2")));
        }
        if (happens(trial, 85) || json_object_get(toleration, "operator") == NULL) {
            json_object_set_new(
                toleration, "key",
                json_string(ONE_OF(trial, "k", "l", "node.kubernetes.io/unschedulable")));
        }
        if (happens(trial, 50)) {
            json_object_set_new(toleration, "effect",
                                json_string(ONE_OF(trial, "NoSchedule", "PreferNoSchedule")));
        }
        json_array_append_new(list, toleration);
    }
    return list;
}

static json_t *make_container(struct trial *trial, json_t *amounts)
{
    json_t *requests = json_object();
    int cpu = happens(trial, 25) ? -1 : 250 * pick(trial, 8),
        mebibytes = happens(trial, 25) ? -1 : 256 * pick(trial, 8), gpus = happens(trial, 10);
    char text[32];
    if (cpu >= 0) {
        snprintf(text, sizeof text, "%dm", cpu);
        json_object_set_new(requests, "cpu", json_string(text));
    }
    if (mebibytes >= 0) {
        snprintf(text, sizeof text, "%dMi", mebibytes);
        json_object_set_new(requests, "memory", json_string(text));
    }
    if (gpus > 0) {
        json_object_set_new(requests, "x/gpu", json_string("1"));
    }
    json_object_set_new(amounts, "cpu", json_integer(cpu));
    json_object_set_new(amounts, "memory",
                        json_integer(mebibytes < 0 ? -1 : (json_int_t)mebibytes << 20));
    json_object_set_new(amounts, "gpu", json_integer(gpus));
    json_t *container = json_pack("{s:s,s:{s:o}}", "image", ONE_OF(trial, "i0:1", "i1:1", "i2:1"),
                                  "resources", "requests", requests);
    if (happens(trial, 20)) {
        json_t *port = json_pack("{s:i,s:s}", "hostPort", 80 + pick(trial, 2), "protocol",
                                 ONE_OF(trial, "TCP", "UDP"));
        if (happens(trial, 50)) {
            json_object_set_new(port, "hostIP", json_string(ONE_OF(trial, "10.0.0.1", "10.0.0.2")));
        }
        json_object_set_new(container, "ports", json_pack("[o]", port));
    }
    return container;
}

static json_t *make_spec(struct trial *trial, json_t *amounts)
{
    json_t *spec = json_pack("{s:[o],s:o}", "containers", make_container(trial, amounts),
                             "tolerations", make_tolerations(trial)),
           *affinity = json_object(), *constraints = json_array();
    if (happens(trial, 12)) {
        json_object_set_new(spec, "nodeSelector",
                            json_pack("{s:s}", "rack", ONE_OF(trial, "1", "2")));
    }
    if (happens(trial, 30)) {
        json_object_set_new(affinity, "nodeAffinity", make_node_affinity(trial));
    }
    if (happens(trial, 30)) {
        json_object_set_new(affinity, "podAffinity", make_pod_affinity(trial));
    }
    if (happens(trial, 40)) {
        json_object_set_new(affinity, "podAntiAffinity", make_pod_affinity(trial));
    }
    json_object_set_new(spec, "affinity", affinity);
    while (happens(trial, 30)) {
        json_array_append_new(constraints, make_constraint(trial));
    }
    json_object_set_new(spec, "topologySpreadConstraints", constraints);
    return spec;
}

static json_t *make_random_pod(struct trial *trial)
{
    json_t *amounts = json_object(), *labels = json_object();
    char name[32];
    snprintf(name, sizeof name, "p%u", ++trial->serial);
    if (happens(trial, 85)) {
        json_object_set_new(labels, "app", json_string(any_app(trial)));
    }
    if (happens(trial, 40)) {
        json_object_set_new(labels, "tier", json_string(ONE_OF(trial, "1", "2")));
    }
    return json_pack("{s:{s:s,s:s,s:s,s:o},s:o,s:o}", "metadata", "name", name, "namespace",
                     ONE_OF(trial, "red", "red", "blue"), "uid", name, "labels", labels, "spec",
                     make_spec(trial, amounts), "ref", amounts);
}

/* Another like one that stands, of the same class. */
static json_t *make_likeness(struct trial *trial)
{
    size_t count = json_array_size(trial->reference.pods);
    json_t *pod =
        json_deep_copy(json_array_get(trial->reference.pods, (size_t)pick(trial, (int)count)));
    char name[32];
    snprintf(name, sizeof name, "p%u", ++trial->serial);
    json_object_set_new(json_object_get(pod, "metadata"), "name", json_string(name));
    json_object_set_new(json_object_get(pod, "metadata"), "uid", json_string(name));
    json_object_del(json_object_get(pod, "spec"), "nodeName");
    json_object_del(pod, "deleting");
    return pod;
}

static struct cached_object *object_of(const json_t *pod)
{
    cleanup(free_char)
    char *text = json_dumps(pod, JSON_COMPACT);
    struct cached_object *object = cached_object_new(&pod_object_class, text, strlen(text));
    assert_non_null(object);
    return object;
}

/* ---- the cluster changes ---- */

static void put_random_node(struct trial *trial, size_t index)
{
    char name[16];
    snprintf(name, sizeof name, "n%zu", index);
    json_t *node = make_random_node(trial, name);
    struct node_cache *cache = trial->decider.cache;
    size_t i = 0;
    while (i < json_array_size(trial->reference.nodes) &&
           !ref_is(ref_name(json_array_get(trial->reference.nodes, i)), name)) {
        i++;
    }
    node_cache_put_node(cache, node);
    cleanup(free_char)
    char *images = json_dumps(ref_at(node, "status", "images", NULL), JSON_COMPACT);
    node_images_put(cache, node_cache_node(cache, name), images, strlen(images));
    if (i < json_array_size(trial->reference.nodes)) {
        json_array_set_new(trial->reference.nodes, i, node);
    } else {
        json_array_append_new(trial->reference.nodes, node);
    }
}

static void remove_random_node(struct trial *trial)
{
    size_t count = json_array_size(trial->reference.nodes);
    if (count > 0) {
        size_t index = (size_t)pick(trial, (int)count);
        node_cache_remove_node(trial->decider.cache,
                               ref_name(json_array_get(trial->reference.nodes, index)));
        json_array_remove(trial->reference.nodes, index);
    }
}

static void label_namespace(struct trial *trial, const char *name)
{
    json_t *labels = json_pack("{s:s}", "team", ONE_OF(trial, "1", "2", "3"));
    affinity_put_namespace(trial->decider.cache, name, labels);
    json_object_set_new(trial->reference.namespaces, name, labels);
}

static void settle_on(struct trial *trial, json_t *pod, const char *node, bool is_deleting)
{
    cleanup(cached_object_release)
    struct cached_object *object = object_of(pod);
    node_cache_place(trial->decider.cache, object->key, object->uid, class_of(object), node, false,
                     is_deleting);
    json_object_set_new(json_object_get(pod, "spec"), "nodeName", json_string(node));
    json_object_set_new(pod, "deleting", json_boolean(is_deleting));
}

static void disturb_a_pod(struct trial *trial)
{
    size_t count = json_array_size(trial->reference.pods);
    if (count == 0) {
        return;
    }
    size_t index = (size_t)pick(trial, (int)count);
    json_t *pod = json_array_get(trial->reference.pods, index);
    cleanup(free_char)
    char *key = format("%s/%s", ref_namespace(pod), ref_name(pod));
    if (happens(trial, 50)) {
        cleanup(free_char)
        char *node = duplicate(ref_text(json_object_get(pod, "spec"), "nodeName"));
        settle_on(trial, pod, node, true);
    } else {
        node_cache_unplace(trial->decider.cache, key, NULL);
        json_array_remove(trial->reference.pods, index);
    }
}

static void disturb(struct trial *trial)
{
    int what = pick(trial, 100);
    if (what < 12) {
        put_random_node(trial, (size_t)pick(trial, REF_NODES_MAX - 2));
    } else if (what < 15) {
        remove_random_node(trial);
    } else if (what < 20) {
        label_namespace(trial, ONE_OF(trial, "red", "blue"));
    } else if (what < 40) {
        disturb_a_pod(trial);
    }
}

/* ---- a pod is scheduled ---- */

/* The pods of the same app in the namespace are spread, as if there were a service of theirs. */
static void give_group(struct trial *trial, const json_t *pod, struct pod_class *class)
{
    const char *app = ref_label(pod, "app");
    if (app != NULL && class->group == NULL &&
        json_array_size(ref_at(pod, "spec", "topologySpreadConstraints", NULL)) == 0) {
        cleanup(free_char)
        char *key = format("%s=%s", ref_namespace(pod), app);
        cleanup(json_release)
        json_t *labels = json_pack("{s:s}", "app", app);
        struct selector **selectors = allocate(sizeof(struct selector *));
        selectors[0] = selector_from_map(labels);
        node_cache_know_class(trial->decider.cache, class);
        class->group =
            node_cache_group(trial->decider.cache, ref_namespace(pod), key, selectors, 1);
    }
}

static void compare_scores(const struct trial *trial, const struct ref_choice *choice,
                           const struct cycle *cycle)
{
    for (size_t i = 0; i < array_length(ref_scorers); i++) {
        int64_t expected[REF_NODES_MAX], found[REF_NODES_MAX] = {0};
        size_t p = 0;
        while (strcmp(plugins[p]->name, ref_scorers[i].plugin) != 0) {
            p++;
        }
        assert_int_equal(plugins[p]->weight, ref_scorers[i].weight);
        ref_scorers[i].score(choice, expected);
        if (!plugins[p]->score(cycle, found)) {
            for (size_t n = 0; n < choice->count; n++) {
                found[n] = expected[0]; /* All are equal, whatever they are. */
            }
        }
        for (size_t n = 0; n < choice->count; n++) {
            if (expected[n] != found[n]) {
                fail_msg("%s on %s: %lld, not %lld, for %s (serial %u)", plugins[p]->name,
                         ref_name(choice->nodes[n]), (long long)found[n], (long long)expected[n],
                         json_dumps(choice->pod, 0), trial->serial);
            }
        }
    }
}

/* The nodes that fit, and their scores, are the same. */
static void compare(const struct trial *trial, const json_t *pod, struct ref_choice *choice,
                    struct pod_class *class)
{
    struct node *nodes[REF_NODES_MAX];
    struct cycle cycle = {
        .cache = trial->decider.cache, .class = class, .key = "", .uid = "", .nodes = nodes};
    *choice = (struct ref_choice){.cluster = &trial->reference, .pod = pod};
    class->profile = decider_profile(&trial->decider, class);
    assert_ptr_equal(class->profile, &trial->profile);
    assert_int_equal(cycle_prepare(&cycle, NULL), 0);
    for (size_t i = 0; i < json_array_size(trial->reference.nodes); i++) {
        const json_t *node = json_array_get(trial->reference.nodes, i);
        struct node *fast = map_get(&cycle.cache->nodes_by_name, ref_name(node));
        bool fits = ref_fits(&trial->reference, pod, node);
        if (cycle_fits(&cycle, fast) != fits) {
            fail_msg("%s %s for %s (serial %u)", ref_name(node), fits ? "fits" : "does not fit",
                     json_dumps(pod, 0), trial->serial);
        }
        if (fits) {
            nodes[cycle.node_count++] = fast;
            choice->nodes[choice->count++] = node;
        }
    }
    if (choice->count > 0) {
        compare_scores(trial, choice, &cycle);
    }
}

static void schedule(struct trial *trial, json_t *pod)
{
    struct ref_choice choice;
    int64_t totals[REF_NODES_MAX];
    cleanup(cached_object_release)
    struct cached_object *object = object_of(pod);
    struct pod_class *class = class_of(object);
    give_group(trial, pod, class);
    compare(trial, pod, &choice, class);
    const struct node *node = decider_choose(&trial->decider, class, object->key, object->uid);
    assert_int_equal(node != NULL, choice.count > 0);
    if (node == NULL) {
        total_refused++;
        json_decref(pod);
        return;
    }
    ref_score(&choice, totals);
    size_t chosen = 0;
    while (strcmp(ref_name(choice.nodes[chosen]), node->name) != 0) {
        chosen++;
    }
    for (size_t i = 0; i < choice.count; i++) {
        assert_true(totals[i] <= totals[chosen]);
    }
    settle_on(trial, pod, node->name, false);
    json_array_append_new(trial->reference.pods, pod);
    total_placed++;
}

static void choose_strategy(struct trial *trial)
{
    static const enum fit_strategy strategies[REF_STRATEGIES] = {LEAST_ALLOCATED, MOST_ALLOCATED,
                                                                 REQUESTED_TO_CAPACITY_RATIO};
    struct profile *profile = &trial->profile;
    trial->reference.strategy = (enum ref_strategy)pick(trial, REF_STRATEGIES);
    *profile = profile_default;
    profile->strategy = strategies[trial->reference.strategy];
    profile->shape_count = array_length(ref_shape);
    for (size_t i = 0; i < profile->shape_count; i++) {
        profile->shape[i] = (struct shape_point){ref_shape[i][0], ref_shape[i][1]};
    }
    trial->decider.profiles = profile;
    trial->decider.profile_count = 1;
}

static void try_cluster(unsigned seed)
{
    struct trial trial = {.seed = seed};
    struct node_cache *cache = node_cache_new();
    trial.decider.cache = cache;
    trial.reference = (struct ref_cluster){
        .nodes = json_array(), .pods = json_array(), .namespaces = json_object()};
    choose_strategy(&trial);
    size_t count = 1 + (size_t)pick(&trial, REF_NODES_MAX - 2);
    for (size_t i = 0; i < count; i++) {
        put_random_node(&trial, i);
    }
    label_namespace(&trial, "red");
    label_namespace(&trial, "blue");
    for (int i = 0; i < pods_a_cluster; i++) {
        bool is_like = json_array_size(trial.reference.pods) > 0 && happens(&trial, 40);
        schedule(&trial, is_like ? make_likeness(&trial) : make_random_pod(&trial));
        disturb(&trial);
    }
    decider_clear(&trial.decider);
    free_cache(cache);
    json_decref(trial.reference.nodes);
    json_decref(trial.reference.pods);
    json_decref(trial.reference.namespaces);
}

static unsigned number_of(const char *variable, unsigned otherwise)
{
    const char *text = getenv(variable);
    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void in_random_clusters_it_does_as_the_reference_says(void **state)
{
    (void)state;
    unsigned first = number_of("SEED", 1), count = number_of("CLUSTERS", clusters_by_default);
    for (unsigned seed = first; seed < first + count; seed++) {
        try_cluster(seed * 2654435761U);
    }
    /* Neither case is rare. */
    assert_true(count < 100 || (total_placed > count * 4 && total_refused > count));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_random_clusters_it_does_as_the_reference_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
