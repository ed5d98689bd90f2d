/* Commands, each for itself. */
#include "conversation.h"

#include <cjson/cJSON.h>

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

TestSuite(session, .init = open_both, .fini = close_both);

Test(session, stores_and_returns_a_value)
{
    expect_ok(&alice, "PUT a 1");
    expect_value(&alice, "GET a", "1");
    expect_value(&bob, "get a", "1");
    expect_ok(&bob, "PUT a 2");
    expect_value(&alice, "GET a", "2");
}

Test(session, deletes_whether_or_not_the_key_is_there)
{
    expect_ok(&alice, "DEL a");
    expect_ok(&alice, "PUT a 1");
    expect_ok(&alice, "DEL a");
    expect_absent(&alice, "GET a");
}

Test(session, trims_a_line_and_keeps_inner_spaces)
{
    expect_ok(&alice, "PUT   a    3 * 3 = 9 ");
    expect_value(&alice, "\tGET a\t", "3 * 3 = 9");
}

Test(session, gives_no_reply_to_a_blank_line)
{
    expect_reply(&alice, "", "");
    expect_reply(&alice, " \t ", "");
    expect_reply(&alice, "\r", "");
    expect_reply(&alice, " \t\r", "");
}

Test(session, drops_one_carriage_return_at_the_end_of_a_line)
{
    expect_ok(&alice, "PUT a 1\r");
    expect_value(&alice, "GET a\r", "1");
    expect_ok(&alice, "PUT a 1\r\r");
    expect_value(&alice, "GET a", "1\\r");
}

Test(session, returns_text_that_is_not_ascii)
{
    expect_ok(&alice, "put s \xe8\xaf\xb4 \xf0\x9f\x98\x80");
    expect_value(&alice, "get s", "\\u8bf4 \\ud83d\\ude00");
}

Test(session, stores_anything_in_the_json_form)
{
    expect_ok(&alice, "PUT {\"key\": \"a key\", \"value\": \" two\\nlines \\u0000\"}");
    expect_value(&alice, "GET {\"key\": \"a key\"}", " two\\nlines \\u0000");
    expect_ok(&alice, "PUT {\"key\": \"e\", \"value\": \"\"}");
    expect_value(&alice, "GET e", "");
    expect_ok(&alice, "DEL {\"key\": \"a key\"}");
    expect_absent(&alice, "GET {\"key\": \"a key\"}");
}

Test(session, knows_whether_a_key_exists)
{
    expect_reply(&alice, "EXISTS a", "{\"status\": \"Ok\", \"result\": false}");
    expect_ok(&alice, "PUT a 1");
    expect_reply(&alice, "EXISTS a", "{\"status\": \"Ok\", \"result\": true}");
    expect_reply(&alice, "EXISTS {\"key\": \"a\"}", "{\"status\": \"Ok\", \"result\": true}");
}

Test(session, counts_keys)
{
    expect_reply(&alice, "COUNT", "{\"status\": \"Ok\", \"result\": 0}");
    expect_ok(&alice, "PUT user:1 x");
    expect_ok(&alice, "PUT user:2 x");
    expect_ok(&alice, "PUT {\"key\": \"the other\", \"value\": \"x\"}");
    expect_reply(&alice, "COUNT", "{\"status\": \"Ok\", \"result\": 3}");
    expect_reply(&alice, "COUNT user:", "{\"status\": \"Ok\", \"result\": 2}");
    expect_reply(&alice, "COUNT {\"prefix\": \"the o\"}", "{\"status\": \"Ok\", \"result\": 1}");
}

Test(session, scans_every_key_once)
{
    bool seen[250] = {false};
    char cursor[32] = "0";
    unsigned calls = 0;

    for (unsigned i = 0; i < 250; i++) {
        char line[64];

        (void)snprintf(line, sizeof line, "PUT key%u v", i);
        expect_ok(&alice, line);
    }
    do {
        char line[64];
        const cJSON *result;
        const cJSON *key;
        cJSON *reply;

        (void)snprintf(line, sizeof line, "SCAN %s key 7", cursor);
        reply = cJSON_Parse(say(&bob, line));
        result = cJSON_GetObjectItemCaseSensitive(reply, "result");
        cr_assert_not_null(result, "%s: %s", line, bob.reply);
        cJSON_ArrayForEach(key, cJSON_GetObjectItemCaseSensitive(result, "keys"))
        {
            unsigned number = (unsigned)strtoul(key->valuestring + 3, NULL, 10);

            cr_assert_not(seen[number], "%s twice", key->valuestring);
            seen[number] = true;
        }
        (void)snprintf(cursor, sizeof cursor, "%s",
                       cJSON_GetObjectItemCaseSensitive(result, "cursor")->valuestring);
        cJSON_Delete(reply);
        calls++;
    } while (strcmp(cursor, "0") != 0);

    for (unsigned i = 0; i < 250; i++)
        cr_assert(seen[i], "key%u", i);
    cr_assert_geq(calls, 250 / 7);
}

