// SPDX-License-Identifier: Apache-2.0
/* What only an etcd store meets: endpoints that are down, hang or come back. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test/storage/harness.h"
#include "test/storage/relay.h"

static struct store *open_several(const char *const *endpoints, int timeout_ms)
{
    const struct store_etcd_options options = {.endpoints = endpoints, .timeout_ms = timeout_ms};
    struct error error = ERROR_INIT;
    struct store *store = store_etcd_open(&options, &error);
    if (store == NULL) {
        fail_msg("%s", error.message);
    }
    return store;
}

/* An endpoint where nobody listens. */
static void dead_endpoint(char endpoint[static 64])
{
    snprintf(endpoint, 64, "http://127.0.0.1:%d", free_port());
}

static void opening_fails_within_its_time_limit_when_nothing_answers(void **state)
{
    (void)state;
    char endpoint[64];
    dead_endpoint(endpoint);
    const char *const endpoints[] = {endpoint, NULL};
    const struct store_etcd_options options = {.endpoints = endpoints, .timeout_ms = 600};
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    int64_t began = milliseconds();
    assert_null(store_etcd_open(&options, &error));
    assert_true(milliseconds() - began < 2000);
    assert_int_equal(error.code, 503);
    assert_non_null(strstr(error.message, "no etcd endpoint answered within 0.6 seconds"));
    assert_non_null(strstr(error.message, endpoint));
}

static void opening_fails_within_its_time_limit_when_etcd_hangs(void **state)
{
    (void)state;
    struct relay relay;
    relay_start(&relay, 1);
    /* Listens, as the kernel does for it, but is never served. */
    relay.stop = true;
    pthread_join(relay.thread, NULL);
    const char *const endpoints[] = {relay.endpoint, NULL};
    const struct store_etcd_options options = {.endpoints = endpoints, .timeout_ms = 900};
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    int64_t began = milliseconds();
    assert_null(store_etcd_open(&options, &error));
    assert_true(milliseconds() - began < 2500);
    assert_int_equal(error.code, 503);
    close(relay.listener);
}

static void an_endpoint_that_is_no_url_is_named(void **state)
{
    (void)state;
    const char *const endpoints[] = {"ftp://127.0.0.1:1", NULL};
    const struct store_etcd_options options = {.endpoints = endpoints, .timeout_ms = 900};
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_null(store_etcd_open(&options, &error));
    assert_non_null(strstr(error.message, "ftp://127.0.0.1:1"));
}

static void an_etcd_behind_a_socket_is_written_to_and_watched(void **state)
{
    (void)state;
    cleanup(free_char)
    char *endpoint = format("unix://%s", getenv("ETCD_SOCKET"));
    const char *const endpoints[] = {endpoint, NULL};
    struct store *store = open_several(endpoints, 6000);
    struct recorder recorder;
    recorder_init(&recorder);
    struct error error = ERROR_INIT;
    assert_done(store_watch(store, current_revision(store), recorder_watcher(&recorder), &error));
    recorder_wait_revision(&recorder, put(store, "/socket/a", "x", STORE_ANY));
    store_close(store);
    recorder_free(&recorder);
}

static void a_socket_that_is_not_there_is_named(void **state)
{
    (void)state;
    const char *const endpoints[] = {"unix:///nowhere/etcd.sock:0", NULL};
    const struct store_etcd_options options = {.endpoints = endpoints, .timeout_ms = 600};
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_null(store_etcd_open(&options, &error));
    assert_int_equal(error.code, 503);
    assert_non_null(strstr(error.message, "etcd at unix:///nowhere/etcd.sock:0: "));
}

static void a_socket_of_too_long_a_path_is_refused(void **state)
{
    (void)state;
    char endpoint[200] = "unix:///";
    memset(endpoint + strlen(endpoint), 'x', 120);
    const char *const endpoints[] = {endpoint, NULL};
    const struct store_etcd_options options = {.endpoints = endpoints, .timeout_ms = 600};
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_null(store_etcd_open(&options, &error));
    assert_non_null(strstr(error.message, "is longer than 107 bytes"));
}

