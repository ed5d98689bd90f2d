/* A command that has to wait: what is ready goes out before, and who gives up runs nothing more. The store waits no
 * longer than it takes to ask. */
#include "conversation.h"

#define WAITED(key) \
    "{\"status\": \"Error\", \"mesg\": \"Waited 10000 ms for the key " key \
    ", which a transaction has locked (--lock-timeout); nothing was changed\", \"code\": \"timeout\"}\n"
#define GAVE_UP(key) \
    "{\"status\": \"Error\", \"mesg\": \"The connection ends while the key " key \
    " is waited for: nothing was changed\", \"code\": \"timeout\"}\n"

static struct house house;
static struct conversation talk;

/* The client as its connection sees it. */
static bool is_gone;
static size_t takes_bytes; /* of what is ready, when asked */
static char ready[256];
static unsigned asked;

static bool goes_on(void *context)
{
    struct session *session = context;
    struct bytes bytes = session_ready_output(session);

    asked++;
    cr_assert_lt(bytes.size, sizeof ready);
    if (bytes.size > 0)
        memcpy(ready, bytes.data, bytes.size);
    ready[bytes.size] = '\0';
    session_output_taken(session, takes_bytes < bytes.size ? takes_bytes : bytes.size);
    return !is_gone;
}

static const struct waiter waiter = {.goes_on = goes_on, .context = &talk.session};

static void open_house(void)
{
    house_open(&house);
    conversation_prepare(&talk, &house);
    talk.config.lock_timeout_ms = 10000;
}

static void begin(void)
{
    session_init(&talk.session, &talk.config);
    session_set_waiter(&talk.session, &waiter);
    takes_bytes = SIZE_MAX;
}

static void close_house(void)
{
    session_set_waiter(&talk.session, NULL);
    cr_expect_null(talk.store.waiter);
    conversation_close(&talk);
    house_close(&house);
}

static const char *hear(const char *lines)
{
    return conversation_feed(&talk, bytes_from_string(lines));
}

TestSuite(session_waiting, .init = open_house, .fini = close_house);

Test(session_waiting, replies_before_it_can_be_taken)
{
    begin();
    store_will_fail(&talk, OPERATION_DEL, STATUS_LOCK_TIMEOUT);
    cr_assert_str_eq(hear("PUT a 1\nGET a\nDEL k\nPING\n"), WAITED("k") "{\"status\": \"Ok\", \"result\": \"PONG\"}\n");
    cr_assert_str_eq(ready, OK "\n{\"status\": \"Ok\", \"result\": \"1\"}\n");
    cr_assert_eq(asked, 1);
}

Test(session_waiting, what_was_not_taken_comes_later)
{
    begin();
    takes_bytes = 10;
    store_will_fail(&talk, OPERATION_DEL, STATUS_LOCK_TIMEOUT);
    cr_assert_str_eq(hear("PUT a 1\nDEL k\n"), &(OK "\n" WAITED("k"))[10]);
}

/* The reply of the command itself is begun before it runs. */
Test(session_waiting, nothing_of_its_own_reply_can_be_taken)
{
    talk.config.dialect = DIALECT_ECHO;
    begin();
    store_will_fail(&talk, OPERATION_PUT, STATUS_LOCK_TIMEOUT);
    (void)hear("PUT k 2\n");
    cr_assert_eq(asked, 1);
    cr_assert_str_eq(ready, "");
    store_will_fail(&talk, OPERATION_GET, STATUS_LOCK_TIMEOUT);
    (void)hear("GET k\n");
    cr_assert_eq(asked, 2);
    cr_assert_str_eq(ready, "");
}

/* The replies of a burst are one write, for clients who take one read for one reply. */
Test(session_waiting, in_burst_mode_nothing_can_be_taken)
{
    talk.config.framing = FRAMING_AUTO;
    begin();
    store_will_fail(&talk, OPERATION_DEL, STATUS_LOCK_TIMEOUT);
    session_feed(&talk.session, bytes_from_string("PUT a 1\nDEL k\nPING"));
    conversation_fall_silent(&talk);
    cr_assert_str_eq(conversation_take(&talk), OK "\n" WAITED("k") "{\"status\": \"Ok\", \"result\": \"PONG\"}\n");
    cr_assert_eq(asked, 1);
    cr_assert_str_eq(ready, "");
}

Test(session_waiting, who_gives_up_runs_nothing_more)
{
    begin();
    is_gone = true;
    takes_bytes = 0;
    store_will_fail(&talk, OPERATION_DEL, STATUS_LOCK_TIMEOUT);
    cr_assert_str_eq(hear("START\nPUT a 1\nDEL k\nCOMMIT\nPUT b 1\n"), OK "\n" OK "\n" GAVE_UP("k"));
    cr_assert_eq(talk.store.open_count, 0);
    cr_assert_eq(session_serve(&talk.session, SIZE_MAX), SESSION_CLOSING);
    cr_assert_eq(atomic_load(&talk.counters.transactions_rolled_back), 1);
    cr_assert_eq(atomic_load(&talk.counters.transactions_open), 0);
}

Test(session_waiting, who_gives_up_a_commit_has_committed_nothing)
{
    struct conversation other;

    begin();
    is_gone = true;
    store_will_fail(&talk, OPERATION_COMMIT, STATUS_LOCK_TIMEOUT);
    (void)hear("START\nPUT a 1\nCOMMIT\nPUT a 2\n");
    cr_assert_eq(session_serve(&talk.session, SIZE_MAX), SESSION_CLOSING);
    cr_assert_eq(atomic_load(&talk.counters.transactions_rolled_back), 1);
    conversation_open(&other, &house);
    expect_absent(&other, "GET a");
    conversation_close(&other);
}
