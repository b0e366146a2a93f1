// SPDX-License-Identifier: Apache-2.0
/*
 * Certificates: the server's and the authorities, read again when their files change, and the
 * client's, verified once a connection against the authorities of clients and of front proxies.
 *
 * libmicrohttpd gives the certificate callback no argument of ours, so there is one server
 * certificate a process. What was replaced stays in memory: handshakes and requests may still use
 * it.
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

struct authorities {
    gnutls_x509_trust_list_t list;
    struct authorities *older;
};

struct authorities_file {
    char *path; /* NULL: there are none. */
    struct authorities *_Atomic current;
    struct timespec changed; /* Guarded by the lock of the tls. */
};

struct tls {
    char *certificate_file, *key_file;
    struct authorities_file clients, proxies;
    atomic_uint authorities_state; /* How often one of the two has changed. */
    struct identity *_Atomic identity;
    _Atomic int64_t checked_ns; /* When somebody last looked at the files. */
    pthread_mutex_t lock;       /* Guards the times of files. */
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

/* Whether a file has changed since the last look. With the lock. */
static bool has_changed(const char *path, struct timespec *seen)
{
    struct stat file;
    if (stat(path, &file) != 0 || same_time(file.st_mtim, *seen)) {
        return false;
    }
    *seen = file.st_mtim;
    return true;
}

static void reload_identity(struct tls *tls)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct identity *fresh = load_identity(tls, &error);
    if (fresh == NULL) {
        log_warning("keeping the present serving certificate: %s", error.message);
        return;
    }
    fresh->older = atomic_load(&tls->identity);
    atomic_store(&tls->identity, fresh);
    log_info("serving certificate read again from %s", tls->certificate_file);
}

static bool load_authorities(struct authorities_file *file, struct error *error)
{
    gnutls_datum_t data = {0};
    if (!load_file(file->path, &data, error)) {
        return false;
    }
    struct authorities *fresh = allocate_struct(struct authorities);
    gnutls_x509_trust_list_init(&fresh->list, 0);
    int count =
        gnutls_x509_trust_list_add_trust_mem(fresh->list, &data, NULL, GNUTLS_X509_FMT_PEM, 0, 0);
    gnutls_free(data.data);
    if (count <= 0) {
        gnutls_x509_trust_list_deinit(fresh->list, 1);
        free(fresh);
        return error_internal(error, "%s holds no certificate authority in PEM form", file->path);
    }
    fresh->older = atomic_load(&file->current);
    atomic_store(&file->current, fresh);
    return true;
}

static void reload_authorities(struct tls *tls, struct authorities_file *file)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    if (!load_authorities(file, &error)) {
        log_warning("keeping the present authorities of clients: %s", error.message);
        return;
    }
    atomic_fetch_add(&tls->authorities_state, 1);
    log_info("authorities of clients read again from %s", file->path);
}

/* At most once a second, and by one thread at a time. */
static void reload_what_changed(struct tls *tls, int64_t now)
{
    int64_t checked = atomic_load(&tls->checked_ns);
    if (now - checked < reload_interval_ns ||
        !atomic_compare_exchange_strong(&tls->checked_ns, &checked, now)) {
        return;
    }
    pthread_mutex_lock(&tls->lock);
    bool certificate = has_changed(tls->certificate_file, &tls->certificate_changed);
    if (has_changed(tls->key_file, &tls->key_changed) || certificate) {
        reload_identity(tls);
    }
    struct authorities_file *const files[] = {&tls->clients, &tls->proxies};
    for (size_t i = 0; i < array_length(files); i++) {
        if (files[i]->path != NULL && has_changed(files[i]->path, &files[i]->changed)) {
            reload_authorities(tls, files[i]);
        }
    }
    pthread_mutex_unlock(&tls->lock);
}

unsigned tls_authorities_state(struct tls *tls, int64_t now_ns)
{
    reload_what_changed(tls, now_ns);
    return atomic_load(&tls->authorities_state);
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
    reload_what_changed(tls, timestamp_monotonic());
    struct identity *identity = atomic_load(&tls->identity);
    if (tls->clients.path != NULL || tls->proxies.path != NULL) {
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
    }
    *certificates = identity->chain;
    *certificate_count = identity->chain_length;
    *key = identity->key;
    return 0;
}

static bool open_authorities(struct authorities_file *file, const char *path, struct error *error)
{
    if (path == NULL) {
        return true;
    }
    file->path = duplicate(path);
    has_changed(path, &file->changed);
    return load_authorities(file, error);
}

struct tls *tls_open(const struct server_options *options, struct error *error)
{
    struct tls *tls = allocate_struct(struct tls);
    tls->certificate_file = duplicate(options->certificate_file);
    tls->key_file = duplicate(options->key_file);
    pthread_mutex_init(&tls->lock, NULL);
    has_changed(tls->certificate_file, &tls->certificate_changed);
    has_changed(tls->key_file, &tls->key_changed);
    struct identity *identity = load_identity(tls, error);
    atomic_store(&tls->identity, identity);
    bool opened = identity != NULL &&
                  open_authorities(&tls->clients, options->client_ca_file, error) &&
                  open_authorities(&tls->proxies, options->proxy_ca_file, error);
    if (!opened) {
        tls_free(tls);
        return NULL;
    }
    the_tls = tls;
    return tls;
}