Test(session, scans_an_empty_store)
{
    expect_reply(&alice, "SCAN 0", "{\"status\": \"Ok\", \"result\": {\"cursor\": \"0\", \"keys\": []}}");
}

Test(session, answers_ping_and_help)
{
    cJSON *reply;

    expect_reply(&alice, "PING", "{\"status\": \"Ok\", \"result\": \"PONG\"}");
    reply = cJSON_Parse(say(&alice, "HELP"));
    cr_assert_eq(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(reply, "result")), VERB_TOTAL);
    cJSON_Delete(reply);
}

static void write_two_stats(void *context, struct json_writer *writer)
{
    json_object_begin(writer);
    json_name(writer, "version");
    json_string(writer, bytes_from_string(context));
    json_name(writer, "keys");
    json_number(writer, 3);
    json_object_end(writer);
}

Test(session, answers_stats_with_what_it_was_given)
{
    struct conversation carol;

    expect_reply(&alice, "STATS", "{\"status\": \"Ok\", \"result\": {}}");
    conversation_prepare(&carol, &house);
    carol.config.write_stats = write_two_stats;
    carol.config.stats_context = (void *)(uintptr_t)"1.0";
    session_init(&carol.session, &carol.config);
    expect_reply(&carol, "STATS", "{\"status\": \"Ok\", \"result\": {\"version\": \"1.0\", \"keys\": 3}}");
    conversation_close(&carol);
}

Test(session, ends_with_exit_and_drops_what_comes_behind)
{
    const char *reply = conversation_feed(&alice, bytes_from_string("PUT a 1\nEXIT\nPUT b 2\n"));

    cr_assert_str_eq(reply, OK "\n" OK "\n");
    cr_assert_eq(session_serve(&alice.session, SIZE_MAX), SESSION_CLOSING);
    expect_reply(&alice, "PUT b 2", "");
    expect_absent(&bob, "GET b");
    expect_value(&bob, "GET a", "1");
}

Test(session, rolls_everything_back_on_quit)
{
    expect_ok(&alice, "START");
    expect_ok(&alice, "PUT a 1");
    expect_begun(&alice, "BEGIN", "1");
    expect_ok(&alice, "PUT b 1 1");
    expect_ok(&alice, "quit");
    expect_reply(&bob, "COUNT", "{\"status\": \"Ok\", \"result\": 0}");
    cr_assert_eq(alice.store.open_count, 0);
}

Test(session, rolls_everything_back_when_the_connection_ends)
{
    struct conversation carol;

    conversation_open(&carol, &house);
    expect_ok(&carol, "START");
    expect_ok(&carol, "PUT a 1");
    expect_begun(&carol, "BEGIN", "1");
    expect_ok(&carol, "PUT b 1 1");
    conversation_close(&carol);

    expect_reply(&bob, "COUNT", "{\"status\": \"Ok\", \"result\": 0}");
}

Test(session, never_runs_a_line_without_end)
{
    expect_reply(&alice, "PING", "{\"status\": \"Ok\", \"result\": \"PONG\"}");
    cr_assert_str_eq(conversation_feed(&alice, bytes_from_string("PUT a 1")), "");
    expect_absent(&bob, "GET a");
}

/* --- browsers --- */

static void expect_browser_refused(const char *text)
{
    struct conversation carol;

    conversation_open(&carol, &house);
    (void)conversation_feed(&carol, bytes_from_string(text));
    carol.reply[strlen(carol.reply) - 1] = '\0';
    cr_assert(reply_has_code(carol.reply, "syntax"), "%s: %s", text, carol.reply);
    cr_assert(carol.session.is_closing);
    conversation_close(&carol);
    expect_reply(&bob, "COUNT", "{\"status\": \"Ok\", \"result\": 0}");
}

