/* The shard: who takes its lock, what is changed under it (src/table, src/transaction), and the read without it. */

/* --- recovery, by whoever inherits the lock --- */

#if DEATHS
/* R1: finish a page that is being replaced. */
inline table_repair_directory() {
    i = 0;
    do
    :: i < KEYS ->
        if
        :: page_replaced_by[directory[i]] != NONE -> directory[i] = page_replaced_by[directory[i]]
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0
}

/* R3. All derived data anew, what nothing reaches is freed. Superseded versions below the horizon are not reached. */
inline table_rebuild() {
    d_step {
        h = 0; /* the set of versions reached */
        i = 0;
        do
        :: i < KEYS ->
            v = page_entry[directory[i] * KEYS + i];
            t = INFINITE;
            do
            :: v != NONE ->
                h = h | bit_of(v);
                version[v].is_deleted = (version[v].end != t);
                version[v].queued = (version[v].end != INFINITE);
                t = version[v].begin;
                v = (t <= horizon -> NONE : version[v].older)
            :: else -> break
            od;
            i++
        :: else -> break
        od;
        v = 1;
        do
        :: v <= VERSIONS ->
            if
            :: version[v].owner == OURS && !(h & bit_of(v)) -> version_free(v)
            :: else
            fi;
            v++
        :: else -> break
        od;
        i = 1;
        do
        :: i <= PAGES ->
            page_owner[i] = (page_owner[i] == OURS && directory[0] != i && directory[1] != i -> FREE : page_owner[i]);
            i++
        :: else -> break
        od;
        h = 0; v = 0; t = 0; i = 0
    }
}

/* R2 is redo: recipes P and D again. */
inline shard_repair() {
    table_repair_directory();
    r = 0;
    do
    :: r < SLOTS ->
        if
        :: commit_word[r] != 0 && pending[r] ->
            if
            :: redo_kind[r] == PUT -> publish(redo_version[r], redo_key[r], commit_word[r])
            :: redo_kind[r] == DEL -> version[redo_version[r]].end = commit_word[r]
            fi;
            d_step { pending[r] = 0; o = 0; was_absent = 0 }
        :: else
        fi;
        r++
    :: else -> break
    od;
    r = 0;
    table_rebuild()
}

/* How many heirs died of it is left out: whoever inherits the shard may set it aside. */
inline recovery_shard() {
#ifdef SET_ASIDE
    if
    :: !shard_set_aside -> shard_repair()
    :: !shard_set_aside -> shard_set_aside = 1
    :: shard_set_aside
    fi;
#else
    shard_repair();
#endif
    inherited = 0 /* robust_mutex_mark_consistent */
}
#endif

/* --- the lock --- */

inline shard_lock() {
    d_step { shard_holder == 0 -> shard_holder = me + 1 }
}

inline shard_release() {
    shard_holder = 0
}

/* W1, for whoever has the lock. */
inline change_begin() {
#ifdef FLAW_HEIR_UNCOUNTED
    if
    :: is_inherited
    :: else -> changes++
    fi
#else
    changes++
#endif
}

/* Behind W1, or before it can be seen; the commit's load of the horizon comes after its tick, so it is none of these. */
#ifdef KEYS_ARE_KEPT
#define load_early() d_step { h = horizon; ok = (counted == 0) }
#else
#define load_early() h = horizon
#endif

inline shard_enter() {
#if DEATHS
    if
    :: inherited -> recovery_shard()
    :: else
    fi
#else
    skip
#endif
}

/* shard_acquire, and shard_try_acquire: h is the horizon, ok whether nobody keeps the key. Who inherited the shard loads neither
 * before W1: it repairs first. */
inline shard_acquire() {
    shard_lock();
#ifdef FLAW_COUNTED_LATE
    load_early();
    shard_enter()
#elif defined(HEIR_COUNTS_LAST)
    shard_enter();
    changes++;
    load_early()
#else
    if
    :: !is_inherited -> load_early(); change_begin()
    :: change_begin(); shard_enter(); load_early()
    fi
#endif
}

