// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apiserver/audit/event.h"
#include "apiserver/audit/log_file.h"
#include "apiserver/audit/policy.h"
#include "apiserver/audit/sink.h"
#include "common/alloc.h"
#include "common/json.h"

#define HEAD "kind: Policy\napiVersion: audit.k8s.io/v1\n"

/* ---- policies ---- */

static void a_policy_that_is_wrong_is_refused_with_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        {"kind: Pod", "kind: must be Policy"},
        {"kind: Policy\napiVersion: v1", "apiVersion: must be audit.k8s.io/v1"},
        {HEAD, "rules: must be a list of one rule or more"},
        {HEAD "extra: 1", "extra: unknown field"},
        {HEAD "rules: [{}]", "rules[0].level: Required value"},
        {HEAD "rules: [x]", "rules[0].level: Required value"},
        {HEAD "rules: [{level: None}, {level: All}]",
         "rules[1].level: must be None, Metadata, Request or RequestResponse, not \"All\""},
        {HEAD "rules: [{level: None, user: [x]}]", "rules[0].user: unknown field"},
        {HEAD "rules: [{level: None, users: x}]", "rules[0].users: must be a list of strings"},
        {HEAD "rules: [{level: None, verbs: [1]}]", "rules[0].verbs: must be a list of strings"},
        {HEAD "rules: [{level: None, omitStages: [Begin]}]",
         "rules[0].omitStages: allowed stages are RequestReceived, ResponseStarted, "
         "ResponseComplete and Panic, not \"Begin\""},
        {HEAD "omitManagedFields: 1\nrules: [{level: None}]",
         "omitManagedFields: must be true or false"},
        {HEAD "rules: [{level: None, resources: [{group: apps/v1}]}]",
         "rules[0].resources[0].group: must not have a version: \"apps/v1\""},
        {HEAD "rules: [{level: None, resources: [{groups: x}]}]",
         "rules[0].resources[0].groups: unknown field"},
        {HEAD "rules: [{level: None, resources: [{resourceNames: [x]}]}]",
         "rules[0].resources[0].resourceNames: using resourceNames requires at least one resource"},
        {HEAD "rules: [{level: None, nonResourceURLs: [/a], namespaces: [x]}]",
         "rules[0].nonResourceURLs: rules cannot apply to both regular resources and non-resource "
         "URLs"},
        {HEAD "rules: [{level: None, nonResourceURLs: [a]}]",
         "rules[0].nonResourceURLs: non-resource URL rules must begin with a '/' character, unlike "
         "\"a\""},
        {HEAD "rules: [{level: None, nonResourceURLs: [\"/a*b\"]}]",
         "rules[0].nonResourceURLs: non-resource URL wildcards '*' must be the final character of "
         "the rule, unlike in \"/a*b\""},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        assert_null(audit_policy_parse(cases[i].text, strlen(cases[i].text), &error));
        assert_string_equal(error.message, cases[i].complaint);
    }
}

static struct audit_choice choose(const char *rules, const char *user, const char *group,
                                  const char *method, const char *path)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(free_char)
    char *text = format(HEAD "%s", rules);
    struct audit_policy *policy = audit_policy_parse(text, strlen(text), &error);
    assert_non_null(policy);
    char *groups[] = {(char *)group};
    struct request request = {.method = method, .path = (char *)path};
    request.user = (struct user){.name = (char *)user, .groups = groups, .group_count = 1};
    assert_true(request_info_parse(method, path, NULL, 0, &request.info, &error));
    struct audit_choice choice = audit_policy_choose(policy, &request);
    request_info_clear(&request.info);
    audit_policy_free(policy);
    return choice;
}

