/* Workloads, the processes that run them, and the end. */

/* What a workload's client sends, a line at a time: verb, transaction, key or shard, value. */
mtype = { O_END, O_SKIP, O_BEGIN, O_GET, O_SCAN, O_PUT, O_PUT_NEXT, O_DEL, O_COMMIT, O_ROLLBACK, O_PAIR,
          O_SINGLE_GET, O_SINGLE_PUT, O_SINGLE_DEL, O_BEGIN_UNPINNED };

#define LINE(n_, o_, i_, k_, a_) :: pc == n_ -> op = o_; x = i_; key = k_; argument = a_

#define INCREMENT 0    /* both keys, in one transaction */
#define READER 1       /* both keys, which INCREMENT keeps equal */
#define READER_0 2     /* key 0, again and again */
#define READER_ANY 21  /* both keys, and the first again */
#define LIFE 3         /* key 0: DEL and PUT in turn */
#define MIXED 4        /* DEL of key 0, which is gone already, beside a PUT */
#define SUBSETS 5      /* commits of one slot that write different shards */
#define SKEW_0 6       /* reads 1, writes 0 */
#define SKEW_1 7       /* reads 0, writes 1 */
#define SCANNER_0 8    /* scans shard 0, writes 1 */
#define SCANNER_1 9    /* scans shard 1, writes 0 */
#define DELETER 10
#define TWICE 11       /* begins, reads and ends, twice: the places are used again */
#define TWO 12         /* two open transactions on one slot */
#define BOTH 13        /* PUT of both keys */
#define DELETE_AND_PUT 14 /* DEL of key 0 and PUT of key 1, at once */
#define UPDATE 15      /* raises key 0 */
#define SINGLES 16
#define CHURN 17       /* PUT, PUT of key 0 */
#define PUT_0 18
#define PUT_1 19
#define UNDONE 20      /* writes and rolls back */
#define BOTH_UNPINNED 22 /* BOTH and DELETE_AND_PUT as READ COMMITTED and LOCKING: nothing is pinned between two commands, */
#define DELETE_UNPINNED 23 /* nor by COMMIT */