/* Everybody who was refused gives the lock back. */
#ifdef SET_ASIDE
#define is_refused shard_set_aside
#else
#define is_refused 0
#endif

/* --- what is changed --- */

/* What was freed keeps its bytes. */
inline version_free(v_) {
    version[v_].owner = FREE;
    version[v_].is_deleted = 0;
    version[v_].queued = 0
}

/* S1 to S4; without memory for a page nothing is done. */
inline page_rehash() {
    d_step {
        p = 1;
        do
        :: p <= PAGES && page_owner[p] != FREE -> p++
        :: else -> break
        od;
        if
        :: p <= PAGES ->
            page_owner[p] = OURS;
            page_replaced_by[p] = NONE;
            at = 0;
            do
            :: at < KEYS -> page_entry[p * KEYS + at] = page_entry[directory[at] * KEYS + at]; at++
            :: else -> break
            od
        :: else -> p = NONE
        fi
    };
    if
    :: p != NONE ->
        o = directory[0];
        page_replaced_by[o] = p;
        directory[0] = p;
        directory[1] = p;
        d_step { page_owner[o] = FREE; o = 0 }
    :: else
    fi;
    p = 0
}

/* Into v; NONE without memory. Its stores are private, but for those who hold a reference to the memory's last owner. */
inline version_reserve(k_, value_) {
    d_step {
        v = 1;
        do
        :: v <= VERSIONS && version[v].owner != FREE -> v++
        :: else -> break
        od;
        if
        :: v <= VERSIONS -> version[v].owner = OURS; version[v].key = k_; version[v].begin = 0
        :: else -> v = NONE
        fi
    };
    if
    :: v != NONE ->
        version[v].end = INFINITE;
        d_step { version[v].older = NONE; version[v].value = value_ }
    :: else
    fi
}

/* P1 to P5, by the owner and again by an heir. Leaves in o the version that was the newest. */
inline publish(v_, k_, t_) {
    d_step {
        o = page_entry[directory[k_] * KEYS + k_];
        PROPERTY(no_lost_commit, version[v_].owner == OURS && version[v_].key == k_);
        o = (o == v_ -> NONE : o);
        was_absent = (o == NONE || version[o].end < t_)
    };
    if
    :: page_entry[directory[k_] * KEYS + k_] != v_ ->
        version[v_].begin = t_;
        version[v_].older = o;
        if
        :: !was_absent -> version[o].end = t_
        :: else
        fi;
#ifdef FLAW_COUNTED_LATE
        changes++;
#endif
        page_entry[directory[k_] * KEYS + k_] = v_
    :: else
    fi
}

inline horizon_advance_at_once() {
    d_step {
        lowest = clock;
        at = 0;
        do
        :: at < SLOTS -> lowest = (pin[at] < lowest -> pin[at] : lowest); at++
        :: else -> break
        od;
        horizon = (lowest > horizon -> lowest : horizon)
    }
}

/* H1 and H2, each load a step. */
inline horizon_advance() {
    h = clock;
    t = 0;
    do
    :: t < SLOTS -> d_step { h = (pin[t] < h -> pin[t] : h); t++ }
    :: else -> break
    od;
    t = 0;
    d_step { horizon = (h > horizon -> h : horizon); h = 0 }
}

/* G2' and G2": removes its entry, or cuts the chain above it; one store. */
inline deleted_unlink() {
    d_step {
        o = page_entry[directory[version[v].key] * KEYS + version[v].key];
        if
        :: o == v -> page_entry[directory[version[v].key] * KEYS + version[v].key] = NONE
        :: else ->
            do
            :: o != NONE && version[o].begin > h && version[o].older != v -> o = version[o].older
            :: else -> break
            od;
            if
            :: o != NONE && version[o].begin > h -> version[o].older = NONE
            :: else
            fi
        fi;
        o = 0
    }
}

