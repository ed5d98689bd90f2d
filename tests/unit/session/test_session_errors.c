/* The one rule for errors, and every error code. */
#include "conversation.h"

static struct house house;
static struct conversation alice;
static struct conversation bob;

static void open_both(void)
{
    house_open(&house);
    conversation_open(&alice, &house);
    conversation_open(&bob, &house);
}

static void close_both(void)
{
    conversation_close(&alice);
    conversation_close(&bob);
    house_close(&house);
}

TestSuite(session_errors, .init = open_both, .fini = close_both);

/* A transaction of START, with a write that must never be seen. */
static void start(void)
{
    expect_ok(&alice, "START");
    expect_ok(&alice, "PUT half done");
}

static void expect_aborted(void)
{
    cr_assert_eq(alice.store.open_count, 0, "an aborted transaction still holds something");
    expect_error(&alice, "PUT a 1", "aborted");
    expect_error(&alice, "GET a", "aborted");
    expect_error(&alice, "DEL a", "aborted");
    expect_error(&alice, "EXISTS a", "aborted");
    expect_error(&alice, "COUNT", "aborted");
    expect_error(&alice, "SCAN 0", "aborted");
    expect_error(&alice, "START", "transaction_open");
    expect_reply(&alice, "PING", "{\"status\": \"Ok\", \"result\": \"PONG\"}");
}

/* The line fails with code inside a transaction, which is aborted by that. */
static void expect_to_abort(const char *line, const char *code)
{
    start();
    expect_error(&alice, line, code);
    expect_aborted();
    expect_error(&alice, "COMMIT", "aborted");
    expect_error(&alice, "COMMIT", "no_transaction");

    start();
    expect_error(&alice, line, code);
    expect_aborted();
    expect_ok(&alice, "ROLLBACK");
    expect_error(&alice, "ROLLBACK", "no_transaction");
    expect_absent(&bob, "GET half");
}

static const char *long_line(const char *before, size_t size, const char *behind)
{
    static char *line;
    size_t before_size = strlen(before);

    free(line);
    line = malloc(before_size + size + strlen(behind) + 1);
    cr_assert_not_null(line);
    memcpy(line, before, before_size);
    memset(line + before_size, 'x', size);
    memcpy(line + before_size + size, behind, strlen(behind) + 1);
    return line;
}

Test(session_errors, of_a_line_abort_its_transaction)
{
    expect_to_abort("PUT a", "syntax");
    expect_to_abort("GET a b", "syntax");
    expect_to_abort("PUT {\"key\": \"a\"}", "syntax");
    expect_to_abort("SCAN 0 a 10001", "syntax");
    expect_to_abort("PING x", "syntax");
    expect_to_abort("EXIT now", "syntax");
    expect_to_abort("START nonsense", "syntax");
    expect_to_abort("BEGIN nonsense", "syntax");
    expect_to_abort("BEGIN LOCKING", "denied");
    expect_to_abort("COMMIT x", "syntax");
    expect_to_abort("ROLLBACK x", "syntax");
    expect_to_abort("SET a 1", "unknown_command");
    expect_to_abort("PUT a \xff", "invalid_utf8");
    expect_to_abort("\xff", "invalid_utf8");
    expect_to_abort("COMMIT 17", "unknown_transaction");
    expect_to_abort(long_line("GET ", 1025, ""), "too_large");
    expect_to_abort(long_line("PUT a ", (1 << 20) - 5, ""), "too_large");
    expect_to_abort(long_line("", 3 << 20, ""), "too_large");
}

static void expect_failure_to_abort(enum operation operation, enum status failure, const char *line)
{
    start();
    store_will_fail(&alice, operation, failure);
    expect_error(&alice, line, status_code(failure));
    expect_aborted();
    expect_error(&alice, "COMMIT", "aborted");
    expect_absent(&bob, "GET half");
}

