/* Transactions, COMMIT and the drain as far as key locks go; workloads, the processes that run them, and the end. */

/* --- shards: a lock and a value per key --- */

#if DEATHS
#define is_inherited(k_) ((shard_inherited & bit_of(k_)) != 0)
/* What the dead have committed; engine.pml has it step by step. */
inline shard_redo(k_) {
    at = 0;
#ifndef FLAW_SHARD_NOT_REDONE
    do
    :: at < SLOTS ->
        if
        :: pending[at] & bit_of(k_) -> pending_publish(at, k_)
        :: else
        fi;
        at++
    :: else -> break
    od;
#endif
    shard_inherited = shard_inherited & ~bit_of(k_)
}
#else
#define is_inherited(k_) 0
#define shard_redo(k_) skip
#endif

inline pending_publish(slot_, k_) {
    stored[k_] = redo[(slot_) * KEYS + k_];
    redo[(slot_) * KEYS + k_] = 0;
    pending[slot_] = pending[slot_] & ~bit_of(k_)
}

/* Whoever inherits a shard may set it aside. Then its lock is given back at once, and the answer is `unavailable`. */
#ifdef SET_ASIDE
inline shard_refuse(k_) {
    shard_set_aside = shard_set_aside | bit_of(k_);
    shard_inherited = shard_inherited & ~bit_of(k_);
    verdict = UNAVAILABLE;
    w = 0
}
#define SHARD_REFUSES(k_, wanted_) \
    :: d_step { \
        (wanted_) && shard_holder[k_] == 0 && (is_inherited(k_) || is_set_aside(k_)) -> \
        shard_refuse(k_) \
    }
#else
#define SHARD_REFUSES(k_, wanted_)
#endif
#define may_enter(k_) (shard_holder[k_] == 0 && !is_set_aside(k_))

#define SHARD_LOCK(k_) \
    if \
    :: d_step { (w & bit_of(k_)) && may_enter(k_) -> shard_redo(k_); shard_holder[k_] = me + 1 } \
    SHARD_REFUSES(k_, (w & bit_of(k_))) \
    :: !(w & bit_of(k_)) \
    fi

/* C1. Ascending. */
inline shards_lock() {
    SHARD_LOCK(0)
#if KEYS > 1
    ;
    SHARD_LOCK(1)
#endif
#if KEYS > 2
    ;
    SHARD_LOCK(2)
#endif
}

inline shards_unlock() {
    d_step {
        at = 0;
        do
        :: at < KEYS -> shard_holder[at] = (shard_holder[at] == me + 1 -> 0 : shard_holder[at]); at++
        :: else -> break
        od;
        at = 0
    }
}

/* --- transactions --- */

#ifdef EXPIRY
#define state_store(i_, state_) state[place_of(me, i_)] = state_
#else
#define state_store(i_, state_) skip
#endif

inline writes_forget(i_) {
    verdict = 0;
    w = 0;
    open = open & ~bit_of(i_);
    reads[i_] = 0;
    writes[i_] = 0;
    at = 0;
    do
    :: at < KEYS -> seen[(i_) * KEYS + at] = 0; at++
    :: else -> break
    od;
    at = 0
}

/* Whatever it owns, under the mutex. */
inline key_locks_release(i_) {
    if
    :: holds & bit_of(i_) ->
        mutex_enter();
        transaction_end_locks(me, i_);
#ifdef FLAW_CHUNK_FREED_OUTSIDE
        skip;
        d_step { entry_find(me, ALL); ok = (at == NONE && has_chunk(me)) };
        mutex_leave();
        if
        :: ok -> chunk_owned = chunk_owned & ~bit_of(me); chunk_known = chunk_known & ~bit_of(me)
        :: else
        fi;
        d_step { ok = 0; holds = holds & ~bit_of(i_) }
#else
#ifdef CHUNK
        chunk_return_unused();
#endif
        mutex_leave();
        holds = holds & ~bit_of(i_)
#endif
    :: !(holds & bit_of(i_))
    fi
}

