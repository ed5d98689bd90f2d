/* The table of key locks: src/transaction/key_lock.c. Everything here wants the mutex. */

#ifdef CHUNK
#define is_in_chunk(lock_) ((lock_) != first_of(slot_of(lock_)))
#define has_chunk(slot_) ((chunk_known & bit_of(slot_)) != 0)
#define is_mapped(lock_) (!is_in_chunk(lock_) || (chunk_owned & bit_of(slot_of(lock_))) != 0)
#else
#define is_in_chunk(lock_) 0
#define has_chunk(slot_) 1
#define is_mapped(lock_) 1
#endif

/* --- what is always true; all within a d_step --- */

/* Holds even when the mutex is inherited: no heir could say which of two owners is the right one. */
inline owners_check() {
    at = 0;
    do
    :: at < KEYS ->
        owners = 0;
        other = 1;
        do
        :: other <= LOCKS -> owners = owners + (lock_state[other] == OWNS && lock_key[other] == at); other++
        :: else -> break
        od;
        PROPERTY(one_owner, owners <= 1);
        at++
    :: else -> break
    od;
    at = 0
}

/* Holds whenever the mutex is free and nobody died holding it. */
inline key_locks_check() {
    owners_check();
    entries = 0;
    other = 1;
    do
    :: other <= LOCKS ->
        if
        :: lock_state[other] != FREE ->
            entries++;
#ifdef EXPIRY
            PROPERTY(entries_belong, lock_transaction[other] == SINGLE || is_dead(slot_of(other)) ||
                                     state[place_of(slot_of(other), lock_transaction[other])] != FREE);
#endif
            if
            :: lock_state[other] == WAITS ->
                PROPERTY(derived_is_true, waiting[slot_of(other)] == other);
                owner_find_in_truth(lock_key[other]);
                PROPERTY(waiter_has_owner, at != NONE)
            :: else -> PROPERTY(derived_is_true, waiting[slot_of(other)] != other)
            fi
        :: else
        fi;
        other++
    :: else -> break
    od;
    PROPERTY(derived_is_true, key_lock_count == entries);
    last = 0;
    other = bucket_head;
    do
    :: other != NONE && entries > 0 ->
        PROPERTY(derived_is_true, lock_state[other] != FREE && lock_ticket[other] > last);
        last = lock_ticket[other];
        entries--;
        other = lock_next[other]
    :: else -> break
    od;
    PROPERTY(derived_is_true, other == NONE && entries == 0)
}

/* Into `at`. */
inline owner_find_in_truth(k_) {
    at = LOCKS;
    do
    :: at > NONE && (lock_state[at] != OWNS || lock_key[at] != k_) -> at--
    :: else -> break
    od
}

/* Whether this process waiting for the key would close a cycle, by the entries, not by what is derived from them. Into
 * `at`. */
inline cycle_find_in_truth(k_) {
    owner_find_in_truth(k_);
    steps = 0;
    do
    :: steps < SLOTS && at != NONE && slot_of(at) != me && !is_dead(slot_of(at)) ->
        other = first_of(slot_of(at));
        last = other + ENTRIES;
        do
        :: other < last && lock_state[other] != WAITS -> other++
        :: else -> break
        od;
        if
        :: other < last -> owner_find_in_truth(lock_key[other])
        :: else -> at = NONE
        fi;
        steps++
    :: else -> break
    od;
    at = (at != NONE && slot_of(at) == me -> at : NONE)
}

/* --- the mutex --- */

inline mutex_enter() {
    if
    :: d_step { mutex_holder == 0 && !is_mutex_inherited -> mutex_holder = me + 1; key_locks_check() }
#if DEATHS
    :: d_step { mutex_holder == 0 && mutex_inherited -> mutex_holder = me + 1; owners_check() };
        key_locks_rebuild()
#endif
    fi
}

#ifdef FLAW_WAKE_AFTER_UNLOCK
#define WAKE(g_) late = g_
#define WAKE_LATE() ; if :: late != NONE -> d_step { futex_wake(late); late = NONE } :: else fi
#else
#define WAKE(g_) futex_wake(g_)
#define WAKE_LATE()
#endif

