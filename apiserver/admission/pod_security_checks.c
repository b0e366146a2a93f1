// SPDX-License-Identifier: Apache-2.0
#include "apiserver/admission/pod_security_checks.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

/* ---- lists of words ---- */

void words_add(struct words *words, const char *word)
{
    words->items = grow(words->items, words->count, &words->capacity, sizeof *words->items);
    words->items[words->count++] = duplicate(word != NULL ? word : "");
}

void words_free(struct words *words)
{
    for (size_t i = 0; i < words->count; i++) {
        free(words->items[i]);
    }
    free(words->items);
    *words = WORDS_INIT;
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void words_sort(struct words *words)
{
    if (words->count == 0) {
        return;
    }
    qsort(words->items, words->count, sizeof *words->items, compare_words);
    size_t kept = 1;
    for (size_t i = 1; i < words->count; i++) {
        if (strcmp(words->items[i], words->items[kept - 1]) == 0) {
            free(words->items[i]);
        } else {
            words->items[kept++] = words->items[i];
        }
    }
    words->count = kept;
}

void words_join(struct buffer *text, const struct words *words, const char *between)
{
    for (size_t i = 0; i < words->count; i++) {
        buffer_add_text(text, i > 0 ? between : "");
        buffer_add_text(text, words->items[i]);
    }
}

void words_join_quoted(struct buffer *text, const struct words *words)
{
    buffer_add_char(text, '"');
    words_join(text, words, "\", \"");
    buffer_add_char(text, '"');
}

void words_add_counted(struct buffer *text, const char *one, const char *many,
                       const struct words *words)
{
    buffer_addf(text, "%s ", words->count == 1 ? one : many);
    words_join_quoted(text, words);
}

void pod_add_containers(struct buffer *text, const struct words *names)
{
    words_add_counted(text, "container", "containers", names);
}

void pod_add_setters(struct buffer *text, bool pod, const struct words *containers)
{
    buffer_add_text(text, pod ? "pod" : "");
    buffer_add_text(text, pod && containers->count > 0 ? " and " : "");
    if (containers->count > 0) {
        pod_add_containers(text, containers);
    }
}

bool word_is_among(const char *word, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(word, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- looking at pods ---- */

bool pod_field_is_given(const json_t *value)
{
    return value != NULL && !json_is_null(value);
}

bool pod_field_is_text(const json_t *value)
{
    return json_string_length(value) > 0;
}

static void gather(struct pod *pod, const char *field)
{
    size_t i;
    const json_t *container;
    json_array_foreach (json_object_get(pod->spec, field), i, container) {
        pod->containers =
            grow(pod->containers, pod->container_count, &pod->capacity, sizeof(json_t *));
        pod->containers[pod->container_count++] = container;
    }
}

const json_t *pod_container_security(const json_t *container)
{
    return json_object_get(container, "securityContext");
}

struct words pod_offenders(const struct pod *pod, pod_offence offends, struct words *values)
{
    struct words names = WORDS_INIT;
    for (size_t i = 0; i < pod->container_count; i++) {
        const json_t *container = pod->containers[i];
        if (offends(container, pod_container_security(container), values)) {
            words_add(&names, json_get_string(container, "name"));
        }
    }
    return names;
}

bool pod_runs_windows(const struct pod *pod)
{
    const char *os = json_path_string(pod->spec, "os", "name");
    return os != NULL && strcmp(os, "windows") == 0;
}

/* ---- capabilities ---- */

bool pod_adds_capability(const json_t *security, const char *const *allowed, size_t count,
                         struct words *values)
{
    bool found = false;
    size_t i;
    const json_t *capability;
    json_array_foreach (json_path(security, "capabilities", "add"), i, capability) {
        const char *name = json_string_value(capability);
        if (name != NULL && !word_is_among(name, allowed, count)) {
            words_add(values, name);
            found = true;
        }
    }
    return found;
}

void pod_say_capabilities(struct buffer *text, const struct words *names, struct words *values)
{
    words_sort(values);
    pod_add_containers(text, names);
    buffer_add_literal(text, " must not include ");
    words_join_quoted(text, values);
    buffer_add_literal(text, " in securityContext.capabilities.add");
}

/* ---- standards ---- */

static bool holds(const struct pod_security_check *check,
                  const struct pod_security_standard *standard)
{
    bool is_replaced =
        standard->level == POD_SECURITY_RESTRICTED && standard->minor >= check->replaced_from;
    return standard->minor >= check->from && standard->minor < check->before && !is_replaced;
}

static void report(const struct finding *finding, struct buffer *reasons, struct buffer *details)
{
    if (reasons != NULL) {
        buffer_addf(reasons, "%s%s", reasons->length > 0 ? ", " : "", finding->reason);
    }
    if (details != NULL) {
        buffer_addf(details, "%s%s (%s)", details->length > 0 ? ", " : "", finding->reason,
                    buffer_text(&finding->detail));
    }
}

static bool passes(const struct pod_security_standard *standard, const struct pod *pod,
                   const struct pod_security_check *checks, size_t count, struct buffer *reasons,
                   struct buffer *details)
{
    bool all = true;
    for (size_t i = 0; i < count; i++) {
        struct finding finding = {.reason = checks[i].reason};
        if (holds(&checks[i], standard) && !checks[i].check(pod, &finding)) {
            report(&finding, reasons, details);
            all = false;
        }
        buffer_free(&finding.detail);
    }
    return all;
}

bool pod_security_allows(const struct pod_security_standard *standard, const json_t *metadata,
                         const json_t *spec, struct buffer *reasons, struct buffer *details)
{
    if (standard->level == POD_SECURITY_PRIVILEGED) {
        return true;
    }
    struct pod pod = {.minor = standard->minor,
                      .metadata = metadata,
                      .spec = spec,
                      .security = json_object_get(spec, "securityContext")};
    gather(&pod, "initContainers");
    gather(&pod, "containers");
    gather(&pod, "ephemeralContainers");
    bool allowed = passes(standard, &pod, pod_security_baseline, pod_security_baseline_count,
                          reasons, details);
    if (standard->level == POD_SECURITY_RESTRICTED) {
        allowed &= passes(standard, &pod, pod_security_restricted, pod_security_restricted_count,
                          reasons, details);
    }
    free(pod.containers);
    return allowed;
}