/* The key locks go before the state is FREE: who expires it may still be about to look. */
inline transaction_end(i_) {
#ifdef FLAW_FREED_BEFORE_RELEASE
    d_step { if :: (i_) != SINGLE -> state_store(i_, FREE) :: else fi; writes_forget(i_) };
    key_locks_release(i_)
#else
    key_locks_release(i_);
    d_step { if :: (i_) != SINGLE -> state_store(i_, FREE) :: else fi; writes_forget(i_) }
#endif
}

/* --- reads --- */

#define is_granted (verdict == TAKEN || verdict == GRANTED)

inline lock_got(i_) {
    holds = (is_granted -> holds | bit_of(i_) : holds);
    verdict = (is_granted || verdict == UNOWNED -> 0 : verdict)
}

/* The latest committed value. The shard's lock is taken and given back in one step, as nothing is stored under it. */
inline key_read(i_, k_) {
    shard_redo(k_);
    PROPERTY(reads_the_latest, stored[k_] == truth[k_]);
    PROPERTY(what_is_read_stays, (i_) == SINGLE || !(reads[i_] & bit_of(k_)) || seen[(i_) * KEYS + k_] == stored[k_]);
    reads[i_] = reads[i_] | bit_of(k_);
#ifndef FLAW_READS_FIRST
    seen[(i_) * KEYS + k_] = stored[k_];
#endif
    at = 0
}

/* Keeps the key lock, if there is one, and reads the key. */
inline lock_got_and_read(i_, k_) {
    if
    :: d_step {
        (verdict == 0 || verdict == UNOWNED || is_granted) && may_enter(k_) ->
        lock_got(i_);
        key_read(i_, k_);
        writes[i_] = writes[i_] | (op == O_RAISE -> bit_of(k_) : 0);
        if
        :: (i_) != SINGLE -> state_store(i_, IDLE)
        :: else
        fi
    }
#ifdef SET_ASIDE
    :: d_step {
        (verdict == 0 || verdict == UNOWNED || is_granted) && shard_holder[k_] == 0 &&
        (is_inherited(k_) || is_set_aside(k_)) ->
        lock_got(i_);
        shard_refuse(k_)
    }
#endif
    :: verdict == DEADLOCK || verdict == TIMED_OUT
    fi
}

/* LOCKING takes the key lock before anything else, and keeps it. A single GET waits for the owner of the key, if any
 * key has one, and borrows the key lock for the time of its read. */
inline key_access(i_, k_) {
#ifdef FLAW_READS_FIRST
    d_step { may_enter(k_) -> seen[(i_) * KEYS + k_] = stored[k_] };
#endif
    if
    :: (i_) != SINGLE || key_lock_count != 0 -> lock_get(i_, k_, ((i_) == SINGLE))
    :: (i_) == SINGLE && key_lock_count == 0
    fi;
    lock_got_and_read(i_, k_)
}

/* --- COMMIT --- */

/* Whether somebody else owns a key that is written: 1 + that key into `wanted`. */
inline commit_meets_key_lock() {
    mutex_enter();
    d_step {
        k = 0;
        do
        :: k < KEYS && wanted == 0 ->
            if
            :: w & bit_of(k) ->
                chain_find(k, OWNS);
                wanted = (at == NONE || (slot_of(at) == me && lock_transaction[at] == SINGLE) -> 0 : k + 1)
            :: else
            fi;
            k++
        :: else -> break
        od;
        k = 0
    };
    mutex_leave()
}

/* C1 and the look at the key locks. Who meets a foreign one gives everything back, the key that it borrowed before too,
 * borrows this one and begins again; w is 0 if that failed. */
