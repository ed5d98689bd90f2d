/* Who owns a segment, as a model for Spin: masters that start, serve, copy into another size, end or die at any step, and
 * their children, which may stay behind, stopped, and store when they are woken. A user removes names meanwhile.
 *
 * A segment is a file (an inode here) with two names: NAME, for people, and KEEP, the second link. Two locks are on the
 * file: the record lock, which a master has and no child inherits, and the flock, which children inherit. Steps, as in
 * recipe W of src/transaction/README.md:
 *
 * Take over:  W1 open NAME, or KEEP where there is no NAME; the record lock, else refuse; W2 the flock; W3 where somebody
 *             has it: refuse if an older build's master lives, else end whoever maps this file, and the flock again;
 *             W4 the path still leads to this file; what KEEP leads to is this file, or nobody's; both names are there again.
 * Begin new:  a file without a name; both locks; KEEP, which must not exist; no NAME by now; filled; NAME, which must not exist.
 * Other size: a file without a name; both locks; filled, marked as a copy; it takes KEEP's place, then NAME's; only then the
 *             old locks go. A KEEP that is a marked copy gives way to another NAME: its master died between the two.
 * Serving:    a name that is gone is linked again, where nobody has taken it.
 *
 * Settings: MASTERS and ROLE_0.. (PLAIN, RESIZES, FRESH, DISCARDS), DEATHS=n (of masters, at any step), REMOVALS=n (of names,
 * by a user, who leaves one of the two), BOTH (the user may remove both), FOREIGN (the user puts a file of his own in NAME's
 * place), OLDER (the first segment belongs to a living server of an older build, which has no record lock; it may die),
 * WATCH=p (only property p is looked at). */

#ifndef MASTERS
#define MASTERS 2
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef REMOVALS
#define REMOVALS 0
#endif
#define PLAIN 0
#define RESIZES 1
#define FRESH 2
#define DISCARDS 3
#ifndef ROLE_0
#define ROLE_0 PLAIN
#endif
#ifndef ROLE_1
#define ROLE_1 PLAIN
#endif
#ifndef ROLE_2
#define ROLE_2 PLAIN
#endif

#define FIRST MASTERS         /* the server that was there before; it left segment 1 */
#define STRANGER (MASTERS + 1) /* a living server of another name, with segment 2 */
#define PEOPLE (MASTERS + 2)
#define NONE 0
#define INODES (MASTERS + 4)

hidden byte one_server, living_children_stay, nobody_else_inside, nothing_is_lost, removes_only_its_own, names_agree;
hidden byte no_deadlock;
#define PROPERTY(name, condition) assert(name || (condition))

#ifdef WATCH
#define watch_one() \
    one_server = 1; living_children_stay = 1; nobody_else_inside = 1; nothing_is_lost = 1; removes_only_its_own = 1; \
    names_agree = 1; WATCH = 0
#else
#define watch_one() skip
#endif

byte name = 1;                /* where the two names lead */
byte keep = 1;
byte record[INODES];          /* the record lock: 1 + the master */
byte lock_of[PEOPLE];         /* the file whose flock this master has */
byte child_in[PEOPLE];        /* the file that this master's child maps; its flock is inherited */
bit lives[PEOPLE];
byte serves[PEOPLE];          /* the file */
byte master_of[INODES];       /* the header's master_pid: 1 + the master */
bit is_whole[INODES];
bit is_copy[INODES];          /* of another size, not in place yet */
byte content[INODES];         /* what the last commit left */
byte latest = 1;              /* ghost: the last commit of the server of this name */
bit both_gone;                /* ghost: the user removed both, so nothing is promised */
bit is_foreign;               /* ghost: the user's own file was there: what it holds is the user's */
byte inode_next = 3;
byte deaths;
byte at_work = MASTERS;       /* masters that have not ended */

inline someone_serves(answer)
{
    answer = 0;
    i = 0;
    do
    :: i < MASTERS -> if :: i != me && serves[i] != NONE -> answer = 1 :: else fi; i++
    :: else -> break
    od;
    if
    :: serves[FIRST] != NONE -> answer = 1
    :: else
    fi;
    i = 0
}

