/* Locks, recovery, the horizon, transactions and COMMIT: src/transaction. */

/* --- recovery --- */

#if DEATHS
#define is_inherited(s_) shard_inherited[s_]
#else
#define is_inherited(s_) 0
#endif
#ifdef SET_ASIDE
#define is_set_aside(s_) shard_set_aside[s_]
#else
#define is_set_aside(s_) 0
#endif

#if RECOVERS
inline redo_shard(r_, s_) {
    t = commit_word[r_];
    k = 0;
    do
    :: k < KEYS ->
        if
        :: shard_of(k) == s_ && redo_kind[r_ * KEYS + k] == PUT -> table_redo_publish(redo_version[r_ * KEYS + k], k, t)
        :: shard_of(k) == s_ && redo_kind[r_ * KEYS + k] == DEL -> table_redo_end(redo_version[r_ * KEYS + k], k, t)
        :: else
        fi;
        k++
    :: else -> break
    od;
    k = 0;
    t = 0;
    pending[r_] = pending[r_] & ~bit_of(s_)
}

/* Redo first: it needs no memory and no derived data, and after it the table alone reaches everything that lives. */
inline shard_repair(s_) {
#ifdef FLAW_REBUILD_BEFORE_REDO
    table_rebuild(s_);
#endif
#ifndef FLAW_NO_REDO
    r = 0;
    do
    :: r < SLOTS ->
        if
#ifdef FLAW_OWNER_IN_SHARD
        :: r == previous && commit_word[r] != 0 && (pending[r] & bit_of(s_)) -> redo_shard(r, s_)
#elif defined(FLAW_REDO_UNCOMMITTED)
        :: pending[r] & bit_of(s_) -> redo_shard(r, s_)
#else
        :: commit_word[r] != 0 && (pending[r] & bit_of(s_)) -> redo_shard(r, s_)
#endif
        :: else
        fi;
        r++
    :: else -> break
    od;
    r = 0;
#endif
#ifndef FLAW_REBUILD_BEFORE_REDO
    table_rebuild(s_)
#endif
}

#endif

#if DEATHS
/* How many heirs died of it is left out: any number, so whoever inherits the shard may set it aside. */
inline recovery_shard(s_) {
#ifdef SET_ASIDE
    if
    :: !shard_set_aside[s_] -> shard_repair(s_)
    :: !shard_set_aside[s_] -> shard_set_aside[s_] = 1
    :: shard_set_aside[s_] /* by an heir that died before the next step */
    fi;
#else
    shard_repair(s_);
#endif
    shard_inherited[s_] = 0 /* robust_mutex_mark_consistent */
}
#endif

#ifdef SET_ASIDE
/* `unavailable` ends the command, see command_refuse. */
inline shard_refuse(s_) {
    d_step {
        if
#ifndef FLAW_SET_ASIDE_SERVED
        :: shard_set_aside[s_] ->
            unavailable = 1;
#ifndef FLAW_SET_ASIDE_LOCKED
            shard_release(s_)
#endif
#endif
        :: else
        fi
    }
}
#endif

/* Who may take a lock finds no commit under way there, unless its holder died, or the shard is set aside. */
inline pending_check(s_) {
    at = 0;
    do
    :: at < SLOTS ->
        PROPERTY(pending_means_held, commit_word[at] == 0 || !(pending[at] & bit_of(s_)) || is_inherited(s_) ||
                                     is_set_aside(s_));
        at++
    :: else -> break
    od;
    at = 0
}

inline shard_acquire(s_) {
    d_step {
        shard_holder[s_] == 0 -> shard_holder[s_] = me + 1;
        pending_check(s_)
    };
#ifdef FLAW_OWNER_IN_SHARD
    d_step { previous = shard_owner[s_]; shard_owner[s_] = me };
#endif
#if DEATHS
    if
    :: shard_inherited[s_] -> recovery_shard(s_)
    :: else
    fi
#endif
#ifdef SET_ASIDE
    ;
    shard_refuse(s_)
#endif
}

inline shard_release(s_) {
    shard_holder[s_] = 0
}

inline shard_clean(s_) {
    shard_acquire(s_);
#ifdef SET_ASIDE
    if
    :: unavailable -> unavailable = 0
    :: else ->
        table_clean(s_);
        shard_release(s_)
    fi
#else
    table_clean(s_);
    shard_release(s_)
#endif
}

