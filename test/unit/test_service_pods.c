// SPDX-License-Identifier: Apache-2.0
/* What a service's pods come to as endpoints, and waiting for what one has written oneself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include "common/alloc.h"
#include "controllers/own_writes.h"
#include "controllers/service_pods.h"

static const int64_t second = 1000000000;
static const struct cached_object_class no_digest = {0};

static struct cached_object *pod_of(const char *metadata, const char *spec, const char *status)
{
    cleanup(free_char)
    char *text = format("{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"%s},\"spec\":{%s},"
                        "\"status\":{%s}}",
                        metadata, spec, status);
    struct cached_object *pod = cached_object_new(&pod_class, text, strlen(text));
    assert_non_null(pod);
    return pod;
}

static bool counts(const char *metadata, const char *status, bool with_terminating)
{
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of(metadata, "", status);
    return service_pod_counts(pod, with_terminating);
}

static void pods_count_that_have_an_address_and_have_not_ended(void **state)
{
    (void)state;
    static const char deleting[] = ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"";
    assert_true(counts("", "\"podIP\":\"10.0.0.1\"", false));
    assert_false(counts("", "", true));
    assert_false(counts("", "\"podIP\":\"10.0.0.1\",\"phase\":\"Failed\"", true));
    assert_false(counts("", "\"podIP\":\"10.0.0.1\",\"phase\":\"Succeeded\"", true));
    assert_true(counts(deleting, "\"podIP\":\"10.0.0.1\"", true));
    assert_false(counts(deleting, "\"podIP\":\"10.0.0.1\"", false));
}

static int port_of(const char *service_port, const struct cached_object *pod)
{
    cleanup(json_release)
    json_t *port = json_loads(service_port, 0, NULL);
    assert_non_null(port);
    return service_pod_port(port, pod_view(pod));
}

static void a_named_port_is_found_by_name_and_protocol(void **state)
{
    (void)state;
    cleanup(cached_object_release)
    struct cached_object *pod =
        pod_of("",
               "\"containers\":[{\"ports\":[{\"name\":\"dns\",\"containerPort\":53,\"protocol\":"
               "\"UDP\"}]},{\"ports\":[{\"name\":\"dns\",\"containerPort\":54}]}]",
               "");
    assert_int_equal(port_of("{\"port\":1,\"targetPort\":8080}", pod), 8080);
    assert_int_equal(port_of("{\"port\":1,\"targetPort\":\"dns\",\"protocol\":\"UDP\"}", pod), 53);
    assert_int_equal(port_of("{\"port\":1,\"targetPort\":\"dns\",\"protocol\":\"TCP\"}", pod), 54);
    assert_int_equal(port_of("{\"port\":1,\"targetPort\":\"web\"}", pod), 0);
}

static void the_address_is_that_of_the_family_in_canonical_form(void **state)
{
    (void)state;
    char address[INET6_ADDRSTRLEN];
    cleanup(cached_object_release)
    struct cached_object *pod =
        pod_of("", "", "\"podIPs\":[{\"ip\":\"10.0.0.1\"},{\"ip\":\"fd00:0::00a\"}]");
    assert_true(service_pod_address(pod_view(pod), AF_INET, address));
    assert_string_equal(address, "10.0.0.1");
    assert_true(service_pod_address(pod_view(pod), AF_INET6, address));
    assert_string_equal(address, "fd00::a");
    cleanup(cached_object_release)
    struct cached_object *single = pod_of("", "", "\"podIPs\":[{\"ip\":\"10.0.0.1\"}]");
    assert_false(service_pod_address(pod_view(single), AF_INET6, address));
}

static void the_hostname_is_told_by_the_service_of_the_subdomain(void **state)
{
    (void)state;
    cleanup(cached_object_release)
    struct cached_object *pod = pod_of("", "\"hostname\":\"first\",\"subdomain\":\"db\"", "");
    assert_string_equal(service_pod_hostname("db", pod_view(pod)), "first");
    assert_string_equal(service_pod_hostname("web", pod_view(pod)), "");
}

/* Ready since this second of 1970. */
static struct cached_object *ready_pod(int since)
{
    cleanup(free_char)
    char *status = format("\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\","
                          "\"lastTransitionTime\":\"1970-01-01T00:00:%02dZ\"}]",
                          since);
    return pod_of("", "", status);
}

static int64_t trigger(struct service_memory *memory, const struct cached_object *service,
                       int ready_since)
{
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    cleanup(cached_object_release)
    struct cached_object *pod = ready_pod(ready_since);
    cached_list_add(&pods, pod);
    return service_memory_trigger(memory, service, &pods);
}

static void the_trigger_is_the_oldest_change_not_seen_before(void **state)
{
    (void)state;
    static const char text[] = "{\"metadata\":{\"name\":\"s\",\"namespace\":\"n\","
                               "\"creationTimestamp\":\"1970-01-01T00:00:05Z\"}}";
    cleanup(cached_object_release)
    struct cached_object *service = cached_object_new(&no_digest, text, strlen(text));
    struct service_memory *memory = service_memory_new();
    assert_true(trigger(memory, service, 10) == 5 * second);
    assert_true(trigger(memory, service, 10) == 0);
    assert_true(trigger(memory, service, 20) == 20 * second);
    service_memory_forget(memory, service->key);
    assert_true(trigger(memory, service, 20) == 5 * second);
    service_memory_free(memory);
}

static void put_slice(struct indexer *indexer, int version)
{
    cleanup(free_char)
    char *text = format("{\"metadata\":{\"name\":\"a\",\"namespace\":\"n\",\"uid\":\"u\","
                        "\"resourceVersion\":\"%d\"}}",
                        version);
    cached_object_unref(indexer_put(indexer, cached_object_new(&no_digest, text, strlen(text)), 1));
}

static void own_writes_are_waited_for(void **state)
{
    (void)state;
    struct own_writes *writes = own_writes_new();
    struct indexer *indexer = indexer_new();
    cleanup(json_release)
    json_t *written = json_pack("{s:{s:s, s:s, s:s, s:s}}", "metadata", "name", "a", "namespace",
                                "n", "uid", "u", "resourceVersion", "7");
    assert_true(own_writes_are_seen(writes, "n/s", indexer));
    own_writes_note(writes, "n/s", written);
    assert_false(own_writes_are_seen(writes, "n/s", indexer));
    put_slice(indexer, 6);
    assert_false(own_writes_are_seen(writes, "n/s", indexer));
    assert_true(own_writes_are_seen(writes, "n/other", indexer));
    put_slice(indexer, 7);
    assert_true(own_writes_are_seen(writes, "n/s", indexer));
    cleanup(cached_object_release)
    struct cached_object *slice = indexer_get(indexer, "n/a");
    own_writes_note_deletion(writes, "n/s", slice);
    assert_false(own_writes_are_seen(writes, "n/s", indexer));
    cached_object_unref(indexer_remove(indexer, "n/a"));
    assert_true(own_writes_are_seen(writes, "n/s", indexer));
    own_writes_note(writes, "n/s", written);
    own_writes_forget(writes, "n/s");
    assert_true(own_writes_are_seen(writes, "n/s", indexer));
    own_writes_free(writes);
    indexer_free(indexer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pods_count_that_have_an_address_and_have_not_ended),
        cmocka_unit_test(a_named_port_is_found_by_name_and_protocol),
        cmocka_unit_test(the_address_is_that_of_the_family_in_canonical_form),
        cmocka_unit_test(the_hostname_is_told_by_the_service_of_the_subdomain),
        cmocka_unit_test(the_trigger_is_the_oldest_change_not_seen_before),
        cmocka_unit_test(own_writes_are_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
