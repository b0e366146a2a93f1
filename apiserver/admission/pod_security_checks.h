// SPDX-License-Identifier: Apache-2.0
/*
 * What the checks of the Pod Security Standards share: how they look at a pod, how they say what is
 * wrong, and their tables. People read the texts, and tools compare them: they are upstream's.
 */
#ifndef APISERVER_ADMISSION_POD_SECURITY_CHECKS_H
#define APISERVER_ADMISSION_POD_SECURITY_CHECKS_H

#include <limits.h>
#include <stdbool.h>

#include "apiserver/admission/pod_security.h"
#include "common/buffer.h"

/* A pod as the checks look at it: all its containers in one list. */
struct pod {
    int minor; /* The version of the standard. */
    const json_t *metadata, *spec;
    const json_t *security; /* Its securityContext. */
    const json_t **containers;
    size_t container_count, capacity;
};

/* What a check has found wrong. */
struct finding {
    const char *reason; /* From the table, unless the check says otherwise. */
    struct buffer detail;
};

/* Later than all versions, "latest" among them. */
enum { NEVER = INT_MAX };

struct pod_security_check {
    int from, before; /* The minor versions in which it holds. */
    /* A baseline check: from this version on, a restricted one takes its place at that level. */
    int replaced_from;
    const char *reason;
    /* Keeps to it; false with the detail. */
    bool (*check)(const struct pod *pod, struct finding *finding);
};

extern const struct pod_security_check pod_security_baseline[], pod_security_restricted[];
extern const size_t pod_security_baseline_count, pod_security_restricted_count;

/* ---- words ---- */

struct words {
    char **items; /* Owned. */
    size_t count, capacity;
};

#define WORDS_INIT ((struct words){0})

void words_add(struct words *words, const char *word); /* NULL is "". */
void words_free(struct words *words);                  /* Also fit for cleanup(). */
/* In order, each once. */
void words_sort(struct words *words);
void words_join(struct buffer *text, const struct words *words, const char *between);
/* "a", "b": the words are taken as they are. */
void words_join_quoted(struct buffer *text, const struct words *words);
/* 'one "a"', or 'many "a", "b"'. */
void words_add_counted(struct buffer *text, const char *one, const char *many,
                       const struct words *words);
/* container "a" */
void pod_add_containers(struct buffer *text, const struct words *names);
/* Who has set something: 'pod and container "a"'. */
void pod_add_setters(struct buffer *text, bool pod, const struct words *containers);
bool word_is_among(const char *word, const char *const *list, size_t count);

/* ---- looking at pods ---- */

bool pod_field_is_given(const json_t *value); /* Neither absent nor null. */
bool pod_field_is_text(const json_t *value);  /* A string that is not empty. */
const json_t *pod_container_security(const json_t *container);
bool pod_runs_windows(const struct pod *pod);

/* Looks at a container and its securityContext (or, without a container, at the pod's); adds the
 * offending values to 'values'. */
typedef bool (*pod_offence)(const json_t *container, const json_t *security, struct words *values);
/* The names of the containers that offend; the caller's. */
struct words pod_offenders(const struct pod *pod, pod_offence offends, struct words *values);

/* Adds a capability that is not among these. */
bool pod_adds_capability(const json_t *security, const char *const *allowed, size_t count,
                         struct words *values);
/* container "a" must not include "b" in securityContext.capabilities.add */
void pod_say_capabilities(struct buffer *text, const struct words *names, struct words *values);

/* Baseline: whoever gives a seccomp profile gives a known one. */
bool pod_check_seccomp(const struct pod *pod, struct finding *finding);

#endif