Test(session_errors, of_the_store_abort_their_transaction)
{
    static const struct {
        enum operation operation;
        const char *line;
    } commands[] = {
        {OPERATION_PUT, "PUT a 1"},   {OPERATION_GET, "GET a"},     {OPERATION_GET, "EXISTS a"},
        {OPERATION_DEL, "DEL a"},     {OPERATION_COUNT, "COUNT"},   {OPERATION_SCAN, "SCAN 0"},
    };

    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        for (unsigned failure = STATUS_OK + 1; failure < STATUS_COUNT; failure++) {
            if (failure != STATUS_NOT_FOUND && failure != STATUS_TRANSACTION_OPEN)
                expect_failure_to_abort(commands[i].operation, (enum status)failure, commands[i].line);
        }
    }
}

Test(session_errors, that_a_key_is_missing_aborts_nothing)
{
    start();
    expect_absent(&alice, "GET a");
    expect_ok(&alice, "COMMIT");
    expect_value(&bob, "GET half", "done");
}

Test(session_errors, that_a_transaction_is_open_aborts_nothing)
{
    start();
    expect_error(&alice, "START", "transaction_open");
    expect_error(&alice, "START LOCKING", "transaction_open");
    expect_ok(&alice, "COMMIT");
    expect_value(&bob, "GET half", "done");
}

Test(session_errors, of_single_commands_abort_nothing)
{
    store_will_fail(&alice, OPERATION_PUT, STATUS_OUT_OF_MEMORY);
    expect_error(&alice, "PUT a 1", "out_of_memory");
    expect_error(&alice, "nonsense", "unknown_command");
    expect_error(&alice, "COMMIT", "no_transaction");
    expect_error(&alice, "ROLLBACK", "no_transaction");
    expect_ok(&alice, "PUT a 1");
    store_will_fail(&alice, OPERATION_GET, STATUS_UNAVAILABLE);
    expect_error(&alice, "GET a", "unavailable");
    expect_value(&alice, "GET a", "1");
}

Test(session_errors, of_commit_close_the_transaction)
{
    static const enum status failures[] = {STATUS_CONFLICT,    STATUS_OUT_OF_MEMORY, STATUS_TIMEOUT,
                                           STATUS_UNAVAILABLE, STATUS_INTERNAL,      STATUS_OUTCOME_UNKNOWN};

    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        start();
        store_will_fail(&alice, OPERATION_COMMIT, failures[i]);
        expect_error(&alice, "COMMIT", status_code(failures[i]));
        expect_error(&alice, "COMMIT", "no_transaction");
        expect_absent(&alice, "GET half");
    }
}

/* --- START that fails --- */

static void expect_start_to_open_aborted(const char *line, const char *code)
{
    expect_error(&alice, line, code);
    expect_aborted();
    expect_error(&alice, "COMMIT", "aborted");
    expect_error(&alice, "COMMIT", "no_transaction");
    expect_reply(&bob, "COUNT", "{\"status\": \"Ok\", \"result\": 0}");
}

Test(session_errors, of_start_open_an_aborted_transaction)
{
    static const enum status failures[] = {STATUS_OUT_OF_MEMORY, STATUS_UNAVAILABLE, STATUS_TOO_LARGE,
                                           STATUS_INTERNAL};

    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        store_will_fail(&alice, OPERATION_BEGIN, failures[i]);
        expect_start_to_open_aborted("START", status_code(failures[i]));
    }
    expect_start_to_open_aborted("START LOCKING", "denied");
    expect_start_to_open_aborted("START TRANSACTION", "syntax");
    expect_start_to_open_aborted("start \xff", "invalid_utf8");
    expect_start_to_open_aborted(long_line("START ", 2 << 20, ""), "too_large");
}

Test(session_errors, of_begin_open_nothing)
{
    store_will_fail(&alice, OPERATION_BEGIN, STATUS_OUT_OF_MEMORY);
    expect_error(&alice, "BEGIN", "out_of_memory");
    expect_error(&alice, "BEGIN LOCKING", "denied");
    expect_error(&alice, "COMMIT", "no_transaction");
    expect_begun(&alice, "BEGIN", "1");
}

