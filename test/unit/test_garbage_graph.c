// SPDX-License-Identifier: Apache-2.0
/* What the graph of owner references asks for as objects come, change and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/garbage_actions.h"
#include "controllers/garbage_graph.h"
#include "controllers/resources.h"

static const struct cached_object_class class = {.drop_text = true};

struct fixture {
    struct garbage_graph *graph;
    struct garbage_effects effects; /* Of the last change. */
};

static int set_up(void **state)
{
    struct fixture *fixture = allocate_struct(struct fixture);
    fixture->graph = garbage_graph_new();
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    garbage_effects_free(&fixture->effects);
    garbage_graph_free(fixture->graph);
    free(fixture);
    return 0;
}

/* An owner reference to the config map with this uid as its name; the caller's. */
static char *reference(const char *uid, bool blocks)
{
    return format("{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"name\": \"%s\", \"uid\": "
                  "\"%s\", \"blockOwnerDeletion\": %s}",
                  uid, uid, blocks ? "true" : "false");
}

/* A config map of this uid and name comes or changes. 'finalizer' NULL: it is not being deleted. */
static void observe_in(struct fixture *fixture, const char *namespace, const char *uid,
                       const char *owners, const char *finalizer)
{
    cleanup(free_char)
    char *deletion =
        finalizer != NULL
            ? format(", \"deletionTimestamp\": \"2026-01-01T00:00:00Z\", \"finalizers\": [\"%s\"]",
                     finalizer)
            : duplicate("");
    cleanup(free_char)
    char *text = format("{\"metadata\": {\"namespace\": \"%s\", \"name\": \"%s\", \"uid\": \"%s\", "
                        "\"ownerReferences\": [%s]%s}}",
                        namespace, uid, uid, owners, deletion);
    cleanup(cached_object_release)
    struct cached_object *object = cached_object_new(&class, text, strlen(text));
    cleanup(cached_object_release)
    struct cached_object *kept = cached_object_strip(object);
    garbage_effects_free(&fixture->effects);
    garbage_graph_observe(fixture->graph, &resource_configmaps, kept, text, strlen(text),
                          &fixture->effects);
}

static void observe(struct fixture *fixture, const char *uid, const char *owners,
                    const char *finalizer)
{
    observe_in(fixture, "n", uid, owners, finalizer);
}

/* A config map owned by one other. */
static void observe_owned(struct fixture *fixture, const char *uid, const char *owner, bool blocks)
{
    cleanup(free_char)
    char *owners = reference(owner, blocks);
    observe(fixture, uid, owners, NULL);
}

static void forget(struct fixture *fixture, const char *uid)
{
    garbage_effects_free(&fixture->effects);
    garbage_graph_forget(fixture->graph, uid, &fixture->effects);
}

static bool asks_for(const struct fixture *fixture, const char *uid)
{
    bool found = false;
    for (size_t i = 0; i < fixture->effects.count; i++) {
        found = found || strcmp(fixture->effects.uids[i], uid) == 0;
    }
    return found;
}

static enum garbage_task task(const struct fixture *fixture, const char *uid)
{
    cleanup(garbage_place_clear)
    struct garbage_place place;
    return garbage_graph_task(fixture->graph, uid, &place);
}

static struct garbage_place place_of(const char *kind, const char *namespace, const char *uid)
{
    return (struct garbage_place){.api_version = (char *)"v1",
                                  .kind = (char *)kind,
                                  .namespace = (char *)namespace,
                                  .name = (char *)uid,
                                  .uid = (char *)uid};
}

static void the_server_lacks(struct fixture *fixture, const char *kind, const char *uid)
{
    struct garbage_place place = place_of(kind, "n", uid);
    garbage_effects_free(&fixture->effects);
    garbage_graph_absent(fixture->graph, &place, false, &fixture->effects);
}

static enum garbage_owner owner_of(const struct fixture *fixture, const char *uid,
                                   const char *owner)
{
    cleanup(free_char)
    char *text = reference(owner, true);
    cleanup(json_release)
    json_t *json = json_loads(text, 0, NULL);
    return garbage_graph_owner(fixture->graph, uid, json);
}

/* ---- */

static void objects_without_owners_are_left_alone(void **state)
{
    observe(*state, "a", "", NULL);
    assert_false(asks_for(*state, "a"));
    assert_int_equal(task(*state, "a"), GARBAGE_NOTHING);
}

