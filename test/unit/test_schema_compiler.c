// SPDX-License-Identifier: Apache-2.0
/*
 * The schema compiler refuses descriptions that don't hold together, and says where. Each test
 * writes one small description with one mistake, and names the line by a piece of its text.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/buffer.h"

static const char meta[] = "group: meta.k8s.io\n"
                           "version: v1\n"
                           "package: meta.v1\n"
                           "types:\n"
                           "  ObjectMeta:\n"
                           "    fields:\n"
                           "      name: {n: 1, type: string}\n"
                           "  ListMeta:\n"
                           "    fields:\n"
                           "      continue: {n: 1, type: string}\n";

static const char shop[] = "group: shop\n"
                           "version: v1\n"
                           "package: shop.v1\n"
                           "priority: {group: 100, version: 10}\n"
                           "resources:\n"
                           "  carts:\n"
                           "    kind: Cart\n"
                           "    scope: Namespaced\n"
                           "%s"
                           "types:\n"
                           "  Cart:\n"
                           "    kind: object\n"
                           "    fields:\n"
                           "      spec: {n: 2, type: CartSpec}\n"
                           "  CartSpec:\n"
                           "    fields:\n"
                           "      owner: {n: 1, type: string}\n"
                           "%s"
                           "  Item:\n"
                           "    fields:\n"
                           "      name: {n: 1, type: string}\n";

struct workshop {
    char folder[32];
    char compiler[PATH_MAX];
};

static char *path_in(const struct workshop *workshop, const char *name)
{
    return format("%s/%s", workshop->folder, name);
}

static int set_up(void **state)
{
    struct workshop *workshop = allocate_struct(struct workshop);
    strcpy(workshop->folder, "/tmp/schemas-XXXXXX");
    char self[PATH_MAX] = "";
    if (mkdtemp(workshop->folder) == NULL ||
        readlink("/proc/self/exe", self, sizeof(self) - 1) < 0) {
        return -1;
    }
    /* This program is <build>/test/unit/<name>, the compiler <build>/schema-compiler. */
    snprintf(workshop->compiler, sizeof(workshop->compiler), "%s/schema-compiler",
             dirname(dirname(dirname(self))));
    *state = workshop;
    return 0;
}

static int tear_down(void **state)
{
    struct workshop *workshop = *state;
    static const char *const names[] = {"meta.yaml", "shop.yaml", "tables.c"};
    for (size_t i = 0; i < array_length(names); i++) {
        cleanup(free_char)
        char *path = path_in(workshop, names[i]);
        unlink(path);
    }
    rmdir(workshop->folder);
    free(workshop);
    return 0;
}

static void write_text(const char *path, const char *text)
{
    FILE *stream = fopen(path, "we");
    assert_non_null(stream);
    fputs(text, stream);
    fclose(stream);
}

/* Runs the compiler over both descriptions. Returns its status; 'complaints' gets what it said. */
static int compile(const struct workshop *workshop, const char *text, struct buffer *complaints)
{
    cleanup(free_char)
    char *meta_path = path_in(workshop, "meta.yaml");
    cleanup(free_char)
    char *shop_path = path_in(workshop, "shop.yaml");
    cleanup(free_char)
    char *tables_path = path_in(workshop, "tables.c");
    write_text(meta_path, meta);
    write_text(shop_path, text);
    unlink(tables_path);
    cleanup(free_char)
    char *command =
        format("%s -o %s %s %s 2>&1", workshop->compiler, tables_path, meta_path, shop_path);
    FILE *pipe = popen(command, "re"); // NOLINT(bugprone-command-processor)
    assert_non_null(pipe);
    char line[1024];
    while (fgets(line, sizeof(line), pipe) != NULL) {
        buffer_add_text(complaints, line);
    }
    int status = pclose(pipe);
    bool written = access(tables_path, F_OK) == 0;
    assert_int_equal(written, status == 0);
    return WEXITSTATUS(status);
}

/* The description with these lines added is refused with "shop.yaml:LINE: MESSAGE", the line being
 * the last one that has 'marker' in it. */
