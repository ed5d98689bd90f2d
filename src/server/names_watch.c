#include "names_watch.h"

#include "platform/clock.h"
#include "platform/diagnostic.h"
#include "store/shared_store.h"

#define LOOK_EVERY_MS 500u
#define SAY_EVERY_MS 60000u

static void say(struct names_watch *watch, const char *name, enum segment_names_state state, uint64_t now_ms);

int names_watch(struct names_watch *watch, const struct inheritance *inheritance)
{
    uint64_t now_ms = clock_monotonic_ms();
    enum segment_names_state state;

    if (watch->looked_ms != 0 && now_ms - watch->looked_ms < LOOK_EVERY_MS)
        return (int)(watch->looked_ms + LOOK_EVERY_MS - now_ms);
    watch->looked_ms = now_ms;
    state = shared_store_names_look(inheritance->store);
    atomic_store(&inheritance->scoreboard.common->segment_names, (uint32_t)state);
    say(watch, inheritance->config->name, state, now_ms);
    return (int)LOOK_EVERY_MS;
}

static void say(struct names_watch *watch, const char *name, enum segment_names_state state, uint64_t now_ms)
{
    if (state == SEGMENT_NAMES_RESTORED)
        diagnostic_warning("The segment's file hauskv-%s had been removed: restored", name);
    if (state == SEGMENT_NAMES_RESTORED || state == SEGMENT_NAMES_KEPT) {
        watch->said_ms = 0;
        return;
    }
    if (watch->said_ms != 0 && now_ms - watch->said_ms < SAY_EVERY_MS)
        return;
    watch->said_ms = now_ms;
    if (state == SEGMENT_NAMES_TAKEN)
        diagnostic_error("The segment's file hauskv-%s was replaced by another file: the data are in .hauskv-%s.keep; move that "
                         "other file away, and the name is restored", name, name);
    else
        diagnostic_error("The segment's file hauskv-%s was removed, and its second name too: the data last as long as this "
                         "server, and a clean end writes them to a new file of that name. Do not kill it; SIGTERM saves them",
                         name);
}

const char *names_text(const struct scoreboard *scoreboard)
{
    switch (atomic_load(&scoreboard->common->segment_names)) {
    case SEGMENT_NAMES_TAKEN:
        return "taken";
    case SEGMENT_NAMES_LOST:
        return "lost";
    default:
        return "named";
    }
}

bool names_leave(const struct inheritance *inheritance)
{
    const char *name = inheritance->config->name;

    switch (shared_store_names_leave(inheritance->store)) {
    case SEGMENT_NAMES_KEPT:
        return true;
    case SEGMENT_NAMES_RESTORED:
        diagnostic_warning("The segment's file hauskv-%s had been removed: wrote the data to a new one", name);
        return true;
    case SEGMENT_NAMES_TAKEN:
        diagnostic_error("The segment's file hauskv-%s is another server's or another file: the data are in .hauskv-%s.keep, "
                         "beside it", name, name);
        return false;
    case SEGMENT_NAMES_LOST:
    default:
        diagnostic_error("The data of hauskv-%s are LOST: its file had been removed, and they could not be written to a new one",
                         name);
        return false;
    }
}
