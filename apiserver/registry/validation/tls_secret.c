// SPDX-License-Identifier: Apache-2.0
/* Whether the two halves of a kubernetes.io/tls secret belong together. What is wrong is only
 * warned of, in the words of Go's tls.X509KeyPair, which upstream asks. */
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/warnings.h"
#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"

static const char certificate_block[] = "CERTIFICATE";

/* What a PEM text holds: the first block that is looked for, else what was passed over. */
struct blocks {
    unsigned char *bytes; /* OpenSSL's; NULL when there is none. */
    long length;
    size_t skipped;
    struct buffer names; /* Of those skipped, with blanks between. */
};

static void blocks_clear(struct blocks *blocks)
{
    OPENSSL_free(blocks->bytes);
    buffer_free(&blocks->names);
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static bool is_wanted(const char *name, bool key)
{
    return key ? strcmp(name, "PRIVATE KEY") == 0 || ends_with(name, " PRIVATE KEY")
               : strcmp(name, certificate_block) == 0;
}

static void read_blocks(const json_t *data, const char *member, bool key, struct blocks *blocks)
{
    const json_t *value = json_object_get(data, member);
    size_t length = 0;
    cleanup(free_char)
    char *text = base64_decode(json_string_value(value), json_string_length(value), &length);
    BIO *source = BIO_new_mem_buf(text ? text : "", (int)length);
    char *name, *header;
    unsigned char *bytes;
    long size;
    while (blocks->bytes == NULL && source != NULL &&
           PEM_read_bio(source, &name, &header, &bytes, &size) == 1) {
        if (is_wanted(name, key)) {
            blocks->bytes = bytes;
            blocks->length = size;
        } else {
            buffer_addf(&blocks->names, "%s%s", blocks->skipped > 0 ? " " : "", name);
            blocks->skipped++;
            OPENSSL_free(bytes);
        }
        OPENSSL_free(name);
        OPENSSL_free(header);
    }
    BIO_free(source);
}

/* True when a block was found. */
static bool check_certificate_blocks(struct write *write, const struct blocks *blocks)
{
    const char *names = buffer_text(&blocks->names);
    if (blocks->bytes != NULL) {
        return true;
    }
    if (blocks->skipped == 0) {
        write_warn(write, "tls: failed to find any PEM data in certificate input");
    } else if (blocks->skipped == 1 && ends_with(names, "PRIVATE KEY")) {
        write_warn(write,
                   "tls: failed to find certificate PEM data in certificate input, but did find a "
                   "private key; PEM inputs may have been switched");
    } else {
        write_warn(write,
                   "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after "
                   "skipping PEM blocks of the following types: [%s]",
                   names);
    }
    return false;
}

static bool check_key_blocks(struct write *write, const struct blocks *blocks)
{
    const char *names = buffer_text(&blocks->names);
    if (blocks->bytes != NULL) {
        return true;
    }
    if (blocks->skipped == 0) {
        write_warn(write, "tls: failed to find any PEM data in key input");
    } else if (blocks->skipped == 1 && strcmp(names, certificate_block) == 0) {
        write_warn(write,
                   "tls: found a certificate rather than a key in the PEM for the private key");
    } else {
        write_warn(write,
                   "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input "
                   "after skipping PEM blocks of the following types: [%s]",
                   names);
    }
    return false;
}

static void check_pair(struct write *write, const struct blocks *certificates,
                       const struct blocks *keys)
{
    const unsigned char *at = certificates->bytes;
    X509 *certificate = d2i_X509(NULL, &at, certificates->length);
    at = keys->bytes;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &at, keys->length);
    if (certificate == NULL) {
        write_warn(write, "x509: malformed certificate");
    } else if (key == NULL) {
        write_warn(write, "tls: failed to parse private key");
    } else if (X509_check_private_key(certificate, key) != 1) {
        write_warn(write, "tls: private key does not match public key");
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void warn_about_secret(struct write *write)
{
    const json_t *data = json_object_get(write->object, "data");
    cleanup(blocks_clear)
    struct blocks certificates = {.names = BUFFER_INIT};
    cleanup(blocks_clear)
    struct blocks keys = {.names = BUFFER_INIT};
    if (!check_is(write->object, "type", "kubernetes.io/tls")) {
        return;
    }
    read_blocks(data, "tls.crt", false, &certificates);
    read_blocks(data, "tls.key", true, &keys);
    if (check_certificate_blocks(write, &certificates) && check_key_blocks(write, &keys)) {
        check_pair(write, &certificates, &keys);
    }
}
