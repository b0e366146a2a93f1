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
    if (ip[0] != '\0' && json_get_int(port->json, "hostPort", 0) == 0) {
        cleanup(free_char)
        char *path = port_path(ports, port);
        write_warn(ports->write,
                   "%s: hostIP set without hostPort: {Name:%s HostPort:0 ContainerPort:%lld "
                   "Protocol:%s HostIP:%s}",
                   path, check_text(port->json, "name"), (long long)number, protocol, ip);
    }
    if (ports->count == 1) {
        return; /* With nothing to get in its way. */
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
        if (count == 0) {
            continue;
        }
        ports->list = reallocate(ports->list, (ports->count + count) * sizeof *ports->list);
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
    for (size_t i = 0; ports.count > 1 && i < ports.count; i++) {
        if (stays(spec, &ports.list[i])) {
            add_port_name(&ports, &ports.list[i]);
        }
    }
    map_free(&ports.by_number, NULL);
    map_free(&ports.by_name, NULL);
    free(ports.list);
}

/* ---- files in volumes ---- */

/* What puts files into a volume, by its kind and, where there are several, its name. Borrowed, as
 * all here is: most pods have files and nothing to say of them. */
struct source {
    const char *kind, *name; /* Each may be NULL. */
};

struct file {
    const char *path;
    size_t length;        /* Of the path, without slashes at its end. */
    struct source source; /* Nothing when the volume has one source. */
};

struct files {
    struct write *write;
    const char *volume;
    struct source source; /* Of the volume. */
    struct file *list;
    size_t count, capacity, comparisons;
};

static char *source_text(const struct source *source)
{
    return source->name != NULL ? format("%s \"%s\"", source->kind, source->name)
                                : duplicate(source->kind);
}

static char *file_text(const struct file *file)
{
    if (file->source.kind == NULL) {
        return format("\"%.*s\"", (int)file->length, file->path);
    }
    cleanup(free_char)
    char *source = source_text(&file->source);
    return format("\"%.*s\" (%s)", (int)file->length, file->path, source);
}

/* They are the same, or one is a folder of the other. */
static bool overlap(const struct file *a, const struct file *b)
{
    const struct file *shorter = a->length < b->length ? a : b;
    const struct file *longer = shorter == a ? b : a;
    return shorter->length > 0 && strncmp(shorter->path, longer->path, shorter->length) == 0 &&
           (longer->length == shorter->length || longer->path[shorter->length] == '/');
}

static void warn_of_files(struct files *files, const struct file *file, const struct file *other)
{
    cleanup(free_char)
    char *text = file_text(file);
    cleanup(free_char)
    char *other_text = file_text(other);
    cleanup(free_char)
    char *volume = source_text(&files->source);
    write_warn(files->write, "volume \"%s\" (%s): overlapping paths: %s with %s", files->volume,
               volume, text, other_text);
}

static void add_file(struct files *files, const char *path, struct source source)
{
    struct file file = {path, strlen(path), source};
    while (file.length > 0 && path[file.length - 1] == '/') {
        file.length--;
    }
    for (size_t i = 0; i < files->count && files->comparisons++ < comparisons_max; i++) {
        if (overlap(&files->list[i], &file)) {
            warn_of_files(files, &file, &files->list[i]);
        }
    }
    files->list = grow(files->list, files->count, &files->capacity, sizeof *files->list);
    files->list[files->count++] = file;
}

static void add_items(struct files *files, const json_t *object, struct source source)
{
    const json_t *items = json_object_get(object, "items");
    for (size_t i = 0; i < json_array_size(items); i++) {
        add_file(files, check_text(json_array_get(items, i), "path"), source);
    }
}

/* A volume of one source. */
static void warn_about_items(struct write *write, const json_t *volume, const json_t *object,
                             const char *kind, const char *name_member)
{
    if (object == NULL) {
        return;
    }
    struct files files = {
        .write = write,
        .volume = check_text(volume, "name"),
        .source = {kind, name_member ? check_text(object, name_member) : NULL},
    };
    add_items(&files, object, (struct source){NULL, NULL});
    free(files.list);
}

/* Projections that list their files come first. */
enum { listed_sources = 3 };
static const char *const projections[] = {"configMap",          "secret",
                                          "downwardAPI",        "serviceAccountToken",
                                          "clusterTrustBundle", "podCertificate"};
static const struct {
    const char *what, *name;
} listed[listed_sources] = {{"ConfigMap", "name"}, {"Secret", "name"}, {"DownwardAPI", NULL}};

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
            add_file(files, path, (struct source){certificate_paths[i].what, NULL});
        }
    }
}

static void add_projection(struct files *files, const json_t *projection)
{
    const json_t *values[array_length(projections)];
    check_members(projection, projections, values);
    const json_t *token = values[3], *bundle = values[4], *certificate = values[5];
    for (size_t i = 0; i < listed_sources; i++) {
        const char *name = listed[i].name;
        if (values[i] != NULL) {
            add_items(files, values[i],
                      (struct source){listed[i].what, name ? check_text(values[i], name) : NULL});
        }
    }
    if (token != NULL) {
        add_file(files, check_text(token, "path"), (struct source){"ServiceAccountToken", NULL});
    }
    if (bundle != NULL) {
        const char *name = check_text(bundle, check_has(bundle, "name") ? "name" : "signerName");
        add_file(files, check_text(bundle, "path"), (struct source){"ClusterTrustBundle", name});
    }
    if (certificate != NULL) {
        add_certificate(files, certificate);
    }
}

static void warn_about_projected(struct write *write, const json_t *volume, const json_t *projected)
{
    const json_t *sources = json_object_get(projected, "sources");
    if (sources == NULL) {
        return;
    }
    struct files files = {
        .write = write, .volume = check_text(volume, "name"), .source = {"Projected", NULL}};
    for (size_t i = 0; i < json_array_size(sources); i++) {
        const json_t *projection = json_array_get(sources, i);
        if (json_object_size(projection) == 0) {
            write_warn(write, "volume \"%s\" (Projected) has no sources provided", files.volume);
        }
        add_projection(&files, projection);
    }
    free(files.list);
}

void warn_about_overlapping_paths(struct write *write, const json_t *volumes)
{
    static const char *const members[] = {"configMap", "secret", "downwardAPI", "projected"};
    for (size_t i = 0; i < json_array_size(volumes); i++) {
        const json_t *volume = json_array_get(volumes, i), *values[array_length(members)];
        check_members(volume, members, values);
        warn_about_items(write, volume, values[0], "ConfigMap", "name");
        warn_about_items(write, volume, values[1], "Secret", "secretName");
        warn_about_items(write, volume, values[2], "DownwardAPI", NULL);
        warn_about_projected(write, volume, values[3]);
    }
}
