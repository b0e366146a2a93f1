// SPDX-License-Identifier: Apache-2.0
/*
 * API Priority and Fairness: how much is served at once, and whose turn it is.
 *
 * FlowSchemas say of what kind a request is (flow_schema.h), and PriorityLevelConfigurations how
 * many seats requests of that kind share, and whether they wait in queues (queue_set.h) or are
 * turned away when there is none. Levels lend each other what they don't use (seats.h). Both kinds
 * of objects are followed by observing the cache; those that every cluster has are kept by
 * keeper.c.
 *
 * A request takes its seats when all of it has arrived, so that a client that dawdles holds none,
 * and gives them back when its answer is sent; a watch gives them back when it begins to stream.
 * While it waits its connection is suspended and no thread is held. It waits for a quarter of
 * --request-timeout at most.
 *
 * Simpler than upstream:
 * - A LIST takes a seat for each hundred objects that it may touch, up to ten and up to a seventh
 * of its level. All lists are answered from the cache, so what upstream reckons for reads of the
 *   store is not there. Everything else takes one seat.
 * - Upstream keeps seats for 5 ms after a write for each ten watches that are told of it. Here
 *   streams.c tells them, on threads of its own, at a tenth of the cost; nothing is kept.
 * - Who may not ask at all is told so (403) before their turn comes, and without it.
 * - Commands to containers (exec, log, …) are not limited, as upstream.
 *
 * Without Priority and Fairness there are two plain limits, of requests that change something and
 * of those that don't, as upstream; system:masters and watches are not limited.
 *
 * Locks: 'config_lock' (a rwlock) guards which schemas and levels there are; each level's lock what
 * waits and executes there. A request takes the first for reading and the second once each way.
 */
#ifndef APISERVER_FLOWCONTROL_FLOWCONTROL_H
#define APISERVER_FLOWCONTROL_FLOWCONTROL_H

#include "apiserver/http/server.h"
#include "apiserver/registry/registry.h"

struct flowcontrol_options {
    bool enabled;                          /* --enable-priority-and-fairness */
    int64_t in_flight, mutating_in_flight; /* Both together are the seats of the server. */
    int64_t request_timeout_ns;
};

struct flowcontrol;

/* What of the options makes no sense is an error that names the flag. */
bool flowcontrol_check_options(const struct flowcontrol_options *options, struct error *error);

/* The cache is loaded. Classifies by what is stored from now on, and begins to put right what
 * should be there. '*result' is to be ended and freed in any case. */
bool flowcontrol_start(struct registry *registry, const struct flowcontrol_options *options,
                       struct flowcontrol **result, struct error *error);
/* Turns away all who wait, lets nobody wait any more, and ends its threads. Before the HTTP server
 * stops, for which it goes on. NULL is fine. */
void flowcontrol_end(struct flowcontrol *flowcontrol);
/* After the HTTP server and the store, when nobody calls any more. NULL is fine. */
void flowcontrol_free(struct flowcontrol *flowcontrol);

/* As handler.admit, note and leave (http/server.h) want it. */
enum admittance flowcontrol_admit(struct flowcontrol *flowcontrol, const struct request *request,
                                  struct turn *turn, struct error *error);
void flowcontrol_note(struct flowcontrol *flowcontrol, const struct turn *turn,
                      struct response *response);
void flowcontrol_leave(struct flowcontrol *flowcontrol, struct turn *turn);

/* The objects that every cluster has are there. */
bool flowcontrol_is_there(const struct flowcontrol *flowcontrol);

/* Answers /debug/api_priority_and_fairness/dump_…; false if the path is none of them. */
bool flowcontrol_serve(struct flowcontrol *flowcontrol, const struct request *request,
                       struct response *response);
/* Appends the metrics, by upstream's names. */
void flowcontrol_render_metrics(struct flowcontrol *flowcontrol, struct buffer *out);

#endif
