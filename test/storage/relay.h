// SPDX-License-Identifier: Apache-2.0
/* A TCP relay on loopback that stands between a store and etcd and fails in chosen ways. */
#ifndef TEST_STORAGE_RELAY_H
#define TEST_STORAGE_RELAY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { relay_most_connections = 64 };

struct relay {
    char endpoint[64];
    int listener, target_port;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic bool freeze;      /* Connections that exist fall silent for ever, without being closed;
                               * is reset when done. New ones work. */
    _Atomic bool cut_answers; /* The next bytes of an answer end their connection instead. */
    _Atomic int cut;          /* Connections ended so. */
    struct {
        int client, server; /* -1: none. */
        bool frozen;
    } connections[relay_most_connections]; /* Owned by the thread. */
};

void relay_start(struct relay *relay, int target_port);
void relay_stop(struct relay *relay);

#endif
