// SPDX-License-Identifier: Apache-2.0
/*
 * The issuers of an AuthenticationConfiguration, which are others when its file has changed.
 *
 * A thread looks at the file once a second. What it makes of a new one takes the place of the old
 * as a whole; the old goes when no question is asked of it any more, which the thread sees, too, so
 * that no request has to wait for an issuer's keys to be given up. A file that is wrong is told of,
 * and changes nothing. Who is anonymous stays as it was at the start, as upstream has it.
 */
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#include "apiserver/auth/authenticator.h"
#include "apiserver/auth/authn_configuration.h"
#include "common/alloc.h"
#include "common/log.h"

struct issuers {
    struct authenticator *list;
    size_t count;
    unsigned users; /* Questions under way. Guarded by the lock of 'configured'. */
    struct issuers *next;
};

struct configured {
    const struct authn_options *options; /* Borrowed, as the flag. */
    const atomic_bool *server_stops;
    struct timespec seen; /* The file's time; the thread's. */
    pthread_t thread;
    pthread_mutex_t lock; /* Guards the rest. */
    pthread_cond_t stop;
    bool stopping;
    struct issuers *current, *retired;
};

static void free_issuers(struct issuers *issuers)
{
    for (size_t i = 0; i < issuers->count; i++) {
        issuers->list[i].free(issuers->list[i].state);
    }
    free(issuers->list);
    free(issuers);
}

static struct issuers *new_issuers(const struct configured *configured, const json_t *list,
                                   struct error *error)
{
    struct issuers *issuers = allocate_struct(struct issuers);
    issuers->list = allocate_zero(json_array_size(list) + 1, sizeof *issuers->list);
    size_t i;
    json_t *jwt;
    json_array_foreach (list, i, jwt) {
        if (!oidc_authenticator(jwt, NULL, configured->server_stops, &issuers->list[i], error)) {
            free_issuers(issuers);
            return NULL;
        }
        issuers->count++;
    }
    return issuers;
}

/* ---- asking ---- */

static enum verdict ask(void *state, const struct question *question, struct identity *identity,
                        struct error *error)
{
    struct configured *configured = state;
    pthread_mutex_lock(&configured->lock);
    struct issuers *issuers = configured->current;
    issuers->users++;
    pthread_mutex_unlock(&configured->lock);
    enum verdict verdict = VERDICT_NOT_MINE;
    for (size_t i = 0; verdict == VERDICT_NOT_MINE && i < issuers->count; i++) {
        verdict = issuers->list[i].ask(issuers->list[i].state, question, identity, error);
    }
    pthread_mutex_lock(&configured->lock);
    issuers->users--;
    pthread_mutex_unlock(&configured->lock);
    return verdict;
}

/* ---- changes ---- */

static bool has_changed(struct configured *configured)
{
    struct stat file;
    struct timespec *seen = &configured->seen;
    if (stat(configured->options->config_file, &file) != 0 ||
        (file.st_mtim.tv_sec == seen->tv_sec && file.st_mtim.tv_nsec == seen->tv_nsec)) {
        return false;
    }
    *seen = file.st_mtim;
    return true;
}

static void reload(struct configured *configured)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(authn_configuration_clear)
    struct authn_configuration configuration = {0};
    struct issuers *fresh =
        authn_configuration_read(&configuration, configured->options->config_file,
                                 &configured->options->issuers, &error)
            ? new_issuers(configured, configuration.issuers, &error)
            : NULL;
    if (fresh == NULL) {
        log_error("keeping the present authentication configuration: %s", error.message);
        return;
    }
    pthread_mutex_lock(&configured->lock);
    configured->current->next = configured->retired;
    configured->retired = configured->current;
    configured->current = fresh;
    pthread_mutex_unlock(&configured->lock);
    log_info("authentication configuration read again: %zu issuers", fresh->count);
}

/* With the lock: takes those out that nobody asks any more. */
static struct issuers *take_unused(struct configured *configured)
{
    struct issuers *unused = NULL, **at = &configured->retired;
    while (*at != NULL) {
        struct issuers *issuers = *at;
        if (issuers->users > 0) {
            at = &issuers->next;
            continue;
        }
        *at = issuers->next;
        issuers->next = unused;
        unused = issuers;
    }
    return unused;
}

static void free_list(struct issuers *issuers)
{
    while (issuers != NULL) {
        struct issuers *next = issuers->next;
        free_issuers(issuers);
        issuers = next;
    }
}

static void *look_always(void *argument)
{
    struct configured *configured = argument;
    pthread_mutex_lock(&configured->lock);
    while (!configured->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        pthread_cond_timedwait(&configured->stop, &configured->lock, &until);
        struct issuers *unused = take_unused(configured);
        bool stopping = configured->stopping;
        pthread_mutex_unlock(&configured->lock);
        free_list(unused);
        if (!stopping && has_changed(configured)) {
            reload(configured);
        }
        pthread_mutex_lock(&configured->lock);
    }
    pthread_mutex_unlock(&configured->lock);
    return NULL;
}

/* ---- life ---- */

static void release(struct configured *configured)
{
    free_list(configured->retired);
    free_list(configured->current);
    pthread_cond_destroy(&configured->stop);
    pthread_mutex_destroy(&configured->lock);
    free(configured);
}

static void free_state(void *state)
{
    struct configured *configured = state;
    pthread_mutex_lock(&configured->lock);
    configured->stopping = true;
    pthread_cond_signal(&configured->stop);
    pthread_mutex_unlock(&configured->lock);
    pthread_join(configured->thread, NULL);
    release(configured);
}

bool configured_authenticator(const struct authn_options *options, const json_t *issuers,
                              const atomic_bool *stopping, struct authenticator *made,
                              struct error *error)
{
    struct configured *configured = allocate_struct(struct configured);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&configured->lock, NULL);
    pthread_cond_init(&configured->stop, &monotonic);
    pthread_condattr_destroy(&monotonic);
    configured->options = options;
    configured->server_stops = stopping;
    has_changed(configured); /* From what it is now, or else it is read once more. */
    configured->current = new_issuers(configured, issuers, error);
    bool runs = configured->current != NULL &&
                (pthread_create(&configured->thread, NULL, look_always, configured) == 0 ||
                 error_internal(error, "no thread to look at a configuration"));
    if (!runs) {
        release(configured);
        return false;
    }
    *made = (struct authenticator){.ask = ask, .free = free_state, .state = configured};
    return true;
}