/* --- the horizon --- */

#ifdef EXPIRY
#define is_expired(place_) (state[place_] == EXPIRED)
#else
#define is_expired(place_) 0
#endif

#ifdef FLAW_HORIZON_FALLS
#define horizon_raised(h_) (h_)
#else
#define horizon_raised(h_) ((h_) > horizon -> (h_) : horizon)
#endif

inline horizon_advance_at_once() {
    d_step {
        lowest = clock;
        at = 0;
        do
        :: at < PLACES ->
            lowest = (!is_expired(at) && pin[at] < lowest -> pin[at] : lowest);
            at++
        :: else -> break
        od;
        horizon = horizon_raised(lowest)
    }
}

/* Each load is a step. */
#ifdef FLAW_ONE_PIN
inline horizon_advance() {
    h = clock;
    t = 0;
    do
    :: t < SLOTS ->
        d_step { h = (slot_pin[t] < h -> slot_pin[t] : h); t++ }
    :: else -> break
    od;
    t = 0;
    d_step { horizon = horizon_raised(h); h = 0 }
}
#else
inline horizon_advance() {
#ifdef FLAW_PINS_BEFORE_CLOCK
    h = INFINITE;
#else
    h = clock;
#endif
    t = 0;
    do
    :: t < PLACES ->
        ok = is_expired(t);
        d_step { h = (!ok && pin[t] < h -> pin[t] : h); t++; ok = 0 }
    :: else -> break
    od;
    t = 0;
#ifdef FLAW_PINS_BEFORE_CLOCK
    h = (clock < h -> clock : h);
#endif
    d_step { horizon = horizon_raised(h); h = 0 }
}
#endif

/* --- transactions --- */

#ifdef FLAW_ONE_PIN
inline slot_pin_smallest(slot_) {
    lowest = INFINITE;
    at = 0;
    do
    :: at < ENTRIES ->
        lowest = (!is_expired(place_of(slot_, at)) && pin[place_of(slot_, at)] < lowest ->
                   pin[place_of(slot_, at)] : lowest);
        at++
    :: else -> break
    od
}
#endif

inline pin_store(place_, pin_) {
#ifdef FLAW_ONE_PIN
    d_step {
        pin[place_] = pin_;
        slot_pin_smallest(me);
        slot_pin[me] = lowest
    }
#else
    pin[place_] = pin_
#endif
}

/* IDLE to RUNNING by CAS; into ok. */
#ifdef FLAW_ENTERS_WHAT_IT_ENDED
#define may_enter(place_) (state[place_] != FREE)
#else
#define may_enter(place_) (state[place_] == IDLE)
#endif

inline transaction_enter(place_) {
#ifdef EXPIRY
    d_step {
        ok = may_enter(place_);
        state[place_] = (ok -> RUNNING : state[place_])
    }
#ifdef FLAW_ENDS_BEFORE_ITS_COMMAND
    ;
    d_step {
        state[place_] = (ok && pin[place_] < snapshots_ended_before -> EXPIRED : state[place_])
    }
#endif
#else
    ok = 1
#endif
}

/* RUNNING to IDLE, or to EXPIRED where others need what this snapshot holds back: the owner itself may do that. */
inline transaction_leave(place_) {
#if defined(AGE) && !defined(FLAW_ENDS_BEFORE_ITS_COMMAND)
    ok = (pin[place_] < snapshots_ended_before);
    d_step {
        sequence[place_]++;
        state[place_] = (ok -> EXPIRED : IDLE);
        ok = 0
    }
#elif defined(EXPIRY)
    d_step {
        sequence[place_]++;
        state[place_] = IDLE
    }
#else
    skip
#endif
}

/* Everything is pinned before the clock is read, so no cleaner can slip in between. */
inline transaction_begin(i_) {
#ifndef FLAW_SNAPSHOT_BEFORE_PIN
    pin_store(place_of(me, i_), EVERYTHING);
#endif
#ifdef EXPIRY
    d_step {
        sequence[place_of(me, i_)]++;
        state[place_of(me, i_)] = RUNNING
    };
#endif
    d_step {
        snapshot[i_] = clock;
        open = open | bit_of(i_);
        PROPERTY(acknowledged_is_seen, clock >= acknowledged)
    };
    pin_store(place_of(me, i_), snapshot[i_]);
    transaction_leave(place_of(me, i_))
}

