/* Where a schedule is played for real: every actor has a session on one store.
 *
 * STAGE_DIRECT     all sessions in this thread, over anonymous shared memory; where nobody waits or dies
 * STAGE_PROCESSES  a process each, over anonymous shared memory, spoken to through a socket pair
 * STAGE_SERVER     a live server, spoken to through its Unix socket
 *
 * What goes wrong with the stage itself (no server, no process) ends the test's process. */
#ifndef HAUSKV_TESTS_SCHEDULES_STAGE_H
#define HAUSKV_TESTS_SCHEDULES_STAGE_H

#include "schedules/reference.h"
#include "support/store_flaw.h"

enum stage_kind {
    STAGE_DIRECT,
    STAGE_PROCESSES,
    STAGE_SERVER
};

struct stage;

/* The flaw is planted between sessions and store; STORE_FLAW_NONE for a server. */
struct stage *stage_open(enum stage_kind kind, unsigned actor_count, enum store_flaw flaw);

/* Ends all sessions and checks the store. False: it is not whole, or the server has complained; reason says why. */
bool stage_close(struct stage *stage, const char **reason);

/* Whether somebody waits or dies is nothing for STAGE_DIRECT. */
enum stage_kind stage_kind(const struct stage *stage);

/* The store, for the reference. */
const struct store_fixture *stage_store(const struct stage *stage);

/* Ids of transactions count from 1 again; nothing is open. A server has to be new for that: it goes on counting. */
void stage_rewind(const struct stage *stage);

/* Actors are numbered from 0. */
void stage_send(struct stage *stage, unsigned number, const char *lines);

/* Takes the replies to that many lines, separated by LF. False: the actor's end, or nothing came for long. */
bool stage_receive(struct stage *stage, unsigned number, unsigned line_count, char reply[ACT_REPLY_BYTES]);

/* Waits until what was sent was taken and the actor's process sleeps again, whatever for. False: it has answered all of
 * that many lines. */
bool stage_is_silent(const struct stage *stage, unsigned number, unsigned line_count);

/* Kills the actor's process, without any cleanup, and gives the actor a new one. Every other time the housekeeper looks
 * at the store in between. */
void stage_kill(struct stage *stage, unsigned number);

#endif