static void the_first_rule_that_matches_decides(void **state)
{
    (void)state;
    static const char pods[] = "/api/v1/namespaces/a/pods/b",
                      log[] = "/api/v1/namespaces/a/pods/b/log";
    static const struct {
        const char *rule, *method, *path;
        bool matches;
    } cases[] = {
        {"users: [jane]", "GET", pods, true},
        {"users: [joe]", "GET", pods, false},
        {"userGroups: [x, builders]", "GET", pods, true},
        {"userGroups: [x]", "GET", pods, false},
        {"verbs: [get]", "GET", pods, true},
        {"verbs: [get]", "DELETE", pods, false},
        {"verbs: [deletecollection]", "DELETE", "/api/v1/namespaces/a/pods", true},
        {"namespaces: [a]", "GET", pods, true},
        {"namespaces: [b]", "GET", pods, false},
        {"namespaces: [a]", "GET", "/healthz", false},
        {"namespaces: [\"\"]", "GET", "/api/v1/nodes/x", true},
        {"namespaces: [\"\"]", "GET", pods, false},
        {"resources: [{group: \"\"}]", "GET", log, true},
        {"resources: [{}]", "GET", pods, true},
        {"resources: [{}]", "GET", "/apis/apps/v1/deployments", false},
        {"resources: [{group: apps}]", "GET", "/apis/apps/v1/deployments", true},
        {"resources: [{resources: [pods]}]", "GET", pods, true},
        {"resources: [{resources: [pods]}]", "GET", log, false},
        {"resources: [{resources: [pods/log]}]", "GET", log, true},
        {"resources: [{resources: [pods/log]}]", "GET", pods, false},
        {"resources: [{resources: [\"*/log\"]}]", "GET", log, true},
        {"resources: [{resources: [\"*/status\"]}]", "GET", log, false},
        {"resources: [{resources: [\"*/log\"]}]", "GET", pods, false},
        {"resources: [{resources: [\"pods/*\"]}]", "GET", log, true},
        {"resources: [{resources: [\"pods/*\"]}]", "GET", pods, true},
        {"resources: [{resources: [\"pod/*\"]}]", "GET", log, false},
        {"resources: [{resources: [\"*\"]}]", "GET", log, true},
        {"resources: [{resources: [pods], resourceNames: [b]}]", "GET", pods, true},
        {"resources: [{resources: [pods], resourceNames: [c]}]", "GET", pods, false},
        {"nonResourceURLs: [/healthz]", "GET", "/healthz", true},
        {"nonResourceURLs: [/healthz]", "GET", "/healthz/ping", false},
        {"nonResourceURLs: [\"/healthz*\"]", "GET", "/healthz/ping", true},
        {"nonResourceURLs: [\"*\"]", "GET", "/version", true},
        {"nonResourceURLs: [\"*\"]", "GET", pods, false},
        {"verbs: []", "GET", "/version", true},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(free_char)
        char *rules = format("rules: [{level: Request, %s}]", cases[i].rule);
        struct audit_choice choice =
            choose(rules, "jane", "builders", cases[i].method, cases[i].path);
        if ((choice.level == AUDIT_REQUEST) != cases[i].matches) {
            fail_msg("%s of %s", cases[i].rule, cases[i].path);
        }
    }
    assert_int_equal(
        choose("rules: [{level: None, verbs: [get]}, {level: Metadata}]", "j", "g", "GET", pods)
            .level,
        AUDIT_NONE);
}

static void what_is_omitted_adds_up_and_managed_fields_are_overridden(void **state)
{
    (void)state;
    struct audit_choice choice = choose("omitStages: [RequestReceived]\nomitManagedFields: true\n"
                                        "rules: [{level: Request, omitStages: [Panic]}]",
                                        "j", "g", "GET", "/version");
    assert_int_equal(choice.omitted_stages, 1U << AUDIT_REQUEST_RECEIVED | 1U << AUDIT_PANIC);
    assert_true(choice.omits_managed_fields);
    choice = choose("omitManagedFields: true\nrules: [{level: Request, omitManagedFields: false}]",
                    "j", "g", "GET", "/version");
    assert_false(choice.omits_managed_fields);
}

/* ---- events ---- */

static void what_is_no_text_is_replaced(void **state)
{
    (void)state;
    cleanup(json_release)
    json_t *text = audit_text("a\xff\xc3\xa4\xc3");
    assert_string_equal(json_string_value(text), "a\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd");
}

static void assert_source_ips(const char *forwarded, const char *real, const char *remote,
                              const char *expected)
{
    struct request_header headers[] = {{"X-Forwarded-For", forwarded}, {"x-real-ip", real}};
    struct credentials credentials = {.headers = headers, .header_count = 2};
    cleanup(json_release)
    json_t *ips = audit_source_ips(&credentials, remote);
    cleanup(free_char)
    char *text = json_text(ips);
    assert_string_equal(text, expected);
}

static void addresses_come_from_headers_and_the_connection(void **state)
{
    (void)state;
    assert_source_ips("", "", "10.0.0.1:40404", "[\"10.0.0.1\"]");
    assert_source_ips("", "", "[::1]:40404", "[\"::1\"]");
    assert_source_ips("1.2.3.4, x ,5.6.7.8", "", "10.0.0.1:4",
                      "[\"1.2.3.4\",\"5.6.7.8\",\"10.0.0.1\"]");
    assert_source_ips("1.2.3.4", "1.2.3.4", "1.2.3.4:4", "[\"1.2.3.4\"]");
    assert_source_ips("1.2.3.4,10.0.0.1", "9.9.9.9", "10.0.0.1:4",
                      "[\"1.2.3.4\",\"10.0.0.1\",\"9.9.9.9\",\"10.0.0.1\"]");
    assert_source_ips("1.2.3.4\nforged", "", "", "[]");
}

