// SPDX-License-Identifier: Apache-2.0
#include "controllers/volume_class.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

static bool is_marked(const struct cached_object *class)
{
    static const char *const marks[] = {"storageclass.kubernetes.io/is-default-class",
                                        "storageclass.beta.kubernetes.io/is-default-class"};
    cleanup(json_release)
    json_t *tree = cached_object_tree(class);
    for (size_t i = 0; i < array_length(marks); i++) {
        const char *mark = json_path_string(tree, "metadata", "annotations", marks[i]);
        if (mark != NULL && strcmp(mark, "true") == 0) {
            return true;
        }
    }
    return false;
}

static bool is_better(const struct cached_object *class, const struct cached_object *than)
{
    return class->creation != than->creation ? class->creation > than->creation
                                             : strcmp(class->name, than->name) < 0;
}

char *volume_class_default(struct informer *classes)
{
    cleanup(cached_list_free)
    struct cached_list list = CACHED_LIST_INIT;
    const struct cached_object *best = NULL;
    indexer_select(informer_indexer(classes), NULL, NULL, &list);
    for (size_t i = 0; i < list.count; i++) {
        const struct cached_object *class = list.items[i];
        if (is_marked(class) && (best == NULL || is_better(class, best))) {
            best = class;
        }
    }
    return best != NULL ? duplicate(best->name) : NULL;
}

bool volume_class_is_open(const json_t *claim)
{
    return json_path(claim, "spec", "storageClassName") == NULL &&
           json_path(claim, "metadata", "annotations", "volume.beta.kubernetes.io/storage-class") ==
               NULL;
}
