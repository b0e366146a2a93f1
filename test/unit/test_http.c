// SPDX-License-Identifier: Apache-2.0
/* Requests and answers on real sockets: what is refused, and that connections stay in step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "common/timestamp.h"
#include "test/unit/http_harness.h"

/* ---- a handler that tells what it was asked ---- */

enum { large_bytes = 400 << 10 };

static atomic_int requests_served;

/* "Bearer slow…" has to be looked at where one may wait; whatever is not "good" then is refused. */
static enum authentication authenticate(void *argument, const struct credentials *credentials,
                                        bool block, struct request *request, struct error *error)
{
    (void)argument;
    const char *authorization = credentials_header(credentials, "authorization");
    if (authorization != NULL && strncmp(authorization, "Bearer slow", 11) == 0 && !block) {
        return AUTHENTICATION_BLOCKS;
    }
    if (authorization != NULL && strstr(authorization, "good") == NULL) {
        error_set(error, 401, "Unauthorized", "Unauthorized");
        return AUTHENTICATION_REFUSED;
    }
    request->user = (struct user){.name = duplicate("somebody"), .uid = duplicate("")};
    return AUTHENTICATION_DONE;
}

static enum authorization authorize(void *argument, const struct request *request, bool block,
                                    struct error *error)
{
    (void)argument;
    if (strncmp(request->path, "/thought-over", 13) == 0 && !block) {
        return AUTHORIZATION_BLOCKS;
    }
    if (strstr(request->path, "forbidden") == NULL) {
        return AUTHORIZATION_GRANTED;
    }
    error_set(error, 403, "Forbidden", "no");
    return AUTHORIZATION_REFUSED;
}

static enum waits waits(void *argument, struct request *request)
{
    (void)argument;
    return strncmp(request->path, "/blocking", 9) == 0 ? WAITS_FOR_ANYTHING : WAITS_FOR_NOTHING;
}

/* /large: text over the threshold of compression; else a line about the request. */
static void serve(void *argument, struct request *request, struct response *response)
{
    (void)argument;
    atomic_fetch_add(&requests_served, 1);
    if (strcmp(request->path, "/large") == 0) {
        response_set_text(response, 200, "text/plain", "");
        while (response->bytes.length < large_bytes) {
            buffer_add_literal(&response->bytes, "0123456789abcde\n");
        }
        return;
    }
    cleanup(free_char)
    char *line = format("<%s %s, %zu bytes>", request->method, request->path, request->body_length);
    response_set_text(response, 200, "text/plain", line);
}

static const struct handler handler = {
    .authenticate = authenticate, .authorize = authorize, .waits = waits, .serve = serve};

static int set_up(void **state)
{
    struct fixture *fixture = allocate_struct(struct fixture);
    fixture_init(fixture);
    fixture_start(fixture, &handler);
    atomic_store(&requests_served, 0);
    *state = fixture;
    return 0;
}