/* ---- files ---- */

struct folder {
    char path[64];
};

static int make_folder(void **state)
{
    struct folder *folder = allocate_struct(struct folder);
    strcpy(folder->path, "/tmp/coracle-audit-XXXXXX");
    *state = folder;
    return mkdtemp(folder->path) == NULL;
}

static int remove_folder(void **state)
{
    struct folder *folder = *state;
    DIR *list = opendir(folder->path);
    const struct dirent *entry;
    while ((entry = readdir(list)) != NULL) {
        cleanup(free_char)
        char *path = format("%s/%s", folder->path, entry->d_name);
        unlink(path);
    }
    closedir(list);
    rmdir(folder->path);
    free(folder);
    return 0;
}

/* How many old files there are that end so; their names have upstream's form. */
static size_t count_old(const struct folder *folder, const char *end)
{
    static const char form[] = "audit-0000-00-00T00-00-00.000";
    DIR *list = opendir(folder->path);
    const struct dirent *entry;
    size_t count = 0;
    while ((entry = readdir(list)) != NULL) {
        size_t length = strlen(entry->d_name);
        if (strcmp(entry->d_name, "audit.log") == 0 || entry->d_name[0] == '.') {
            continue;
        }
        for (size_t i = 0; i < sizeof form - 1; i++) {
            bool digit = entry->d_name[i] >= '0' && entry->d_name[i] <= '9';
            assert_true(form[i] == '0' ? digit : entry->d_name[i] == form[i]);
        }
        count += length == sizeof form - 1 + strlen(end) &&
                 strcmp(entry->d_name + sizeof form - 1, end) == 0;
    }
    closedir(list);
    return count;
}

/* Writes lines of ten bytes to a file that takes three of them. */
static void write_lines(const struct folder *folder, size_t lines, int64_t backups, bool compress)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(free_char)
    char *path = format("%s/audit.log", folder->path);
    struct audit_log_file_options options = {
        .path = path, .size_bytes_max = 30, .backups_max = backups, .compress = compress};
    struct audit_log_file *file = audit_log_file_open(&options, &error);
    assert_non_null(file);
    for (size_t i = 0; i < lines; i++) {
        assert_true(audit_log_file_write(file, "123456789\n", 10, &error));
    }
    assert_false(audit_log_file_write(file, "1234567890123456789012345678901", 31, &error));
    audit_log_file_close(file);
}

static void a_full_file_is_renamed_and_another_begun(void **state)
{
    struct stat about;
    struct folder *folder = *state;
    cleanup(free_char)
    char *path = format("%s/audit.log", folder->path);
    write_lines(folder, 7, 0, false);
    assert_int_equal(count_old(folder, ".log"), 2);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_size, 10);
    assert_int_equal(about.st_mode & 0777, 0600);
    write_lines(folder, 2, 0, false); /* Appended to. */
    assert_int_equal(count_old(folder, ".log"), 2);
}

static void old_files_are_deleted_but_the_newest(void **state)
{
    write_lines(*state, 16, 2, false);
    assert_int_equal(count_old(*state, ".log"), 2);
}

static void old_files_are_compressed(void **state)
{
    write_lines(*state, 7, 0, true);
    assert_int_equal(count_old(*state, ".log"), 0);
    assert_int_equal(count_old(*state, ".log.gz"), 2);
}

static void a_file_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct audit_log_file_options options = {.path = "/dev/full"};
    struct audit_log_file *file = audit_log_file_open(&options, &error);
    assert_non_null(file);
    assert_false(audit_log_file_write(file, "x\n", 2, &error));
    assert_non_null(strstr(error.message, "/dev/full: No space left on device"));
    audit_log_file_close(file);
}

/* ---- sinks ---- */

struct sink_state {
    size_t calls, events;
    bool fails;
    struct buffer last;
};

static bool take(void *argument, struct audit_sink *sink, char *const *events, size_t count,
                 struct error *error)
{
    struct sink_state *taken = argument;
    (void)sink;
    taken->calls++;
    taken->events += count;
    buffer_reset(&taken->last);
    buffer_add_text(&taken->last, events[count - 1]);
    return !taken->fails || error_internal(error, "it is full");
}

static void keep(void *argument)
{
    (void)argument;
}

static struct audit_sink_options sink_options(const char *mode)
{
    return (struct audit_sink_options){.mode = mode,
                                       .buffer_size = 5,
                                       .batch_size = 5,
                                       .batch_wait_ns = INT64_C(3600000000000),
                                       .event_bytes_max = 100,
                                       .batch_bytes_max = 1000};
}

