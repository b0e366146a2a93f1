// SPDX-License-Identifier: Apache-2.0
/* Writes, on a store that the test lets win or lose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "apiserver/registry/registry.h"
#include "common/alloc.h"
#include "common/json.h"

enum { names_max = 16 };

/* Refuses as many writes as it is told to, and keeps what it was to write. */
struct fake_store {
    struct store store;
    int conflicts;
    int writes;
    char *keys[names_max], *values[names_max];
};

static bool fake_range(struct store *base, const char *start, const char *end, size_t limit,
                       int64_t revision, struct store_items *items, int64_t *at_revision,
                       int64_t *total, struct error *error)
{
    (void)base, (void)start, (void)end, (void)limit, (void)revision, (void)items, (void)total;
    (void)error;
    *at_revision = 1;
    return true;
}

static bool fake_revision(struct store *base, int64_t *revision, struct error *error)
{
    (void)base, (void)error;
    *revision = 1;
    return true;
}

static bool fake_watch(struct store *base, int64_t after, struct store_watcher watcher,
                       struct error *error)
{
    (void)base, (void)after, (void)watcher, (void)error;
    return true;
}

static bool fake_commit(struct store *base, const struct store_write *write, int64_t *revision,
                        struct store_item *current, bool *conflict, struct error *error)
{
    struct fake_store *fake = container_of(base, struct fake_store, store);
    (void)current, (void)error;
    assert_in_range(fake->writes, 0, names_max - 1);
    fake->keys[fake->writes] = duplicate(write->key);
    fake->values[fake->writes] = duplicate_bytes(write->value, write->value_length);
    *conflict = fake->writes++ < fake->conflicts;
    *revision = 1 + fake->writes;
    return true;
}

static const struct store_class fake_class = {
    .name = "fake",
    .range = fake_range,
    .current_revision = fake_revision,
    .watch = fake_watch,
    .commit = fake_commit,
};

struct fixture {
    struct fake_store fake;
    struct registry registry;
};

static int set_up(void **state)
{
    struct fixture *fixture = allocate_struct(struct fixture);
    fixture->fake.store = (struct store){&fake_class, true};
    fixture->registry.store = &fixture->fake.store;
    fixture->registry.scheme = scheme_builtin();
    fixture->registry.cache = cache_open(&fixture->fake.store, fixture->registry.scheme, NULL);
    *state = fixture;
    return fixture->registry.cache != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    cache_free(fixture->registry.cache);
    scheme_unref(fixture->registry.scheme);
    for (int i = 0; i < fixture->fake.writes; i++) {
        free(fixture->fake.keys[i]);
        free(fixture->fake.values[i]);
    }
    free(fixture);
    return 0;
}

/* Creates a config map; the new object, or NULL. */
static struct object *create(struct fixture *fixture, json_t *metadata, struct error *error)
{
    struct registry *registry = &fixture->registry;
    cleanup(write_clear)
    struct write write = {0};
    struct object *object = NULL;
    write_begin(&write, registry, NULL, NULL, registry_resource(registry, "", "configmaps"),
                WRITE_CREATE);
    write_address(&write, "default", "");
    write.object = json_pack("{s:s, s:s, s:o, s:{s:s}}", "kind", "ConfigMap", "apiVersion", "v1",
                             "metadata", metadata, "data", "song", "Row, row, row");
    return registry_create(&write, &object, error) ? object : NULL;
}

static void a_generated_name_that_is_taken_is_generated_again(void **state)
{
    struct fixture *fixture = *state;
    fixture->fake.conflicts = 2;
    cleanup(object_release)
    struct object *object = create(fixture, json_pack("{s:s}", "generateName", "boat-"), NULL);
    assert_non_null(object);
    assert_int_equal(fixture->fake.writes, 3);
    assert_string_not_equal(fixture->fake.keys[0], fixture->fake.keys[1]);
    assert_string_not_equal(fixture->fake.keys[1], fixture->fake.keys[2]);
    for (int i = 0; i < fixture->fake.writes; i++) {
        /* All but the name is as it was. */
        cleanup(json_release)
        json_t *written =
            json_parse(fixture->fake.values[i], strlen(fixture->fake.values[i]), NULL);
        const char *name = json_path_string(written, "metadata", "name");
        assert_string_equal(name, strrchr(fixture->fake.keys[i], '/') + 1);
        assert_int_equal(strncmp(name, "boat-", 5), 0);
        assert_string_equal(json_path_string(written, "data", "song"), "Row, row, row");
        assert_string_equal(json_path_string(written, "kind"), "ConfigMap");
    }
    assert_string_equal(object_name(object), strrchr(fixture->fake.keys[2], '/') + 1);
}

static void names_are_not_generated_for_ever(void **state)
{
    struct fixture *fixture = *state;
    fixture->fake.conflicts = names_max;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_null(create(fixture, json_pack("{s:s}", "generateName", "boat-"), &error));
    assert_int_equal(error.code, 409);
    assert_string_equal(error.reason, "AlreadyExists");
    assert_in_range(fixture->fake.writes, 2, names_max - 1);
}

static void a_name_of_ones_own_is_tried_once(void **state)
{
    struct fixture *fixture = *state;
    fixture->fake.conflicts = names_max;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_null(create(fixture, json_pack("{s:s}", "name", "tub"), &error));
    assert_int_equal(error.code, 409);
    assert_string_equal(error.message, "configmaps \"tub\" already exists");
    assert_int_equal(fixture->fake.writes, 1);
}

#define each(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        each(a_generated_name_that_is_taken_is_generated_again),
        each(names_are_not_generated_for_ever),
        each(a_name_of_ones_own_is_tried_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