/* Every BEGIN finds that others have begun so many meanwhile that its id falls into another range. */
Test(session_errors, of_begin_where_no_more_ids_can_be_remembered)
{
    for (uint64_t block = 0; block < ID_SET_BLOCKS_MAX; block++) {
        char rollback[64];

        atomic_store(&house.last_transaction_id, block * 64);
        (void)snprintf(rollback, sizeof rollback, "ROLLBACK %ju", (uintmax_t)(block * 64 + 1));
        (void)say(&alice, "BEGIN");
        expect_ok(&alice, rollback);
    }
    expect_begun(&alice, "BEGIN", "4194242"); /* in the last one */
    atomic_store(&house.last_transaction_id, ID_SET_BLOCKS_MAX * 64);
    expect_ok(&alice, "START");
    expect_reply(&alice, "BEGIN", "{\"status\": \"Error\", \"mesg\": \"This connection was given ids in 65536 ranges, more "
                                  "it cannot remember: reconnect\", \"code\": \"too_large\"}");
    expect_error(&alice, "COMMIT", "aborted"); /* the one rule */
    cr_assert_eq(session_transactions_open_count(&alice.session.transactions), 1);
    expect_ok(&alice, "PUT a 1 4194242");
    expect_ok(&alice, "COMMIT 4194242");
    expect_error(&alice, "GET a 1", "unknown_transaction");
    expect_begun(&bob, "BEGIN", "4194306");
}

Test(session_errors, of_start_behind_an_id_abort_both)
{
    expect_begun(&alice, "BEGIN", "1");
    expect_error(&alice, "START 1", "syntax");
    expect_error(&alice, "COMMIT 1", "aborted");
    expect_aborted();
    expect_ok(&alice, "ROLLBACK");
}

/* --- whose error it is --- */

Test(session_errors, belong_to_the_transaction_that_the_line_names)
{
    static const char *const lines[] = {"PUT {\"key\": 1} %u",      "GET a b %u", "GTE a %u",      "COMITT %u",
                                        "PUT a \xff %u",            "BEGIN %u",   "COMMIT x %u",   "PUT {} %u",
                                        "GET {\"key\": \"\\x\"} %u"};

    expect_ok(&alice, "START");
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        char line[64];

        (void)snprintf(line, sizeof line, "{\"status\": \"Ok\", \"transaction_id\": %u}", i + 1);
        cr_assert_str_eq(say(&alice, "BEGIN"), line);
        (void)snprintf(line, sizeof line, lines[i], i + 1);
        cr_assert_eq(strncmp(say(&alice, line), "{\"status\": \"Error\"", 18), 0, "%s", line);
        (void)snprintf(line, sizeof line, "COMMIT %u", i + 1);
        expect_error(&alice, line, "aborted");
    }
    expect_ok(&alice, "PUT a 1");
    expect_ok(&alice, "COMMIT");
    expect_value(&bob, "GET a", "1");
}

Test(session_errors, of_a_line_that_is_too_long_belong_to_the_transaction_that_it_names)
{
    expect_ok(&alice, "START");
    expect_begun(&alice, "BEGIN", "1");
    expect_begun(&alice, "BEGIN", "2");
    expect_error(&alice, long_line("PUT a ", 2 << 20, " \t 1"), "too_large");
    expect_error(&alice, "COMMIT 1", "aborted");
    expect_error(&alice, long_line("PUT {\"key\": \"k\", \"value\": \"", 2 << 20, "\"} 2 "), "too_large");
    expect_error(&alice, "COMMIT 2", "aborted");
    expect_ok(&alice, "COMMIT");
}

