/* The table: src/table. Everything here wants the shard's lock. */

inline version_free(v_) {
    version[v_].used = 0;
    version[v_].is_deleted = 0;
    version[v_].queued = 0;
    version[v_].key = 0;
    version[v_].value = 0;
    version[v_].begin = 0;
    version[v_].end = 0;
    version[v_].older = NONE
}

#define blocks_begin(s_) (1 + (s_) * VERSIONS)
#define blocks_end(s_) (1 + ((s_) + 1) * VERSIONS)

inline version_reserve(k_, value_, v_) {
    v_ = blocks_begin(shard_of(k_));
    do
    :: v_ < blocks_end(shard_of(k_)) && version[v_].used -> v_++
    :: else -> break
    od;
    PROPERTY(model_bounds, v_ < blocks_end(shard_of(k_)));
    version[v_].used = 1;
    version[v_].key = k_;
    version[v_].value = value_;
    version[v_].end = INFINITE
}

/* `older` of a version with begin <= snapshot is not followed: that is what lets superseded versions go unlinked. */
inline version_visible_at(k_, snapshot_, v_) {
    v_ = table_entry[k_];
    do
    :: v_ != NONE ->
        PROPERTY(no_freed_version_read, version[v_].used && version[v_].begin > 0 && version[v_].key == k_);
        if
        :: version[v_].begin <= snapshot_ -> break
        :: else ->
            PROPERTY(versions_descend,
                     version[v_].older == NONE || version[version[v_].older].begin < version[v_].begin);
            v_ = (version[version[v_].older].begin < version[v_].begin -> version[v_].older : NONE)
        fi
    :: else -> break
    od;
    if
    :: v_ != NONE && version[v_].end <= snapshot_ && version[v_].end != INFINITE -> v_ = NONE
    :: else
    fi
}

/* --- publishing: by the owner, and again by an heir; each step is idempotent --- */

inline membership_touch(s_, t_) {
#ifndef FLAW_MEMBERSHIP_AFTER_UNLOCK
    d_step {
        if
        :: membership_time[s_] < t_ -> membership_time[s_] = t_
        :: else
        fi
    }
#else
    skip
#endif
}

/* Leaves in o the version that was the newest: NONE if there was none, or if it is this one already. */
inline publish(v_, k_, t_) {
    d_step {
        PROPERTY(no_lost_commit, version[v_].used && version[v_].key == k_);
        PROPERTY(no_uncommitted_data, truth[t_ * KEYS + k_] == version[v_].value);
        o = table_entry[k_];
#ifdef FLAW_REDO_NOT_IDEMPOTENT
        version[v_].begin = t_;
        was_absent = (o == NONE || version[o].end < t_);
        version[v_].older = o
#else
        if
        :: o == v_ -> o = NONE
        :: else ->
            PROPERTY(versions_descend, o == NONE || version[o].begin < t_);
            version[v_].begin = t_;
            was_absent = (o == NONE || version[o].end < t_);
            version[v_].older = o
        fi
#endif
    };
    if
    :: table_entry[k_] != v_ ->
#ifndef FLAW_MEMBERSHIP_AFTER_ENTRY
        if
        :: was_absent -> membership_touch(shard_of(k_), t_)
        :: else
        fi;
#endif
        if
#ifdef FLAW_END_OVERWRITTEN
        :: o != NONE -> version[o].end = t_
#else
        :: o != NONE && !was_absent -> version[o].end = t_
#endif
        :: else
        fi;
        table_entry[k_] = v_;
#ifdef FLAW_MEMBERSHIP_AFTER_ENTRY
        if
        :: was_absent -> membership_touch(shard_of(k_), t_)
        :: else
        fi
#endif
    :: else
    fi
}

inline table_publish(v_, k_, t_) {
    publish(v_, k_, t_);
    d_step {
        if
        :: o != NONE && !was_absent -> version[o].queued = 1
        :: else
        fi;
        o = 0;
        was_absent = 0
    }
}

inline table_redo_publish(v_, k_, t_) {
    publish(v_, k_, t_);
    d_step { o = 0; was_absent = 0 }
}

inline table_redo_end(v_, k_, t_) {
#ifndef FLAW_DEL_WITHOUT_MEMBERSHIP
    membership_touch(shard_of(k_), t_);
#endif
    d_step {
        PROPERTY(no_lost_commit, version[v_].used && version[v_].key == k_);
        PROPERTY(no_uncommitted_data, truth[t_ * KEYS + k_] == DELETED);
        version[v_].end = t_
    }
}

inline table_end(v_, k_, t_) {
    table_redo_end(v_, k_, t_);
    d_step {
        version[v_].is_deleted = 1;
        version[v_].queued = 1
    }
}

/* --- clean-up --- */

