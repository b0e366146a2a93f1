// SPDX-License-Identifier: Apache-2.0
/* Tokens that are kept in secrets: good as long as the secret holds them. */
#include <string.h>
#include <time.h>

#include "apiserver/auth/service_account_claims.h"
#include "apiserver/auth/service_account_names.h"
#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"
#include "common/log.h"
#include "common/timestamp.h"

#define CLAIM(name) "kubernetes.io/serviceaccount/" name

static const char last_used_label[] = "kubernetes.io/legacy-token-last-used";
static const char invalid_since_label[] = "kubernetes.io/legacy-token-invalid-since";
static const int64_t note_interval_ns = 1000000000;

struct legacy {
    const char *namespace, *secret, *account, *uid;
};

static bool refused(struct error *error, const char *text)
{
    return error_set(error, 401, "Unauthorized", "%s", text);
}

static bool read_claims(const json_t *claims, struct legacy *legacy, struct error *error)
{
    const char *subject = "";
    const struct {
        const char **to, *claim, *missing;
    } table[] = {
        {&subject, "sub", "sub claim is missing"},
        {&legacy->namespace, CLAIM("namespace"), "namespace claim is missing"},
        {&legacy->secret, CLAIM("secret.name"), "secretName claim is missing"},
        {&legacy->account, CLAIM("service-account.name"), "serviceAccountName claim is missing"},
        {&legacy->uid, CLAIM("service-account.uid"), "serviceAccountUID claim is missing"},
    };
    for (size_t i = 0; i < array_length(table); i++) {
        const char *value = json_get_string(claims, table[i].claim);
        if (value == NULL || value[0] == '\0') {
            return refused(error, table[i].missing);
        }
        *table[i].to = value;
    }
    cleanup(free_char)
    char *expected = service_account_username(legacy->namespace, legacy->account);
    return strcmp(subject, expected) == 0 || refused(error, "sub claim is invalid");
}

/* The secret holds this very token. */
static bool holds(const struct object *secret, const struct question *question)
{
    static const char *const path = "data.token";
    struct json_span span = {0};
    size_t length = 0;
    json_scan(secret->bytes, secret->length, &path, 1, &span);
    cleanup(free_char)
    char *encoded = json_span_value(span);
    cleanup(free_char)
    char *token = encoded ? base64_decode(encoded, strlen(encoded), &length) : NULL;
    return token != NULL && length == question->token_length &&
           memcmp(token, question->token, length) == 0;
}

static enum verdict check_secret(const struct legacy *legacy, const struct bound_object *secret,
                                 const struct question *question, struct error *error)
{
    size_t length;
    if (secret->object == NULL || secret->deleted_ns != 0) {
        refused(error, "Token has been invalidated");
        return VERDICT_REFUSED;
    }
    if (!holds(secret->object, question)) {
        refused(error, "Token does not match server's copy");
        return VERDICT_REFUSED;
    }
    if (object_label(secret->object, invalid_since_label, &length) != NULL) {
        error_set(error, 401, "Unauthorized",
                  "the token in secret %s/%s for service account %s/%s has been marked invalid. "
                  "Use tokens from the TokenRequest API or manually created secret-based tokens, "
                  "or remove the 'kubernetes.io/legacy-token-invalid-since' label from the secret "
                  "to temporarily allow use of this token",
                  legacy->namespace, legacy->secret, legacy->namespace, legacy->account);
        return VERDICT_REFUSED;
    }
    return VERDICT_KNOWN;
}