static void authorities_clear(struct authorities_file *file)
{
    struct authorities *authorities = atomic_load(&file->current);
    while (authorities != NULL) {
        struct authorities *older = authorities->older;
        gnutls_x509_trust_list_deinit(authorities->list, 1);
        free(authorities);
        authorities = older;
    }
    free(file->path);
}

void tls_free(struct tls *tls)
{
    if (tls == NULL) {
        return;
    }
    the_tls = NULL;
    identity_free(atomic_load(&tls->identity));
    authorities_clear(&tls->clients);
    authorities_clear(&tls->proxies);
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

/* The one attribute of the kind that upstream keeps uids in: a short UTF-8 or printable string, in
 * DER as GnuTLS does not know it. "" when there is none, NULL when it is something else. */
static char *uid_part(gnutls_x509_crt_t certificate)
{
    static const char oid[] = "1.3.6.1.4.1.57683.2";
    unsigned char der[130];
    size_t size = sizeof der;
    int code = gnutls_x509_crt_get_dn_by_oid(certificate, oid, 0, 1, der, &size);
    if (code == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) {
        return duplicate("");
    }
    size_t second = 0;
    bool is_text = code == 0 && size >= 2 && (der[0] == 0x0c || der[0] == 0x13) &&
                   der[1] == size - 2 && memchr(der + 2, 0, size - 2) == NULL;
    bool is_only = gnutls_x509_crt_get_dn_by_oid(certificate, oid, 1, 1, NULL, &second) ==
                   GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
    return is_text && is_only ? duplicate_bytes(der + 2, size - 2) : NULL;
}

static struct client_certificate *take_names(gnutls_x509_crt_t certificate)
{
    size_t count = 0;
    struct client_certificate *taken = allocate_struct(struct client_certificate);
    char *common_name = name_part(certificate, GNUTLS_OID_X520_COMMON_NAME, 0);
    taken->common_name = common_name ? common_name : duplicate("");
    taken->uid = uid_part(certificate);
    taken->organizations = allocate_zero(organizations_max + 1, sizeof(char *));
    for (unsigned i = 0; i < organizations_max; i++) {
        char *organization = name_part(certificate, GNUTLS_OID_X520_ORGANIZATION_NAME, i);
        if (organization == NULL) {
            break;
        }
        taken->organizations[count++] = organization;
    }
    return taken;
}

static void add_fingerprint(const gnutls_datum_t *der, struct client_certificate *certificate)
{
    unsigned char hash[32];
    size_t size = sizeof hash;
    if (gnutls_fingerprint(GNUTLS_DIG_SHA256, der, hash, &size) == 0) {
        for (size_t i = 0; i < size; i++) {
            snprintf(certificate->sha256 + 2 * i, 3, "%02x", hash[i]);
        }
    }
}

static bool verifies(struct authorities_file *file, gnutls_x509_crt_t *chain, unsigned count)
{
    unsigned status = 0;
    struct authorities *authorities = atomic_load(&file->current);
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (void *)GNUTLS_KP_TLS_WWW_CLIENT};
    return authorities != NULL &&
           gnutls_x509_trust_list_verify_crt2(authorities->list, chain, count, &purpose, 1, 0,
                                              &status, NULL) == 0 &&
           status == 0;
}

struct client_certificate *tls_examine(struct tls *tls, gnutls_session_t session)
{
    unsigned count = 0, imported = 0;
    gnutls_x509_crt_t chain[chain_max];
    bool asked = tls->clients.path != NULL || tls->proxies.path != NULL;
    const gnutls_datum_t *shown = asked ? gnutls_certificate_get_peers(session, &count) : NULL;
    if (shown == NULL || count == 0) {
        return NULL;
    }
    for (; imported < count && imported < chain_max; imported++) {
        gnutls_x509_crt_init(&chain[imported]);
        if (gnutls_x509_crt_import(chain[imported], &shown[imported], GNUTLS_X509_FMT_DER) != 0) {
            gnutls_x509_crt_deinit(chain[imported]);
            break;
        }
    }
    struct client_certificate *certificate = NULL;
    if (imported == count) {
        certificate = take_names(chain[0]);
        add_fingerprint(&shown[0], certificate);
        bool is_whole = certificate->uid != NULL;
        certificate->trusted = is_whole && verifies(&tls->clients, chain, imported);
        certificate->trusted_as_proxy = is_whole && verifies(&tls->proxies, chain, imported);
    } else {
        certificate = allocate_struct(struct client_certificate); /* Trusted by nobody. */
    }
    for (unsigned i = 0; i < imported; i++) {
        gnutls_x509_crt_deinit(chain[i]);
    }
    return certificate;
}

void client_certificate_free(struct client_certificate *certificate)
{
    if (certificate == NULL) {
        return;
    }
    char **organization = certificate->organizations;
    for (; organization != NULL && *organization != NULL; organization++) {
        free(*organization);
    }
    free(certificate->organizations);
    free(certificate->common_name);
    free(certificate->uid);
    free(certificate);
}

void peer_free(struct peer *peer)
{
    if (peer != NULL) {
        client_certificate_free(peer->certificate);
        buffer_free(&peer->held);
        free(peer->address);
        free(peer->name);
        free(peer);
    }
}