struct sinking {
    struct metrics *metrics;
    struct audit_sink *sink;
    struct sink_state taken;
};

static void open_sink(struct sinking *sinking, const struct audit_sink_options *options)
{
    static const char *const labels[] = {"plugin", NULL};
    struct audit_target target = {
        .plugin = "log", .deliver = take, .free = keep, .state = &sinking->taken};
    sinking->metrics = metrics_new();
    struct metric *errors =
        metrics_counter(sinking->metrics, "apiserver_audit_error_total", "Lost.", labels);
    sinking->sink = audit_sink_open(&target, options, errors);
}

static void assert_lost(const struct sinking *sinking, const char *line)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    metrics_render(sinking->metrics, &text);
    assert_non_null(strstr(buffer_text(&text), line));
}

static void close_all(struct sinking *sinking)
{
    audit_sink_close(sinking->sink);
    metrics_free(sinking->metrics);
    buffer_free(&sinking->taken.last);
}

static void an_event_that_fails_is_counted(void **state)
{
    (void)state;
    struct sinking sinking = {.taken.fails = true};
    struct audit_sink_options options = sink_options("blocking-strict");
    cleanup(json_release)
    json_t *event = json_pack("{s:s}", "kind", "Event");
    open_sink(&sinking, &options);
    assert_false(audit_sink_write(sinking.sink, event, true));
    assert_true(audit_sink_is_strict(sinking.sink));
    assert_lost(&sinking, "apiserver_audit_error_total{plugin=\"log\"} 1\n");
    close_all(&sinking);
}

static void batches_are_delivered_at_the_end_and_what_does_not_fit_is_counted(void **state)
{
    (void)state;
    struct sinking sinking = {0};
    struct audit_sink_options options = sink_options("batch");
    options.batch_size = 4;
    cleanup(json_release)
    json_t *event = json_pack("{s:s}", "kind", "Event");
    open_sink(&sinking, &options);
    for (size_t i = 0; i < 3; i++) {
        assert_true(audit_sink_write(sinking.sink, event, true)); /* They wait for a fourth. */
    }
    audit_sink_close(sinking.sink);
    assert_int_equal(sinking.taken.calls, 1);
    assert_int_equal(sinking.taken.events, 3);
    options.buffer_size = 2;
    metrics_free(sinking.metrics);
    open_sink(&sinking, &options);
    assert_true(audit_sink_write(sinking.sink, event, true));
    assert_true(audit_sink_write(sinking.sink, event, true));
    assert_false(audit_sink_write(sinking.sink, event, true));
    assert_lost(&sinking, "apiserver_audit_error_total{plugin=\"buffered\"} 1\n");
    close_all(&sinking);
    assert_int_equal(sinking.taken.events, 5);
}

static void a_large_event_loses_its_objects(void **state)
{
    (void)state;
    struct sinking sinking = {0};
    struct audit_sink_options options = sink_options("blocking");
    options.truncates = true;
    cleanup(free_char)
    char *long_text = format("%200s", "x");
    cleanup(json_release)
    json_t *event = json_pack("{s:s, s:s, s:{s:s}}", "kind", "Event", "requestObject", long_text,
                              "annotations", "a", "b");
    open_sink(&sinking, &options);
    assert_true(audit_sink_write(sinking.sink, event, true));
    assert_string_equal(buffer_text(&sinking.taken.last),
                        "{\"kind\":\"Event\",\"annotations\":{\"a\":\"b\",\"audit.k8s.io/"
                        "truncated\":\"true\"}}");
    json_object_set_new(event, "kind", json_string(long_text));
    assert_false(audit_sink_write(sinking.sink, event, true));
    assert_lost(&sinking, "apiserver_audit_error_total{plugin=\"truncate\"} 1\n");
    close_all(&sinking);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_that_is_wrong_is_refused_with_its_field),
        cmocka_unit_test(the_first_rule_that_matches_decides),
        cmocka_unit_test(what_is_omitted_adds_up_and_managed_fields_are_overridden),
        cmocka_unit_test(what_is_no_text_is_replaced),
        cmocka_unit_test(addresses_come_from_headers_and_the_connection),
        cmocka_unit_test_setup_teardown(a_full_file_is_renamed_and_another_begun, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(old_files_are_deleted_but_the_newest, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(old_files_are_compressed, make_folder, remove_folder),
        cmocka_unit_test(a_file_that_cannot_be_written_is_an_error),
        cmocka_unit_test(an_event_that_fails_is_counted),
        cmocka_unit_test(batches_are_delivered_at_the_end_and_what_does_not_fit_is_counted),
        cmocka_unit_test(a_large_event_loses_its_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