inline mutex_leave() {
    d_step { key_locks_check(); mutex_holder = 0 }
    WAKE_LATE()
}

inline futex_wake(lock_) {
    sleeps_on[slot_of(lock_)] = (sleeps_on[slot_of(lock_)] == lock_ -> NONE : sleeps_on[slot_of(lock_)])
}

/* --- the chain of the bucket: derived, in the order of tickets --- */

inline chain_add(lock_) {
    lock_next[lock_] = NONE;
    if
    :: bucket_head == NONE -> bucket_head = lock_
    :: else ->
        other = bucket_head;
        do
        :: lock_next[other] != NONE -> other = lock_next[other]
        :: else -> break
        od;
        lock_next[other] = lock_
    fi
}

inline chain_remove(lock_) {
    if
    :: bucket_head == lock_ -> bucket_head = lock_next[lock_]
    :: else ->
        other = bucket_head;
        do
        :: other != NONE && lock_next[other] != lock_ ->
            PROPERTY(no_freed_entry_read, is_mapped(other));
            other = lock_next[other]
        :: else -> break
        od;
        if
        :: other != NONE -> lock_next[other] = lock_next[lock_]
        :: else
        fi
    fi;
    lock_next[lock_] = NONE
}

/* The first entry of the key in this state, or NONE; into `at`. */
inline chain_find(k_, state_) {
    at = bucket_head;
    do
    :: at != NONE && (lock_state[at] != state_ || lock_key[at] != k_) ->
        PROPERTY(no_freed_entry_read, is_mapped(at));
        at = lock_next[at]
    :: else -> break
    od
}

/* --- release --- */

/* No entry of this key waits with an earlier ticket. */
inline order_check(lock_) {
    other = 1;
    do
    :: other <= LOCKS ->
        PROPERTY(grants_in_order, lock_state[other] != WAITS || lock_key[other] != lock_key[lock_] ||
                                  lock_ticket[other] >= lock_ticket[lock_]);
        other++
    :: else -> break
    od
}

inline lock_grant(lock_) {
    order_check(lock_);
    lock_state[lock_] = OWNS;
    waiting[slot_of(lock_)] = NONE
}

/* Tickets are only compared, so here they stay dense: fewer states, and no other behaviour. */
inline lock_end(lock_) {
    other = 1;
    do
    :: other <= LOCKS ->
        lock_ticket[other] = lock_ticket[other] - (lock_ticket[other] > lock_ticket[lock_]);
        other++
    :: else -> break
    od;
    next_ticket--;
    lock_state[lock_] = FREE;
    chain_remove(lock_);
    key_lock_count--;
    waiting[slot_of(lock_)] = (waiting[slot_of(lock_)] == lock_ -> NONE : waiting[slot_of(lock_)]);
    lock_key[lock_] = 0;
    lock_ticket[lock_] = 0;
    lock_transaction[lock_] = 0
}

/* An entry of the slot and transaction, or NONE; into `at`. */
#define ALL 255
inline entry_find(slot_, i_) {
    at = first_of(slot_);
    last = at + (has_chunk(slot_) -> ENTRIES : 1);
    do
    :: at < last && (lock_state[at] == FREE || ((i_) != ALL && lock_transaction[at] != (i_))) -> at++
    :: else -> break
    od;
    at = (at < last -> at : NONE)
}

/* Who is next when e ends: its key's earliest waiter; into g. */
inline successor_find() {
    if
    :: e != NONE && lock_state[e] == OWNS -> chain_find(lock_key[e], WAITS); g = at
    :: else
    fi
}

/* Frees one entry of the transaction; e becomes the next one of it, g who is to have the key. */
inline entry_end(slot_, i_) {
    if
    :: e != NONE -> lock_end(e)
    :: else
    fi;
    entry_find(slot_, i_);
    e = at
}

