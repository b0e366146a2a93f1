// SPDX-License-Identifier: Apache-2.0
/* What verifying tokens is made of: times, keys from files that change, findings that are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "apiserver/auth/identity_cache.h"
#include "apiserver/auth/keyring.h"
#include "apiserver/auth/service_account_claims.h"
#include "apiserver/auth/service_account_names.h"
#include "apiserver/auth/token_cache.h"
#include "common/alloc.h"
#include "common/json.h"

/* ---- times ---- */

static void a_token_is_good_from_nbf_to_exp_and_a_minute_around(void **state)
{
    (void)state;
    static const int64_t now_s = 1000000;
    static const struct {
        const char *claims, *refusal;
    } table[] = {
        {"{}", NULL},
        {"{\"nbf\":1000000,\"exp\":1000000,\"iat\":1000000}", NULL},
        {"{\"exp\":999940}", NULL},
        {"{\"exp\":999939}", "service account token has expired"},
        {"{\"exp\":999939.9}", "service account token has expired"},
        {"{\"exp\":0}", "service account token has expired"},
        {"{\"exp\":-1e300}", "service account token has expired"},
        {"{\"exp\":1e300}", NULL},
        {"{\"nbf\":1000060}", NULL},
        {"{\"nbf\":1000061}", "service account token is not valid yet"},
        {"{\"nbf\":1e300}", "service account token is not valid yet"},
        {"{\"nbf\":-1e300}", NULL},
        {"{\"iat\":1000060}", NULL},
        {"{\"iat\":1000061}", "service account token is issued in the future"},
        {"{\"nbf\":1000061,\"exp\":1}", "service account token is not valid yet"},
    };
    for (size_t i = 0; i < array_length(table); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        cleanup(json_release)
        json_t *claims = json_parse(table[i].claims, strlen(table[i].claims), NULL);
        bool good = claims_check_times(claims, now_s * 1000000000, &error);
        assert_int_equal(good, table[i].refusal == NULL);
        if (!good) {
            assert_string_equal(error.message, table[i].refusal);
        }
    }
}

/* ---- names ---- */

static void only_names_of_service_accounts_are_split(void **state)
{
    (void)state;
    static const char *const others[] = {
        "jane",
        "system:serviceaccount",
        "system:serviceaccount:",
        "system:serviceaccount:a",
        "system:serviceaccount:a:",
        "system:serviceaccount::b",
        "system:serviceaccount:a:b:c",
        "system:serviceaccount:A:b",
        "system:serviceaccount:a.b:c",
        "system:serviceaccount:a:b/c",
        "system:serviceaccounts:a:b",
    };
    cleanup(free_char)
    char *namespace = NULL;
    cleanup(free_char)
    char *name = NULL;
    for (size_t i = 0; i < array_length(others); i++) {
        assert_false(service_account_split(others[i], &namespace, &name));
        assert_null(namespace);
    }
    assert_true(service_account_split("system:serviceaccount:a-1:b.c", &namespace, &name));
    assert_string_equal(namespace, "a-1");
    assert_string_equal(name, "b.c");
}

/* ---- findings ---- */

static void a_finding_is_kept_until_it_runs_out(void **state)
{
    (void)state;
    struct token_cache *cache = token_cache_new();
    struct token_hash hash = token_hash("token", 5, NULL, 0);
    assert_null(token_cache_get(cache, &hash, 1));
    cleanup(finding_release)
    struct finding *first = token_cache_put(cache, &hash, json_string("first"), 100);
    cleanup(finding_release)
    struct finding *before = token_cache_get(cache, &hash, 99);
    assert_ptr_equal(before, first);
    assert_null(token_cache_get(cache, &hash, 100));
    cleanup(finding_release)
    struct finding *second = token_cache_put(cache, &hash, json_string("second"), 200);
    cleanup(finding_release)
    struct finding *after = token_cache_get(cache, &hash, 150);
    assert_ptr_equal(after, second);
    token_cache_free(cache);
    assert_string_equal(json_string_value(before->json), "first"); /* Who has it keeps it. */
}

