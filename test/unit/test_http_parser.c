// SPDX-License-Identifier: Apache-2.0
/* Answers of HTTP/1.1, whole and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "common/http_parser.h"

static bool keep(void *argument, const char *bytes, size_t length)
{
    buffer_add(argument, bytes, length);
    return true;
}

static bool refuse(void *argument, const char *bytes, size_t length)
{
    (void)argument;
    (void)bytes;
    (void)length;
    return false;
}

struct answer {
    const char *text;
    enum http_outcome outcome;
    int code;
    const char *body;
    bool keeps_alive;
    size_t left; /* Bytes that do not belong to it. */
};

static const struct answer answers[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", HTTP_COMPLETE, 200, "{}", true, 0},
    {"HTTP/1.1 200 OK\r\ncontent-length:2  \r\n\r\n{}more", HTTP_COMPLETE, 200, "{}", true, 4},
    {"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", HTTP_COMPLETE, 200, "{}", true, 0},
    {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", HTTP_COMPLETE, 200, "", true, 0},
    {"HTTP/1.1 204 No Content\r\n\r\n", HTTP_COMPLETE, 204, "", true, 0},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", HTTP_COMPLETE, 304, "", true, 0},
    {"HTTP/1.1 409 Conflict\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx", HTTP_COMPLETE, 409,
     "x", false, 0},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", HTTP_COMPLETE, 200, "x", false, 0},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx",
     HTTP_COMPLETE, 201, "x", true, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00A;x=y\r\n0123456789\r\n"
     "0\r\nTrailer: a\r\n\r\nz",
     HTTP_COMPLETE, 200, "abc0123456789", true, 1},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: "
     "1\r\n\r\n2\r\nab\r\n0\r\n\r\n",
     HTTP_COMPLETE, 200, "ab", true, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab", HTTP_INCOMPLETE, 200, "ab", true, 0},
    {"HTTP/1.1 200 OK\r\n\r\nabc", HTTP_INCOMPLETE, 200, "abc", false, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", HTTP_INCOMPLETE, 200, "ab",
     true, 0},
    {"HTTP/2 200\r\n\r\n", HTTP_MALFORMED, 0, "", false, 0},
    {"HTTP/1.1 2x0 OK\r\n\r\n", HTTP_MALFORMED, 0, "", false, 0},
    {"\r\n\r\n", HTTP_MALFORMED, 0, "", false, 0},
    {"HTTP/1.1 101 Switching Protocols\r\n\r\n", HTTP_MALFORMED, 101, "", true, 0},
    {"HTTP/1.1 200 OK\r\nno field\r\n\r\n", HTTP_MALFORMED, 200, "", true, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", HTTP_MALFORMED, 200, "", true, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", HTTP_MALFORMED, 200, "",
     true, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", HTTP_MALFORMED, 200, "",
     true, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", HTTP_MALFORMED, 200, "", true, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", HTTP_MALFORMED, 200, "", true,
     0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1x\r\n", HTTP_MALFORMED, 200, "", true,
     0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1111111111111111\r\n", HTTP_MALFORMED,
     200, "", true, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", HTTP_MALFORMED, 200, "a",
     true, 0},
};

/* Feeds the text in two pieces, the first so long. */
static void assert_answer(const struct answer *answer, size_t first)
{
    cleanup(buffer_free)
    struct buffer body = BUFFER_INIT;
    cleanup(http_parser_clear)
    struct http_parser parser;
    size_t length = strlen(answer->text), used, used_of_second = 0;
    http_parser_init(&parser, keep, &body);
    enum http_outcome outcome = http_parser_feed(&parser, answer->text, first, &used);
    if (outcome == HTTP_INCOMPLETE) {
        assert_int_equal(used, first);
        outcome = http_parser_feed(&parser, answer->text + first, length - first, &used_of_second);
    }
    assert_int_equal(outcome, answer->outcome);
    assert_int_equal(parser.code, answer->code);
    assert_string_equal(buffer_text(&body), answer->body);
    if (outcome != HTTP_MALFORMED) {
        assert_int_equal(parser.keeps_alive, answer->keeps_alive);
        assert_int_equal(length - used - used_of_second, answer->left);
    }
}

static void answers_are_understood_wherever_they_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_length(answers); i++) {
        for (size_t first = 0; first <= strlen(answers[i].text); first++) {
            assert_answer(&answers[i], first);
        }
    }
}

static enum http_outcome feed_all(struct http_parser *parser, const char *text)
{
    size_t used;
    return http_parser_feed(parser, text, strlen(text), &used);
}

static void the_end_of_the_connection_may_end_an_answer(void **state)
{
    (void)state;
    cleanup(buffer_free)
    struct buffer body = BUFFER_INIT;
    struct http_parser parser;
    http_parser_init(&parser, keep, &body);
    assert_int_equal(http_parser_end(&parser), HTTP_INCOMPLETE);
    assert_false(parser.has_begun);
    feed_all(&parser, "HTTP/1.1 200 OK\r\n\r\nab");
    assert_int_equal(http_parser_end(&parser), HTTP_COMPLETE);
    http_parser_init(&parser, keep, &body);
    feed_all(&parser, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab");
    assert_int_equal(http_parser_end(&parser), HTTP_INCOMPLETE);
}

static void retry_after_is_seconds_or_a_date(void **state)
{
    static const struct {
        const char *value;
        int64_t least, most;
    } rows[] = {
        {"17", 17, 17},
        {"soon", 0, 0},
        {"Thu, 01 Jan 1970 00:00:01 GMT", 0, 0},
        {"Fri, 01 Jan 2100 00:00:00 GMT", 1000000, INT64_MAX},
    };
    (void)state;
    for (size_t i = 0; i < array_length(rows); i++) {
        struct http_parser parser;
        cleanup(free_char)
        char *text = format("HTTP/1.1 429 Too Many Requests\r\nRetry-After: %s\r\n"
                            "Content-Length: 0\r\n\r\n",
                            rows[i].value);
        http_parser_init(&parser, refuse, NULL);
        assert_int_equal(feed_all(&parser, text), HTTP_COMPLETE);
        assert_in_range(parser.retry_after_seconds, rows[i].least, rows[i].most);
    }
}

static void who_takes_the_body_may_stop(void **state)
{
    struct http_parser parser;
    (void)state;
    http_parser_init(&parser, refuse, NULL);
    assert_int_equal(feed_all(&parser, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"),
                     HTTP_STOPPED);
}

static void heads_and_lines_have_an_end(void **state)
{
    (void)state;
    cleanup(buffer_free)
    struct buffer body = BUFFER_INIT;
    static const char *const beginnings[] = {
        "HTTP/1.1 200 OK\r\nX: ",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
    };
    for (size_t i = 0; i < array_length(beginnings); i++) {
        cleanup(http_parser_clear)
        struct http_parser parser;
        http_parser_init(&parser, keep, &body);
        enum http_outcome outcome = feed_all(&parser, beginnings[i]);
        for (size_t n = 0; n < 100000 && outcome == HTTP_INCOMPLETE; n++) {
            outcome = feed_all(&parser, "xxxxxxxxxxxxxxxx");
        }
        assert_int_equal(outcome, HTTP_MALFORMED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_understood_wherever_they_are_cut),
        cmocka_unit_test(the_end_of_the_connection_may_end_an_answer),
        cmocka_unit_test(retry_after_is_seconds_or_a_date),
        cmocka_unit_test(who_takes_the_body_may_stop),
        cmocka_unit_test(heads_and_lines_have_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
