// SPDX-License-Identifier: Apache-2.0
#include "common/volume_migration.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

static const struct {
    const char *member, *plugin, *driver, *id;
} migrations[] = {
    {"awsElasticBlockStore", "kubernetes.io/aws-ebs", "ebs.csi.aws.com", "volumeID"},
    {"gcePersistentDisk", "kubernetes.io/gce-pd", "pd.csi.storage.gke.io", "pdName"},
    {"azureDisk", "kubernetes.io/azure-disk", "disk.csi.azure.com", "diskURI"},
    {"azureFile", "kubernetes.io/azure-file", "file.csi.azure.com", "shareName"},
    {"cinder", "kubernetes.io/cinder", "cinder.csi.openstack.org", "volumeID"},
    {"vsphereVolume", "kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com", "volumePath"},
    {"portworxVolume", "kubernetes.io/portworx-volume", "pxd.portworx.com", "volumeID"},
};

const char *volume_migration(const json_t *spec, const char **driver, const char **handle)
{
    for (size_t i = 0; i < array_length(migrations); i++) {
        const json_t *source = json_object_get(spec, migrations[i].member);
        if (source != NULL) {
            *driver = migrations[i].driver;
            const char *id = json_get_string(source, migrations[i].id);
            *handle = id != NULL ? id : "";
            return migrations[i].plugin;
        }
    }
    return NULL;
}

const char *volume_migrated_driver(const char *provisioner)
{
    for (size_t i = 0; i < array_length(migrations); i++) {
        if (strcmp(migrations[i].plugin, provisioner) == 0) {
            return migrations[i].driver;
        }
    }
    return provisioner;
}
