// SPDX-License-Identifier: Apache-2.0
#include "apiserver/admission/limit_range.h"

#include <string.h>

#include "common/alloc.h"
#include "common/amounts.h"
#include "common/buffer.h"
#include "common/json.h"

static const char annotation[] = "kubernetes.io/limit-ranger";

static bool is_of_type(const json_t *item, const char *type)
{
    const char *present = json_get_string(item, "type");
    return present != NULL && strcmp(present, type) == 0;
}

/* ---- defaults ---- */

/* Of the items for containers, the later ones first in rank. */
static json_t *defaults_of(const json_t *range, const char *member)
{
    json_t *defaults = json_object();
    size_t i;
    const json_t *item;
    json_array_foreach (json_path(range, "spec", "limits"), i, item) {
        json_t *list = json_object_get(item, member);
        if (is_of_type(item, "Container") && list != NULL) {
            json_object_update(defaults, list);
        }
    }
    return defaults;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "cpu, memory limit for container web", joined to what 'told' holds. */
static void tell(struct buffer *told, const char **names, size_t count, const char *word,
                 const char *what, const json_t *container)
{
    const char *name = json_get_string(container, "name");
    qsort(names, count, sizeof names[0], compare_texts);
    for (size_t i = 0; i < count; i++) {
        buffer_addf(told, "%s%s", i > 0 ? ", " : told->length > 0 ? "; " : "", names[i]);
    }
    buffer_addf(told, " %s for %s %s", word, what, name != NULL ? name : "");
}

static void free_names(const char ***names)
{
    free(*names);
}

/* Fills "requests" or "limits" of a container. */
static void fill(json_t *container, const char *member, const char *word, const char *what,
                 json_t *defaults, struct buffer *told)
{
    size_t count = 0;
    cleanup(free_names)
    const char **names = allocate((json_object_size(defaults) + 1) * sizeof names[0]);
    const json_t *present = json_path(container, "resources", member);
    const char *name;
    json_t *quantity;
    json_object_foreach (defaults, name, quantity) {
        if (json_object_get(present, name) == NULL) {
            names[count++] = name;
        }
    }
    if (count == 0) {
        return;
    }
    json_t *list = json_get_or_add_object(json_get_or_add_object(container, "resources"), member);
    for (size_t i = 0; i < count; i++) {
        json_object_set(list, names[i], json_object_get(defaults, names[i]));
    }
    tell(told, names, count, word, what, container);
}

void limit_range_apply(const json_t *range, json_t *pod)
{
    static const struct {
        const char *list, *what;
    } kinds[] = {{"containers", "container"}, {"initContainers", "init container"}};
    cleanup(json_release)
    json_t *requests = defaults_of(range, "defaultRequest");
    cleanup(json_release)
    json_t *limits = defaults_of(range, "default");
    cleanup(buffer_free)
    struct buffer told = BUFFER_INIT;
    for (size_t kind = 0; kind < array_length(kinds); kind++) {
        size_t i;
        json_t *container;
        json_array_foreach (json_path(pod, "spec", kinds[kind].list), i, container) {
            fill(container, "requests", "request", kinds[kind].what, requests, &told);
            fill(container, "limits", "limit", kinds[kind].what, limits, &told);
        }
    }
    if (told.length > 0) {
        cleanup(free_char)
        char *text = format("LimitRanger plugin set: %s", told.bytes);
        json_object_set_new(
            json_get_or_add_object(json_get_or_add_object(pod, "metadata"), "annotations"),
            annotation, json_string(text));
    }
}

/* ---- limits ---- */

/* One resource of a container, pod or claim against one limit; absent amounts are NULL. */
struct subject {
    const char *type, *resource;
    struct quantity enforced;
    const struct quantity *request, *limit;
    struct buffer *problems; /* Each ends with a NUL. */
};

static void problem(const struct subject *subject, const char *text, ...)
    __attribute__((format(printf, 2, 3)));
static void problem(const struct subject *subject, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    cleanup(free_char)
    char *sentence = format_list(text, arguments);
    va_end(arguments);
    buffer_add(subject->problems, sentence, strlen(sentence) + 1);
}

/* "minimum cpu usage per Container is 1, but request is 2". */
static void problem_of_amount(const struct subject *subject, const char *bound, const char *which,
                              const struct quantity *quantity)
{
    char enforced[QUANTITY_SIZE], text[QUANTITY_SIZE];
    quantity_format(&subject->enforced, enforced);
    quantity_format(quantity, text);
    problem(subject, "%s %s usage per %s is %s, but %s is %s", bound, subject->resource,
            subject->type, enforced, which, text);
}

static void problem_of_absence(const struct subject *subject, const char *bound, const char *which)
{
    char enforced[QUANTITY_SIZE];
    quantity_format(&subject->enforced, enforced);
    problem(subject, "%s %s usage per %s is %s.  No %s is specified", bound, subject->resource,
            subject->type, enforced, which);
}

static void check_min(const struct subject *subject)
{
    if (subject->request == NULL) {
        problem_of_absence(subject, "minimum", "request");
    } else if (quantity_compare(subject->request, &subject->enforced) < 0) {
        problem_of_amount(subject, "minimum", "request", subject->request);
    } else if (subject->limit != NULL && quantity_compare(subject->limit, &subject->enforced) < 0) {
        problem_of_amount(subject, "minimum", "limit", subject->limit);
    }
}

static void check_max(const struct subject *subject)
{
    if (subject->limit == NULL) {
        problem_of_absence(subject, "maximum", "limit");
    } else if (quantity_compare(subject->limit, &subject->enforced) > 0) {
        problem_of_amount(subject, "maximum", "limit", subject->limit);
    } else if (subject->request != NULL &&
               quantity_compare(subject->request, &subject->enforced) > 0) {
        problem_of_amount(subject, "maximum", "request", subject->request);
    }
}

/* Claims have no limits. */
static void check_max_request(const struct subject *subject)
{
    if (subject->request == NULL) {
        problem_of_absence(subject, "maximum", "request");
    } else if (quantity_compare(subject->request, &subject->enforced) > 0) {
        problem_of_amount(subject, "maximum", "request", subject->request);
    }
}

static void check_ratio(const struct subject *subject)
{
    char enforced[QUANTITY_SIZE];
    quantity_format(&subject->enforced, enforced);
    const char *absent = subject->request == NULL || subject->request->nano == 0 ? "request"
                         : subject->limit == NULL || subject->limit->nano == 0   ? "limit"
                                                                                 : NULL;
    if (absent != NULL) {
        problem(subject,
                "%s max limit to request ratio per %s is %s, but no %s is specified or %s is 0",
                subject->resource, subject->type, enforced, absent, absent);
        return;
    }
    double ratio = (double)subject->limit->nano / (double)subject->request->nano;
    if (ratio > (double)subject->enforced.nano / 1e9) {
        problem(subject, "%s max limit to request ratio per %s is %s, but provided ratio is %f",
                subject->resource, subject->type, enforced, ratio);
    }
}

/* All resources that one member of an item speaks of. */
static void check_member(const json_t *item, const char *member, const struct amounts *requests,
                         const struct amounts *limits, void (*check)(const struct subject *),
                         struct buffer *problems)
{
    const char *resource;
    json_t *text;
    json_object_foreach (json_object_get(item, member), resource, text) {
        struct subject subject = {.type = json_get_string(item, "type"),
                                  .resource = resource,
                                  .request = amounts_find(requests, resource),
                                  .limit = amounts_find(limits, resource),
                                  .problems = problems};
        if (json_is_string(text) && quantity_parse(json_string_value(text), &subject.enforced)) {
            check(&subject);
        }
    }
}

static void check_item(const json_t *item, const struct amounts *requests,
                       const struct amounts *limits, struct buffer *problems)
{
    check_member(item, "min", requests, limits, check_min, problems);
    check_member(item, "max", requests, limits, check_max, problems);
    check_member(item, "maxLimitRequestRatio", requests, limits, check_ratio, problems);
}

static void check_containers(const json_t *item, const json_t *containers, struct buffer *problems)
{
    size_t i;
    const json_t *container;
    json_array_foreach (containers, i, container) {
        cleanup(amounts_clear)
        struct amounts requests = AMOUNTS_INIT;
        cleanup(amounts_clear)
        struct amounts limits = AMOUNTS_INIT;
        amounts_add_tree(&requests, json_path(container, "resources", "requests"));
        amounts_add_tree(&limits, json_path(container, "resources", "limits"));
        check_item(item, &requests, &limits, problems);
    }
}

static void check_pod(const json_t *item, const json_t *spec, struct buffer *problems)
{
    cleanup(amounts_clear)
    struct amounts requests = AMOUNTS_INIT;
    cleanup(amounts_clear)
    struct amounts limits = AMOUNTS_INIT;
    amounts_of_pod(spec, "requests", &requests);
    amounts_of_pod(spec, "limits", &limits);
    check_item(item, &requests, &limits, problems);
}

/* One problem as it is, several in brackets, each once. */
static char *join(const struct buffer *problems)
{
    cleanup(json_release)
    json_t *different = json_array();
    for (size_t at = 0; at < problems->length; at += strlen(problems->bytes + at) + 1) {
        if (!json_array_has_string(different, problems->bytes + at)) {
            json_array_append_new(different, json_string(problems->bytes + at));
        }
    }
    size_t count = json_array_size(different), i;
    const json_t *sentence;
    cleanup(buffer_free)
    struct buffer joined = BUFFER_INIT;
    json_array_foreach (different, i, sentence) {
        buffer_addf(&joined, "%s%s",
                    i > 0       ? ", "
                    : count > 1 ? "["
                                : "",
                    json_string_value(sentence));
    }
    if (count > 1) {
        buffer_add_text(&joined, "]");
    }
    return count > 0 ? buffer_steal(&joined) : NULL;
}

char *limit_range_refuse_pod(const json_t *range, const json_t *pod)
{
    cleanup(buffer_free)
    struct buffer problems = BUFFER_INIT;
    const json_t *spec = json_object_get(pod, "spec");
    size_t i;
    const json_t *item;
    json_array_foreach (json_path(range, "spec", "limits"), i, item) {
        if (is_of_type(item, "Container")) {
            check_containers(item, json_object_get(spec, "containers"), &problems);
            check_containers(item, json_object_get(spec, "initContainers"), &problems);
        } else if (is_of_type(item, "Pod")) {
            check_pod(item, spec, &problems);
        }
    }
    return join(&problems);
}

char *limit_range_refuse_claim(const json_t *range, const json_t *claim)
{
    cleanup(buffer_free)
    struct buffer problems = BUFFER_INIT;
    cleanup(amounts_clear)
    struct amounts requests = AMOUNTS_INIT;
    const struct amounts none = AMOUNTS_INIT;
    amounts_add_tree(&requests, json_path(claim, "spec", "resources", "requests"));
    size_t i;
    const json_t *item;
    json_array_foreach (json_path(range, "spec", "limits"), i, item) {
        if (is_of_type(item, "PersistentVolumeClaim")) {
            check_member(item, "min", &requests, &none, check_min, &problems);
            check_member(item, "max", &requests, &none, check_max_request, &problems);
        }
    }
    return join(&problems);
}
