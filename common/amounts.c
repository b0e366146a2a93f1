// SPDX-License-Identifier: Apache-2.0
#include "common/amounts.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

void amounts_clear(struct amounts *amounts)
{
    for (size_t i = 0; i < amounts->count; i++) {
        free(amounts->list[i].name);
    }
    free(amounts->list);
    *amounts = AMOUNTS_INIT;
}

static struct quantity *find(const struct amounts *amounts, const char *name)
{
    for (size_t i = 0; i < amounts->count; i++) {
        if (strcmp(amounts->list[i].name, name) == 0) {
            return &amounts->list[i].quantity;
        }
    }
    return NULL;
}

const struct quantity *amounts_find(const struct amounts *amounts, const char *name)
{
    return find(amounts, name);
}

void amounts_set(struct amounts *amounts, const char *name, const struct quantity *quantity)
{
    struct quantity *present = find(amounts, name);
    if (present != NULL) {
        *present = *quantity;
        return;
    }
    amounts->list =
        grow(amounts->list, amounts->count, &amounts->capacity, sizeof amounts->list[0]);
    amounts->list[amounts->count++] =
        (struct amount){.name = duplicate(name), .quantity = *quantity};
}

void amounts_add(struct amounts *amounts, const char *name, const struct quantity *quantity)
{
    struct quantity *present = find(amounts, name);
    if (present == NULL) {
        amounts_set(amounts, name, quantity);
        return;
    }
    if (present->nano == 0) {
        present->format = quantity->format;
    }
    present->nano += quantity->nano;
}

void amounts_add_all(struct amounts *amounts, const struct amounts *more)
{
    for (size_t i = 0; i < more->count; i++) {
        amounts_add(amounts, more->list[i].name, &more->list[i].quantity);
    }
}

void amounts_raise_all(struct amounts *amounts, const struct amounts *others)
{
    for (size_t i = 0; i < others->count; i++) {
        const struct quantity *present = find(amounts, others->list[i].name);
        if (present == NULL || quantity_compare(present, &others->list[i].quantity) < 0) {
            amounts_set(amounts, others->list[i].name, &others->list[i].quantity);
        }
    }
}

void amounts_add_tree(struct amounts *amounts, const json_t *list)
{
    const char *name;
    json_t *text;
    json_object_foreach ((json_t *)list, name, text) {
        struct quantity quantity;
        if (json_is_string(text) && quantity_parse(json_string_value(text), &quantity)) {
            amounts_add(amounts, name, &quantity);
        }
    }
}

json_t *amounts_tree(const struct amounts *amounts)
{
    json_t *tree = json_object();
    for (size_t i = 0; i < amounts->count; i++) {
        char text[QUANTITY_SIZE];
        quantity_format(&amounts->list[i].quantity, text);
        json_object_set_new(tree, amounts->list[i].name, json_string(text));
    }
    return tree;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct amount *)a)->name, ((const struct amount *)b)->name);
}

void amounts_sort(struct amounts *amounts)
{
    if (amounts->count > 0) {
        qsort(amounts->list, amounts->count, sizeof amounts->list[0], compare_names);
    }
}

/* ---- pods ---- */

static bool is_sidecar(const json_t *container)
{
    const char *policy = json_get_string(container, "restartPolicy");
    return policy != NULL && strcmp(policy, "Always") == 0;
}

/* While init containers run, in their order, the sidecars before them run too. */
static void take_init_containers(const json_t *spec, const char *kind, struct amounts *amounts)
{
    cleanup(amounts_clear)
    struct amounts sidecars = AMOUNTS_INIT;
    cleanup(amounts_clear)
    struct amounts peak = AMOUNTS_INIT;
    size_t i;
    const json_t *container;
    json_array_foreach (json_object_get(spec, "initContainers"), i, container) {
        cleanup(amounts_clear)
        struct amounts now = AMOUNTS_INIT;
        const json_t *list = json_path(container, "resources", kind);
        if (is_sidecar(container)) {
            amounts_add_tree(&sidecars, list);
        } else {
            amounts_add_tree(&now, list);
        }
        amounts_add_all(&now, &sidecars);
        amounts_raise_all(&peak, &now);
    }
    amounts_add_all(amounts, &sidecars);
    amounts_raise_all(amounts, &peak);
}

/* What can be said of a pod as a whole. */
static bool is_of_pods(const char *name)
{
    return strcmp(name, "cpu") == 0 || strcmp(name, "memory") == 0 ||
           strncmp(name, "hugepages-", strlen("hugepages-")) == 0;
}

void amounts_of_pod(const json_t *spec, const char *kind, struct amounts *amounts)
{
    size_t i;
    const json_t *container;
    json_array_foreach (json_object_get(spec, "containers"), i, container) {
        amounts_add_tree(amounts, json_path(container, "resources", kind));
    }
    take_init_containers(spec, kind, amounts);
    cleanup(amounts_clear)
    struct amounts whole = AMOUNTS_INIT;
    amounts_add_tree(&whole, json_path(spec, "resources", kind));
    for (i = 0; i < whole.count; i++) {
        if (is_of_pods(whole.list[i].name)) {
            amounts_set(amounts, whole.list[i].name, &whole.list[i].quantity);
        }
    }
}

void amounts_of_pod_with_overhead(const json_t *spec, const char *kind, struct amounts *amounts)
{
    amounts_of_pod(spec, kind, amounts);
    bool limits = strcmp(kind, "limits") == 0;
    cleanup(amounts_clear)
    struct amounts overhead = AMOUNTS_INIT;
    amounts_add_tree(&overhead, json_object_get(spec, "overhead"));
    for (size_t i = 0; i < overhead.count; i++) {
        if (!limits || amounts_find(amounts, overhead.list[i].name) != NULL) {
            amounts_add(amounts, overhead.list[i].name, &overhead.list[i].quantity);
        }
    }
}
