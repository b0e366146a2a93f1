// SPDX-License-Identifier: Apache-2.0
/* When claims and volumes are held, and when they may go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/finalizers.h"
#include "controllers/storage_protection.h"

static json_t *parse(const char *text)
{
    json_t *tree = json_parse(text, strlen(text), NULL);
    assert_non_null(tree);
    return tree;
}

#define CLAIM "{\"metadata\":{\"name\":\"%s\",\"ownerReferences\":[%s]}}"
#define OWNER "{\"uid\":\"%s\",\"controller\":true}"

/* A pod with these members of metadata and of spec uses the claim of this name and owner. */
static bool uses(const char *metadata, const char *spec, const char *claim, const char *owner)
{
    cleanup(free_char)
    char *pod_text =
        format("{\"metadata\":{\"name\":\"p\",\"uid\":\"1\"%s},\"spec\":{%s}}", metadata, spec);
    cleanup(free_char)
    char *owner_text = owner ? format(OWNER, owner) : duplicate("");
    cleanup(free_char)
    char *claim_text = format(CLAIM, claim, owner_text);
    cleanup(json_release)
    json_t *pod = parse(pod_text);
    cleanup(json_release)
    json_t *tree = parse(claim_text);
    return storage_pod_uses_claim(pod, tree);
}

#define NAMED "\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"data\"}}]"
#define EPHEMERAL "\"volumes\":[{\"name\":\"v\",\"ephemeral\":{}}]"
#define ON_NODE "\"nodeName\":\"n\","

static void a_pod_uses_the_claims_it_names_once_it_has_a_node(void **state)
{
    (void)state;
    assert_true(uses("", ON_NODE NAMED, "data", NULL));
    assert_false(uses("", NAMED, "data", NULL));
    assert_false(uses("", "\"nodeName\":\"\"," NAMED, "data", NULL));
    assert_false(uses("", ON_NODE NAMED, "other", NULL));
    assert_false(uses("", "\"nodeName\":\"n\"", "data", NULL));
}

static void even_when_it_is_going(void **state)
{
    (void)state;
    assert_true(uses(",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\","
                     "\"deletionGracePeriodSeconds\":0",
                     ON_NODE NAMED, "data", NULL));
}

static void and_what_was_made_for_its_ephemeral_volumes_while_it_runs(void **state)
{
    (void)state;
    static const char going[] = ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\","
                                "\"deletionGracePeriodSeconds\":30";
    static const char gone[] = ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\","
                               "\"deletionGracePeriodSeconds\":0";
    assert_true(uses("", ON_NODE EPHEMERAL, "p-v", "1"));
    assert_true(uses(going, ON_NODE EPHEMERAL, "p-v", "1"));
    assert_false(uses(gone, ON_NODE EPHEMERAL, "p-v", "1"));
    assert_false(uses("", ON_NODE EPHEMERAL, "p-v", "2"));
    assert_false(uses("", ON_NODE EPHEMERAL, "p-v", NULL));
    assert_false(uses("", ON_NODE EPHEMERAL, "p", "1"));
}

static enum storage_protection decide(bool deleting, bool held, bool used)
{
    cleanup(free_char)
    char *text = format("{\"metadata\":{%s\"finalizers\":[\"a\"%s]}}",
                        deleting ? "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"," : "",
                        held ? ",\"kubernetes.io/pvc-protection\"" : "");
    cleanup(json_release)
    json_t *object = parse(text);
    return storage_decide(object, storage_claim_finalizer, used);
}

static void what_is_deleted_goes_when_nobody_uses_it(void **state)
{
    (void)state;
    assert_int_equal(decide(true, true, true), STORAGE_STAYS);
    assert_int_equal(decide(true, true, false), STORAGE_TO_LET_GO);
    assert_int_equal(decide(true, false, true), STORAGE_STAYS);
    assert_int_equal(decide(true, false, false), STORAGE_STAYS);
}

static void what_is_not_deleted_is_held(void **state)
{
    (void)state;
    assert_int_equal(decide(false, false, false), STORAGE_TO_HOLD);
    assert_int_equal(decide(false, true, false), STORAGE_STAYS);
    assert_int_equal(decide(false, true, true), STORAGE_STAYS);
}

static void a_volume_is_used_while_it_is_bound(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *bound = parse("{\"status\":{\"phase\":\"Bound\"}}");
    cleanup(json_release)
    json_t *released = parse("{\"status\":{\"phase\":\"Released\"}}");
    cleanup(json_release)
    json_t *new = parse("{}");
    assert_true(storage_volume_is_used(bound));
    assert_false(storage_volume_is_used(released));
    assert_false(storage_volume_is_used(new));
}

static void other_finalizers_stay(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *object = parse("{\"metadata\":{\"finalizers\":[\"a\",\"b\",\"c\"]}}");
    cleanup(json_release)
    json_t *expected = parse("{\"metadata\":{\"finalizers\":[\"a\",\"c\",\"d\"]}}");
    assert_true(finalizer_set(object, "b", false));
    assert_false(finalizer_set(object, "b", false));
    assert_true(finalizer_set(object, "d", true));
    assert_false(finalizer_set(object, "d", true));
    assert_true(json_equal(object, expected));
    cleanup(json_release)
    json_t *bare = parse("{}");
    assert_true(finalizer_set(bare, "a", true));
    assert_true(finalizer_is_held(bare, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_uses_the_claims_it_names_once_it_has_a_node),
        cmocka_unit_test(even_when_it_is_going),
        cmocka_unit_test(and_what_was_made_for_its_ephemeral_volumes_while_it_runs),
        cmocka_unit_test(what_is_deleted_goes_when_nobody_uses_it),
        cmocka_unit_test(what_is_not_deleted_is_held),
        cmocka_unit_test(a_volume_is_used_while_it_is_bound),
        cmocka_unit_test(other_finalizers_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
