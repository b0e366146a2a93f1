// SPDX-License-Identifier: Apache-2.0
/* Warnings about what gets in the way of each other in a pod: ports of its containers, and files of
 * its volumes. Both compare every pair, so both stop at a number that no pod of a sane size
 * comes to. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "apiserver/registry/validation/warnings.h"
#include "common/alloc.h"
#include "common/json.h"

enum { comparisons_max = 100000 };

/* ---- ports ---- */

struct port {
    const json_t *json;
    const char *list;
    size_t container, index;
    struct port *next; /* Of the same number and protocol. */
};

struct ports {
    struct write *write;
    const struct field_path *spec_path;
    struct port *list;
    size_t count, comparisons;
    struct map by_number, by_name;
};

static char *port_path(const struct ports *ports, const struct port *port)
{
    return field_path_text(FIELD_INDEX(
        FIELD(FIELD_INDEX(FIELD(ports->spec_path, port->list), port->container), "ports"),
        port->index));
}

static void warn_of_two(struct ports *ports, const struct port *port, const struct port *other,
                        const char *what)
{
    cleanup(free_char)
    char *path = port_path(ports, port);
    cleanup(free_char)
    char *other_path = port_path(ports, other);
    write_warn(ports->write, "%s: %s with %s", path, what, other_path);
}

static void compare_ports(struct ports *ports, const struct port *port, const struct port *other)
{
    const char *ip = check_text(port->json, "hostIP"),
               *other_ip = check_text(other->json, "hostIP");
    json_int_t number = json_get_int(port->json, "hostPort", 0);
    json_int_t other_number = json_get_int(other->json, "hostPort", 0);
    if (strcmp(ip, other_ip) == 0 && number == other_number) {
        warn_of_two(ports, port, other, "duplicate port definition");
    } else if (number == 0 || other_number == 0) {
        warn_of_two(ports, port, other, "overlapping port definition");
    } else if (number == other_number && (ip[0] == '\0') != (other_ip[0] == '\0')) {
        warn_of_two(ports, port, other, "dangerously ambiguous port definition");
    }
}

static void add_port(struct ports *ports, struct port *port)
{
    const char *ip = check_text(port->json, "hostIP");
    const char *protocol = check_text(port->json, "protocol");
    json_int_t number = json_get_int(port->json, "containerPort", 0);
    json_int_t host_port = json_get_int(port->json, "hostPort", 0);
    if (ip[0] != '\0' && host_port == 0) {
        cleanup(free_char)
        char *path = port_path(ports, port);
        write_warn(ports->write,
                   "%s: hostIP set without hostPort: {Name:%s HostPort:0 ContainerPort:%lld "
                   "Protocol:%s HostIP:%s}",
                   path, check_text(port->json, "name"), (long long)number, protocol, ip);
    }
    cleanup(free_char)
    char *key = format("%lld/%s", (long long)number, protocol);
    struct port *first = map_get(&ports->by_number, key), **end = &first;
    for (; *end != NULL && ports->comparisons++ < comparisons_max; end = &(*end)->next) {
        compare_ports(ports, port, *end);
    }
    if (*end == NULL) {
        *end = port;
        map_set(&ports->by_number, key, first);
    }
}

static void add_port_name(struct ports *ports, struct port *port)
{
    const char *name = check_text(port->json, "name");
    const struct port *other = map_get(&ports->by_name, name);
    if (name[0] == '\0') {
        return;
    }
    if (other == NULL) {
        map_set(&ports->by_name, name, port);
        return;
    }
    cleanup(free_char)
    char *path = port_path(ports, port);
    cleanup(free_char)
    char *other_path = port_path(ports, other);
    write_warn(ports->write,
               "%s: duplicate port name \"%s\" with %s, services and probes that select ports by "
               "name will use %s",
               path, name, other_path, other_path);
}

/* Ephemeral containers have no ports. */
static void gather_ports(struct ports *ports, const json_t *spec, const char *list)
{
    const json_t *containers = json_object_get(spec, list);
    for (size_t i = 0; i < json_array_size(containers); i++) {
        const json_t *container_ports = json_object_get(json_array_get(containers, i), "ports");
        size_t count = json_array_size(container_ports);
        ports->list = reallocate(ports->list, (ports->count + count + 1) * sizeof *ports->list);
        for (size_t j = 0; j < count; j++) {
            ports->list[ports->count++] =
                (struct port){json_array_get(container_ports, j), list, i, j, NULL};
        }
    }
}

/* Init containers that never end run beside the others, and only their names count then. */
static bool stays(const json_t *spec, const struct port *port)
{
    const json_t *container = json_array_get(json_object_get(spec, port->list), port->container);
    return strcmp(port->list, "containers") == 0 || check_is(container, "restartPolicy", "Always");
}

void warn_about_ports(struct write *write, const json_t *spec, const struct field_path *path)
{
    struct ports ports = {.write = write, .spec_path = path};
    gather_ports(&ports, spec, "initContainers");
    gather_ports(&ports, spec, "containers");
    for (size_t i = 0; i < ports.count; i++) {
        add_port(&ports, &ports.list[i]);
    }
    for (size_t i = 0; i < ports.count; i++) {
        if (stays(spec, &ports.list[i])) {
            add_port_name(&ports, &ports.list[i]);
        }
    }
    map_free(&ports.by_number, NULL);
    map_free(&ports.by_name, NULL);
    free(ports.list);
}

/* ---- files in volumes ---- */

