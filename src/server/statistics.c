/* What all workers counted, and the object that STATS answers. */
#include "server/statistics.h"

#include <string.h>
#include <unistd.h>

#include "names_watch.h"
#include "platform/clock.h"
#include "protocol/command.h"
#include "store/shared_store.h"

static void write_workers(const struct scoreboard_sums *sums, struct json_writer *writer);
static void write_memory(const struct shared_store_statistics *store, struct json_writer *writer);
static void write_transactions(const struct session_counters *sum, struct json_writer *writer);
static void write_commands(const struct session_counters *sum, struct json_writer *writer);
static void write_errors(const struct session_counters *sum, struct json_writer *writer);
static void write_table(const struct shared_store_statistics *store, struct json_writer *writer);

static void sum_counts(const struct scoreboard *scoreboard, struct session_counters *sum)
{
    memset(sum, 0, sizeof *sum);
    for (unsigned number = 0; number < scoreboard->worker_max; number++)
        session_counters_sum(sum, &scoreboard->counts[number].session);
}

static uint64_t get(const session_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void write_number(struct json_writer *writer, const char *name, uint64_t number)
{
    json_name(writer, name);
    json_number(writer, number);
}

static void write_text(struct json_writer *writer, const char *name, const char *text)
{
    json_name(writer, name);
    json_string(writer, bytes_from_string(text));
}

void statistics_write(void *context, struct json_writer *writer)
{
    const struct inheritance *inheritance = context;
    struct scoreboard_sums sums;
    struct session_counters counters;
    struct shared_store_statistics store;

    scoreboard_sum(&inheritance->scoreboard, &sums);
    sum_counts(&inheritance->scoreboard, &counters);
    shared_store_statistics(inheritance->store, &store);

    json_object_begin(writer);
    write_text(writer, "version", SERVER_VERSION);
    write_number(writer, "uptime_s", (clock_monotonic_ms() - inheritance->started_ms) / 1000);
    write_number(writer, "pid", (uint64_t)inheritance->master);
    write_number(writer, "worker_pid", (uint64_t)getpid());
    json_name(writer, "segment");
    json_string_begin(writer);
    json_string_piece(writer, bytes_from_string("hauskv-"));
    json_string_piece(writer, bytes_from_string(inheritance->config->name));
    json_string_end(writer);
    write_text(writer, "segment_file", names_text(&inheritance->scoreboard));
    write_workers(&sums, writer);
    write_number(writer, "keys", store.keys);
    write_memory(&store, writer);
    write_transactions(&counters, writer);
    write_commands(&counters, writer);
    write_errors(&counters, writer);
    write_table(&store, writer);
    json_object_end(writer);
}

static void write_workers(const struct scoreboard_sums *sums, struct json_writer *writer)
{
    json_name(writer, "workers");
    json_object_begin(writer);
    write_number(writer, "busy", sums->workers > sums->spare ? sums->workers - sums->spare : 0);
    write_number(writer, "spare", sums->spare);
    json_object_end(writer);
    json_name(writer, "connections");
    json_object_begin(writer);
    write_number(writer, "open", sums->open);
    write_number(writer, "accepted", sums->accepted);
    write_number(writer, "refused", sums->refused);
    json_object_end(writer);
}

static void write_memory(const struct shared_store_statistics *store, struct json_writer *writer)
{
    json_name(writer, "memory");
    json_object_begin(writer);
    write_number(writer, "limit_bytes", store->limit_bytes);
    write_number(writer, "used_bytes", store->used_bytes);
    write_number(writer, "peak_bytes", store->peak_bytes);
    write_text(writer, "huge_pages", store->huge_pages);
    json_object_end(writer);
}

static void write_transactions(const struct session_counters *sum, struct json_writer *writer)
{
    json_name(writer, "transactions");
    json_object_begin(writer);
    write_number(writer, "open", get(&sum->transactions_open));
    write_number(writer, "started", get(&sum->transactions_started));
    write_number(writer, "committed", get(&sum->transactions_committed));
    write_number(writer, "rolled_back", get(&sum->transactions_rolled_back));
    write_number(writer, "conflicts", get(&sum->transactions_conflicts));
    write_number(writer, "timed_out", get(&sum->transactions_timed_out));
    json_object_end(writer);
}

static void write_commands(const struct session_counters *sum, struct json_writer *writer)
{
    json_name(writer, "commands");
    json_object_begin(writer);
    for (unsigned verb = 0; verb < VERB_TOTAL; verb++)
        write_number(writer, command_of((enum verb)verb)->verb, get(&sum->commands[verb]));
    json_object_end(writer);
}

static void write_errors(const struct session_counters *sum, struct json_writer *writer)
{
    json_name(writer, "errors");
    json_object_begin(writer);
    for (unsigned status = STATUS_OK + 1; status < STATUS_COUNT; status++) {
        if (status == STATUS_LOCK_TIMEOUT)
            continue; /* the same code */
        write_number(writer, status_code((enum status)status),
                     get(&sum->errors[status]) +
                         (status == STATUS_TIMEOUT ? get(&sum->errors[STATUS_LOCK_TIMEOUT]) : 0));
    }
    json_object_end(writer);
}

static void write_table(const struct shared_store_statistics *store, struct json_writer *writer)
{
    json_name(writer, "table");
    json_object_begin(writer);
    write_number(writer, "shards", store->shards);
    json_name(writer, "set_aside");
    json_array_begin(writer);
    for (uint64_t left = store->shards_set_aside; left != 0; left &= left - 1)
        json_number(writer, (uint64_t)__builtin_ctzll(left));
    json_array_end(writer);
    json_name(writer, "load_factor");
    json_hundredths(writer, (uint64_t)(store->load_factor * 100 + 0.5));
    json_object_end(writer);
}