static void what_a_finding_depends_on_is_part_of_it(void **state)
{
    (void)state;
    struct token_cache *cache = token_cache_new();
    struct token_hash hashes[] = {
        token_hash("token", 5, NULL, 0), token_hash("toke", 4, NULL, 0),
        token_hash("token", 5, "", 0),   token_hash("token", 5, "a", 1),
        token_hash("tokena", 6, "", 0),
    };
    for (size_t i = 0; i < array_length(hashes); i++) {
        cleanup(finding_release)
        struct finding *finding =
            token_cache_put(cache, &hashes[i], json_integer((json_int_t)i), 100);
        assert_non_null(finding);
    }
    for (size_t i = 0; i < array_length(hashes); i++) {
        cleanup(finding_release)
        struct finding *found = token_cache_get(cache, &hashes[i], 1);
        assert_int_equal(json_integer_value(found->json), i);
    }
    token_cache_free(cache);
}

static void findings_are_bounded_and_the_newest_is_there(void **state)
{
    (void)state;
    enum { many = 20000, most = 4096 };
    struct token_cache *cache = token_cache_new();
    size_t kept = 0;
    for (int i = 0; i < many; i++) {
        struct token_hash hash = token_hash((const char *)&i, sizeof i, NULL, 0);
        cleanup(finding_release)
        struct finding *finding = token_cache_put(cache, &hash, json_integer(i), 100 + i);
        cleanup(finding_release)
        struct finding *found = token_cache_get(cache, &hash, 1);
        assert_ptr_equal(found, finding);
    }
    for (int i = 0; i < many; i++) {
        struct token_hash hash = token_hash((const char *)&i, sizeof i, NULL, 0);
        cleanup(finding_release)
        struct finding *found = token_cache_get(cache, &hash, 1);
        kept += found != NULL;
    }
    assert_in_range(kept, 1, most);
    token_cache_free(cache);
}

/* ---- keys ---- */