static enum verdict check_account(struct service_accounts *accounts,
                                  const struct question *question, const struct legacy *legacy,
                                  struct error *error)
{
    cleanup(bound_object_clear)
    struct bound_object account = {0};
    if (!bound_object_find(accounts, question, "serviceaccounts", legacy->namespace,
                           legacy->account, &account)) {
        return VERDICT_BLOCKS;
    }
    if (account.object == NULL) {
        error_not_found(error, "", "serviceaccounts", legacy->account);
        return VERDICT_REFUSED;
    }
    if (account.deleted_ns != 0) {
        error_set(error, 401, "Unauthorized", "ServiceAccount %s/%s has been deleted",
                  legacy->namespace, legacy->account);
        return VERDICT_REFUSED;
    }
    if (account.uid == NULL || strcmp(account.uid, legacy->uid) != 0) {
        error_set(error, 401, "Unauthorized", "ServiceAccount UID (%s) does not match claim (%s)",
                  account.uid ? account.uid : "", legacy->uid);
        return VERDICT_REFUSED;
    }
    return VERDICT_KNOWN;
}

/* ---- noting that it is used ---- */

static void today(char text[static 11])
{
    time_t now = time(NULL);
    struct tm broken;
    strftime(text, 11, "%Y-%m-%d", gmtime_r(&now, &broken));
}

static bool is_noted(const struct object *secret)
{
    char date[11];
    size_t length;
    today(date);
    const char *noted = object_label(secret, last_used_label, &length);
    return noted != NULL && length == strlen(date) && memcmp(noted, date, length) == 0;
}

static bool set_label(struct write *write, void *argument, struct error *error)
{
    (void)argument;
    (void)error;
    char date[11];
    today(date);
    write->object = object_tree(write->live_object);
    json_t *metadata = json_object_get(write->object, "metadata");
    json_object_del(metadata, "resourceVersion");
    json_object_set_new(json_get_or_add_object(metadata, "labels"), last_used_label,
                        json_string(date));
    return true;
}

/* Writes the day down, once a day; if that fails, at another request. */
static void note(struct service_accounts *accounts, const struct legacy *legacy)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *result = NULL;
    write_begin(&write, accounts->registry, NULL, NULL,
                registry_resource(accounts->registry, "", "secrets"), WRITE_UPDATE);
    write_address(&write, legacy->namespace, legacy->secret);
    if (!registry_update(&write, set_label, NULL, &result, NULL, &error)) {
        log_warning("it could not be noted that the token in secret %s/%s is used: %s",
                    legacy->namespace, legacy->secret, error.message);
    }
}

/* A note is to be made now: not more than one a second in all, so that a store that fails does not
 * slow everybody down. */
static bool may_note(struct service_accounts *accounts)
{
    int64_t now = timestamp_monotonic(), before = atomic_load(&accounts->noted_ns);
    return now - before >= note_interval_ns || before == 0;
}

enum verdict legacy_claims_validate(struct service_accounts *accounts,
                                    const struct question *question, const json_t *claims,
                                    struct identity *identity, struct error *error)
{
    struct legacy legacy = {"", "", "", ""};
    cleanup(bound_object_clear)
    struct bound_object secret = {0};
    if (!claims_check_times(claims, timestamp_now(), error) ||
        !read_claims(claims, &legacy, error)) {
        return VERDICT_REFUSED;
    }
    if (!bound_object_find(accounts, question, "secrets", legacy.namespace, legacy.secret,
                           &secret)) {
        return VERDICT_BLOCKS;
    }
    enum verdict verdict = check_secret(&legacy, &secret, question, error);
    if (verdict == VERDICT_KNOWN) {
        verdict = check_account(accounts, question, &legacy, error);
    }
    if (verdict != VERDICT_KNOWN) {
        return verdict;
    }
    if (!is_noted(secret.object) && may_note(accounts)) {
        if (!question->may_block) {
            return VERDICT_BLOCKS;
        }
        atomic_store(&accounts->noted_ns, timestamp_monotonic());
        note(accounts, &legacy);
    }
    cleanup(free_char)
    char *username = service_account_username(legacy.namespace, legacy.account);
    user_set(&identity->user, username, legacy.uid);
    service_account_add_groups(&identity->user, legacy.namespace);
    return VERDICT_KNOWN;
}
