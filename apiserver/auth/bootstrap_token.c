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
#include "common/bootstrap_token.h"
#include "common/json.h"
#include "common/timestamp.h"

enum {
    id_length = BOOTSTRAP_TOKEN_ID_LENGTH,
    secret_length = BOOTSTRAP_TOKEN_SECRET_LENGTH,
    groups_max = 64,
};

static const char all_group[] = "system:bootstrappers";

static bool is_lower_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_bootstrap_token(const struct question *question)
{
    return question->token_length == id_length + 1 + secret_length &&
           question->token[id_length] == '.' &&
           bootstrap_token_is_text(question->token, id_length) &&
           bootstrap_token_is_text(question->token + id_length + 1, secret_length);
}

/* ---- what the secret says ---- */

static bool says(const json_t *secret, const char *name, const char *expected, size_t length)
{
    cleanup(free_char)
    char *text = bootstrap_token_datum(secret, name);
    return strlen(text) == length && CRYPTO_memcmp(text, expected, length) == 0;
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
    char *list = bootstrap_token_datum(secret, "auth-extra-groups");
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
    return type != NULL && strcmp(type, bootstrap_token_type) == 0 &&
           json_path(secret, "metadata", "deletionTimestamp") == NULL &&
           says(secret, "token-secret", question->token + id_length + 1, secret_length) &&
           says(secret, "token-id", question->token, id_length) &&
           bootstrap_token_expiry(secret) >= timestamp_now() &&
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
