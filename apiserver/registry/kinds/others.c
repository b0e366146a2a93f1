// SPDX-License-Identifier: Apache-2.0
/* Small hooks of other groups. */
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/validation/classes.h"
#include "apiserver/registry/validation/devices.h"
#include "apiserver/registry/validation/flow_control.h"
#include "apiserver/registry/validation/warnings.h"
#include "common/alloc.h"
#include "common/json.h"

/* ---- classes ---- */

const struct kind kind_priority_class = {
    .group = "scheduling.k8s.io",
    .plural = "priorityclasses",
    .validate = validate_priority_class,
};

const struct kind kind_runtime_class = {
    .group = "node.k8s.io",
    .plural = "runtimeclasses",
    .validate = validate_runtime_class,
    .warn = warn_about_runtime_class,
};

/* ---- flow control ---- */

const struct kind kind_flow_schema = {
    .group = "flowcontrol.apiserver.k8s.io",
    .plural = "flowschemas",
    .validate = validate_flow_schema,
};

const struct kind kind_priority_level = {
    .group = "flowcontrol.apiserver.k8s.io",
    .plural = "prioritylevelconfigurations",
    .validate = validate_priority_level,
};

/* ---- device claims and slices ---- */

static const struct conditional_default claim_defaults[] = {
    {"spec.devices.requests.exactly", "count", "1", "allocationMode", "ExactCount"},
    {"spec.devices.requests.firstAvailable", "count", "1", "allocationMode", "ExactCount"},
    {0},
};

static const struct conditional_default claim_template_defaults[] = {
    {"spec.spec.devices.requests.exactly", "count", "1", "allocationMode", "ExactCount"},
    {"spec.spec.devices.requests.firstAvailable", "count", "1", "allocationMode", "ExactCount"},
    {0},
};

static const struct conditional_default slice_defaults[] = {
    {"spec.devices.taints", "timeAdded", NULL, NULL, NULL},
    {0},
};

const struct kind kind_resource_claim = {
    .group = "resource.k8s.io",
    .plural = "resourceclaims",
    .defaults = claim_defaults,
    .validate = validate_resource_claim,
};

const struct kind kind_resource_claim_template = {
    .group = "resource.k8s.io",
    .plural = "resourceclaimtemplates",
    .defaults = claim_template_defaults,
    .validate = validate_resource_claim_template,
};

const struct kind kind_resource_slice = {
    .group = "resource.k8s.io",
    .plural = "resourceslices",
    .defaults = slice_defaults,
    .validate = validate_resource_slice,
};

const struct kind kind_device_class = {
    .group = "resource.k8s.io",
    .plural = "deviceclasses",
    .validate = validate_device_class,
};