/* Whether another open file, or a child that inherited it, has the flock of that file. */
inline flock_is_taken(file, answer)
{
    answer = 0;
    i = 0;
    do
    :: i < PEOPLE -> if :: i != me && (lock_of[i] == file || child_in[i] == file) -> answer = 1 :: else fi; i++
    :: else -> break
    od;
    i = 0
}

/* After each step. The kernel takes the record locks away; what the child inherited stays. */
#if DEATHS
#define may_die() \
    if \
    :: atomic { deaths < DEATHS -> deaths++; goto died } \
    :: skip \
    fi
#else
#define may_die() skip
#endif

inline new_file()
{
    mine = inode_next;
    inode_next++;
    record[mine] = 1 + me;
    lock_of[me] = mine;
    master_of[mine] = 1 + me
}

inline begin_to_serve()
{
    atomic {
        someone_serves(answer);
        PROPERTY(one_server, !answer || both_gone);
        PROPERTY(nothing_is_lost, content[mine] == latest || both_gone || is_foreign);
        i = 0;
        do
        :: i < PEOPLE -> PROPERTY(nobody_else_inside, i == me || child_in[i] != mine); i++
        :: else -> break
        od;
        i = 0;
        master_of[mine] = 1 + me;
        serves[me] = mine;
        is_copy[mine] = 0;
        child_in[me] = mine
    }
}

/* On purpose, and no name leads to it any more. */
inline given_up(discarded)
{
    if
    :: name != discarded && keep != discarded -> latest = 0
    :: else
    fi
}

inline refuse()
{
    goto refused
}

