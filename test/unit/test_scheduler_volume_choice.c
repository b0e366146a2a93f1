// SPDX-License-Identifier: Apache-2.0
/* Which volumes late claims get, against the same rules once more, slow and obvious. */
#include "test/unit/scheduler_volumes.h"

enum { volumes_max = 6, claims_max = 3, trials = 300 };

struct random_volume {
    int size;
    char reached_from; /* The one node, 0: all. */
    bool is_late, is_taken;
};

/* Which volume each claim gets on the node: for the smaller claims first, the smallest that is
 * large enough, and of those the first by name. False when one gets none. */
static bool choose_slowly(const struct random_volume *volumes, const int *sizes, size_t claims,
                          char node_name, int *chosen)
{
    bool used[volumes_max] = {false};
    for (size_t c = 0; c < claims; c++) {
        chosen[c] = -1;
        for (int v = 0; v < volumes_max; v++) {
            bool reaches = volumes[v].reached_from == 0 || volumes[v].reached_from == node_name;
            if (volumes[v].is_late && !volumes[v].is_taken && !used[v] && reaches &&
                volumes[v].size >= sizes[c] &&
                (chosen[c] < 0 || volumes[v].size < volumes[chosen[c]].size)) {
                chosen[c] = v;
            }
        }
        if (chosen[c] < 0) {
            return false;
        }
        used[chosen[c]] = true;
    }
    return true;
}

static void put_random_volume(struct world *world, struct random_volume *made, int number)
{
    static const char reached_from[] = {0, 'a', 'b'};
    *made = (struct random_volume){1 + rand() % 4, reached_from[rand() % 3], rand() % 4 > 0,
                                   rand() % 4 == 0};
    cleanup(free_char)
    char *name = format("v%d", number);
    cleanup(free_char)
    char *size = format("%dGi", made->size);
    cleanup(free_char)
    char *spec =
        format("\"storageClassName\":\"%s\"%s%s", made->is_late ? "late" : "other",
               made->is_taken ? ",\"claimRef\":{\"namespace\":\"ns\",\"name\":\"else\"}" : "",
               made->reached_from == 'a'   ? "," ON_NODE("a")
               : made->reached_from == 'b' ? "," ON_NODE("b")
                                           : "");
    volume(world, name, "", size, spec);
}

/* The pod's claims are c0, c1, … of these sizes, the smallest first. */
static void put_claims(struct world *world, const int *sizes, size_t claims)
{
    for (size_t i = 0; i < claims; i++) {
        cleanup(free_char)
        char *text =
            format("{\"metadata\":{\"namespace\":\"ns\",\"name\":\"c%zu\",\"uid\":\"u%zu\"},"
                   "\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{"
                   "\"requests\":{\"storage\":\"%dGi\"}}," LATE "}}",
                   i, i, sizes[i]);
        put(world, volumes_put_claim, text);
    }
}

static void try_node(struct world *world, const struct random_volume *volumes, const int *sizes,
                     size_t claims, char node_name)
{
    int chosen[claims_max];
    char expected[100] = "", spec[600];
    bool fits = choose_slowly(volumes, sizes, claims, node_name, chosen);
    snprintf(spec, sizeof spec,
             "\"nodeSelector\":{\"kubernetes.io/hostname\":\"%c\"},\"volumes\":[", node_name);
    for (size_t i = 0; i < claims; i++) {
        snprintf(spec + strlen(spec), sizeof spec - strlen(spec),
                 "%s{\"name\":\"%zu\",\"persistentVolumeClaim\":{\"claimName\":\"c%zu\"}}",
                 i > 0 ? "," : "", i, i);
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%sc%zu=v%d",
                 i > 0 ? " " : "", i, chosen[i]);
    }
    snprintf(spec + strlen(spec), sizeof spec - strlen(spec), "]");
    assert_int_equal(decide(world, "p", spec)[0] == node_name, fits);
    if (fits) {
        assert_string_equal(planned(world, "ns/p"), expected);
        volume_plan_end(world->volumes, volume_plan_take(world->volumes, "ns/p"));
    }
}

static void whatever_there_is_each_claim_gets_what_suits_best(void **state)
{
    struct world *world = *state;
    struct random_volume volumes[volumes_max];
    int sizes[claims_max];
    srand(20);
    node(world, "a", "");
    node(world, "b", "");
    class(world, "late", "WaitForFirstConsumer", NOTHING);
    for (int trial = 0; trial < trials; trial++) {
        size_t claims = 1 + (size_t)rand() % claims_max;
        for (int i = 0; i < volumes_max; i++) {
            put_random_volume(world, &volumes[i], i);
        }
        for (size_t i = 0; i < claims; i++) { /* No two alike: their order would be open. */
            sizes[i] = (i > 0 ? sizes[i - 1] : 0) + 1 + rand() % 2;
        }
        put_claims(world, sizes, claims);
        try_node(world, volumes, sizes, claims, 'a');
        try_node(world, volumes, sizes, claims, 'b');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(whatever_there_is_each_claim_gets_what_suits_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