Test(session_errors, of_a_line_that_is_too_long_belong_to_start_if_it_names_none)
{
    expect_ok(&alice, "START");
    expect_begun(&alice, "BEGIN", "1");
    expect_error(&alice, long_line("PUT ", 2 << 20, " 1"), "too_large"); /* 1 is the value */
    expect_ok(&alice, "COMMIT 1");
    expect_error(&alice, "COMMIT", "aborted");
}

Test(session_errors, belong_to_start_if_the_line_names_no_transaction)
{
    expect_begun(&alice, "BEGIN", "1");
    expect_ok(&alice, "PUT b 1 1");
    expect_ok(&alice, "START");
    expect_error(&alice, "PUT 1", "syntax"); /* 1 is the key */
    expect_error(&alice, "COMMIT", "aborted");
    expect_ok(&alice, "COMMIT 1");
    expect_value(&bob, "GET b", "1");
}

Test(session_errors, belong_to_nobody_where_start_is_not_open)
{
    expect_begun(&alice, "BEGIN", "1");
    expect_ok(&alice, "PUT b 1 1");
    expect_error(&alice, "nonsense", "unknown_command");
    expect_error(&alice, "COMMIT", "no_transaction");
    expect_ok(&alice, "COMMIT 1");
    expect_value(&bob, "GET b", "1");
}

Test(session_errors, of_a_transaction_that_has_ended_leave_start_alone)
{
    expect_begun(&alice, "BEGIN", "1");
    expect_ok(&alice, "ROLLBACK 1");
    expect_ok(&alice, "START");
    expect_error(&alice, "PUT a 1 1", "unknown_transaction");
    expect_error(&alice, "GET a b 1", "syntax");
    expect_ok(&alice, "PUT a 2");
    expect_ok(&alice, "COMMIT");
    expect_value(&bob, "GET a", "2");
}

Test(session_errors, abort_a_transaction_of_begin_alone)
{
    expect_begun(&alice, "BEGIN", "1");
    expect_begun(&alice, "BEGIN", "2");
    expect_ok(&alice, "PUT a 1 1");
    expect_ok(&alice, "PUT b 2 2");
    store_will_fail(&alice, OPERATION_PUT, STATUS_TOO_LARGE);
    expect_error(&alice, "PUT a 1 1", "too_large");
    expect_error(&alice, "GET a 1", "aborted");
    expect_ok(&alice, "COMMIT 2");
    expect_error(&alice, "COMMIT 1", "aborted");
    expect_error(&alice, "COMMIT 1", "unknown_transaction");
    expect_absent(&bob, "GET a");
    expect_value(&bob, "GET b", "2");
}

/* --- the rest of the codes --- */

Test(session_errors, timeout_is_answered_once_and_then_aborted)
{
    expect_ok(&alice, "START");
    expect_ok(&alice, "PUT a 1");
    cr_assert(model_store_expire(alice.store_session.inner, 1));
    expect_reply(&alice, "PING", "{\"status\": \"Ok\", \"result\": \"PONG\"}");
    expect_error(&alice, "GET a", "timeout");
    expect_error(&alice, "GET a", "aborted");
    expect_error(&alice, "COMMIT", "aborted");
    expect_error(&alice, "COMMIT", "no_transaction");
    expect_absent(&alice, "GET a");
}

Test(session_errors, timeout_of_commit_closes_and_rollback_is_ok)
{
    expect_ok(&alice, "START");
    cr_assert(model_store_expire(alice.store_session.inner, 1));
    expect_error(&alice, "COMMIT", "timeout");
    expect_error(&alice, "COMMIT", "no_transaction");
    expect_begun(&alice, "BEGIN", "1");
    cr_assert(model_store_expire(alice.store_session.inner, 1));
    expect_ok(&alice, "ROLLBACK 1");
}