/* With the horizon h. */
inline table_clean() {
    v = 1;
    do
    :: v <= VERSIONS ->
        if
        :: version[v].owner == OURS && version[v].queued && version[v].end <= h ->
            if
            :: version[v].is_deleted -> deleted_unlink()
            :: else
            fi;
            d_step { version_free(v) }
        :: else
        fi;
        v++
    :: else -> break
    od;
    v = 0;
    h = 0
}

inline engine_clean() {
    horizon_advance();
#ifdef FLAW_CLEANER_UNCOUNTED
    shard_lock();
    h = horizon;
    shard_enter();
#else
    shard_acquire();
#endif
    if
    :: is_refused
    :: else -> table_clean()
    fi;
    d_step { h = 0; ok = 0; shard_release() }
}

/* --- COMMIT of one write: C1 to C7 --- */

#ifdef QUIET
#ifdef FLAW_QUIET_WITHOUT_COUNT
#define quiet_begin() quiet_at = (is_large -> 1 : quiet_at)
#define quiet_end() d_step { quiet_at = (is_large -> 0 : quiet_at); changes = changes + is_large }
#else
#define quiet_begin() quiet_at = (is_large -> changes : quiet_at)
#define quiet_end() changes = changes + is_large
#endif
/* Another shard of this commit is published, and somebody was shown it. */
#define others_are_published() \
    if \
    :: d_step { acknowledged = (ts > acknowledged -> ts : acknowledged) } \
    :: skip \
    fi
#endif

/* C4, C5. The ghost of the truth comes with the commit point; nobody reads the clock's new value as a time before W1. */
inline commit_tick() {
    d_step {
        clock++;
        ts = clock;
        PROPERTY(model_bounds, clock < TIMES)
    }
}

inline commit_mark(k_, value_, kind_) {
#if DEATHS
    d_step { pending[me] = 1; redo_kind[me] = kind_; redo_key[me] = k_; redo_version[me] = v };
    d_step {
        commit_word[me] = ts;
        truth[ts * KEYS + k_] = value_
    }
#else
    truth[ts * KEYS + k_] = value_
#endif
}

inline commit_write(k_, value_) {
    if
    :: value_ != DELETED ->
        commit_mark(k_, value_, PUT);
#ifdef QUIET
        others_are_published();
#endif
#ifdef FLAW_QUIET_AFTER_TICK
        quiet_end();
#endif
#ifdef FLAW_UNLOCKED_EARLY
        shard_release();
#endif
        publish(v, k_, ts);
        d_step {
            if
            :: o != NONE && !was_absent -> version[o].queued = 1
            :: else
            fi;
            o = 0;
            was_absent = 0
        }
    :: else ->
        commit_mark(k_, value_, DEL);
#ifdef QUIET
        others_are_published();
#endif
#ifdef FLAW_QUIET_AFTER_TICK
        quiet_end();
#endif
#ifdef FLAW_UNLOCKED_EARLY
        shard_release();
#endif
        d_step {
            version[v].end = ts;
            version[v].is_deleted = 1;
            version[v].queued = 1
        }
#ifdef FLAW_COUNTED_LATE
        ;
        changes++
#endif
    fi
}

/* A page that is replaced can be seen. */
inline page_make_room() {
#if defined(QUIET) && !defined(FLAW_QUIET_BESIDE_SPLIT)
    quiet_end();
    page_rehash();
    quiet_begin()
#else
    page_rehash()
#endif
}

/* C3. Into v: the new version, the one that a DEL ends, or NONE. */
inline commit_reserve(k_, value_) {
    if
    :: value_ != DELETED -> version_reserve(k_, value_)
    :: else ->
        d_step {
            v = page_entry[directory[k_] * KEYS + k_];
            v = (v != NONE && version[v].end == INFINITE -> v : NONE)
        }
    fi
}

