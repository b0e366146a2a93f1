// SPDX-License-Identifier: Apache-2.0
/*
 * The scheduler's parts together, driven by random events: nodes that come, change and go, pods
 * that are made, bound, bound by others, refused, resized, preempted, end and disappear; answers
 * that come before, after or without what they are about. Beside them a model as simple as can be
 * says what is right: a pod's node must have had room for it and have suited it; after each step
 * the cache holds what the model holds; and whenever the dust has settled, no pod waits that fits
 * somewhere, or would if less important ones left.
 */
#include "test/unit/scheduler_harness.h"

#include <stdlib.h>
#include <time.h>

#include "scheduler/cluster.h"
#include "scheduler/nominations.h"
#include "scheduler/preemption.h"

#define SECOND INT64_C(1000000000)

enum { nodes_max = 8, pods_max = 60, steps = 6000, pending = -1 };

struct model_node {
    bool exists, tainted, cordoned;
    int cpu, pods, gpus;
    char zone;
};

struct model_pod {
    struct cached_object *object; /* NULL: there is none. */
    int cpu, gpus, port, priority;
    char zone, app; /* Zone 0: any. */
    bool tolerates, gated, never_preempts;
    bool is_evicted; /* It was told to make way. */
    int node;        /* Or 'pending'. */
    bool is_assumed, is_deleting;
    struct queued_pod *binding; /* While it is under way. */
};

struct world {
    struct decider decider;
    struct queue queue;
    struct cluster cluster;
    struct model_node nodes[nodes_max];
    struct model_pod pods[pods_max];
    unsigned serial, seed;
    size_t bound, refused, preempted; /* How often, so that a test that does nothing is noticed. */
};

static int64_t now;

static int64_t tell_now(void)
{
    return now;
}

static int pick(struct world *world, int count)
{
    return rand_r(&world->seed) % count;
}

/* ---- the model ---- */

static bool suits(const struct model_pod *pod, const struct model_node *node)
{
    return node->exists && !node->cordoned && (!node->tainted || pod->tolerates) &&
           (pod->zone == 0 || pod->zone == node->zone);
}

/* The node for which others made room for the pod, or 'pending'. */
static int nominated_node(const struct world *world, const struct model_pod *pod)
{
    const struct nomination *nomination = nominations_find(world->decider.cache, pod->object->key);
    return nomination != NULL ? nomination->node->name[1] - '0' : pending;
}

/* There is room for it on that node beside all others: those that are more important than the
 * given number, and those of no lower priority than its own that are to come. */
static bool has_room(const struct world *world, const struct model_pod *wanted, int index,
                     int above)
{
    const struct model_node *node = &world->nodes[index];
    int cpu = wanted->cpu, gpus = wanted->gpus, pods = 1;
    for (int i = 0; i < pods_max; i++) {
        const struct model_pod *pod = &world->pods[i];
        if (pod->object == NULL || pod == wanted) {
            continue;
        }
        bool stands = pod->node == index && pod->priority > above;
        bool comes = pod->node == pending && pod->priority >= wanted->priority &&
                     nominated_node(world, pod) == index;
        if (!stands && !comes) {
            continue;
        }
        cpu += pod->cpu;
        gpus += pod->gpus;
        pods++;
        if (pod->port != 0 && pod->port == wanted->port) {
            return false;
        }
    }
    return pods <= node->pods && (wanted->cpu == 0 || cpu <= node->cpu) &&
           (wanted->gpus == 0 || gpus <= node->gpus);
}

static bool fits_somewhere(const struct world *world, const struct model_pod *pod, int above)
{
    for (int i = 0; i < nodes_max; i++) {
        if (suits(pod, &world->nodes[i]) && has_room(world, pod, i, above)) {
            return true;
        }
    }
    return false;
}

/* It fits if nobody, or whoever is less important, leaves. */
static bool could_be_helped(const struct world *world, const struct model_pod *pod)
{
    return fits_somewhere(world, pod, INT32_MIN) ||
           (!pod->never_preempts && fits_somewhere(world, pod, pod->priority - 1));
}

static const char *name_of_node(int index)
{
    static const char *const names[nodes_max] = {"n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"};
    return names[index];
}

/* ---- events ---- */