inline transaction_forget(i_) {
    d_step {
        at = 0;
        do
        :: at < KEYS ->
            seen[(i_) * KEYS + at] = 0;
            write[(i_) * KEYS + at] = 0;
            at++
        :: else -> break
        od;
        open = open & ~bit_of(i_);
        snapshot[i_] = 0;
        reads[i_] = 0;
        scans[i_] = 0;
        found[i_] = 0
    }
}

inline transaction_end(i_) {
    transaction_forget(i_);
    if
    :: (i_) != SINGLE ->
        pin_store(place_of(me, i_), INFINITE);
#ifdef EXPIRY
        d_step {
            sequence[place_of(me, i_)]++;
            state[place_of(me, i_)] = FREE
        }
#endif
    :: else
    fi
}

#ifdef FLAW_READ_WITHOUT_LOCK
#define READ_LOCK(s_) skip
#define READ_UNLOCK(s_) skip
#else
#define READ_LOCK(s_) shard_acquire(s_)
#define READ_UNLOCK(s_) shard_release(s_)
#endif

/* The shard is locked for the walk only; the value is read afterwards, under the pin. */
inline transaction_get(i_, k_) {
    READ_LOCK(shard_of(k_));
    d_step {
        PROPERTY(horizon_not_after_snapshot, horizon <= snapshot[i_]);
        version_visible_at(k_, snapshot[i_], v);
        value = (v == NONE -> ABSENT : version[v].value);
        truth_at(k_, snapshot[i_]);
        PROPERTY(no_uncommitted_data, v == NONE || truth[version[v].begin * KEYS + k_] == value);
        PROPERTY(reads_the_snapshot, value == expected);
        READ_UNLOCK(shard_of(k_))
    };
    d_step {
        PROPERTY(no_freed_version_read, v == NONE || (version[v].used && version[v].value == value));
        PROPERTY(repeatable_reads, !(reads[i_] & bit_of(k_)) || seen[(i_) * KEYS + k_] == value);
        reads[i_] = reads[i_] | bit_of(k_);
        seen[(i_) * KEYS + k_] = value;
        v = 0;
        value = 0
    }
}

/* A single GET: the latest, as of the lock; what that shows cannot be freed while everything is pinned. */
inline single_get(k_) {
#ifndef FLAW_SINGLE_GET_UNPINNED
    pin_store(place_of(me, SINGLE), EVERYTHING);
#endif
    shard_acquire(shard_of(k_));
    d_step {
        version_visible_at(k_, INFINITE, v);
        value = (v == NONE || version[v].end != INFINITE -> ABSENT : version[v].value);
        truth_at(k_, clock);
        PROPERTY(reads_the_snapshot, value == expected);
        shard_release(shard_of(k_))
    };
    d_step {
        PROPERTY(no_freed_version_read, value == ABSENT || (version[v].used && version[v].value == value));
        v = 0;
        value = 0
    };
    pin_store(place_of(me, SINGLE), INFINITE)
}

/* Which keys are there in shard s_: found[] collects them as a set. */
inline transaction_scan(i_, s_) {
    shard_acquire(s_);
    d_step {
        PROPERTY(horizon_not_after_snapshot, horizon <= snapshot[i_]);
        k = 0;
        do
        :: k < KEYS ->
            if
            :: shard_of(k) == s_ ->
                version_visible_at(k, snapshot[i_], v);
                truth_at(k, snapshot[i_]);
                PROPERTY(reads_the_snapshot, (v == NONE) == (expected == ABSENT));
                found[i_] = found[i_] | (v != NONE -> bit_of(k) : 0)
            :: else
            fi;
            k++
        :: else -> break
        od;
        k = 0;
        v = 0;
        scans[i_] = scans[i_] | bit_of(s_);
        shard_release(s_)
    }
}

/* --- COMMIT --- */

