// SPDX-License-Identifier: Apache-2.0
/*
 * Certificates: the server's, read again when its files change, and the client's, verified once a
 * connection against the client CA.
 *
 * libmicrohttpd gives the certificate callback no argument of ours, so there is one server
 * certificate a process. Certificates that were replaced stay in memory: handshakes may still use
 * them.
 */
#include <errno.h>
#include <gnutls/x509.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "apiserver/http/internal.h"
#include "common/alloc.h"
#include "common/log.h"
#include "common/timestamp.h"

enum { chain_max = 8, organizations_max = 64, key_id_bytes = 32, reload_interval_ns = 1000000000 };

struct identity {
    gnutls_pcert_st chain[chain_max];
    unsigned chain_length;
    gnutls_privkey_t key;
    struct identity *older;
};

struct tls {
    char *certificate_file, *key_file;
    gnutls_x509_trust_list_t client_authorities; /* NULL: client certificates are not looked at. */
    struct identity *_Atomic identity;
    pthread_mutex_t lock; /* Guards the members below. */
    int64_t checked_ns;
    struct timespec certificate_changed, key_changed;
};

static struct tls *the_tls; /* Set before the daemon starts, unset after it stopped. */

static bool load_file(const char *path, gnutls_datum_t *data, struct error *error)
{
    errno = 0;
    int code = gnutls_load_file(path, data);
    return code == 0 || error_internal(error, "%s can't be read: %s", path,
                                       errno ? strerror(errno) : gnutls_strerror(code));
}

static void identity_free(struct identity *identity)
{
    while (identity != NULL) {
        struct identity *older = identity->older;
        for (unsigned i = 0; i < identity->chain_length; i++) {
            gnutls_pcert_deinit(&identity->chain[i]);
        }
        if (identity->key != NULL) {
            gnutls_privkey_deinit(identity->key);
        }
        free(identity);
        identity = older;
    }
}

static bool import_chain(struct identity *identity, const gnutls_datum_t *data, const char *path,
                         struct error *error)
{
    identity->chain_length = chain_max;
    int code = gnutls_pcert_list_import_x509_raw(identity->chain, &identity->chain_length, data,
                                                 GNUTLS_X509_FMT_PEM, 0);
    if (code != 0) {
        identity->chain_length = 0;
        return error_internal(error, "%s holds no certificate in PEM form", path);
    }
    return true;
}

static bool import_key(struct identity *identity, const gnutls_datum_t *data, const char *path,
                       struct error *error)
{
    gnutls_privkey_init(&identity->key);
    int code = gnutls_privkey_import_x509_raw(identity->key, data, GNUTLS_X509_FMT_PEM, NULL, 0);
    return code == 0 || error_internal(error, "%s holds no private key in PEM form", path);
}

static bool key_id(gnutls_pubkey_t key, unsigned char id[static key_id_bytes])
{
    size_t size = key_id_bytes;
    return gnutls_pubkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, id, &size) == 0 &&
           size == key_id_bytes;
}

/* Files are replaced one after the other, so one may be new and the other not yet. */
static bool fit_together(const struct identity *identity)
{
    unsigned char certified[key_id_bytes], own[key_id_bytes];
    gnutls_pubkey_t public;
    gnutls_pubkey_init(&public);
    bool fit = gnutls_pubkey_import_privkey(public, identity->key, 0, 0) == 0 &&
               key_id(public, own) && key_id(identity->chain[0].pubkey, certified) &&
               memcmp(own, certified, sizeof own) == 0;
    gnutls_pubkey_deinit(public);
    return fit;
}

