// SPDX-License-Identifier: Apache-2.0
/* Kinds that lead traffic, services aside. */
#include "apiserver/registry/validation/networking.h"
#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/validation/warnings.h"

/* ---- network policies ---- */

/* Ingress always, egress if there are rules for it. */
static const struct conditional_default network_policy_defaults[] = {
    {"spec", "policyTypes", "[\"Ingress\",\"Egress\"]", "egress", default_when_present},
    {"spec", "policyTypes", "[\"Ingress\"]", NULL, NULL},
    {0},
};

const struct kind kind_network_policy = {
    .group = "networking.k8s.io",
    .plural = "networkpolicies",
    .defaults = network_policy_defaults,
    .validate = validate_network_policy,
    .warn = warn_about_network_policy,
};

/* ---- what leads traffic ---- */

const struct kind kind_ingress = {
    .group = "networking.k8s.io",
    .plural = "ingresses",
    .validate = validate_ingress,
    .warn = warn_about_ingress,
};

const struct kind kind_ingress_class = {
    .group = "networking.k8s.io",
    .plural = "ingressclasses",
    .validate = validate_ingress_class,
};

const struct kind kind_ip_address = {
    .group = "networking.k8s.io",
    .plural = "ipaddresses",
    .validate = validate_ip_address,
};

const struct kind kind_service_cidr = {
    .group = "networking.k8s.io",
    .plural = "servicecidrs",
    .validate = validate_service_cidr,
};

const struct kind kind_endpoints = {
    .group = "",
    .plural = "endpoints",
    .deprecation = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    .validate = validate_endpoints,
    .warn = warn_about_endpoints,
};

const struct kind kind_endpoint_slice = {
    .group = "discovery.k8s.io",
    .plural = "endpointslices",
    .validate = validate_endpoint_slice,
    .warn = warn_about_endpoint_slice,
};