static void a_dependent_of_an_owner_that_is_there_is_left_alone(void **state)
{
    observe(*state, "a", "", NULL);
    observe_owned(*state, "b", "a", true);
    assert_false(asks_for(*state, "b"));
    assert_int_equal(task(*state, "b"), GARBAGE_NOTHING);
    assert_int_equal(owner_of(*state, "b", "a"), OWNER_SOLID);
}

static void dependents_are_looked_at_when_their_owner_goes(void **state)
{
    struct fixture *fixture = *state;
    observe(fixture, "a", "", NULL);
    observe_owned(fixture, "b", "a", true);
    observe_owned(fixture, "c", "a", true);
    forget(fixture, "a");
    assert_true(asks_for(fixture, "b") && asks_for(fixture, "c"));
    assert_int_equal(task(fixture, "b"), GARBAGE_CHECK_OWNERS);
    assert_int_equal(owner_of(fixture, "b", "a"), OWNER_ABSENT);
    assert_int_equal(garbage_graph_count(fixture->graph), 3);
    forget(fixture, "b");
    forget(fixture, "c");
    assert_int_equal(garbage_graph_count(fixture->graph), 0); /* Nobody refers to it any more. */
}

static void a_dependent_that_comes_after_its_owner_went_is_looked_at(void **state)
{
    observe(*state, "a", "", NULL);
    observe_owned(*state, "b", "a", true);
    forget(*state, "a");
    observe_owned(*state, "c", "a", true);
    assert_true(asks_for(*state, "c"));
}

static void an_unknown_owner_is_asked_for_once_and_remembered(void **state)
{
    struct fixture *fixture = *state;
    observe_owned(fixture, "b", "a", true);
    assert_true(asks_for(fixture, "a"));
    assert_int_equal(task(fixture, "a"), GARBAGE_VERIFY);
    assert_int_equal(owner_of(fixture, "b", "a"), OWNER_UNKNOWN);
    the_server_lacks(fixture, "ConfigMap", "a");
    assert_true(asks_for(fixture, "b"));
    assert_false(asks_for(fixture, "a"));
    assert_int_equal(task(fixture, "a"), GARBAGE_NOTHING);
    assert_int_equal(owner_of(fixture, "b", "a"), OWNER_ABSENT);
    observe_owned(fixture, "c", "a", true);
    assert_true(asks_for(fixture, "c"));
    assert_false(asks_for(fixture, "a"));
    assert_int_equal(owner_of(fixture, "c", "a"), OWNER_ABSENT);
}

static void an_owner_that_turns_up_is_solid(void **state)
{
    observe_owned(*state, "b", "a", true);
    observe(*state, "a", "", NULL);
    assert_false(asks_for(*state, "b"));
    assert_int_equal(task(*state, "a"), GARBAGE_NOTHING);
    assert_int_equal(task(*state, "b"), GARBAGE_NOTHING);
}

static void a_wrong_kind_proves_nothing_about_right_references(void **state)
{
    struct fixture *fixture = *state;
    observe(fixture, "wrong",
            "{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"name\": \"a\", \"uid\": \"a\"}",
            NULL);
    observe_owned(fixture, "right", "a", true);
    the_server_lacks(fixture, "Secret", "a");
    assert_true(asks_for(fixture, "wrong"));
    assert_false(asks_for(fixture, "right"));
    assert_true(asks_for(fixture, "a")); /* As a config map. */
    assert_int_equal(task(fixture, "a"), GARBAGE_VERIFY);
    observe(fixture, "a", "", NULL);
    assert_int_equal(task(fixture, "right"), GARBAGE_NOTHING);
    assert_true(asks_for(fixture, "wrong"));
    assert_int_equal(task(fixture, "wrong"), GARBAGE_CHECK_OWNERS);
}

static void an_owner_elsewhere_is_complained_about_once_it_is_known(void **state)
{
    struct fixture *fixture = *state;
    cleanup(free_char)
    char *owners = reference("a", true);
    static const char message[] = "ownerRef [v1/ConfigMap, namespace: n, name: a, uid: a] does not "
                                  "exist in namespace \"n\"";
    observe(fixture, "before", owners, NULL);
    assert_int_equal(fixture->effects.complaint_count, 0);
    observe_in(fixture, "m", "a", "", NULL);
    assert_int_equal(fixture->effects.complaint_count, 1);
    assert_string_equal(fixture->effects.complaints[0].message, message);
    assert_true(asks_for(fixture, "before"));
    observe(fixture, "after", owners, NULL);
    assert_int_equal(fixture->effects.complaint_count, 1);
    assert_string_equal(fixture->effects.complaints[0].message, message);
    assert_int_equal(task(fixture, "after"), GARBAGE_CHECK_OWNERS);
    assert_int_equal(owner_of(fixture, "after", "a"), OWNER_UNKNOWN);
}

