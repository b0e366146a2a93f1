// SPDX-License-Identifier: Apache-2.0
/* Kubeconfig files, and what a pod finds in its cluster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/alloc.h"
#include "common/client_config.h"

static char folder[] = "/tmp/coracle-config-XXXXXX";

static char *path_of(const char *name)
{
    return format("%s/%s", folder, name);
}

static void write_file(const char *name, const char *text)
{
    cleanup(free_char)
    char *path = path_of(name);
    cleanup(close_stream)
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"config", "ca.crt", "token", "namespace"};
    (void)state;
    for (size_t i = 0; i < array_length(names); i++) {
        cleanup(free_char)
        char *path = path_of(names[i]);
        remove(path);
    }
    return rmdir(folder);
}

#define CONTEXTS                                                                                   \
    "apiVersion: v1\nkind: Config\ncurrent-context: main\n"                                        \
    "contexts:\n"                                                                                  \
    "- {name: main, context: {cluster: c, user: u, namespace: ns}}\n"                              \
    "- {name: other, context: {cluster: c, user: plain}}\n"                                        \
    "- {name: lost, context: {cluster: c, user: nobody}}\n"

static bool read_config(struct client_config *config, const char *text, const char *context,
                        struct error *error)
{
    write_file("config", text);
    cleanup(free_char)
    char *path = path_of("config");
    return client_config_from_file(config, path, context, NULL, error);
}

static void a_file_names_server_and_credentials(void **state)
{
    (void)state;
    cleanup(client_config_clear)
    struct client_config config;
    write_file("ca.crt", "the CA");
    assert_true(read_config(&config,
                            CONTEXTS "clusters:\n"
                                     "- {name: c, cluster: {server: 'https://h:1/', "
                                     "certificate-authority: ca.crt, tls-server-name: name}}\n"
                                     "users:\n"
                                     "- {name: u, user: {client-certificate-data: Y2VydA==, "
                                     "client-key-data: a2V5}}\n"
                                     "- {name: plain, user: {token: t, tokenFile: file}}\n",
                            NULL, NULL));
    assert_string_equal(config.server, "https://h:1");
    assert_string_equal(config.ca, "the CA");
    assert_string_equal(config.tls_server_name, "name");
    assert_string_equal(config.certificate, "cert");
    assert_string_equal(config.key, "key");
    assert_string_equal(config.namespace, "ns");
    assert_null(config.token);
}

static void another_context_is_another_user(void **state)
{
    (void)state;
    cleanup(client_config_clear)
    struct client_config config;
    cleanup(free_char)
    char *token_file = path_of("file");
    assert_true(read_config(&config,
                            CONTEXTS "clusters: [{name: c, cluster: {server: 'https://h', "
                                     "insecure-skip-tls-verify: true}}]\n"
                                     "users: [{name: plain, user: {token: t, tokenFile: file}}]\n",
                            "other", NULL));
    assert_string_equal(config.token, "t");
    assert_string_equal(config.token_file, token_file);
    assert_true(config.insecure);
    assert_null(config.namespace);
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *text, *context, *message;
    } cases[] = {
        {"{}", NULL, "it names no current-context"},
        {"a: [", NULL, "line"},
        {CONTEXTS, "nowhere", "there is no \"nowhere\" among its contexts"},
        {CONTEXTS "clusters: [{name: c, cluster: {server: 'https://h'}}]\n", "lost",
         "there is no \"nobody\" among its users"},
        {CONTEXTS "clusters: [{name: c, cluster: {server: h}}]\nusers: [{name: u, user: {}}]\n",
         NULL, "the server's address must begin with https://"},
        {CONTEXTS "clusters: [{name: c, cluster: {server: 'https://h', proxy-url: p}}]\n"
                  "users: [{name: u, user: {}}]\n",
         NULL, "\"proxy-url\" is not supported"},
        {CONTEXTS "clusters: [{name: c, cluster: {server: 'https://h'}}]\n"
                  "users: [{name: u, user: {exec: {command: x}}}]\n",
         NULL, "\"exec\" is not supported"},
        {CONTEXTS "clusters: [{name: c, cluster: {server: 'https://h'}}]\n"
                  "users: [{name: u, user: {client-certificate-data: Y2VydA==}}]\n",
         NULL, "a client certificate and its key belong together"},
        {CONTEXTS "clusters: [{name: c, cluster: {server: 'https://h', "
                  "certificate-authority-data: '!'}}]\nusers: [{name: u, user: {}}]\n",
         NULL, "certificate-authority-data is no base64"},
        {CONTEXTS "clusters: [{name: c, cluster: {server: 'https://h', "
                  "certificate-authority: /nowhere/ca}}]\nusers: [{name: u, user: {}}]\n",
         NULL, "/nowhere/ca: No such file or directory"},
    };
    (void)state;
    for (size_t i = 0; i < array_length(cases); i++) {
        struct client_config config;
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        assert_false(read_config(&config, cases[i].text, cases[i].context, &error));
        if (strstr(error.message, cases[i].message) == NULL) {
            fail_msg("case %zu: %s", i, error.message);
        }
        assert_null(config.server);
    }
}

static void a_pod_finds_its_cluster(void **state)
{
    (void)state;
    cleanup(client_config_clear)
    struct client_config config;
    cleanup(free_char)
    char *token_file = path_of("token");
    write_file("ca.crt", "the CA");
    write_file("token", "secret");
    write_file("namespace", "here");
    setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    assert_true(client_config_in_cluster(&config, folder, NULL));
    assert_string_equal(config.server, "https://10.0.0.1:443");
    assert_string_equal(config.ca, "the CA");
    assert_string_equal(config.token_file, token_file);
    assert_string_equal(config.namespace, "here");
}

static void outside_of_a_cluster_there_is_none(void **state)
{
    (void)state;
    struct client_config config;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    unsetenv("KUBERNETES_SERVICE_HOST");
    assert_false(client_config_from_flags(&config, NULL, "", &error));
    assert_non_null(strstr(error.message, "this is no pod of a cluster"));
}

static void an_address_alone_will_do(void **state)
{
    (void)state;
    cleanup(client_config_clear)
    struct client_config config;
    assert_true(client_config_from_flags(&config, NULL, "http://127.0.0.1:8080", NULL));
    assert_string_equal(config.server, "http://127.0.0.1:8080");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_names_server_and_credentials),
        cmocka_unit_test(another_context_is_another_user),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_pod_finds_its_cluster),
        cmocka_unit_test(outside_of_a_cluster_there_is_none),
        cmocka_unit_test(an_address_alone_will_do),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