static void refuses(void **state, const char *resource_lines, const char *field_lines,
                    const char *marker, const char *message)
{
    const struct workshop *workshop = *state;
    cleanup(free_char)
    char *text = format(shop, resource_lines, field_lines);
    const char *at = NULL;
    for (const char *next = strstr(text, marker); next != NULL; next = strstr(next + 1, marker)) {
        at = next;
    }
    assert_non_null(at);
    size_t line = 1;
    for (const char *c = text; c < at; c++) {
        line += *c == '\n';
    }
    cleanup(buffer_free)
    struct buffer complaints = BUFFER_INIT;
    int status = compile(workshop, text, &complaints);
    cleanup(free_char)
    char *expected = format("%s/shop.yaml:%zu: %s\n", workshop->folder, line, message);
    assert_string_equal(buffer_text(&complaints), expected);
    assert_int_equal(status, 1);
}

static void refuses_field(void **state, const char *field_lines, const char *marker,
                          const char *message)
{
    refuses(state, "", field_lines, marker, message);
}

static void refuses_resource(void **state, const char *resource_lines, const char *marker,
                             const char *message)
{
    refuses(state, resource_lines, "", marker, message);
}

static void a_consistent_description_compiles(void **state)
{
    cleanup(free_char)
    char *text =
        format(shop,
               "    short: [ca]\n"
               "    selectable: [spec.owner]\n"
               "    columns:\n"
               "      - {name: Owner, type: string, value: .spec.owner}\n",
               "      items: {n: 2, type: list Item, list: map, keys: [name], merge: name}\n"
               "      mode: {n: 3, type: string, enum: [A, B], default: A}\n"
               "      count: {n: 4, type: int32, min: 1, max: 5, default: 5}\n");
    cleanup(buffer_free)
    struct buffer complaints = BUFFER_INIT;
    int status = compile(*state, text, &complaints);
    assert_string_equal(buffer_text(&complaints), "");
    assert_int_equal(status, 0);
}

static void text_that_is_not_yaml_is_refused(void **state)
{
    refuses_field(state, "      broken: {n: 2, type: string\n", "Item",
                  "did not find expected ',' or '}'");
}

static void an_unknown_key_is_refused(void **state)
{
    refuses_field(state, "      size: {n: 2, typ: string, type: string}\n",
                  "typ:", "unknown key \"typ\" in a field");
}

static void an_unknown_type_is_refused(void **state)
{
    refuses_field(state, "      size: {n: 2, type: list Size}\n", "size:", "unknown type \"Size\"");
}

static void a_field_that_stands_twice_is_refused(void **state)
{
    refuses_field(state, "      owner: {n: 2, type: string}\n", "owner: {n: 2",
                  "\"owner\" stands twice, first in line 16");
}

static void a_number_that_stands_twice_is_refused(void **state)
{
    refuses_field(state, "      size: {n: 1, type: string}\n",
                  "size:", "number 1 stands twice in CartSpec");
}

static void a_missing_number_is_refused(void **state)
{
    refuses_field(state, "      size: {type: string}\n",
                  "size:", "field size has no number; say \"n: 0\" if it is to have none");
}

static void a_list_key_that_is_no_field_is_refused(void **state)
{
    refuses_field(state, "      items: {n: 2, type: list Item, list: map, keys: [title]}\n",
                  "items:", "shop.v1.Item has no field \"title\"");
}

static void a_list_map_without_keys_is_refused(void **state)
{
    refuses_field(state, "      items: {n: 2, type: list Item, list: map}\n",
                  "items:", "a list that is a map has keys, and no other");
}

static void a_merge_key_that_is_no_field_is_refused(void **state)
{
    refuses_field(state, "      items: {n: 2, type: list Item, merge: title}\n",
                  "items:", "shop.v1.Item has no field \"title\"");
}

static void a_default_of_the_wrong_type_is_refused(void **state)
{
    refuses_field(state, "      count: {n: 2, type: int32, default: many}\n",
                  "count:", "the default must be an integer");
}

static void a_default_outside_the_enumeration_is_refused(void **state)
{
    refuses_field(state, "      mode: {n: 2, type: string, enum: [A, B], default: C}\n",
                  "mode:", "the default \"C\" is not among the values of \"enum\"");
}

static void a_default_outside_the_range_is_refused(void **state)
{
    refuses_field(state, "      count: {n: 2, type: int32, min: 1, default: 0}\n",
                  "count:", "the default 0 is out of range");
}

static void a_minimum_above_the_maximum_is_refused(void **state)
{
    refuses_field(state, "      count: {n: 2, type: int32, min: 2, max: 1}\n",
                  "count:", "the minimum is above the maximum");
}

