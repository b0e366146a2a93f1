// SPDX-License-Identifier: Apache-2.0
/* Exchanges against a server that says exactly what a test tells it to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/connections.h"

enum { threads_max = 64 };

/* What the server says to the next request. */
struct reply {
    const char *text; /* "": nothing. */
    bool cuts;        /* Ends the connection after it. */
};

struct fixture {
    int listener;
    char *url;
    const struct reply *replies;
    size_t reply_count;
    pthread_t server, threads[threads_max]; /* One for each connection that was accepted. */
    struct loop *loop;
    struct connections *connections;

    pthread_mutex_t lock; /* Guards what follows. */
    pthread_cond_t changed;
    size_t accepted, closed, answered, next;
    size_t bytes_read;
};

/* ---- the server ---- */

static void count(struct fixture *fixture, size_t *counter, size_t more)
{
    pthread_mutex_lock(&fixture->lock);
    *counter += more;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
}

static void wait_until(struct fixture *fixture, const size_t *counter, size_t least)
{
    pthread_mutex_lock(&fixture->lock);
    while (*counter < least) {
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    }
    pthread_mutex_unlock(&fixture->lock);
}

static size_t counted(struct fixture *fixture, const size_t *counter)
{
    pthread_mutex_lock(&fixture->lock);
    size_t value = *counter;
    pthread_mutex_unlock(&fixture->lock);
    return value;
}

/* A request ends with '.'. */
static bool read_request(struct fixture *fixture, int file)
{
    char bytes[4096];
    ssize_t length;
    while ((length = read(file, bytes, sizeof bytes)) > 0) {
        count(fixture, &fixture->bytes_read, (size_t)length);
        if (bytes[length - 1] == '.') {
            return true;
        }
    }
    return false;
}

static const struct reply *next_reply(struct fixture *fixture)
{
    static const struct reply silence = {"", false};
    pthread_mutex_lock(&fixture->lock);
    const struct reply *reply =
        fixture->next < fixture->reply_count ? &fixture->replies[fixture->next++] : &silence;
    pthread_mutex_unlock(&fixture->lock);
    return reply;
}

struct served {
    struct fixture *fixture;
    int file;
};

static void *serve_one(void *argument)
{
    struct served *served = argument;
    struct fixture *fixture = served->fixture;
    bool is_cut = false;
    while (!is_cut && read_request(fixture, served->file)) {
        const struct reply *reply = next_reply(fixture);
        ssize_t ignored = write(served->file, reply->text, strlen(reply->text));
        (void)ignored;
        count(fixture, &fixture->answered, 1);
        is_cut = reply->cuts;
    }
    close(served->file);
    count(fixture, &fixture->closed, 1);
    free(served);
    return NULL;
}

static void *serve(void *argument)
{
    struct fixture *fixture = argument;
    int file;
    for (size_t i = 0; i < threads_max; i++) {
        if ((file = accept(fixture->listener, NULL, NULL)) < 0) {
            break;
        }
        struct served *served = allocate_struct(struct served);
        *served = (struct served){fixture, file};
        count(fixture, &fixture->accepted, 1); /* Before it can answer. */
        pthread_create(&fixture->threads[i], NULL, serve_one, served);
    }
    return NULL;
}

/* ---- the fixture ---- */

static void prepare(void *argument, CURL *easy)
{
    const struct fixture *fixture = argument;
    curl_easy_setopt(easy, CURLOPT_URL, fixture->url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
}

static void start(struct fixture *fixture, const struct reply *replies, size_t reply_count)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *fixture = (struct fixture){
        .replies = replies, .reply_count = reply_count, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_cond_init(&fixture->changed, NULL);
    fixture->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fixture->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fixture->listener, 8), 0);
    getsockname(fixture->listener, (struct sockaddr *)&address, &length);
    fixture->url = format("http://127.0.0.1:%d", ntohs(address.sin_port));
    pthread_create(&fixture->server, NULL, serve, fixture);
    fixture->loop = loop_new();
    fixture->connections = connections_new(fixture->loop, prepare, fixture);
}

static void stop(struct fixture *fixture)
{
    loop_stop(fixture->loop);
    connections_free(fixture->connections);
    loop_free(fixture->loop);
    shutdown(fixture->listener, SHUT_RDWR);
    pthread_join(fixture->server, NULL);
    for (size_t i = 0; i < fixture->accepted; i++) {
        pthread_join(fixture->threads[i], NULL);
    }
    close(fixture->listener);
    pthread_cond_destroy(&fixture->changed);
    free(fixture->url);
}

/* ---- exchanges ---- */

struct talk {
    struct fixture *fixture;
    struct exchange exchange;
    struct buffer body;
    CURLcode result;
    size_t ended; /* Guarded by the fixture's lock. */
};