inline commit_in_turn() {
    do
    :: wanted == 0 ->
#if defined(FLAW_CHECK_BEFORE_LOCKS)
        if
        :: key_lock_count != 0 -> commit_meets_key_lock()
        :: key_lock_count == 0
        fi;
        shards_lock();
#elif defined(FLAW_COUNT_BEFORE_LOCKS)
        ok = (key_lock_count != 0);
        shards_lock();
        if
        :: ok -> commit_meets_key_lock()
        :: else
        fi;
        ok = 0;
#else
        shards_lock();
#if defined(FLAW_CHECKED_ONCE)
        if
        :: key_lock_count != 0 && w != 0 && holds == 0 -> commit_meets_key_lock()
        :: key_lock_count == 0 || w == 0 || holds != 0
        fi;
#elif !defined(FLAW_NO_CHECK)
        if
        :: key_lock_count != 0 && w != 0 -> commit_meets_key_lock()
        :: key_lock_count == 0 || w == 0
        fi;
#endif
#endif
        if
        :: wanted == 0 -> break
        :: else
        fi;
#ifndef FLAW_WAITS_WITH_SHARDS
        shards_unlock();
#endif
#ifndef FLAW_COMMIT_KEEPS_LOCK
        key_locks_release(SINGLE);
#endif
        lock_get(SINGLE, wanted - 1, 0);
#ifdef FLAW_WAITS_WITH_SHARDS
        shards_unlock();
#endif
        d_step { lock_got(SINGLE); wanted = 0; w = (verdict == 0 -> w : 0) };
        if
        :: w == 0 -> break
        :: else
        fi
    od
}

/* C2, for those who did not lock what they read. */
inline commit_validate(i_) {
    at = 0;
    do
    :: at < KEYS ->
        w = ((i_) != SINGLE || !(reads[i_] & bit_of(at)) || seen[(i_) * KEYS + at] == stored[at] -> w : 0);
        at++
    :: else -> break
    od
}

/* C5. What was read is raised by one, anything else is overwritten. */
inline commit_mark(i_) {
    at = 0;
    do
    :: at < KEYS ->
        PROPERTY(what_is_read_stays, (i_) == SINGLE || !(reads[i_] & bit_of(at)) ||
                                     seen[(i_) * KEYS + at] == truth[at]);
        if
        :: w & bit_of(at) ->
            PROPERTY(no_lost_update, !(reads[i_] & bit_of(at)) || seen[(i_) * KEYS + at] == truth[at]);
            truth[at] = (reads[i_] & bit_of(at) -> seen[(i_) * KEYS + at] + 1 : 20 * (me + 1));
            redo[me * KEYS + at] = truth[at]
        :: else
        fi;
        at++
    :: else -> break
    od;
    pending[me] = w
}

#define SHARD_PUBLISH(k_) \
    :: d_step { \
        (w & bit_of(k_)) && !(w & (bit_of(k_) - 1)) -> \
        pending_publish(me, k_); \
        shard_holder[k_] = 0; \
        w = w & ~bit_of(k_) \
    }

/* C6. */
inline commit_publish() {
    do
    SHARD_PUBLISH(0)
#if KEYS > 1
    SHARD_PUBLISH(1)
#endif
#if KEYS > 2
    SHARD_PUBLISH(2)
#endif
    :: w == 0 -> break
    od
}

/* The LOCKING transaction owns all that it writes, so its COMMIT looks at no key lock and validates nothing. */
inline transaction_commit(i_) {
#ifdef FLAW_RELEASE_BEFORE_COMMIT
    key_locks_release(i_);
#endif
    if
    :: (i_) == SINGLE -> commit_in_turn()
    :: (i_) != SINGLE -> shards_lock()
    fi;
    if
    :: d_step { verdict == 0 -> commit_validate(i_); commit_mark(i_) }
    :: verdict != 0
    fi;
    if
    :: w != 0 -> commit_publish()
    :: w == 0 -> shards_unlock()
    fi
}

/* --- the slot of the dead --- */

#define ABANDONED 100 /* a line after the last one of every workload */

#if DEATHS
#define PENDING_DRAIN(k_) \
    if \
    :: d_step { (pending[me] & bit_of(k_)) && may_enter(k_) -> shard_redo(k_) } \
    SHARD_REFUSES(k_, (pending[me] & bit_of(k_))) \
    :: !(pending[me] & bit_of(k_)) \
    fi

