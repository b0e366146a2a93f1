// SPDX-License-Identifier: Apache-2.0
/* Certificates: the server's while its files change, and those that clients show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <fcntl.h>

#include "common/timestamp.h"
#include "test/unit/http_harness.h"

/* ---- a handler that tells who asks ---- */

static enum authentication authenticate(void *argument, const struct credentials *credentials,
                                        bool block, struct request *request, struct error *error)
{
    (void)argument;
    (void)block;
    (void)error;
    const struct client_certificate *certificate = credentials->certificate;
    const char *name = certificate == NULL ? "nobody"
                       : !certificate->trusted && !certificate->trusted_as_proxy
                           ? "refused"
                           : certificate->common_name;
    struct user *user = &request->user;
    *user = (struct user){.name = duplicate(name), .uid = duplicate("")};
    char *const *organization =
        certificate && certificate->trusted ? certificate->organizations : NULL;
    for (; organization != NULL && *organization != NULL; organization++) {
        user->groups = reallocate(user->groups, (user->group_count + 1) * sizeof(char *));
        user->groups[user->group_count++] = duplicate(*organization);
    }
    return AUTHENTICATION_DONE;
}

static enum waits waits(void *argument, struct request *request)
{
    (void)argument;
    (void)request;
    return WAITS_FOR_NOTHING;
}

static void serve(void *argument, struct request *request, struct response *response)
{
    (void)argument;
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    buffer_addf(&text, "<%s", request->user.name);
    for (size_t i = 0; i < request->user.group_count; i++) {
        buffer_addf(&text, " in %s", request->user.groups[i]);
    }
    buffer_add_char(&text, '>');
    response_set_text(response, 200, "text/plain", buffer_text(&text));
}

static const struct handler handler = {
    .authenticate = authenticate, .waits = waits, .serve = serve};

static int set_up(void **state)
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

/* ---- the server's certificate ---- */

/* The name in the certificate that the server shows a new client. */
static void shown_name(const struct fixture *fixture, char name[static 64])
{
    struct client *client = client_open(fixture);
    X509 *shown = SSL_get1_peer_certificate(client->tls);
    X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, name, 64);
    X509_free(shown);
    client_close(client);
}

static void wait_for_shown_name(const struct fixture *fixture, const char *expected)
{
    int64_t until = timestamp_monotonic() + patience_seconds * INT64_C(1000000000);
    char name[64] = "";
    do {
        shown_name(fixture, name);
        usleep(10000);
    } while (strcmp(name, expected) != 0 && timestamp_monotonic() < until);
    assert_string_equal(name, expected);
}

static void a_new_certificate_and_key_are_served_without_a_restart(void **state)
{
    struct fixture *fixture = *state;
    cleanup(identity_free)
    struct identity second = make_identity("second", NULL, NULL, NULL, 3600);
    fixture_start(fixture, &handler);
    wait_for_shown_name(fixture, "first");
    write_certificate(fixture->certificate, &second);
    write_key(fixture->key, &second);
    wait_for_shown_name(fixture, "second");
}

/* Sends what is logged to a file while it lives. */
struct captured_log {
    char path[32];
    int saved;
};

static struct captured_log capture_log(void)
{
    struct captured_log log = {.path = "/tmp/tls-test-log-XXXXXX", .saved = dup(2)};
    int file = mkstemp(log.path);
    assert_true(file >= 0);
    dup2(file, 2);
    close(file);
    return log;
}

static void release_log(struct captured_log *log)
{
    dup2(log->saved, 2);
    close(log->saved);
    unlink(log->path);
}

static size_t lines_logged(const struct captured_log *log, const char *part)
{
    char text[8192] = "";
    cleanup(close_stream)
    FILE *file = fopen(log->path, "r");
    size_t length = fread(text, 1, sizeof text - 1, file);
    text[length] = '\0';
    return count_of(text, part);
}

/* Handshakes go on until the server has looked at the files again and complained, and then for
 * longer than it takes until it looks once more; all show the certificate of before. */