static bool take(void *argument, const char *bytes, size_t length)
{
    struct talk *talk = argument;
    buffer_add(&talk->body, bytes, length);
    return true;
}

static void done(void *argument, CURLcode result)
{
    struct talk *talk = argument;
    talk->result = result;
    count(talk->fixture, &talk->ended, 1);
}

static void begin(void *argument)
{
    struct talk *talk = argument;
    exchange_start(talk->fixture->connections, &talk->exchange);
}

static void cancel(void *argument)
{
    struct talk *talk = argument;
    exchange_cancel(&talk->exchange);
}

static struct talk talk_of(struct fixture *fixture, size_t length)
{
    struct talk talk = {.fixture = fixture,
                        .exchange = {.limit_ms = 30000, .take = take, .done = done}};
    memset(buffer_reserve(&talk.exchange.text, length), 'x', length);
    talk.exchange.text.length = length;
    talk.exchange.text.bytes[length - 1] = '.';
    return talk;
}

static void talk_clear(struct talk *talk)
{
    buffer_free(&talk->exchange.text);
    buffer_free(&talk->body);
}

static void wait_for_end(struct talk *talk)
{
    talk->exchange.argument = talk;
    loop_call(talk->fixture->loop, begin, talk);
    wait_until(talk->fixture, &talk->ended, 1);
}

static CURLcode ask(struct fixture *fixture, int *code)
{
    cleanup(talk_clear)
    struct talk talk = talk_of(fixture, 10);
    wait_for_end(&talk);
    *code = talk.exchange.parser.code;
    return talk.result;
}

static void nothing(void *argument)
{
    (void)argument;
}

/* ---- tests ---- */

static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static void a_connection_is_used_again(void **state)
{
    const struct reply replies[] = {{ok, false}, {ok, false}, {ok, false}};
    int code;
    (void)state;
    cleanup(stop)
    struct fixture fixture;
    start(&fixture, replies, array_length(replies));
    for (size_t i = 0; i < array_length(replies); i++) {
        assert_int_equal(ask(&fixture, &code), CURLE_OK);
        assert_int_equal(code, 200);
    }
    assert_int_equal(counted(&fixture, &fixture.accepted), 1);
}

/* One that the server has closed, one that it is going to close, and one on which it said more than
 * it was asked for. */