static void put_model_node(struct world *world, int index)
{
    struct model_node *node = &world->nodes[index];
    *node = (struct model_node){.exists = true,
                                .tainted = pick(world, 4) == 0,
                                .cordoned = pick(world, 6) == 0,
                                .cpu = 1000 * (1 + pick(world, 4)),
                                .pods = 1 + pick(world, 6),
                                .gpus = pick(world, 3),
                                .zone = (char)('a' + pick(world, 2))};
    cleanup(free_char)
    char *labels = format("\"labels\":{\"topology.kubernetes.io/zone\":\"%c\"}", node->zone);
    cleanup(free_char)
    char *allocatable = format("\"cpu\":\"%dm\",\"pods\":\"%d\",\"x/gpu\":\"%d\"", node->cpu,
                               node->pods, node->gpus);
    cleanup(free_char)
    char *spec = format("\"unschedulable\":%s,\"taints\":[%s]", node->cordoned ? "true" : "false",
                        node->tainted ? "{\"key\":\"k\",\"effect\":\"NoSchedule\"}" : "");
    cleanup(json_release)
    json_t *object = make_node(name_of_node(index), labels, spec, allocatable);
    cluster_put_node(&world->cluster, object);
}

static void remove_model_node(struct world *world, int index)
{
    world->nodes[index].exists = false;
    cluster_remove_node(&world->cluster, name_of_node(index));
}

/* The pod as the server has it, of that name. */
static struct cached_object *make_object(const struct model_pod *pod, const char *name,
                                         bool is_bound)
{
    char zone[80] = "", port[48] = "", gpus[32] = "", node[48] = "";
    if (pod->zone != 0) {
        snprintf(zone, sizeof zone, ",\"nodeSelector\":{\"topology.kubernetes.io/zone\":\"%c\"}",
                 pod->zone);
    }
    if (pod->port != 0) {
        snprintf(port, sizeof port, "\"ports\":[{\"hostPort\":%d}],", pod->port);
    }
    if (pod->gpus != 0) {
        snprintf(gpus, sizeof gpus, ",\"x/gpu\":\"%d\"", pod->gpus);
    }
    if (is_bound) {
        snprintf(node, sizeof node, ",\"nodeName\":\"%s\"", name_of_node(pod->node));
    }
    cleanup(free_char)
    char *metadata =
        format("\"labels\":{\"app\":\"%c\"}%s", pod->app,
               pod->is_deleting ? ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"" : "");
    cleanup(free_char)
    char *spec = format(
        "\"priority\":%d,\"containers\":[{%s\"resources\":{\"requests\":{\"cpu\":\"%dm\"%s}}}]"
        "%s%s%s%s%s",
        pod->priority, port, pod->cpu, gpus, zone, node,
        pod->tolerates ? ",\"tolerations\":[{\"operator\":\"Exists\",\"key\":\"k\"}]" : "",
        pod->gated ? ",\"schedulingGates\":[{\"name\":\"g\"}]" : "",
        pod->never_preempts ? ",\"preemptionPolicy\":\"Never\"" : "");
    return make_pod_with(name, metadata, spec);
}

/* The informer sees the pod as it is now. */
static void see(struct world *world, struct model_pod *pod, bool is_bound)
{
    struct cached_object *old = pod->object;
    char name[32];
    snprintf(name, sizeof name, "%s", old->name);
    pod->object = make_object(pod, name, is_bound);
    cluster_pod_changed(&world->cluster, old, pod->object, true);
    cached_object_unref(old);
}

static void add_pod(struct world *world, struct model_pod *pod)
{
    static const int cpus[] = {0, 500, 1000, 3000}, ports[] = {0, 0, 0, 80, 81};
    static const int priorities[] = {0, 0, 0, 5, 5, 9};
    char name[32];
    snprintf(name, sizeof name, "p%u", ++world->serial);
    *pod = (struct model_pod){.cpu = cpus[pick(world, 4)],
                              .gpus = pick(world, 4) == 0,
                              .port = ports[pick(world, 5)],
                              .priority = priorities[pick(world, 6)],
                              .zone = (char)("\0ab"[pick(world, 3)]),
                              .app = (char)('x' + pick(world, 2)),
                              .tolerates = pick(world, 3) == 0,
                              .gated = pick(world, 8) == 0,
                              .never_preempts = pick(world, 8) == 0,
                              .node = pending};
    pod->object = make_object(pod, name, false);
    cluster_pod_changed(&world->cluster, NULL, pod->object, true);
}

static void ungate(struct world *world, struct model_pod *pod)
{
    pod->gated = false;
    see(world, pod, false);
}

