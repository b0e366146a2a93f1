// SPDX-License-Identifier: Apache-2.0
/* What a simulated pod's volumes wait for, and what is told meanwhile, against a scripted server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/json.h"
#include "node/mounts.h"
#include "node/pod_worker.h"
#include "test/stub/api_stub.h"

struct fixture {
    struct api_stub *stub;
    struct loop *loop;
    struct client *client;
    struct worker_host host;
    struct mounts *mounts;
    const char *volume; /* For what runs on the loop. */
    bool is_attached, are_there;
    pthread_mutex_t lock; /* Of the rest. */
    pthread_cond_t news;
    char *told; /* The last message. */
    bool has_changed;
};

static void has_changed(void *argument)
{
    struct fixture *fixture = argument;
    pthread_mutex_lock(&fixture->lock);
    fixture->has_changed = true;
    pthread_cond_signal(&fixture->news);
    pthread_mutex_unlock(&fixture->lock);
}

static void has_failed(void *argument, const char *message)
{
    struct fixture *fixture = argument;
    pthread_mutex_lock(&fixture->lock);
    free(fixture->told);
    fixture->told = duplicate(message);
    pthread_cond_signal(&fixture->news);
    pthread_mutex_unlock(&fixture->lock);
}

static void use_volume(struct worker_host *host, const char *name, int change)
{
    (void)host;
    (void)name;
    (void)change;
}

static bool is_attached(struct worker_host *host, const char *name)
{
    assert_string_equal(name, "kubernetes.io/csi/disks^7");
    return container_of(host, struct fixture, host)->is_attached;
}

static void start_now(void *argument)
{
    struct fixture *fixture = argument;
    cleanup(free_char)
    char *text = format("{\"metadata\":{\"namespace\":\"ns\",\"name\":\"p\"},\"spec\":{\"volumes\":"
                        "[{\"name\":\"token\",\"projected\":{}},{\"name\":\"v\",%s}]}}",
                        fixture->volume);
    cleanup(json_release)
    json_t *pod = json_parse(text, strlen(text), NULL);
    assert_non_null(pod);
    fixture->mounts =
        mounts_new(&fixture->host, pod, (struct mounts_listener){has_changed, has_failed, fixture});
}

static void drop_now(void *argument)
{
    struct fixture *fixture = argument;
    mounts_drop(fixture->mounts);
}

static void look_now(void *argument)
{
    struct fixture *fixture = argument;
    fixture->are_there = mounts_are_there(fixture->mounts);
}

/* A pod with that volume comes to a node; the server's answers are bodies, NULL: 404. */
static void start(struct fixture *fixture, const char *volume, const char *const *answers)
{
    struct client_config config = CLIENT_CONFIG_INIT;
    *fixture = (struct fixture){.stub = api_stub_start(),
                                .loop = loop_new(),
                                .volume = volume,
                                .lock = PTHREAD_MUTEX_INITIALIZER,
                                .news = PTHREAD_COND_INITIALIZER};
    for (; *answers != NULL; answers++) {
        api_stub_answer(fixture->stub,
                        **answers == '{' ? (struct api_stub_answer){.code = 200, .body = *answers}
                                         : (struct api_stub_answer){.code = 404, .body = *answers});
    }
    config.server = duplicate(api_stub_url(fixture->stub));
    fixture->client =
        client_new(fixture->loop, &config, &(struct client_options){.user_agent = "tester"}, NULL);
    fixture->host = (struct worker_host){.client = fixture->client,
                                         .use_volume = use_volume,
                                         .is_attached = is_attached,
                                         .mount_patience_ms = 60000};
}

static void stop(struct fixture *fixture)
{
    client_close(fixture->client);
    loop_call(fixture->loop, drop_now, fixture);
    client_free(fixture->client);
    loop_free(fixture->loop);
    api_stub_stop(fixture->stub);
    free(fixture->told);
}

static void assert_is_told(struct fixture *fixture, const char *message)
{
    pthread_mutex_lock(&fixture->lock);
    while (fixture->told == NULL) {
        pthread_cond_wait(&fixture->news, &fixture->lock);
    }
    assert_string_equal(fixture->told, message);
    pthread_mutex_unlock(&fixture->lock);
}