Test(session_errors, too_large_is_a_ninth_transaction)
{
    for (unsigned i = 1; i <= 8; i++) {
        char reply[64];

        (void)snprintf(reply, sizeof reply, "{\"status\": \"Ok\", \"transaction_id\": %u}", i);
        cr_assert_str_eq(say(&alice, "BEGIN"), reply);
    }
    expect_reply(&alice, "BEGIN",
                 "{\"status\": \"Error\", \"mesg\": \"8 transactions are open: the limit for a connection is 8\", "
                 "\"code\": \"too_large\"}");
    expect_ok(&alice, "COMMIT 8");
    expect_ok(&alice, "START");
    expect_error(&alice, "BEGIN", "too_large");
    expect_error(&alice, "COMMIT", "aborted"); /* the error was START's transaction's */
    expect_begun(&alice, "BEGIN", "9");
}

Test(session_errors, too_large_is_an_aborted_one_among_eight_too)
{
    for (unsigned i = 1; i <= 8; i++)
        (void)say(&alice, "BEGIN");
    expect_error(&alice, "GET a b 3", "syntax");
    expect_error(&alice, "BEGIN", "too_large");
    expect_ok(&alice, "ROLLBACK 3");
    expect_begun(&alice, "BEGIN", "9");
}

Test(session_errors, too_large_start_is_open_and_aborted_beside_eight_others)
{
    for (unsigned i = 1; i <= 8; i++)
        (void)say(&alice, "BEGIN");
    expect_error(&alice, "START", "too_large");
    expect_error(&alice, "PUT a 1", "aborted");
    expect_ok(&alice, "ROLLBACK");
    expect_ok(&alice, "PUT a 1");
}

Test(session_errors, too_large_names_limit_size_and_option)
{
    expect_reply(&alice, long_line("PUT a ", 1 << 20, ""),
                 "{\"status\": \"Error\", \"mesg\": \"Line of 1048582 bytes: the limit is 1048576 (--max-command)\", "
                 "\"code\": \"too_large\"}");
    expect_ok(&alice, long_line("PUT a ", (1 << 20) - 6, ""));
    store_will_fail(&alice, OPERATION_PUT, STATUS_TOO_LARGE);
    expect_reply(&alice, "PUT a 123",
                 "{\"status\": \"Error\", \"mesg\": \"Value of 3 bytes: the store takes at most 4194304 (--memory)\", "
                 "\"code\": \"too_large\"}");
}

Test(session_errors, out_of_memory_names_what_was_done_and_the_option)
{
    store_will_fail(&alice, OPERATION_PUT, STATUS_OUT_OF_MEMORY);
    expect_reply(&alice, "PUT a 1",
                 "{\"status\": \"Error\", \"mesg\": \"Out of memory, nothing was changed (--memory)\", "
                 "\"code\": \"out_of_memory\"}");
}

Test(session_errors, of_every_status_have_a_message_and_a_code)
{
    for (unsigned failure = STATUS_OK + 1; failure < STATUS_COUNT; failure++) {
        store_will_fail(&alice, OPERATION_PUT, (enum status)failure);
        expect_error(&alice, "PUT a 1", status_code((enum status)failure));
        cr_assert_null(strstr(alice.reply, "\"mesg\": \"\""));
    }
}

Test(session_errors, leave_nothing_of_a_reply_that_had_begun)
{
    expect_ok(&alice, "PUT a 1");
    store_will_fail(&alice, OPERATION_SCAN, STATUS_UNAVAILABLE);
    expect_reply(&alice, "SCAN 0",
                 "{\"status\": \"Error\", \"mesg\": \"Unavailable\", \"code\": \"unavailable\"}");
    expect_value(&alice, "GET a", "1");
}

Test(session_errors, internal_is_a_reply_that_finds_no_memory)
{
    start();
    alice.store.exhausted = &alice.session.output;
    expect_reply(&alice, "GET half",
                 "{\"status\": \"Error\", \"mesg\": \"The server has no memory for this reply\", \"code\": "
                 "\"internal\"}");
    expect_aborted();
    expect_ok(&alice, "ROLLBACK");
    alice.store.exhausted = &alice.session.output;
    expect_error(&alice, "GET half", "internal");
    expect_absent(&alice, "GET half");
}