static void dead_and_hanging_endpoints_beside_one_that_serves_do_no_harm(void **state)
{
    (void)state;
    char dead[64];
    dead_endpoint(dead);
    struct relay hanging;
    relay_start(&hanging, 1);
    hanging.stop = true;
    pthread_join(hanging.thread, NULL);
    const char *const endpoints[] = {dead, hanging.endpoint, shared_endpoint(), NULL};
    struct store *store = open_several(endpoints, 6000);
    struct recorder recorder;
    recorder_init(&recorder);
    struct error error = ERROR_INIT;
    assert_done(store_watch(store, current_revision(store), recorder_watcher(&recorder), &error));
    int64_t began = milliseconds();
    int64_t revision = 0;
    for (int i = 0; i < 50; i++) {
        revision = put(store, "/dead/a", "x", STORE_ANY);
    }
    assert_true(milliseconds() - began < 3000);
    recorder_wait_revision(&recorder, revision);
    store_close(store);
    recorder_free(&recorder);
    close(hanging.listener);
}

static void a_write_to_an_etcd_that_is_down_did_not_happen(void **state)
{
    (void)state;
    struct etcd_server server;
    etcd_server_init(&server);
    etcd_server_start(&server, NULL);
    struct store *store = open_etcd(server.endpoint, 10000);
    store_close(store);
    store = open_etcd(server.endpoint, 600);
    put(store, "/down/a", "before", 0);
    etcd_server_kill(&server);
    const struct store_write write = {
        .key = "/down/a", .value = "during", .value_length = 6, .expected = STORE_ANY};
    int64_t revision;
    assert_int_equal(try_write(store, &write, &revision), 503);
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_false(store_healthy(store, &error));
    store_close(store);
    etcd_server_start(&server, NULL);
    store = open_etcd(server.endpoint, 10000);
    assert_value(store, "/down/a", "before");
    store_close(store);
    etcd_server_free(&server);
}

static void an_etcd_that_refuses_connections_is_not_waited_for_to_the_end(void **state)
{
    (void)state;
    struct etcd_server server;
    etcd_server_init(&server);
    etcd_server_start(&server, NULL);
    struct store *store = open_etcd(server.endpoint, 60000);
    etcd_server_kill(&server);
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    int64_t began = milliseconds(), revision;
    assert_false(store_current_revision(store, &revision, &error));
    assert_int_equal(error.code, 503);
    assert_non_null(strstr(error.message, server.endpoint));
    error_clear(&error);
    assert_false(store_healthy(store, &error));
    assert_true(milliseconds() - began < 30000);
    etcd_server_start(&server, NULL);
    for (int64_t until = milliseconds() + wait_seconds * 1000;;) {
        error_clear(&error);
        if (store_healthy(store, &error)) {
            break;
        }
        assert_true(milliseconds() < until);
    }
    put(store, "/refused/a", "after", 0);
    store_close(store);
    etcd_server_free(&server);
}

static void a_write_to_an_etcd_that_hangs_is_unknown_and_reads_are_in_vain(void **state)
{
    (void)state;
    struct etcd_server server;
    etcd_server_init(&server);
    etcd_server_start(&server, NULL);
    store_close(open_etcd(server.endpoint, 10000));
    struct store *store = open_etcd(server.endpoint, 900);
    put(store, "/hang/a", "before", 0);
    etcd_server_freeze(&server);
    const struct store_write write = {
        .key = "/hang/a", .value = "during", .value_length = 6, .expected = STORE_ANY};
    int64_t revision;
    int64_t began = milliseconds();
    assert_int_equal(try_write(store, &write, &revision), STORE_UNKNOWN);
    struct error error = ERROR_INIT;
    assert_false(store_current_revision(store, &revision, &error));
    assert_int_equal(error.code, 503);
    assert_true(milliseconds() - began < 3500);
    error_clear(&error);
    began = milliseconds();
    assert_false(store_healthy(store, &error));
    assert_true(milliseconds() - began < 2500);
    error_clear(&error);
    kill(server.pid, SIGCONT);
    int64_t until = milliseconds() + wait_seconds * 1000;
    while (!store_healthy(store, &error)) {
        error_clear(&error);
        assert_true(milliseconds() < until);
    }
    put(store, "/hang/a", "after", STORE_ANY);
    assert_value(store, "/hang/a", "after");
    store_close(store);
    etcd_server_free(&server);
}