static void a_connection_that_ends_is_not_used_again(void **state)
{
    static const char closing[] =
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    static const char talkative[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more";
    const struct reply replies[] = {{ok, true}, {closing, true}, {talkative, true}, {ok, false}};
    int code;
    (void)state;
    cleanup(stop)
    struct fixture fixture;
    start(&fixture, replies, array_length(replies));
    for (size_t i = 0; i < array_length(replies); i++) {
        assert_int_equal(ask(&fixture, &code), CURLE_OK);
        assert_int_equal(code, 200);
        if (replies[i].cuts) {
            wait_until(&fixture, &fixture.closed, i + 1);
            loop_call(fixture.loop, nothing, NULL);
            loop_call(fixture.loop, nothing, NULL); /* It has looked at its sockets in between. */
        }
    }
    assert_int_equal(counted(&fixture, &fixture.accepted), array_length(replies));
}

static void what_went_wrong_is_told(void **state)
{
    static const struct {
        struct reply reply;
        CURLcode result;
    } rows[] = {
        {{"", true}, CURLE_GOT_NOTHING},
        {{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", true}, CURLE_PARTIAL_FILE},
        {{"SSH-2.0-OpenSSH\r\n\r\n", false}, CURLE_WEIRD_SERVER_REPLY},
        {{"HTTP/1.1 200 OK\r\n\r\nall", true}, CURLE_OK},
    };
    (void)state;
    for (size_t i = 0; i < array_length(rows); i++) {
        int code;
        cleanup(stop)
        struct fixture fixture;
        start(&fixture, &rows[i].reply, 1);
        assert_int_equal(ask(&fixture, &code), rows[i].result);
    }
}

static void a_server_that_is_silent_is_given_up(void **state)
{
    const struct reply replies[] = {{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", false}};
    (void)state;
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        cleanup(stop)
        struct fixture fixture;
        start(&fixture, replies, 1);
        cleanup(talk_clear)
        struct talk talk = talk_of(&fixture, 10);
        talk.exchange.limit_ms = 30;
        talk.exchange.is_stream = is_stream == 1;
        wait_for_end(&talk);
        assert_int_equal(talk.result, CURLE_OPERATION_TIMEDOUT);
        assert_string_equal(talk.exchange.detail, "nothing came for 30 ms");
    }
}

/* More than fits into the sockets. */
static void a_large_request_arrives_whole(void **state)
{
    enum { request_bytes = 16 * 1024 * 1024 };
    const struct reply replies[] = {{ok, false}};
    (void)state;
    cleanup(stop)
    struct fixture fixture;
    start(&fixture, replies, 1);
    cleanup(talk_clear)
    struct talk talk = talk_of(&fixture, request_bytes);
    wait_for_end(&talk);
    assert_int_equal(talk.result, CURLE_OK);
    assert_int_equal(counted(&fixture, &fixture.bytes_read), request_bytes);
    assert_string_equal(buffer_text(&talk.body), "ok");
}

/* Begins what does not end by itself; the server has read it. */
static void begin_and_stay(struct fixture *fixture, struct talk *talk)
{
    talk->exchange.argument = talk;
    loop_call(fixture->loop, begin, talk);
    wait_until(fixture, &fixture->answered, 1);
}

static void a_cancelled_exchange_ends_its_connection(void **state)
{
    const struct reply replies[] = {{"HTTP/1.1 200 OK\r\n\r\nsome", false}, {ok, false}};
    int code;
    (void)state;
    cleanup(stop)
    struct fixture fixture;
    start(&fixture, replies, array_length(replies));
    cleanup(talk_clear)
    struct talk talk = talk_of(&fixture, 10);
    begin_and_stay(&fixture, &talk);
    loop_call(fixture.loop, cancel, &talk);
    assert_int_equal(ask(&fixture, &code), CURLE_OK);
    assert_int_equal(counted(&fixture, &talk.ended), 0);
    assert_int_equal(counted(&fixture, &fixture.accepted), 2);
}

/* Also when what is before it in the line never ends. */
static void an_exchange_does_not_wait_for_one_that_takes_long(void **state)
{
    const struct reply replies[] = {{"", false}, {ok, false}};
    int code;
    (void)state;
    cleanup(stop)
    struct fixture fixture;
    start(&fixture, replies, array_length(replies));
    cleanup(talk_clear)
    struct talk talk = talk_of(&fixture, 10);
    begin_and_stay(&fixture, &talk);
    assert_int_equal(ask(&fixture, &code), CURLE_OK);
    loop_call(fixture.loop, cancel, &talk);
}

static void a_burst_is_answered(void **state)
{
    struct reply replies[40];
    struct talk talks[array_length(replies)];
    (void)state;
    for (size_t i = 0; i < array_length(replies); i++) {
        replies[i] = (struct reply){ok, i % 7 == 6}; /* Some connections end meanwhile. */
    }
    cleanup(stop)
    struct fixture fixture;
    start(&fixture, replies, array_length(replies));
    for (size_t i = 0; i < array_length(talks); i++) {
        talks[i] = talk_of(&fixture, 10);
        talks[i].exchange.argument = &talks[i];
        loop_call(fixture.loop, begin, &talks[i]);
    }
    size_t answered = 0;
    for (size_t i = 0; i < array_length(talks); i++) {
        wait_until(&fixture, &talks[i].ended, 1);
        answered += talks[i].result == CURLE_OK;
        talk_clear(&talks[i]);
    }
    assert_in_range(answered, array_length(talks) - 2 * 5, array_length(talks));
}

static void an_exchange_ends_when_the_loop_stops(void **state)
{
    const struct reply replies[] = {{"", false}};
    (void)state;
    cleanup(stop)
    struct fixture fixture;
    start(&fixture, replies, 1);
    cleanup(talk_clear)
    struct talk talk = talk_of(&fixture, 10);
    begin_and_stay(&fixture, &talk);
    loop_stop(fixture.loop);
    assert_int_equal(talk.ended, 1);
    assert_int_equal(talk.result, CURLE_ABORTED_BY_CALLBACK);
}

static void a_server_that_is_not_there_is_told_of_in_curls_words(void **state)
{
    (void)state;
    cleanup(stop)
    struct fixture fixture;
    start(&fixture, NULL, 0);
    free(fixture.url);
    fixture.url = duplicate("http://127.0.0.1:1");
    cleanup(talk_clear)
    struct talk talk = talk_of(&fixture, 10);
    wait_for_end(&talk);
    assert_int_equal(talk.result, CURLE_COULDNT_CONNECT);
    assert_non_null(strstr(talk.exchange.detail, "Failed to connect"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_is_used_again),
        cmocka_unit_test(a_connection_that_ends_is_not_used_again),
        cmocka_unit_test(what_went_wrong_is_told),
        cmocka_unit_test(a_server_that_is_silent_is_given_up),
        cmocka_unit_test(a_large_request_arrives_whole),
        cmocka_unit_test(a_cancelled_exchange_ends_its_connection),
        cmocka_unit_test(an_exchange_does_not_wait_for_one_that_takes_long),
        cmocka_unit_test(a_burst_is_answered),
        cmocka_unit_test(an_exchange_ends_when_the_loop_stops),
        cmocka_unit_test(a_server_that_is_not_there_is_told_of_in_curls_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