inline pending_drain() {
#ifdef FLAW_LOG_FORGOTTEN
    skip
#else
    PENDING_DRAIN(0)
#if KEYS > 1
    ;
    PENDING_DRAIN(1)
#endif
#if KEYS > 2
    ;
    PENDING_DRAIN(2)
#endif
#endif
}

inline key_locks_drain() {
#ifdef FLAW_DRAIN_FREES_FIRST
    chunks_return(me);
#endif
#ifndef FLAW_DRAIN_FORGETS
    mutex_enter();
    transaction_end_locks(me, ALL);
#ifdef CHUNK
    chunks_return(me);
#endif
    mutex_leave()
#else
    skip
#endif
}

/* The key locks go before the log: where a shard is set aside the slot stays as it is, and they must not stay with it.
 * What is pending is redone before anybody reads it. */
inline slot_drain() {
#ifdef EXPIRY
    d_step {
        at = 0;
        do
        :: at < TRANSACTIONS -> state[place_of(me, at)] = FREE; at++
        :: else -> break
        od;
        at = 0
    };
#endif
#ifdef FLAW_LOG_DRAINED_FIRST
    pending_drain();
    if
    :: verdict == 0 -> key_locks_drain()
    :: else
    fi;
#else
    key_locks_drain();
    pending_drain();
#endif
    d_step {
        if
        :: verdict == 0 -> dead = dead & ~bit_of(me)
        :: else -> pc = ABANDONED /* process_slot_abandon */
        fi;
        verdict = 0
    }
}
#endif

/* --- workloads --- */

/* What a workload's client sends, a line at a time: verb, transaction, key, or for O_WRITE a set of keys. */
mtype = { O_END, O_BEGIN, O_GET, O_RAISE, O_COMMIT, O_ROLLBACK, O_SINGLE_GET, O_WRITE, O_READ, O_LEAVE };

#define LINE(n_, o_, i_, k_) :: pc == n_ -> op = o_; x = i_; key = k_

#define RAISE_0 0       /* LOCKING: reads a counter, raises it, COMMIT */
#define RAISE_1 1
#define RAISE_01 2      /* both counters, in this order */
#define RAISE_10 3
#define RAISE_12 4
#define RAISE_20 5
#define RAISE_TWICE 6   /* the place is used again */
#define LOOK_0 7        /* LOCKING: reads it twice, writes nothing */
#define UNDONE 8        /* LOCKING: rolls back */
#define LEAVER 9        /* LOCKING: its client never comes back */
#define PUT_0 10        /* single PUT */
#define PUT_1 11
#define PUT_01 12       /* a commit of another level: both keys */
#define PUT_01_PUT_0 13
#define GET_0 14        /* single GET */
#define UPDATE_0 15     /* SERIALIZABLE: reads a counter, raises it, validates */
#define MIXED 16        /* LOCKING with a single PUT of another key in between */
#define SELF 17         /* LOCKING, with a single PUT of the same key in between */
#define SELF_TWO 18     /* two LOCKING transactions want the same key */
#define TWO_01 19       /* two LOCKING transactions, a key each */