inline script_next() {
    d_step {
        op = O_END;
        if
        :: role == INCREMENT ->
            if
            LINE(0, O_BEGIN, 0, 0, 0)
            LINE(1, O_GET, 0, 0, 0)
            LINE(2, O_GET, 0, 1, 0)
            LINE(3, O_PAIR, 0, 0, 0)
            LINE(4, O_PUT_NEXT, 0, 0, 0)
            LINE(5, O_PUT_NEXT, 0, 1, 0)
            LINE(6, O_COMMIT, 0, 0, 0)
            :: else
            fi
        :: role == READER ->
            if
            LINE(0, O_BEGIN, 0, 0, 0)
            LINE(1, O_GET, 0, 0, 0)
            LINE(2, O_GET, 0, 1, 0)
            LINE(3, O_PAIR, 0, 0, 0)
            LINE(4, O_COMMIT, 0, 0, 0)
            :: else
            fi
        :: role == READER_ANY ->
            if
            LINE(0, O_BEGIN, 0, 0, 0)
            LINE(1, O_GET, 0, 0, 0)
            LINE(2, O_GET, 0, 1, 0)
            LINE(3, O_GET, 0, 0, 0)
            LINE(4, O_COMMIT, 0, 0, 0)
            :: else
            fi
        :: role == READER_0 ->
            if
            LINE(0, O_BEGIN, 0, 0, 0)
            LINE(1, O_GET, 0, 0, 0)
            LINE(2, O_GET, 0, 0, 0)
            LINE(3, O_COMMIT, 0, 0, 0)
            :: else
            fi
        :: role == LIFE ->
            if
            LINE(0, O_SINGLE_DEL, SINGLE, 0, 0)
            LINE(1, O_SINGLE_PUT, SINGLE, 0, 20)
            LINE(2, O_SINGLE_PUT, SINGLE, 1, 21)
            LINE(3, O_SINGLE_PUT, SINGLE, 0, 22)
            :: else
            fi
        :: role == MIXED ->
            if
            LINE(0, O_SINGLE_DEL, SINGLE, 0, 0)
            LINE(1, O_BEGIN, 0, 0, 0)
            LINE(2, O_DEL, 0, 0, 0)
            LINE(3, O_PUT, 0, 1, 30)
            LINE(4, O_COMMIT, 0, 0, 0)
            :: else
            fi
        :: role == SUBSETS ->
            if
            LINE(0, O_BEGIN, 0, 0, 0)
            LINE(1, O_PUT, 0, 0, 40)
            LINE(2, O_PUT, 0, 1, 40)
            LINE(3, O_COMMIT, 0, 0, 0)
            LINE(4, O_SINGLE_PUT, SINGLE, 1, 41)
            LINE(5, O_SINGLE_DEL, SINGLE, 0, 0)
            :: else
            fi
        :: role == SKEW_0 || role == SKEW_1 ->
            if
            LINE(0, O_BEGIN, 0, 0, 0)
            LINE(1, O_GET, 0, (role == SKEW_0), 0)
            LINE(2, O_PUT, 0, (role == SKEW_1), 50 + role)
            LINE(3, O_COMMIT, 0, 0, 0)
            :: else
            fi
        :: role == SCANNER_0 || role == SCANNER_1 ->
            if
            LINE(0, O_BEGIN, 0, 0, 0)
            LINE(1, O_SCAN, 0, (role == SCANNER_1), 0)
            LINE(2, O_PUT, 0, (role == SCANNER_0), 60 + role)
            LINE(3, O_COMMIT, 0, 0, 0)
            :: else
            fi
        :: role == DELETER ->
            if
            LINE(0, O_SINGLE_DEL, SINGLE, 0, 0)
            :: else
            fi
        :: role == TWICE ->
            if
            LINE(0, O_BEGIN, 0, 0, 0)
            LINE(1, O_GET, 0, 0, 0)
            LINE(2, O_COMMIT, 0, 0, 0)
            LINE(3, O_BEGIN, 0, 0, 0)
            LINE(4, O_GET, 0, 0, 0)
            LINE(5, O_COMMIT, 0, 0, 0)
            :: else
            fi
#if TRANSACTIONS > 1
        :: role == TWO ->
            if
            LINE(0, O_BEGIN, 0, 0, 0)
            LINE(1, O_BEGIN, 1, 0, 0)
            LINE(2, O_GET, 0, 0, 0)
            LINE(3, O_GET, 1, 0, 0)
            LINE(4, O_PUT_NEXT, 1, 0, 0)
            LINE(5, O_COMMIT, 1, 0, 0)
            LINE(6, O_GET, 0, 0, 0)
            LINE(7, O_PUT, 0, 1, 71)
            LINE(8, O_COMMIT, 0, 0, 0)
            :: else
            fi
#endif
        :: role == BOTH ->
            if
            LINE(0, O_BEGIN, 0, 0, 0)
            LINE(1, O_PUT, 0, 0, 80)
            LINE(2, O_PUT, 0, 1, 80)
            LINE(3, O_COMMIT, 0, 0, 0)
            :: else
            fi
        :: role == BOTH_UNPINNED ->
            if
            LINE(0, O_BEGIN_UNPINNED, 0, 0, 0)
            LINE(1, O_PUT, 0, 0, 80)
            LINE(2, O_PUT, 0, 1, 80)
            LINE(3, O_COMMIT, 0, 0, 0)
            :: else
            fi
        :: role == DELETE_UNPINNED ->
            if
            LINE(0, O_BEGIN_UNPINNED, 0, 0, 0)
            LINE(1, O_DEL, 0, 0, 0)
            LINE(2, O_PUT, 0, 1, 81)
            LINE(3, O_COMMIT, 0, 0, 0)
            :: else
            fi
        :: role == DELETE_AND_PUT ->
            if
            LINE(0, O_BEGIN, 0, 0, 0)
            LINE(1, O_DEL, 0, 0, 0)
            LINE(2, O_PUT, 0, 1, 81)
            LINE(3, O_COMMIT, 0, 0, 0)
            LINE(4, O_SINGLE_GET, SINGLE, 0, 0)
            :: else
            fi
        :: role == UPDATE ->
            if
            LINE(0, O_BEGIN, 0, 0, 0)
            LINE(1, O_GET, 0, 0, 0)
            LINE(2, O_PUT_NEXT, 0, 0, 0)
            LINE(3, O_COMMIT, 0, 0, 0)
            :: else
            fi
        :: role == SINGLES ->
            if
            LINE(0, O_SINGLE_GET, SINGLE, 0, 0)
            LINE(1, O_SINGLE_GET, SINGLE, 1, 0)
            :: else
            fi
        :: role == CHURN ->
            if
            LINE(0, O_SINGLE_PUT, SINGLE, 0, 90)
            LINE(1, O_SINGLE_PUT, SINGLE, 0, 91)
            :: else
            fi
        :: role == PUT_0 || role == PUT_1 ->
            if
            LINE(0, O_SINGLE_PUT, SINGLE, (role == PUT_1), 95)
            :: else
            fi
        :: role == UNDONE ->
            if
            LINE(0, O_BEGIN, 0, 0, 0)
            LINE(1, O_GET, 0, 0, 0)
            LINE(2, O_PUT, 0, 0, 97)
            LINE(3, O_ROLLBACK, 0, 0, 0)
            LINE(4, O_SINGLE_GET, SINGLE, 0, 0)
            :: else
            fi
        fi;
        pc++;
        if
        :: op != O_END && op != O_BEGIN && op != O_BEGIN_UNPINNED && x != SINGLE && (open & bit_of(x)) == 0 -> op = O_SKIP
        :: else
        fi
    }
}

