// SPDX-License-Identifier: Apache-2.0
#include "controllers/account.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/resources.h"

enum { token_seconds = 3600 };

static const char account_namespace[] = "kube-system";

/* The loop's thread alone, but for what never changes. */
struct account {
    struct client *base, *client;
    const char *name;
    bool is_asking, is_made; /* Under way; the account was made on that way. */
    bool is_abandoned;       /* Whoever is answered last frees it. */
};

static void request_token(struct account *account);

static void conclude(struct account *account, const char *token, int64_t seconds,
                     const struct error *error)
{
    account->is_asking = false;
    if (account->is_abandoned) {
        free(account);
    } else if (token != NULL) {
        client_set_token(account->client, token, seconds * 800, seconds * 1000);
    } else {
        client_token_failed(account->client, error);
    }
}

/* Whatever the reason, it says nothing of the object that a request was about: a 404 of the account
 * must not be taken for one of that. */
static void fail(struct account *account, const struct error *why)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    error_unavailable(&error, "token of service account %s/%s: %s", account_namespace,
                      account->name, why->message);
    conclude(account, NULL, 0, &error);
}

static void was_made(void *argument, struct client_response *response)
{
    struct account *account = argument;
    if (error_is_set(&response->error) && response->code != 409) {
        fail(account, &response->error);
        return;
    }
    request_token(account);
}

static void make(struct account *account)
{
    cleanup(json_release)
    json_t *object =
        json_pack("{s:s, s:s, s:{s:s, s:s}}", "kind", "ServiceAccount", "apiVersion", "v1",
                  "metadata", "name", account->name, "namespace", account_namespace);
    account->is_made = true;
    client_send(account->base,
                client_create_request(&resource_service_accounts, account_namespace, object),
                was_made, account);
}

static void has_answer(void *argument, struct client_response *response)
{
    struct account *account = argument;
    if (response->code == 404 && !account->is_made) {
        make(account);
        return;
    }
    cleanup(json_release)
    json_t *answer = NULL;
    if (!error_is_set(&response->error)) {
        answer = json_parse(buffer_text(&response->body), response->body.length, &response->error);
    }
    const char *token = json_path_string(answer, "status", "token");
    /* The server decides how long; its own count needs no clock that agrees with the server's. */
    int64_t seconds = json_integer_value(json_path(answer, "spec", "expirationSeconds"));
    if (token == NULL || seconds <= 0) {
        if (!error_is_set(&response->error)) {
            error_internal(&response->error, "the server's answer has none that is valid");
        }
        fail(account, &response->error);
        return;
    }
    conclude(account, token, seconds, NULL);
}

static void request_token(struct account *account)
{
    cleanup(json_release)
    json_t *request =
        json_pack("{s:s, s:s, s:{s:i}}", "kind", "TokenRequest", "apiVersion",
                  "authentication.k8s.io/v1", "spec", "expirationSeconds", (int)token_seconds);
    struct client_request sent = {
        .method = "POST",
        .path = client_path(&resource_service_accounts, account_namespace, account->name, "token")};
    json_encode(request, &sent.body);
    client_send(account->base, sent, has_answer, account);
}

static void ask(void *argument)
{
    struct account *account = argument;
    account->is_asking = true;
    account->is_made = false;
    request_token(account);
}

/* ---- the interface ---- */

struct account *account_new(struct client *base, const char *name)
{
    struct account *account = allocate_struct(struct account);
    account->base = base;
    account->name = name;
    account->client =
        client_new_for_tokens(base, &(struct client_token_source){.ask = ask, .argument = account});
    return account;
}

struct client *account_client(const struct account *account)
{
    return account->client;
}

const char *account_name(const struct account *account)
{
    return account->name;
}

static void abandon(void *argument)
{
    struct account *account = argument;
    account->is_abandoned = true;
    if (!account->is_asking) {
        free(account);
    }
}

void account_free(struct account *account)
{
    if (account == NULL) {
        return;
    }
    struct loop *loop = client_loop(account->base);
    client_close(account->client);
    struct client *client = account->client;
    loop_call(loop, abandon, account);
    client_free(client);
}
