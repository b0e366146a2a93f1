// SPDX-License-Identifier: Apache-2.0
/*
 * Bootstrap tokens, "<id>.<secret>", with which nodes join: each is a secret in kube-system that
 * says what it may be used for, for how long, and in which groups.
 */
#include <openssl/crypto.h>
#include <string.h>

#include "apiserver/auth/authenticator.h"
#include "apiserver/registry/registry.h"
#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"
#include "common/timestamp.h"

enum { id_length = 6, secret_length = 16, groups_max = 64 };

static const char all_group[] = "system:bootstrappers";

static bool is_lower_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_bootstrap_token(const struct question *question)
{
    if (question->token_length != id_length + 1 + secret_length ||
        question->token[id_length] != '.') {
        return false;
    }
    for (size_t i = 0; i < question->token_length; i++) {
        if (i != id_length && !is_lower_alphanumeric(question->token[i])) {
            return false;
        }
    }
    return true;
}

/* ---- what the secret says ---- */

/* One of its data, decoded; "" when it has none. The caller's. */
static char *datum(const json_t *secret, const char *name)
{
    size_t length;
    const char *encoded = json_path_string(secret, "data", name);
    char *text = encoded ? base64_decode(encoded, strlen(encoded), &length) : NULL;
    return text ? text : duplicate("");
}

static bool says(const json_t *secret, const char *name, const char *expected, size_t length)
{
    cleanup(free_char)
    char *text = datum(secret, name);
    return strlen(text) == length && CRYPTO_memcmp(text, expected, length) == 0;
}

/* Without a time it does not end; with one that can't be read it has ended. */
static bool has_expired(const json_t *secret)
{
    int64_t until;
    cleanup(free_char)
    char *expiration = datum(secret, "expiration");
    return expiration[0] != '\0' &&
           (!timestamp_parse(expiration, &until) || until < timestamp_now());
}

/* system:bootstrappers:<lower case letters, digits, dashes and colons, not these two at the end> */
static bool is_group_valid(const char *group)
{
    size_t prefix = strlen(all_group), length = strlen(group);
    if (strncmp(group, all_group, prefix) != 0 || group[prefix] != ':' || length == prefix + 1 ||
        length > prefix + 1 + 256 || !is_lower_alphanumeric(group[length - 1])) {
        return false;
    }
    for (const char *at = group + prefix + 1; *at != '\0'; at++) {
        if (!is_lower_alphanumeric(*at) && *at != '-' && *at != ':') {
            return false;
        }
    }
    return true;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Adds all in their order; false when one is no group for such tokens. */
static bool add_groups(const json_t *secret, struct user *user)
{
    size_t count = 0;
    char *groups[groups_max], *rest = NULL;
    cleanup(free_char)
    char *list = datum(secret, "auth-extra-groups");
    for (char *group = strtok_r(list, ",", &rest); group != NULL;
         group = strtok_r(NULL, ",", &rest)) {
        if (count == groups_max || !is_group_valid(group)) {
            return false;
        }
        groups[count++] = group;
    }
    qsort(groups, count, sizeof *groups, compare_text);
    user_add_group(user, all_group);
    for (size_t i = 0; i < count; i++) {
        user_add_group(user, groups[i]);
    }
    return true;
}

static bool is_good(const json_t *secret, const struct question *question)
{
    const char *type = json_get_string(secret, "type");
    return type != NULL && strcmp(type, "bootstrap.kubernetes.io/token") == 0 &&
           json_path(secret, "metadata", "deletionTimestamp") == NULL &&
           says(secret, "token-secret", question->token + id_length + 1, secret_length) &&
           says(secret, "token-id", question->token, id_length) && !has_expired(secret) &&
           says(secret, "usage-bootstrap-authentication", "true", 4);
}

/* ---- asking ---- */

static enum verdict ask(void *state, const struct question *question, struct identity *identity,
                        struct error *error)
{
    (void)error;
    struct registry *registry = state;
    if (!is_bootstrap_token(question)) {
        return VERDICT_NOT_MINE;
    }
    cleanup(free_char)
    char *key = format("kube-system/bootstrap-token-%.*s", id_length, question->token);
    cleanup(object_release)
    struct object *object =
        cache_get(cache_table(registry->cache, registry_resource(registry, "", "secrets")), key);
    cleanup(json_release)
    json_t *secret = object ? object_tree(object) : NULL;
    if (secret == NULL || !is_good(secret, question)) {
        return VERDICT_NOT_MINE;
    }
    cleanup(free_char)
    char *name = format("system:bootstrap:%.*s", id_length, question->token);
    user_set(&identity->user, name, "");
    if (!add_groups(secret, &identity->user)) {
        identity_clear(identity);
        return VERDICT_NOT_MINE;
    }
    return VERDICT_KNOWN;
}

struct authenticator bootstrap_token_authenticator(struct registry *registry)
{
    return (struct authenticator){.ask = ask, .state = registry};
}
