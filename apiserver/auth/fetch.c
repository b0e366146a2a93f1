// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/fetch.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/client_transport.h"
#include "common/fiber.h"
#include "common/json.h"

enum { idle_max = 8, tries = 5, redirections_max = 10 };

static const int64_t first_pause_ns = 500000000, pause_step_ns = 50000000;

struct fetcher {
    struct client_transport *transport; /* Guarded by the lock, as are the idle. */
    CURL *idle[idle_max];               /* Each keeps its connection for the next question. */
    size_t idle_count;
    size_t answer_bytes_max;
    long timeout_ms;
    unsigned tries;
    bool follows_redirections;
    pthread_mutex_t lock;
    const atomic_bool *stopping; /* NULL: it never does. */
};

struct fetcher *fetcher_new(struct client_config *config, struct error *error)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    struct client_transport *transport = client_transport_new(config, "coracle-apiserver", error);
    if (transport == NULL) {
        return NULL;
    }
    struct fetcher *fetcher = allocate_struct(struct fetcher);
    fetcher->transport = transport;
    fetcher->answer_bytes_max = 1 << 20;
    fetcher->timeout_ms = 10000;
    fetcher->tries = 1;
    pthread_mutex_init(&fetcher->lock, NULL);
    return fetcher;
}

void fetcher_stop_when(struct fetcher *fetcher, const atomic_bool *stopping)
{
    fetcher->stopping = stopping;
}

void fetcher_limit(struct fetcher *fetcher, size_t answer_bytes_max, int timeout_ms)
{
    fetcher->answer_bytes_max = answer_bytes_max;
    fetcher->timeout_ms = timeout_ms;
}

void fetcher_ask_again(struct fetcher *fetcher)
{
    fetcher->tries = tries;
}

void fetcher_follow_redirections(struct fetcher *fetcher)
{
    fetcher->follows_redirections = true;
}

void fetcher_free(struct fetcher *fetcher)
{
    if (fetcher != NULL) {
        for (size_t i = 0; i < fetcher->idle_count; i++) {
            curl_easy_cleanup(fetcher->idle[i]);
        }
        client_transport_free(fetcher->transport);
        pthread_mutex_destroy(&fetcher->lock);
        free(fetcher);
    }
}

/* ---- one question ---- */

struct answer {
    struct buffer bytes;
    size_t bytes_max;
    bool is_too_large;
    CURLcode result;
};

static size_t take(char *bytes, size_t size, size_t count, void *argument)
{
    struct answer *answer = argument;
    if (answer->bytes.length + size * count > answer->bytes_max) {
        answer->is_too_large = true;
        return 0; /* Ends the transfer. */
    }
    buffer_add(&answer->bytes, bytes, size * count);
    return size * count;
}

static bool is_stopping(const struct fetcher *fetcher)
{
    return fetcher->stopping != NULL && atomic_load(fetcher->stopping);
}

/* Called about once a second; anything but 0 ends the transfer. */
static int check_stop(void *argument, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                      curl_off_t up)
{
    const struct fetcher *fetcher = argument;
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return is_stopping(fetcher);
}

/* With the lock held. */
static CURL *take_idle(struct fetcher *fetcher)
{
    return fetcher->idle_count > 0 ? fetcher->idle[--fetcher->idle_count] : curl_easy_init();
}

static void give_back(struct fetcher *fetcher, CURL *easy)
{
    pthread_mutex_lock(&fetcher->lock);
    bool keeps = fetcher->idle_count < idle_max;
    if (keeps) {
        fetcher->idle[fetcher->idle_count++] = easy;
    }
    pthread_mutex_unlock(&fetcher->lock);
    if (!keeps) {
        curl_easy_cleanup(easy);
    }
}

