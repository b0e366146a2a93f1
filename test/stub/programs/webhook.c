// SPDX-License-Identifier: Apache-2.0
/*
 * An admission webhook on loopback, with TLS, that does as it is told.
 *
 *   webhook FOLDER PORT CERTIFICATE KEY
 *
 * POST /NAME answers as the file FOLDER/NAME says, a JSON object: its member "response" with the
 * request's uid; or "patch", an array that goes out encoded; or "raw", text as it stands; or
 * "size", that many spaces; or "redirect", an URL; "hang": never. With "post", {"url", "token",
 * "body"}, it first posts an object to an API server, for up to two seconds. What was asked is a
 * line each in FOLDER/asked: NAME and the review; "from", NAME and the client's port; "as", NAME
 * and the client's credentials, if it shows any; and "posted", NAME and the status of the answer.
 */
#include <curl/curl.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/client_config.h"
#include "common/json.h"
#include "test/stub/https_stub.h"

static json_t *script_of(const char *name)
{
    cleanup(free_char)
    char *path = format("%s/%s", https_stub_folder, name);
    cleanup(free_char)
    char *text = strchr(name, '/') == NULL
                     ? client_config_read_file(path, https_stub_file_bytes_max, NULL)
                     : NULL;
    return text != NULL ? json_parse(text, strlen(text), NULL) : NULL;
}

static char *answer_of(const json_t *script, const struct buffer *body)
{
    const char *raw = json_get_string(script, "raw");
    json_int_t size = json_get_int(script, "size", 0);
    if (raw != NULL || size > 0) {
        return raw != NULL ? duplicate(raw) : format("%*s", (int)size, "");
    }
    cleanup(json_release)
    json_t *review = json_parse(body->bytes, body->length, NULL);
    json_t *response =
        json_pack("{s:O?, s:b}", "uid", json_path(review, "request", "uid"), "allowed", 1);
    const json_t *patch = json_object_get(script, "patch");
    if (patch != NULL) {
        cleanup(free_char)
        char *text = json_text(patch);
        cleanup(free_char)
        char *encoded = base64_encode(text, strlen(text));
        json_object_set_new(response, "patch", json_string(encoded));
        json_object_set_new(response, "patchType", json_string("JSONPatch"));
    }
    json_object_update(response, json_object_get(script, "response"));
    cleanup(json_release)
    json_t *answer = json_pack("{s:s, s:s, s:o}", "kind", "AdmissionReview", "apiVersion",
                               "admission.k8s.io/v1", "response", response);
    return json_text(answer);
}

static void note_port(struct MHD_Connection *connection, const char *name)
{
    const struct sockaddr_in *client =
        (const void *)MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)
            ->client_addr;
    cleanup(free_char)
    char *text = format("%s %u", name, ntohs(client->sin_port));
    https_stub_note("from", text);
}

static void note_credentials(struct MHD_Connection *connection, const char *name)
{
    const char *credentials =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    if (credentials != NULL) {
        cleanup(free_char)
        char *text = format("%s %s", name, credentials);
        https_stub_note("as", text);
    }
}

static size_t ignore(char *bytes, size_t size, size_t count, void *argument)
{
    (void)bytes;
    (void)argument;
    return size * count;
}

static void post(const char *name, const json_t *what)
{
    CURL *easy = curl_easy_init();
    cleanup(free_char)
    char *body = json_text(json_object_get(what, "body"));
    cleanup(free_char)
    char *token = format("Authorization: Bearer %s", json_get_string(what, "token"));
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    headers = curl_slist_append(headers, token);
    curl_easy_setopt(easy, CURLOPT_URL, json_get_string(what, "url"));
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 2000L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
    long code = 0;
    curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
    cleanup(free_char)
    char *text = format("%s %ld", name, code);
    https_stub_note("posted", text);
}

static enum MHD_Result answer(struct MHD_Connection *connection, const char *method,
                              const char *url, const struct buffer *body)
{
    (void)method;
    const char *name = url + 1;
    cleanup(json_release)
    json_t *script = script_of(name);
    https_stub_note(name, body->bytes);
    note_port(connection, name);
    note_credentials(connection, name);
    if (json_object_get(script, "post") != NULL) {
        post(name, json_object_get(script, "post"));
    }
    while (json_get_bool(script, "hang", false)) {
        pause();
    }
    const char *redirect = json_get_string(script, "redirect");
    char *text = answer_of(script, body);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    MHD_add_response_header(response, "Content-Type", "application/json");
    if (redirect != NULL) {
        MHD_add_response_header(response, "Location", redirect);
    }
    enum MHD_Result queued = MHD_queue_response(connection,
                                                script == NULL ? 404
                                                : redirect     ? 307
                                                               : 200,
                                                response);
    MHD_destroy_response(response);
    return queued;
}

int main(int count, char **arguments)
{
    return https_stub_main(count, arguments, "webhook", answer);
}