inline commit_run(k_, value_, grows_) {
    shard_acquire();
#ifdef KEYS_ARE_KEPT
    /* C1a: who meets a key lock waits; here it gives up. */
    if
    :: is_refused || (!ok && k_ == 0)
    :: else ->
#else
    if
    :: is_refused
    :: else ->
#endif
        d_step { h = 0; ok = 0 };
#ifdef QUIET
        quiet_begin();
#endif
        if
        :: grows_ -> page_make_room()
        :: else
        fi;
#ifdef FLAW_QUIET_REUSES
        horizon_advance_at_once();
        h = horizon;
        table_clean();
#endif
        commit_reserve(k_, value_);
        if
        :: v != NONE ->
#if defined(QUIET) && !defined(FLAW_QUIET_AFTER_TICK) && !defined(FLAW_QUIET_FOR_GOOD)
            quiet_end(); /* in every shard that is written, before the tick */
#endif
            commit_tick();
            commit_write(k_, value_);
#if DEATHS
            pending[me] = 0;
#endif
#ifdef HORIZON_IN_COMMIT
            horizon_advance_at_once();
#endif
            h = horizon;
            table_clean()
        :: else
        fi
    fi;
#ifdef FLAW_UNLOCKED_EARLY
    d_step {
        v = 0; h = 0; ok = 0;
        if
        :: shard_holder == me + 1 -> shard_release()
        :: else
        fi
    };
#else
    d_step { v = 0; h = 0; ok = 0; shard_release() };
#endif
#if DEATHS
    commit_word[me] = 0;
    d_step { redo_kind[me] = 0; redo_key[me] = 0; redo_version[me] = NONE };
#endif
    d_step { acknowledged = (ts > acknowledged -> ts : acknowledged); ts = 0 }
}

/* --- reading --- */

#define is_inside(v_) ((v_) <= VERSIONS)
#ifdef FLAW_REFERENCE_UNCHECKED
#define leads_out(v_) 0
#else
#define leads_out(v_) (!is_inside(v_))
#endif
#define is_visible(end_, snapshot_) ((end_) > (snapshot_) || (end_) == INFINITE)

/* What the lock would show, of key k_ at the snapshot: into o. */
inline locked_find(k_) {
    o = page_entry[directory[k_] * KEYS + k_];
    do
    :: o != NONE && version[o].begin > snapshot -> o = version[o].older
    :: else -> break
    od;
    o = (o != NONE && !is_visible(version[o].end, snapshot) -> NONE : o)
}

#define value_of(v_) ((v_) == NONE -> ABSENT : version[v_].value)
#ifdef FLAW_COPY_KEPT
#define value_take() value = (value == ABSENT -> value_of(v) : value)
#else
#define value_take() value = value_of(v)
#endif

/* What is true of a read that stands, with this value: `since` is what was acknowledged when it began. A single GET was as of
 * some time since, and the time that it names is one at which it was so. */
inline read_check(k_) {
    PROPERTY(set_aside_is_refused, !is_set_aside);
    if
    :: snapshot == INFINITE ->
        PROPERTY(time_of_the_read, t >= since && t <= clock);
        truth_at(k_, t);
        PROPERTY(time_of_the_read, value == expected);
        moment = since;
        do
        :: moment <= clock ->
            truth_at(k_, moment);
            if
            :: value == expected -> break
            :: else -> moment++
            fi
        :: else -> break
        od;
        PROPERTY(reads_the_latest, moment <= clock);
        acknowledged = (t > acknowledged -> t : acknowledged)
    :: else ->
        truth_at(k_, snapshot);
        PROPERTY(reads_the_snapshot, value == expected)
    fi
}