/* --- processes --- */

#if defined(RESTART) && DEATHS
#define SHALL_DIE victim == me + 1 || is_restarting
#elif defined(RESTART)
#define SHALL_DIE is_restarting
#else
#define SHALL_DIE victim == me + 1
#endif

/* A verb within an open transaction, or a single command that writes. */
inline verb_run() {
    d_step {
        if
        :: op == O_SINGLE_PUT -> write[SINGLE * KEYS + key] = argument; ok = 1
        :: op == O_SINGLE_DEL -> write[SINGLE * KEYS + key] = DELETED; ok = 1
        :: else -> transaction_enter(place_of(me, x))
        fi
    };
    if
    :: !ok || op == O_ROLLBACK -> ok = 0; transaction_end(x) /* the client is told `timeout`, or asked for it */
    :: ok && (op == O_COMMIT || x == SINGLE) -> ok = 0; transaction_commit(x)
    :: ok && op != O_COMMIT && op != O_ROLLBACK && x != SINGLE ->
        ok = 0;
        if
        :: op == O_GET -> transaction_get(x, key)
        :: op == O_SCAN -> transaction_scan(x, key)
        :: op == O_PAIR -> PROPERTY(no_half_commit, seen[x * KEYS] == seen[x * KEYS + 1])
        :: op == O_PUT -> write[x * KEYS + key] = argument
        :: op == O_PUT_NEXT -> write[x * KEYS + key] = seen[x * KEYS + key] + 1
        :: op == O_DEL -> write[x * KEYS + key] = DELETED
        fi;
        transaction_leave(place_of(me, x))
    fi
}

proctype worker(byte me; byte role) {
    LOCALS;
    LOCALS_OF_TRANSACTIONS;
    LOCALS_OF_RECOVERY;
    LOCALS_OF_FLAWS;
    byte pc, x, key, argument;
    mtype op;

incarnation:
    {
#if DEATHS
        if
#ifndef FLAW_SLOT_REUSED
#ifdef SET_ASIDE
        :: pc > 0 -> { slot_drain() } unless { unavailable -> slot_abandon() }
#else
        :: pc > 0 -> slot_drain()
#endif
#endif
        :: else
        fi;
#endif
        do
        :: script_next();
            if
            :: op == O_END -> break
            :: op == O_SKIP
            :: op == O_BEGIN -> transaction_begin(x)
            :: op == O_BEGIN_UNPINNED -> transaction_begin(x); pin_store(place_of(me, x), INFINITE)
#ifdef SET_ASIDE
            :: op == O_SINGLE_GET -> { single_get(key) } unless { unavailable -> command_refuse() }
            :: else -> { verb_run() } unless { unavailable -> command_refuse() }
#else
            :: op == O_SINGLE_GET -> single_get(key)
            :: else -> verb_run()
#endif
            fi
        od;
        finished = finished | bit_of(me)
    }
#if RECOVERS
    unless { SHALL_DIE }
#endif
#if DEATHS
    ;
    if
    :: victim == me + 1 ->
        d_step {
            victim = 0;
            s = 0; k = 0; v = 0; o = 0; t = 0; h = 0; w = 0; needed = 0; ts = 0; value = 0; ok = 0; was_absent = 0;
            r = 0; x = 0; key = 0; argument = 0; op = 0;
#ifdef SET_ASIDE
            unavailable = 0;
#endif
            do
            :: k < ENTRIES -> transaction_forget(k); k++
            :: else -> break
            od;
            k = 0
        };
        goto incarnation /* the heir of the slot: a new process, or the housekeeper */
    :: else
    fi
#endif
}