static void assert_keeps_the_first(struct fixture *fixture, const char *complaint)
{
    cleanup(release_log)
    struct captured_log log = capture_log();
    int64_t now = timestamp_monotonic(), until = now + patience_seconds * INT64_C(1000000000);
    char name[64];
    while (lines_logged(&log, complaint) == 0 && timestamp_monotonic() < until) {
        shown_name(fixture, name);
        assert_string_equal(name, "first");
        usleep(20000);
    }
    until = timestamp_monotonic() + INT64_C(1500000000);
    while (timestamp_monotonic() < until) {
        shown_name(fixture, name);
        assert_string_equal(name, "first");
        usleep(20000);
    }
    assert_int_equal(lines_logged(&log, "keeping the present serving certificate: "), 1);
    assert_int_equal(lines_logged(&log, complaint), 1);
}

static void a_certificate_whose_key_is_not_there_yet_waits_for_it(void **state)
{
    struct fixture *fixture = *state;
    cleanup(identity_free)
    struct identity second = make_identity("second", NULL, NULL, NULL, 3600);
    fixture_start(fixture, &handler);
    wait_for_shown_name(fixture, "first");
    write_certificate(fixture->certificate, &second);
    assert_keeps_the_first(fixture, "is not that of the certificate in");
    write_key(fixture->key, &second);
    wait_for_shown_name(fixture, "second");
}

static void a_broken_certificate_leaves_the_old_one_serving(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, &handler);
    wait_for_shown_name(fixture, "first");
    FILE *file = fopen(fixture->certificate, "w");
    fputs("-----BEGIN CERTIFICATE-----\nAAAA\n", file);
    fclose(file);
    assert_keeps_the_first(fixture, "holds no certificate");
}

static void a_key_of_another_certificate_is_refused_at_start(void **state)
{
    struct fixture *fixture = *state;
    cleanup(identity_free)
    struct identity second = make_identity("second", NULL, NULL, NULL, 3600);
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    write_key(fixture->key, &second);
    assert_null(server_start(&fixture->options, &handler, &error));
    assert_has(error.message, "is not that of the certificate in");
}

/* ---- clients' certificates ---- */

static void assert_seen_as(struct fixture *fixture, const struct identity *identity,
                           const char *expected)
{
    struct client *client = client_open_as(fixture, identity);
    for (size_t i = 0; i < 2; i++) { /* The second time it is known. */
        buffer_reset(&client->received);
        client_send(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client_expect(client, expected);
    }
    client_close(client);
}

static void a_client_is_who_its_certificate_says_if_an_authority_signed_it(void **state)
{
    struct fixture *fixture = *state;
    struct identity authority = make_identity("authority", NULL, NULL, NULL, 3600);
    struct identity foreign = make_identity("authority", NULL, NULL, NULL, 3600);
    struct {
        struct identity identity;
        const char *expected;
    } cases[] = {
        {make_identity("jane", "builders", &authority, "clientAuth", 3600), "<jane in builders>"},
        {make_identity("joe", NULL, &authority, "clientAuth", 3600), "<joe>"},
        {make_identity("jane", "builders", &foreign, "clientAuth", 3600), "<refused>"},
        {make_identity("jane", "builders", NULL, NULL, 3600), "<refused>"},
        {make_identity("jane", "builders", &authority, "serverAuth", 3600), "<refused>"},
        {make_identity("jane", "builders", &authority, "clientAuth", -3600), "<refused>"},
    };
    cleanup(free_char)
    char *file = format("%s/ca", fixture->directory);
    write_certificate(file, &authority);
    fixture->options.client_ca_file = file;
    fixture_start(fixture, &handler);
    unlink(file);
    assert_seen_as(fixture, NULL, "<nobody>");
    for (size_t i = 0; i < array_length(cases); i++) {
        assert_seen_as(fixture, &cases[i].identity, cases[i].expected);
        identity_free(&cases[i].identity);
    }
    identity_free(&authority);
    identity_free(&foreign);
}

static void without_an_authority_nobody_is_asked_for_a_certificate(void **state)
{
    cleanup(identity_free)
    struct identity jane = make_identity("jane", "builders", NULL, NULL, 3600);
    fixture_start(*state, &handler);
    assert_seen_as(*state, &jane, "<nobody>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        test(a_new_certificate_and_key_are_served_without_a_restart),
        test(a_certificate_whose_key_is_not_there_yet_waits_for_it),
        test(a_broken_certificate_leaves_the_old_one_serving),
        test(a_key_of_another_certificate_is_refused_at_start),
        test(a_client_is_who_its_certificate_says_if_an_authority_signed_it),
        test(without_an_authority_nobody_is_asked_for_a_certificate),
    };
    return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