/* O3, each load a step. Whatever it meets, it ends, and it follows nothing that leads out of the segment. ok = 0: nonsense. */
inline table_look(k_) {
#ifndef FLAW_LOOKS_FIRST
    p = directory[k_];
#endif
    v = page_entry[p * KEYS + k_];
    p = 0;
    if
    :: v != NONE && !leads_out(v) ->
        PROPERTY(inside_the_segment, is_inside(v));
        if
        :: version[v].key != k_ -> v = NONE
        :: else
        fi
    :: else
    fi;
    do
    :: leads_out(v) -> d_step { ok = 0; v = NONE }; break
    :: v == NONE -> break
    :: v != NONE && !leads_out(v) ->
        PROPERTY(inside_the_segment, is_inside(v));
        b = version[v].begin;
        if
        :: b <= snapshot ->
            if
            :: is_visible(version[v].end, snapshot)
            :: else -> v = NONE
            fi;
            break
        :: else ->
            d_step { v = version[v].older; n++ };
#ifdef FLAW_WALK_UNBOUNDED
            PROPERTY(walk_ends, n < 2 * VERSIONS)
#else
            if
            :: n == VERSIONS -> d_step { ok = 0; v = NONE }; break
            :: else
            fi
#endif
        fi
    od;
    b = 0
}

inline statement_protect() {
    if
    :: snapshot == INFINITE -> pin[me] = EVERYTHING /* sequentially consistent: before the loads behind it */
    :: else
    fi
}

/* robust_mutex_is_free, then is_set_aside: an heir that sets it aside stores that before it unlocks. */
inline mutex_look() {
#ifdef FLAW_ASIDE_BEFORE_WORD
    ok = !is_set_aside;
    ok = ok && word_is_zero
#else
#ifdef FLAW_WORD_UNCHECKED
    ok = 1
#else
    ok = word_is_zero
#ifdef QUIET
    ;
    ok = ok || is_quiet
#endif
#endif
#ifdef SET_ASIDE
#ifndef FLAW_ASIDE_UNCHECKED
    ;
    ok = ok && !is_set_aside
#endif
#endif
#endif
}