Test(session, refuses_a_browser)
{
    expect_browser_refused("GET / HTTP/1.1\r\nHost: localhost:9888\r\n\r\n");
    expect_browser_refused("POST / HTTP/1.0\r\nContent-Length: 9\r\n\r\nPUT a 1\r\n");
    expect_browser_refused("\r\n\nPOST / HTTP/1.1\nPUT a 1\n");
    expect_browser_refused("Host: localhost\nPUT a 1\n");
    expect_browser_refused("hOST:localhost\nPUT a 1\n");
}

Test(session, refuses_a_browser_that_comes_later_by_its_header)
{
    expect_reply(&alice, "PING", "{\"status\": \"Ok\", \"result\": \"PONG\"}");
    expect_ok(&alice, "PUT a speaks HTTP/1.1");
    expect_ok(&alice, "START");
    expect_error(&alice, "Host: x", "syntax");
    cr_assert(alice.session.is_closing);
    cr_assert_eq(alice.store.open_count, 0);
}

/* --- transactions --- */

Test(session, commits_a_transaction)
{
    expect_ok(&alice, "START");
    expect_ok(&alice, "PUT a 1");
    expect_ok(&alice, "PUT b 2");
    expect_value(&alice, "GET a", "1");
    expect_absent(&bob, "GET a");
    expect_ok(&alice, "COMMIT");
    expect_value(&bob, "GET b", "2");
}

Test(session, rolls_a_transaction_back)
{
    expect_ok(&alice, "PUT a 1");
    expect_ok(&alice, "START");
    expect_ok(&alice, "DEL a");
    expect_absent(&alice, "GET a");
    expect_ok(&alice, "ROLLBACK");
    expect_value(&alice, "GET a", "1");
}

Test(session, names_the_key_of_a_conflict)
{
    expect_ok(&alice, "START");
    expect_absent(&alice, "GET n");
    expect_ok(&alice, "PUT n 1");
    expect_ok(&bob, "PUT n 2");
    expect_reply(&alice, "COMMIT",
                 "{\"status\": \"Error\", \"mesg\": \"The key n has changed since it was read, nothing was committed: "
                 "try again\", \"code\": \"conflict\"}");
    expect_error(&alice, "COMMIT", "no_transaction");
    expect_value(&alice, "GET n", "2");
}

Test(session, names_the_longest_key_of_a_conflict)
{
    char line[1200] = "GET ";

    memset(line + 4, 1, 1024);
    expect_ok(&alice, "START");
    expect_absent(&alice, line);
    expect_ok(&alice, "PUT a 1");
    place(line, "PUT ");
    memcpy(line + 4 + 1024, " x", 3);
    expect_ok(&bob, line);
    expect_error(&alice, "COMMIT", "conflict");
}

Test(session, tells_of_a_conflict_of_a_scan)
{
    expect_ok(&alice, "START");
    expect_reply(&alice, "COUNT", "{\"status\": \"Ok\", \"result\": 0}");
    expect_ok(&alice, "PUT a 1");
    expect_ok(&bob, "PUT b 1");
    expect_error(&alice, "COMMIT", "conflict");
    expect_absent(&alice, "GET a");
}

Test(session, reads_at_the_isolation_level_asked_for)
{
    expect_ok(&alice, "PUT a 1");
    expect_ok(&alice, "START read committed");
    expect_begun(&alice, "BEGIN SERIALIZABLE", "1");
    expect_ok(&bob, "PUT a 2");
    expect_value(&alice, "GET a", "2");
    expect_value(&alice, "GET a 1", "1");
    expect_ok(&alice, "COMMIT");
    expect_ok(&alice, "COMMIT 1");
}

Test(session, starts_at_the_servers_isolation_level)
{
    struct conversation carol;

    conversation_prepare(&carol, &house);
    carol.config.isolation = ISOLATION_READ_COMMITTED;
    session_init(&carol.session, &carol.config);
    expect_ok(&carol, "PUT a 1");
    expect_ok(&carol, "START");
    expect_begun(&carol, "BEGIN", "1");
    expect_ok(&bob, "PUT a 2");
    expect_value(&carol, "GET a", "2");
    expect_value(&carol, "GET a 1", "2");
    conversation_close(&carol);
}

/* --- ids --- */

Test(session, gives_ids_that_count_up_for_the_whole_server)
{
    expect_begun(&alice, "BEGIN", "1");
    expect_begun(&bob, "BEGIN", "2");
    expect_begun(&alice, "BEGIN", "3");
    expect_ok(&alice, "ROLLBACK 1");
    expect_begun(&alice, "BEGIN", "4");
    expect_ok(&alice, "START");
    expect_begun(&bob, "BEGIN", "5");
}