/* Cuts the chain above v_, or removes its entry. */
inline deleted_unlink(v_, h_) {
    d_step {
        o = table_entry[version[v_].key];
        if
        :: o == v_ -> table_entry[version[v_].key] = NONE
        :: else ->
            skip;
#ifndef FLAW_FREE_BY_END
            do
            :: o != NONE && version[o].begin > h_ && version[o].used && version[o].older != v_ ->
                PROPERTY(no_freed_version_read, version[version[o].older].used || version[o].older == NONE);
                o = version[o].older
            :: else -> break
            od;
            if
            :: o != NONE && version[o].begin > h_ && version[o].older == v_ -> version[o].older = NONE
            :: else
            fi
#endif
        fi;
        o = 0
    }
}

#ifdef FLAW_CLEAN_BY_BEGIN
/* "Keep the newest version": forgets that of those not after the horizon the newest is still seen. */
#define is_over(v_, h_) (version[v_].begin <= (h_))
#else
#define is_over(v_, h_) (version[v_].end <= (h_))
#endif

/* The horizon is read under the lock, so it is not behind one that freed versions of this shard before. */
inline table_clean(s_) {
#ifdef HORIZON_IN_COMMIT
    horizon_advance_at_once();
#endif
    PROTECTED {
        h = horizon;
        v = blocks_begin(s_);
        do
        :: v < blocks_end(s_) && version[v].queued && is_over(v, h) ->
#ifdef FLAW_ENTRY_REMOVED_AFTER_FREE
            d_step {
                k = version[v].key;
                was_absent = version[v].is_deleted;
                version_free(v)
            };
            d_step {
                if
                :: was_absent && table_entry[k] == v -> table_entry[k] = NONE
                :: else
                fi;
                k = 0;
                was_absent = 0
            };
#else
            if
            :: version[v].is_deleted -> deleted_unlink(v, h)
            :: else
            fi;
            d_step { version_free(v) };
#endif
            v++
        :: v < blocks_end(s_) && !(version[v].queued && is_over(v, h)) -> v++
        :: v == blocks_end(s_) -> break
        od;
        h = 0;
        v = 0
    }
}

#ifdef REUSE
/* G'. More than the code does: all that it may, whatever is wanted. What is free is used again by C3. */
inline garbage_reuse(s_) {
#ifdef HORIZON_IN_COMMIT
    horizon_advance_at_once();
#endif
    PROTECTED {
        h = horizon;
        v = blocks_begin(s_);
        do
#ifdef FLAW_REUSES_THE_DELETED
        :: v < blocks_end(s_) && version[v].queued && is_over(v, h) -> d_step { version_free(v) }; v++
        :: v < blocks_end(s_) && !(version[v].queued && is_over(v, h)) -> v++
#else
#ifdef FLAW_REUSES_THE_SEEN
        :: v < blocks_end(s_) && version[v].queued && !version[v].is_deleted -> d_step { version_free(v) }; v++
        :: v < blocks_end(s_) && !(version[v].queued && !version[v].is_deleted) -> v++
#else
        :: v < blocks_end(s_) && version[v].queued && !version[v].is_deleted && is_over(v, h) ->
            d_step { version_free(v) };
            v++
        :: v < blocks_end(s_) && !(version[v].queued && !version[v].is_deleted && is_over(v, h)) -> v++
#endif
#endif
        :: v == blocks_end(s_) -> break
        od;
        h = 0;
        v = 0
    }
}

inline garbage_reuse_all() {
    s = 0;
    do
    :: s < SHARDS ->
        if
        :: needed & bit_of(s) -> garbage_reuse(s)
        :: else
        fi;
        s++
    :: else -> break
    od;
    s = 0
}
#endif

/* --- after a death --- */

#if RECOVERS
/* All derived data anew from the table alone. One step: who finds it half done finds the shard inherited and begins
 * again, and reads nothing of what was derived. */
inline table_rebuild(s_) {
    d_step {
        h = 0; /* the set of blocks reached */
        k = 0;
        do
        :: k < KEYS ->
            v = (shard_of(k) == s_ -> table_entry[k] : NONE);
            t = INFINITE;
            do
            :: v != NONE ->
                PROPERTY(no_freed_version_read, version[v].used && version[v].begin > 0 && version[v].key == k);
                PROPERTY(versions_descend, version[v].begin < t);
                if
                :: version[v].begin >= t -> break
                :: else
                fi;
                h = h | bit_of(v - blocks_begin(s_));
                version[v].is_deleted = (version[v].end != t);
#ifndef FLAW_QUEUE_NOT_REBUILT
                version[v].queued = (version[v].end != INFINITE);
#endif
                t = version[v].begin;
#ifdef FLAW_REBUILD_WALKS_ALL
                v = version[v].older
#else
                v = (t <= horizon -> NONE : version[v].older)
#endif
            :: else -> break
            od;
            k++
        :: else -> break
        od;
        v = blocks_begin(s_);
        do
        :: v < blocks_end(s_) ->
            if
            :: version[v].used && !(h & bit_of(v - blocks_begin(s_))) -> version_free(v)
            :: else
            fi;
            v++
        :: else -> break
        od;
        h = 0; k = 0; v = 0; t = 0
    }
}
#endif
