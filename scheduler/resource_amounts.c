// SPDX-License-Identifier: Apache-2.0
#include "scheduler/resource_amounts.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/quantity.h"

static const int64_t assumed_milli_cpu = 100;
static const int64_t assumed_memory = 200 * 1024 * 1024;

/* ---- names ---- */

static struct {
    pthread_mutex_t lock; /* Guards the rest; texts once given out stay where they are. */
    char **texts;
    size_t count, capacity;
} names = {.lock = PTHREAD_MUTEX_INITIALIZER};

uint32_t resource_names_find(const char *name)
{
    pthread_mutex_lock(&names.lock);
    size_t i = 0;
    while (i < names.count && strcmp(names.texts[i], name) != 0) {
        i++;
    }
    if (i == names.count) {
        names.texts = grow(names.texts, names.count, &names.capacity, sizeof(char *));
        names.texts[names.count++] = duplicate(name);
    }
    pthread_mutex_unlock(&names.lock);
    return (uint32_t)i;
}

const char *resource_names_text(uint32_t name)
{
    pthread_mutex_lock(&names.lock);
    const char *text = names.texts[name];
    pthread_mutex_unlock(&names.lock);
    return text;
}

/* ---- arithmetic ---- */

static int64_t *extended_slot(struct resource_amounts *amounts, uint32_t name)
{
    for (uint32_t i = 0; i < amounts->extended_count; i++) {
        if (amounts->extended[i].name == name) {
            return &amounts->extended[i].value;
        }
    }
    size_t capacity = amounts->extended_capacity;
    amounts->extended =
        grow(amounts->extended, amounts->extended_count, &capacity, sizeof *amounts->extended);
    amounts->extended_capacity = (uint32_t)capacity;
    amounts->extended[amounts->extended_count] = (struct extended_amount){name, 0};
    return &amounts->extended[amounts->extended_count++].value;
}

void resource_amounts_add(struct resource_amounts *amounts, const struct resource_amounts *other,
                          int sign)
{
    amounts->milli_cpu += sign * other->milli_cpu;
    amounts->memory += sign * other->memory;
    amounts->ephemeral_storage += sign * other->ephemeral_storage;
    for (uint32_t i = 0; i < other->extended_count; i++) {
        *extended_slot(amounts, other->extended[i].name) += sign * other->extended[i].value;
    }
}

static void raise_to(int64_t *amount, int64_t other)
{
    *amount = *amount > other ? *amount : other;
}

void resource_amounts_max(struct resource_amounts *amounts, const struct resource_amounts *other)
{
    raise_to(&amounts->milli_cpu, other->milli_cpu);
    raise_to(&amounts->memory, other->memory);
    raise_to(&amounts->ephemeral_storage, other->ephemeral_storage);
    for (uint32_t i = 0; i < other->extended_count; i++) {
        raise_to(extended_slot(amounts, other->extended[i].name), other->extended[i].value);
    }
}

static void lower_to(int64_t *amount, int64_t limit)
{
    *amount = *amount < limit ? *amount : limit;
}

void resource_amounts_limit(struct resource_amounts *amounts, int64_t limit)
{
    lower_to(&amounts->milli_cpu, limit);
    lower_to(&amounts->memory, limit);
    lower_to(&amounts->ephemeral_storage, limit);
    for (uint32_t i = 0; i < amounts->extended_count; i++) {
        lower_to(&amounts->extended[i].value, limit);
    }
}

void resource_amounts_clear(struct resource_amounts *amounts)
{
    free(amounts->extended);
    *amounts = RESOURCE_AMOUNTS_INIT;
}

int64_t resource_amounts_extended(const struct resource_amounts *amounts, uint32_t name)
{
    for (uint32_t i = 0; i < amounts->extended_count; i++) {
        if (amounts->extended[i].name == name) {
            return amounts->extended[i].value;
        }
    }
    return 0;
}

/* Where an amount of that name is kept, and whether it counts in thousandths. NULL: nowhere. */
static int64_t *slot_of(struct resource_amounts *amounts, const char *name, bool *in_thousandths)
{
    *in_thousandths = strcmp(name, "cpu") == 0;
    return *in_thousandths                          ? &amounts->milli_cpu
           : strcmp(name, "memory") == 0            ? &amounts->memory
           : strcmp(name, "ephemeral-storage") == 0 ? &amounts->ephemeral_storage
           : strcmp(name, "pods") == 0              ? NULL
                                       : extended_slot(amounts, resource_names_find(name));
}

