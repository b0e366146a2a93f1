// SPDX-License-Identifier: Apache-2.0
/* ImageLocality: a node is better that holds the images of the pod's containers already, the more
 * the larger they are; but an image that few nodes hold counts less, so that these are not crowded.
 */
#include <string.h>

#include "scheduler/node_images.h"
#include "scheduler/plugin.h"

#define MEBIBYTE (INT64_C(1) << 20)

/* What an image is worth where it is. */
static int64_t worth(const struct cycle *cycle, const struct node_image *image)
{
    double spread = (double)image->nodes / (double)cycle->cache->node_count;
    return (int64_t)((double)image->size * spread);
}

static void add_image(const struct cycle *cycle, const struct node_image *image, int64_t *scores)
{
    int64_t value = worth(cycle, image);
    for (size_t i = 0; i < cycle->node_count; i++) {
        scores[i] += node_image_is_held(image, cycle->nodes[i]) ? value : 0;
    }
}

static bool score(const struct cycle *cycle, int64_t *scores)
{
    const struct pod_class *class = cycle->class;
    const int64_t least = 23 * MEBIBYTE, most = 1000 * MEBIBYTE * (int64_t) class->image_count;
    bool any = false;
    for (size_t i = 0; i < class->image_count; i++) {
        const struct node_image *image = node_images_find(cycle->cache, class->images[i]);
        if (image == NULL) {
            continue;
        }
        if (!any) {
            memset(scores, 0, cycle->node_count * sizeof *scores);
            any = true;
        }
        add_image(cycle, image, scores);
    }
    for (size_t i = 0; any && i < cycle->node_count; i++) {
        int64_t sum = scores[i] < least ? least : scores[i] > most ? most : scores[i];
        scores[i] = SCORE_MAX * (sum - least) / (most - least);
    }
    return any;
}

const struct plugin plugin_image_locality = {
    .name = "ImageLocality",
    .weight = 1,
    .score = score,
};