Test(session, runs_a_command_in_the_transaction_that_it_names)
{
    expect_begun(&alice, "BEGIN", "1");
    expect_ok(&alice, "PUT key1 value1 1");
    expect_value(&alice, "GET key1 1", "value1");
    expect_absent(&alice, "GET key1");
    expect_reply(&alice, "EXISTS key1 1", "{\"status\": \"Ok\", \"result\": true}");
    expect_reply(&alice, "COUNT 1", "{\"status\": \"Ok\", \"result\": 1}");
    expect_reply(&alice, "SCAN 0 1", "{\"status\": \"Ok\", \"result\": {\"cursor\": \"0\", \"keys\": [\"key1\"]}}");
    expect_ok(&alice, "PUT {\"key\": \"k\", \"value\": \"v\"} 1");
    expect_ok(&alice, "DEL key1 1");
    expect_ok(&alice, "COMMIT 1");
    expect_value(&bob, "GET k", "v");
    expect_absent(&bob, "GET key1");
}

Test(session, leaves_values_alone_where_no_command_would_remain)
{
    expect_begun(&alice, "BEGIN", "1");
    expect_ok(&alice, "PUT n 1");
    expect_value(&bob, "GET n", "1");
    expect_ok(&bob, "PUT 1 one");
    expect_value(&alice, "GET 1", "one");
    expect_absent(&alice, "GET 1 1");
}

Test(session, leaves_the_values_of_a_connection_without_begin_alone)
{
    expect_begun(&alice, "BEGIN", "1");
    expect_ok(&bob, "PUT n some words 1");
    expect_value(&bob, "GET n", "some words 1");
    expect_ok(&bob, "START");
    expect_ok(&bob, "PUT n some words 1");
    expect_value(&bob, "GET n", "some words 1");
    expect_error(&bob, "GET n 1", "syntax");
}

Test(session, takes_numbers_that_it_never_gave_for_data)
{
    expect_begun(&alice, "BEGIN", "1");
    expect_begun(&bob, "BEGIN", "2");
    expect_ok(&alice, "PUT n words 2");
    expect_ok(&alice, "PUT m words 01");
    expect_value(&alice, "GET n", "words 2");
    expect_value(&alice, "GET m", "words 01");
    expect_error(&alice, "COMMIT 2", "unknown_transaction");
    expect_error(&alice, "ROLLBACK 2", "unknown_transaction");
    expect_error(&alice, "ROLLBACK 0", "unknown_transaction");
    expect_error(&alice, "GET n 2", "syntax");
    expect_error(&alice, "PUT {\"key\": \"k\", \"value\": \"v\"} 2", "syntax");
    expect_ok(&bob, "COMMIT 2");
}

Test(session, runs_nothing_in_a_transaction_that_has_ended)
{
    expect_begun(&alice, "BEGIN", "1");
    expect_ok(&alice, "COMMIT 1");
    expect_error(&alice, "PUT n words 1", "unknown_transaction");
    expect_error(&alice, "DEL n 1", "unknown_transaction");
    expect_error(&alice, "COMMIT 1", "unknown_transaction");
    expect_error(&alice, "PING 1", "unknown_transaction");
    expect_absent(&alice, "GET n");
    expect_ok(&alice, "PUT n 1");
}

Test(session, lets_start_and_begin_coexist)
{
    expect_ok(&alice, "START");
    expect_begun(&alice, "BEGIN", "1");
    expect_begun(&alice, "BEGIN", "2");
    expect_ok(&alice, "PUT s start");
    expect_ok(&alice, "PUT o one 1");
    expect_ok(&alice, "PUT t two 2");
    expect_ok(&alice, "ROLLBACK 1");
    expect_ok(&alice, "COMMIT");
    expect_ok(&alice, "COMMIT 2");
    expect_value(&bob, "GET s", "start");
    expect_absent(&bob, "GET o");
    expect_value(&bob, "GET t", "two");
}

Test(session, opens_no_second_transaction_of_start)
{
    expect_ok(&alice, "START");
    expect_ok(&alice, "PUT a 1");
    expect_error(&alice, "START", "transaction_open");
    expect_ok(&alice, "COMMIT");
    expect_value(&bob, "GET a", "1");
}

Test(session, answers_alone_standing_commands_behind_an_id)
{
    expect_begun(&alice, "BEGIN", "1");
    expect_reply(&alice, "PING 1", "{\"status\": \"Ok\", \"result\": \"PONG\"}");
    expect_reply(&alice, "STATS 1", "{\"status\": \"Ok\", \"result\": {}}");
    expect_ok(&alice, "EXIT 1");
    cr_assert(alice.session.is_closing);
}

