/* Where a client's commands end: --framing. FRAMING_LINE: at a line feed, always.
 *
 * FRAMING_AUTO is for clients that send a command without a line end and wait for
 * the reply. What one read returns is a burst; the part of it behind the last
 * line feed is its tail. The first burst decides, once and for good:
 *
 *   NEW -------- it ends with LF, or is too long for one packet -----> LINES
 *    | it does not                                                       ^
 *    v                                                                   |
 *   LISTENING -- the same, when more came; or silence, and the tail is --+
 *    | silence, and the tail is a command   ^      no command (yet)
 *    v                                      | it goes on, no LF at its end
 *   BURSTS <---- silence, or the burst's end ---- CUT
 *    |                                             ^
 *    +----- a read filled all the room there was --+
 *
 * In BURSTS a tail is due as soon as its read is over. It knows no clock: whoever
 * reads tells it of silence. One process and one thread. */
#ifndef HAUSKV_PROTOCOL_FRAMING_H
#define HAUSKV_PROTOCOL_FRAMING_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/bytes.h"

enum framing {
    FRAMING_LINE,
    FRAMING_AUTO,
    FRAMING_COUNT
};

/* What one packet of an Ethernet holds, roughly: a longer first burst is nothing that a client sent alone. */
#define FRAMING_BURST_BYTES_MAX 1400u

/* How long nothing comes behind a burst until that is silence. The end of input is silence too. */
#define FRAMING_SILENCE_MS 20u

enum framer_state {
    FRAMER_LINES,
    FRAMER_NEW,
    FRAMER_LISTENING,
    FRAMER_BURSTS,
    FRAMER_CUT,
    FRAMER_STATE_COUNT
};

struct framer {
    enum framer_state state;
    size_t first_bytes; /* of the first burst, so far */
    bool tail_is_due;
};

bool framer_is_valid(const struct framer *framer);

void framer_init(struct framer *framer, enum framing framing);

/* A read returned these bytes, at least one; has_filled: there was no room for
 * more. Not while a tail is due. */
void framer_received(struct framer *framer, struct bytes read, bool has_filled);

/* Whether it has to hear of silence: then the replies so far are not to be sent. */
static inline bool framer_is_holding(const struct framer *framer)
{
    return framer->state == FRAMER_LISTENING || framer->state == FRAMER_CUT;
}

/* The client speaks Telnet, so it ends its lines. Not in BURSTS or CUT, where the bytes are the client's own. */
void framer_choose_lines(struct framer *framer);

/* Whether a client may speak Telnet. */
static inline bool framer_takes_telnet(const struct framer *framer)
{
    return framer->state != FRAMER_BURSTS && framer->state != FRAMER_CUT;
}

/* Only while it is holding. tail_is_command: the tail of the first burst could be
 * run as it is. */
void framer_silence(struct framer *framer, bool tail_is_command);

/* Whether what was received and has no line feed behind it is to be run now; and
 * that it was taken. */
static inline bool framer_has_tail(const struct framer *framer)
{
    return framer->tail_is_due;
}

void framer_tail_taken(struct framer *framer);

#endif
