// SPDX-License-Identifier: Apache-2.0
/* What the StatefulSet controller decides: which pods are made, replaced and removed in a round, to
 * whom claims belong, and what the status says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "controllers/statefulset_plan.h"
#include "controllers/statefulset_pod.h"
#include "test/unit/pods_harness.h"

/* "web" with a spec, as JSON with ' for ". */
static json_t *set_of(const char *spec)
{
    cleanup(free_char)
    char *text = format("{'apiVersion':'apps/v1','kind':'StatefulSet','metadata':{'name':'web',"
                        "'namespace':'default','uid':'set','generation':3},'spec':{%s,'selector':"
                        "{'matchLabels':{'app':'web'}}}}",
                        spec);
    for (char *at = text; *at != '\0'; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    json_t *set = json_parse(text, strlen(text), NULL);
    assert_non_null(set);
    return set;
}

/* Pods as "0:new 1:old,unready 2:old,going 3:new,failed 4:new,pending 5:new,young". */
static void add_pods(struct cached_list *pods, const char *text)
{
    cleanup(free_char)
    char *copy = duplicate(text);
    char *rest = copy;
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        char *colon = strchr(word, ':');
        if (colon == NULL) {
            continue;
        }
        cleanup(free_char)
        char *name = format("web-%.*s", (int)(colon - word), word);
        bool is_pending = strstr(colon, "pending") != NULL;
        test_pod_add(pods, (struct test_pod){
                               .name = name,
                               .revision = strstr(colon, "old") != NULL ? "old" : "new",
                               .phase = is_pending                        ? "Pending"
                                        : strstr(colon, "failed") != NULL ? "Failed"
                                                                          : "Running",
                               .is_ready = !is_pending && strstr(colon, "unready") == NULL,
                               .is_deleting = strstr(colon, "going") != NULL,
                               .ready_for = strstr(colon, "young") != NULL ? 5 : 100,
                           });
    }
}

/* The plan as text: "+3" create, "+3c" create of the current revision, "-3" delete, "~3" replace;
 * "v3" make claims; checks are left out. */
static char *plan_text(const json_t *set, const char *pods_text)
{
    static const char marks[] = {[STATEFULSET_CREATE] = '+',
                                 [STATEFULSET_MAKE_CLAIMS] = 'v',
                                 [STATEFULSET_DELETE] = '-',
                                 [STATEFULSET_REPLACE] = '~'};
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    add_pods(&pods, pods_text);
    cleanup(statefulset_members_free)
    struct statefulset_members members = statefulset_members(set, &pods);
    cleanup(statefulset_plan_free)
    struct statefulset_plan plan = statefulset_plan(set, &members, "new", test_now);
    struct buffer text = BUFFER_INIT;
    for (size_t i = 0; i < plan.count; i++) {
        const struct statefulset_step *step = &plan.steps[i];
        if (step->action == STATEFULSET_CHECK || step->action == STATEFULSET_CHECK_CLAIMS) {
            continue;
        }
        buffer_addf(&text, "%s%c%d%s", text.length > 0 ? " " : "", marks[step->action],
                    (int)step->ordinal,
                    step->action == STATEFULSET_CREATE && step->is_current ? "c" : "");
    }
    return buffer_steal(&text);
}