#if DEATHS
/* The kernel gives the locks of the dead away at once: that it does so one by one is no more than somebody taking them
 * one by one. */
inline die(slot_) {
    d_step {
        deaths < DEATHS && victim == 0 && !(finished & bit_of(slot_)) ->
        victim = (slot_) + 1;
        deaths++;
        at = 0;
        do
        :: at < SHARDS ->
            if
            :: shard_holder[at] == (slot_) + 1 -> shard_inherited[at] = 1; shard_holder[at] = 0
            :: else
            fi;
            at++
        :: else -> break
        od
    }
}
proctype killer() {
end:
    do
    :: die(0)
#if SLOTS > 1
    :: die(1)
#endif
#if SLOTS > 2
    :: die(2)
#endif
    od
}
#endif

#ifdef HORIZON
proctype housekeeper() {
    LOCALS;
    LOCALS_OF_RECOVERY;
    LOCALS_OF_FLAWS;
    byte me = SLOTS; /* no slot */
    byte rounds;

    do
    :: rounds < HORIZON ->
        rounds++;
        horizon_advance();
        do
        :: s < SHARDS -> shard_clean(s); s++
        :: else -> break
        od;
        s = 0
    :: else -> break
    od;
    finished = finished | bit_of(SLOTS)
}
#endif

#ifdef EXPIRY
/* Looks at the state word, then swaps it. Time is left out: whoever is idle may have been so for too long. */
inline transaction_expire() {
    d_step {
        if
#if defined(FLAW_EXPIRY_BY_STORE)
        :: true ->
#elif defined(FLAW_NO_SEQUENCE)
        :: state[place] == word ->
#else
        :: state[place] == word && sequence[place] == number ->
#endif
            PROPERTY(expires_only_the_idle, state[place] == IDLE && sequence[place] == number);
            state[place] = EXPIRED;
            expiries++
        :: else -> word = FREE
        fi
    };
#ifdef FLAW_ONE_PIN
    if
    :: word != FREE ->
        old = slot_pin[place / ENTRIES];
        d_step { slot_pin_smallest(place / ENTRIES); smallest = lowest };
#ifdef FLAW_ONE_PIN_BY_CAS
        d_step {
            if
            :: slot_pin[place / ENTRIES] == old -> slot_pin[place / ENTRIES] = smallest
            :: else
            fi
        };
#else
        slot_pin[place / ENTRIES] = smallest;
#endif
        old = 0;
        smallest = 0
    :: else
    fi;
#endif
    word = 0;
    number = 0;
    place = 0
}

#ifdef FLAW_EXPIRES_THE_RUNNING
#define may_expire(place_) (state[place_] == IDLE || state[place_] == RUNNING)
#else
#define may_expire(place_) (state[place_] == IDLE)
#endif
#define MAY_EXPIRE(place_) \
    :: d_step { \
        expiries < EXPIRY && may_expire(place_) -> \
        place = place_; word = state[place]; number = sequence[place] \
    }

/* A snapshot that somebody waits for is too old, and its owner is inside a command: only the owner may end that. Which
 * snapshot is too old is a matter of time, so it may be any. */
#ifdef AGE
#define MAY_AGE(place_) \
    :: d_step { \
        ages < AGE && state[place_] == RUNNING && pin[place_] != EVERYTHING && pin[place_] != INFINITE && \
            snapshots_ended_before <= pin[place_] -> \
        snapshots_ended_before = pin[place_] + 1; ages++ \
    }
#else
#define MAY_AGE(place_)
#endif

proctype expirer() {
    byte place, word, number;
#ifdef FLAW_ONE_PIN
    byte old, smallest;
#endif

end:
    if
    MAY_EXPIRE(place_of(0, 0))
    MAY_AGE(place_of(0, 0))
#if TRANSACTIONS > 1
    MAY_EXPIRE(place_of(0, 1))
    MAY_AGE(place_of(0, 1))
#endif
#if SLOTS > 1
    MAY_EXPIRE(place_of(1, 0))
    MAY_AGE(place_of(1, 0))
#endif
    fi;
#ifdef AGE
    if
    :: word == FREE -> goto end
    :: else
    fi;
#endif
    transaction_expire();
    goto end
}
#endif

/* --- a restart: recipe W --- */

#ifdef RESTART
/* segment_is_repairable: before anything is touched, all that redo will follow must lead to a version. What was published
 * already may be gone. */