/* The shards of what is written into w, of what is written, read or scanned into needed. */
inline shards_wanted(i_) {
    d_step {
        k = 0;
        do
        :: k < KEYS ->
            w = w | (write[(i_) * KEYS + k] != 0 -> bit_of(shard_of(k)) : 0);
            needed = needed | (reads[i_] & bit_of(k) -> bit_of(shard_of(k)) : 0);
            k++
        :: else -> break
        od;
        k = 0;
#ifdef FLAW_READS_NOT_LOCKED
        needed = w
#else
        needed = needed | w | scans[i_]
#endif
    }
}

/* C1. Ascending. */
inline commit_lock_shards() {
    s = 0;
    do
    :: s < SHARDS ->
#ifdef FLAW_LOCK_ORDER
        if
        :: me == 0 && (needed & bit_of(s)) -> shard_acquire(s)
        :: me != 0 && (needed & bit_of(SHARDS - 1 - s)) -> shard_acquire(SHARDS - 1 - s)
#else
        if
        :: needed & bit_of(s) -> shard_acquire(s)
#endif
        :: else
        fi;
        s++
    :: else -> break
    od;
    s = 0
}

/* C2. Into ok: times, never identity; absent then and absent now is the same answer. */
inline commit_validate(i_) {
    d_step {
        ok = 1;
        k = 0;
        do
        :: k < KEYS ->
            v = table_entry[k];
            if
            :: !(reads[i_] & bit_of(k))
            :: (reads[i_] & bit_of(k)) && v == NONE -> ok = ok && seen[(i_) * KEYS + k] == ABSENT
            :: (reads[i_] & bit_of(k)) && v != NONE && version[v].end != INFINITE ->
                ok = ok && (version[v].end <= snapshot[i_] || seen[(i_) * KEYS + k] == ABSENT)
            :: else -> ok = ok && version[v].begin <= snapshot[i_]
            fi;
            k++
        :: else -> break
        od;
#ifndef FLAW_NO_SCAN_VALIDATION
        k = 0;
        do
        :: k < SHARDS ->
            ok = ok && (!(scans[i_] & bit_of(k)) || membership_time[k] <= snapshot[i_]);
            k++
        :: else -> break
        od;
#endif
#ifdef FLAW_NO_VALIDATION
        ok = 1;
#endif
        k = 0;
        v = 0
    }
}

/* C3. What a DEL ends is decided here, under the locks; a DEL of an absent key drops out. The commit word is IDLE, so
 * the redo entries count for nobody yet. w becomes the shards with entries. */
inline commit_reserve(i_) {
    d_step {
        w = 0;
        k = 0;
        do
        :: k < KEYS ->
            o = table_entry[k];
            if
            :: write[(i_) * KEYS + k] == 0
            :: write[(i_) * KEYS + k] == DELETED ->
                if
#ifdef FLAW_DEL_ENDS_THE_ENDED
                :: o != NONE ->
#else
                :: o != NONE && version[o].end == INFINITE ->
#endif
                    redo_kind[me * KEYS + k] = DEL;
                    redo_version[me * KEYS + k] = o;
                    w = w | bit_of(shard_of(k))
                :: else ->
#ifdef FLAW_RESOLVED_ONCE
                    write[(i_) * KEYS + k] = 0;
                    dropped = dropped | bit_of(k);
#endif
                    skip
                fi
            :: else ->
                version_reserve(k, write[(i_) * KEYS + k], v);
                redo_kind[me * KEYS + k] = PUT;
                redo_version[me * KEYS + k] = v;
                w = w | bit_of(shard_of(k))
            fi;
            k++
        :: else -> break
        od;
        k = 0; v = 0; o = 0
    }
}

inline redo_clear() {
    d_step {
        at = 0;
        do
        :: at < KEYS ->
            redo_kind[me * KEYS + at] = 0;
            redo_version[me * KEYS + at] = NONE;
            at++
        :: else -> break
        od
    }
}

/* No memory for all of it: back with what there was. */
inline commit_unreserve() {
    d_step {
        at = 0;
        do
        :: at < KEYS ->
            if
            :: redo_kind[me * KEYS + at] == PUT ->
                lowest = redo_version[me * KEYS + at];
                version_free(lowest)
            :: else
            fi;
            redo_kind[me * KEYS + at] = 0;
            redo_version[me * KEYS + at] = NONE;
            at++
        :: else -> break
        od;
        w = 0
    }
}

