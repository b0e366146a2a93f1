// SPDX-License-Identifier: Apache-2.0
/* The checks of the level "baseline": nothing by which a pod is known to get hold of its node. */
#include <string.h>

#include "apiserver/admission/pod_security_checks.h"
#include "common/alloc.h"
#include "common/json.h"

static bool sets_app_armor(const json_t *container, const json_t *security, struct words *values)
{
    (void)container;
    const json_t *profile = json_object_get(security, "appArmorProfile");
    const char *type = json_get_string(profile, "type");
    static const char *const allowed[] = {"RuntimeDefault", "Localhost"};
    if (!pod_field_is_given(profile) ||
        (type != NULL && word_is_among(type, allowed, array_length(allowed)))) {
        return false;
    }
    words_add(values, type);
    return true;
}

static bool is_profile_annotation_allowed(const char *value)
{
    return value[0] == '\0' || strcmp(value, "runtime/default") == 0 ||
           strncmp(value, "localhost/", strlen("localhost/")) == 0;
}

/* 'key="value"', as Go's %q would have it. */
static void add_annotation(struct words *words, const char *key, const char *value)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    buffer_addf(&text, "%s=", key);
    buffer_add_quoted(&text, value);
    words_add(words, buffer_text(&text));
}

static void find_app_armor_annotations(const struct pod *pod, struct words *found)
{
    static const char prefix[] = "container.apparmor.security.beta.kubernetes.io/";
    const char *key;
    json_t *value;
    json_object_foreach (json_object_get(pod->metadata, "annotations"), key, value) {
        const char *text = json_string_value(value);
        if (strncmp(key, prefix, strlen(prefix)) == 0 && text != NULL &&
            !is_profile_annotation_allowed(text)) {
            add_annotation(found, key, text);
        }
    }
    words_sort(found);
}

static bool check_app_armor(const struct pod *pod, struct finding *finding)
{
    cleanup(words_free)
    struct words values = WORDS_INIT;
    cleanup(words_free)
    struct words annotations = WORDS_INIT;
    bool by_pod = sets_app_armor(NULL, pod->security, &values);
    cleanup(words_free)
    struct words names = pod_offenders(pod, sets_app_armor, &values);
    find_app_armor_annotations(pod, &annotations);
    if (values.count == 0 && annotations.count == 0) {
        return true;
    }
    words_sort(&values);
    pod_add_setters(&finding->detail, by_pod, &names);
    if (annotations.count > 0) {
        buffer_addf(&finding->detail, "%s%s", values.count > 0 ? " and " : "",
                    annotations.count == 1 ? "annotation" : "annotations");
    }
    for (size_t i = 0; i < annotations.count; i++) {
        words_add(&values, annotations.items[i]);
    }
    buffer_add_text(&finding->detail, " must not set AppArmor profile type to ");
    words_join_quoted(&finding->detail, &values);
    finding->reason =
        values.count == 1 ? "forbidden AppArmor profile" : "forbidden AppArmor profiles";
    return false;
}

static bool adds_beyond_default(const json_t *container, const json_t *security,
                                struct words *values)
{
    static const char *const allowed[] = {
        "AUDIT_WRITE",      "CHOWN",   "DAC_OVERRIDE", "FOWNER",  "FSETID", "KILL",       "MKNOD",
        "NET_BIND_SERVICE", "SETFCAP", "SETGID",       "SETPCAP", "SETUID", "SYS_CHROOT",
    };
    (void)container;
    return pod_adds_capability(security, allowed, array_length(allowed), values);
}

static bool check_default_capabilities(const struct pod *pod, struct finding *finding)
{
    cleanup(words_free)
    struct words values = WORDS_INIT;
    cleanup(words_free)
    struct words names = pod_offenders(pod, adds_beyond_default, &values);
    if (names.count > 0) {
        pod_say_capabilities(&finding->detail, &names, &values);
    }
    return names.count == 0;
}

static bool check_host_namespaces(const struct pod *pod, struct finding *finding)
{
    static const char *const fields[] = {"hostNetwork", "hostPID", "hostIPC"};
    for (size_t i = 0; i < array_length(fields); i++) {
        if (json_get_bool(pod->spec, fields[i], false)) {
            buffer_addf(&finding->detail, "%s%s=true", finding->detail.length > 0 ? ", " : "",
                        fields[i]);
        }
    }
    return finding->detail.length == 0;
}

