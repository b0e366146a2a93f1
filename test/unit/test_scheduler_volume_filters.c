// SPDX-License-Identifier: Apache-2.0
/*
 * Where pods with volumes may stand, in random clusters, against rules as slow and obvious as can
 * be: nodes that a bound volume is reached from, zones, claims for one pod, disks that are on a
 * node once, and how many volumes of a driver a node takes. Nodes and pods are letters and numbers;
 * the claim ci is bound to the volume vi.
 *
 * CLUSTERS=10000 says how many, SEED=7 where to begin.
 */
#include "test/unit/scheduler_volumes.h"

#include <stdlib.h>

#ifdef __SANITIZE_ADDRESS__
enum { clusters_by_default = 100 };
#else
enum { clusters_by_default = 1000 };
#endif

enum { nodes_max = 4, volumes_max = 6, pods_max = 12, pods_a_cluster = 20 };

struct model_node {
    const char *zone, *region; /* NULL: it does not say. */
    int limit;                 /* Of the driver's volumes, -1: none. */
};

struct model_volume {
    const char *zones;
    char reached_from; /* The one node, 0: all. */
    bool is_of_driver, is_for_one_pod;
};

struct model_disk {
    const char *kind, *name; /* NULL: the pod has none. */
    bool only_reads;
};

struct model_pod {
    int node; /* -1: there is no such pod. */
    bool uses[volumes_max];
    struct model_disk disk;
};

struct model {
    struct model_node nodes[nodes_max];
    struct model_volume volumes[volumes_max];
    bool is_attached[nodes_max][volumes_max];
    struct model_pod pods[pods_max];
};

static size_t total_fits, total_misfits;

/* ---- the rules ---- */

static bool is_reached(const struct model_volume *volume, int node)
{
    return volume->reached_from == 0 || volume->reached_from == 'a' + node;
}

/* A node that says nothing of where it is takes volumes of all zones. */
static bool is_in_zone(const struct model_volume *volume, const struct model_node *node)
{
    if (volume->zones == NULL || (node->zone == NULL && node->region == NULL)) {
        return true;
    }
    return node->zone != NULL && strstr(volume->zones, node->zone) != NULL;
}

static bool is_used(const struct model *model, int volume)
{
    for (int i = 0; i < pods_max; i++) {
        if (model->pods[i].node >= 0 && model->pods[i].uses[volume]) {
            return true;
        }
    }
    return false;
}

static bool conflict(const struct model_disk *a, const struct model_disk *b)
{
    if (a->kind == NULL || b->kind == NULL || strcmp(a->kind, b->kind) != 0 ||
        strcmp(a->name, b->name) != 0) {
        return false;
    }
    return strcmp(a->kind, "awsElasticBlockStore") == 0 || !(a->only_reads && b->only_reads);
}

static bool is_disk_free(const struct model *model, const struct model_pod *pod, int node)
{
    for (int i = 0; i < pods_max; i++) {
        if (model->pods[i].node == node && conflict(&pod->disk, &model->pods[i].disk)) {
            return false;
        }
    }
    return true;
}

/* The driver's volumes on the node, with those of the pod or (NULL) without. */
static int count_volumes(const struct model *model, const struct model_pod *pod, int node)
{
    int count = 0;
    for (int v = 0; v < volumes_max; v++) {
        bool is_there = model->is_attached[node][v] || (pod != NULL && pod->uses[v]);
        for (int i = 0; i < pods_max; i++) {
            is_there = is_there || (model->pods[i].node == node && model->pods[i].uses[v]);
        }
        count += is_there && model->volumes[v].is_of_driver;
    }
    return count;
}

static bool keeps_limit(const struct model *model, const struct model_pod *pod, int node)
{
    int limit = model->nodes[node].limit;
    int before = count_volumes(model, NULL, node), after = count_volumes(model, pod, node);
    return limit < 0 || after <= limit || after == before;
}

static bool should_fit(const struct model *model, const struct model_pod *pod, int node)
{
    for (int v = 0; v < volumes_max; v++) {
        const struct model_volume *volume = &model->volumes[v];
        if (pod->uses[v] &&
            (!is_reached(volume, node) || !is_in_zone(volume, &model->nodes[node]) ||
             (volume->is_for_one_pod && is_used(model, v)))) {
            return false;
        }
    }
    return is_disk_free(model, pod, node) && keeps_limit(model, pod, node);
}

/* ---- random clusters ---- */