void resource_amounts_add_list(struct resource_amounts *amounts, const json_t *list)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)list, name, value) {
        struct quantity quantity;
        bool in_thousandths;
        int64_t *slot = slot_of(amounts, name, &in_thousandths);
        const char *text = json_string_value(value);
        if (slot != NULL && text != NULL && quantity_parse(text, &quantity)) {
            int64_t amount =
                in_thousandths ? quantity_milli_value(&quantity) : quantity_value(&quantity);
            lower_to(&amount, RESOURCE_AMOUNT_MAX);
            *slot += amount;
        }
    }
}

/* ---- pods ---- */

static void amounts_of_container(const json_t *container, bool assume,
                                 struct resource_amounts *amounts)
{
    const json_t *requests = json_path(container, "resources", "requests");
    resource_amounts_add_list(amounts, requests);
    if (assume && json_object_get(requests, "cpu") == NULL) {
        amounts->milli_cpu = assumed_milli_cpu;
    }
    if (assume && json_object_get(requests, "memory") == NULL) {
        amounts->memory = assumed_memory;
    }
}

static bool is_sidecar(const json_t *init_container)
{
    const char *policy = json_get_string(init_container, "restartPolicy");
    return policy != NULL && strcmp(policy, "Always") == 0;
}

static void sum_containers(const json_t *spec, bool assume, struct resource_amounts *total)
{
    struct resource_amounts sidecars = RESOURCE_AMOUNTS_INIT, starting = RESOURCE_AMOUNTS_INIT;
    size_t i;
    const json_t *container;
    json_array_foreach (json_object_get(spec, "containers"), i, container) {
        struct resource_amounts one = RESOURCE_AMOUNTS_INIT;
        amounts_of_container(container, assume, &one);
        resource_amounts_add(total, &one, 1);
        resource_amounts_limit(total, RESOURCE_AMOUNT_MAX);
        resource_amounts_clear(&one);
    }
    json_array_foreach (json_object_get(spec, "initContainers"), i, container) {
        struct resource_amounts one = RESOURCE_AMOUNTS_INIT;
        amounts_of_container(container, assume, &one);
        if (is_sidecar(container)) {
            resource_amounts_add(&sidecars, &one, 1);
            resource_amounts_limit(&sidecars, RESOURCE_AMOUNT_MAX);
            resource_amounts_max(&starting, &sidecars);
        } else {
            resource_amounts_add(&one, &sidecars, 1);
            resource_amounts_max(&starting, &one);
        }
        resource_amounts_clear(&one);
    }
    resource_amounts_add(total, &sidecars, 1);
    resource_amounts_max(total, &starting);
    resource_amounts_clear(&sidecars);
    resource_amounts_clear(&starting);
}

/* Amounts for the pod as a whole take the place of the containers' sums, name by name. */
static void apply_pod_level(const json_t *spec, struct resource_amounts *total)
{
    struct resource_amounts given = RESOURCE_AMOUNTS_INIT;
    const char *name;
    json_t *value;
    const json_t *requests = json_path(spec, "resources", "requests");
    resource_amounts_add_list(&given, requests);
    json_object_foreach ((json_t *)requests, name, value) {
        bool in_thousandths;
        int64_t *to = slot_of(total, name, &in_thousandths);
        const int64_t *from = slot_of(&given, name, &in_thousandths);
        if (to != NULL) {
            *to = *from;
        }
    }
    resource_amounts_clear(&given);
}

void resource_amounts_of_pod(const json_t *spec, struct resource_amounts *amounts,
                             struct resource_amounts *assumed)
{
    const json_t *overhead = json_object_get(spec, "overhead");
    sum_containers(spec, false, amounts);
    apply_pod_level(spec, amounts);
    resource_amounts_add_list(amounts, overhead);
    resource_amounts_limit(amounts, RESOURCE_AMOUNT_MAX);
    sum_containers(spec, true, assumed);
    apply_pod_level(spec, assumed);
    resource_amounts_add_list(assumed, overhead);
    resource_amounts_limit(assumed, RESOURCE_AMOUNT_MAX);
}