/* Where a volume puts a file, and what says so; nothing when the volume has one source. */
struct file {
    char *path, *source;
};

struct files {
    struct write *write;
    const char *volume, *description;
    struct file *list;
    size_t count, comparisons;
};

static void files_clear(struct files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->list[i].path);
        free(files->list[i].source);
    }
    free(files->list);
    files->list = NULL;
    files->count = 0;
}

/* They are the same, or one is a folder of the other. */
static bool overlap(const char *a, const char *b)
{
    size_t a_length = strlen(a), b_length = strlen(b);
    size_t common = a_length < b_length ? a_length : b_length;
    const char *longer = a_length < b_length ? b : a;
    return common > 0 && strncmp(a, b, common) == 0 &&
           (longer[common] == '\0' || longer[common] == '/');
}

static char *file_text(const struct file *file)
{
    return file->source[0] != '\0' ? format("\"%s\" (%s)", file->path, file->source)
                                   : format("\"%s\"", file->path);
}

static void add_file(struct files *files, const char *path, const char *source)
{
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] == '/') {
        length--;
    }
    struct file file = {format("%.*s", (int)length, path), duplicate(source)};
    for (size_t i = 0; i < files->count && files->comparisons++ < comparisons_max; i++) {
        if (overlap(files->list[i].path, file.path)) {
            cleanup(free_char)
            char *text = file_text(&file);
            cleanup(free_char)
            char *other = file_text(&files->list[i]);
            write_warn(files->write, "volume \"%s\" (%s): overlapping paths: %s with %s",
                       files->volume, files->description, text, other);
        }
    }
    files->list = reallocate(files->list, (files->count + 1) * sizeof *files->list);
    files->list[files->count++] = file;
}

static void add_items(struct files *files, const json_t *source, const char *description)
{
    const json_t *items = json_object_get(source, "items");
    for (size_t i = 0; i < json_array_size(items); i++) {
        add_file(files, check_text(json_array_get(items, i), "path"), description);
    }
}

/* A volume of one source. */
static void warn_about_items(struct write *write, const json_t *volume, const char *member,
                             const char *what, const char *name_member)
{
    const json_t *source = json_object_get(volume, member);
    if (json_array_size(json_object_get(source, "items")) == 0) {
        return;
    }
    cleanup(free_char)
    char *description =
        name_member ? format("%s \"%s\"", what, check_text(source, name_member)) : duplicate(what);
    struct files files = {write, check_text(volume, "name"), description, NULL, 0, 0};
    add_items(&files, source, "");
    files_clear(&files);
}

static const struct {
    const char *member, *what, *name;
} listed_sources[] = {
    {"configMap", "ConfigMap", "name"},
    {"secret", "Secret", "name"},
    {"downwardAPI", "DownwardAPI", NULL},
};

static const struct {
    const char *member, *what;
} certificate_paths[] = {
    {"certificateChainPath", "PodCertificate chain"},
    {"keyPath", "PodCertificate key"},
    {"credentialBundlePath", "PodCertificate credential bundle"},
};

static void add_certificate(struct files *files, const json_t *certificate)
{
    for (size_t i = 0; i < array_length(certificate_paths); i++) {
        const char *path = check_text(certificate, certificate_paths[i].member);
        if (path[0] != '\0') {
            add_file(files, path, certificate_paths[i].what);
        }
    }
}

static void add_projection(struct files *files, const json_t *projection)
{
    const json_t *token = json_object_get(projection, "serviceAccountToken");
    const json_t *bundle = json_object_get(projection, "clusterTrustBundle");
    for (size_t i = 0; i < array_length(listed_sources); i++) {
        const json_t *source = json_object_get(projection, listed_sources[i].member);
        const char *name = listed_sources[i].name;
        cleanup(free_char)
        char *description =
            name ? format("%s \"%s\"", listed_sources[i].what, check_text(source, name))
                 : duplicate(listed_sources[i].what);
        add_items(files, source, description);
    }
    if (token != NULL) {
        add_file(files, check_text(token, "path"), "ServiceAccountToken");
    }
    if (bundle != NULL) {
        cleanup(free_char)
        char *description =
            format("ClusterTrustBundle \"%s\"",
                   check_text(bundle, check_has(bundle, "name") ? "name" : "signerName"));
        add_file(files, check_text(bundle, "path"), description);
    }
    add_certificate(files, json_object_get(projection, "podCertificate"));
}

static void warn_about_projected(struct write *write, const json_t *volume)
{
    const json_t *sources = json_path(volume, "projected", "sources");
    struct files files = {write, check_text(volume, "name"), "Projected", NULL, 0, 0};
    for (size_t i = 0; i < json_array_size(sources); i++) {
        const json_t *projection = json_array_get(sources, i);
        if (json_object_size(projection) == 0) {
            write_warn(write, "volume \"%s\" (Projected) has no sources provided", files.volume);
        }
        add_projection(&files, projection);
    }
    files_clear(&files);
}

void warn_about_overlapping_paths(struct write *write, const json_t *volumes)
{
    for (size_t i = 0; i < json_array_size(volumes); i++) {
        const json_t *volume = json_array_get(volumes, i);
        warn_about_items(write, volume, "configMap", "ConfigMap", "name");
        warn_about_items(write, volume, "secret", "Secret", "secretName");
        warn_about_items(write, volume, "downwardAPI", "DownwardAPI", NULL);
        warn_about_projected(write, volume);
    }
}
