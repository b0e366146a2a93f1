// SPDX-License-Identifier: Apache-2.0
#include "apiserver/storage/encryption.h"

#include <sodium.h>
#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"
#include "common/yaml.h"

enum { entries_max = 1000, keys_max = 1000 };

static const char encrypted_prefix[] = "k8s:enc:";

struct named_key {
    char *prefix; /* "k8s:enc:aesgcm:v1:key1:"; "" for identity. */
    size_t provider_prefix_length;
    const char *no_key; /* What to say when only the provider's prefix matches. */
    struct cipher_key key;
};

struct transformer {
    struct named_key *keys;
    size_t count, capacity;
};

struct entry {
    const json_t *resources; /* Strings, borrowed from the tree. */
    struct transformer transformer;
};

struct encryption {
    json_t *tree;
    struct entry *entries;
    size_t count;
};

static const struct provider {
    const char *name;
    enum cipher cipher;
    const char *no_key;
} providers[] = {
    {"aesgcm", CIPHER_AES_GCM, "no matching key was found for the provided AES transformer"},
    {"aescbc", CIPHER_AES_CBC, "no matching key was found for the provided AES transformer"},
    {"secretbox", CIPHER_SECRETBOX,
     "no matching key was found for the provided Secretbox transformer"},
    {"identity", CIPHER_NONE, NULL},
};

/* ---- reading ---- */

/* Where the reader is: "resources[0].providers[1].aesgcm.keys[0].". */
struct place {
    struct error *error;
    char text[160];
};

static struct place inside(const struct place *place, const char *name, size_t index)
{
    struct place inner = {.error = place->error};
    cleanup(free_char)
    char *text = format("%s%s[%zu].", place->text, name, index);
    strncpy(inner.text, text, sizeof inner.text - 1);
    return inner;
}

static bool wrong(const struct place *place, const char *field, const char *what)
{
    return error_bad_request(place->error, "%s%s: %s", place->text, field, what);
}

/* No other members than these. */
static bool knows_fields(const struct place *place, const json_t *object, const char *const *known)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)object, name, value) {
        size_t i = 0;
        while (known[i] != NULL && strcmp(known[i], name) != 0) {
            i++;
        }
        if (known[i] == NULL) {
            return wrong(place, name, "unknown field");
        }
    }
    return true;
}

static bool take_secret(const struct place *place, const char *secret, struct cipher_key *key)
{
    size_t length = 0;
    cleanup(free_char)
    char *bytes = base64_decode(secret, strlen(secret), &length);
    char what[96];
    if (bytes == NULL) {
        return wrong(place, "secret", "secrets must be base64 encoded");
    }
    bool takes = cipher_takes_key_of(key->cipher, length);
    if (takes) {
        memcpy(key->bytes, bytes, length);
        key->length = length;
    }
    explicit_bzero(bytes, length);
    snprintf(what, sizeof what, "secret is not of the expected length, got %zu, expected one of %s",
             length, key->cipher == CIPHER_SECRETBOX ? "[32]" : "[16 24 32]");
    return takes || wrong(place, "secret", what);
}

static bool take_key(const struct place *place, const struct provider *provider,
                     const json_t *object, struct transformer *transformer)
{
    static const char *const known[] = {"name", "secret", NULL};
    const char *name = json_get_string(object, "name"), *secret = json_get_string(object, "secret");
    if (!knows_fields(place, object, known)) {
        return false;
    }
    if (name == NULL || name[0] == '\0') {
        return wrong(place, "name", "Required value: name is a mandatory field for a key");
    }
    if (strchr(name, ':') != NULL) {
        return wrong(place, "name", "must not have a colon");
    }
    if (secret == NULL || secret[0] == '\0') {
        return wrong(place, "secret", "Required value: secret is a mandatory field for a key");
    }
    struct named_key made = {
        .provider_prefix_length = sizeof encrypted_prefix - 1 + strlen(provider->name) + 4,
        .no_key = provider->no_key,
        .key = {.cipher = provider->cipher},
    };
    if (!take_secret(place, secret, &made.key)) {
        return false;
    }
    made.prefix = format("%s%s:v1:%s:", encrypted_prefix, provider->name, name);
    transformer->keys = grow(transformer->keys, transformer->count, &transformer->capacity,
                             sizeof *transformer->keys);
    transformer->keys[transformer->count++] = made;
    return true;
}