proctype master(byte me; byte role)
{
    byte file, old, mine, i, victim, seen;
    bit answer, by_keep;

    may_die();
    atomic {
        if
        :: name != NONE -> file = name; by_keep = 0
        :: else -> file = keep; by_keep = 1
        fi;
#ifdef FLAW_KEEP_IGNORED
        if :: by_keep -> file = NONE :: else fi;
#endif
#ifdef FLAW_PID_BEFORE_LOCK
        if :: file != NONE && master_of[file] != 0 -> seen = lives[master_of[file] - 1] :: else fi
#endif
    }
    may_die();
    if
    :: file == NONE -> goto birth
    :: else
    fi;

#if !defined(FLAW_RECORD_NOT_TAKEN) && !defined(FLAW_PID_BEFORE_LOCK)
    atomic {
        if
        :: record[file] != 0 -> refuse()
        :: else -> record[file] = 1 + me
        fi
    }
    may_die();
#endif

#ifndef FLAW_FLOCK_NOT_TAKEN
    atomic {
        flock_is_taken(file, answer);
        if
        :: !answer -> lock_of[me] = file; goto owned
        :: else
        fi
    }
    may_die();
#ifndef FLAW_PID_BEFORE_LOCK
    atomic { seen = 0; if :: master_of[file] != 0 && master_of[file] != 1 + me -> seen = lives[master_of[file] - 1] :: else fi };
#endif
#ifndef FLAW_OLDER_NOT_ASKED
    if
    :: seen -> refuse()
    :: else
    fi;
#endif
    may_die();
    /* Everybody else whose memory shows this file, one after the other; each is looked at again before it is ended. */
    victim = 0;
    do
    :: victim < PEOPLE ->
        atomic {
            if
#ifdef FLAW_ENDED_BY_NAME
            :: victim != me && child_in[victim] != NONE ->
#else
            :: victim != me && child_in[victim] == file ->
#endif
                PROPERTY(living_children_stay, !lives[victim]);
                child_in[victim] = NONE
            :: else
            fi;
            victim++
        };
        may_die()
    :: else -> victim = 0; break
    od;
    atomic {
        flock_is_taken(file, answer);
        if
        :: answer -> refuse()
        :: else -> lock_of[me] = file
        fi
    };
#endif
owned:
    may_die();
#ifndef FLAW_NO_RECHECK
    atomic {
        if
        :: !by_keep && name != file -> refuse()
        :: by_keep && (name != NONE || keep != file) -> refuse()
        :: else
        fi
    };
    may_die();
#endif
    /* A start that died before its segment was whole: nothing was ever in it. */
    if
    :: !is_whole[file] && by_keep ->
        atomic { if :: keep == file -> keep = NONE :: else fi; record[file] = 0; lock_of[me] = NONE; file = NONE };
        goto birth
    :: else
    fi;
#ifndef FLAW_KEEP_OWNER_NOT_ASKED
    if
    :: atomic { keep != NONE && keep != file && (record[keep] != 0 || (is_whole[keep] && !is_copy[keep])) -> refuse() }
    :: else
    fi;
    may_die();
#endif
    atomic {
        if
        :: keep == file
        :: keep != file && (keep == NONE || record[keep] == 0) -> keep = file
#if defined(FLAW_KEEP_OWNER_NOT_ASKED) || defined(FLAW_KEEP_NOT_HAD)
        :: else
#else
        :: else -> refuse() /* made by another start in the meantime */
#endif
        fi
    };
    may_die();
    if
    :: by_keep -> atomic { if :: name == NONE -> name = file :: name != NONE -> refuse() fi }
    :: else
    fi;
    may_die();
    mine = file;
    if
    :: role == FRESH ->
        atomic { if :: name == file -> name = NONE; given_up(file) :: else fi };
        may_die();
        atomic { if :: keep == file -> keep = NONE; given_up(file) :: else fi };
        may_die();
        atomic { record[file] = 0; lock_of[me] = NONE; file = NONE };
        goto birth
    :: role == RESIZES -> goto resize
    :: else -> goto serving
    fi;

resize:
    old = file;
    atomic { new_file(); lock_of[me] = old }; /* both are held; the model needs to say it of the old one only */
    may_die();
    atomic {
        content[mine] = content[old];
        is_whole[mine] = 1;
#ifndef FLAW_COPY_UNMARKED
        is_copy[mine] = 1
#endif
    };
    may_die();
#ifdef FLAW_OLD_LOCK_DROPPED
    atomic { record[old] = 0; lock_of[me] = mine };
    may_die();
#endif
#if defined(FLAW_KEEP_GOES_FIRST)
    atomic { if :: keep == old -> keep = NONE :: else fi };
    may_die();
    name = mine;
    may_die();
    keep = mine;
#elif defined(FLAW_KEEP_LAST)
    name = mine;
    may_die();
    keep = mine;
#else
    keep = mine;
    may_die();
    name = mine;
#endif
    may_die();
    atomic { record[old] = 0; lock_of[me] = mine };
    goto serving;

birth:
    atomic { new_file() };
    may_die();
    atomic {
#ifdef FLAW_KEEP_IGNORED
        keep = mine
#else
        if
        :: keep == NONE -> keep = mine
        :: else -> refuse()
        fi
#endif
    };
    may_die();
    if
    :: atomic { name != NONE -> if :: keep == mine -> keep = NONE :: else fi; refuse() }
    :: else
    fi;
    may_die();
    atomic { is_whole[mine] = 1; content[mine] = 0 };
    may_die();
    atomic {
        if
        :: name == NONE -> name = mine
        :: else -> if :: keep == mine -> keep = NONE :: else fi; refuse()
        fi
    };
    may_die();

serving:
    begin_to_serve();
    may_die();
    /* One commit. */
    atomic { content[mine] = 10 + me; if :: !both_gone -> latest = 10 + me :: else fi };
    may_die();
    /* A look at the names, which may come at any time. */
    do
#ifdef FLAW_RESTORED_OVER
    :: atomic { name != mine && !both_gone -> PROPERTY(removes_only_its_own, name == NONE); name = mine }
    :: atomic { name != mine && both_gone -> PROPERTY(removes_only_its_own, name == NONE); name = mine }
#else
    :: atomic { name == NONE && keep == mine -> name = mine }
#endif
    :: atomic { keep == NONE && name == mine -> keep = mine }
    :: break
    od;
    may_die();
    /* The end: the child has ended. */
    atomic { serves[me] = NONE; child_in[me] = NONE };
    may_die();
    if
    :: role == DISCARDS ->
        atomic {
#ifdef FLAW_REMOVES_ANY
            PROPERTY(removes_only_its_own, name == NONE || name == mine);
            name = NONE
#else
            if :: name == mine -> name = NONE; given_up(mine) :: else fi
#endif
        };
        may_die();
        atomic { if :: keep == mine -> keep = NONE; given_up(mine) :: else fi }
    :: else ->
        /* Kept where the name is gone: the data are found by it. */
        atomic { if :: name == mine && keep == mine -> keep = NONE :: else fi }
    fi;
refused:
died:
    atomic {
        i = 1;
        do
        :: i < INODES -> if :: record[i] == 1 + me -> record[i] = 0 :: else fi; i++
        :: else -> break
        od;
        lock_of[me] = NONE;
        lives[me] = 0;
        serves[me] = NONE;
        file = 0; old = 0; mine = 0; i = 0; victim = 0; seen = 0; answer = 0; by_keep = 0;
        at_work--
    }
}