static bool check_host_path(const struct pod *pod, struct finding *finding)
{
    cleanup(words_free)
    struct words names = WORDS_INIT;
    size_t i;
    const json_t *volume;
    json_array_foreach (json_object_get(pod->spec, "volumes"), i, volume) {
        if (pod_field_is_given(json_object_get(volume, "hostPath"))) {
            words_add(&names, json_get_string(volume, "name"));
        }
    }
    if (names.count > 0) {
        words_add_counted(&finding->detail, "volume", "volumes", &names);
    }
    return names.count == 0;
}

static bool uses_host_port(const json_t *container, const json_t *security, struct words *values)
{
    (void)security;
    bool found = false;
    size_t i;
    const json_t *port;
    json_array_foreach (json_object_get(container, "ports"), i, port) {
        json_int_t number = json_get_int(port, "hostPort", 0);
        if (number != 0) {
            char text[24];
            snprintf(text, sizeof text, "%lld", (long long)number);
            words_add(values, text);
            found = true;
        }
    }
    return found;
}

static bool check_host_ports(const struct pod *pod, struct finding *finding)
{
    cleanup(words_free)
    struct words ports = WORDS_INIT;
    cleanup(words_free)
    struct words names = pod_offenders(pod, uses_host_port, &ports);
    if (names.count == 0) {
        return true;
    }
    words_sort(&ports);
    pod_add_containers(&finding->detail, &names);
    buffer_addf(&finding->detail, " %s %s ", names.count == 1 ? "uses" : "use",
                ports.count == 1 ? "hostPort" : "hostPorts");
    words_join(&finding->detail, &ports, ", ");
    return false;
}

static bool names_host(const json_t *handler, struct words *values)
{
    static const char *const ways[] = {"httpGet", "tcpSocket"};
    bool found = false;
    for (size_t i = 0; i < array_length(ways); i++) {
        const char *host = json_path_string(handler, ways[i], "host");
        if (host != NULL && host[0] != '\0') {
            words_add(values, host);
            found = true;
        }
    }
    return found;
}

static bool probes_host(const json_t *container, const json_t *security, struct words *values)
{
    static const char *const probes[] = {"livenessProbe", "readinessProbe", "startupProbe"};
    static const char *const handlers[] = {"postStart", "preStop"};
    (void)security;
    bool found = false;
    for (size_t i = 0; i < array_length(probes); i++) {
        found |= names_host(json_object_get(container, probes[i]), values);
    }
    for (size_t i = 0; i < array_length(handlers); i++) {
        found |= names_host(json_path(container, "lifecycle", handlers[i]), values);
    }
    return found;
}

static bool check_probed_hosts(const struct pod *pod, struct finding *finding)
{
    cleanup(words_free)
    struct words hosts = WORDS_INIT;
    cleanup(words_free)
    struct words names = pod_offenders(pod, probes_host, &hosts);
    if (names.count == 0) {
        return true;
    }
    words_sort(&names);
    words_sort(&hosts);
    pod_add_containers(&finding->detail, &names);
    buffer_addf(&finding->detail, " %s ", names.count == 1 ? "uses" : "use");
    words_add_counted(&finding->detail, "probe or lifecycle host", "probe or lifecycle hosts",
                      &hosts);
    return false;
}

static bool is_privileged(const json_t *container, const json_t *security, struct words *values)
{
    (void)container;
    (void)values;
    return json_get_bool(security, "privileged", false);
}

static bool check_privileged(const struct pod *pod, struct finding *finding)
{
    cleanup(words_free)
    struct words names = pod_offenders(pod, is_privileged, NULL);
    if (names.count > 0) {
        pod_add_containers(&finding->detail, &names);
        buffer_add_literal(&finding->detail, " must not set securityContext.privileged=true");
    }
    return names.count == 0;
}

static bool sets_proc_mount(const json_t *container, const json_t *security, struct words *values)
{
    (void)container;
    const char *type = json_get_string(security, "procMount");
    if (type == NULL || strcmp(type, "Default") == 0) {
        return false;
    }
    words_add(values, type);
    return true;
}

static bool check_proc_mount(const struct pod *pod, struct finding *finding)
{
    cleanup(words_free)
    struct words types = WORDS_INIT;
    cleanup(words_free)
    struct words names = pod_offenders(pod, sets_proc_mount, &types);
    if (names.count > 0) {
        words_sort(&types);
        pod_add_containers(&finding->detail, &names);
        buffer_add_literal(&finding->detail, " must not set securityContext.procMount to ");
        words_join_quoted(&finding->detail, &types);
    }
    return names.count == 0;
}

/* ---- SELinux ---- */