static int set_up_unstarted(void **state)
{
    struct fixture *fixture = allocate_struct(struct fixture);
    fixture_init(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    fixture_clear(*state);
    free(*state);
    return 0;
}

/* ---- requests that could be read in two ways ---- */

/* What follows a refused request on the same connection is never taken for another request. */
static void assert_refused(struct fixture *fixture, const char *headers)
{
    cleanup(free_char)
    char *request = format("POST /first HTTP/1.1\r\nHost: a\r\n%s\r\nGET /second HTTP/1.1\r\n"
                           "Host: a\r\nConnection: close\r\n\r\n",
                           headers);
    cleanup(free_char)
    char *answer = converse(fixture, request);
    assert_begins(answer, "HTTP/1.1 400 ");
    assert_has_not(answer, " 200 ");
    assert_int_equal(atomic_load(&requests_served), 0);
}

static void two_lengths_are_refused_and_the_connection_closed(void **state)
{
    assert_refused(*state, "Content-Length: 0\r\nContent-Length: 5\r\n");
    assert_refused(*state, "Content-Length: 0\r\ncontent-length: 0\r\n");
}

static void a_length_with_chunked_is_refused_and_the_connection_closed(void **state)
{
    assert_refused(*state, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n");
    assert_refused(*state, "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n");
}

static void encodings_other_than_chunked_are_refused_and_the_connection_closed(void **state)
{
    assert_refused(*state, "Transfer-Encoding: gzip, chunked\r\n");
    assert_refused(*state, "Transfer-Encoding: identity\r\n");
    assert_refused(*state, "Transfer-Encoding: \r\n");
    assert_refused(*state, "Transfer-Encoding: xchunked\r\n");
    assert_refused(*state, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n");
    assert_refused(*state, "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n");
}

static void a_length_that_is_no_number_is_refused_and_the_connection_closed(void **state)
{
    assert_refused(*state, "Content-Length: x\r\n");
    assert_refused(*state, "Content-Length: -1\r\n");
    assert_refused(*state, "Content-Length: +5\r\n");
    assert_refused(*state, "Content-Length: 0x5\r\n");
    assert_refused(*state, "Content-Length: 5 5\r\n");
    assert_refused(*state, "Content-Length: 5, 5\r\n");
    assert_refused(*state, "Content-Length: \r\n");
}

static void a_header_name_with_a_space_behind_is_refused(void **state)
{
    assert_refused(*state, "Content-Length : 5\r\n");
    assert_refused(*state, "Transfer-Encoding : chunked\r\n");
}

static void a_chunked_body_is_read_and_the_connection_stays_open(void **state)
{
    struct client *client = client_open(*state);
    client_send(client, "POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
                        "5\r\nhello\r\n0\r\n\r\n");
    client_expect(client, "<POST /one, 5 bytes>");
    client_send(client, "GET /two HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect(client, "<GET /two, 0 bytes>");
    client_close(client);
}

static void pipelined_requests_are_answered_in_their_order(void **state)
{
    cleanup(free_char)
    char *answer =
        converse(*state, "POST /blocking HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                         "GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const char *first = strstr(answer, "<POST /blocking, 3 bytes>");
    assert_non_null(first);
    assert_has(first, "<GET /second, 0 bytes>");
}

/* More than the sockets take in, so that the server gets on by a part of an answer at a time. */
static void answers_that_the_client_takes_late_arrive_whole(void **state)
{
    enum { pair_count = 30 };
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    for (int i = 1; i <= pair_count; i++) {
        buffer_addf(&text,
                    "GET /large HTTP/1.1\r\nHost: a\r\n\r\n"
                    "GET /%d HTTP/1.1\r\nHost: a\r\n%s\r\n",
                    i, i < pair_count ? "" : "Connection: close\r\n");
    }
    struct client *client = client_open(*state);
    int size = 64 << 10;
    setsockopt(client->socket, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    assert_true(client_send(client, buffer_text(&text)));
    usleep(100000); /* Lets the sockets fill; nothing that is checked depends on it. */
    const char *rest = client_rest(client);
    for (int i = 1; i <= pair_count; i++) {
        cleanup(free_char)
        char *wanted = format("<GET /%d, 0 bytes>", i);
        rest = strstr(rest, "\r\n\r\n0123456789abcde\n");
        assert_non_null(rest);
        rest += strlen("\r\n\r\n") + large_bytes;
        assert_begins(rest, "HTTP/1.1 200 ");
        rest = strstr(rest, "\r\n\r\n");
        assert_non_null(rest);
        assert_begins(rest + 4, wanted);
    }
    client_close(client);
}

/* ---- bodies that nobody reads ---- */

static void send_zeros(struct client *client, size_t length)
{
    static const char zeros[64 << 10];
    while (length > 0) {
        size_t part = length < sizeof zeros ? length : sizeof zeros;
        if (!client_send_bytes(client, zeros, part)) {
            return;
        }
        length -= part;
    }
}

enum { body_limit = 3 << 20 };

static void start_upload(struct client *client, const char *headers, size_t length)
{
    cleanup(free_char)
    char *head = format("%s\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", headers, length);
    client_send(client, head);
}

static void a_body_at_the_limit_is_taken(void **state)
{
    struct client *client = client_open(*state);
    start_upload(client, "POST /most HTTP/1.1", body_limit);
    send_zeros(client, body_limit);
    client_expect(client, "<POST /most, 3145728 bytes>");
    client_close(client);
}

static void a_body_over_the_limit_is_refused_and_the_connection_goes_on(void **state)
{
    struct client *client = client_open(*state);
    start_upload(client, "PUT /more HTTP/1.1", body_limit + 1);
    send_zeros(client, body_limit + 1);
    client_expect(client, "Request entity too large: limit is 3145728");
    assert_begins(buffer_text(&client->received), "HTTP/1.1 413 ");
    assert_int_equal(atomic_load(&requests_served), 0);
    client_send(client, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect(client, "<GET /next, 0 bytes>");
    client_close(client);
}

static void a_chunked_body_over_the_limit_is_refused_and_the_connection_goes_on(void **state)
{
    struct client *client = client_open(*state);
    client_send(client, "POST /more HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client_send(client, "300000\r\n");
    send_zeros(client, body_limit);
    client_send(client, "\r\n1\r\nx\r\n0\r\n\r\n");
    client_expect(client, "Request entity too large: limit is 3145728");
    client_send(client, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect(client, "<GET /next, 0 bytes>");
    client_close(client);
}

static void a_refused_body_without_an_end_is_cut(void **state)
{
    struct client *client = client_open(*state);
    client_send(client, "POST /more HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client_send(client, "40000000\r\n");
    send_zeros(client, 64 << 20);
    client_rest(client);
    assert_int_equal(atomic_load(&requests_served), 0);
    client_close(client);
}

/* The answer comes though not a byte of the body was sent, and nothing behind it is read as a
 * request. */
static void assert_answered_at_once(struct fixture *fixture, const char *headers, size_t length,
                                    const char *status)
{
    struct client *client = client_open(fixture);
    start_upload(client, headers, length);
    client_expect(client, status);
    client_send(client, "GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    const char *answer = client_rest(client);
    assert_begins(answer, status);
    assert_has(answer, "Connection: close");
    assert_int_equal(count_of(answer, "HTTP/1.1 "), 1);
    assert_int_equal(atomic_load(&requests_served), 0);
    client_close(client);
}

static void who_asks_before_sending_a_refused_body_is_told_at_once(void **state)
{
    static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE"};
    for (size_t i = 0; i < array_length(methods); i++) {
        cleanup(free_char)
        char *large = format("%s /a HTTP/1.1\r\nExpect: 100-continue", methods[i]);
        assert_answered_at_once(*state, large, body_limit + 1, "HTTP/1.1 413 ");
        cleanup(free_char)
        char *forbidden = format("%s /forbidden HTTP/1.1\r\nExpect: 100-continue", methods[i]);
        assert_answered_at_once(*state, forbidden, 10, "HTTP/1.1 403 ");
    }
}

static void a_body_too_large_to_wait_for_is_refused_at_once(void **state)
{
    assert_answered_at_once(*state, "PATCH /a HTTP/1.1", (size_t)1 << 40, "HTTP/1.1 413 ");
    assert_answered_at_once(*state, "POST /a HTTP/1.1", (size_t)1 << 40, "HTTP/1.1 413 ");
}

static void who_asks_before_sending_a_good_body_is_told_to_go_on(void **state)
{
    struct client *client = client_open(*state);
    start_upload(client, "PUT /a HTTP/1.1\r\nExpect: 100-continue", 2);
    client_expect(client, "HTTP/1.1 100 Continue\r\n\r\n");
    client_send(client, "ab");
    client_expect(client, "<PUT /a, 2 bytes>");
    client_close(client);
}

static void who_takes_long_to_recognise_is_served_like_others(void **state)
{
    struct client *client = client_open(*state);
    client_send(client, "GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer slow good\r\n\r\n");
    client_expect(client, "<GET /a, 0 bytes>");
    client_send(client, "POST /blocking HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer slow good\r\n"
                        "Content-Length: 5\r\n\r\nabcde");
    client_expect(client, "<POST /blocking, 5 bytes>");
    client_send(client, "POST /c HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer slow good\r\n"
                        "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    client_expect(client, "100 Continue\r\n\r\n");
    client_send(client, "ab");
    client_expect(client, "<POST /c, 2 bytes>");
    client_close(client);
}

static void who_takes_long_to_be_refused_keeps_the_connection_in_step(void **state)
{
    struct client *client = client_open(*state);
    client_send(client, "POST /a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer slow\r\n"
                        "Content-Length: 5\r\n\r\nabcde");
    client_expect(client, "HTTP/1.1 401 ");
    client_send(client, "POST /forbidden HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer slow good\r\n"
                        "Content-Length: 2\r\n\r\nab");
    client_expect(client, "HTTP/1.1 403 ");
    assert_int_equal(atomic_load(&requests_served), 0);
    client_send(client, "GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect(client, "<GET /b, 0 bytes>");
    client_close(client);
}

static void what_takes_long_to_be_allowed_is_served_or_refused_like_others(void **state)
{
    struct client *client = client_open(*state);
    client_send(client, "GET /thought-over HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect(client, "<GET /thought-over, 0 bytes>");
    client_send(client, "POST /thought-over/forbidden HTTP/1.1\r\nHost: a\r\n"
                        "Content-Length: 5\r\n\r\nabcde");
    client_expect(client, "HTTP/1.1 403 ");
    client_send(client,
                "POST /thought-over HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer slow good\r\n"
                "Content-Length: 5\r\n\r\nabcde");
    client_expect(client, "<POST /thought-over, 5 bytes>");
    client_close(client);
}

static void credentials_that_stand_twice_are_refused(void **state)
{
    cleanup(free_char)
    char *answer = converse(*state, "GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer good\r\n"
                                    "authorization: Bearer good\r\n\r\n");
    assert_begins(answer, "HTTP/1.1 400 ");
    assert_has(answer, "more than one Authorization header");
    assert_int_equal(atomic_load(&requests_served), 0);
}

static void a_caller_who_is_refused_is_so_before_the_body_counts(void **state)
{
    struct client *client = client_open(*state);
    start_upload(client, "POST /a HTTP/1.1\r\nAuthorization: Basic YTpi", body_limit + 1);
    send_zeros(client, body_limit + 1);
    client_expect(client, "\"reason\":\"Unauthorized\"");
    assert_begins(buffer_text(&client->received), "HTTP/1.1 401 ");
    client_send(client, "POST /forbidden HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab");
    client_expect(client, "HTTP/1.1 403 ");
    assert_int_equal(atomic_load(&requests_served), 0);
    client_close(client);
}

/* ---- compression ---- */

static char *get(struct fixture *fixture, const char *path, const char *headers)
{
    cleanup(free_char)
    char *request =
        format("GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n", path, headers);
    return converse(fixture, request);
}

static void a_large_answer_is_compressed_for_who_asks(void **state)
{
    static const char *const wanted[] = {"gzip", "deflate, gzip", "GZIP;q=0.5", "br,gzip ; q=1"};
    for (size_t i = 0; i < array_length(wanted); i++) {
        cleanup(free_char)
        char *header = format("Accept-Encoding: %s\r\n", wanted[i]);
        cleanup(free_char)
        char *answer = get(*state, "/large", header);
        assert_has(answer, "Content-Encoding: gzip\r\n");
        assert_has(answer, "Vary: Accept-Encoding\r\n");
    }
}

static void a_large_answer_is_sent_as_it_is_to_all_others(void **state)
{
    static const char *const unwanted[] = {
        "",
        "Accept-Encoding: \r\n",
        "Accept-Encoding: gzip;q=0\r\n",
        "Accept-Encoding: gzip; q=0.000, deflate\r\n",
        "Accept-Encoding: identity;q=0, *;q=0\r\n",
        "Accept-Encoding: xgzip, gzipped\r\n",
    };
    for (size_t i = 0; i < array_length(unwanted); i++) {
        cleanup(free_char)
        char *answer = get(*state, "/large", unwanted[i]);
        assert_begins(answer, "HTTP/1.1 200 ");
        assert_has_not(answer, "Content-Encoding");
        assert_has(answer, "Content-Length: 409600\r\n");
    }
}

static void a_small_answer_is_never_compressed(void **state)
{
    cleanup(free_char)
    char *answer = get(*state, "/small", "Accept-Encoding: gzip\r\n");
    assert_has_not(answer, "Content-Encoding");
    assert_has(answer, "<GET /small, 0 bytes>");
}

/* ---- paths and methods ---- */

static void a_path_that_is_malformed_is_refused(void **state)
{
    static const char *const paths[] = {"/%", "/%zz", "/a%00b", "/%ff", "/a?b=%"};
    for (size_t i = 0; i < array_length(paths); i++) {
        cleanup(free_char)
        char *answer = get(*state, paths[i], "");
        assert_begins(answer, "HTTP/1.1 400 ");
    }
    assert_int_equal(atomic_load(&requests_served), 0);
}

static void the_answer_to_head_has_no_body(void **state)
{
    struct client *client = client_open(*state);
    client_send(client, "HEAD /one HTTP/1.1\r\nHost: a\r\n\r\n"
                        "GET /two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const char *answer = client_rest(client);
    assert_has(answer, "Content-Length: 20\r\n");
    assert_has_not(answer, "<HEAD /one");
    assert_has(answer, "<GET /two, 0 bytes>");
    client_close(client);
}

/* ---- a system that is out of descriptors ---- */

static void a_server_without_descriptors_does_not_start(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit limit, none;
    getrlimit(RLIMIT_NOFILE, &limit);
    int first_free = dup(0);
    close(first_free);
    for (int spare = 1; spare < 12; spare++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        none = limit;
        none.rlim_cur = (rlim_t)(first_free + spare);
        setrlimit(RLIMIT_NOFILE, &none);
        struct server *server = server_start(&fixture->options, &handler, &error);
        setrlimit(RLIMIT_NOFILE, &limit);
        if (server != NULL) { /* With enough of them. */
            assert_true(spare > 4);
            server_stop(server, 1000);
        } else {
            assert_int_equal(error.code, 500);
        }
    }
}

/* ---- slow clients ---- */

static int set_up_impatient(void **state)
{
    struct fixture *fixture = allocate_struct(struct fixture);
    fixture_init(fixture);
    fixture->options.header_timeout_ms = fixture->options.body_timeout_ms = 100;
    fixture_start(fixture, &handler);
    atomic_store(&requests_served, 0);
    *state = fixture;
    return 0;
}

/* Sends a byte now and then, which would keep the connection alive for any timeout that starts anew
 * with each, until the server has had enough. */
static void assert_cut_while_trickling(struct fixture *fixture, const char *beginning)
{
    struct client *client = client_open(fixture);
    bool open = client_send(client, beginning);
    int64_t until = timestamp_monotonic() + patience_seconds * INT64_C(1000000000);
    while (open) {
        assert_true(timestamp_monotonic() < until);
        usleep(50000);
        open = client_send(client, "x");
    }
    assert_int_equal(atomic_load(&requests_served), 0);
    client_close(client);
}

static void a_client_that_trickles_its_headers_is_cut(void **state)
{
    assert_cut_while_trickling(*state, "G");
    assert_cut_while_trickling(*state, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
}

static void a_client_that_trickles_its_body_is_cut(void **state)
{
    assert_cut_while_trickling(*state,
                               "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
}

static void a_client_that_never_says_hello_is_cut(void **state)
{
    int file = connect_socket(*state);
    char byte;
    errno = 0;
    assert_true(recv(file, &byte, 1, 0) <= 0 && errno != EAGAIN);
    close(file);
}

/* Both ends are descriptors of this process. */
static size_t connections_possible(size_t most)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    size_t possible = limit.rlim_cur / 2 - 100;
    return possible < most ? possible : most;
}

/* Sends the text, then says that nothing more will come, and still listens. */
static void assert_cut_when_half_closed(struct fixture *fixture, const char *beginning,
                                        bool closes_tls)
{
    struct client *client = client_open(fixture);
    assert_true(client_send(client, beginning));
    if (closes_tls) {
        SSL_shutdown(client->tls);
    } else {
        shutdown(client->socket, SHUT_WR);
    }
    assert_has_not(client_rest(client), " 200 ");
    assert_int_equal(atomic_load(&requests_served), 0);
    client_close(client);
}

static void a_client_that_closes_its_half_within_a_request_is_cut(void **state)
{
    static const char *const beginnings[] = {
        "GET / HTTP/1.1\r\nHost: a\r\nX: ",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx",
    };
    for (size_t i = 0; i < array_length(beginnings); i++) {
        assert_cut_when_half_closed(*state, beginnings[i], false);
        assert_cut_when_half_closed(*state, beginnings[i], true);
    }
}

/* libmicrohttpd answers these by itself, and tells nobody; the sanitizer would tell of what stays.
 */
static void what_is_too_large_for_a_connection_leaves_nothing_behind(void **state)
{
    static const char *const parts[][2] = {{"GET /one?", "a=bcdefg&"},
                                           {"GET /one HTTP/1.1\r\n", "A: b\r\n"}};
    for (size_t i = 0; i < array_length(parts); i++) {
        cleanup(buffer_free)
        struct buffer text = BUFFER_INIT;
        buffer_add_text(&text, parts[i][0]);
        for (int j = 0; j < 3000; j++) {
            buffer_add_text(&text, parts[i][1]);
        }
        buffer_add_text(&text, i == 0 ? " HTTP/1.1\r\nHost: a\r\n\r\n" : "\r\n");
        struct client *impatient = client_open(*state), *client = client_open(*state);
        client_send(impatient, buffer_text(&text));
        client_close(impatient);
        client_send(client, buffer_text(&text));
        assert_begins(client_rest(client), i == 0 ? "HTTP/1.1 414 " : "HTTP/1.1 431 ");
        client_close(client);
    }
}

/* Near the end of what a connection has for its headers there is too little for an answer's. */
static void a_head_of_any_length_gets_an_answer(void **state)
{
    static const char *const kinds[][2] = {{"GET /one HTTP/1.1\r\nHost: a\r\nX: ", "\r\n"},
                                           {"GET /one?", " HTTP/1.1\r\nHost: a\r\n"}};
    size_t refused = 0;
    for (size_t length = 10400; length < 13000; length += 50) {
        cleanup(free_char)
        char *filler = allocate_zero(length + 1, 1);
        memset(filler, 'a', length);
        for (size_t i = 0; i < array_length(kinds); i++) {
            cleanup(free_char)
            char *text =
                format("%s%s%sConnection: close\r\n\r\n", kinds[i][0], filler, kinds[i][1]);
            cleanup(free_char)
            char *answer = converse(*state, text);
            if (strstr(answer, "HTTP/1.1 200 ") != answer) {
                assert_begins(answer, "HTTP/1.1 4");
                refused += strstr(answer, "headers may take 10752 bytes") != NULL;
            }
        }
    }
    assert_true(refused > 20);
}

static void parameters_are_as_many_as_the_line_holds(void **state)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    buffer_add_text(&text, "GET /one?a=b");
    for (int i = 0; i < 2500; i++) {
        buffer_add_text(&text, "&a=b");
    }
    buffer_add_text(&text, " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    cleanup(free_char)
    char *answer = converse(*state, buffer_text(&text));
    assert_begins(answer, "HTTP/1.1 200 ");
}

/* A client that can't write may never read. */
static void who_is_answered_before_the_end_can_write_on(void **state)
{
    cleanup(free_char)
    char *filler = allocate_zero((20 << 10) + 1, 1);
    memset(filler, 'a', 20 << 10);
    struct client *client = client_open(*state);
    client_send(client, "GET /one HTTP/1.1\r\nX: ");
    client_send(client, filler);
    assert_begins(client_rest(client), "HTTP/1.1 431 ");
    for (int i = 0; i < 5; i++) {
        assert_true(client_send(client, filler));
        usleep(2000); /* A reset has the time to come back. */
    }
    client_close(client);
}

static void silent_connections_do_not_stall_others(void **state)
{
    static int files[5000];
    size_t silent = connections_possible(array_length(files));
    for (size_t i = 0; i < silent; i++) {
        files[i] = connect_socket(*state);
    }
    struct client *client = client_open(*state);
    client_send(client, "GET /one HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect(client, "<GET /one, 0 bytes>");
    client_close(client);
    for (size_t i = 0; i < silent; i++) {
        close(files[i]);
    }
}

/* A server takes no more connections than it may open files when it starts. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(void)
{
    raise_descriptor_limit();
    const struct CMUnitTest tests[] = {
#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        test(two_lengths_are_refused_and_the_connection_closed),
        test(a_length_with_chunked_is_refused_and_the_connection_closed),
        test(encodings_other_than_chunked_are_refused_and_the_connection_closed),
        test(a_length_that_is_no_number_is_refused_and_the_connection_closed),
        test(a_header_name_with_a_space_behind_is_refused),
        test(a_chunked_body_is_read_and_the_connection_stays_open),
        test(pipelined_requests_are_answered_in_their_order),
        test(answers_that_the_client_takes_late_arrive_whole),
        test(a_body_at_the_limit_is_taken),
        test(a_body_over_the_limit_is_refused_and_the_connection_goes_on),
        test(a_chunked_body_over_the_limit_is_refused_and_the_connection_goes_on),
        test(a_refused_body_without_an_end_is_cut),
        test(who_asks_before_sending_a_refused_body_is_told_at_once),
        test(a_body_too_large_to_wait_for_is_refused_at_once),
        test(who_asks_before_sending_a_good_body_is_told_to_go_on),
        test(who_takes_long_to_recognise_is_served_like_others),
        test(who_takes_long_to_be_refused_keeps_the_connection_in_step),
        test(what_takes_long_to_be_allowed_is_served_or_refused_like_others),
        test(credentials_that_stand_twice_are_refused),
        test(a_caller_who_is_refused_is_so_before_the_body_counts),
        test(a_large_answer_is_compressed_for_who_asks),
        test(a_large_answer_is_sent_as_it_is_to_all_others),
        test(a_small_answer_is_never_compressed),
        test(a_path_that_is_malformed_is_refused),
        test(the_answer_to_head_has_no_body),
        test(what_is_too_large_for_a_connection_leaves_nothing_behind),
        test(a_head_of_any_length_gets_an_answer),
        test(parameters_are_as_many_as_the_line_holds),
        test(who_is_answered_before_the_end_can_write_on),
        test(silent_connections_do_not_stall_others),
        test(a_client_that_closes_its_half_within_a_request_is_cut),
        cmocka_unit_test_setup_teardown(a_server_without_descriptors_does_not_start,
                                        set_up_unstarted, tear_down),
#define impatient(name) cmocka_unit_test_setup_teardown(name, set_up_impatient, tear_down)
        impatient(a_client_that_trickles_its_headers_is_cut),
        impatient(a_client_that_trickles_its_body_is_cut),
        impatient(a_client_that_never_says_hello_is_cut),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
