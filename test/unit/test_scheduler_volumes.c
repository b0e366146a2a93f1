// SPDX-License-Identifier: Apache-2.0
/* Where pods with volumes may stand, what is planned for their claims, and what wakes them. */
#include "test/unit/scheduler_volumes.h"

#include "scheduler/preemption.h"

/* ---- claims that are not fit ---- */

static void a_pod_waits_for_claims_that_are_not_bound_yet(void **state)
{
    struct world *world = *state;
    node(world, "a", "");
    node(world, "b", "");
    assert_string_equal(decide(world, "p", CLAIM("c")),
                        "0/2 nodes are available: persistentvolumeclaim \"c\" not found.");
    claim(world, "c", "", "");
    assert_string_equal(
        decide(world, "p", CLAIM("c")),
        "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.");
    claim(world, "c", "", "\"storageClassName\":\"missing\"");
    assert_string_equal(
        decide(world, "p", CLAIM("c")),
        "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.");
    claim(world, "c", "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"", "");
    assert_string_equal(decide(world, "p", CLAIM("c")),
                        "0/2 nodes are available: persistentvolumeclaim \"c\" is being deleted.");
    put(world, volumes_put_claim,
        "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"c\",\"uid\":\"u\"},\"spec\":{"
        "\"volumeName\":"
        "\"v\"},\"status\":{\"phase\":\"Lost\"}}");
    assert_string_equal(decide(world, "p", CLAIM("c")),
                        "0/2 nodes are available: persistentvolumeclaim \"c\" bound to "
                        "non-existent persistentvolume \"v\".");
}

static void an_ephemeral_volume_needs_a_claim_of_the_pod_itself(void **state)
{
    static const char spec[] = "\"volumes\":[{\"name\":\"scratch\",\"ephemeral\":{}}]";
    struct world *world = *state;
    node(world, "a", "");
    assert_string_equal(decide(world, "p", spec),
                        "0/1 nodes are available: waiting for ephemeral volume controller to "
                        "create the persistentvolumeclaim \"p-scratch\".");
    claim(world, "p-scratch", BOUND, "\"volumeName\":\"v\"");
    volume(world, "v", "", "2Gi", "");
    assert_string_equal(decide(world, "p", spec),
                        "0/1 nodes are available: PVC ns/p-scratch was not created for pod ns/p "
                        "(pod is not owner).");
    claim(world, "p-scratch", BOUND ",\"ownerReferences\":[{\"uid\":\"u-p\",\"controller\":true}]",
          "\"volumeName\":\"v\"");
    assert_string_equal(decide(world, "p", spec), "a");
}

static void preemption_does_not_make_a_claim(void **state)
{
    struct world *world = *state;
    struct disruption_budgets budgets = {0};
    node(world, "a", "");
    struct cached_object *pod = make_pod("p", "\"priority\":5," CLAIM("c"));
    assert_null(decider_choose(&world->decider, class_of(pod), pod->key, pod->uid));
    struct preemption found =
        preemption_find(&world->decider, class_of(pod), pod->key, pod->uid, &budgets);
    assert_string_equal(found.why, "0/1 nodes are available: 1 Preemption is not helpful for "
                                   "scheduling.");
    preemption_clear(&found);
    cached_object_unref(pod);
}

/* ---- claims that are bound ---- */

static void a_bound_volume_says_where_its_pods_stand(void **state)
{
    struct world *world = *state;
    node(world, "a", "");
    node(world, "b", "");
    claim(world, "c", BOUND, "\"volumeName\":\"v\"");
    volume(world, "v", "", "2Gi", ON_NODE("b"));
    assert_string_equal(decide(world, "p", CLAIM("c")), "b");
    assert_string_equal(planned(world, "ns/p"), "");
    volume(world, "v", "", "2Gi", ON_NODE("elsewhere"));
    assert_string_equal(decide(world, "p", CLAIM("c")),
                        "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node "
                        "affinity.");
    volumes_remove_volume(world->volumes, "v");
    cluster_volumes_changed(&world->cluster, NULL);
    assert_string_equal(decide(world, "p", CLAIM("c")),
                        "0/2 nodes are available: persistentvolume \"v\" not found.");
}

#define ZONE(value) "\"topology.kubernetes.io/zone\":\"" value "\""

static void a_volume_of_a_zone_is_for_nodes_of_that_zone(void **state)
{
    struct world *world = *state;
    node(world, "a", ZONE("east"));
    node(world, "b", ZONE("west"));
    claim(world, "c", BOUND, "\"volumeName\":\"v\"");
    volume(world, "v", LABELS(ZONE("west__north")), "2Gi", "");
    assert_string_equal(decide(world, "p", CLAIM("c")), "b");
    volume(world, "v", LABELS("\"failure-domain.beta.kubernetes.io/zone\":\"east\""), "2Gi", "");
    assert_string_equal(decide(world, "p", CLAIM("c")), "a");
    volume(world, "v", LABELS(ZONE("south")), "2Gi", "");
    assert_string_equal(decide(world, "p", CLAIM("c")),
                        "0/2 nodes are available: 2 node(s) had no available volume zone.");
    node(world, "anywhere", "");
    assert_string_equal(decide(world, "p", CLAIM("c")), "anywhere");
}

/* ---- late claims ---- */

static void a_late_claim_gets_the_smallest_volume_on_a_node(void **state)
{
    struct world *world = *state;
    node(world, "a", "");
    node(world, "b", "");
    class(world, "late", "WaitForFirstConsumer", NOTHING);
    claim(world, "c", "", LATE);
    assert_string_equal(decide(world, "p", CLAIM("c")),
                        "0/2 nodes are available: 2 node(s) didn't find available persistent "
                        "volumes to bind.");
    volume(world, "small", "", "1Gi", LATE "," ON_NODE("a"));
    volume(world, "other", "", "2Gi", "\"storageClassName\":\"other\"," ON_NODE("a"));
    volume(world, "taken", "", "2Gi",
           LATE ",\"claimRef\":{\"namespace\":\"ns\",\"name\":\"d\"}," ON_NODE("a"));
    volume(world, "block", "", "2Gi", LATE ",\"volumeMode\":\"Block\"," ON_NODE("a"));
    volume(world, "going", "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"", "2Gi",
           LATE "," ON_NODE("a"));
    volume(world, "large", "", "9Gi", LATE "," ON_NODE("b"));
    volume(world, "fitting", "", "3Gi", LATE "," ON_NODE("b"));
    assert_string_equal(decide(world, "p", CLAIM("c")), "b");
    assert_string_equal(planned(world, "ns/p"), "c=fitting");
}

static void a_volume_is_not_given_away_twice(void **state)
{
    struct world *world = *state;
    node(world, "a", "");
    class(world, "late", "WaitForFirstConsumer", NOTHING);
    claim(world, "c", "", LATE);
    claim(world, "d", "", LATE);
    volume(world, "v", "", "2Gi", LATE);
    assert_string_equal(decide(world, "p", CLAIM("c")), "a");
    assert_string_equal(decide(world, "q", CLAIM("d")),
                        "0/1 nodes are available: 1 node(s) didn't find available persistent "
                        "volumes to bind.");
    volume(world, "v", "", "2Gi", LATE); /* Seen again, not written yet. */
    assert_int_equal(strncmp(decide(world, "q", CLAIM("d")), "0/1", 3), 0);
    volume_plan_end(world->volumes, volume_plan_take(world->volumes, "ns/p"));
    cluster_volumes_changed(&world->cluster, NULL);
    assert_string_equal(decide(world, "q", CLAIM("d")), "a");
    assert_string_equal(planned(world, "ns/q"), "d=v");
}

static void the_claims_of_a_pod_get_a_volume_each(void **state)
{
    struct world *world = *state;
    node(world, "a", "");
    node(world, "b", "");
    class(world, "late", "WaitForFirstConsumer", NOTHING);
    claim(world, "c", "", LATE);
    claim(world, "d", "", LATE ",\"selector\":{\"matchLabels\":{\"kind\":\"fast\"}}");
    volume(world, "one", LABELS("\"kind\":\"fast\""), "2Gi", LATE "," ON_NODE("a"));
    volume(world, "two", "", "3Gi", LATE "," ON_NODE("b"));
    volume(world, "three", LABELS("\"kind\":\"fast\""), "4Gi", LATE "," ON_NODE("b"));
    assert_string_equal(
        decide(world, "p",
               "\"volumes\":[{\"name\":\"x\",\"persistentVolumeClaim\":{\"claimName\":\"c\"}},"
               "{\"name\":\"y\",\"persistentVolumeClaim\":{\"claimName\":\"d\"}}]"),
        "b");
    assert_string_equal(planned(world, "ns/p"), "c=two d=three");
}

static void a_volume_is_made_where_the_class_allows_it(void **state)
{
    struct world *world = *state;
    node(world, "a", ZONE("east"));
    node(world, "b", ZONE("west"));
    class(world, "late", "WaitForFirstConsumer",
          DISKS ",\"allowedTopologies\":[{\"matchLabelExpressions\":[{\"key\":"
                "\"topology.kubernetes.io/zone\",\"values\":[\"west\"]}]}]");
    claim(world, "c", "", LATE);
    assert_string_equal(decide(world, "p", CLAIM("c")), "b");
    assert_string_equal(planned(world, "ns/p"), "c+");
    /* Whoever names the claim as well goes where it is being made, also once that is written. */
    class(world, "late", "WaitForFirstConsumer", DISKS);
    for (int i = 0; i < 8; i++) {
        assert_string_equal(decide(world, "q", CLAIM("c")), "b");
    }
    volume_plan_end(world->volumes, volume_plan_take(world->volumes, "ns/q"));
    claim(world, "c", "\"annotations\":{\"volume.kubernetes.io/selected-node\":\"a\"}", LATE);
    assert_string_equal(decide(world, "q", CLAIM("c")), "a");
}

static void a_driver_that_tells_of_its_room_is_believed(void **state)
{
    struct world *world = *state;
    node(world, "a", ZONE("east"));
    node(world, "b", ZONE("west"));
    class(world, "late", "WaitForFirstConsumer", DISKS);
    claim(world, "c", "", LATE);
    put(world, volumes_put_driver,
        "{\"metadata\":{\"name\":\"disks.example.com\"},\"spec\":{\"storageCapacity\":true}}");
    assert_string_equal(decide(world, "p", CLAIM("c")),
                        "0/2 nodes are available: 2 node(s) did not have enough free storage.");
#define CAPACITY(name, zone, members)                                                              \
    "{\"metadata\":{\"namespace\":\"kube-system\",\"name\":\"" name                                \
    "\"},\"storageClassName\":\"late\",\"nodeTopology\":{\"matchLabels\":{"                        \
    "\"topology.kubernetes.io/zone\":\"" zone "\"}}," members "}"
    put(world, volumes_put_capacity, CAPACITY("east", "east", "\"capacity\":\"1Gi\""));
    put(world, volumes_put_capacity,
        CAPACITY("west", "west", "\"capacity\":\"5Gi\",\"maximumVolumeSize\":\"1Gi\""));
    assert_int_equal(strncmp(decide(world, "p", CLAIM("c")), "0/2", 3), 0);
    put(world, volumes_put_capacity, CAPACITY("west", "west", "\"capacity\":\"2Gi\""));
    assert_string_equal(decide(world, "p", CLAIM("c")), "b");
}

/* ---- restrictions ---- */

#define FOR_ONE_POD BOUND, "\"volumeName\":\"v\",\"accessModes\":[\"ReadWriteOncePod\"]"

static void a_claim_for_one_pod_is_used_by_one(void **state)
{
    struct world *world = *state;
    node(world, "a", "");
    node(world, "b", "");
    volume(world, "v", "", "2Gi", "");
    claim(world, "c", FOR_ONE_POD);
    assert_int_not_equal(decide(world, "p", CLAIM("c"))[0], '0');
    stands(world, "other", "a", CLAIM("c"));
    assert_string_equal(decide(world, "p", CLAIM("c")),
                        "0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with "
                        "the same name and ReadWriteOncePod access mode.");
    leaves(world, "other");
    assert_int_not_equal(decide(world, "p", CLAIM("c"))[0], '0');
}

static void a_more_important_pod_takes_over_a_claim_for_one_pod(void **state)
{
    struct world *world = *state;
    struct disruption_budgets budgets = {0};
    node(world, "a", "");
    node(world, "b", "");
    volume(world, "v", "", "2Gi", "");
    claim(world, "c", FOR_ONE_POD);
    stands(world, "user", "b", CLAIM("c"));
    stands(world, "stranger", "a", CPU("1"));
    struct cached_object *pod = make_pod("p", "\"priority\":5," CLAIM("c"));
    assert_null(decider_choose(&world->decider, class_of(pod), pod->key, pod->uid));
    struct preemption found =
        preemption_find(&world->decider, class_of(pod), pod->key, pod->uid, &budgets);
    assert_non_null(found.node);
    assert_string_equal(found.node->name, "b");
    assert_int_equal(found.count, 1);
    assert_string_equal(found.victims[0]->key, "ns/user");
    preemption_clear(&found);
    cached_object_unref(pod);
}

static void a_disk_is_on_a_node_once_unless_all_only_read(void **state)
{
#define GCE(members)                                                                               \
    "\"volumes\":[{\"name\":\"d\",\"gcePersistentDisk\":{\"pdName\":\"x\"" members "}}]"
#define RBD(monitor)                                                                               \
    "\"volumes\":[{\"name\":\"d\",\"rbd\":{\"monitors\":[\"" monitor                               \
    "\",\"m2\"],\"pool\":\"p\",\"image\":\"i\"}}]"
    struct world *world = *state;
    node(world, "a", "");
    stands(world, "reader", "a", GCE(",\"readOnly\":true"));
    assert_string_equal(decide(world, "p", GCE("")),
                        "0/1 nodes are available: 1 node(s) had no available disk.");
    assert_string_equal(decide(world, "q", GCE(",\"readOnly\":true")), "a");
    stands(world, "block", "a", RBD("m1"));
    assert_int_equal(strncmp(decide(world, "r", RBD("m3")), "0/1", 3), 0);
    leaves(world, "block");
    assert_string_equal(decide(world, "r", RBD("m3")), "a");
}

/* ---- limits ---- */

#define CSI(handle) "\"csi\":{\"driver\":\"disks.example.com\",\"volumeHandle\":\"" handle "\"}"

static void a_node_takes_so_many_volumes_of_a_driver(void **state)
{
    struct world *world = *state;
    node(world, "a", "");
    class(world, "late", "WaitForFirstConsumer", DISKS);
    put(world, volumes_put_csi_node,
        "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"drivers\":[{\"name\":\"disks.example.com\","
        "\"allocatable\":{\"count\":1}}]}}");
    claim(world, "c", BOUND, "\"volumeName\":\"v\"");
    volume(world, "v", "", "2Gi", CSI("1"));
    claim(world, "d", "", LATE);
    stands(world, "other", "a", CLAIM("c"));
    assert_string_equal(decide(world, "p", CLAIM("c")), "a"); /* The same volume. */
    assert_string_equal(decide(world, "q", CLAIM("d")),
                        "0/1 nodes are available: 1 node(s) exceed max volume count.");
    leaves(world, "other");
    put(world, volumes_put_attachment,
        "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"attacher\":\"disks.example.com\",\"nodeName\":"
        "\"a\",\"source\":{\"persistentVolumeName\":\"v\"}}}");
    assert_int_equal(strncmp(decide(world, "q", CLAIM("d")), "0/1", 3), 0);
    volumes_remove_attachment(world->volumes, "x");
    cluster_volumes_changed(&world->cluster, NULL);
    assert_string_equal(decide(world, "q", CLAIM("d")), "a");
}

static void a_plugin_of_the_tree_counts_where_its_driver_took_over(void **state)
{
#define EBS(id) "\"volumes\":[{\"name\":\"d\",\"awsElasticBlockStore\":{\"volumeID\":\"" id "\"}}]"
#define EBS_NODE(annotations)                                                                      \
    "{\"metadata\":{\"name\":\"a\"" annotations "},\"spec\":{\"drivers\":[{\"name\":"              \
    "\"ebs.csi.aws.com\",\"allocatable\":{\"count\":1}}]}}"
    struct world *world = *state;
    node(world, "a", "");
    stands(world, "other", "a", EBS("one"));
    put(world, volumes_put_csi_node, EBS_NODE(""));
    assert_string_equal(decide(world, "p", EBS("two")), "a");
    put(world, volumes_put_csi_node,
        EBS_NODE(",\"annotations\":{\"storage.alpha.kubernetes.io/migrated-plugins\":"
                 "\"kubernetes.io/gce-pd,kubernetes.io/aws-ebs\"}"));
    assert_string_equal(decide(world, "p", EBS("two")),
                        "0/1 nodes are available: 1 node(s) exceed max volume count.");
}

/* ---- what wakes a pod ---- */

static void waits(struct world *world, const char *name, const char *spec)
{
    struct cached_object *pod = make_pod(name, spec);
    cluster_pod_changed(&world->cluster, NULL, pod, true);
    struct queued_pod *queued = queue_pop(&world->queue);
    assert_null(decider_choose(&world->decider, queued->class, queued->key, queued->uid));
    queue_park(&world->queue, queued, queued->class->failed_plugins);
    cached_object_unref(pod);
}

static bool wakes(struct world *world, enum volume_change_kind kind, const char *name,
                  const char *class_name)
{
    cluster_volumes_changed(&world->cluster, &(struct volume_change){kind, name, class_name});
    queue_wake(&world->queue, 0);
    const struct queued_pod *pod = map_get(&world->queue.pods, "ns/p");
    return pod->part != QUEUE_UNSCHEDULABLE;
}

static void its_own_claim_wakes_a_pod_and_no_other(void **state)
{
    struct world *world = *state;
    node(world, "a", "");
    waits(world, "p", CLAIM("c"));
    assert_false(wakes(world, CHANGE_CLAIM, "ns/other", ""));
    assert_false(wakes(world, CHANGE_CLAIM, "elsewhere/c", ""));
    assert_false(wakes(world, CHANGE_VOLUME, "v", ""));
    assert_true(wakes(world, CHANGE_CLAIM, "ns/c", ""));
}

static void a_volume_of_its_class_wakes_a_pod(void **state)
{
    struct world *world = *state;
    node(world, "a", "");
    class(world, "late", "WaitForFirstConsumer", NOTHING);
    claim(world, "c", "", LATE);
    waits(world, "p", CLAIM("c"));
    assert_false(wakes(world, CHANGE_VOLUME, "v", "other"));
    assert_false(wakes(world, CHANGE_DETACHED, "x", ""));
    assert_true(wakes(world, CHANGE_VOLUME, "v", "late"));
}

static void a_pod_without_volumes_is_left_alone(void **state)
{
    struct world *world = *state;
    node(world, "a", "");
    waits(world, "p", "\"nodeSelector\":{\"disk\":\"ssd\"}");
    assert_false(wakes(world, CHANGE_CLAIM, "ns/c", ""));
    assert_false(wakes(world, CHANGE_CSI_NODE, "a", ""));
}

static void whoever_gives_up_the_claim_wakes_the_next(void **state)
{
    struct world *world = *state;
    node(world, "a", "");
    volume(world, "v", "", "2Gi", "");
    claim(world, "c", FOR_ONE_POD);
    stands(world, "user", "a", CLAIM("c"));
    stands(world, "stranger", "a", CPU("1"));
    waits(world, "p", CLAIM("c"));
    leaves(world, "stranger");
    queue_wake(&world->queue, 0);
    assert_int_equal(world->queue.counts[QUEUE_UNSCHEDULABLE], 1);
    leaves(world, "user");
    queue_wake(&world->queue, 0);
    assert_int_equal(world->queue.counts[QUEUE_UNSCHEDULABLE], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pod_waits_for_claims_that_are_not_bound_yet),
        TEST(an_ephemeral_volume_needs_a_claim_of_the_pod_itself),
        TEST(preemption_does_not_make_a_claim),
        TEST(a_bound_volume_says_where_its_pods_stand),
        TEST(a_volume_of_a_zone_is_for_nodes_of_that_zone),
        TEST(a_late_claim_gets_the_smallest_volume_on_a_node),
        TEST(a_volume_is_not_given_away_twice),
        TEST(the_claims_of_a_pod_get_a_volume_each),
        TEST(a_volume_is_made_where_the_class_allows_it),
        TEST(a_driver_that_tells_of_its_room_is_believed),
        TEST(a_claim_for_one_pod_is_used_by_one),
        TEST(a_more_important_pod_takes_over_a_claim_for_one_pod),
        TEST(a_disk_is_on_a_node_once_unless_all_only_read),
        TEST(a_node_takes_so_many_volumes_of_a_driver),
        TEST(a_plugin_of_the_tree_counts_where_its_driver_took_over),
        TEST(its_own_claim_wakes_a_pod_and_no_other),
        TEST(a_volume_of_its_class_wakes_a_pod),
        TEST(a_pod_without_volumes_is_left_alone),
        TEST(whoever_gives_up_the_claim_wakes_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