static bool sets_selinux(const json_t *security, bool may_be_engine, struct words *types)
{
    static const char *const allowed[] = {"", "container_t", "container_init_t", "container_kvm_t",
                                          "container_engine_t"};
    size_t allowed_count = array_length(allowed) - (may_be_engine ? 0 : 1);
    const json_t *options = json_object_get(security, "seLinuxOptions");
    const char *type = json_get_string(options, "type");
    bool is_type_bad = type != NULL && !word_is_among(type, allowed, allowed_count);
    if (is_type_bad) {
        words_add(types, type);
    }
    return is_type_bad || pod_field_is_text(json_object_get(options, "user")) ||
           pod_field_is_text(json_object_get(options, "role"));
}

static bool sets_selinux_of_1_0(const json_t *container, const json_t *security,
                                struct words *types)
{
    (void)container;
    return sets_selinux(security, false, types);
}

/* Containers that run containers of their own have a type since then. */
static bool sets_selinux_of_1_31(const json_t *container, const json_t *security,
                                 struct words *types)
{
    (void)container;
    return sets_selinux(security, true, types);
}

static bool anybody_sets(const struct pod *pod, const char *option)
{
    bool found = pod_field_is_text(json_path(pod->security, "seLinuxOptions", option));
    for (size_t i = 0; i < pod->container_count; i++) {
        const json_t *security = pod_container_security(pod->containers[i]);
        found |= pod_field_is_text(json_path(security, "seLinuxOptions", option));
    }
    return found;
}

static bool check_selinux(const struct pod *pod, pod_offence offends, struct finding *finding)
{
    cleanup(words_free)
    struct words types = WORDS_INIT;
    bool by_pod = offends(NULL, pod->security, &types);
    cleanup(words_free)
    struct words names = pod_offenders(pod, offends, &types);
    if (!by_pod && names.count == 0) {
        return true;
    }
    struct buffer *text = &finding->detail;
    const char *between = "";
    words_sort(&types);
    pod_add_setters(text, by_pod, &names);
    buffer_add_literal(text, " set forbidden securityContext.seLinuxOptions: ");
    if (types.count > 0) {
        words_add_counted(text, "type", "types", &types);
        between = "; ";
    }
    if (anybody_sets(pod, "user")) {
        buffer_addf(text, "%suser may not be set", between);
        between = "; ";
    }
    if (anybody_sets(pod, "role")) {
        buffer_addf(text, "%srole may not be set", between);
    }
    return false;
}

static bool check_selinux_of_1_0(const struct pod *pod, struct finding *finding)
{
    return check_selinux(pod, sets_selinux_of_1_0, finding);
}

static bool check_selinux_of_1_31(const struct pod *pod, struct finding *finding)
{
    return check_selinux(pod, sets_selinux_of_1_31, finding);
}

/* ---- seccomp ---- */

static bool is_seccomp_annotation_allowed(const char *value)
{
    return strcmp(value, "runtime/default") == 0 || strcmp(value, "docker/default") == 0 ||
           strncmp(value, "localhost/", strlen("localhost/")) == 0;
}

static void look_at_annotation(const struct pod *pod, const char *key, struct words *found)
{
    const char *value = json_path_string(pod->metadata, "annotations", key);
    if (value != NULL && !is_seccomp_annotation_allowed(value)) {
        add_annotation(found, key, value);
    }
}

static bool check_seccomp_annotations(const struct pod *pod, struct finding *finding)
{
    cleanup(words_free)
    struct words found = WORDS_INIT;
    look_at_annotation(pod, "seccomp.security.alpha.kubernetes.io/pod", &found);
    for (size_t i = 0; i < pod->container_count; i++) {
        const char *name = json_get_string(pod->containers[i], "name");
        cleanup(free_char)
        char *key =
            format("container.seccomp.security.alpha.kubernetes.io/%s", name != NULL ? name : "");
        look_at_annotation(pod, key, &found);
    }
    if (found.count > 0) {
        words_sort(&found);
        buffer_addf(&finding->detail, "forbidden %s ",
                    found.count == 1 ? "annotation" : "annotations");
        words_join(&finding->detail, &found, ", ");
    }
    return found.count == 0;
}

static bool sets_seccomp(const json_t *container, const json_t *security, struct words *values)
{
    (void)container;
    static const char *const allowed[] = {"RuntimeDefault", "Localhost"};
    const json_t *profile = json_object_get(security, "seccompProfile");
    const char *type = json_get_string(profile, "type");
    if (!pod_field_is_given(profile) ||
        (type != NULL && word_is_among(type, allowed, array_length(allowed)))) {
        return false;
    }
    words_add(values, type);
    return true;
}