static void a_column_that_leads_nowhere_is_refused(void **state)
{
    refuses_resource(state, "    columns:\n      - {name: Size, value: .spec.size}\n", "Size",
                     "the path .spec.size leads nowhere");
}

static void an_argument_of_a_column_that_leads_nowhere_is_refused(void **state)
{
    refuses_resource(state, "    columns:\n      - {name: Size, value: count .spec.size}\n", "Size",
                     "the path .spec.size leads nowhere");
}

static void a_selectable_field_that_leads_nowhere_is_refused(void **state)
{
    refuses_resource(state, "    selectable:\n      - spec.size\n", "spec.size",
                     "the selectable field .spec.size leads nowhere");
}

static void an_unknown_verb_is_refused(void **state)
{
    refuses_resource(state, "    verbs: [get, fetch]\n", "fetch", "unknown verb \"fetch\"");
}

static void an_unknown_scope_is_refused(void **state)
{
    refuses_resource(state, "  shelves:\n    kind: Item\n    scope: World\n", "shelves",
                     "\"scope\" must be Namespaced or Cluster");
}

static void a_resource_of_something_that_is_no_kind_is_refused(void **state)
{
    refuses_resource(state, "  shelves:\n    kind: Item\n    scope: Cluster\n", "kind: Item",
                     "\"Item\" is no kind of object");
}

static void a_subresource_of_an_unknown_kind_is_refused(void **state)
{
    refuses_resource(state, "    subresources:\n      scale: {kind: scaling/v1.Scale}\n", "scale",
                     "\"scaling/v1.Scale\" is no kind");
}

static void two_resources_of_one_kind_are_refused(void **state)
{
    refuses_resource(state, "  trolleys:\n    kind: Cart\n    scope: Cluster\n", "trolleys",
                     "kind Cart has another resource, carts");
}

static void short_names_that_clash_are_refused(void **state)
{
    refuses(state,
            "    short: [c]\n  orders:\n    kind: Order\n    scope: Cluster\n    short: [c]\n",
            "  Order:\n    kind: object\n    fields:\n      total: {n: 2, type: int64}\n", "orders",
            "short name \"c\" belongs to carts already");
}

static void a_type_inlined_in_itself_is_refused(void **state)
{
    refuses_field(state, "  Loop:\n    inline: {Loop: 1}\n    fields: {}\n",
                  "  Loop:", "type Loop is inlined in itself");
}

static void an_enumeration_of_numbers_is_refused(void **state)
{
    refuses_field(state, "      count: {n: 2, type: int32, enum: [1, 2]}\n",
                  "count:", "only strings have an enumeration");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_consistent_description_compiles),
        cmocka_unit_test(text_that_is_not_yaml_is_refused),
        cmocka_unit_test(an_unknown_key_is_refused),
        cmocka_unit_test(an_unknown_type_is_refused),
        cmocka_unit_test(a_field_that_stands_twice_is_refused),
        cmocka_unit_test(a_number_that_stands_twice_is_refused),
        cmocka_unit_test(a_missing_number_is_refused),
        cmocka_unit_test(a_list_key_that_is_no_field_is_refused),
        cmocka_unit_test(a_list_map_without_keys_is_refused),
        cmocka_unit_test(a_merge_key_that_is_no_field_is_refused),
        cmocka_unit_test(a_default_of_the_wrong_type_is_refused),
        cmocka_unit_test(a_default_outside_the_enumeration_is_refused),
        cmocka_unit_test(a_default_outside_the_range_is_refused),
        cmocka_unit_test(a_minimum_above_the_maximum_is_refused),
        cmocka_unit_test(a_column_that_leads_nowhere_is_refused),
        cmocka_unit_test(an_argument_of_a_column_that_leads_nowhere_is_refused),
        cmocka_unit_test(a_selectable_field_that_leads_nowhere_is_refused),
        cmocka_unit_test(an_unknown_verb_is_refused),
        cmocka_unit_test(an_unknown_scope_is_refused),
        cmocka_unit_test(a_resource_of_something_that_is_no_kind_is_refused),
        cmocka_unit_test(a_subresource_of_an_unknown_kind_is_refused),
        cmocka_unit_test(two_resources_of_one_kind_are_refused),
        cmocka_unit_test(short_names_that_clash_are_refused),
        cmocka_unit_test(a_type_inlined_in_itself_is_refused),
        cmocka_unit_test(an_enumeration_of_numbers_is_refused),
    };
    return cmocka_run_group_tests_name("schema compiler", tests, set_up, tear_down);
}