/* C4. Holding every lock. */
inline commit_tick() {
    d_step {
        clock++;
        ts = clock;
        PROPERTY(model_bounds, clock < TIMES)
    }
}

/* Whether what was read is still so where the commit stands in the order of commits. */
inline commit_is_serializable(i_) {
    k = 0;
    do
    :: k < KEYS ->
        truth_at(k, ts - 1);
        PROPERTY(no_lost_update, !(reads[i_] & bit_of(k)) || write[(i_) * KEYS + k] == 0 ||
                                 seen[(i_) * KEYS + k] == expected);
        PROPERTY(no_write_skew, !(reads[i_] & bit_of(k)) || write[(i_) * KEYS + k] != 0 ||
                                seen[(i_) * KEYS + k] == expected);
        PROPERTY(no_phantom, !(scans[i_] & bit_of(shard_of(k))) ||
                             ((found[i_] & bit_of(k)) != 0) == (expected != ABSENT));
        k++
    :: else -> break
    od;
    k = 0
}

/* C5. The last store is the commit point. */
inline commit_mark(i_) {
    PROPERTY(commit_word_is_idle, commit_word[me] == 0);
    pending[me] = w;
    d_step {
        commit_word[me] = ts;
        commit_is_serializable(i_);
#ifdef EXPIRY
        PROPERTY(expired_changes_nothing, (i_) == SINGLE || state[place_of(me, i_)] == RUNNING);
#endif
        do
        :: k < KEYS ->
            if
#ifdef FLAW_RESOLVED_ONCE
            :: dropped & bit_of(k) -> truth[ts * KEYS + k] = DELETED
#endif
            :: write[(i_) * KEYS + k] != 0 -> truth[ts * KEYS + k] = write[(i_) * KEYS + k]
            :: else
            fi;
            k++
        :: else -> break
        od;
        k = 0
    }
}

inline shard_publish(s_) {
    k = 0;
    do
    :: k < KEYS ->
        if
        :: shard_of(k) == s_ && redo_kind[me * KEYS + k] == PUT -> table_publish(redo_version[me * KEYS + k], k, ts)
        :: shard_of(k) == s_ && redo_kind[me * KEYS + k] == DEL -> table_end(redo_version[me * KEYS + k], k, ts)
        :: else
        fi;
        k++
    :: else -> break
    od;
    k = 0
}

#ifdef FLAW_MEMBERSHIP_AFTER_UNLOCK
inline membership_touch_late() {
    s = 0;
    do
    :: s < SHARDS ->
        membership_time[s] = (w & bit_of(s) -> ts : membership_time[s]);
        s++
    :: else -> break
    od;
    s = 0
}
#endif

/* C6. Per shard: publish, clear the bit, clean a few, unlock. */
inline commit_publish() {
    s = 0;
    do
    :: s < SHARDS ->
        if
        :: w & bit_of(s) ->
#ifdef FLAW_PENDING_CLEARED_FIRST
            pending[me] = pending[me] & ~bit_of(s);
#endif
#ifdef FLAW_UNLOCK_BEFORE_PUBLISH
            shard_release(s);
#endif
#ifdef FLAW_CLEAN_BEFORE_PENDING
            shard_publish(s);
            table_clean(s);
            pending[me] = pending[me] & ~bit_of(s)
#else
            shard_publish(s);
#ifndef FLAW_PENDING_CLEARED_LAST
            pending[me] = pending[me] & ~bit_of(s);
#endif
            table_clean(s)
#endif
        :: else
        fi;
        if
        :: needed & bit_of(s) ->
#ifdef FLAW_UNLOCK_BEFORE_PUBLISH
            if
            :: w & bit_of(s)
            :: else -> shard_release(s)
            fi
#else
            shard_release(s)
#endif
        :: else
        fi;
#ifdef FLAW_PENDING_CLEARED_LAST
        pending[me] = pending[me] & ~bit_of(s);
#endif
        s++
    :: else -> break
    od;
    s = 0
}

/* C7. IDLE first. */
inline commit_finish() {
#ifndef FLAW_STALE_WORD
    commit_word[me] = 0;
#endif
    redo_clear()
}

inline acknowledge() {
    d_step {
        acknowledged = (ts > acknowledged -> ts : acknowledged);
        ts = 0
    }
}