/* Writes a key that is new, and older or newer than what was there. */
static void write_key(const char *path, bool is_private, time_t changed)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    if (is_private) {
        PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    } else {
        PEM_write_PUBKEY(file, key);
    }
    fclose(file);
    EVP_PKEY_free(key);
    struct timespec times[2] = {{.tv_sec = changed}, {.tv_sec = changed}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

struct files {
    char folder[32], public[64], private[64];
};

static void make_files(struct files *files)
{
    *files = (struct files){.folder = "/tmp/keyring-test-XXXXXX"};
    assert_non_null(mkdtemp(files->folder));
    snprintf(files->public, sizeof files->public, "%s/public", files->folder);
    snprintf(files->private, sizeof files->private, "%s/private", files->folder);
    write_key(files->public, false, 1000);
    write_key(files->private, true, 1000);
}

static void remove_files(const struct files *files)
{
    unlink(files->public);
    unlink(files->private);
    rmdir(files->folder);
}

/* The generation and the number of keys that verify. */
static uint64_t generation_of(struct keyring *keyring, size_t *count)
{
    cleanup(key_set_release)
    struct key_set *set = keyring_get(keyring);
    *count = set->keys.count;
    return set->generation;
}

static void keys_are_read_again_when_their_files_change(void **state)
{
    (void)state;
    struct files files;
    make_files(&files);
    const char *const list[] = {files.public, NULL};
    struct keyring *keyring = keyring_open(list, files.private, NULL);
    assert_non_null(keyring);
    size_t count;
    uint64_t first = generation_of(keyring, &count);
    assert_int_equal(count, 2);
    cleanup(key_set_release)
    struct key_set *before = keyring_get(keyring);
    write_key(files.public, false, 2000);
    const struct timespec pause = {.tv_nsec = 20000000};
    while (generation_of(keyring, &count) == first) {
        nanosleep(&pause, NULL);
    }
    assert_int_equal(count, 2);
    assert_int_equal(before->keys.count, 2); /* Whoever has the old ones still has them. */
    keyring_free(keyring);
    remove_files(&files);
}

static void keys_that_cannot_be_read_are_an_error(void **state)
{
    (void)state;
    struct files files;
    make_files(&files);
    const char *const none[] = {"/tmp/there/is/no/such/file", NULL}, *const empty[] = {NULL};
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    assert_null(keyring_open(none, NULL, &error));
    assert_non_null(strstr(error.message, "/tmp/there/is/no/such/file"));
    assert_null(keyring_open(empty, files.public, &error));
    assert_non_null(strstr(error.message, "holds no private key"));
    remove_files(&files);
}

/* ---- identities that are kept ---- */

static struct user somebody(const char *name)
{
    struct user user = {.name = duplicate(name), .uid = duplicate("")};
    user_share(&user);
    return user;
}

static bool is_known(struct identity_cache *cache, const char *token, const struct grounds *grounds,
                     int64_t now_ns, const char *name)
{
    cleanup(user_clear)
    struct user user = {0};
    bool known = identity_cache_get(cache, token, strlen(token), grounds, now_ns, &user);
    assert_true(!known || strcmp(user.name, name) == 0);
    return known;
}

static void a_token_is_known_until_its_time_is_over_or_the_keys_change(void **state)
{
    (void)state;
    struct identity_cache *cache = identity_cache_new();
    struct grounds now = identity_cache_grounds(cache, 7), later = identity_cache_grounds(cache, 8);
    {
        cleanup(user_clear)
        struct user user = somebody("jane");
        identity_cache_put(cache, "a.b.signature", 13, &now, 100, &user);
    }
    assert_true(is_known(cache, "a.b.signature", &now, 99, "jane"));
    assert_true(is_known(cache, "a.b.signature", &now, 99, "jane"));
    assert_false(is_known(cache, "a.b.signature", &now, 100, ""));
    assert_false(is_known(cache, "a.b.signature", &later, 99, ""));
    assert_false(is_known(cache, "b.b.signature", &now, 99, ""));
    assert_false(is_known(cache, "a.b.signaturf", &now, 99, ""));
    assert_false(is_known(cache, "a.b.signatur", &now, 99, ""));
    assert_false(is_known(cache, "", &now, 99, ""));
    identity_cache_free(cache);
}

/* Long ones that differ before their telling end get the same place, and are told apart. */
static void tokens_are_compared_whole(void **state)
{
    (void)state;
    struct identity_cache *cache = identity_cache_new();
    struct grounds now = identity_cache_grounds(cache, 0);
    char token[512];
    memset(token, 'x', sizeof token - 1);
    token[sizeof token - 1] = '\0';
    {
        cleanup(user_clear)
        struct user user = somebody("jane");
        identity_cache_put(cache, token, strlen(token), &now, 100, &user);
    }
    for (size_t i = 0; i < strlen(token); i++) {
        token[i] = 'y';
        assert_false(is_known(cache, token, &now, 1, ""));
        token[i] = 'x';
    }
    assert_true(is_known(cache, token, &now, 1, "jane"));
    identity_cache_free(cache);
}

static void what_rests_on_objects_is_not_kept_by_who_follows_none(void **state)
{
    (void)state;
    struct identity_cache *cache = identity_cache_new();
    struct grounds now = identity_cache_grounds(cache, 0);
    now.rests_on = 1U << GROUND_PODS;
    cleanup(user_clear)
    struct user user = somebody("jane");
    identity_cache_put(cache, "token", 5, &now, 100, &user);
    assert_false(is_known(cache, "token", &now, 1, ""));
    identity_cache_free(cache);
}

static void however_many_tokens_come_the_latest_is_known(void **state)
{
    (void)state;
    struct identity_cache *cache = identity_cache_new();
    struct grounds now = identity_cache_grounds(cache, 0);
    cleanup(user_clear)
    struct user user = somebody("jane");
    size_t known = 0;
    for (int i = 0; i < 5000; i++) {
        cleanup(free_char)
        char *token = format("token-%d", i);
        identity_cache_put(cache, token, strlen(token), &now, 100 + i, &user);
        assert_true(is_known(cache, token, &now, 1, "jane"));
    }
    for (int i = 0; i < 5000; i++) {
        cleanup(free_char)
        char *token = format("token-%d", i);
        known += is_known(cache, token, &now, 1, "jane");
    }
    assert_in_range(known, 500, 1024);
    identity_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_good_from_nbf_to_exp_and_a_minute_around),
        cmocka_unit_test(only_names_of_service_accounts_are_split),
        cmocka_unit_test(a_finding_is_kept_until_it_runs_out),
        cmocka_unit_test(what_a_finding_depends_on_is_part_of_it),
        cmocka_unit_test(findings_are_bounded_and_the_newest_is_there),
        cmocka_unit_test(keys_are_read_again_when_their_files_change),
        cmocka_unit_test(keys_that_cannot_be_read_are_an_error),
        cmocka_unit_test(a_token_is_known_until_its_time_is_over_or_the_keys_change),
        cmocka_unit_test(tokens_are_compared_whole),
        cmocka_unit_test(what_rests_on_objects_is_not_kept_by_who_follows_none),
        cmocka_unit_test(however_many_tokens_come_the_latest_is_known),
    };
    return cmocka_run_group_tests_name("parts of tokens", tests, NULL, NULL);
}