/* All entries of the transaction. The grant and the wake come before the unlock: after it a death would lose them. */
inline transaction_end_locks(slot_, i_) {
    d_step { entry_find(slot_, i_); e = at };
    do
    :: e == NONE -> break
#ifdef FLAW_GRANT_BEFORE_FREE
    :: e != NONE ->
        d_step { successor_find() };
        if
        :: d_step { g != NONE -> lock_grant(g) }; d_step { futex_wake(g); g = NONE }
        :: g == NONE
        fi;
        d_step { entry_end(slot_, i_) }
#else
    :: d_step { e != NONE -> successor_find(); entry_end(slot_, i_) };
        if
#ifdef FLAW_GRANT_LATER
        :: g != NONE ->
            mutex_leave();
            mutex_enter();
            d_step { owner_find_in_truth(lock_key[g]); ok = (lock_state[g] == WAITS && at == NONE) };
            if
            :: d_step { ok -> lock_grant(g); futex_wake(g); g = NONE; ok = 0 }
            :: d_step { !ok -> g = NONE }
            fi
#else
        :: d_step { g != NONE -> lock_grant(g) }; d_step { WAKE(g); g = NONE }
#endif
        :: g == NONE
        fi
#endif
    od
}

/* --- the chunk of entries: goes back when none is in use, under the mutex, as a rebuild may be walking it --- */

#ifdef CHUNK
inline chunks_return(slot_) {
#ifdef FLAW_CHUNK_FREED_FIRST
    chunk_owned = chunk_owned & ~bit_of(slot_);
    chunk_known = chunk_known & ~bit_of(slot_)
#else
    chunk_known = chunk_known & ~bit_of(slot_);
    chunk_owned = chunk_owned & ~bit_of(slot_)
#endif
}

inline chunk_return_unused() {
    d_step { entry_find(me, ALL); ok = (at == NONE && has_chunk(me)) };
    if
    :: ok -> chunks_return(me)
    :: else
    fi;
    ok = 0
}

/* Whoever acquires for LOCKING leaves a free entry, so that a single command needs no memory in order to wait. */
inline room_make(i_) {
    if
#ifdef FLAW_NO_ENTRY_LEFT
    :: (verdict == TAKEN || verdict == QUEUED) && (i_) != SINGLE && !has_chunk(me) &&
       lock_state[first_of(me)] != FREE ->
#else
    :: (verdict == TAKEN || verdict == QUEUED) && (i_) != SINGLE && !has_chunk(me) ->
#endif
        chunk_owned = chunk_owned | bit_of(me);
        chunk_known = chunk_known | bit_of(me)
    :: else
    fi
}
#endif

/* --- acquire --- */

/* From the owner of the wanted key, which is in `at`, along the edges: from a connection that waits to the one that
 * owns what it waits for. The dead have no edges: the drain gives up what they have. */
inline would_wait_for_itself() {
    verdict = QUEUED;
    steps = 0;
    do
#ifdef FLAW_NO_SELF_EDGE
    :: at != NONE && slot_of(at) == me && steps > 0 -> verdict = DEADLOCK; break
#else
    :: at != NONE && slot_of(at) == me -> verdict = DEADLOCK; break
#endif
#ifdef FLAW_DEAD_EDGES_COUNT
    :: at != NONE && slot_of(at) != me && steps < SLOTS ->
#else
    :: at != NONE && slot_of(at) != me && steps < SLOTS && !is_dead(slot_of(at)) ->
#endif
        at = waiting[slot_of(at)];
        if
        :: at != NONE -> other = lock_key[at]; chain_find(other, OWNS)
        :: else
        fi;
        steps++
    :: else -> break
    od
}

/* What is right about a `deadlock`. */
inline victim_check(k_) {
    if
    :: verdict == DEADLOCK ->
        cycle_find_in_truth(k_);
        PROPERTY(no_spurious_victim, at != NONE);
        at = first_of(me);
        last = at + ENTRIES;
        do
        :: at < last && (lock_state[at] != OWNS || lock_transaction[at] == SINGLE) -> at++
        :: else -> break
        od;
        PROPERTY(only_lockers_are_victims, at < last);
#ifdef VICTIMS
        victims++;
        PROPERTY(one_victim, victims <= VICTIMS)
#endif
    :: else
    fi
}