/* Gone, wherever it is; what comes of a binding under way does not matter any more. */
static void remove_pod(struct world *world, struct model_pod *pod)
{
    cluster_pod_changed(&world->cluster, pod->object, NULL, false);
    if (pod->binding != NULL) {
        cluster_forget(&world->cluster, pod->binding);
        queued_pod_free(pod->binding);
    }
    cached_object_unref(pod->object);
    *pod = (struct model_pod){0};
}

/* The event may come before the answer, or the answer is lost and the pod is asked for. */
static void see_bound(struct world *world, struct model_pod *pod)
{
    bool answer_first = pick(world, 2) == 0;
    world->bound++;
    if (answer_first) {
        queued_pod_free(steal(pod->binding));
    }
    pod->is_assumed = false;
    see(world, pod, true);
}

static void see_answer(struct model_pod *pod)
{
    queued_pod_free(steal(pod->binding));
}

static void refuse_binding(struct world *world, struct model_pod *pod)
{
    pod->is_assumed = false;
    pod->node = pending;
    world->refused++;
    cluster_forget(&world->cluster, pod->binding);
    queue_back_off(&world->queue, steal(pod->binding));
}

/* Another scheduler gave it a node, without looking whether it fits. Ours is refused afterwards. */
static void bind_by_another(struct world *world, struct model_pod *pod)
{
    pod->node = pick(world, nodes_max);
    pod->is_assumed = false;
    see(world, pod, true);
    if (pod->binding != NULL) {
        cluster_forget(&world->cluster, pod->binding);
        queued_pod_free(steal(pod->binding));
    }
}

static void resize(struct world *world, struct model_pod *pod)
{
    pod->cpu = 500 * pick(world, 5);
    see(world, pod, true);
}

static void begin_deletion(struct world *world, struct model_pod *pod)
{
    pod->is_deleting = true;
    see(world, pod, true);
}

/* ---- cycles ---- */

static struct model_pod *find_pod(struct world *world, const char *uid)
{
    for (int i = 0; i < pods_max; i++) {
        if (world->pods[i].object != NULL && strcmp(world->pods[i].object->uid, uid) == 0) {
            return &world->pods[i];
        }
    }
    fail_msg("%s was tried, but is gone", uid);
    return NULL;
}

static void give_group(struct world *world, struct pod_class *class, char app)
{
    char text[] = {app, '\0'};
    struct selector **selectors = allocate(sizeof *selectors);
    json_t *labels = json_pack("{s:s}", "app", text);
    selectors[0] = selector_from_map(labels);
    json_decref(labels);
    node_cache_know_class(world->decider.cache, class);
    class->group = node_cache_group(world->decider.cache, "ns", text, selectors, 1);
}

static void end_lesser_nominations(struct world *world, const struct model_pod *pod, int index)
{
    for (int i = 0; i < pods_max; i++) {
        const struct model_pod *other = &world->pods[i];
        if (other->object != NULL && other->priority < pod->priority &&
            nominated_node(world, other) == index) {
            queue_activate(&world->queue, other->object->key);
            cluster_end_nomination(&world->cluster, other->object->key);
        }
    }
}

/* Makes room, if that helps; tells of a victim now and then too late. */
static void preempt(struct world *world, const struct queued_pod *queued, struct model_pod *pod)
{
    struct disruption_budgets none = {0};
    struct preemption found =
        preemption_find(&world->decider, queued->class, queued->key, queued->uid, &none);
    if (found.node == NULL) {
        assert_true(pod->never_preempts || !fits_somewhere(world, pod, pod->priority - 1));
        if (!found.keeps_nomination) {
            cluster_end_nomination(&world->cluster, queued->key);
        }
        preemption_clear(&found);
        return;
    }
    int index = found.node->name[1] - '0';
    assert_true(suits(pod, &world->nodes[index]));
    assert_true(has_room(world, pod, index, pod->priority - 1));
    assert_true(found.count > 0);
    world->preempted++;
    end_lesser_nominations(world, pod, index);
    for (size_t i = 0; i < found.count; i++) {
        struct model_pod *victim = find_pod(world, found.victims[i]->uid);
        assert_true(victim->priority < pod->priority && victim->node == index);
        victim->is_evicted = true;
    }
    cluster_nominate(&world->cluster, queued->key, queued->uid, queued->class, found.node->name);
    preemption_clear(&found);
}