static bool take_identity(struct transformer *transformer)
{
    transformer->keys = grow(transformer->keys, transformer->count, &transformer->capacity,
                             sizeof *transformer->keys);
    transformer->keys[transformer->count++] = (struct named_key){.prefix = duplicate("")};
    return true;
}

static bool take_keys(const struct place *place, const struct provider *provider,
                      const json_t *object, struct transformer *transformer)
{
    static const char *const known[] = {"keys", NULL};
    const json_t *keys = json_object_get(object, "keys");
    struct place here = {.error = place->error};
    cleanup(free_char)
    char *text = format("%s%s.", place->text, provider->name);
    strncpy(here.text, text, sizeof here.text - 1);
    if (json_is_object(object) && !knows_fields(&here, object, known)) {
        return false;
    }
    if (json_array_size(keys) == 0 || json_array_size(keys) > keys_max) {
        return wrong(&here, "keys", "Required value: at least one key is required");
    }
    for (size_t i = 0; i < json_array_size(keys); i++) {
        struct place inner = inside(&here, "keys", i);
        if (!take_key(&inner, provider, json_array_get(keys, i), transformer)) {
            return false;
        }
    }
    return true;
}

static bool take_provider(const struct place *place, const json_t *object,
                          struct transformer *transformer)
{
    if (json_object_get(object, "kms") != NULL) {
        return wrong(place, "kms", "this server can't use a key management service");
    }
    if (json_object_size(object) != 1) {
        return error_bad_request(place->error,
                                 "%.*s: a provider must be one of aesgcm, aescbc, secretbox and "
                                 "identity",
                                 (int)strlen(place->text) - 1, place->text);
    }
    const char *name = json_object_iter_key(json_object_iter((json_t *)object));
    const json_t *value = json_object_get(object, name);
    for (size_t i = 0; i < array_length(providers); i++) {
        const struct provider *provider = &providers[i];
        if (strcmp(provider->name, name) == 0) {
            return provider->cipher == CIPHER_NONE ? take_identity(transformer)
                                                   : take_keys(place, provider, value, transformer);
        }
    }
    return wrong(place, name, "unknown provider");
}

static bool take_resources(const struct place *place, const json_t *resources)
{
    if (json_array_size(resources) == 0) {
        return wrong(place, "resources", "Required value: at least one resource is required");
    }
    for (size_t i = 0; i < json_array_size(resources); i++) {
        const char *name = json_string_value(json_array_get(resources, i));
        struct place here = inside(place, "resources", i);
        here.text[strlen(here.text) - 1] = '\0'; /* The dot. */
        if (name == NULL || name[0] == '\0') {
            return wrong(&here, "", "must be the name of a resource");
        }
        if (strcmp(name, "*") == 0) {
            return wrong(&here, "",
                         "use '*.' to encrypt all the resources from core API group or "
                         "*.* to encrypt all resources");
        }
    }
    return true;
}

static bool take_entry(const struct place *place, const json_t *object, struct entry *entry)
{
    static const char *const known[] = {"resources", "providers", NULL};
    const json_t *list = json_object_get(object, "providers");
    entry->resources = json_object_get(object, "resources");
    if (!knows_fields(place, object, known) || !take_resources(place, entry->resources)) {
        return false;
    }
    if (json_array_size(list) == 0) {
        return wrong(place, "providers", "Required value: at least one provider is required");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct place inner = inside(place, "providers", i);
        if (!take_provider(&inner, json_array_get(list, i), &entry->transformer)) {
            return false;
        }
    }
    return true;
}

static bool take_all(struct encryption *encryption, struct error *error)
{
    static const char *const known[] = {"kind", "apiVersion", "resources", NULL};
    const json_t *tree = encryption->tree, *list = json_object_get(tree, "resources");
    const char *kind = json_get_string(tree, "kind"),
               *version = json_get_string(tree, "apiVersion");
    struct place place = {.error = error};
    if (kind == NULL || strcmp(kind, "EncryptionConfiguration") != 0) {
        return wrong(&place, "kind", "must be EncryptionConfiguration");
    }
    if (version == NULL || strcmp(version, "apiserver.config.k8s.io/v1") != 0) {
        return wrong(&place, "apiVersion", "must be apiserver.config.k8s.io/v1");
    }
    if (!knows_fields(&place, tree, known)) {
        return false;
    }
    if (json_array_size(list) == 0 || json_array_size(list) > entries_max) {
        return wrong(&place, "resources", "Required value: at least one resource is required");
    }
    encryption->entries = allocate_zero(json_array_size(list), sizeof *encryption->entries);
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct place inner = inside(&place, "resources", i);
        encryption->count++;
        if (!take_entry(&inner, json_array_get(list, i), &encryption->entries[i])) {
            return false;
        }
    }
    return sodium_init() >= 0 || error_internal(error, "libsodium can't be used");
}