static void a_write_whose_answer_is_lost_is_unknown_and_not_repeated(void **state)
{
    (void)state;
    struct relay relay;
    relay_start(&relay, atoi(strrchr(shared_endpoint(), ':') + 1));
    struct store *direct = open_etcd(shared_endpoint(), 0);
    struct store *store = open_etcd(relay.endpoint, 3000);
    int64_t before = put(store, "/cut/a", "before", STORE_ANY);
    relay.cut_answers = true;
    const struct store_write write = {
        .key = "/cut/a", .value = "during", .value_length = 6, .expected = before};
    int64_t revision;
    assert_int_equal(try_write(store, &write, &revision), STORE_UNKNOWN);
    assert_int_equal(relay.cut, 1);
    assert_int_equal(current_revision(direct), before + 1);
    assert_value(direct, "/cut/a", "during");
    /* A read is simply asked again. */
    relay.cut_answers = true;
    assert_int_equal(current_revision(store), before + 1);
    assert_int_equal(relay.cut, 2);
    store_close(store);
    store_close(direct);
    relay_stop(&relay);
}

static void a_watch_whose_connection_falls_silent_is_noticed_and_mended(void **state)
{
    (void)state;
    struct relay relay;
    relay_start(&relay, atoi(strrchr(shared_endpoint(), ':') + 1));
    struct store *direct = open_etcd(shared_endpoint(), 0);
    struct store *store = open_etcd(relay.endpoint, 0);
    struct error error = ERROR_INIT;
    struct recorder recorder;
    recorder_init(&recorder);
    int64_t after = current_revision(direct);
    assert_done(store_watch(store, after, recorder_watcher(&recorder), &error));
    recorder_wait_revision(&recorder, put(direct, "/silent/a", "1", STORE_ANY));
    relay.freeze = true;
    while (relay.freeze) {
        sleep_ms(1);
    }
    put(direct, "/silent/a", "2", STORE_ANY);
    recorder_wait_revision(&recorder, put(direct, "/silent/a", "3", STORE_ANY));
    assert_int_equal(recorder.count, 3);
    assert_true(recorder.in_order);
    assert_int_equal(recorder.lost, 0);
    store_close(store);
    store_close(direct);
    relay_stop(&relay);
    recorder_free(&recorder);
}

/* ---- writing while etcd comes and goes ---- */

struct writer {
    struct store *store;
    int number;
    _Atomic bool *stop;
    int acknowledged; /* The last value acknowledged, */
    int unknown;      /* and the last one of unknown fate. */
    _Atomic int count;
    int unexpected; /* Errors that are neither 503 nor 504. */
};

/* Puts 1, 2, 3, … at a key of its own until told to stop. */
static void *write_numbers(void *argument)
{
    struct writer *writer = argument;
    char key[64], value[24];
    snprintf(key, sizeof(key), "/numbers/%d", writer->number);
    for (int i = 1; !*writer->stop; i++) {
        snprintf(value, sizeof(value), "%d", i);
        const struct store_write write = {
            .key = key, .value = value, .value_length = strlen(value), .expected = STORE_ANY};
        int64_t revision;
        int code = try_write(writer->store, &write, &revision);
        if (code == 0) {
            writer->acknowledged = i;
            writer->count++;
        } else if (code == STORE_UNKNOWN) {
            writer->unknown = i;
        } else if (code != 503) {
            writer->unexpected++;
        }
    }
    return NULL;
}

enum { writer_count = 6 };

static void wait_for_writes(const struct writer *writers, int more)
{
    int before[writer_count];
    int64_t until = milliseconds() + wait_seconds * 1000;
    for (int i = 0; i < writer_count; i++) {
        before[i] = writers[i].count;
    }
    for (int i = 0; i < writer_count; i++) {
        while (writers[i].count < before[i] + more) {
            assert_true(milliseconds() < until);
            sleep_ms(5);
        }
    }
}