static void an_owner_without_a_namespace_may_be_named_from_any(void **state)
{
    observe_in(*state, "", "a", "", NULL);
    observe_owned(*state, "b", "a", true);
    assert_int_equal(task(*state, "b"), GARBAGE_NOTHING);
}

static void in_the_foreground_an_owner_waits_for_the_last_that_blocks(void **state)
{
    struct fixture *fixture = *state;
    observe(fixture, "a", "", NULL);
    observe_owned(fixture, "b", "a", true);
    observe_owned(fixture, "c", "a", true);
    observe_owned(fixture, "loose", "a", false);
    observe(fixture, "a", "", "foregroundDeletion");
    assert_true(asks_for(fixture, "b") && asks_for(fixture, "c") && asks_for(fixture, "loose"));
    assert_int_equal(task(fixture, "a"), GARBAGE_NOTHING);
    assert_int_equal(task(fixture, "b"), GARBAGE_CHECK_OWNERS);
    assert_int_equal(owner_of(fixture, "b", "a"), OWNER_WAITING);
    forget(fixture, "b");
    assert_false(asks_for(fixture, "a"));
    observe_owned(fixture, "c", "a", false); /* It stops blocking. */
    assert_true(asks_for(fixture, "a"));
    assert_int_equal(task(fixture, "a"), GARBAGE_FINISH_FOREGROUND);
}

static void a_dependent_that_comes_to_a_waiting_owner_is_looked_at(void **state)
{
    observe(*state, "a", "", "foregroundDeletion");
    assert_true(asks_for(*state, "a"));
    observe_owned(*state, "b", "a", true);
    assert_true(asks_for(*state, "b"));
    assert_int_equal(task(*state, "a"), GARBAGE_NOTHING);
}

static void an_object_does_not_wait_for_itself(void **state)
{
    cleanup(free_char)
    char *owners = reference("a", true);
    observe(*state, "a", owners, "foregroundDeletion");
    assert_int_equal(task(*state, "a"), GARBAGE_FINISH_FOREGROUND);
    forget(*state, "a");
    assert_int_equal(garbage_graph_count(((struct fixture *)*state)->graph), 0);
}

static void orphans_are_told_to_the_owner_alone(void **state)
{
    struct fixture *fixture = *state;
    observe(fixture, "a", "", NULL);
    observe_owned(fixture, "b", "a", true);
    observe(fixture, "a", "", "orphan");
    assert_true(asks_for(fixture, "a"));
    assert_false(asks_for(fixture, "b"));
    assert_int_equal(task(fixture, "a"), GARBAGE_ORPHAN);
    assert_int_equal(owner_of(fixture, "b", "a"), OWNER_SOLID);
    size_t count;
    struct garbage_place *places = garbage_graph_dependents(fixture->graph, "a", &count);
    assert_int_equal(count, 1);
    assert_string_equal(places[0].uid, "b");
    assert_ptr_equal(places[0].resource, &resource_configmaps);
    garbage_place_clear(&places[0]);
    free(places);
}

static void what_is_being_deleted_anyway_is_left_alone(void **state)
{
    cleanup(free_char)
    char *owners = reference("a", true);
    observe(*state, "a", "", NULL);
    observe(*state, "b", owners, "example.com/hold");
    forget(*state, "a");
    assert_int_equal(task(*state, "b"), GARBAGE_NOTHING);
}

static void a_dependent_that_waits_itself_is_seen(void **state)
{
    struct fixture *fixture = *state;
    bool one_waits;
    cleanup(free_char)
    char *to_a = reference("a", true);
    observe(fixture, "a", "", NULL);
    assert_false(garbage_graph_has_dependents(fixture->graph, "a", &one_waits));
    observe(fixture, "b", to_a, NULL);
    assert_true(garbage_graph_has_dependents(fixture->graph, "a", &one_waits));
    assert_false(one_waits);
    observe(fixture, "b", to_a, "foregroundDeletion");
    assert_true(garbage_graph_has_dependents(fixture->graph, "a", &one_waits));
    assert_true(one_waits);
}

