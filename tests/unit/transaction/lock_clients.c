#include "lock_clients.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/futex.h"
#include "support/process.h"

#define VALUE_SIZE 32u

struct client {
    pid_t pid;
    unsigned slot;
    /* Counts of what was asked and answered; the words are what either side sleeps on. */
    _Atomic uint32_t asked;
    _Atomic uint32_t answered;
    enum act act;
    unsigned number;
    char key[VALUE_SIZE];
    char value[VALUE_SIZE];
    char found[VALUE_SIZE];
    enum status status;
};

static struct client *clients; /* shared */
static unsigned client_count;

static enum status get(struct client *client, struct participant *participant)
{
    struct value_view view;
    enum status status = transaction_get(participant, client->number, text(client->key), &view);

    client->found[0] = '\0';
    if (status != STATUS_OK)
        return status;
    (void)snprintf(client->found, VALUE_SIZE, "%.*s", (int)view.size, (const char *)value_view_piece(&view, 0).data);
    transaction_get_done(participant, client->number);
    return STATUS_OK;
}

static enum status perform(struct client *client, struct participant *participant)
{
    unsigned number;

    switch (client->act) {
    case BEGINS_LOCKING:
        return transaction_begin(participant, ISOLATION_LOCKING, &number);
    case BEGINS_READ_COMMITTED:
        return transaction_begin(participant, ISOLATION_READ_COMMITTED, &number);
    case BEGINS_SERIALIZABLE:
        return transaction_begin(participant, ISOLATION_SERIALIZABLE, &number);
    case GETS:
        return get(client, participant);
    case PUTS:
        return transaction_put(participant, client->number, text(client->key), text(client->value));
    case DELS:
        return transaction_del(participant, client->number, text(client->key));
    case COMMITS:
        return transaction_commit(participant, client->number);
    case ROLLS_BACK:
        transaction_rollback(participant, client->number);
        return STATUS_OK;
    case LEAVES:
    default:
        participant_close(participant);
        return STATUS_OK;
    }
}

static int serves(void *context)
{
    struct client *client = context;
    struct participant *participant;

    if (participant_open(engine, &participant) != STATUS_OK)
        return 1;
    client->slot = participant->slot_number;
    for (uint32_t done = 0;; done++) {
        atomic_store(&client->answered, done + 1);
        futex_wake(&client->answered);
        while (atomic_load(&client->asked) == done)
            futex_wait(&client->asked, done, FUTEX_NO_DEADLINE);
        client->status = perform(client, participant);
        if (client->act == LEAVES)
            return 0;
    }
}

/* The first answer is that it is there. */
static bool has_answered(const struct client *client)
{
    return atomic_load(&client->answered) == atomic_load(&client->asked) + 1;
}

void clients_start(unsigned count)
{
    REQUIRE(count <= LOCK_CLIENTS_MAX);
    clients = process_shared_memory(sizeof(*clients) * LOCK_CLIENTS_MAX);
    client_count = count;
    for (unsigned i = 0; i < count; i++) {
        clients[i].pid = process_start(serves, &clients[i]);
        (void)client_answers(i);
    }
}

void client_asks(unsigned client, enum act act, unsigned transaction, const char *key, const char *value)
{
    struct client *asked = &clients[client];

    REQUIRE(has_answered(asked));
    asked->act = act;
    asked->number = transaction;
    (void)snprintf(asked->key, VALUE_SIZE, "%s", key == NULL ? "" : key);
    (void)snprintf(asked->value, VALUE_SIZE, "%s", value == NULL ? "" : value);
    atomic_fetch_add(&asked->asked, 1);
    futex_wake(&asked->asked);
}

enum status client_answers(unsigned client)
{
    const struct client *asked = &clients[client];

    while (!has_answered(asked))
        futex_wait(&asked->answered, atomic_load(&asked->asked), FUTEX_NO_DEADLINE);
    return asked->status;
}

enum status client_does(unsigned client, enum act act, unsigned transaction, const char *key, const char *value)
{
    client_asks(client, act, transaction, key, value);
    return client_answers(client);
}

void client_waits(unsigned client, enum act act, unsigned transaction, const char *key, const char *value)
{
    client_asks(client, act, transaction, key, value);
    while (!client_is_waiting(client)) {
        cr_assert(!has_answered(&clients[client]), "client %u did not wait but answered %s", client,
                  status_code(clients[client].status));
        (void)usleep(1000);
    }
}

static bool slot_waits_for(unsigned slot, uint64_t hash)
{
    struct key_lock_cursor cursor = {0};
    const struct key_lock *lock;

    while ((lock = key_lock_next(engine->segment, slot, &cursor)) != NULL)
        if (atomic_load(&lock->state) == KEY_LOCK_WAITS && lock->hash == hash)
            return true;
    return false;
}

void client_comes_to_wait_for(unsigned client, const char *key)
{
    uint64_t hash = table_hash(&engine->table, text(key));

    while (!slot_waits_for(clients[client].slot, hash)) {
        cr_assert(!has_answered(&clients[client]), "client %u did not wait but answered %s", client,
                  status_code(clients[client].status));
        (void)usleep(1000);
    }
}

const char *client_value(unsigned client)
{
    return clients[client].found;
}

static unsigned slot_locks_in(unsigned slot, enum key_lock_state state)
{
    struct key_lock_cursor cursor = {0};
    const struct key_lock *lock;
    unsigned count = 0;

    while ((lock = key_lock_next(engine->segment, slot, &cursor)) != NULL)
        count += atomic_load(&lock->state) == state;
    return count;
}

bool client_is_waiting(unsigned client)
{
    return slot_locks_in(clients[client].slot, KEY_LOCK_WAITS) > 0;
}

unsigned client_slot(unsigned client)
{
    return clients[client].slot;
}

pid_t client_pid(unsigned client)
{
    return clients[client].pid;
}

void client_is_killed(unsigned client)
{
    cr_assert_eq(process_kill(clients[client].pid), PROCESS_SIGNAL(9));
    clients[client].pid = 0;
}

unsigned key_locks_in(enum key_lock_state state)
{
    unsigned slots = process_slot_count(engine->segment);
    unsigned count = 0;

    for (unsigned slot = 0; slot < slots; slot++)
        count += slot_locks_in(slot, state);
    return count;
}

void clients_end(void)
{
    for (unsigned i = 0; i < client_count; i++) {
        if (clients[i].pid == 0)
            continue;
        client_asks(i, LEAVES, 0, NULL, NULL);
        cr_assert_eq(process_wait(clients[i].pid), 0);
    }
    client_count = 0;
}
