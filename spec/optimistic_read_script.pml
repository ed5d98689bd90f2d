/* Workloads, the processes that run them, and the end. */

mtype = { O_END, O_GET, O_BEGIN, O_READ, O_STOP, O_PUT, O_GROW, O_DEL, O_CLEAN, O_KEEP };

#define LINE(n_, o_, k_, a_) :: pc == n_ -> op = o_; key = k_; argument = a_

#define GETS 0      /* single GETs: key 0, twice */
#define GET_0 1     /* one */
#define READER 2    /* a snapshot: key 0, twice */
#define GET_1 3     /* one of the other key */
#define CHURN 4     /* PUT, PUT of key 0 */
#define LIFE 5      /* DEL and PUT of key 0, PUT of key 1 */
#define GROWTH 6    /* PUTs that replace the page first */
#define PUT_0 7
#define PUT_1 8
#define CLEANER 9   /* horizon and clean-up, twice */
#define CLEAN 10    /* once */
#define KEEPER 11   /* LOCKING reads key 0 */
#define TIDY 12     /* DEL of key 0, then horizon and clean-up */

inline script_next() {
    d_step {
        op = O_END;
        if
        :: role == GETS ->
            if
            LINE(0, O_GET, 0, 0)
            LINE(1, O_GET, 0, 0)
            :: else
            fi
        :: role == GET_0 || role == GET_1 ->
            if
            LINE(0, O_GET, (role == GET_1), 0)
            :: else
            fi
        :: role == READER ->
            if
            LINE(0, O_BEGIN, 0, 0)
            LINE(1, O_READ, 0, 0)
            LINE(2, O_READ, 0, 0)
            LINE(3, O_STOP, 0, 0)
            :: else
            fi
        :: role == CHURN ->
            if
            LINE(0, O_PUT, 0, 20)
            LINE(1, O_PUT, 0, 21)
            :: else
            fi
        :: role == LIFE ->
            if
            LINE(0, O_DEL, 0, DELETED)
            LINE(1, O_PUT, 1, 30)
            LINE(2, O_PUT, 0, 31)
            :: else
            fi
        :: role == GROWTH ->
            if
            LINE(0, O_GROW, 0, 40)
            LINE(1, O_GROW, 0, 41)
            :: else
            fi
        :: role == PUT_0 || role == PUT_1 ->
            if
            LINE(0, O_PUT, (role == PUT_1), 50 + me)
            :: else
            fi
        :: role == TIDY ->
            if
            LINE(0, O_DEL, 0, DELETED)
            LINE(1, O_CLEAN, 0, 0)
            :: else
            fi
        :: role == CLEANER ->
            if
            LINE(0, O_CLEAN, 0, 0)
            LINE(1, O_CLEAN, 0, 0)
            :: else
            fi
        :: role == CLEAN ->
            if
            LINE(0, O_CLEAN, 0, 0)
            :: else
            fi
        :: role == KEEPER ->
            if
            LINE(0, O_KEEP, 0, 0)
            :: else
            fi
        fi;
        pc++
    }
}

inline verb_run() {
    if
    :: op == O_GET -> single_get(key)
    :: op == O_BEGIN -> transaction_begin()
    :: op == O_READ ->
        if
        :: snapshot != 0 -> shared_get(key)
        :: else /* the process that began it is dead */
        fi
    :: op == O_STOP -> transaction_end()
    :: op == O_PUT || op == O_DEL || op == O_GROW -> commit_run(key, argument, op == O_GROW)
    :: op == O_CLEAN -> engine_clean()
#ifdef KEYS_ARE_KEPT
    :: op == O_KEEP -> keep()
#endif
    fi
}

#if DEATHS
#define ABANDONED 100 /* a line after the last one of every workload */

/* Of a shard that is set aside the log stays, and nobody claims the slot again. */
inline slot_drain() {
    pin[me] = INFINITE;
    if
    :: commit_word[me] != 0 && pending[me] ->
        shard_acquire();
        d_step {
            pc = (is_refused -> ABANDONED : pc);
            h = 0;
            ok = 0;
            shard_release()
        }
    :: else
    fi;
    if
    :: pc != ABANDONED ->
        commit_word[me] = 0;
        d_step { pending[me] = 0; redo_kind[me] = 0; redo_key[me] = 0; redo_version[me] = NONE }
    :: else
    fi
}
#endif