/* Writes from several threads and watches while 'disturb' does its worst, then checks that what
 * was acknowledged is there, that what is there was written, and that the watch saw every revision
 * once. */
static void write_through(struct store *store, void (*disturb)(void *argument), void *argument)
{
    struct error error = ERROR_INIT;
    struct recorder recorder;
    recorder_init(&recorder);
    int64_t after = current_revision(store);
    assert_done(store_watch(store, after, recorder_watcher(&recorder), &error));
    _Atomic bool stop = false;
    pthread_t threads[writer_count];
    struct writer writers[writer_count] = {0};
    for (int i = 0; i < writer_count; i++) {
        writers[i] = (struct writer){.store = store, .number = i, .stop = &stop};
        assert_int_equal(pthread_create(&threads[i], NULL, write_numbers, &writers[i]), 0);
    }
    wait_for_writes(writers, 20);
    disturb(argument);
    wait_for_writes(writers, 20);
    stop = true;
    for (int i = 0; i < writer_count; i++) {
        pthread_join(threads[i], NULL);
    }
    int64_t last = current_revision(store);
    recorder_wait_revision(&recorder, last);
    assert_int_equal(recorder.lost, 0);
    assert_int_equal(recorder.count, last - after);
    for (size_t i = 0; i < recorder.count; i++) {
        assert_int_equal(recorder.changes[i].revision, after + 1 + (int64_t)i);
    }
    for (int i = 0; i < writer_count; i++) {
        assert_int_equal(writers[i].unexpected, 0);
        cleanup(store_item_clear)
        struct store_item item = {0};
        cleanup(free_char)
        char *key = format("/numbers/%d", i);
        bool found;
        assert_done(store_get(store, key, &item, &found, &error));
        assert_true(found);
        int value = atoi(item.value);
        assert_true(value == writers[i].acknowledged ||
                    (value > writers[i].acknowledged && value <= writers[i].unknown));
    }
    store_close(store);
    recorder_free(&recorder);
}

static void kill_and_start(void *argument)
{
    struct etcd_server *server = argument;
    etcd_server_kill(server);
    sleep_ms(300);
    etcd_server_start(server, NULL);
}

static void an_etcd_killed_and_started_again_loses_nothing_acknowledged(void **state)
{
    (void)state;
    struct etcd_server server;
    etcd_server_init(&server);
    etcd_server_start(&server, NULL);
    write_through(open_etcd(server.endpoint, 10000), kill_and_start, &server);
    etcd_server_free(&server);
}

static void stop_and_continue(void *argument)
{
    struct etcd_server *server = argument;
    etcd_server_freeze(server);
    sleep_ms(2500);
    kill(server->pid, SIGCONT);
}

static void an_etcd_that_hangs_for_a_while_loses_nothing_acknowledged(void **state)
{
    (void)state;
    struct etcd_server server;
    etcd_server_init(&server);
    etcd_server_start(&server, NULL);
    store_close(open_etcd(server.endpoint, 10000));
    write_through(open_etcd(server.endpoint, 1500), stop_and_continue, &server);
    etcd_server_free(&server);
}

/* ---- a cluster ---- */

enum { member_count = 3 };

struct cluster {
    struct etcd_server members[member_count];
    char initial[256];
};

static void start_member(struct cluster *cluster, int index)
{
    cleanup(free_char)
    char *name = format("m%d", index);
    const char *const arguments[] = {"--name", name, "--initial-cluster", cluster->initial, NULL};
    etcd_server_start(&cluster->members[index], arguments);
}

static void kill_one_after_the_other(void *argument)
{
    struct cluster *cluster = argument;
    for (int i = 0; i < 2; i++) {
        etcd_server_kill(&cluster->members[i]);
        sleep_ms(1500);
        start_member(cluster, i);
        struct store *store = open_etcd(cluster->members[i].endpoint, 20000);
        store_close(store);
    }
}