static void assert_are_there(struct fixture *fixture)
{
    pthread_mutex_lock(&fixture->lock);
    while (!fixture->has_changed) {
        pthread_cond_wait(&fixture->news, &fixture->lock);
    }
    assert_null(fixture->told);
    pthread_mutex_unlock(&fixture->lock);
    loop_call(fixture->loop, look_now, fixture);
    assert_true(fixture->are_there);
}

#define GONE "-"
#define CLAIM "\"persistentVolumeClaim\":{\"claimName\":\"c\"}"
#define BOUND "{\"spec\":{\"volumeName\":\"pv\"},\"status\":{\"phase\":\"Bound\"}}"
#define CSI "{\"spec\":{\"csi\":{\"driver\":\"disks\",\"volumeHandle\":\"7\"}}}"
#define UNMOUNTED "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes="

static void what_is_missing_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *volume, *answers[4], *message;
    } cases[] = {
        {"\"secret\":{\"secretName\":\"s\"}",
         {GONE},
         "MountVolume.SetUp failed for volume \"v\" : secret \"s\" not found"},
        {"\"configMap\":{\"name\":\"m\"}",
         {GONE},
         "MountVolume.SetUp failed for volume \"v\" : configmap \"m\" not found"},
        {"\"secret\":{\"secretName\":\"s\",\"items\":[{\"key\":\"a\"},{\"key\":\"b\"}]}",
         {"{\"data\":{\"a\":\"\"}}"},
         "MountVolume.SetUp failed for volume \"v\" : references non-existent secret key: b"},
        {"\"configMap\":{\"name\":\"m\",\"items\":[{\"key\":\"a\"},{\"key\":\"b\"}]}",
         {"{\"binaryData\":{\"a\":\"\"}}"},
         "MountVolume.SetUp failed for volume \"v\" : references non-existent config key: b"},
        {CLAIM,
         {"{\"status\":{\"phase\":\"Pending\"}}"},
         UNMOUNTED "[], failed to process volumes=[v]: error processing PVC ns/c: PVC is not "
                   "bound"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        struct fixture fixture;
        start(&fixture, cases[i].volume, cases[i].answers);
        loop_call(fixture.loop, start_now, &fixture);
        assert_is_told(&fixture, cases[i].message);
        loop_call(fixture.loop, look_now, &fixture);
        assert_false(fixture.are_there);
        stop(&fixture);
    }
}

static void what_is_there_or_need_not_be_is_not_waited_for(void **state)
{
    (void)state;
    static const struct {
        const char *volume, *answers[4];
    } cases[] = {
        {"\"secret\":{\"secretName\":\"s\"}", {"{}"}},
        {"\"secret\":{\"secretName\":\"s\",\"optional\":true}", {GONE}},
        {"\"secret\":{\"secretName\":\"s\",\"optional\":true,\"items\":[{\"key\":\"a\"}]}", {"{}"}},
        {CLAIM, {BOUND, "{\"spec\":{\"hostPath\":{}}}"}},
        {CLAIM, {BOUND, CSI, "{\"spec\":{\"attachRequired\":false}}"}},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        struct fixture fixture;
        start(&fixture, cases[i].volume, cases[i].answers);
        loop_call(fixture.loop, start_now, &fixture);
        assert_are_there(&fixture);
        stop(&fixture);
    }
}

static void a_volume_that_is_not_attached_in_time_is_told(void **state)
{
    (void)state;
    static const char *const answers[] = {BOUND, CSI, GONE, NULL};
    struct fixture fixture;
    start(&fixture, CLAIM, answers);
    fixture.host.mount_patience_ms = 1;
    loop_call(fixture.loop, start_now, &fixture);
    api_stub_wait(fixture.stub, 3);
    pthread_mutex_lock(&fixture.lock);
    /* The first word may come before the driver is known, or even the volume. */
    while (!fixture.has_changed || fixture.told == NULL ||
           strstr(fixture.told, "unattached volumes=[v]") == NULL) {
        pthread_cond_wait(&fixture.news, &fixture.lock);
    }
    assert_string_equal(fixture.told,
                        UNMOUNTED "[v], failed to process volumes=[]: context deadline exceeded");
    pthread_mutex_unlock(&fixture.lock);
    fixture.is_attached = true;
    loop_call(fixture.loop, look_now, &fixture);
    assert_true(fixture.are_there);
    stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_missing_is_told),
        cmocka_unit_test(what_is_there_or_need_not_be_is_not_waited_for),
        cmocka_unit_test(a_volume_that_is_not_attached_in_time_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
