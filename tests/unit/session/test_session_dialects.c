/* Conversations in the words of the earlier servers, and the errors of waiting. */
#include "conversation.h"

static struct house house;
static struct conversation talk;

static void open_in(enum dialect dialect)
{
    house_open(&house);
    conversation_prepare(&talk, &house);
    talk.config.dialect = dialect;
    talk.config.lock_timeout_ms = 10000;
    session_init(&talk.session, &talk.config);
}

static void close_talk(void)
{
    conversation_close(&talk);
    house_close(&house);
}

#define SAYING(words) "{\"status\": \"Ok\", \"result\": \"" words "\"}"
#define PAIR(key, value) "{\"status\": \"Ok\", \"result\": {\"key\": \"" key "\", \"value\": \"" value "\"}}"

TestSuite(session_dialects, .fini = close_talk);

Test(session_dialects, echo_says_what_was_done)
{
    open_in(DIALECT_ECHO);
    expect_reply(&talk, "START", SAYING("Transaction started"));
    expect_reply(&talk, "PUT  key1   value 1  ", PAIR("key1", "value 1"));
    expect_reply(&talk, "PUT {\"value\": \"\\u8bf4\", \"key\": \"\"}",
                 "{\"status\": \"Error\", \"message\": \"A key has at least one byte; usage: PUT key value [id], or "
                 "PUT {\\\"key\\\": \\\"k\\\", \\\"value\\\": \\\"v\\\"} [id]\", \"code\": \"syntax\"}");
    expect_reply(&talk, "ROLLBACK", SAYING("Transaction rolled back"));
    expect_reply(&talk, "GET key1", "{\"status\": \"Error\", \"message\": \"Key not found\", \"code\": \"not_found\"}");
    expect_reply(&talk, "BEGIN",
                 "{\"status\": \"Ok\", \"result\": \"Transaction started\", \"transaction_id\": 1}");
    expect_reply(&talk, "PUT {\"value\": \"\\u8bf4\", \"key\": \"a b\"} 1", PAIR("a b", "\\u8bf4"));
    expect_reply(&talk, "DEL gone 1", "{\"status\": \"Ok\", \"result\": {\"key\": \"gone\"}}");
    expect_reply(&talk, "COMMIT 1", SAYING("Transaction commited"));
    expect_reply(&talk, "GET {\"key\": \"a b\"}", PAIR("a b", "\\u8bf4"));
    expect_reply(&talk, "EXISTS key1", "{\"status\": \"Ok\", \"result\": false}");
    expect_reply(&talk, "COUNT", "{\"status\": \"Ok\", \"result\": 1}");
    expect_reply(&talk, "SCAN 0", "{\"status\": \"Ok\", \"result\": {\"cursor\": \"0\", \"keys\": [\"a b\"]}}");
    expect_reply(&talk, "PING", SAYING("PONG"));
    expect_reply(&talk, "EXIT", OK);
}

Test(session_dialects, messages_has_other_words_for_a_missing_key_and_for_del)
{
    open_in(DIALECT_MESSAGES);
    expect_reply(&talk, "GET a", "{\"status\": \"Error\", \"mesg\": \"Key not found!\", \"code\": \"not_found\"}");
    expect_ok(&talk, "START");
    expect_ok(&talk, "PUT a 1");
    expect_value(&talk, "GET a", "1");
    expect_reply(&talk, "DEL a", "{\"status\": \"Ok\", \"message\": \"key is not in the kv store\"}");
    expect_reply(&talk, "DEL b", "{\"status\": \"Ok\", \"message\": \"key is not in the kv store\"}");
    expect_ok(&talk, "COMMIT");
    expect_begun(&talk, "BEGIN", "1");
    expect_ok(&talk, "ROLLBACK 1");
    expect_reply(&talk, "COMMIT", "{\"status\": \"Error\", \"mesg\": \"START's transaction is not open\", \"code\": "
                                  "\"no_transaction\"}");
}

Test(session_dialects, echo_stores_nothing_whose_reply_finds_no_memory)
{
    open_in(DIALECT_ECHO);
    talk.session.output.failed = true; /* as an append that found none leaves it */
    expect_reply(&talk, "PUT a 1", "{\"status\": \"Error\", \"message\": \"The server has no memory for this reply\", "
                                   "\"code\": \"internal\"}");
    expect_reply(&talk, "GET a", "{\"status\": \"Error\", \"message\": \"Key not found\", \"code\": \"not_found\"}");
}

Test(session_dialects, a_wait_that_was_too_long_names_key_limit_and_option)
{
    static const char waited[] = "{\"status\": \"Error\", \"mesg\": \"Waited 10000 ms for the key k, which a "
                                 "transaction has locked (--lock-timeout); nothing was changed\", "
                                 "\"code\": \"timeout\"}";

    open_in(DIALECT_DEFAULT);
    store_will_fail(&talk, OPERATION_GET, STATUS_LOCK_TIMEOUT);
    expect_reply(&talk, "GET k", waited);
    expect_ok(&talk, "START");
    store_will_fail(&talk, OPERATION_PUT, STATUS_LOCK_TIMEOUT);
    expect_reply(&talk, "PUT k 1", waited);
    expect_error(&talk, "PUT k 1", "aborted");
    expect_error(&talk, "COMMIT", "aborted");
    expect_ok(&talk, "START");
    store_will_fail(&talk, OPERATION_COMMIT, STATUS_LOCK_TIMEOUT);
    expect_reply(&talk, "COMMIT", "{\"status\": \"Error\", \"mesg\": \"Waited 10000 ms for a key, which a transaction "
                                  "has locked (--lock-timeout); nothing was changed\", \"code\": \"timeout\"}");
    expect_error(&talk, "COMMIT", "no_transaction");
    cr_assert_eq(talk.counters.errors[STATUS_LOCK_TIMEOUT], 3);
    cr_assert_eq(talk.counters.transactions_timed_out, 0);
    cr_assert_eq(talk.counters.transactions_rolled_back, 2);
}

Test(session_dialects, a_scan_that_is_denied_says_why)
{
    open_in(DIALECT_DEFAULT);
    store_will_fail(&talk, OPERATION_COUNT, STATUS_DENIED);
    expect_reply(&talk, "COUNT", "{\"status\": \"Error\", \"mesg\": \"COUNT cannot be had in a LOCKING transaction: it "
                                 "locks keys, not their absence\", \"code\": \"denied\"}");
}

Test(session_dialects, a_deadlock_aborts_and_says_try_again)
{
    static const char deadlock[] = "{\"status\": \"Error\", \"mesg\": \"To wait for the key k would be a deadlock, "
                                   "nothing was changed: try again\", \"code\": \"deadlock\"}";

    open_in(DIALECT_DEFAULT);
    store_will_fail(&talk, OPERATION_DEL, STATUS_DEADLOCK);
    expect_reply(&talk, "DEL k", deadlock);
    expect_ok(&talk, "START");
    store_will_fail(&talk, OPERATION_GET, STATUS_DEADLOCK);
    expect_reply(&talk, "EXISTS k", deadlock);
    expect_error(&talk, "GET k", "aborted");
    expect_ok(&talk, "ROLLBACK");
}