inline shards_unlock() {
    s = 0;
    do
    :: s < SHARDS ->
        if
        :: needed & bit_of(s) -> shard_release(s)
        :: else
        fi;
        s++
    :: else -> break
    od;
    s = 0
}

inline commit_run(i_) {
    ok = 0;
attempt:
    commit_lock_shards();
    commit_validate(i_);
    if
    :: ok ->
#ifdef REUSE
        garbage_reuse_all();
#endif
        commit_reserve(i_)
    :: else -> w = 0
    fi;
    if
#ifdef SCARCE
    :: ok && scarcities < SCARCE -> /* out of memory: engine_reclaim, then all over again */
        d_step { scarcities++; ok = 0 };
        commit_unreserve();
        shards_unlock();
        goto attempt
#endif
    :: w != 0 ->
#if defined(FLAW_MARK_BEFORE_TICK)
        ts = clock + 1;
        commit_mark(i_);
        clock = (clock < ts -> ts : clock);
#elif defined(FLAW_TICK_LAST)
        ts = clock + 1;
        early = ts;
        commit_mark(i_);
#elif defined(FLAW_TICK_BEFORE_LOCKS)
        ts = early;
        early = 0;
        commit_mark(i_);
#else
        commit_tick();
        commit_mark(i_);
#endif
        commit_publish();
#ifdef FLAW_MEMBERSHIP_AFTER_UNLOCK
        membership_touch_late();
#endif
        commit_finish()
    :: w == 0 -> shards_unlock() /* a conflict, or nothing to change */
    fi
}

inline transaction_commit(i_) {
    shards_wanted(i_);
#ifdef FLAW_TICK_BEFORE_LOCKS
    d_step { clock++; early = clock };
#endif
    if
    :: w != 0 -> commit_run(i_)
    :: else /* it only read: nothing to do */
    fi;
    d_step { w = 0; needed = 0; ok = 0 };
    transaction_end(i_);
#ifdef FLAW_TICK_LAST
    acknowledge();
    clock = (clock < early -> early : clock);
    early = 0
#else
    acknowledge()
#endif
}

#ifdef SET_ASIDE
/* COMMIT gives back what it has locked: the shards before s. The client is told, and rolls back. */
inline command_refuse() {
    d_step { unavailable = 0; ok = 0; w = 0; needed = needed & (bit_of(s) - 1) };
#ifndef FLAW_REFUSED_KEEPS_LOCKS
    shards_unlock();
#endif
    d_step { s = 0; needed = 0 };
    pin_store(place_of(me, x), INFINITE);
    transaction_end(x)
}
#endif

/* --- the slot of the dead --- */

#if RECOVERS
/* The pins go first: the dead read nothing any more. */
inline transactions_drain() {
    do
    :: value < TRANSACTIONS ->
        pin[place_of(me, value)] = INFINITE;
#ifdef EXPIRY
        d_step {
            sequence[place_of(me, value)]++;
            state[place_of(me, value)] = FREE
        };
#endif
        value++
    :: else -> break
    od;
    value = 0;
    pin[place_of(me, SINGLE)] = INFINITE
}

inline pending_drain() {
    w = (commit_word[me] != 0 -> pending[me] : 0);
    s = 0;
    do
    :: s < SHARDS ->
        if
        :: w & bit_of(s) ->
            shard_acquire(s);
            shard_release(s)
        :: else
        fi;
        s++
    :: else -> break
    od;
    s = 0;
    w = 0
}

inline record_clear() {
    commit_word[me] = 0; /* before anything else of the record, as in a commit */
    pending[me] = 0;
    redo_clear()
}

inline slot_drain() {
    transactions_drain();
#ifndef FLAW_SLOT_UNDRAINED
    pending_drain();
#endif
    record_clear()
}

#ifdef SET_ASIDE
#define ABANDONED 100 /* a line after the last one of every workload */

/* process_slot_abandon: a shard of its log is set aside, so the log stays and nobody claims the slot again. */
inline slot_abandon() {
    d_step { unavailable = 0; s = 0; w = 0 };
#ifdef FLAW_SET_ASIDE_DRAINED
    record_clear()
#else
    pc = ABANDONED
#endif
}
#endif
#endif