static const char *one_of(const char *a, const char *b, const char *c)
{
    const char *all[] = {a, b, c};
    return all[rand() % 3];
}

static void put_random_node(struct world *world, struct model_node *made, int number)
{
    *made = (struct model_node){one_of(NULL, "za", "zb"), one_of(NULL, NULL, "r"), rand() % 4 - 1};
    char name[] = {(char)('a' + number), '\0'};
    cleanup(free_char)
    char *labels = format(
        "%s%s%s%s%s%s", made->zone ? "\"topology.kubernetes.io/zone\":\"" : "",
        made->zone ? made->zone : "", made->zone ? "\"" : "", made->zone && made->region ? "," : "",
        made->region ? "\"topology.kubernetes.io/region\":\"r" : "", made->region ? "\"" : "");
    node(world, name, labels);
    if (made->limit >= 0) {
        cleanup(free_char)
        char *text = format("{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"drivers\":[{\"name\":"
                            "\"disks\",\"nodeID\":\"x\",\"allocatable\":{\"count\":%d}}]}}",
                            name, made->limit);
        put(world, volumes_put_csi_node, text);
    }
}

static void put_random_volume(struct world *world, struct model_volume *made, int number)
{
    static const char reached_from[] = {0, 0, 'a', 'b'};
    *made = (struct model_volume){one_of(NULL, "za", "za__zb"), reached_from[rand() % 4],
                                  rand() % 3 > 0, rand() % 4 == 0};
    char node_name[] = {made->reached_from, '\0'};
    cleanup(free_char)
    char *affinity =
        made->reached_from != 0
            ? format(
                  ",\"nodeAffinity\":{\"required\":{\"nodeSelectorTerms\":[{\"matchExpressions\":"
                  "[{\"key\":\"kubernetes.io/hostname\",\"operator\":\"In\",\"values\":[\"%s\"]}]"
                  "}]}}",
                  node_name)
            : duplicate("");
    cleanup(free_char)
    char *labels = made->zones != NULL
                       ? format("\"labels\":{\"topology.kubernetes.io/zone\":\"%s\"}", made->zones)
                       : duplicate("");
    cleanup(free_char)
    char *source = made->is_of_driver
                       ? format("\"csi\":{\"driver\":\"disks\",\"volumeHandle\":\"h%d\"}", number)
                       : duplicate("\"hostPath\":{\"path\":\"/a\"}");
    cleanup(free_char)
    char *spec =
        format("\"claimRef\":{\"namespace\":\"ns\",\"name\":\"c%d\",\"uid\":\"c-c%d\"},%s%s",
               number, number, source, affinity);
    cleanup(free_char)
    char *name = format("v%d", number);
    cleanup(free_char)
    char *claim_name = format("c%d", number);
    cleanup(free_char)
    char *claim_spec =
        format("\"volumeName\":\"v%d\"%s", number,
               made->is_for_one_pod ? ",\"accessModes\":[\"ReadWriteOncePod\"]" : "");
    volume(world, name, labels, "2Gi", spec);
    claim(world, claim_name, BOUND, claim_spec);
}

static void put_random_attachment(struct world *world, struct model *model)
{
    int node_number = rand() % nodes_max, number = rand() % volumes_max;
    if (!model->volumes[number].is_of_driver) {
        return;
    }
    model->is_attached[node_number][number] = true;
    cleanup(free_char)
    char *text = format("{\"metadata\":{\"name\":\"a%d%d\"},\"spec\":{\"attacher\":\"disks\","
                        "\"nodeName\":\"%c\",\"source\":{\"persistentVolumeName\":\"v%d\"}}}",
                        node_number, number, 'a' + node_number, number);
    put(world, volumes_put_attachment, text);
}

static struct model_pod random_pod(void)
{
    static const char *const kinds[] = {"gcePersistentDisk", "awsElasticBlockStore", "iscsi", NULL};
    struct model_pod pod = {.node = -1, .disk = {kinds[rand() % 4], one_of("x", "y", "y"), false}};
    pod.disk.only_reads = rand() % 2 > 0;
    for (int i = rand() % 3; i > 0; i--) {
        pod.uses[rand() % volumes_max] = true;
    }
    return pod;
}

/* ---- pods ---- */

