// SPDX-License-Identifier: Apache-2.0
/* The checks that the level "restricted" adds: what a pod must give up of its own accord. Pods of
 * Windows nodes are let off, since 1.25, what Windows doesn't know. */
#include <string.h>

#include "apiserver/admission/pod_security_checks.h"
#include "common/alloc.h"
#include "common/json.h"

static bool may_escalate(const json_t *container, const json_t *security, struct words *values)
{
    (void)container;
    (void)values;
    return !json_is_false(json_object_get(security, "allowPrivilegeEscalation"));
}

static bool check_escalation(const struct pod *pod, struct finding *finding)
{
    cleanup(words_free)
    struct words names = pod_offenders(pod, may_escalate, NULL);
    if (names.count > 0) {
        pod_add_containers(&finding->detail, &names);
        buffer_add_literal(&finding->detail,
                           " must set securityContext.allowPrivilegeEscalation=false");
    }
    return names.count == 0;
}

static bool check_escalation_of_1_25(const struct pod *pod, struct finding *finding)
{
    return pod_runs_windows(pod) || check_escalation(pod, finding);
}

static bool keeps_capabilities(const json_t *container, const json_t *security,
                               struct words *values)
{
    (void)container;
    (void)values;
    return !json_array_has_string(json_path(security, "capabilities", "drop"), "ALL");
}

static bool adds_beyond_ports(const json_t *container, const json_t *security, struct words *values)
{
    static const char *const allowed[] = {"NET_BIND_SERVICE"};
    (void)container;
    return pod_adds_capability(security, allowed, array_length(allowed), values);
}

static bool check_capabilities(const struct pod *pod, struct finding *finding)
{
    cleanup(words_free)
    struct words added = WORDS_INIT;
    cleanup(words_free)
    struct words keeping = pod_offenders(pod, keeps_capabilities, NULL);
    cleanup(words_free)
    struct words adding = pod_offenders(pod, adds_beyond_ports, &added);
    if (keeping.count > 0) {
        pod_add_containers(&finding->detail, &keeping);
        buffer_add_literal(&finding->detail,
                           " must set securityContext.capabilities.drop=[\"ALL\"]");
    }
    if (adding.count > 0) {
        buffer_add_text(&finding->detail, keeping.count > 0 ? "; " : "");
        pod_say_capabilities(&finding->detail, &adding, &added);
    }
    return keeping.count == 0 && adding.count == 0;
}

static bool check_capabilities_of_1_25(const struct pod *pod, struct finding *finding)
{
    return pod_runs_windows(pod) || check_capabilities(pod, finding);
}

/* ---- volumes ---- */

/* The type of a volume that is not for everybody; NULL when it is. */
static const char *restricted_type(const json_t *volume)
{
    static const char *const allowed[] = {"configMap", "csi",       "downwardAPI",
                                          "emptyDir",  "ephemeral", "persistentVolumeClaim",
                                          "projected", "secret"};
    static const char *const restricted[] = {
        "hostPath",
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "gitRepo",
        "nfs",
        "iscsi",
        "glusterfs",
        "rbd",
        "flexVolume",
        "cinder",
        "cephfs",
        "flocker",
        "fc",
        "azureFile",
        "vsphereVolume",
        "quobyte",
        "azureDisk",
        "photonPersistentDisk",
        "portworxVolume",
        "scaleIO",
        "storageos",
    };
    for (size_t i = 0; i < array_length(allowed); i++) {
        if (pod_field_is_given(json_object_get(volume, allowed[i]))) {
            return NULL;
        }
    }
    for (size_t i = 0; i < array_length(restricted); i++) {
        if (pod_field_is_given(json_object_get(volume, restricted[i]))) {
            return restricted[i];
        }
    }
    return "unknown";
}

static bool check_volumes(const struct pod *pod, struct finding *finding)
{
    cleanup(words_free)
    struct words names = WORDS_INIT;
    cleanup(words_free)
    struct words types = WORDS_INIT;
    size_t i;
    const json_t *volume;
    json_array_foreach (json_object_get(pod->spec, "volumes"), i, volume) {
        const char *type = restricted_type(volume);
        if (type != NULL) {
            words_add(&names, json_get_string(volume, "name"));
            words_add(&types, type);
        }
    }
    if (names.count == 0) {
        return true;
    }
    words_sort(&types);
    words_add_counted(&finding->detail, "volume", "volumes", &names);
    buffer_addf(&finding->detail, " %s ", names.count == 1 ? "uses" : "use");
    words_add_counted(&finding->detail, "restricted volume type", "restricted volume types",
                      &types);
    return false;
}