static bool run_cycle(struct world *world)
{
    queue_wake(&world->queue, now);
    struct queued_pod *queued = queue_pop(&world->queue);
    if (queued == NULL) {
        return false;
    }
    struct model_pod *pod = find_pod(world, queued->uid);
    assert_int_equal(pod->node, pending);
    assert_false(pod->gated);
    if (queued->class->group == NULL) {
        give_group(world, queued->class, pod->app);
    }
    struct node *node = decider_choose(&world->decider, queued->class, queued->key, queued->uid);
    if (node == NULL) {
        assert_false(fits_somewhere(world, pod, INT32_MIN));
        preempt(world, queued, pod);
        bool is_nominated = nominated_node(world, pod) != pending;
        queue_park(&world->queue, queued,
                   is_nominated ? UINT32_MAX : queued->class->failed_plugins);
        return true;
    }
    int index = node->name[1] - '0';
    assert_true(suits(pod, &world->nodes[index]));
    assert_true(has_room(world, pod, index, INT32_MIN));
    pod->node = index;
    pod->is_assumed = true;
    pod->binding = queued;
    cluster_assume(&world->cluster, queued, node->name);
    return true;
}

static bool end_what_is_under_way(struct world *world)
{
    bool any = false;
    for (int i = 0; i < pods_max; i++) {
        struct model_pod *pod = &world->pods[i];
        any = any || pod->binding != NULL || pod->is_evicted;
        if (pod->binding != NULL && pod->is_assumed) {
            see_bound(world, pod);
        }
        if (pod->binding != NULL) {
            see_answer(pod);
        }
        if (pod->is_evicted) {
            remove_pod(world, pod);
        }
    }
    return any;
}

/* All that is under way ends, and all that may be tried is, also those whose binding was refused
 * just now and that wait for a while; long before patience is at its end. */
static void settle(struct world *world)
{
    bool any = true;
    for (int round = 0; round < 20 && any; round++) {
        any = world->queue.counts[QUEUE_BACKOFF] > 0;
        while (run_cycle(world)) {
            any = true;
        }
        any = end_what_is_under_way(world) || any;
        now += 11 * SECOND;
    }
    for (int i = 0; i < pods_max; i++) {
        const struct model_pod *pod = &world->pods[i];
        if (pod->object != NULL && pod->node == pending && !pod->gated) {
            assert_false(could_be_helped(world, pod));
        }
    }
    assert_int_equal(world->decider.cache->nominations.count, 0);
    assert_int_equal(world->queue.counts[QUEUE_ACTIVE] + world->queue.counts[QUEUE_BACKOFF], 0);
}

/* ---- the cache against the model ---- */

static void check_node(const struct world *world, int index)
{
    struct node_cache *cache = world->decider.cache;
    const struct node *node = map_get(&cache->nodes_by_name, name_of_node(index));
    int cpu = 0, assumed = 0, gpus = 0, count = 0, apps[2] = {0};
    bool ports[2] = {false}; /* 80 and 81. */
    for (int i = 0; i < pods_max; i++) {
        const struct model_pod *pod = &world->pods[i];
        if (pod->object != NULL && pod->node == index) {
            cpu += pod->cpu;
            assumed += pod->cpu; /* All say what they need, if only 0. */
            gpus += pod->gpus;
            if (pod->port != 0) {
                ports[pod->port - 80] = true;
            }
            apps[pod->app - 'x'] += !pod->is_deleting;
            count++;
        }
    }
    if (node == NULL) {
        assert_true(!world->nodes[index].exists && count == 0);
        return;
    }
    assert_true(world->nodes[index].exists || count > 0 || node->nominated != NULL);
    assert_int_equal(node->exists, world->nodes[index].exists);
    assert_ptr_equal(cache->nodes[node->index], node);
    assert_int_equal(node->pod_count, count);
    for (const struct placed_pod *pod = node->pods; pod != NULL; pod = pod->next) {
        assert_ptr_equal(pod->node, node);
        count--;
    }
    assert_int_equal(count, 0);
    assert_int_equal(node->requested.milli_cpu, cpu);
    assert_int_equal(node->assumed.milli_cpu, assumed);
    assert_int_equal(node->port_count, ports[0] + ports[1]);
    assert_int_equal(resource_amounts_extended(&node->requested, resource_names_find("x/gpu")),
                     gpus);
    for (int app = 0; app < 2; app++) {
        const struct spread_group *group = map_get(&cache->groups, app == 0 ? "x" : "y");
        if (group != NULL) {
            assert_int_equal(node->index < group->count_capacity ? group->counts[node->index] : 0,
                             apps[app]);
        }
    }
}