bool pod_check_seccomp(const struct pod *pod, struct finding *finding)
{
    cleanup(words_free)
    struct words values = WORDS_INIT;
    bool by_pod = sets_seccomp(NULL, pod->security, &values);
    cleanup(words_free)
    struct words names = pod_offenders(pod, sets_seccomp, &values);
    if (!by_pod && names.count == 0) {
        return true;
    }
    words_sort(&values);
    pod_add_setters(&finding->detail, by_pod, &names);
    buffer_add_literal(&finding->detail, " must not set securityContext.seccompProfile.type to ");
    words_join_quoted(&finding->detail, &values);
    return false;
}

/* ---- sysctls, Windows ---- */

static const struct {
    const char *name;
    int from;
} safe_sysctls[] = {
    {"kernel.shm_rmid_forced", 0},
    {"net.ipv4.ip_local_port_range", 0},
    {"net.ipv4.tcp_syncookies", 0},
    {"net.ipv4.ping_group_range", 0},
    {"net.ipv4.ip_unprivileged_port_start", 0},
    {"net.ipv4.ip_local_reserved_ports", 27},
    {"net.ipv4.tcp_keepalive_time", 29},
    {"net.ipv4.tcp_fin_timeout", 29},
    {"net.ipv4.tcp_keepalive_intvl", 29},
    {"net.ipv4.tcp_keepalive_probes", 29},
    {"net.ipv4.tcp_rmem", 32},
    {"net.ipv4.tcp_wmem", 32},
};

static bool is_safe_sysctl(const char *name, int minor)
{
    for (size_t i = 0; i < array_length(safe_sysctls); i++) {
        if (minor >= safe_sysctls[i].from && strcmp(name, safe_sysctls[i].name) == 0) {
            return true;
        }
    }
    return false;
}

static bool check_sysctls(const struct pod *pod, struct finding *finding)
{
    size_t i;
    const json_t *sysctl;
    json_array_foreach (json_object_get(pod->security, "sysctls"), i, sysctl) {
        const char *name = json_get_string(sysctl, "name");
        if (name != NULL && !is_safe_sysctl(name, pod->minor)) {
            buffer_addf(&finding->detail, "%s%s", finding->detail.length > 0 ? ", " : "", name);
        }
    }
    return finding->detail.length == 0;
}

static bool is_host_process(const json_t *container, const json_t *security, struct words *values)
{
    (void)container;
    (void)values;
    return json_is_true(json_path(security, "windowsOptions", "hostProcess"));
}

static bool check_host_process(const struct pod *pod, struct finding *finding)
{
    bool by_pod = is_host_process(NULL, pod->security, NULL);
    cleanup(words_free)
    struct words names = pod_offenders(pod, is_host_process, NULL);
    if (!by_pod && names.count == 0) {
        return true;
    }
    pod_add_setters(&finding->detail, by_pod, &names);
    buffer_add_literal(&finding->detail,
                       " must not set securityContext.windowsOptions.hostProcess=true");
    return false;
}

/* ---- the table ---- */

/* In the order in which they are told. One a line. */
/* clang-format off */
const struct pod_security_check pod_security_baseline[] = {
    {0, NEVER, NEVER, "forbidden AppArmor profile", check_app_armor},
    {0, NEVER, 22, "non-default capabilities", check_default_capabilities},
    {0, NEVER, NEVER, "host namespaces", check_host_namespaces},
    {0, NEVER, 0, "hostPath volumes", check_host_path},
    {0, NEVER, NEVER, "hostPort", check_host_ports},
    {34, NEVER, NEVER, "probe or lifecycle host", check_probed_hosts},
    {0, NEVER, NEVER, "privileged", check_privileged},
    {0, NEVER, NEVER, "procMount", check_proc_mount},
    {0, 31, NEVER, "seLinuxOptions", check_selinux_of_1_0},
    {31, NEVER, NEVER, "seLinuxOptions", check_selinux_of_1_31},
    {0, 19, NEVER, "seccompProfile", check_seccomp_annotations},
    {19, NEVER, 19, "seccompProfile", pod_check_seccomp},
    {0, NEVER, NEVER, "forbidden sysctls", check_sysctls},
    {0, NEVER, NEVER, "hostProcess", check_host_process},
};
/* clang-format on */
const size_t pod_security_baseline_count = array_length(pod_security_baseline);