static struct identity *load_identity(const struct tls *tls, struct error *error)
{
    gnutls_datum_t certificate = {0}, key = {0};
    struct identity *identity = allocate_struct(struct identity);
    bool loaded = load_file(tls->certificate_file, &certificate, error) &&
                  load_file(tls->key_file, &key, error) &&
                  import_chain(identity, &certificate, tls->certificate_file, error) &&
                  import_key(identity, &key, tls->key_file, error) &&
                  (fit_together(identity) ||
                   error_internal(error,
                                  "the private key in %s is not that of the certificate in "
                                  "%s",
                                  tls->key_file, tls->certificate_file));
    gnutls_free(certificate.data);
    gnutls_memset(key.data ? key.data : (unsigned char *)"", 0, key.data ? key.size : 0);
    gnutls_free(key.data);
    if (!loaded) {
        identity_free(identity);
        return NULL;
    }
    return identity;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Whether the files have changed since the last look, at most one look a second. With the lock. */
static bool files_changed(struct tls *tls)
{
    struct stat certificate, key;
    int64_t now = timestamp_monotonic();
    if (now - tls->checked_ns < reload_interval_ns) {
        return false;
    }
    tls->checked_ns = now;
    if (stat(tls->certificate_file, &certificate) != 0 || stat(tls->key_file, &key) != 0) {
        return false;
    }
    bool changed = !same_time(certificate.st_mtim, tls->certificate_changed) ||
                   !same_time(key.st_mtim, tls->key_changed);
    tls->certificate_changed = certificate.st_mtim;
    tls->key_changed = key.st_mtim;
    return changed;
}

static void reload_if_changed(struct tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    bool changed = files_changed(tls);
    pthread_mutex_unlock(&tls->lock);
    if (!changed) {
        return;
    }
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct identity *fresh = load_identity(tls, &error);
    if (fresh == NULL) {
        log_warning("keeping the present serving certificate: %s", error.message);
        return;
    }
    fresh->older = atomic_load(&tls->identity);
    while (!atomic_compare_exchange_weak(&tls->identity, &fresh->older, fresh)) {
    }
    log_info("serving certificate read again from %s", tls->certificate_file);
}

int tls_certificate(gnutls_session_t session, const gnutls_datum_t *authorities,
                    int authority_count, const gnutls_pk_algorithm_t *algorithms,
                    int algorithm_count, gnutls_pcert_st **certificates,
                    unsigned int *certificate_count, gnutls_privkey_t *key)
{
    (void)authorities;
    (void)authority_count;
    (void)algorithms;
    (void)algorithm_count;
    struct tls *tls = the_tls;
    reload_if_changed(tls);
    struct identity *identity = atomic_load(&tls->identity);
    if (tls->client_authorities != NULL) {
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
    }
    *certificates = identity->chain;
    *certificate_count = identity->chain_length;
    *key = identity->key;
    return 0;
}

static bool load_authorities(struct tls *tls, const char *path, struct error *error)
{
    gnutls_datum_t data = {0};
    if (!load_file(path, &data, error)) {
        return false;
    }
    gnutls_x509_trust_list_init(&tls->client_authorities, 0);
    int count = gnutls_x509_trust_list_add_trust_mem(tls->client_authorities, &data, NULL,
                                                     GNUTLS_X509_FMT_PEM, 0, 0);
    gnutls_free(data.data);
    return count > 0 ||
           error_internal(error, "%s holds no certificate authority in PEM form", path);
}

struct tls *tls_open(const struct server_options *options, struct error *error)
{
    struct tls *tls = allocate_struct(struct tls);
    tls->certificate_file = duplicate(options->certificate_file);
    tls->key_file = duplicate(options->key_file);
    pthread_mutex_init(&tls->lock, NULL);
    files_changed(tls);
    struct identity *identity = load_identity(tls, error);
    atomic_store(&tls->identity, identity);
    bool opened = identity != NULL && (options->client_ca_file == NULL ||
                                       load_authorities(tls, options->client_ca_file, error));
    if (!opened) {
        tls_free(tls);
        return NULL;
    }
    the_tls = tls;
    return tls;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL) {
        return;
    }
    the_tls = NULL;
    identity_free(atomic_load(&tls->identity));
    if (tls->client_authorities != NULL) {
        gnutls_x509_trust_list_deinit(tls->client_authorities, 1);
    }
    pthread_mutex_destroy(&tls->lock);
    free(tls->certificate_file);
    free(tls->key_file);
    free(tls);
}

/* ---- client certificates ---- */

static char *name_part(gnutls_x509_crt_t certificate, const char *oid, unsigned index)
{
    char text[512];
    size_t size = sizeof text;
    int code = gnutls_x509_crt_get_dn_by_oid(certificate, oid, index, 0, text, &size);
    return code == 0 && strlen(text) == size ? duplicate(text) : NULL;
}

static void take_names(gnutls_x509_crt_t certificate, struct peer *peer)
{
    size_t count = 0;
    peer->common_name = name_part(certificate, GNUTLS_OID_X520_COMMON_NAME, 0);
    peer->organizations = allocate_zero(organizations_max + 1, sizeof(char *));
    for (unsigned i = 0; i < organizations_max; i++) {
        char *organization = name_part(certificate, GNUTLS_OID_X520_ORGANIZATION_NAME, i);
        if (organization == NULL) {
            break;
        }
        peer->organizations[count++] = organization;
    }
    peer->refused = peer->common_name == NULL;
}

static bool verifies(const struct tls *tls, gnutls_x509_crt_t *chain, unsigned count)
{
    unsigned status = 0;
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (void *)GNUTLS_KP_TLS_WWW_CLIENT};
    int code = gnutls_x509_trust_list_verify_crt2(tls->client_authorities, chain, count, &purpose,
                                                  1, 0, &status, NULL);
    return code == 0 && status == 0;
}

void tls_examine(struct tls *tls, gnutls_session_t session, struct peer *peer)
{
    unsigned count = 0, imported = 0;
    gnutls_x509_crt_t chain[chain_max];
    peer->examined = true;
    const gnutls_datum_t *shown =
        tls->client_authorities ? gnutls_certificate_get_peers(session, &count) : NULL;
    if (shown == NULL || count == 0) {
        return;
    }
    peer->refused = true;
    for (; imported < count && imported < chain_max; imported++) {
        gnutls_x509_crt_init(&chain[imported]);
        if (gnutls_x509_crt_import(chain[imported], &shown[imported], GNUTLS_X509_FMT_DER) != 0) {
            gnutls_x509_crt_deinit(chain[imported]);
            break;
        }
    }
    if (imported == count && verifies(tls, chain, imported)) {
        take_names(chain[0], peer);
    }
    for (unsigned i = 0; i < imported; i++) {
        gnutls_x509_crt_deinit(chain[i]);
    }
}

void peer_free(struct peer *peer)
{
    if (peer == NULL) {
        return;
    }
    for (size_t i = 0; peer->organizations != NULL && peer->organizations[i] != NULL; i++) {
        free(peer->organizations[i]);
    }
    free(peer->organizations);
    free(peer->common_name);
    free(peer);
}
