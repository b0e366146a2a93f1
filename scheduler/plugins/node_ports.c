// SPDX-License-Identifier: Apache-2.0
/* NodePorts: two pods on a node can't have the same host port, protocol and address; the address
 * 0.0.0.0 stands for all. */
#include <string.h>

#include "scheduler/plugin.h"

static bool conflicts(const struct host_port *wanted, const struct used_port *used)
{
    static const char any[] = "0.0.0.0";
    return wanted->port == used->port && strcmp(wanted->protocol, used->protocol) == 0 &&
           (strcmp(wanted->address, used->address) == 0 || strcmp(wanted->address, any) == 0 ||
            strcmp(used->address, any) == 0);
}

static bool fits(const struct cycle *cycle, const struct node *node)
{
    const struct pod_class *class = cycle->class;
    for (size_t i = 0; i < class->host_port_count; i++) {
        for (size_t n = 0; n < node->port_count; n++) {
            if (conflicts(&class->host_ports[i], &node->ports[n])) {
                return false;
            }
        }
    }
    return true;
}

static bool is_needless(const struct cycle *cycle)
{
    return cycle->class->host_port_count == 0;
}

static void explain(const struct cycle *cycle, const struct node *node, struct reasons *reasons)
{
    (void)cycle;
    (void)node;
    reasons_add(reasons, "node(s) didn't have free ports for the requested pod ports");
}

const struct plugin plugin_node_ports = {
    .name = "NodePorts",
    .is_local = true,
    .events = EVENT_NODE | EVENT_POD_LEFT,
    .fits = fits,
    .is_needless = is_needless,
    .explain = explain,
};
