// SPDX-License-Identifier: Apache-2.0
/* The token file: CSV lines token,user,uid[,"group,group"], read once. */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "apiserver/auth/authenticator.h"
#include "apiserver/auth/identity_cache.h"
#include "common/alloc.h"

/* Tokens are kept as hashes, so that a comparison takes the same time whatever was guessed. */
struct token {
    unsigned char hash[SHA256_DIGEST_LENGTH];
    char *name, *uid, **groups;
    size_t group_count;
};

struct token_file {
    struct token *tokens;
    size_t count, capacity;
};

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

static bool add_line(struct token_file *tokens, char *line)
{
    char *fields[fields_max];
    size_t count = split_fields(line, fields);
    if (count < 3 || fields[0][0] == '\0' || fields[1][0] == '\0') {
        return false;
    }
    tokens->tokens = grow(tokens->tokens, tokens->count, &tokens->capacity, sizeof *tokens->tokens);
    struct token *token = &tokens->tokens[tokens->count++];
    *token = (struct token){.name = duplicate(fields[1]), .uid = duplicate(fields[2])};
    SHA256((const unsigned char *)fields[0], strlen(fields[0]), token->hash);
    if (count > 3) {
        add_groups(token, fields[3]);
    }
    return true;
}

static bool read_tokens(struct token_file *tokens, const char *path, struct error *error)
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
        if (line[0] != '\0' && !add_line(tokens, line)) {
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

static void free_tokens(void *state)
{
    struct token_file *tokens = state;
    for (size_t i = 0; i < tokens->count; i++) {
        struct token *token = &tokens->tokens[i];
        for (size_t group = 0; group < token->group_count; group++) {
            free(token->groups[group]);
        }
        free(token->groups);
        free(token->name);
        free(token->uid);
    }
    free(tokens->tokens);
    free(tokens);
}

/* ---- asking ---- */

static const struct token *find_token(const struct token_file *tokens,
                                      const struct token_hash *hash)
{
    const struct token *found = NULL;
    for (size_t i = 0; i < tokens->count; i++) {
        if (CRYPTO_memcmp(tokens->tokens[i].hash, hash->bytes, sizeof hash->bytes) == 0) {
            found = &tokens->tokens[i];
        }
    }
    return found;
}

static enum verdict ask(void *state, const struct question *question, struct identity *identity,
                        struct error *error)
{
    (void)error;
    const struct token *token = find_token(state, &question->token_hash);
    if (token == NULL) {
        return VERDICT_NOT_MINE;
    }
    user_set(&identity->user, token->name, token->uid);
    for (size_t i = 0; i < token->group_count; i++) {
        user_add_group(&identity->user, token->groups[i]);
    }
    identity->good_for_ns = identity_cache_time_ns;
    return VERDICT_KNOWN;
}

bool token_file_authenticator(const char *path, struct authenticator *made, struct error *error)
{
    struct token_file *tokens = allocate_struct(struct token_file);
    *made = (struct authenticator){.ask = ask, .free = free_tokens, .state = tokens};
    return read_tokens(tokens, path, error);
}