/* The next line that has an effect. A transaction begins with its first verb; who is told of a failure rolls back. */
inline script_next() {
    d_step {
        do
        :: true ->
            op = O_END;
            if
            :: role == RAISE_0 || role == RAISE_1 ->
                if
                LINE(0, O_BEGIN, 0, 0)
                LINE(1, O_RAISE, 0, (role == RAISE_1))
                LINE(2, O_COMMIT, 0, 0)
                :: else
                fi
            :: role == RAISE_01 || role == RAISE_10 ->
                if
                LINE(0, O_BEGIN, 0, 0)
                LINE(1, O_RAISE, 0, (role == RAISE_10))
                LINE(2, O_RAISE, 0, (role == RAISE_01))
                LINE(3, O_COMMIT, 0, 0)
                :: else
                fi
            :: role == RAISE_12 || role == RAISE_20 ->
                if
                LINE(0, O_BEGIN, 0, 0)
                LINE(1, O_RAISE, 0, (role == RAISE_12 -> 1 : 2))
                LINE(2, O_RAISE, 0, (role == RAISE_12 -> 2 : 0))
                LINE(3, O_COMMIT, 0, 0)
                :: else
                fi
            :: role == RAISE_TWICE ->
                if
                LINE(0, O_BEGIN, 0, 0)
                LINE(1, O_RAISE, 0, 0)
                LINE(2, O_COMMIT, 0, 0)
                LINE(3, O_BEGIN, 0, 0)
                LINE(4, O_RAISE, 0, 0)
                LINE(5, O_COMMIT, 0, 0)
                :: else
                fi
            :: role == LOOK_0 ->
                if
                LINE(0, O_BEGIN, 0, 0)
                LINE(1, O_GET, 0, 0)
                LINE(2, O_GET, 0, 0)
                LINE(3, O_COMMIT, 0, 0)
                :: else
                fi
            :: role == UNDONE ->
                if
                LINE(0, O_BEGIN, 0, 0)
                LINE(1, O_RAISE, 0, 0)
                LINE(2, O_ROLLBACK, 0, 0)
                :: else
                fi
            :: role == LEAVER ->
                if
                LINE(0, O_BEGIN, 0, 0)
                LINE(1, O_RAISE, 0, 0)
                LINE(2, O_LEAVE, 0, 0)
                :: else
                fi
            :: role == PUT_0 || role == PUT_1 || role == PUT_01 ->
                if
                LINE(0, O_WRITE, SINGLE, (role == PUT_0 -> 1 : (role == PUT_1 -> 2 : 3)))
                :: else
                fi
            :: role == PUT_01_PUT_0 ->
                if
                LINE(0, O_WRITE, SINGLE, 3)
                LINE(1, O_WRITE, SINGLE, 1)
                :: else
                fi
            :: role == GET_0 ->
                if
                LINE(0, O_SINGLE_GET, SINGLE, 0)
                :: else
                fi
            :: role == UPDATE_0 ->
                if
                LINE(0, O_READ, SINGLE, 0)
                LINE(1, O_WRITE, SINGLE, 1)
                :: else
                fi
            :: role == MIXED || role == SELF ->
                if
                LINE(0, O_BEGIN, 0, 0)
                LINE(1, O_RAISE, 0, 0)
                LINE(2, O_WRITE, SINGLE, (role == SELF -> 1 : 2))
                LINE(3, O_COMMIT, 0, 0)
                :: else
                fi
#if TRANSACTIONS > 1
            :: role == SELF_TWO ->
                if
                LINE(0, O_BEGIN, 0, 0)
                LINE(1, O_BEGIN, 1, 0)
                LINE(2, O_RAISE, 0, 0)
                LINE(3, O_RAISE, 1, 0)
                LINE(4, O_COMMIT, 0, 0)
                LINE(5, O_COMMIT, 1, 0)
                :: else
                fi
            :: role == TWO_01 ->
                if
                LINE(0, O_BEGIN, 0, 0)
                LINE(1, O_BEGIN, 1, 0)
                LINE(2, O_RAISE, 0, 0)
                LINE(3, O_RAISE, 1, 1)
                LINE(4, O_COMMIT, 0, 0)
                LINE(5, O_COMMIT, 1, 0)
                :: else
                fi
#endif
            fi;
            pc++;
            if
            :: op == O_BEGIN -> open = open | bit_of(x); state_store(x, IDLE)
            :: op == O_END || x == SINGLE || (open & bit_of(x)) -> break
            :: else /* its transaction has ended */
            fi
        od;
        if
        :: op == O_WRITE -> writes[SINGLE] = key; w = key
        :: op == O_COMMIT -> w = writes[x]
        :: else
        fi;
        if
        :: op != O_END && op != O_LEAVE && x != SINGLE -> transaction_enter(x)
        :: else
        fi
    }
}

/* IDLE to RUNNING by CAS; who was expired is told so. */
inline transaction_enter(i_) {
#ifdef EXPIRY
    if
    :: state[place_of(me, i_)] == IDLE -> state[place_of(me, i_)] = RUNNING
    :: else -> verdict = TIMED_OUT; w = 0
    fi
#else
    skip
#endif
}