/* The children of the dead notice and end, or stay for ever (stopped): whether they do is open at any moment. */
proctype orphans()
{
    byte who;

end_orphans:
    do
    :: atomic { who < PEOPLE && child_in[who] != NONE && !lives[who] -> child_in[who] = NONE; who = 0 }
    :: atomic { who < PEOPLE - 1 -> who++ }
    :: atomic { who > 0 -> who = 0 }
    :: atomic { at_work == 0 -> break }
    od;
    who = 0
}

proctype user()
{
    byte removals;

end_user:
    do
#ifdef BOTH
    :: atomic { removals < REMOVALS && name != NONE -> name = NONE; removals++; if :: keep == NONE -> both_gone = 1 :: else fi }
    :: atomic { removals < REMOVALS && keep != NONE -> keep = NONE; removals++; if :: name == NONE -> both_gone = 1 :: else fi }
#else
    :: atomic { removals < REMOVALS && name != NONE && keep == name -> name = NONE; removals++ }
    :: atomic { removals < REMOVALS && keep != NONE && keep == name -> keep = NONE; removals++ }
#endif
#ifdef FOREIGN
    :: atomic { removals == 0 && keep != NONE && is_whole[keep] -> name = INODES - 1; is_foreign = 1; removals++ }
#endif
    :: atomic { at_work == 0 -> break }
    od;
    removals = 0
}

#ifdef OLDER
proctype older_dies()
{
    atomic { lives[FIRST] = 0; serves[FIRST] = NONE; lock_of[FIRST] = NONE }
}
#endif

init {
    atomic {
        watch_one();
        is_whole[1] = 1;
        content[1] = 1;
        master_of[1] = 1 + FIRST;
        child_in[FIRST] = 1;
        lives[STRANGER] = 1;
        child_in[STRANGER] = 2;
        lock_of[STRANGER] = 2;
        record[2] = 1 + STRANGER;
        is_whole[2] = 1;
        is_whole[INODES - 1] = 1; /* the user's own file, with what it was copied from */
        content[INODES - 1] = 1;
#ifdef OLDER
        keep = NONE;
        lives[FIRST] = 1;
        serves[FIRST] = 1;
        lock_of[FIRST] = 1;
        run older_dies();
#endif
        lives[0] = 1;
        run master(0, ROLE_0);
#if MASTERS > 1
        lives[1] = 1;
        run master(1, ROLE_1);
#endif
#if MASTERS > 2
        lives[2] = 1;
        run master(2, ROLE_2);
#endif
        run orphans();
        run user()
    };
    /* When all is over, the next start finds one segment: two whole ones would have to be sorted out by a person. */
    atomic {
        at_work == 0 ->
#ifndef FOREIGN
        PROPERTY(names_agree, both_gone || name == NONE || keep == NONE || name == keep || !is_whole[keep] || is_copy[keep])
#endif
    }
}
