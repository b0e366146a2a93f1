// SPDX-License-Identifier: Apache-2.0
/*
 * How the bytes of a TLS session get to its socket.
 *
 * libmicrohttpd sends the headers of an answer and then its body, at once, but each as a record of
 * its own, and each record would be a call of the system and a packet that wakes the client. So the
 * headers of an answer whose body follows are held back, and leave together with it.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "apiserver/http/internal.h"
#include "common/alloc.h"

enum {
    held_bytes_max = 8 << 10,
    parts_max = 32,
};

static size_t total_of(const giovec_t *parts, int count)
{
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        total += parts[i].iov_len;
    }
    return total;
}

/* Sends what is held and then the parts, or the first of them. As sendmsg() tells of the parts. */
static ssize_t send_all(struct peer *peer, const giovec_t *parts, int count)
{
    struct iovec all[parts_max];
    struct msghdr message = {.msg_iov = all};
    if (peer->held.length > 0) {
        all[message.msg_iovlen++] = (struct iovec){peer->held.bytes, peer->held.length};
    }
    for (int i = 0; i < count && message.msg_iovlen < parts_max; i++) {
        all[message.msg_iovlen++] = (struct iovec){parts[i].iov_base, parts[i].iov_len};
    }
    ssize_t sent = sendmsg(peer->socket, &message, MSG_NOSIGNAL);
    if (sent <= 0 || peer->held.length == 0) {
        return sent;
    }
    if ((size_t)sent <= peer->held.length) {
        peer->held.length -= (size_t)sent;
        memmove(peer->held.bytes, peer->held.bytes + sent, peer->held.length);
        errno = EAGAIN;
        return -1;
    }
    sent -= (ssize_t)peer->held.length;
    buffer_free(&peer->held);
    return sent;
}

static ssize_t push(gnutls_transport_ptr_t pointer, const giovec_t *parts, int count)
{
    struct peer *peer = pointer;
    size_t total = total_of(parts, count);
    bool holds = peer->holds && total <= held_bytes_max;
    peer->holds = false;
    if (!holds) {
        return send_all(peer, parts, count);
    }
    for (int i = 0; i < count; i++) {
        buffer_add(&peer->held, parts[i].iov_base, parts[i].iov_len);
    }
    return (ssize_t)total;
}

void peer_push_itself(struct peer *peer, gnutls_session_t session)
{
    gnutls_transport_set_ptr2(session, (gnutls_transport_ptr_t)(intptr_t)peer->socket, peer);
    gnutls_transport_set_vec_push_function(session, push);
}