/* --- processes --- */

/* A verb within an open transaction, or a single command. */
inline verb_run() {
    if
    :: verdict == 0 && (op == O_RAISE || op == O_GET || op == O_SINGLE_GET) -> key_access(x, key)
    :: verdict == 0 && op == O_READ -> lock_got_and_read(SINGLE, key)
    :: verdict == 0 && (op == O_COMMIT || op == O_WRITE) -> transaction_commit(x)
    :: verdict != 0 || op == O_ROLLBACK
    fi;
    if
    :: verdict == 0 && (op == O_RAISE || op == O_GET || op == O_READ) /* it goes on */
    :: else -> transaction_end(x)
    fi
}

proctype worker(byte me; byte role) {
    LOCALS;
    LOCALS_OF_TRANSACTIONS;
    LOCALS_OF_FLAWS;
    byte pc, x, key;
    mtype op;

incarnation:
    {
#if DEATHS
        if
        :: is_dead(me) -> slot_drain()
        :: else
        fi;
#endif
        do
        :: script_next();
            if
            :: op == O_END || op == O_LEAVE -> break
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
            e = 0; g = 0; k = 0; verdict = 0; ok = 0; w = 0; wanted = 0; holds = 0; x = 0; key = 0; op = 0;
            do
            :: k <= TRANSACTIONS -> writes_forget(k); k++
            :: else -> break
            od;
            k = 0;
            flaws_forget()
        };
        goto incarnation /* the heir of the slot: a new process, or the housekeeper */
    :: else
    fi
#endif
}

