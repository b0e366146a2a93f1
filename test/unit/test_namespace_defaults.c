// SPDX-License-Identifier: Apache-2.0
/* What each namespace is given: an account, and the CA's certificate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/namespace_defaults.h"

static const struct cached_object_class plain;

static struct cached_object *object(const char *text)
{
    struct cached_object *object = cached_object_new(&plain, text, strlen(text));
    assert_non_null(object);
    return object;
}

static const char active[] = "{\"metadata\":{\"name\":\"shop\"}}";
static const char going[] =
    "{\"metadata\":{\"name\":\"shop\",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}}";

static void a_namespace_without_an_account_gets_one(void **state)
{
    (void)state;
    cleanup(cached_object_release)
    struct cached_object *namespace = object(active);
    cleanup(json_release)
    json_t *account = serviceaccount_missing(namespace, NULL);
    assert_string_equal(json_get_string(account, "kind"), "ServiceAccount");
    assert_string_equal(json_path_string(account, "metadata", "name"), "default");
    assert_string_equal(json_path_string(account, "metadata", "namespace"), "shop");
}

static void an_account_that_is_there_or_not_wanted_is_not_made(void **state)
{
    (void)state;
    cleanup(cached_object_release)
    struct cached_object *namespace = object(active);
    cleanup(cached_object_release)
    struct cached_object *ending = object(going);
    cleanup(cached_object_release)
    struct cached_object *account =
        object("{\"metadata\":{\"name\":\"default\",\"namespace\":\"shop\"}}");
    assert_null(serviceaccount_missing(namespace, account));
    assert_null(serviceaccount_missing(ending, NULL));
    assert_null(serviceaccount_missing(NULL, NULL));
}

static void a_namespace_without_the_certificate_gets_it(void **state)
{
    (void)state;
    cleanup(cached_object_release)
    struct cached_object *namespace = object(active);
    cleanup(cached_object_release)
    struct cached_object *ending = object(going);
    cleanup(json_release)
    json_t *data = json_pack("{s:s}", "ca.crt", "PEM");
    cleanup(json_release)
    json_t *map = root_ca_map_wanted(namespace, NULL, data);
    assert_string_equal(json_path_string(map, "metadata", "name"), "kube-root-ca.crt");
    assert_string_equal(json_path_string(map, "metadata", "namespace"), "shop");
    assert_true(json_equal(json_object_get(map, "data"), data));
    assert_null(root_ca_map_wanted(namespace, map, data));
    assert_null(root_ca_map_wanted(ending, NULL, data));
    assert_null(root_ca_map_wanted(NULL, NULL, data));
}

static void what_somebody_changed_is_put_right_and_the_rest_stays(void **state)
{
    (void)state;
    cleanup(cached_object_release)
    struct cached_object *namespace = object(active);
    cleanup(json_release)
    json_t *data = json_pack("{s:s}", "ca.crt", "PEM");
    cleanup(json_release)
    json_t *good = root_ca_map_wanted(namespace, NULL, data);
    json_object_set_new(json_object_get(good, "metadata"), "resourceVersion", json_string("7"));

    cleanup(json_release)
    json_t *spoiled = json_deep_copy(good);
    json_object_set_new(json_object_get(spoiled, "data"), "ca.crt", json_string("another"));
    cleanup(json_release)
    json_t *repaired = root_ca_map_wanted(namespace, spoiled, data);
    assert_true(json_equal(repaired, good));

    cleanup(json_release)
    json_t *bare = json_deep_copy(good);
    json_object_del(json_object_get(bare, "metadata"), "annotations");
    cleanup(json_release)
    json_t *annotated = root_ca_map_wanted(namespace, bare, data);
    assert_true(json_equal(annotated, good));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_namespace_without_an_account_gets_one),
        cmocka_unit_test(an_account_that_is_there_or_not_wanted_is_not_made),
        cmocka_unit_test(a_namespace_without_the_certificate_gets_it),
        cmocka_unit_test(what_somebody_changed_is_put_right_and_the_rest_stays),
    };
    return cmocka_run_group_tests_name("namespace defaults", tests, NULL, NULL);
}
