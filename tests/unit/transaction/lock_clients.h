/* Clients of their own process, for tests of what waits: each does what it is
 * asked, one thing after the other, and whether it waits for a key is seen in
 * the slots, never guessed from the time that it takes. */
#ifndef HAUSKV_TESTS_UNIT_LOCK_CLIENTS_H
#define HAUSKV_TESTS_UNIT_LOCK_CLIENTS_H

#include <sys/types.h>

#include "transaction/key_lock.h" /* before the fixture's `engine` */

#include "engine_fixture.h"

#define LOCK_CLIENTS_MAX 12u

enum act {
    BEGINS_LOCKING, /* further transactions of a client get the numbers 1, 2, ... */
    BEGINS_READ_COMMITTED,
    BEGINS_SERIALIZABLE,
    GETS,
    PUTS,
    DELS,
    COMMITS,
    ROLLS_BACK,
    LEAVES
};

/* Makes `count` clients, from 0, of the engine that is open. */
void clients_start(unsigned count);
/* Ends those that are left: they leave, and must have nothing open that others wait for. */
void clients_end(void);

/* Asks and waits for the answer. */
enum status client_does(unsigned client, enum act act, unsigned transaction, const char *key, const char *value);
/* Asks; asserts that the client waits for a key. Its answer comes later. */
void client_waits(unsigned client, enum act act, unsigned transaction, const char *key, const char *value);
/* Of what was asked last: returns as soon as the client waits for that key; asserts that it has not answered. */
void client_comes_to_wait_for(unsigned client, const char *key);
/* Asks, whatever comes. */
void client_asks(unsigned client, enum act act, unsigned transaction, const char *key, const char *value);
enum status client_answers(unsigned client);
/* What the client's last GET found; empty if nothing. */
const char *client_value(unsigned client);

bool client_is_waiting(unsigned client);
unsigned client_slot(unsigned client);
pid_t client_pid(unsigned client);
/* SIGKILL; returns when it is dead. */
void client_is_killed(unsigned client);

/* How many key locks of a state there are, in all slots. */
unsigned key_locks_in(enum key_lock_state state);

#endif
