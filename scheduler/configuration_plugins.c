// SPDX-License-Identifier: Apache-2.0
/*
 * From sets of plugins to the lists of a profile.
 *
 * All plugins are enabled at every point that they have (multiPoint), unless a profile disables
 * them; what it enables for one point stands above that, in its own order and with its own weight.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "scheduler/configuration.h"
#include "scheduler/plugin.h"

/* Upstream's, in its order. Those that are not in the table of plugins are known and no more: they
 * are part of the scheduler, or not there yet. */
static const struct {
    const char *name;
    const struct plugin *plugin;
} known[] = {
    {"SchedulingGates", &plugin_scheduling_gates},
    {"PrioritySort", NULL},
    {"NodeUnschedulable", &plugin_node_unschedulable},
    {"NodeName", NULL},
    {"TaintToleration", &plugin_taint_toleration},
    {"NodeAffinity", &plugin_node_affinity},
    {"NodePorts", &plugin_node_ports},
    {"NodeResourcesFit", &plugin_node_resources_fit},
    {"VolumeRestrictions", &plugin_volume_restrictions},
    {"NodeVolumeLimits", &plugin_node_volume_limits},
    {"VolumeBinding", &plugin_volume_binding},
    {"VolumeZone", &plugin_volume_zone},
    {"PodTopologySpread", &plugin_pod_topology_spread},
    {"InterPodAffinity", &plugin_inter_pod_affinity},
    {"DynamicResources", NULL},
    {"DefaultPreemption", NULL},
    {"NodeResourcesBalancedAllocation", &plugin_balanced_allocation},
    {"ImageLocality", &plugin_image_locality},
    {"DefaultBinder", NULL},
};

enum { known_count = array_length(known), chosen_max = 2 * known_count };

static const char *const points[] = {
    "multiPoint", "preEnqueue", "queueSort", "preFilter", "filter", "postFilter", "preScore",
    "score",      "reserve",    "permit",    "preBind",   "bind",   "postBind",
};