/* ---- users ---- */

static bool wants_root(const json_t *container, const json_t *security, struct words *values)
{
    (void)container;
    (void)values;
    return json_is_false(json_object_get(security, "runAsNonRoot"));
}

static bool leaves_root_open(const json_t *container, const json_t *security, struct words *values)
{
    (void)container;
    (void)values;
    return !pod_field_is_given(json_object_get(security, "runAsNonRoot"));
}

static bool check_non_root(const struct pod *pod, struct finding *finding)
{
    bool by_pod = wants_root(NULL, pod->security, NULL);
    cleanup(words_free)
    struct words wanting = pod_offenders(pod, wants_root, NULL);
    if (by_pod || wanting.count > 0) {
        pod_add_setters(&finding->detail, by_pod, &wanting);
        buffer_add_literal(&finding->detail, " must not set securityContext.runAsNonRoot=false");
        return false;
    }
    if (!leaves_root_open(NULL, pod->security, NULL)) {
        return true;
    }
    cleanup(words_free)
    struct words names = pod_offenders(pod, leaves_root_open, NULL);
    if (names.count > 0) {
        buffer_add_literal(&finding->detail, "pod or ");
        pod_add_containers(&finding->detail, &names);
        buffer_add_literal(&finding->detail, " must set securityContext.runAsNonRoot=true");
    }
    return names.count == 0;
}

static bool is_user_0(const json_t *container, const json_t *security, struct words *values)
{
    (void)container;
    (void)values;
    return json_get_int(security, "runAsUser", 1) == 0;
}

static bool check_user(const struct pod *pod, struct finding *finding)
{
    bool by_pod = is_user_0(NULL, pod->security, NULL);
    cleanup(words_free)
    struct words names = pod_offenders(pod, is_user_0, NULL);
    if (!by_pod && names.count == 0) {
        return true;
    }
    pod_add_setters(&finding->detail, by_pod, &names);
    buffer_add_literal(&finding->detail, " must not set runAsUser=0");
    return false;
}

/* ---- seccomp ---- */

static bool lacks_seccomp(const json_t *container, const json_t *security, struct words *values)
{
    (void)container;
    (void)values;
    return !pod_field_is_given(json_object_get(security, "seccompProfile"));
}

static bool check_seccomp_given(const struct pod *pod, struct finding *finding)
{
    if (!pod_check_seccomp(pod, finding)) {
        return false;
    }
    if (!lacks_seccomp(NULL, pod->security, NULL)) {
        return true;
    }
    cleanup(words_free)
    struct words names = pod_offenders(pod, lacks_seccomp, NULL);
    if (names.count > 0) {
        buffer_add_literal(&finding->detail, "pod or ");
        pod_add_containers(&finding->detail, &names);
        buffer_add_literal(&finding->detail, " must set securityContext.seccompProfile.type to "
                                             "\"RuntimeDefault\" or \"Localhost\"");
    }
    return names.count == 0;
}

static bool check_seccomp_of_1_25(const struct pod *pod, struct finding *finding)
{
    return pod_runs_windows(pod) || check_seccomp_given(pod, finding);
}

/* ---- the table ---- */

/* In the order in which they are told. One a line. */
/* clang-format off */
const struct pod_security_check pod_security_restricted[] = {
    {8, 25, NEVER, "allowPrivilegeEscalation != false", check_escalation},
    {25, NEVER, NEVER, "allowPrivilegeEscalation != false", check_escalation_of_1_25},
    {22, 25, NEVER, "unrestricted capabilities", check_capabilities},
    {25, NEVER, NEVER, "unrestricted capabilities", check_capabilities_of_1_25},
    {0, NEVER, NEVER, "restricted volume types", check_volumes},
    {0, NEVER, NEVER, "runAsNonRoot != true", check_non_root},
    {23, NEVER, NEVER, "runAsUser=0", check_user},
    {19, 25, NEVER, "seccompProfile", check_seccomp_given},
    {25, NEVER, NEVER, "seccompProfile", check_seccomp_of_1_25},
};
/* clang-format on */
const size_t pod_security_restricted_count = array_length(pod_security_restricted);
