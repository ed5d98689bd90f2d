/* How often a shard, or a commit that was left half published, has cost a process its life. After RECOVERY_DEATHS_MAX times
 * recovery gives it up (recovery.c).
 *
 * A repair does not reset a shard's count: a shard whose data kills everybody who uses it can be repaired each time, and
 * would go on for ever. It is forgotten when the shard has served for long without a death, and by a clean shutdown. */
#include "deaths.h"

#include <signal.h>
#include <unistd.h>

#include "transaction/engine.h"

/* What this process is repairing now; NULL: nothing. */
static _Atomic uint32_t *volatile blamed;
static struct engine *volatile crash_engine; /* NULL: crashes are not counted */

void deaths_blame(_Atomic uint32_t *deaths)
{
    blamed = deaths;
}

void shard_count_death(struct engine *engine, unsigned shard)
{
    atomic_fetch_add(&table_shard(&engine->table, shard)->deaths, 1);
}

uint64_t shards_held_by(const struct engine *engine, pid_t pid)
{
    uint64_t held = 0;

    /* Nobody has the pid 0, which a lock that is free would name. */
    for (unsigned shard = 0; pid > 0 && shard < engine->table.shard_count; shard++)
        if (robust_mutex_is_held_by(&table_shard(&engine->table, shard)->mutex, pid))
            held |= (uint64_t)1 << shard;
    return held;
}

/* A signal that another process sent says nothing against what this one was doing. */
static bool is_own_fault(const siginfo_t *info)
{
    return info->si_code > 0 || info->si_pid == getpid(); /* of the kernel, or abort() */
}

static void crash_count(int signal_number, siginfo_t *info, void *context)
{
    _Atomic uint32_t *deaths = blamed;
    struct engine *engine = crash_engine;

    (void)context;
    if (is_own_fault(info) && deaths != NULL)
        atomic_fetch_add(deaths, 1);
    else if (is_own_fault(info))
        for (uint64_t held = shards_held_by(engine, getpid()); held != 0; held &= held - 1)
            shard_count_death(engine, (unsigned)__builtin_ctzll(held));
    (void)raise(signal_number); /* SA_RESETHAND: does the default when this handler returns */
}

void recovery_count_deaths(struct engine *engine)
{
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

    crash_engine = engine;
    for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++) {
        struct sigaction action = {.sa_sigaction = crash_count, .sa_flags = (int)(SA_RESETHAND | SA_SIGINFO)};
        int result;

        (void)sigemptyset(&action.sa_mask);
        result = sigaction(deadly[i], &action, NULL);
        INVARIANT(result == 0);
    }
}

/* --- forgetting --- */

static void watch_again(struct shard_watch *watch, const struct shard *shard, uint32_t deaths, uint64_t now_ms)
{
    *watch = (struct shard_watch){
        .deaths = deaths,
        .since_ms = now_ms,
        .changes = atomic_load(&shard->changes),
    };
}

/* The watcher's own visits, one a round at most, are no service. */
static bool has_served_long(const struct shard_watch *watch, const struct shard *shard, uint64_t now_ms)
{
    return now_ms - watch->since_ms >= DEATHS_FORGOTTEN_MS &&
           atomic_load(&shard->changes) - watch->changes >= watch->rounds + DEATHS_FORGOTTEN_LOCKS;
}

void deaths_forget(struct engine *engine, struct deaths_watch *watch, uint64_t now_ms)
{
    for (unsigned number = 0; number < engine->table.shard_count; number++) {
        struct shard *shard = table_shard(&engine->table, number);
        struct shard_watch *seen = &watch->shards[number];
        uint32_t deaths = atomic_load(&shard->deaths);

        if (deaths != seen->deaths)
            watch_again(seen, shard, deaths, now_ms);
        else if (deaths != 0 && has_served_long(seen, shard, now_ms))
            /* Fails if another death was counted just now. */
            (void)atomic_compare_exchange_strong(&shard->deaths, &deaths, 0);
        seen->rounds++;
    }
}