proctype worker(byte me; byte role) {
    LOCALS;
    LOCALS_OF_RECOVERY;
    byte pc, key, argument;
    mtype op;

incarnation:
    {
#if DEATHS
        if
        :: pc > 0 -> slot_drain()
        :: else
        fi;
#endif
        do
        :: script_next();
            if
            :: op == O_END -> break
            :: else -> verb_run()
            fi
        od;
        finished = finished | bit_of(me)
    }
#if DEATHS
    unless { victim == me + 1 };
    if
    :: victim == me + 1 ->
        d_step {
            victim = 0;
            v = 0; o = 0; p = 0; t = 0; h = 0; s = 0; n = 0; b = 0; ts = 0; value = 0; snapshot = 0; since = 0; ok = 0;
            was_absent = 0; r = 0; i = 0; key = 0; argument = 0; op = 0
        };
        goto incarnation
    :: else
    fi
#endif
}

#if DEATHS
inline die(slot_) {
    d_step {
        deaths < DEATHS && victim == 0 && !(finished & bit_of(slot_)) ->
        victim = (slot_) + 1;
        deaths++;
        if
        :: shard_holder == (slot_) + 1 -> inherited = 1; shard_holder = 0
        :: else
        fi
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

#ifdef REUSE
/* Takes what is free, writes what looks like a version or a page, or is none, and gives it back, at any time. Its commits tick
 * the clock. */
#define VERSION_TAKE(v_) \
    :: d_step { \
        times < REUSE && version[v_].owner == FREE -> \
        times++; taken = v_; version[taken].owner = THEIRS; version[taken].key = 0 \
    }; garbage_write()
#define PAGE_TAKE(p_) \
    :: d_step { \
        times < REUSE && page_owner[p_] == FREE -> \
        times++; taken = p_; page_owner[taken] = THEIRS \
    }; garbage_page()

inline garbage_write() {
    if
    :: d_step { version[taken].begin = 1; version[taken].end = INFINITE; version[taken].value = GARBAGE }
    :: d_step { version[taken].begin = TIMES; version[taken].older = taken }
    :: d_step { version[taken].begin = TIMES; version[taken].older = OUTSIDE }
    fi;
    d_step { version[taken].owner = FREE; taken = 0 }
}

inline garbage_page() {
    if
    :: page_entry[taken * KEYS] = OUTSIDE
    :: page_entry[taken * KEYS] = NONE
    :: page_entry[taken * KEYS] = VERSIONS
    fi;
    d_step { page_owner[taken] = FREE; taken = 0 }
}

proctype other_shard() {
    byte times, taken;

end:
    do
    VERSION_TAKE(1)
    VERSION_TAKE(2)
    VERSION_TAKE(3)
#if VERSIONS > 3
    VERSION_TAKE(4)
#endif
    PAGE_TAKE(1)
    PAGE_TAKE(2)
    :: d_step { times < REUSE && clock < 5 -> times++; clock++ }
    od
}
#endif

/* --- the beginning and the end --- */

init {
    byte k, v;

    d_step {
        watch_one();
        do
        :: k < SLOTS -> pin[k] = INFINITE; k++
        :: else -> break
        od;
        page_owner[1] = OURS;
        k = 0;
        do
        :: k < KEYS ->
            directory[k] = 1;
            v = k + 1;
            version[v].owner = OURS;
            version[v].key = k;
            version[v].value = 10 + k;
            version[v].begin = 1;
            version[v].end = INFINITE;
            page_entry[KEYS + k] = v;
            truth[KEYS + k] = 10 + k;
            k++
        :: else -> break
        od;
        k = 0;
        v = 0
    };
    atomic {
        run worker(0, WORKER_0);
#if SLOTS > 1
        run worker(1, WORKER_1);
#endif
#if SLOTS > 2
        run worker(2, WORKER_2);
#endif
#ifdef REUSE
        run other_shard();
#endif
#if DEATHS
        run killer();
#endif
        skip
    };
    finished == bit_of(SLOTS) - 1;
    /* What was committed is there, once somebody has inherited what there is to inherit. */
    d_step {
        do
        :: k < KEYS ->
            truth_at(k, clock);
            v = page_entry[directory[k] * KEYS + k];
            PROPERTY(no_lost_commit, is_set_aside || is_inherited ||
                     expected == (v == NONE || version[v].end != INFINITE -> ABSENT : version[v].value));
            k++
        :: else -> break
        od
    }
}
