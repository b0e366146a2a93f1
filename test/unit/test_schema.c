// SPDX-License-Identifier: Apache-2.0
/* Looking things up in the built-in schemas, and what they must say for the rest to work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/schema.h"

static const struct resource *find(const char *group, const char *version, const char *plural)
{
    const struct resource *resource =
        scheme_resource_find(scheme_builtin(), group, version, plural);
    assert_non_null(resource);
    return resource;
}

static const struct schema_field *field_of(const struct resource *resource, const char *path)
{
    const struct schema_field *field = schema_find_path(resource->schema, path);
    assert_non_null(field);
    return field;
}

static bool has_string(const char *const *strings, const char *wanted)
{
    for (size_t i = 0; strings[i] != NULL; i++) {
        if (strcmp(strings[i], wanted) == 0) {
            return true;
        }
    }
    return false;
}

static void every_resource_is_found_by_its_plural_and_by_its_kind(void **state)
{
    (void)state;
    const struct scheme *scheme = scheme_builtin();
    assert_true(scheme_resource_count(scheme) > 60);
    for (size_t i = 0; i < scheme_resource_count(scheme); i++) {
        const struct resource *resource = scheme_resource(scheme, i);
        assert_ptr_equal(
            scheme_resource_find(scheme, resource->group, resource->version, resource->plural),
            resource);
        assert_ptr_equal(
            scheme_resource_of_kind(scheme, resource->group, resource->version, resource->kind),
            resource);
        assert_ptr_equal(scheme_resource_stored(scheme, resource->group, resource->plural),
                         scheme_storage_resource(scheme, resource));
    }
}

static void what_does_not_exist_is_not_found(void **state)
{
    (void)state;
    const struct scheme *scheme = scheme_builtin();
    const struct resource *pods = find("", "v1", "pods");
    assert_null(scheme_resource_find(scheme, "", "v2", "pods"));
    assert_null(scheme_resource_find(scheme, "apps", "v1", "pods"));
    assert_null(scheme_resource_stored(scheme, "apps", "pods"));
    assert_null(scheme_resource_of_kind(scheme, "", "v1", "pod"));
    assert_null(scheme_kind_schema(scheme, "", "v1", "PodList"));
    assert_null(scheme_group_find(scheme, "meta.k8s.io"));
    assert_null(resource_subresource_find(pods, "scale"));
    assert_null(schema_find_path(pods->schema, "spec.container"));
    assert_null(schema_find_path(pods->schema, "spec.nodeName.first"));
}

static void every_field_is_found_by_name_and_number(void **state)
{
    (void)state;
    const struct schema_object *object = NULL;
    for (size_t i = 0; (object = scheme_object(scheme_builtin(), i)) != NULL; i++) {
        for (size_t f = 0; f < object->field_count; f++) {
            const struct schema_field *field = &object->fields[f];
            assert_ptr_equal(schema_field_find(object, field->name), field);
            if (field->number != 0) {
                assert_ptr_equal(schema_field_by_number(object, field->number), field);
            }
        }
        assert_null(schema_field_find(object, ""));
        assert_null(schema_field_by_number(object, 0));
    }
}

static void every_kind_and_field_is_documented(void **state)
{
    (void)state;
    const struct schema_object *object = NULL;
    for (size_t i = 0; (object = scheme_object(scheme_builtin(), i)) != NULL; i++) {
        for (size_t f = 0; f < object->field_count; f++) {
            assert_string_not_equal(object->fields[f].doc, "");
        }
        assert_string_not_equal(object->doc, "");
    }
}

static void a_path_steps_through_lists_and_maps(void **state)
{
    (void)state;
    const struct resource *deployments = find("apps", "v1", "deployments");
    const struct schema_field *field =
        field_of(deployments, "spec.template.spec.containers.livenessProbe.grpc.port");
    assert_int_equal(field->schema->type, SCHEMA_INT32);
    assert_int_equal(field->schema->minimum, 1);
    assert_int_equal(field->schema->maximum, 65535);
    assert_int_equal(field_of(deployments, "metadata.labels")->schema->type, SCHEMA_MAP);
}

static void groups_stand_in_the_order_of_discovery(void **state)
{
    (void)state;
    static const char *const first[] = {"", "apiregistration.k8s.io", "apps", "events.k8s.io"};
    const struct scheme *scheme = scheme_builtin();
    for (size_t i = 0; i < array_length(first); i++) {
        assert_string_equal(scheme_group(scheme, i)->name, first[i]);
    }
    for (size_t i = 2; i < scheme_group_count(scheme); i++) {
        assert_true(scheme_group(scheme, i)->priority <= scheme_group(scheme, i - 1)->priority);
    }
}

static void the_preferred_version_stands_first(void **state)
{
    (void)state;
    const struct scheme_group *group = scheme_group_find(scheme_builtin(), "autoscaling");
    assert_non_null(group);
    assert_string_equal(group->versions[0], "v2");
    assert_string_equal(group->versions[1], "v1");
    assert_null(group->versions[2]);
}

static void two_views_of_one_object_share_its_storage(void **state)
{
    (void)state;
    const struct scheme *scheme = scheme_builtin();
    assert_ptr_equal(scheme_storage_resource(scheme, find("events.k8s.io", "v1", "events")),
                     find("", "v1", "events"));
    assert_ptr_equal(
        scheme_storage_resource(scheme, find("autoscaling", "v1", "horizontalpodautoscalers")),
        find("autoscaling", "v2", "horizontalpodautoscalers"));
    const struct resource *pods = find("", "v1", "pods");
    assert_ptr_equal(scheme_storage_resource(scheme, pods), pods);
}

static void storage_prefixes_are_those_that_others_use(void **state)
{
    (void)state;
    assert_string_equal(find("", "v1", "pods")->storage_prefix, "/registry/pods/");
    assert_string_equal(find("", "v1", "nodes")->storage_prefix, "/registry/minions/");
    assert_string_equal(find("", "v1", "services")->storage_prefix, "/registry/services/specs/");
    assert_string_equal(find("", "v1", "endpoints")->storage_prefix,
                        "/registry/services/endpoints/");
    assert_string_equal(find("coordination.k8s.io", "v1", "leases")->storage_prefix,
                        "/registry/leases/");
}

static void no_two_resources_share_a_storage_prefix_by_accident(void **state)
{
    (void)state;
    const struct scheme *scheme = scheme_builtin();
    for (size_t i = 0; i < scheme_resource_count(scheme); i++) {
        const struct resource *one = scheme_resource(scheme, i);
        for (size_t j = 0; j < i; j++) {
            const struct resource *two = scheme_resource(scheme, j);
            if (!one->virtual && strcmp(one->storage_prefix, two->storage_prefix) == 0) {
                assert_string_equal(one->plural, two->plural);
                assert_ptr_equal(scheme_storage_resource(scheme, one),
                                 scheme_storage_resource(scheme, two));
            }
        }
    }
}

static void bodies_of_every_version_may_be_delete_options(void **state)
{
    (void)state;
    const struct scheme *scheme = scheme_builtin();
    const struct schema *core = scheme_kind_schema(scheme, "", "v1", "DeleteOptions");
    assert_non_null(core);
    assert_ptr_equal(scheme_kind_schema(scheme, "example.com", "v1beta1", "DeleteOptions"), core);
}

static void an_eviction_is_known_in_both_its_versions(void **state)
{
    (void)state;
    const struct scheme *scheme = scheme_builtin();
    const struct schema *eviction = scheme_kind_schema(scheme, "policy", "v1", "Eviction");
    assert_non_null(eviction);
    assert_ptr_equal(scheme_kind_schema(scheme, "policy", "v1beta1", "Eviction"), eviction);
}

static void subresources_tell_their_own_kinds(void **state)
{
    (void)state;
    const struct resource_subresource *scale =
        resource_subresource_find(find("apps", "v1", "deployments"), "scale");
    assert_non_null(scale);
    assert_string_equal(scale->group, "autoscaling");
    assert_string_equal(scale->version, "v1");
    assert_string_equal(scale->kind, "Scale");
    assert_int_equal(scale->verbs, VERB_GET | VERB_UPDATE | VERB_PATCH);
}

static void embedded_members_have_a_message_of_their_own(void **state)
{
    (void)state;
    const struct schema *volumes = field_of(find("", "v1", "pods"), "spec.volumes")->schema;
    const struct schema_object *volume = volumes->items->object;
    assert_int_equal(schema_field_find(volume, "name")->number, 1);
    assert_int_equal(schema_field_find(volume, "emptyDir")->number, 0);
    const struct schema_inline *source = schema_inline_by_number(volume, 2);
    assert_non_null(source);
    assert_int_equal(schema_field_find(source->object, "emptyDir")->number, 2);
    assert_null(schema_inline_by_number(volume, 1));
}

static void merge_rules_are_those_of_strategic_merge(void **state)
{
    (void)state;
    const struct resource *deployments = find("apps", "v1", "deployments");
    const struct schema *containers =
        field_of(deployments, "spec.template.spec.containers")->schema;
    assert_true(containers->patch_merge);
    assert_string_equal(containers->merge_key, "name");
    assert_int_equal(containers->list_type, SCHEMA_LIST_MAP);
    assert_string_equal(containers->list_keys[0], "name");
    assert_true(field_of(deployments, "spec.template.spec.volumes")->schema->patch_retain_keys);
    assert_true(field_of(deployments, "spec.strategy")->schema->patch_retain_keys);
    const struct schema *finalizers = field_of(deployments, "metadata.finalizers")->schema;
    assert_true(finalizers->patch_merge);
    assert_null(finalizers->merge_key);
}

static void what_is_worth_walking_into_for_defaults_is_known(void **state)
{
    (void)state;
    const struct resource *pods = find("", "v1", "pods");
    assert_true(pods->schema->object->has_defaults);
    assert_string_equal(field_of(pods, "spec.restartPolicy")->schema->default_value, "\"Always\"");
    assert_string_equal(field_of(pods, "spec.terminationGracePeriodSeconds")->schema->default_value,
                        "30");
    assert_false(
        field_of(pods, "spec.securityContext.seLinuxOptions")->schema->object->has_defaults);
}

static void selectable_fields_have_a_path_each(void **state)
{
    (void)state;
    const struct resource *jobs = find("batch", "v1", "jobs");
    assert_string_equal(jobs->selectable_fields[0], "status.successful");
    assert_string_equal(jobs->selectable_paths[0], ".status.succeeded");
    assert_true(has_string(find("", "v1", "pods")->selectable_fields, "spec.nodeName"));
    assert_null(find("", "v1", "configmaps")->selectable_fields[0]);
}

static void the_built_in_scheme_outlives_its_references(void **state)
{
    (void)state;
    struct scheme *scheme = scheme_ref(scheme_builtin());
    scheme_unref(scheme);
    scheme_unref(scheme);
    assert_non_null(scheme_group_find(scheme, "apps"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_resource_is_found_by_its_plural_and_by_its_kind),
        cmocka_unit_test(what_does_not_exist_is_not_found),
        cmocka_unit_test(every_field_is_found_by_name_and_number),
        cmocka_unit_test(every_kind_and_field_is_documented),
        cmocka_unit_test(a_path_steps_through_lists_and_maps),
        cmocka_unit_test(groups_stand_in_the_order_of_discovery),
        cmocka_unit_test(the_preferred_version_stands_first),
        cmocka_unit_test(two_views_of_one_object_share_its_storage),
        cmocka_unit_test(storage_prefixes_are_those_that_others_use),
        cmocka_unit_test(no_two_resources_share_a_storage_prefix_by_accident),
        cmocka_unit_test(bodies_of_every_version_may_be_delete_options),
        cmocka_unit_test(an_eviction_is_known_in_both_its_versions),
        cmocka_unit_test(subresources_tell_their_own_kinds),
        cmocka_unit_test(embedded_members_have_a_message_of_their_own),
        cmocka_unit_test(merge_rules_are_those_of_strategic_merge),
        cmocka_unit_test(what_is_worth_walking_into_for_defaults_is_known),
        cmocka_unit_test(selectable_fields_have_a_path_each),
        cmocka_unit_test(the_built_in_scheme_outlives_its_references),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
