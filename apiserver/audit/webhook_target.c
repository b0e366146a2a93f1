// SPDX-License-Identifier: Apache-2.0
/* Events as EventLists, posted to somebody else's server, which is asked again when it fails. */
#include <string.h>

#include "apiserver/audit/sink.h"
#include "apiserver/auth/fetch.h"
#include "common/alloc.h"
#include "common/log.h"

enum { attempts_max = 5, timeout_ms = 10000, answer_bytes_max = 1 << 20 };

struct webhook {
    struct fetcher *server;
    int64_t backoff_ns;
};

static char *event_list(char *const *events, size_t count)
{
    struct buffer text = BUFFER_INIT;
    buffer_add_literal(&text, "{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\","
                              "\"metadata\":{},\"items\":[");
    for (size_t i = 0; i < count; i++) {
        buffer_add_text(&text, i > 0 ? "," : "");
        buffer_add_text(&text, events[i]);
    }
    buffer_add_literal(&text, "]}");
    return buffer_steal(&text);
}

static bool deliver(void *state, struct audit_sink *sink, char *const *events, size_t count,
                    struct error *error)
{
    struct webhook *webhook = state;
    cleanup(free_char)
    char *text = event_list(events, count);
    int64_t pause_ns = webhook->backoff_ns;
    for (int attempt = 1; !fetch_post(webhook->server, "", text, error); attempt++) {
        if (attempt == attempts_max || !audit_sink_pause(sink, pause_ns)) {
            return false;
        }
        log_warning("audit webhook: %s; trying again", error->message);
        pause_ns += pause_ns / 2;
    }
    error_clear(error);
    return true;
}

static void free_webhook(void *state)
{
    struct webhook *webhook = state;
    fetcher_free(webhook->server);
    free(webhook);
}

bool audit_webhook_target(const struct audit_options *options, struct audit_target *target,
                          struct error *error)
{
    cleanup(client_config_clear)
    struct client_config config = CLIENT_CONFIG_INIT;
    if (!client_config_from_file(&config, options->webhook_config_file, NULL, NULL, error)) {
        return false;
    }
    struct fetcher *server = fetcher_new(&config, error);
    if (server == NULL) {
        return false;
    }
    fetcher_limit(server, answer_bytes_max, timeout_ms);
    struct webhook *webhook = allocate_struct(struct webhook);
    *webhook = (struct webhook){.server = server, .backoff_ns = options->webhook_backoff_ns};
    *target = (struct audit_target){.plugin = "webhook",
                                    .deliver = deliver,
                                    .free = free_webhook,
                                    .state = webhook,
                                    .waits = true};
    return true;
}