static void check(const struct world *world)
{
    const struct node_cache *cache = world->decider.cache;
    size_t nodes = 0, placed = 0, waiting = 0;
    for (int i = 0; i < nodes_max; i++) {
        check_node(world, i);
        nodes += world->nodes[i].exists;
    }
    for (int i = 0; i < pods_max; i++) {
        const struct model_pod *pod = &world->pods[i];
        if (pod->object == NULL) {
            continue;
        }
        const struct placed_pod *found = node_cache_find_pod(cache, pod->object->key);
        assert_int_equal(found != NULL, pod->node != pending);
        assert_int_equal(found != NULL && found->is_assumed, pod->is_assumed);
        assert_int_equal(map_get(&world->queue.pods, pod->object->key) != NULL,
                         pod->node == pending);
        placed += pod->node != pending;
        waiting += pod->node == pending;
    }
    assert_int_equal(cache->node_count, nodes);
    assert_int_equal(cache->pods.count, placed);
    assert_int_equal(world->queue.pods.count, waiting);
    assert_true(cache->node_slots <= nodes_max);
}

/* ---- the test ---- */

static void event_of_a_binding(struct world *world, struct model_pod *pod)
{
    int outcome = pick(world, 12);
    if (!pod->is_assumed) {
        see_answer(pod); /* Its event came before. */
    } else if (outcome < 6) {
        see_bound(world, pod);
    } else if (outcome < 9) {
        refuse_binding(world, pod);
    } else if (outcome < 10) {
        bind_by_another(world, pod);
    } else {
        remove_pod(world, pod);
    }
}

static void event_of_a_pod(struct world *world, struct model_pod *pod)
{
    if (pod->object == NULL) {
        add_pod(world, pod);
    } else if (pod->binding != NULL) {
        event_of_a_binding(world, pod);
    } else if (pod->gated) {
        ungate(world, pod);
    } else if (pod->node == pending) {
        int what = pick(world, 16);
        if (what < 4) {
            remove_pod(world, pod);
        } else if (what == 4) {
            bind_by_another(world, pod);
        }
    } else if (pod->is_deleting) {
        remove_pod(world, pod);
    } else if (pod->is_evicted || pick(world, 4) == 0) {
        begin_deletion(world, pod);
    } else if (pick(world, 3) == 0) {
        resize(world, pod);
    } else {
        remove_pod(world, pod);
    }
}

static void step(struct world *world)
{
    int what = pick(world, 100), node = pick(world, nodes_max);
    if (what < 45) {
        event_of_a_pod(world, &world->pods[pick(world, pods_max)]);
    } else if (what < 52) {
        put_model_node(world, node);
    } else if (what < 55) {
        remove_model_node(world, node);
    } else if (what < 90) {
        run_cycle(world);
    } else if (what < 99) {
        now += SECOND * pick(world, 4);
    } else {
        settle(world);
        pod_classes_collect(forget_class, world->decider.cache);
    }
}

static void run(unsigned seed)
{
    struct world *world = allocate_struct(struct world);
    struct node_cache *cache = node_cache_new();
    world->seed = seed;
    world->decider.cache = cache;
    world->queue.clock = tell_now;
    world->cluster = (struct cluster){cache, &world->queue};
    now = 1000 * SECOND;
    print_message("seed %u\n", seed);
    for (int i = 0; i < steps; i++) {
        step(world);
        check(world);
    }
    assert_true(world->bound > 100 && world->refused > 5 && world->preempted > 20);
    for (int i = 0; i < pods_max; i++) {
        if (world->pods[i].object != NULL) {
            remove_pod(world, &world->pods[i]);
        }
    }
    check(world);
    queue_clear(&world->queue);
    decider_clear(&world->decider);
    free_cache(cache);
    free(world);
}

static void nothing_is_overcommitted_or_forgotten(void **state)
{
    (void)state;
    run(1);
    run(20);
}

static void nor_with_another_seed(void **state)
{
    (void)state;
    const char *given = getenv("SEED"); /* To see again what was seen. */
    run(given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_overcommitted_or_forgotten),
        cmocka_unit_test(nor_with_another_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