/* The members of its spec; the caller's. */
static char *spec_of(const struct model_pod *pod)
{
    struct buffer text = BUFFER_INIT;
    buffer_addf(&text, "\"volumes\":[{\"name\":\"empty\",\"emptyDir\":{}}");
    for (int v = 0; v < volumes_max; v++) {
        if (pod->uses[v]) {
            buffer_addf(&text,
                        ",{\"name\":\"%d\",\"persistentVolumeClaim\":{\"claimName\":\"c%d\"}}", v,
                        v);
        }
    }
    if (pod->disk.kind != NULL) {
        const char *member = pod->disk.kind[0] == 'g'   ? "pdName"
                             : pod->disk.kind[0] == 'a' ? "volumeID"
                                                        : "iqn";
        buffer_addf(&text, ",{\"name\":\"d\",\"%s\":{\"%s\":\"%s\",\"readOnly\":%s}}",
                    pod->disk.kind, member, pod->disk.name,
                    pod->disk.only_reads ? "true" : "false");
    }
    buffer_addf(&text, "]");
    return buffer_steal(&text);
}

/* Compares all nodes; one that fits, -1 when there is none. */
static int try_pod(struct world *world, const struct model *model, const struct model_pod *pod)
{
    int found = -1;
    cleanup(free_char)
    char *spec = spec_of(pod);
    cleanup(cached_object_release)
    struct cached_object *object = make_pod("new", spec);
    struct node *nodes[nodes_max];
    struct cycle cycle = {.cache = world->decider.cache,
                          .class = class_of(object),
                          .key = object->key,
                          .uid = object->uid,
                          .nodes = nodes};
    assert_int_equal(cycle_prepare(&cycle, NULL), 0);
    for (int i = 0; i < nodes_max; i++) {
        char name[] = {(char)('a' + i), '\0'};
        bool fits = should_fit(model, pod, i);
        if (cycle_fits(&cycle, map_get(&cycle.cache->nodes_by_name, name)) != fits) {
            fail_msg("%s %s for %s", name, fits ? "fits" : "does not fit", spec);
        }
        total_fits += fits;
        total_misfits += !fits;
        found = fits && (found < 0 || rand() % 2) ? i : found;
    }
    return found;
}

static void disturb(struct world *world, struct model *model)
{
    int number = rand() % pods_max;
    struct model_pod *pod = &model->pods[number];
    cleanup(free_char)
    char *name = format("p%d", number);
    if (pod->node >= 0) {
        leaves(world, name);
        *pod = (struct model_pod){.node = -1};
        return;
    }
    *pod = random_pod();
    pod->node = rand() % nodes_max; /* Somebody else put it there, whether it fits or not. */
    char node_name[] = {(char)('a' + pod->node), '\0'};
    cleanup(free_char)
    char *spec = spec_of(pod);
    stands(world, name, node_name, spec);
}

static void place_here(struct world *world, struct model *model, const struct model_pod *pod,
                       int node)
{
    for (int i = 0; i < pods_max; i++) {
        if (model->pods[i].node < 0) {
            char node_name[] = {(char)('a' + node), '\0'};
            cleanup(free_char)
            char *name = format("p%d", i);
            cleanup(free_char)
            char *spec = spec_of(pod);
            model->pods[i] = *pod;
            model->pods[i].node = node;
            stands(world, name, node_name, spec);
            return;
        }
    }
}

static void try_cluster(struct world *world)
{
    struct model model = {0};
    for (int i = 0; i < nodes_max; i++) {
        put_random_node(world, &model.nodes[i], i);
    }
    for (int i = 0; i < volumes_max; i++) {
        put_random_volume(world, &model.volumes[i], i);
    }
    for (int i = 0; i < pods_max; i++) {
        model.pods[i].node = -1;
    }
    put_random_attachment(world, &model);
    for (int i = 0; i < pods_a_cluster; i++) {
        struct model_pod pod = random_pod();
        int node = try_pod(world, &model, &pod);
        if (node >= 0) {
            place_here(world, &model, &pod, node);
        }
        disturb(world, &model);
    }
}

static unsigned number_of(const char *variable, unsigned otherwise)
{
    const char *text = getenv(variable);
    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void in_random_clusters_pods_fit_where_the_rules_say(void **state)
{
    (void)state;
    unsigned first = number_of("SEED", 1), count = number_of("CLUSTERS", clusters_by_default);
    for (unsigned seed = first; seed < first + count; seed++) {
        void *world;
        srand(seed);
        set_up(&world);
        try_cluster(world);
        tear_down(&world);
    }
    /* Neither case is rare. */
    assert_true(total_fits > count * 10 && total_misfits > count * 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_random_clusters_pods_fit_where_the_rules_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