/* Asks, by POST when there is a text. False unless the answer came whole; '*code' is its status. */
static bool ask(struct fetcher *fetcher, const char *path, const char *text, struct answer *answer,
                long *code, struct error *error)
{
    char detail[CURL_ERROR_SIZE] = "";
    if (fiber_refuses_to_block()) {
        return error_unavailable(error, "no server can be asked here");
    }
    pthread_mutex_lock(&fetcher->lock);
    CURL *easy = take_idle(fetcher);
    struct curl_slist *headers = client_transport_prepare(fetcher->transport, easy, path, NULL,
                                                          text ? "application/json" : NULL);
    pthread_mutex_unlock(&fetcher->lock);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, fetcher->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, check_stop);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, fetcher);
    if (text != NULL) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, text);
    } else if (fetcher->follows_redirections) {
        curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)redirections_max);
        curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
    }
    CURLcode result = curl_easy_perform(easy);
    answer->result = result;
    if (result == CURLE_OK) {
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, code);
    } else {
        if (answer->is_too_large) {
            snprintf(detail, sizeof detail, "the answer has more than %zu bytes",
                     answer->bytes_max);
        }
        client_transport_failed(fetcher->transport, result, detail, text ? "POST" : "GET", path,
                                error);
    }
    curl_slist_free_all(headers);
    give_back(fetcher, easy);
    return result == CURLE_OK;
}

static json_t *read_answer(const struct buffer *answer, struct error *error)
{
    json_t *json = json_parse(buffer_text(answer), answer->length, error);
    if (json != NULL && !json_is_object(json)) {
        json_decref(json);
        json = NULL;
        error_unavailable(error, "the answer was no JSON object");
    }
    return json;
}

/* False when the server stops meanwhile. */
static bool pause_before(const struct fetcher *fetcher, unsigned try)
{
    static const struct timespec step = {.tv_nsec = pause_step_ns};
    int64_t pause_ns = first_pause_ns;
    while (--try > 1) {
        pause_ns += pause_ns / 2;
    }
    pause_ns += random() % (pause_ns / 5);
    for (; pause_ns > 0 && !is_stopping(fetcher); pause_ns -= pause_step_ns) {
        nanosleep(&step, NULL);
    }
    return !is_stopping(fetcher);
}

/* It may go better another time. */
static bool is_passing(CURLcode result, long code)
{
    switch (result) {
    case CURLE_OK:
        return code == 429 || code >= 500;
    case CURLE_COULDNT_CONNECT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return true;
    default:
        return false;
    }
}

static bool ask_some_times(struct fetcher *fetcher, const char *path, const char *text,
                           struct answer *answer, long *code, struct error *error)
{
    for (unsigned try = 1;; try++) {
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        bool answered = ask(fetcher, path, text, answer, code, &why);
        if (try >= fetcher->tries || !is_passing(answer->result, *code) ||
            !pause_before(fetcher, try + 1)) {
            return answered || error_move(error, &why);
        }
        buffer_reset(&answer->bytes);
    }
}

json_t *fetch_json(struct fetcher *fetcher, const char *path, const json_t *body,
                   struct error *error)
{
    struct answer answer = {.bytes = BUFFER_INIT, .bytes_max = fetcher->answer_bytes_max};
    cleanup(free_char)
    char *text = body ? json_text(body) : NULL;
    long code = 0;
    json_t *json = NULL;
    if (ask_some_times(fetcher, path, text, &answer, &code, error)) {
        if (code == 200 || code == 201) {
            json = read_answer(&answer.bytes, error);
        } else {
            error_unavailable(error, "the answer was %ld", code);
        }
    }
    buffer_free(&answer.bytes);
    if (text != NULL) {
        explicit_bzero(text, strlen(text)); /* It may hold a token. */
    }
    return json;
}

bool fetch_post(struct fetcher *fetcher, const char *path, const char *text, struct error *error)
{
    struct answer answer = {.bytes = BUFFER_INIT, .bytes_max = fetcher->answer_bytes_max};
    long code = 0;
    bool answered = ask(fetcher, path, text, &answer, &code, error);
    buffer_free(&answer.bytes);
    return answered &&
           ((code >= 200 && code < 300) || error_unavailable(error, "the answer was %ld", code));
}