/* Into verdict. */
inline lock_queue(i_, k_, only_to_wait_) {
    chain_find(k_, OWNS);
    if
    :: at == NONE -> verdict = (only_to_wait_ -> UNOWNED : TAKEN)
    :: at != NONE && slot_of(at) == me && lock_transaction[at] == (i_) -> verdict = GRANTED
    :: else ->
#if defined(FLAW_SEARCH_BEFORE_MUTEX)
        verdict = (early == DEADLOCK -> DEADLOCK : QUEUED)
#elif defined(FLAW_SEARCH_AFTER_ENQUEUE)
        verdict = QUEUED
#else
        would_wait_for_itself();
        victim_check(k_)
#endif
    fi
}

/* While the state is FREE nobody looks at the rest, and a death leaves a gap in the tickets; one store makes it
 * count. */
inline lock_make(i_, k_) {
    if
    :: verdict == TAKEN || verdict == QUEUED ->
        e = first_of(me);
        last = e + (has_chunk(me) -> ENTRIES : 1);
        do
        :: e < last && lock_state[e] != FREE -> e++
        :: else -> break
        od;
        PROPERTY(entry_is_there, e < last);
#ifndef FLAW_STATE_BEFORE_FIELDS
        lock_key[e] = k_;
#endif
        lock_ticket[e] = next_ticket;
        lock_transaction[e] = i_;
        next_ticket++;
        lock_state[e] = (verdict == QUEUED -> WAITS : OWNS);
        chain_add(e);
        if
        :: verdict == QUEUED -> waiting[me] = e
        :: else -> order_check(e)
        fi
    :: else
    fi
}

inline lock_ask(i_, k_, only_to_wait_) {
#ifdef FLAW_SEARCH_BEFORE_MUTEX
    d_step { chain_find(k_, OWNS); would_wait_for_itself(); early = verdict; verdict = 0 };
#endif
    mutex_enter();
#ifdef CHUNK
    d_step { lock_queue(i_, k_, only_to_wait_) };
    room_make(i_);
    d_step { lock_make(i_, k_) };
#else
    d_step { lock_queue(i_, k_, only_to_wait_); lock_make(i_, k_) };
#endif
#ifdef FLAW_STATE_BEFORE_FIELDS
    lock_key[e] = k_;
#endif
    key_lock_count = key_lock_count + (e != NONE);
    mutex_leave()
#ifdef FLAW_SEARCH_AFTER_ENQUEUE
    ;
    if
    :: verdict == QUEUED ->
        mutex_enter();
        d_step {
            if
            :: lock_state[e] == WAITS -> chain_find(k_, OWNS); would_wait_for_itself(); victim_check(k_)
            :: else
            fi
        };
        mutex_leave();
        if
        :: verdict == DEADLOCK -> lock_give_up()
        :: else
        fi
    :: else
    fi
#endif
}

/* The deadline has passed; the grant may have come first. Or nobody wants the key any more: then what was granted is given
 * back. */
inline lock_give_up() {
#ifdef FLAW_TIMEOUT_WITHOUT_MUTEX
    verdict = (lock_state[e] == OWNS -> GRANTED : TIMED_OUT);
    d_step {
        if
        :: verdict == TIMED_OUT -> lock_end(e)
        :: else
        fi
    }
#else
    mutex_enter();
    if
    :: d_step { lock_state[e] == OWNS -> verdict = GRANTED }
#ifdef FLAW_GIVES_UP_UNPASSED
    :: d_step { lock_end(e); verdict = TIMED_OUT }
#else
    :: d_step { successor_find(); lock_end(e); verdict = TIMED_OUT };
        if
        :: d_step { g != NONE -> lock_grant(g) }; d_step { WAKE(g); g = NONE }
        :: g == NONE
        fi
#endif
    fi;
    mutex_leave()
#endif
}