inline restart_look() {
    d_step {
        r = 0;
        do
        :: r < SLOTS ->
            k = 0;
            do
            :: k < KEYS ->
                if
#ifdef FLAW_RESTART_LOOKS_AT_ALL
                :: commit_word[r] != 0 && redo_kind[r * KEYS + k] != 0 ->
#else
                :: commit_word[r] != 0 && redo_kind[r * KEYS + k] != 0 && (pending[r] & bit_of(shard_of(k))) &&
                   !is_set_aside(shard_of(k)) ->
#endif
                    PROPERTY(restart_is_not_refused, version[redo_version[r * KEYS + k]].used &&
                                                     version[redo_version[r * KEYS + k]].key == k)
                :: else
                fi;
                k++
            :: else -> break
            od;
            r++
        :: else -> break
        od;
        r = 0;
        k = 0
    }
}

/* A shard that is set aside stays so, and so does the record of a slot whose commit needs it. */
inline restart_slots() {
    d_step {
        me = 0;
        do
        :: me < SLOTS ->
            at = 0;
            do
            :: at < ENTRIES -> pin[place_of(me, at)] = INFINITE; at++
            :: else -> break
            od;
#ifdef FLAW_RESTART_DRAINS_FIRST
            pending[me] = 0;
#endif
            if
            :: commit_word[me] == 0 || pending[me] == 0 -> record_clear()
            :: else
            fi;
            me++
        :: else -> break
        od;
        me = SLOTS
    }
}

inline restart() {
    restart_look();
#ifdef FLAW_RESTART_DRAINS_FIRST
    restart_slots();
#endif
    s = 0;
    do
    :: s < SHARDS ->
        shard_holder[s] = 0;
#if DEATHS
        shard_inherited[s] = 0;
#endif
        if
        :: !is_set_aside(s) -> shard_repair(s)
        :: else
        fi;
        s++
    :: else -> break
    od;
    s = 0;
    restart_slots()
}
#endif

/* --- the beginning and the end --- */

#ifndef INITIAL_0
#define INITIAL_0 1
#endif
#ifndef INITIAL_1
#define INITIAL_1 1
#endif

inline key_create(k_, value_) {
    if
    :: value_ != ABSENT ->
        version_reserve(k_, value_, v);
        version[v].begin = 1;
        table_entry[k_] = v;
        truth[1 * KEYS + k_] = value_;
        v = 0
    :: else
    fi
}

init {
    LOCALS;
    LOCALS_OF_RECOVERY;
    LOCALS_OF_FLAWS;
    byte me = SLOTS;

    d_step {
        watch_one();
        do
        :: k < PLACES -> pin[k] = INFINITE; k++
        :: else -> break
        od;
        k = 0;
#ifdef FLAW_ONE_PIN
        do
        :: k < SLOTS -> slot_pin[k] = INFINITE; k++
        :: else -> break
        od;
        k = 0;
#endif
        key_create(0, INITIAL_0);
        key_create(1, INITIAL_1)
    };
    atomic {
        run worker(0, WORKER_0);
#if SLOTS > 1
        run worker(1, WORKER_1);
#endif
#if SLOTS > 2
        run worker(2, WORKER_2);
#endif
#ifdef EXPIRY
        run expirer();
#endif
#if DEATHS
        run killer();
#endif
#ifdef HORIZON
        run housekeeper()
    };
    finished == bit_of(SLOTS + 1) - 1;
#else
        skip
    };
#ifdef RESTART
    if
    :: finished == bit_of(SLOTS) - 1
    :: d_step { is_restarting = 1; finished = bit_of(SLOTS) - 1 } -> restart()
    fi;
#else
    finished == bit_of(SLOTS) - 1;
#endif
#endif
    horizon_advance_at_once();
    do
    :: s < SHARDS -> shard_clean(s); s++
    :: else -> break
    od;
    s = 0;
    /* What was committed is there, and nothing else holds memory: of what is served. */
    d_step {
        k = 0;
        h = 0;
        do
        :: k < KEYS ->
            truth_at(k, clock);
            v = table_entry[k];
            PROPERTY(no_lost_commit, is_set_aside(shard_of(k)) ||
                     expected == (v == NONE || version[v].end != INFINITE -> ABSENT : version[v].value));
            h = h + (v != NONE && !is_set_aside(shard_of(k)));
            k++
        :: else -> break
        od;
        v = 1;
        do
        :: v <= SHARDS * VERSIONS -> h = h - (version[v].used && !is_set_aside((v - 1) / VERSIONS)); v++
        :: else -> break
        od;
        PROPERTY(no_leaked_version, h == 0)
    }
}