static void a_cluster_whose_members_die_in_turn_loses_nothing_acknowledged(void **state)
{
    (void)state;
    struct cluster cluster = {.initial = ""};
    const char *endpoints[member_count + 1] = {NULL};
    for (int i = 0; i < member_count; i++) {
        struct etcd_server *member = &cluster.members[i];
        etcd_server_init(member);
        endpoints[i] = member->endpoint;
        size_t length = strlen(cluster.initial);
        snprintf(cluster.initial + length, sizeof(cluster.initial) - length,
                 "%sm%d=http://127.0.0.1:%d", i > 0 ? "," : "", i, member->peer_port);
    }
    for (int i = 0; i < member_count; i++) {
        start_member(&cluster, i);
    }
    write_through(open_several(endpoints, 10000), kill_one_after_the_other, &cluster);
    for (int i = 0; i < member_count; i++) {
        etcd_server_free(&cluster.members[i]);
    }
}

/* ---- TLS ---- */

static void an_etcd_that_demands_certificates_is_used_with_them_only(void **state)
{
    (void)state;
    struct etcd_server server;
    etcd_server_init(&server);
    snprintf(server.endpoint, sizeof(server.endpoint), "https://127.0.0.1:%d", server.port);
    cleanup(free_char)
    char *certificate = format("%s/certificate", server.folder);
    cleanup(free_char)
    char *key = format("%s/key", server.folder);
    /* One certificate that signs itself serves as authority, for the server and for the client. */
    cleanup(free_char)
    char *command =
        format("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
               "-subj /CN=test -addext subjectAltName=IP:127.0.0.1 -keyout %s -out %s 2>/dev/null",
               key, certificate);
    assert_int_equal(system(command), 0);
    const char *const arguments[] = {
        "--cert-file",       certificate, "--key-file",         key,
        "--trusted-ca-file", certificate, "--client-cert-auth", NULL,
    };
    etcd_server_start(&server, arguments);
    const char *const endpoints[] = {server.endpoint, NULL};
    struct store_etcd_options options = {
        .endpoints = endpoints,
        .ca_file = certificate,
        .certificate_file = certificate,
        .key_file = key,
    };
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct store *store = store_etcd_open(&options, &error);
    if (store == NULL) {
        fail_msg("%s", error.message);
    }
    struct recorder recorder;
    recorder_init(&recorder);
    assert_done(store_watch(store, current_revision(store), recorder_watcher(&recorder), &error));
    recorder_wait_revision(&recorder, put(store, "/tls/a", "x", 0));
    store_close(store);
    recorder_free(&recorder);

    options.timeout_ms = 600;
    options.certificate_file = options.key_file = NULL;
    assert_null(store_etcd_open(&options, &error));
    assert_int_equal(error.code, 503);
    options.ca_file = NULL;
    assert_null(store_etcd_open(&options, &error));
    assert_int_equal(error.code, 503);
    options.ca_file = "/nowhere/ca";
    assert_null(store_etcd_open(&options, &error));
    assert_non_null(strstr(error.message, "/nowhere/ca"));
    etcd_server_free(&server);
}

/* ---- limits and losses ---- */

static void a_full_etcd_says_that_its_space_is_exceeded(void **state)
{
    (void)state;
    struct etcd_server server;
    etcd_server_init(&server);
    static const char *const arguments[] = {"--quota-backend-bytes", "200000", NULL};
    etcd_server_start(&server, arguments);
    struct store *store = open_etcd(server.endpoint, 0);
    cleanup(free_char)
    char *value = allocate_zero(1, 60000);
    int code = 0;
    /* etcd counts what it has written to disk, which it does from time to time. */
    int64_t until = milliseconds() + wait_seconds * 1000;
    for (int i = 0; code == 0 && milliseconds() < until; i++) {
        cleanup(free_char)
        char *key = format("/full/%d", i);
        const struct store_write write = {.key = key, .value = value, .value_length = 60000};
        int64_t revision;
        code = try_write(store, &write, &revision);
    }
    assert_int_equal(code, 500);
    assert_true(exists(store, "/full/0"));
    store_close(store);
    etcd_server_free(&server);
}

