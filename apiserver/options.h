// SPDX-License-Identifier: Apache-2.0
/*
 * What the API server's command line says.
 *
 * A new flag is a member of the struct and a line of the table in options.c.
 */
#ifndef APISERVER_OPTIONS_H
#define APISERVER_OPTIONS_H

#include "apiserver/admission/options.h"
#include "apiserver/audit/audit.h"
#include "apiserver/auth/authn.h"
#include "apiserver/auth/authz.h"
#include "apiserver/flowcontrol/flowcontrol.h"
#include "apiserver/storage/encrypted_store.h"

/* Texts are borrowed from the command line, NULL where it says nothing. */
struct options {
    const char *bind_address, *advertise_address, *certificate, *key, *client_ca;
    struct authn_options authn;
    int64_t port;
    const char *store_file, *etcd_servers, *etcd_ca, *etcd_certificate, *etcd_key;
    const char *service_range, *node_port_range;
    struct encrypted_store_options encryption;
    int64_t event_ttl_ns, compaction_interval_ns, workers;
    int64_t connections, client_connections;
    struct admission_options admission;
    struct authz_options authz;
    struct audit_options audit;
    struct flowcontrol_options flowcontrol;
    int64_t fault_percent;
    bool verbose;
};

/* Sets the options: what the command line says, else the defaults. What is wrong or does not go
 * together is an error (400) that names the flag. */
bool options_parse(int count, char **arguments, struct options *options, struct error *error);

#endif