/* --- counters --- */

static uint64_t count_of(const session_counter *counter)
{
    return atomic_load(counter);
}

/* Says the line; which of the store's transactions that kept from being idle, 0: none. */
static store_transaction touched_by(const char *line)
{
    alice.store.touched = 0;
    (void)say(&alice, line);
    return alice.store.touched;
}

Test(session, a_transaction_is_not_idle_while_anything_is_said_in_it)
{
    static const char *const lines[] = {"PING", "HELP", "STATS", "START", "BEGIN"};

    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(touched_by(lines[i]), 0, "%s belongs to none", lines[i]);
    expect_begun(&alice, "BEGIN", "1");
    expect_begun(&alice, "BEGIN", "2");
    expect_ok(&alice, "START");
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++)
        cr_assert_eq(touched_by(lines[i]), alice.session.transactions.started.number, "%s", lines[i]);
    cr_assert_eq(touched_by("PING 2"), session_transactions_find(&alice.session.transactions, 2)->number);
    cr_assert_eq(touched_by("STATS 2"), session_transactions_find(&alice.session.transactions, 2)->number);
    expect_error(&alice, "nonsense", "unknown_command");
    cr_assert_eq(touched_by("PING"), 0, "it is aborted");
    cr_assert_neq(touched_by("PING 2"), 0);
}

Test(session, counts_commands_and_errors)
{
    (void)conversation_feed(
        &alice, bytes_from_string("PUT a 1\nput a 2\nPUT a\nGET a\nGET b\nNONSENSE\n\nPUT b \xff\n"));

    cr_assert_eq(count_of(&alice.counters.commands[VERB_PUT]), 4);
    cr_assert_eq(count_of(&alice.counters.commands[VERB_GET]), 2);
    cr_assert_eq(count_of(&alice.counters.errors[STATUS_SYNTAX]), 1);
    cr_assert_eq(count_of(&alice.counters.errors[STATUS_NOT_FOUND]), 1);
    cr_assert_eq(count_of(&alice.counters.errors[STATUS_UNKNOWN_COMMAND]), 1);
    cr_assert_eq(count_of(&alice.counters.errors[STATUS_INVALID_UTF8]), 1);
    cr_assert_eq(count_of(&alice.counters.errors[STATUS_OK]), 0);
}

Test(session, counts_how_transactions_end)
{
    struct session_counters sum;

    memset(&sum, 0, sizeof sum);
    (void)conversation_feed(
        &alice, bytes_from_string("START\nPUT a 1\nCOMMIT\nSTART\nROLLBACK\nSTART\nNONSENSE\nCOMMIT\n"
                                  "START\nGET a\nPUT a 2\nBEGIN\nBEGIN\n"));
    expect_ok(&bob, "PUT a 3");
    expect_error(&alice, "COMMIT", "conflict");
    store_will_fail(&alice, OPERATION_GET, STATUS_TIMEOUT);
    expect_error(&alice, "GET a 1", "timeout");
    expect_ok(&alice, "ROLLBACK 1");
    session_counters_sum(&sum, &alice.counters);
    session_counters_sum(&sum, &bob.counters);

    cr_assert_eq(count_of(&sum.transactions_started), 6);
    cr_assert_eq(count_of(&sum.transactions_committed), 1);
    cr_assert_eq(count_of(&sum.transactions_rolled_back), 2);
    cr_assert_eq(count_of(&sum.transactions_conflicts), 1);
    cr_assert_eq(count_of(&sum.transactions_timed_out), 1);
    cr_assert_eq(count_of(&sum.transactions_open), 1);
    cr_assert_eq(count_of(&sum.commands[VERB_PUT]), 3);
}

Test(session, adds_up_every_counter_once)
{
    struct session_counters counters;
    struct session_counters sum;
    session_counter *parts = (session_counter *)&counters;
    const session_counter *sums = (const session_counter *)&sum;
    size_t count = sizeof(sum) / sizeof(sums[0]);

    memset(&sum, 0, sizeof(sum));
    for (size_t i = 0; i < count; i++)
        atomic_init(&parts[i], i + 1);
    session_counters_sum(&sum, &counters);
    session_counters_sum(&sum, &counters);

    for (size_t i = 0; i < count; i++)
        cr_assert_eq(count_of(&sums[i]), 2 * (i + 1), "the %zuth", i);
}