struct encryption *encryption_parse(const char *text, size_t length, struct error *error)
{
    struct encryption *encryption = allocate_struct(struct encryption);
    encryption->tree = yaml_parse(text, length, NULL, NULL, error);
    if (encryption->tree == NULL || !take_all(encryption, error)) {
        encryption_free(encryption);
        return NULL;
    }
    return encryption;
}

void encryption_free(struct encryption *encryption)
{
    for (size_t i = 0; encryption != NULL && i < encryption->count; i++) {
        struct transformer *transformer = &encryption->entries[i].transformer;
        for (size_t k = 0; k < transformer->count; k++) {
            free(transformer->keys[k].prefix);
            explicit_bzero(&transformer->keys[k].key, sizeof transformer->keys[k].key);
        }
        free(transformer->keys);
    }
    if (encryption != NULL) {
        json_decref(encryption->tree);
        free(encryption->entries);
        free(encryption);
    }
}

/* ---- finding ---- */

/* "secrets", "deployments.apps", "*.apps" (a group), "*." (the core group), "*.*". */
static bool covers(const char *pattern, const char *group, const char *plural)
{
    size_t length = strlen(plural);
    if (pattern[0] == '*' && pattern[1] == '.') {
        return strcmp(pattern + 2, "*") == 0 || strcmp(pattern + 2, group) == 0;
    }
    if (strncmp(pattern, plural, length) != 0) {
        return false;
    }
    return group[0] == '\0' ? pattern[length] == '\0'
                            : pattern[length] == '.' && strcmp(pattern + length + 1, group) == 0;
}

const struct transformer *encryption_find(const struct encryption *encryption, const char *group,
                                          const char *plural)
{
    for (size_t i = 0; i < encryption->count; i++) {
        const struct entry *entry = &encryption->entries[i];
        for (size_t r = 0; r < json_array_size(entry->resources); r++) {
            if (covers(json_string_value(json_array_get(entry->resources, r)), group, plural)) {
                return &entry->transformer;
            }
        }
    }
    return NULL;
}

/* ---- values ---- */

bool transformer_seal(const struct transformer *transformer, const char *key, const char *value,
                      size_t length, struct buffer *stored, struct error *error)
{
    const struct named_key *first = &transformer->keys[0];
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    buffer_add_text(stored, first->prefix);
    return cipher_seal(&first->key, key, value, length, stored, &why) ||
           error_internal(error, "Internal error occurred: unable to transform key \"%s\": %s", key,
                          why.message);
}

static bool begins_with(const char *bytes, size_t length, const char *prefix, size_t prefix_length)
{
    return length >= prefix_length && memcmp(bytes, prefix, prefix_length) == 0;
}

static bool is_encrypted(const char *stored, size_t length)
{
    return begins_with(stored, length, encrypted_prefix, sizeof encrypted_prefix - 1);
}

static char *fail(const char *key, const char *why, struct error *error)
{
    error_internal(error, "Internal error occurred: unable to transform key \"%s\": %s", key, why);
    return NULL;
}

char *transformer_open(const struct transformer *transformer, const char *key, const char *stored,
                       size_t stored_length, size_t *length, bool *stale, struct error *error)
{
    static const struct named_key identity = {.prefix = ""};
    static const struct transformer plain = {.keys = (struct named_key *)&identity, .count = 1};
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    const char *no_key = NULL;
    const struct transformer *used = transformer != NULL ? transformer : &plain;
    for (size_t i = 0; i < used->count; i++) {
        const struct named_key *named = &used->keys[i];
        size_t prefix = strlen(named->prefix);
        bool takes = begins_with(stored, stored_length, named->prefix, prefix);
        if (!takes &&
            begins_with(stored, stored_length, named->prefix, named->provider_prefix_length)) {
            no_key = named->no_key;
        }
        if (!takes || (prefix == 0 && is_encrypted(stored, stored_length))) {
            continue;
        }
        char *value =
            cipher_open(&named->key, key, stored + prefix, stored_length - prefix, length, &why);
        if (value != NULL) {
            if (stale != NULL) {
                *stale = i != 0;
            }
            return value;
        }
    }
    const char *reason = why.message != NULL ? why.message : no_key;
    return fail(key, reason != NULL ? reason : "no matching prefix found", error);
}