static void rounds_do_what_the_policies_say(void **state)
{
    (void)state;
    static const struct {
        const char *what, *spec, *pods, *plan;
    } cases[] = {
        {"the first pod first", "'replicas':3", "", "+0"},
        {"the next when all before are ready", "'replicas':3", "0:new", "+1"},
        {"not before", "'replicas':3", "0:new,unready", ""},
        {"a pending pod's claims are made", "'replicas':3", "0:new,pending", "v0"},
        {"not before they are available", "'replicas':3,'minReadySeconds':60", "0:new,young", ""},
        {"available, so on", "'replicas':3,'minReadySeconds':60", "0:new", "+1"},
        {"a hole is filled first", "'replicas':3", "0:new 2:old", "+1"},
        {"a pod that goes is waited for", "'replicas':3", "0:new 1:new,going 2:old", ""},
        {"a failed one is removed first", "'replicas':3", "0:new,failed 1:old 3:new", "-0"},
        {"a failed one that goes is waited for", "'replicas':3", "0:new,failed,going", ""},
        {"the highest of those too many", "'replicas':1", "0:new 1:new 2:new", "-2"},
        {"one at a time", "'replicas':1", "0:new 1:new 2:new,going", ""},
        {"not while a lower one is ill", "'replicas':1", "0:new 1:new,unready 2:new,unready", ""},
        {"the ill one itself", "'replicas':1", "0:new 1:new 2:new,unready", "-2"},
        {"not while a wanted one is ill", "'replicas':1", "0:new,unready 1:new", ""},
        {"none wanted", "'replicas':0", "0:new 1:new", "-1"},
        {"numbers from 5 on", "'replicas':2,'ordinals':{'start':5}", "5:new", "+6"},
        {"lower ones are too many", "'replicas':1,'ordinals':{'start':5}", "4:new 5:new", "-4"},
        {"updates from the last", "'replicas':3", "0:old 1:old 2:old", "~2"},
        {"one after the other", "'replicas':3", "0:old 1:old 2:new", "~1"},
        {"too many go before updates", "'replicas':2", "0:old 1:old 2:old", "-2"},
        {"down to the partition",
         "'replicas':3,'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'partition':2}}",
         "0:old 1:old 2:new", ""},
        {"below the partition the old revision",
         "'replicas':3,'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'partition':2}}",
         "0:old 2:new", "+1c"},
        {"at the partition the new one",
         "'replicas':3,'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'partition':2}}",
         "0:old 1:old", "+2"},
        {"by hand only", "'replicas':2,'updateStrategy':{'type':'OnDelete'}", "0:old 1:old", ""},
        {"two at a time",
         "'replicas':4,'updateStrategy':{'type':'RollingUpdate','rollingUpdate':"
         "{'maxUnavailable':2}}",
         "0:old 1:old 2:old 3:old", "~3 ~2"},
        {"a part of them, rounded up",
         "'replicas':4,'updateStrategy':{'type':'RollingUpdate','rollingUpdate':"
         "{'maxUnavailable':'30%'}},'podManagementPolicy':'Parallel'",
         "0:old 1:old 2:old 3:new,unready", "~2"},
        {"parallel: all at once", "'replicas':3,'podManagementPolicy':'Parallel'", "1:new,unready",
         "+0 +2"},
        {"parallel: all too many", "'replicas':1,'podManagementPolicy':'Parallel'",
         "0:new,unready 1:new 2:new 3:new,going", "-2 -1"},
        {"parallel: an old ill pod is replaced", "'replicas':2,'podManagementPolicy':'Parallel'",
         "0:old 1:old,unready", "~1"},
        {"parallel: a new ill pod is waited for", "'replicas':2,'podManagementPolicy':'Parallel'",
         "0:old 1:new,unready", ""},
        {"parallel: a pod that goes is not made yet",
         "'replicas':2,'podManagementPolicy':'Parallel'", "0:new,going", "+1"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *set = set_of(cases[i].spec);
        cleanup(free_char)
        char *text = plan_text(set, cases[i].pods);
        if (strcmp(text, cases[i].plan) != 0) {
            fail_msg("%s: \"%s\" instead of \"%s\"", cases[i].what, text, cases[i].plan);
        }
    }
}

static void a_set_that_is_deleted_does_nothing(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *set = set_of("'replicas':3");
    json_object_set_new(json_object_get(set, "metadata"), "deletionTimestamp", test_ago(0));
    cleanup(free_char)
    char *text = plan_text(set, "0:old 4:old");
    assert_string_equal(text, "");
}

static void a_round_makes_no_more_than_its_share(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *set = set_of("'replicas':2147483647,'podManagementPolicy':'Parallel'");
    struct statefulset_members none = {0};
    cleanup(statefulset_plan_free)
    struct statefulset_plan plan = statefulset_plan(set, &none, "new", test_now);
    assert_int_equal(plan.count, STATEFULSET_BURST);
}

static void only_numbers_behind_the_name_are_ordinals(void **state)
{
    (void)state;
    assert_int_equal(statefulset_ordinal("web", "web-0"), 0);
    assert_int_equal(statefulset_ordinal("web", "web-41"), 41);
    static const char *const others[] = {"web",   "web-",    "web-01",         "web-1a", "web--1",
                                         "wep-1", "web-a-1", "web-9999999999", "web-+1"};
    for (size_t i = 0; i < array_length(others); i++) {
        assert_int_equal(statefulset_ordinal("web", others[i]), -1);
    }
}

/* ---- the status ---- */

static void expect_status(const char *spec, const char *pods_text, size_t replaced,
                          const char *expected)
{
    cleanup(json_release)
    json_t *set = set_of(spec);
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    add_pods(&pods, pods_text);
    cleanup(statefulset_members_free)
    struct statefulset_members members = statefulset_members(set, &pods);
    int64_t next_check;
    cleanup(json_release)
    json_t *status =
        statefulset_status(set, &members, "old", "new", 0, replaced, test_now, &next_check);
    cleanup(free_char)
    char *text = format("%d/%d/%d %d/%d %s", (int)json_get_int(status, "replicas", -1),
                        (int)json_get_int(status, "readyReplicas", 0),
                        (int)json_get_int(status, "availableReplicas", -1),
                        (int)json_get_int(status, "currentReplicas", 0),
                        (int)json_get_int(status, "updatedReplicas", 0),
                        json_get_string(status, "currentRevision"));
    assert_string_equal(text, expected);
    assert_string_equal(json_get_string(status, "updateRevision"), "new");
    assert_int_equal(json_get_int(status, "observedGeneration", 0), 3);
    assert_true((strstr(pods_text, "young") != NULL) == (next_check != 0));
}

static void the_status_counts_pods_by_what_they_are(void **state)
{
    (void)state;
    expect_status("'replicas':3", "0:old 1:old,unready 2:new,going", 0, "3/2/2 2/0 old");
    expect_status("'replicas':3", "0:old 1:old 2:old", 1, "3/3/3 2/0 old");
    expect_status("'replicas':2,'minReadySeconds':60", "0:old 1:new,young", 0, "2/2/1 1/1 old");
    expect_status("'replicas':2", "0:new 1:new", 0, "2/2/2 2/2 new");
    expect_status("'replicas':2", "0:new 1:new 2:new", 0, "3/3/3 0/3 old");
    expect_status("'replicas':2,'updateStrategy':{'type':'OnDelete'}", "0:new 1:new", 0,
                  "2/2/2 0/2 old");
}

/* ---- pods and claims ---- */

static const char with_claims[] =
    "'replicas':2,'serviceName':'all','volumeClaimTemplates':[{'metadata':{'name':'data'},"
    "'spec':{}}]";

static void volumes_of_the_template_give_way_to_claims(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *set = set_of(with_claims);
    cleanup(json_release)
    json_t *from =
        json_pack("{s:{s:[{s:s}, {s:s}]}}", "spec", "volumes", "name", "other", "name", "data");
    cleanup(json_release)
    json_t *pod = statefulset_make_pod(set, from, "new", 1);
    cleanup(json_release)
    json_t *expected = json_pack("[{s:s, s:{s:s}}, {s:s}]", "name", "data", "persistentVolumeClaim",
                                 "claimName", "data-web-1", "name", "other");
    assert_true(json_equal(json_path(pod, "spec", "volumes"), expected));
    assert_string_equal(json_path_string(pod, "spec", "hostname"), "web-1");
    assert_string_equal(json_path_string(pod, "spec", "subdomain"), "all");
    assert_int_equal(json_array_size(json_path(from, "spec", "volumes")), 2);
    assert_null(json_path(from, "spec", "hostname"));
}

static void a_pod_without_its_claim_is_not_itself(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *set = set_of(with_claims);
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    struct test_pod pod = {.name = "web-0", .claim = "data-web-0"};
    assert_true(statefulset_pod_is_itself(set, test_pod_add(&pods, pod), 0));
    pod.claim = "data-web-1";
    assert_false(statefulset_pod_is_itself(set, test_pod_add(&pods, pod), 0));
}

/* 'owners': each letter a reference: S the set, s an earlier one, P the pod, p an earlier one, w
 * the set without control, C another controller, o another owner. */
static json_t *claim_of(const char *owners)
{
    json_t *references = json_array();
    for (; *owners != '\0'; owners++) {
        bool of_set = strchr("Ssw", *owners) != NULL, of_pod = strchr("Pp", *owners) != NULL;
        json_array_append_new(references,
                              json_pack("{s:s, s:s, s:s, s:s, s:b}", "apiVersion",
                                        of_set ? "apps/v1" : "v1", "kind",
                                        of_set   ? "StatefulSet"
                                        : of_pod ? "Pod"
                                                 : "ConfigMap",
                                        "name",
                                        of_set   ? "web"
                                        : of_pod ? "web-1"
                                                 : "x",
                                        "uid",
                                        *owners == 'S' || *owners == 'w' ? "set"
                                        : *owners == 'P'                 ? "pod"
                                                                         : "other",
                                        "controller", strchr("SsPpC", *owners) != NULL));
    }
    return json_pack("{s:{s:o}}", "metadata", "ownerReferences", references);
}

static char *owners_of(const json_t *claim)
{
    struct buffer text = BUFFER_INIT;
    size_t i;
    const json_t *reference;
    json_array_foreach (json_path(claim, "metadata", "ownerReferences"), i, reference) {
        bool is_ours = strcmp(json_get_string(reference, "uid"), "other") != 0;
        char mark = json_get_string(reference, "kind")[0];
        if (mark == 'C' && !json_get_bool(reference, "controller", false)) {
            mark = 'o';
        }
        buffer_addf(&text, "%c", is_ours || mark == 'o' ? mark : mark == 'C' ? 'C' : '?');
    }
    buffer_addf(&text, "%s", "");
    return buffer_steal(&text);
}

static void claims_belong_to_whom_the_policy_says(void **state)
{
    (void)state;
    static const struct {
        const char *deleted, *scaled;
        int replicas;                 /* Pod 1 is wanted when they are two. */
        const char *owners, *becomes; /* NULL: it is right as it is. */
    } cases[] = {
        {"Retain", "Retain", 2, "", NULL},    {"Retain", "Retain", 2, "S", ""},
        {"Retain", "Retain", 2, "PCo", "Co"}, {"Retain", "Retain", 2, "C", NULL},
        {"Delete", "Retain", 2, "", "S"},     {"Delete", "Retain", 1, "S", NULL},
        {"Delete", "Retain", 2, "w", "S"},    {"Delete", "Retain", 2, "o", "oS"},
        {"Retain", "Delete", 2, "", NULL},    {"Retain", "Delete", 1, "", "P"},
        {"Retain", "Delete", 2, "P", ""},     {"Delete", "Delete", 2, "P", "S"},
        {"Delete", "Delete", 1, "S", "P"},    {"Delete", "Delete", 1, "P", NULL},
        {"Delete", "Delete", 2, "s", NULL},   {"Delete", "Delete", 2, "p", NULL},
        {"Delete", "Delete", 2, "C", NULL},   {"Delete", "Delete", 2, "SC", "C"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(free_char)
        char *spec = format("'replicas':%d,'persistentVolumeClaimRetentionPolicy':"
                            "{'whenDeleted':'%s','whenScaled':'%s'}",
                            cases[i].replicas, cases[i].deleted, cases[i].scaled);
        cleanup(json_release)
        json_t *set = set_of(spec);
        cleanup(json_release)
        json_t *claim = claim_of(cases[i].owners);
        struct statefulset_claimant claimant = {set, "web-1", "pod", 1};
        bool is_right = statefulset_claim_is_right(&claimant, claim);
        statefulset_own_claim(&claimant, claim);
        cleanup(free_char)
        char *becomes = owners_of(claim);
        if (is_right != (cases[i].becomes == NULL) ||
            (!is_right && strcmp(becomes, cases[i].becomes) != 0)) {
            fail_msg("case %zu: %s becomes %s", i, cases[i].owners, becomes);
        }
    }
}

static void a_claim_of_an_earlier_pod_is_waited_for(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *set = set_of("'persistentVolumeClaimRetentionPolicy':{'whenScaled':'Delete'}");
    cleanup(json_release)
    json_t *kept = set_of("'replicas':1");
    cleanup(json_release)
    json_t *claim = claim_of("p");
    struct statefulset_claimant claimant = {set, "web-1", "", 1};
    assert_true(statefulset_claim_is_stale(&claimant, claim));
    claimant.set = kept;
    assert_false(statefulset_claim_is_stale(&claimant, claim));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_do_what_the_policies_say),
        cmocka_unit_test(a_set_that_is_deleted_does_nothing),
        cmocka_unit_test(a_round_makes_no_more_than_its_share),
        cmocka_unit_test(only_numbers_behind_the_name_are_ordinals),
        cmocka_unit_test(the_status_counts_pods_by_what_they_are),
        cmocka_unit_test(volumes_of_the_template_give_way_to_claims),
        cmocka_unit_test(a_pod_without_its_claim_is_not_itself),
        cmocka_unit_test(claims_belong_to_whom_the_policy_says),
        cmocka_unit_test(a_claim_of_an_earlier_pod_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
