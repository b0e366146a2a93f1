// SPDX-License-Identifier: Apache-2.0
/*
 * An identity provider of others, on loopback, with TLS: for tests of OpenID Connect and of
 * webhooks.
 *
 *   issuer FOLDER PORT CERTIFICATE KEY
 *
 * GET /… answers with the file of that name in FOLDER/public; POST /review takes a TokenReview or
 * SubjectAccessReview and answers with the status in FOLDER/reviews/<token or user>, or with a no;
 * POST /other the same of FOLDER/others.
 * What was asked is a line each in FOLDER/asked: the method and the path, or "review" and the
 * review. While there is a file FOLDER/failing, every answer is the status that stands in it; or,
 * when it holds an object, those to the "path" in it, or to all, are "raw", text as it stands, or
 * "size", that many spaces, or "location", a redirection there with "code", or don't come: "hang".
 */
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/client_config.h"
#include "common/json.h"
#include "test/stub/https_stub.h"

/* Only names that lead nowhere else. */
static bool is_name(const char *text)
{
    return text[0] != '\0' && strstr(text, "..") == NULL &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") ==
               strlen(text);
}

static char *read_public(const char *path)
{
    cleanup(free_char)
    char *name = format("%s/public%s", https_stub_folder, path);
    return is_name(path) ? client_config_read_file(name, https_stub_file_bytes_max, NULL) : NULL;
}

static json_t *status_of(const char *url, const char *token)
{
    cleanup(free_char)
    char *name = format("%s%ss/%s", https_stub_folder, url, token);
    cleanup(free_char)
    char *text = is_name(url) && is_name(token) && strchr(token, '/') == NULL
                     ? client_config_read_file(name, https_stub_file_bytes_max, NULL)
                     : NULL;
    json_t *status = text ? json_parse(text, strlen(text), NULL) : NULL;
    return status ? status : json_pack("{s:b, s:b}", "authenticated", 0, "allowed", 0);
}

static char *review(const char *url, const struct buffer *body)
{
    cleanup(json_release)
    json_t *asked = json_parse(buffer_text(body), body->length, NULL);
    const char *token = json_path_string(asked, "spec", "token");
    token = token ? token : json_path_string(asked, "spec", "user");
    if (token == NULL) {
        return NULL;
    }
    https_stub_note("review", body->bytes);
    json_object_set_new(asked, "status", status_of(url, token));
    return json_text(asked);
}

/* What FOLDER/failing says about this path; NULL: nothing. */
static json_t *failure(const char *url)
{
    cleanup(free_char)
    char *name = format("%s/failing", https_stub_folder);
    cleanup(free_char)
    char *text = client_config_read_file(name, https_stub_file_bytes_max, NULL);
    cleanup(json_release)
    json_t *failing = text != NULL ? json_parse(text, strlen(text), NULL) : NULL;
    const char *path = json_get_string(failing, "path");
    return path == NULL || strcmp(path, url) == 0 ? steal(failing) : NULL;
}

/* The body in place of 'text', which it takes over. */
static char *failing_text(const json_t *failing, char *text)
{
    const char *raw = json_get_string(failing, "raw");
    json_int_t size = json_get_int(failing, "size", 0);
    if (raw == NULL && size == 0) {
        return text != NULL ? text : duplicate("{}");
    }
    free(text);
    return raw != NULL ? duplicate(raw) : format("%*s", (int)size, "");
}

static enum MHD_Result answer(struct MHD_Connection *connection, const char *url, char *text)
{
    cleanup(json_release)
    json_t *failing = failure(url);
    while (json_get_bool(failing, "hang", false)) {
        pause();
    }
    json_int_t code = json_is_integer(failing) ? json_integer_value(failing)
                                               : json_get_int(failing, "code", text ? 200 : 404);
    const char *location = json_get_string(failing, "location");
    text = failing_text(failing, text);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    MHD_add_response_header(response, "Content-Type", "application/json");
    if (location != NULL) {
        MHD_add_response_header(response, "Location", location);
    }
    enum MHD_Result queued = MHD_queue_response(connection, (unsigned)code, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result serve(struct MHD_Connection *connection, const char *method, const char *url,
                             const struct buffer *body)
{
    https_stub_note(method, url);
    return answer(connection, url,
                  strcmp(method, "POST") == 0 ? review(url, body) : read_public(url));
}

int main(int count, char **arguments)
{
    return https_stub_main(count, arguments, "issuer", serve);
}
