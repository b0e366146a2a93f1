// SPDX-License-Identifier: Apache-2.0
#include "scheduler/disruption_budgets.h"

#include <string.h>

#include "common/alloc.h"
#include "common/selector.h"

static const struct api_resource budgets_resource = {"policy/v1", "poddisruptionbudgets",
                                                     "PodDisruptionBudget", true};

struct digest {
    struct selector *selector; /* NULL: it protects nothing. */
    json_t *disrupted;
    int64_t allowed;
};

static void *digest_of(const struct cached_object *object)
{
    cleanup(json_release)
    json_t *budget = json_parse(object->text, object->length, NULL);
    const json_t *status = json_object_get(budget, "status");
    struct digest *digest = allocate_struct(struct digest);
    digest->selector = selector_from_object(json_path(budget, "spec", "selector"), NULL);
    if (digest->selector != NULL && selector_is_everything(digest->selector)) {
        selector_free(steal(digest->selector));
    }
    digest->disrupted = json_incref(json_object_get(status, "disruptedPods"));
    digest->allowed = json_get_int(status, "disruptionsAllowed", 0);
    return digest;
}

static void digest_free(void *argument)
{
    struct digest *digest = argument;
    selector_free(digest->selector);
    json_decref(digest->disrupted);
    free(digest);
}

static const struct cached_object_class budget_class = {
    .digest = digest_of, .digest_free = digest_free, .drop_text = true};

struct informer *disruption_budgets_informer(struct informer_factory *informers)
{
    return informer_factory_get(informers, &budgets_resource, &budget_class, NULL);
}

struct disruption_budgets disruption_budgets_list(struct informer *informer)
{
    cleanup(cached_list_free)
    struct cached_list found = CACHED_LIST_INIT;
    indexer_select(informer_indexer(informer), NULL, NULL, &found);
    struct disruption_budgets budgets = {.list =
                                             allocate_zero(found.count + 1, sizeof *budgets.list)};
    for (size_t i = 0; i < found.count; i++) {
        const struct digest *digest = found.items[i]->digest;
        if (digest->selector != NULL) {
            budgets.list[budgets.count++] =
                (struct disruption_budget){.object = cached_object_ref(found.items[i]),
                                           .selector = digest->selector,
                                           .disrupted = digest->disrupted,
                                           .allowed = digest->allowed};
        }
    }
    return budgets;
}

void disruption_budgets_free(struct disruption_budgets *budgets)
{
    for (size_t i = 0; i < budgets->count; i++) {
        cached_object_unref(budgets->list[i].object);
    }
    free(budgets->list);
    *budgets = (struct disruption_budgets){0};
}

static bool counts_for(const struct disruption_budget *budget, const struct placed_pod *pod)
{
    const char *name = strchr(pod->key, '/') + 1;
    return strcmp(budget->object->namespace, pod->class->namespace) == 0 &&
           json_object_size(pod->class->labels) > 0 &&
           json_object_get(budget->disrupted, name) == NULL &&
           selector_matches_object(budget->selector, pod->class->labels);
}

void disruption_budgets_judge(const struct disruption_budgets *budgets,
                              struct placed_pod *const *pods, size_t count, bool *is_violating)
{
    for (size_t i = 0; i < budgets->count; i++) {
        budgets->list[i].left = budgets->list[i].allowed;
    }
    for (size_t n = 0; n < count; n++) {
        is_violating[n] = false;
        for (size_t i = 0; i < budgets->count; i++) {
            if (counts_for(&budgets->list[i], pods[n]) && --budgets->list[i].left < 0) {
                is_violating[n] = true;
            }
        }
    }
}