#if DEATHS
/* The kernel gives the locks of the dead away, one by one; nobody can tell that from nobody having wanted them yet. */
inline die(process_) {
    d_step {
        deaths < DEATHS && victim == 0 && !(finished & bit_of(process_)) ->
        victim = (process_) + 1;
        deaths++;
        if
        :: mutex_holder == (process_) + 1 -> mutex_holder = 0; mutex_inherited = 1
        :: else
        fi;
        at = 0;
        do
        :: at < KEYS ->
            if
            :: shard_holder[at] == (process_) + 1 ->
                shard_holder[at] = 0;
                shard_inherited = shard_inherited | bit_of(at)
            :: else
            fi;
            at++
        :: else -> break
        od;
        if
        :: (process_) < SLOTS ->
            dead = dead | bit_of(process_);
            sleeps_on[((process_) < SLOTS -> (process_) : 0)] = NONE
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
#if SLOTS > 3
    :: die(3)
#endif
#ifdef EXPIRY
    :: die(SLOTS)
#endif
    od
}
#endif

#ifdef EXPIRY
/* Who expires a transaction, and the housekeeper's round, which also repairs a mutex that nobody else wants. Time is
 * left out: whoever is idle may have been so for too long, and whoever left has been. */
#define slot_of_place(place_) ((place_) / TRANSACTIONS)
#define EXPIRE(place_) \
    :: d_step { \
        state[place_] == IDLE && (expiries < EXPIRY || (finished & bit_of(slot_of_place(place_)))) -> \
        state[place_] = EXPIRED; \
        expiries = expiries + !(finished & bit_of(slot_of_place(place_))) \
    }; \
        place = place_; \
        expired_end_locks(place)

/* Under the mutex, and only if it still is EXPIRED: its owner releases before it frees the state. */
inline expired_end_locks(place_) {
    mutex_enter();
    if
#ifdef FLAW_EXPIRER_DOES_NOT_LOOK
    :: true ->
#else
    :: state[place_] == EXPIRED ->
#endif
        transaction_end_locks(slot_of_place(place_), (place_) % TRANSACTIONS)
    :: else
    fi;
    mutex_leave();
    place = 0
}

#define is_of_place(place_, n_) \
    (lock_state[first_of(slot_of_place(place_)) + (n_)] != FREE && \
     lock_transaction[first_of(slot_of_place(place_)) + (n_)] == (place_) % TRANSACTIONS)
#define is_round_wanted(place_) \
    (state[place_] == EXPIRED && (is_of_place(place_, 0) || is_of_place(place_, 1) || is_of_place(place_, 2)))
#ifdef FLAW_EXPIRED_NOT_SWEPT
#define ROUND(place_)
#else
#define ROUND(place_) :: is_round_wanted(place_) -> place = place_; expired_end_locks(place)
#endif

proctype housekeeper() {
    LOCALS;
    LOCALS_OF_FLAWS;
    byte me = SLOTS; /* no slot */
    byte place;

round:
    {
        skip;
end:
        do
        EXPIRE(0)
#if SLOTS * TRANSACTIONS > 1
        EXPIRE(1)
#endif
#if SLOTS * TRANSACTIONS > 2
        EXPIRE(2)
#endif
        ROUND(0)
#if SLOTS * TRANSACTIONS > 1
        ROUND(1)
#endif
#if SLOTS * TRANSACTIONS > 2
        ROUND(2)
#endif
        :: is_mutex_inherited -> mutex_enter(); mutex_leave()
        od
    }
#if DEATHS
    unless { victim == me + 1 };
    d_step { victim = 0; e = 0; g = 0; k = 0; verdict = 0; ok = 0; place = 0 };
    goto round
#endif
}
#endif

/* --- the beginning and the end --- */

#define is_still(slot_) ((finished & bit_of(slot_)) || sleeps_on[slot_] != NONE)
#if TIMEOUTS
#define may_time_out (timeouts < TIMEOUTS)
#else
#define may_time_out 0
#endif
#ifdef EXPIRY
#define may_expire 1 /* then it ends otherwise, or is an invalid end state */
#else
#define may_expire 0
#endif

/* All who live sleep, and nothing will wake them. */
#define is_stuck \
    (is_still(0) && (SLOTS < 2 || is_still(1 % SLOTS)) && (SLOTS < 3 || is_still(2 % SLOTS)) && \
     (SLOTS < 4 || is_still(3 % SLOTS)) && finished != ALL_SLOTS && !is_mutex_inherited && !may_time_out && !may_expire)

inline stuck_check() {
    k = 0;
    do
    :: k < SLOTS ->
        if
        :: sleeps_on[k] != NONE ->
            PROPERTY(no_lost_wake_up, lock_state[sleeps_on[k]] != OWNS);
            owner_find_in_truth(lock_key[sleeps_on[k]]);
            PROPERTY(waiter_has_owner, at != NONE);
            PROPERTY(nothing_left, at == NONE || !(finished & bit_of(slot_of(at))))
        :: else
        fi;
        k++
    :: else -> break
    od;
    k = 0;
    PROPERTY(deadlock_is_found, false)
}

inline end_check() {
    key_locks_check();
    PROPERTY(nothing_left, key_lock_count == 0 && bucket_head == NONE);
    at = 1;
    do
    :: at <= LOCKS -> PROPERTY(nothing_left, lock_state[at] == FREE); at++
    :: else -> break
    od;
#ifdef CHUNK
    PROPERTY(nothing_left, chunk_owned == 0 && chunk_known == 0);
#endif
    at = 0;
    do
    :: at < KEYS -> PROPERTY(no_lost_commit, is_set_aside(at) || stored[at] == truth[at]); at++
    :: else -> break
    od;
    at = 0
}

init {
    byte k;

    d_step { watch_one() };
    atomic {
        run worker(0, WORKER_0);
#if SLOTS > 1
        run worker(1, WORKER_1);
#endif
#if SLOTS > 2
        run worker(2, WORKER_2);
#endif
#if SLOTS > 3
        run worker(3, WORKER_3);
#endif
#ifdef EXPIRY
        run housekeeper();
#endif
#if DEATHS
        run killer()
#else
        skip
#endif
    };
    do
    :: d_step { is_stuck -> stuck_check() }
#ifdef EXPIRY
    :: d_step {
        finished == ALL_SLOTS && mutex_holder == 0 && !is_mutex_inherited && key_lock_count == 0 -> end_check()
    }; break
#else
    :: d_step { finished == ALL_SLOTS -> end_check() }; break
#endif
    od
}