/* O0 to O4. ok says whether the read stands; v is the version, NONE if the key is not there. */
inline shared_look(k_) {
#if PIN_AT == 0 && !defined(FLAW_PINNED_LAST)
    statement_protect(); /* O0 */
#endif
#ifdef FLAW_LOOKS_FIRST
    p = directory[k_];
#endif
#ifdef FLAW_WORD_BEFORE_COUNT
    mutex_look();
    s = changes;
#else
    s = changes;  /* O1 */
#if PIN_AT == 1
    statement_protect();
#endif
#ifdef FLAW_CLOCK_BEFORE_WORD
    t = clock;
#endif
    mutex_look(); /* O2 */
#endif
#ifdef FLAW_KEPT_AFTER_WORD
    counted = (op == O_KEEP -> 1 : counted);
#endif
    if
    :: ok -> table_look(k_) /* O3 */
    :: else
    fi;
#if !defined(FLAW_CLOCK_BEFORE_WORD) && !defined(FLAW_CLOCK_LAST)
    t = (snapshot == INFINITE -> clock : 0);
#endif
#if PIN_AT == 2
    statement_protect();
#endif
#ifdef FLAW_CLOCK_LAST
    ok = ok && changes == s;
    t = (snapshot == INFINITE -> clock : 0);
    d_step {
#else
    d_step {
#ifndef FLAW_UNVALIDATED
        ok = ok && changes == s; /* O4 */
#endif
#endif
        if
        :: ok ->
            locked_find(k_);
            PROPERTY(as_if_locked, o == v);
            value_take();
            read_check(k_)
        :: else
        fi;
        s = 0; o = 0; n = 0
    }
#ifdef FLAW_PINNED_LAST
    ;
    statement_protect()
#endif
}

/* As before: with the lock, and W1 too. ok = 0: refused. */
inline shared_find(k_) {
    d_step { v = 0; t = 0 };
#ifdef READERS_UNCOUNTED
    shard_lock();
    if
    :: is_inherited -> changes++; shard_enter()
    :: else
    fi;
#else
    shard_acquire();
#endif
    d_step {
        ok = !is_refused;
        h = 0;
        if
        :: ok ->
            locked_find(k_);
            v = o;
            o = 0;
            t = clock;
            value_take();
            read_check(k_)
        :: else
        fi;
        shard_release()
    }
}

/* The value is copied under the pin, as long as that takes. */
inline shared_get(k_) {
    since = (since == 0 -> acknowledged : since); /* it began earlier where a copy did not count */
    shared_look(k_);
    if
    :: !ok -> shared_find(k_)
    :: else
    fi;
    d_step {
        PROPERTY(no_freed_version_read, !ok || v == NONE ||
                                        (version[v].owner == OURS && version[v].key == k_ && version[v].value == value));
        v = 0; t = 0; since = 0; ok = 0; o = 0
    }
}

inline pinned_get(k_) {
    shared_get(k_);
    d_step { value = 0; snapshot = 0 };
    pin[me] = INFINITE
}

#ifdef COPIES
/* Two loads: what is copied may be half of one value and half of another. */
#define copy_one_half() value = value_of(v) & 15
#define copy_the_other() value = value + (value_of(v) & 240)

/* O1 to O4 without a pin, the value copied before O4; from there on nobody looks at the version. ok says whether the copy
 * stands. */
inline single_look(k_) {
    s = changes;  /* O1 */
    mutex_look(); /* O2 */
    if
    :: ok ->
        table_look(k_); /* O3 */
#ifndef FLAW_COPIED_LAST
        copy_one_half();
#ifndef FLAW_COPIED_HALF_LATE
        copy_the_other();
#endif
#endif
        t = clock
    :: else
    fi;
#if defined(FLAW_COPIED_LAST) || defined(FLAW_COPIED_HALF_LATE)
    ok = ok && changes == s;
#ifdef FLAW_COPIED_LAST
    copy_one_half();
#endif
    copy_the_other();
#endif
    d_step {
#if !defined(FLAW_COPIED_LAST) && !defined(FLAW_COPIED_HALF_LATE) && !defined(FLAW_COPY_UNVALIDATED)
        ok = ok && changes == s; /* O4 */
#endif
        if
        :: ok ->
            locked_find(k_);
            PROPERTY(as_if_locked, o == v && value == value_of(o));
            read_check(k_)
        :: else
        fi;
        s = 0; o = 0; n = 0; v = 0; t = 0;
#ifdef FLAW_COPY_KEPT
        value = (ok -> 0 : value)
#else
        value = 0
#endif
    }
}

inline single_get(k_) {
    snapshot = INFINITE;
    since = acknowledged;
    single_look(k_);
    if
    :: ok -> d_step { ok = 0; since = 0; snapshot = 0 }
    :: else -> pinned_get(k_)
    fi
}
#else
inline single_get(k_) {
    snapshot = INFINITE;
    pinned_get(k_)
}
#endif

/* B1 to B4. */
inline transaction_begin() {
    pin[me] = EVERYTHING;
    snapshot = clock;
    pin[me] = snapshot
}

inline transaction_end() {
    d_step { snapshot = 0; value = 0 };
    pin[me] = INFINITE
}

#ifdef KEYS_ARE_KEPT
/* LOCKING: it counts its key, reads it, and nobody changes it until it ends. */
inline keep() {
#ifndef FLAW_KEPT_AFTER_WORD
    counted = 1;
#endif
    snapshot = INFINITE;
    shared_get(0);
#ifdef FLAW_KEPT_AFTER_WORD
    counted = 1;
#endif
    d_step {
        truth_at(0, clock);
        PROPERTY(what_is_read_stays, value == expected);
        value = 0; snapshot = 0
    };
    d_step { counted = 0; pin[me] = INFINITE }
}
#endif