static int find_known(const char *name)
{
    for (int i = 0; i < known_count; i++) {
        if (strcmp(known[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

bool scheduler_configuration_knows(const char *plugin)
{
    return find_known(plugin) >= 0;
}

/* ---- sets ---- */

static bool check_list(const json_t *list, const char *path, bool takes_all, struct error *error)
{
    static const struct configuration_member members[] = {
        {"name", JSON_STRING}, {"weight", JSON_INTEGER}, {NULL, 0}};
    size_t i;
    const json_t *entry;
    json_array_foreach (list, i, entry) {
        cleanup(free_char)
        char *at = format("%s[%zu]", path, i);
        if (!configuration_check(entry, at, members, error) ||
            !scheduler_configuration_check_range(entry, at, "weight", 0, 1000000, error)) {
            return false;
        }
        const char *name = json_get_string(entry, "name");
        bool is_all = takes_all && name != NULL && strcmp(name, "*") == 0;
        if (!is_all && (name == NULL || find_known(name) < 0)) {
            return error_bad_request(error, "%s.name: plugin \"%s\" does not exist", at,
                                     name != NULL ? name : "");
        }
        for (size_t n = 0; n < i; n++) {
            if (!is_all && strcmp(json_get_string(json_array_get(list, n), "name"), name) == 0) {
                return error_bad_request(error, "%s.name: plugin \"%s\" already registered", at,
                                         name);
            }
        }
    }
    return true;
}

static bool check_sets(const json_t *sets, const char *path, struct error *error)
{
    static const struct configuration_member of_set[] = {
        {"enabled", JSON_ARRAY}, {"disabled", JSON_ARRAY}, {NULL, 0}};
    struct configuration_member members[array_length(points) + 1] = {0};
    for (size_t i = 0; i < array_length(points); i++) {
        members[i] = (struct configuration_member){points[i], JSON_OBJECT};
    }
    if (!configuration_check(sets, path, members, error)) {
        return false;
    }
    for (size_t i = 0; i < array_length(points); i++) {
        const json_t *set = json_object_get(sets, points[i]);
        cleanup(free_char)
        char *at = format("%s.%s", path, points[i]);
        cleanup(free_char)
        char *enabled = format("%s.enabled", at);
        cleanup(free_char)
        char *disabled = format("%s.disabled", at);
        if (json_is_object(set) &&
            (!configuration_check(set, at, of_set, error) ||
             !check_list(json_object_get(set, "enabled"), enabled, false, error) ||
             !check_list(json_object_get(set, "disabled"), disabled, true, error))) {
            return false;
        }
    }
    return true;
}

/* The entry of that name in "enabled" or "disabled" of a set; NULL: none. */
static const json_t *entry_of(const json_t *set, const char *list, const char *name)
{
    size_t i;
    const json_t *entry;
    json_array_foreach (json_object_get(set, list), i, entry) {
        if (strcmp(json_get_string(entry, "name"), name) == 0) {
            return entry;
        }
    }
    return NULL;
}

static bool is_disabled(const json_t *set, const char *name)
{
    return entry_of(set, "disabled", name) != NULL || entry_of(set, "disabled", "*") != NULL;
}

/* ---- what is enabled ---- */

struct chosen {
    int list[chosen_max]; /* Indexes of known plugins. */
    int64_t weights[chosen_max];
    size_t count;
};

static void choose(struct chosen *chosen, int index, int64_t weight)
{
    if (chosen->count < chosen_max) {
        chosen->list[chosen->count] = index;
        chosen->weights[chosen->count++] = weight;
    }
}

static int64_t weight_of(const json_t *entry)
{
    int64_t weight = json_get_int(entry, "weight", 0);
    return weight > 0 ? weight : 1;
}

/* At all points: the default ones, in their places, and what else is enabled behind them. */
static void choose_for_all(struct chosen *chosen, const json_t *set)
{
    for (int i = 0; i < known_count; i++) {
        const json_t *entry = entry_of(set, "enabled", known[i].name);
        bool is_default = !is_disabled(set, known[i].name);
        if (is_default) {
            int64_t weight = known[i].plugin != NULL ? known[i].plugin->weight : 0;
            choose(chosen, i, entry != NULL ? weight_of(entry) : weight);
        }
    }
    size_t n;
    const json_t *entry;
    json_array_foreach (json_object_get(set, "enabled"), n, entry) {
        if (is_disabled(set, json_get_string(entry, "name"))) {
            choose(chosen, find_known(json_get_string(entry, "name")), weight_of(entry));
        }
    }
}

static bool is_chosen(const struct chosen *chosen, int index)
{
    for (size_t i = 0; i < chosen->count; i++) {
        if (chosen->list[i] == index) {
            return true;
        }
    }
    return false;
}

/* At one point: first what is enabled at both, then at all points, then at this one only. */
static void choose_for_point(struct chosen *chosen, const struct chosen *all, const json_t *set)
{
    size_t i;
    const json_t *entry;
    json_array_foreach (json_object_get(set, "enabled"), i, entry) {
        int index = find_known(json_get_string(entry, "name"));
        if (is_chosen(all, index) && entry_of(set, "disabled", "*") == NULL) {
            choose(chosen, index, weight_of(entry));
        }
    }
    for (i = 0; i < all->count; i++) {
        if (!is_disabled(set, known[all->list[i]].name) && !is_chosen(chosen, all->list[i])) {
            choose(chosen, all->list[i], all->weights[i]);
        }
    }
    json_array_foreach (json_object_get(set, "enabled"), i, entry) {
        int index = find_known(json_get_string(entry, "name"));
        if (!is_chosen(chosen, index)) {
            choose(chosen, index, weight_of(entry));
        }
    }
}

static bool has_filter(const struct plugin *plugin)
{
    return plugin->fits != NULL;
}

static bool has_score(const struct plugin *plugin)
{
    return plugin->score != NULL;
}

static bool has_reserve(const struct plugin *plugin)
{
    return plugin->reserve != NULL;
}

static bool fill(const json_t *sets, const struct chosen *all, const char *path, const char *point,
                 bool (*has_point)(const struct plugin *plugin), const struct plugin **list,
                 int64_t *weights, struct error *error)
{
    struct chosen chosen = {0};
    const json_t *set = json_object_get(sets, point);
    size_t count = 0;
    choose_for_point(&chosen, all, set);
    for (size_t i = 0; i < chosen.count && count < PROFILE_PLUGINS_MAX; i++) {
        const struct plugin *plugin = known[chosen.list[i]].plugin;
        if (plugin != NULL && has_point(plugin)) {
            if (weights != NULL) {
                weights[count] = chosen.weights[i];
            }
            list[count++] = plugin;
        } else if (plugin != NULL && entry_of(set, "enabled", plugin->name) != NULL) {
            return error_bad_request(error, "%s.%s: plugin \"%s\" does not extend %s plugin", path,
                                     point, plugin->name, point);
        }
    }
    list[count] = NULL;
    return true;
}

static void leave_out_volumes(struct profile *profile)
{
    size_t count = 0;
    for (size_t i = 0; profile->filters[i] != NULL; i++) {
        if (!profile->filters[i]->is_about_volumes) {
            profile->plain_filters[count++] = profile->filters[i];
        }
    }
    profile->plain_filters[count] = NULL;
}

bool scheduler_configuration_plugins(struct profile *profile, const json_t *plugins_json,
                                     const char *path, struct error *error)
{
    struct chosen all = {0}, after = {0};
    if (!json_is_object(plugins_json)) {
        return true;
    }
    if (!check_sets(plugins_json, path, error)) {
        return false;
    }
    choose_for_all(&all, json_object_get(plugins_json, "multiPoint"));
    choose_for_point(&after, &all, json_object_get(plugins_json, "postFilter"));
    profile->never_preempts = !is_chosen(&after, find_known("DefaultPreemption"));
    if (!fill(plugins_json, &all, path, "filter", has_filter, profile->filters, NULL, error)) {
        return false;
    }
    leave_out_volumes(profile);
    return fill(plugins_json, &all, path, "score", has_score, profile->scores, profile->weights,
                error) &&
           fill(plugins_json, &all, path, "reserve", has_reserve, profile->reserves, NULL, error);
}