static void references_that_mean_nothing_are_not_asked_for_again(void **state)
{
    struct fixture *fixture = *state;
    cleanup(free_char)
    char *owners = reference("a", true);
    observe_in(fixture, "", "global", owners, NULL);
    assert_true(asks_for(fixture, "a"));
    struct garbage_place place = place_of("ConfigMap", "", "a");
    garbage_effects_free(&fixture->effects);
    garbage_graph_ignore(fixture->graph, &place, &fixture->effects);
    assert_int_equal(fixture->effects.count, 0);
    assert_int_equal(task(fixture, "a"), GARBAGE_NOTHING);
    assert_int_equal(owner_of(fixture, "global", "a"), OWNER_UNKNOWN);
}

/* A thousand dependents that go one by one ask for their waiting owner once. */
static void a_waiting_owner_is_not_looked_at_for_each_dependent(void **state)
{
    struct fixture *fixture = *state;
    size_t looks = 0;
    char uid[16];
    observe(fixture, "a", "", "foregroundDeletion");
    for (int i = 0; i < 1000; i++) {
        snprintf(uid, sizeof uid, "d%d", i);
        observe_owned(fixture, uid, "a", true);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(uid, sizeof uid, "d%d", i);
        forget(fixture, uid);
        looks += fixture->effects.count;
    }
    assert_int_equal(looks, 1);
}

static void finalizers_say_how_an_object_goes(void **state)
{
    (void)state;
    static const struct {
        const char *metadata, *policy;
    } cases[] = {
        {"{}", "Background"},
        {"{\"finalizers\": [\"x/y\"]}", "Background"},
        {"{\"finalizers\": [\"x/y\", \"orphan\"]}", "Orphan"},
        {"{\"finalizers\": [\"foregroundDeletion\"]}", "Foreground"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *metadata = json_loads(cases[i].metadata, 0, NULL);
        assert_string_equal(garbage_policy(metadata), cases[i].policy);
    }
}

static void references_are_left_out_or_unblocked(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *owners = json_loads("[{\"uid\": \"a\", \"blockOwnerDeletion\": true}, {\"uid\": "
                                "\"b\"}]",
                                0, NULL);
    cleanup(json_release)
    json_t *without = garbage_owners_without(owners, "a");
    cleanup(json_release)
    json_t *unblocked = garbage_owners_unblocked(owners);
    cleanup(free_char)
    char *without_text = json_text(without);
    cleanup(free_char)
    char *unblocked_text = json_text(unblocked);
    assert_string_equal(without_text, "[{\"uid\":\"b\"}]");
    assert_string_equal(unblocked_text,
                        "[{\"uid\":\"a\",\"blockOwnerDeletion\":false},{\"uid\":\"b\"}]");
}

#define graph_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        graph_test(objects_without_owners_are_left_alone),
        graph_test(a_dependent_of_an_owner_that_is_there_is_left_alone),
        graph_test(dependents_are_looked_at_when_their_owner_goes),
        graph_test(a_dependent_that_comes_after_its_owner_went_is_looked_at),
        graph_test(an_unknown_owner_is_asked_for_once_and_remembered),
        graph_test(an_owner_that_turns_up_is_solid),
        graph_test(a_wrong_kind_proves_nothing_about_right_references),
        graph_test(an_owner_elsewhere_is_complained_about_once_it_is_known),
        graph_test(an_owner_without_a_namespace_may_be_named_from_any),
        graph_test(in_the_foreground_an_owner_waits_for_the_last_that_blocks),
        graph_test(a_dependent_that_comes_to_a_waiting_owner_is_looked_at),
        graph_test(an_object_does_not_wait_for_itself),
        graph_test(orphans_are_told_to_the_owner_alone),
        graph_test(what_is_being_deleted_anyway_is_left_alone),
        graph_test(a_dependent_that_waits_itself_is_seen),
        graph_test(references_that_mean_nothing_are_not_asked_for_again),
        graph_test(a_waiting_owner_is_not_looked_at_for_each_dependent),
        cmocka_unit_test(finalizers_say_how_an_object_goes),
        cmocka_unit_test(references_are_left_out_or_unblocked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
