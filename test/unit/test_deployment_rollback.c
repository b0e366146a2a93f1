// SPDX-License-Identifier: Apache-2.0
/* A Deployment that goes back to an earlier revision. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/deployment_rollback.h"

static json_t *annotated(const char *name, const char *value)
{
    return json_pack("{s:{s:{s:s}}}", "metadata", "annotations", name, value);
}

static void an_annotation_that_is_a_number_asks(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool wanted;
        json_int_t revision;
    } cases[] = {{"7", true, 7}, {"0", true, 0}, {"", false, 0}, {"x", false, 0}, {"7x", false, 0}};
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(json_release)
        json_t *deployment = annotated("deprecated.deployment.rollback.to", cases[i].text);
        json_int_t revision = 0;
        assert_int_equal(rollback_wanted(deployment, &revision), cases[i].wanted);
        assert_true(!cases[i].wanted || revision == cases[i].revision);
    }
}

static void the_last_revision_is_the_one_before_the_highest(void **state)
{
    (void)state;
    static const char *const revisions[] = {"2", "5", "4"};
    static const int before[] = {0, 2, 4};
    cleanup(rollout_free)
    struct rollout rollout = ROLLOUT_INIT;
    assert_int_equal(rollback_last_revision(&rollout), 0);
    for (size_t i = 0; i < array_length(revisions); i++) {
        rollout_add(&rollout, annotated("deployment.kubernetes.io/revision", revisions[i]));
        assert_int_equal(rollback_last_revision(&rollout), before[i]);
    }
    assert_ptr_equal(rollback_find(&rollout, 5), &rollout.sets[1]);
    assert_null(rollback_find(&rollout, 3));
}

static json_t *with_image(const char *image, const char *annotation, const char *note)
{
    return json_pack("{s:{s:{s:s, s:s}}, s:{s:{s:{s:{s:s, s:s}}, s:{s:s}}}}", "metadata",
                     "annotations", "deployment.kubernetes.io/revision", "3", annotation, note,
                     "spec", "template", "metadata", "labels", "app", "web", "pod-template-hash",
                     "abc", "spec", "image", image);
}

static void the_template_and_the_annotations_of_then_come_back(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *deployment = with_image("new", "note", "now");
    cleanup(json_release)
    json_t *replicaset = with_image("old", "cause", "then");
    json_object_set_new(json_path(replicaset, "metadata", "annotations"),
                        "deployment.kubernetes.io/revision", json_string("1"));
    assert_true(rollback_to(deployment, replicaset));
    cleanup(free_char)
    char *text = json_text(json_object_get(deployment, "metadata"));
    assert_string_equal(text, "{\"annotations\":{\"deployment.kubernetes.io/revision\":\"3\","
                              "\"cause\":\"then\"}}");
    cleanup(free_char)
    char *template = json_text(json_path(deployment, "spec", "template"));
    assert_string_equal(
        template, "{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"image\":\"old\"}}");
    assert_false(rollback_to(deployment, replicaset));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_annotation_that_is_a_number_asks),
        cmocka_unit_test(the_last_revision_is_the_one_before_the_highest),
        cmocka_unit_test(the_template_and_the_annotations_of_then_come_back),
    };
    return cmocka_run_group_tests_name("going back", tests, NULL, NULL);
}
