// SPDX-License-Identifier: Apache-2.0
#include "controllers/resources.h"

const struct api_resource resource_certificate_signing_requests = {
    "certificates.k8s.io/v1", "certificatesigningrequests", "CertificateSigningRequest", false};
const struct api_resource resource_clusterroles = {"rbac.authorization.k8s.io/v1", "clusterroles",
                                                   "ClusterRole", false};
const struct api_resource resource_configmaps = {"v1", "configmaps", "ConfigMap", true};
const struct api_resource resource_controllerrevisions = {"apps/v1", "controllerrevisions",
                                                          "ControllerRevision", true};
const struct api_resource resource_cronjobs = {"batch/v1", "cronjobs", "CronJob", true};
const struct api_resource resource_csi_drivers = {"storage.k8s.io/v1", "csidrivers", "CSIDriver",
                                                  false};
const struct api_resource resource_daemonsets = {"apps/v1", "daemonsets", "DaemonSet", true};
const struct api_resource resource_deployments = {"apps/v1", "deployments", "Deployment", true};
const struct api_resource resource_endpoints = {"v1", "endpoints", "Endpoints", true};
const struct api_resource resource_endpointslices = {"discovery.k8s.io/v1", "endpointslices",
                                                     "EndpointSlice", true};
const struct api_resource resource_horizontal_pod_autoscalers = {
    "autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", true};
const struct api_resource resource_ip_addresses = {"networking.k8s.io/v1", "ipaddresses",
                                                   "IPAddress", false};
const struct api_resource resource_jobs = {"batch/v1", "jobs", "Job", true};
const struct api_resource resource_leases = {"coordination.k8s.io/v1", "leases", "Lease", true};
const struct api_resource resource_namespaces = {"v1", "namespaces", "Namespace", false};
const struct api_resource resource_nodes = {"v1", "nodes", "Node", false};
const struct api_resource resource_persistent_volume_claims = {"v1", "persistentvolumeclaims",
                                                               "PersistentVolumeClaim", true};
const struct api_resource resource_persistent_volumes = {"v1", "persistentvolumes",
                                                         "PersistentVolume", false};
const struct api_resource resource_pod_disruption_budgets = {"policy/v1", "poddisruptionbudgets",
                                                             "PodDisruptionBudget", true};
const struct api_resource resource_pods = {"v1", "pods", "Pod", true};
const struct api_resource resource_replicasets = {"apps/v1", "replicasets", "ReplicaSet", true};
const struct api_resource resource_replicationcontrollers = {"v1", "replicationcontrollers",
                                                             "ReplicationController", true};
const struct api_resource resource_resource_quotas = {"v1", "resourcequotas", "ResourceQuota",
                                                      true};
const struct api_resource resource_secrets = {"v1", "secrets", "Secret", true};
const struct api_resource resource_service_accounts = {"v1", "serviceaccounts", "ServiceAccount",
                                                       true};
const struct api_resource resource_service_cidrs = {"networking.k8s.io/v1", "servicecidrs",
                                                    "ServiceCIDR", false};
const struct api_resource resource_services = {"v1", "services", "Service", true};
const struct api_resource resource_statefulsets = {"apps/v1", "statefulsets", "StatefulSet", true};
const struct api_resource resource_subject_access_reviews = {
    "authorization.k8s.io/v1", "subjectaccessreviews", "SubjectAccessReview", false};
const struct api_resource resource_storage_classes = {"storage.k8s.io/v1", "storageclasses",
                                                      "StorageClass", false};
const struct api_resource resource_volume_attachments = {"storage.k8s.io/v1", "volumeattachments",
                                                         "VolumeAttachment", false};
const struct api_resource resource_volume_attributes_classes = {
    "storage.k8s.io/v1", "volumeattributesclasses", "VolumeAttributesClass", false};