/* The kernel sleeps only if the word still says WAITS. */
inline lock_wait() {
    do
#ifdef FLAW_SLEEP_UNCHECKED
    :: verdict == QUEUED ->
        verdict = (lock_state[e] == OWNS -> GRANTED : QUEUED);
        if
        :: verdict == QUEUED -> sleeps_on[me] = e
        :: else
        fi;
#else
    :: d_step {
        verdict == QUEUED ->
        if
        :: lock_state[e] == WAITS -> sleeps_on[me] = e
        :: else -> verdict = GRANTED
        fi
    };
#endif
        if
        :: sleeps_on[me] == NONE
#if TIMEOUTS
        :: d_step { sleeps_on[me] != NONE && timeouts < TIMEOUTS -> timeouts++; sleeps_on[me] = NONE };
            lock_give_up()
#endif
        fi
    :: verdict != QUEUED -> break
    od
}

/* TAKEN, GRANTED, UNOWNED, DEADLOCK or TIMED_OUT into verdict; lock_got follows. */
inline lock_get(i_, k_, only_to_wait_) {
    lock_ask(i_, k_, only_to_wait_);
    lock_wait();
    e = NONE
}

/* --- the rebuild, by whoever inherits the mutex --- */

#if DEATHS
/* All that is derived. One step: who finds it half done finds the mutex inherited and begins again. Only
 * `key_lock_count` is read without the mutex: it is stored once, when all entries are counted. */
inline slots_rebuild() {
    other = 1;
    entries = 0;
    bucket_head = NONE;
    do
    :: other <= LOCKS ->
        PROPERTY(no_freed_entry_read, !is_in_chunk(other) || !has_chunk(slot_of(other)) || is_mapped(other));
        lock_next[other] = NONE;
        waiting[slot_of(other)] = (other == first_of(slot_of(other)) -> NONE : waiting[slot_of(other)]);
        if
        :: lock_state[other] != FREE ->
            entries++;
            waiting[slot_of(other)] = (lock_state[other] == WAITS -> other : waiting[slot_of(other)])
        :: else -> lock_key[other] = 0; lock_ticket[other] = 0; lock_transaction[other] = 0
        fi;
        other++
    :: else -> break
    od;
#ifndef FLAW_REBUILD_TRUSTS_COUNT
    key_lock_count = entries;
#endif
    rank = 1;
    do
    :: rank <= entries ->
        /* the earliest that has no rank yet gets this one */
        at = NONE;
        other = 1;
        do
        :: other <= LOCKS ->
            if
            :: lock_state[other] != FREE && lock_ticket[other] >= rank &&
               (at == NONE || lock_ticket[other] < lock_ticket[at]) -> at = other
            :: else
            fi;
            other++
        :: else -> break
        od;
        lock_ticket[at] = rank;
#ifndef FLAW_REBUILD_UNSORTED
        chain_add(at);
#endif
        rank++
    :: else -> break
    od;
    next_ticket = rank;
#ifdef FLAW_REBUILD_UNSORTED
    at = 1;
    do
    :: at <= LOCKS ->
        if
        :: lock_state[at] != FREE -> chain_add(at)
        :: else
        fi;
        at++
    :: else -> break
    od;
#endif
    skip
}

/* A key whose owner ended, and its death came before the grant. */
inline owner_restore(k_) {
    chain_find(k_, OWNS);
    if
    :: at == NONE ->
        chain_find(k_, WAITS);
        if
        :: at != NONE -> lock_grant(at)
        :: else
        fi
    :: else
    fi
}

/* The dead may have stored OWNS and not woken. */
inline owners_wake() {
    at = 1;
    do
    :: at <= LOCKS ->
        if
        :: lock_state[at] == OWNS -> futex_wake(at)
        :: else
        fi;
        at++
    :: else -> break
    od;
    at = 0
}

inline key_locks_rebuild() {
#ifdef FLAW_CONSISTENT_FIRST
    mutex_inherited = 0;
#endif
#ifdef FLAW_REBUILD_RESETS_COUNT
    key_lock_count = 0;
#endif
    d_step { slots_rebuild() };
#ifndef FLAW_REBUILD_DOES_NOT_GRANT
    d_step { owner_restore(0) };
#if KEYS > 1
    d_step { owner_restore(1) };
#endif
#if KEYS > 2
    d_step { owner_restore(2) };
#endif
#endif
#ifndef FLAW_HEIR_DOES_NOT_WAKE
    d_step { owners_wake() };
#endif
    mutex_inherited = 0 /* robust_mutex_mark_consistent */
}
#endif
