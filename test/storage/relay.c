// SPDX-License-Identifier: Apache-2.0
#include "test/storage/relay.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void end_connection(struct relay *relay, int index)
{
    close(relay->connections[index].client);
    close(relay->connections[index].server);
    relay->connections[index].client = relay->connections[index].server = -1;
}

static void take_connection(struct relay *relay)
{
    struct sockaddr_in target = loopback(relay->target_port);
    int client = accept(relay->listener, NULL, NULL);
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool connected = connect(server, (struct sockaddr *)&target, sizeof(target)) == 0;
    for (int i = 0; connected && i < relay_most_connections; i++) {
        if (relay->connections[i].client < 0) {
            relay->connections[i].client = client;
            relay->connections[i].server = server;
            relay->connections[i].frozen = false;
            return;
        }
    }
    close(client);
    close(server);
}

/* Moves what has come; false when the connection is to end. */
static bool pass(struct relay *relay, int from, int to, bool is_answer)
{
    char bytes[65536];
    ssize_t length = recv(from, bytes, sizeof(bytes), 0);
    if (length <= 0) {
        return false;
    }
    if (is_answer && relay->cut_answers) {
        relay->cut_answers = false;
        relay->cut++;
        return false;
    }
    for (ssize_t sent = 0; sent < length;) {
        ssize_t some = send(to, bytes + sent, (size_t)(length - sent), MSG_NOSIGNAL);
        if (some <= 0) {
            return false;
        }
        sent += some;
    }
    return true;
}

static void freeze_all(struct relay *relay)
{
    for (int i = 0; i < relay_most_connections; i++) {
        relay->connections[i].frozen = relay->connections[i].client >= 0;
    }
    relay->freeze = false;
}

static void *relay_main(void *argument)
{
    struct relay *relay = argument;
    while (!relay->stop) {
        if (relay->freeze) {
            freeze_all(relay);
        }
        struct pollfd polled[1 + 2 * relay_most_connections];
        polled[0] = (struct pollfd){.fd = relay->listener, .events = POLLIN};
        for (int i = 0; i < relay_most_connections; i++) {
            bool frozen = relay->connections[i].frozen;
            polled[1 + 2 * i] =
                (struct pollfd){.fd = frozen ? -1 : relay->connections[i].client, .events = POLLIN};
            polled[2 + 2 * i] =
                (struct pollfd){.fd = frozen ? -1 : relay->connections[i].server, .events = POLLIN};
        }
        poll(polled, 1 + 2 * relay_most_connections, 5);
        for (int i = 0; i < relay_most_connections; i++) {
            int client = relay->connections[i].client, server = relay->connections[i].server;
            if ((polled[1 + 2 * i].revents != 0 && !pass(relay, client, server, false)) ||
                (polled[2 + 2 * i].revents != 0 && !pass(relay, server, client, true))) {
                end_connection(relay, i);
            }
        }
        if (polled[0].revents != 0) {
            take_connection(relay);
        }
    }
    return NULL;
}

void relay_start(struct relay *relay, int target_port)
{
    *relay = (struct relay){.target_port = target_port};
    for (int i = 0; i < relay_most_connections; i++) {
        relay->connections[i].client = relay->connections[i].server = -1;
    }
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof(address);
    relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bind(relay->listener, (struct sockaddr *)&address, sizeof(address));
    listen(relay->listener, 64);
    getsockname(relay->listener, (struct sockaddr *)&address, &length);
    snprintf(relay->endpoint, sizeof(relay->endpoint), "http://127.0.0.1:%d",
             ntohs(address.sin_port));
    pthread_create(&relay->thread, NULL, relay_main, relay);
}

void relay_stop(struct relay *relay)
{
    relay->stop = true;
    pthread_join(relay->thread, NULL);
    for (int i = 0; i < relay_most_connections; i++) {
        if (relay->connections[i].client >= 0) {
            end_connection(relay, i);
        }
    }
    close(relay->listener);
}