static void a_value_too_large_for_etcd_is_refused_as_such(void **state)
{
    (void)state;
    struct store *store = open_etcd(shared_endpoint(), 0);
    const size_t lengths[] = {1700 * 1000, 5 * 1000 * 1000};
    for (size_t i = 0; i < array_length(lengths); i++) {
        cleanup(free_char)
        char *value = allocate_zero(1, lengths[i]);
        const struct store_write write = {
            .key = "/large", .value = value, .value_length = lengths[i], .expected = STORE_ANY};
        int64_t revision;
        assert_int_equal(try_write(store, &write, &revision), 413);
    }
    assert_false(exists(store, "/large"));
    store_close(store);
}

static void an_etcd_that_lost_its_data_loses_the_watch_but_serves(void **state)
{
    (void)state;
    struct etcd_server server;
    etcd_server_init(&server);
    etcd_server_start(&server, NULL);
    struct store *store = open_etcd(server.endpoint, 10000);
    const struct store_write with_lease = {.key = "/lost/leased",
                                           .value = "x",
                                           .value_length = 1,
                                           .expected = STORE_ANY,
                                           .ttl_seconds = 3600};
    must_write(store, &with_lease);
    int64_t last = 0;
    for (int i = 0; i < 20; i++) {
        last = put(store, "/lost/a", "x", STORE_ANY);
    }
    struct error error = ERROR_INIT;
    struct recorder recorder;
    recorder_init(&recorder);
    assert_done(store_watch(store, last - 5, recorder_watcher(&recorder), &error));
    recorder_wait_revision(&recorder, last);
    etcd_server_kill(&server);
    remove_folder(server.folder);
    server.folder = make_folder();
    etcd_server_start(&server, NULL);
    /* The lease that would be shared is gone with the rest. */
    must_write(store, &with_lease);
    recorder_wait_lost(&recorder);
    assert_int_equal(recorder.lost_code, 410);
    store_close(store);
    recorder_free(&recorder);
    etcd_server_free(&server);
}

int run_etcd_tests(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_fails_within_its_time_limit_when_nothing_answers),
        cmocka_unit_test(opening_fails_within_its_time_limit_when_etcd_hangs),
        cmocka_unit_test(an_endpoint_that_is_no_url_is_named),
        cmocka_unit_test(an_etcd_behind_a_socket_is_written_to_and_watched),
        cmocka_unit_test(a_socket_that_is_not_there_is_named),
        cmocka_unit_test(a_socket_of_too_long_a_path_is_refused),
        cmocka_unit_test(dead_and_hanging_endpoints_beside_one_that_serves_do_no_harm),
        cmocka_unit_test(a_write_to_an_etcd_that_is_down_did_not_happen),
        cmocka_unit_test(an_etcd_that_refuses_connections_is_not_waited_for_to_the_end),
        cmocka_unit_test(a_write_to_an_etcd_that_hangs_is_unknown_and_reads_are_in_vain),
        cmocka_unit_test(a_write_whose_answer_is_lost_is_unknown_and_not_repeated),
        cmocka_unit_test(a_watch_whose_connection_falls_silent_is_noticed_and_mended),
        cmocka_unit_test(an_etcd_killed_and_started_again_loses_nothing_acknowledged),
        cmocka_unit_test(an_etcd_that_hangs_for_a_while_loses_nothing_acknowledged),
        cmocka_unit_test(a_cluster_whose_members_die_in_turn_loses_nothing_acknowledged),
        cmocka_unit_test(an_etcd_that_demands_certificates_is_used_with_them_only),
        cmocka_unit_test(a_full_etcd_says_that_its_space_is_exceeded),
        cmocka_unit_test(a_value_too_large_for_etcd_is_refused_as_such),
        cmocka_unit_test(an_etcd_that_lost_its_data_loses_the_watch_but_serves),
    };
    return cmocka_run_group_tests_name("etcd alone", tests, NULL, NULL);
}
