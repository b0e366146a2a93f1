// SPDX-License-Identifier: Apache-2.0
/* The objects that every cluster has, what is to be done about a stored one, and conditions. */
#include <string.h>

#include "apiserver/flowcontrol/keeper.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"
#include "common/yaml.h"

extern const char flowcontrol_objects[];

/* objects.yaml as it is, with a NUL behind it. */
__asm__(".pushsection .rodata\n"
        ".global flowcontrol_objects\nflowcontrol_objects:\n"
        ".incbin \"apiserver/flowcontrol/objects.yaml\"\n"
        ".byte 0\n"
        ".popsection\n");

static const char autoupdate[] = "apf.kubernetes.io/autoupdate-spec";

json_t *keeper_objects(struct error *error)
{
    return yaml_parse(flowcontrol_objects, strlen(flowcontrol_objects), NULL, NULL, error);
}

/* As Go's strconv.ParseBool reads it; -1: it is none. */
static int parse_boolean(const char *text)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    for (size_t i = 0; text != NULL && i < array_length(yes); i++) {
        if (strcmp(text, yes[i]) == 0) {
            return 1;
        }
        if (strcmp(text, no[i]) == 0) {
            return 0;
        }
    }
    return -1;
}

static bool is_kept(const json_t *live, const json_t *wanted)
{
    if (json_get_bool(wanted, "mandatory", false)) {
        return true;
    }
    int said = parse_boolean(json_path_string(live, "metadata", "annotations", autoupdate));
    return said >= 0 ? said == 1
                     : json_get_int(json_object_get(live, "metadata"), "generation", 0) == 1;
}

/* Of an exempt level, what it takes part with in lending is everybody's own affair. */
static bool is_as_wanted(const json_t *live, const json_t *wanted)
{
    const char *type = json_get_string(wanted, "type"), *present = json_get_string(live, "type");
    if (type != NULL && strcmp(type, "Exempt") == 0) {
        return present != NULL && strcmp(present, type) == 0 &&
               json_object_get(live, "limited") == NULL;
    }
    return json_equal(live, wanted);
}

json_t *keeper_repair(const json_t *live, const json_t *wanted)
{
    bool kept = is_kept(live, wanted), changed = false;
    const char *said = json_path_string(live, "metadata", "annotations", autoupdate);
    cleanup(json_release)
    json_t *better = json_deep_copy(live);
    if (said == NULL || strcmp(said, kept ? "true" : "false") != 0) {
        json_t *metadata = json_get_or_add_object(better, "metadata");
        json_object_set_new(json_get_or_add_object(metadata, "annotations"), autoupdate,
                            json_string(kept ? "true" : "false"));
        changed = true;
    }
    const json_t *spec = json_object_get(wanted, "spec");
    if (kept && !is_as_wanted(json_object_get(live, "spec"), spec)) {
        json_object_set_new(better, "spec", json_deep_copy(spec));
        changed = true;
    }
    return changed ? steal(better) : NULL;
}

/* ---- conditions ---- */

static json_t *condition_of(const json_t *live, bool dangling)
{
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    const char *level = json_path_string(live, "spec", "priorityLevelConfiguration", "name");
    cleanup(free_char)
    char *message =
        format("This FlowSchema references the PriorityLevelConfiguration object named "
               "\"%s\" %s",
               level ? level : "", dangling ? "but there is no such object" : "and it exists");
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "Dangling", "status",
                     dangling ? "True" : "False", "lastTransitionTime", now, "reason",
                     dangling ? "NotFound" : "Found", "message", message);
}

static bool same_text(const json_t *a, const json_t *b, const char *name)
{
    return json_equal(json_object_get(a, name), json_object_get(b, name));
}

json_t *keeper_set_dangling(const json_t *live, bool dangling)
{
    cleanup(json_release)
    json_t *better = json_deep_copy(live);
    cleanup(json_release)
    json_t *condition = condition_of(live, dangling);
    json_t *status = json_get_or_add_object(better, "status");
    json_t *conditions = json_object_get(status, "conditions");
    if (!json_is_array(conditions)) {
        json_object_set_new(status, "conditions", json_array());
        conditions = json_object_get(status, "conditions");
    }
    size_t i;
    json_t *present;
    json_array_foreach (conditions, i, present) {
        if (!same_text(present, condition, "type")) {
            continue;
        }
        bool same = same_text(present, condition, "status");
        if (same && same_text(present, condition, "reason") &&
            same_text(present, condition, "message")) {
            return NULL;
        }
        if (same) {
            json_object_set(condition, "lastTransitionTime",
                            json_object_get(present, "lastTransitionTime"));
        }
        json_array_set(conditions, i, condition);
        return steal(better);
    }
    json_array_append(conditions, condition);
    return steal(better);
}
