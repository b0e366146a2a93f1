// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/authn.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/alloc.h"

/* Tokens are kept as hashes, so that a comparison takes the same time whatever was guessed. */
struct token {
    unsigned char hash[SHA256_DIGEST_LENGTH];
    char *name, *uid, **groups;
    size_t group_count;
};

struct authn {
    struct token *tokens;
    size_t count, capacity;
};

/* ---- the token file ---- */

enum { fields_max = 4 };

/* Splits a CSV line in place: quotes around a field, doubled ones inside. Returns the number of
 * fields, 0 for a line that can't be read. */
static size_t split_fields(char *line, char **fields)
{
    size_t count = 0;
    char *at = line;
    while (count < fields_max) {
        char *to = at;
        fields[count++] = at;
        bool quoted = *at == '"';
        at += quoted;
        while (*at != '\0' && (quoted || *at != ',')) {
            if (quoted && at[0] == '"' && at[1] != '"') {
                quoted = false;
                at++;
                continue;
            }
            at += quoted && at[0] == '"';
            *to++ = *at++;
        }
        bool more = *at == ',';
        *to = '\0';
        if (quoted || !more) {
            return quoted ? 0 : count;
        }
        at++;
    }
    return count;
}

static void add_groups(struct token *token, char *list)
{
    size_t capacity = 0;
    for (char *group = strtok(list, ","); group != NULL; group = strtok(NULL, ",")) {
        while (*group == ' ') {
            group++;
        }
        token->groups = grow(token->groups, token->group_count, &capacity, sizeof(char *));
        token->groups[token->group_count++] = duplicate(group);
    }
}

static bool add_line(struct authn *authn, char *line)
{
    char *fields[fields_max];
    size_t count = split_fields(line, fields);
    if (count < 3 || fields[0][0] == '\0' || fields[1][0] == '\0') {
        return false;
    }
    authn->tokens = grow(authn->tokens, authn->count, &authn->capacity, sizeof *authn->tokens);
    struct token *token = &authn->tokens[authn->count++];
    *token = (struct token){.name = duplicate(fields[1]), .uid = duplicate(fields[2])};
    SHA256((const unsigned char *)fields[0], strlen(fields[0]), token->hash);
    if (count > 3) {
        add_groups(token, fields[3]);
    }
    return true;
}

static bool read_tokens(struct authn *authn, const char *path, struct error *error)
{
    cleanup(close_stream)
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return error_internal(error, "the token file %s can't be read: %s", path, strerror(errno));
    }
    cleanup(free_char)
    char *line = NULL;
    size_t size = 0;
    for (int number = 1; getline(&line, &size, file) >= 0; number++) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] != '\0' && !add_line(authn, line)) {
            return error_internal(error,
                                  "%s:%d: expected token,user,uid with a list of groups in quotes "
                                  "behind",
                                  path, number);
        }
    }
    OPENSSL_cleanse(line, size);
    return !ferror(file) ||
           error_internal(error, "the token file %s can't be read: %s", path, strerror(errno));
}

struct authn *authn_open(const char *token_file, struct error *error)
{
    struct authn *authn = allocate_struct(struct authn);
    if (token_file != NULL && !read_tokens(authn, token_file, error)) {
        authn_free(authn);
        return NULL;
    }
    return authn;
}

void authn_free(struct authn *authn)
{
    for (size_t i = 0; authn != NULL && i < authn->count; i++) {
        struct token *token = &authn->tokens[i];
        for (size_t group = 0; group < token->group_count; group++) {
            free(token->groups[group]);
        }
        free(token->groups);
        free(token->name);
        free(token->uid);
    }
    if (authn != NULL) {
        free(authn->tokens);
        free(authn);
    }
}

/* ---- authentication ---- */

static void add_group(struct user *user, const char *group)
{
    if (user_in_group(user, group)) {
        return;
    }
    user->groups = reallocate(user->groups, (user->group_count + 1) * sizeof(char *));
    user->groups[user->group_count++] = duplicate(group);
}

static void set_user(struct user *user, const char *name, const char *uid)
{
    *user = (struct user){.name = duplicate(name), .uid = duplicate(uid)};
}

static const struct token *find_token(const struct authn *authn, const char *text, size_t length)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    const struct token *found = NULL;
    SHA256((const unsigned char *)text, length, hash);
    for (size_t i = 0; i < authn->count; i++) {
        if (CRYPTO_memcmp(authn->tokens[i].hash, hash, sizeof hash) == 0) {
            found = &authn->tokens[i];
        }
    }
    return found;
}

static bool unauthorized(struct error *error)
{
    return error_set(error, 401, "Unauthorized", "Unauthorized");
}

/* The token of "Bearer <token>", up to a space as upstream reads it; NULL when there is none. */
static const char *bearer_token(const char *authorization, size_t *length)
{
    static const char scheme[] = "Bearer ";
    if (authorization == NULL || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0) {
        return NULL;
    }
    const char *token = authorization + sizeof scheme - 1;
    token += strspn(token, " ");
    *length = strcspn(token, " ");
    return *length > 0 ? token : NULL;
}

bool authn_authenticate(void *argument, const struct credentials *credentials, struct user *user,
                        struct error *error)
{
    const struct authn *authn = argument;
    size_t length = 0;
    const char *token = bearer_token(credentials->authorization, &length);
    if (credentials->client_common_name != NULL) {
        set_user(user, credentials->client_common_name, "");
        const char *const *organization = credentials->client_organizations;
        for (; organization != NULL && *organization != NULL; organization++) {
            add_group(user, *organization);
        }
        add_group(user, "system:authenticated");
        return true;
    }
    if (token != NULL) {
        const struct token *known = find_token(authn, token, length);
        if (known == NULL) {
            return unauthorized(error);
        }
        set_user(user, known->name, known->uid);
        for (size_t i = 0; i < known->group_count; i++) {
            add_group(user, known->groups[i]);
        }
        add_group(user, "system:authenticated");
        return true;
    }
    if (credentials->client_certificate_refused ||
        (credentials->authorization != NULL && credentials->authorization[0] != '\0')) {
        return unauthorized(error);
    }
    set_user(user, "system:anonymous", "");
    add_group(user, "system:unauthenticated");
    return true;
}
