// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/config.h"
#include "apiserver/registry/validation/resources.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

/* The lists of an item; each resource may stand in several. */
enum list { MIN, MAX, DEFAULT, DEFAULT_REQUEST, RATIO, LISTS };

static const char *const names[LISTS] = {"min", "max", "default", "defaultRequest",
                                         "maxLimitRequestRatio"};

/* ---- one resource ---- */

/* What the lists of the item say about one resource. */
struct view {
    const char *resource;
    const json_t *amounts[LISTS]; /* NULL where it does not stand. */
    struct quantity quantities[LISTS];
};

static void read_view(const json_t *item, const char *resource, struct view *view)
{
    view->resource = resource;
    for (size_t i = 0; i < LISTS; i++) {
        view->amounts[i] = json_object_get(json_object_get(item, names[i]), resource);
        view->quantities[i] = resource_amount(view->amounts[i]);
    }
}

static bool exceeds(const struct view *view, enum list a, enum list b)
{
    return view->amounts[a] != NULL && view->amounts[b] != NULL &&
           quantity_compare(&view->quantities[a], &view->quantities[b]) > 0;
}

/* What must not exceed what; in which list that is reported, with which of the amounts, and how
 * the two are called. */
static const struct {
    enum list less, more, reported, shown;
    const char *less_name, *more_name;
} orders[] = {
    {MIN, MAX, MIN, MIN, "min value", "max value"},
    {MIN, DEFAULT_REQUEST, DEFAULT_REQUEST, DEFAULT_REQUEST, "min value", "default request value"},
    {DEFAULT_REQUEST, MAX, DEFAULT_REQUEST, DEFAULT_REQUEST, "default request value", "max value"},
    {DEFAULT_REQUEST, DEFAULT, DEFAULT_REQUEST, DEFAULT_REQUEST, "default request value",
     "default limit value"},
    {MIN, DEFAULT, DEFAULT, MIN, "min value", "default value"},
    {DEFAULT, MAX, DEFAULT, MAX, "default value", "max value"},
};

/* No limit can be more times its request than the largest is the smallest. */
static void validate_ratio(const struct view *view, const struct field_path *path,
                           struct field_errors *errors)
{
    static const struct quantity one = {.nano = 1000000000};
    const struct field_path *here = FIELD_KEY(FIELD(path, names[RATIO]), view->resource);
    const json_t *ratio = view->amounts[RATIO];
    if (ratio == NULL) {
        return;
    }
    if (quantity_compare(&view->quantities[RATIO], &one) < 0) {
        field_error(errors, FIELD_INVALID, here, ratio, "ratio %s is less than 1",
                    json_string_value(ratio));
    }
    if (view->amounts[MIN] == NULL || view->amounts[MAX] == NULL ||
        view->quantities[MIN].nano == 0) {
        return;
    }
    double most = (double)view->quantities[MAX].nano / (double)view->quantities[MIN].nano;
    if ((double)view->quantities[RATIO].nano / 1e9 > most) {
        field_error(errors, FIELD_INVALID, here, ratio, "ratio %s is greater than max/min = %f",
                    json_string_value(ratio), most);
    }
}

static void validate_resource(const struct view *view, const struct field_path *path,
                              struct field_errors *errors)
{
    for (size_t i = 0; i < array_length(orders); i++) {
        if (exceeds(view, orders[i].less, orders[i].more)) {
            field_error(errors, FIELD_INVALID,
                        FIELD_KEY(FIELD(path, names[orders[i].reported]), view->resource),
                        view->amounts[orders[i].shown], "%s %s is greater than %s %s",
                        orders[i].less_name, json_string_value(view->amounts[orders[i].less]),
                        orders[i].more_name, json_string_value(view->amounts[orders[i].more]));
        }
    }
    validate_ratio(view, path, errors);
    if (!resource_may_be_overcommitted(view->resource) && view->amounts[DEFAULT] != NULL &&
        view->amounts[DEFAULT_REQUEST] != NULL &&
        quantity_compare(&view->quantities[DEFAULT], &view->quantities[DEFAULT_REQUEST]) != 0) {
        field_error(errors, FIELD_INVALID,
                    FIELD_KEY(FIELD(path, names[DEFAULT_REQUEST]), view->resource),
                    view->amounts[DEFAULT_REQUEST],
                    "default value %s must equal to defaultRequest value %s in %s",
                    json_string_value(view->amounts[DEFAULT]),
                    json_string_value(view->amounts[DEFAULT_REQUEST]), view->resource);
    }
}

/* ---- items ---- */

static void validate_type(const char *type, const struct field_path *path,
                          struct field_errors *errors)
{
    static const char *const standard[] = {"Pod", "Container", "PersistentVolumeClaim", NULL};
    cleanup(free_char)
    char *message = names_check_qualified(type);
    check_invalid_text(type, message, path, errors);
    if (message == NULL && strchr(type, '/') == NULL && !check_one_of(type, standard)) {
        check_invalid_text(type, "must be a standard limit type or fully qualified", path, errors);
    }
}

static void validate_names(const json_t *amounts, bool of_containers, const struct field_path *path,
                           struct field_errors *errors)
{
    const char *name;
    json_t *amount;
    json_object_foreach ((json_t *)amounts, name, amount) {
        if (of_containers) {
            validate_container_resource_name(name, FIELD_KEY(path, name), errors);
        } else {
            validate_resource_name(name, FIELD_KEY(path, name), errors);
        }
    }
}

static void validate_item(const json_t *item, const struct field_path *path,
                          struct field_errors *errors)
{
    bool of_pods = check_is(item, "type", "Pod"),
         of_containers = check_is(item, "type", "Container");
    cleanup(json_release)
    json_t *resources = json_object();
    for (size_t i = 0; i < LISTS; i++) {
        json_t *amounts = json_object_get(item, names[i]);
        if (of_pods && (i == DEFAULT || i == DEFAULT_REQUEST)) {
            if (json_object_size(amounts) > 0) {
                field_error(errors, FIELD_FORBIDDEN, FIELD(path, names[i]), NULL,
                            "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        validate_names(amounts, of_pods || of_containers, FIELD(path, names[i]), errors);
        json_object_update(resources, amounts ? amounts : resources);
    }
    if (check_is(item, "type", "PersistentVolumeClaim") &&
        !check_has(json_object_get(item, "min"), "storage") &&
        !check_has(json_object_get(item, "max"), "storage")) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "limits"), NULL,
                    "either minimum or maximum storage value is required, but neither was "
                    "provided");
    }
    const char *name;
    json_t *value;
    json_object_foreach (resources, name, value) {
        struct view view;
        read_view(item, name, &view);
        if (of_pods) {
            view.amounts[DEFAULT] = view.amounts[DEFAULT_REQUEST] = NULL;
        }
        validate_resource(&view, path, errors);
    }
}

void validate_limit_range(const struct write *write, struct field_errors *errors)
{
    const json_t *items = json_path(write->object, "spec", "limits");
    const struct field_path *path = FIELD(FIELD(NULL, "spec"), "limits");
    struct map seen = MAP_INIT;
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const struct field_path *here = FIELD_INDEX(path, i);
        const char *type = check_text(item, "type");
        validate_type(type, FIELD(here, "type"), errors);
        if (map_set(&seen, type, &seen) != NULL) {
            check_duplicate_text(type, FIELD(here, "type"), errors);
        }
        validate_item(item, here, errors);
    }
    map_free(&seen, NULL);
}
