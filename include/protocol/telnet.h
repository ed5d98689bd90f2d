/* Telnet's commands between the bytes of a client: RFC 854 (the commands), 855
 * (options), 860 (timing mark). A person's telnet sends them for Ctrl-C and the like
 * and expects answers; what is not answered may freeze the terminal.
 *
 * A command begins with IAC, the byte 0xFF, which stands nowhere in UTF-8: so a
 * client that means no Telnet sends none.
 *
 *   IAC IAC                      the byte 0xFF
 *   IAC DO TIMING-MARK           IAC WILL TIMING-MARK, behind the replies to all that came before
 *   IAC DO other                 IAC WONT other
 *   IAC WILL any                 IAC DONT any
 *   IAC DONT any, WONT any       nothing: so it is
 *   IAC SB ... IAC SE            nothing; skipped, up to TELNET_SKIP_MAX bytes
 *   IAC AYT                      the reply to PING
 *   IAC IP, BRK, ABORT           the half-typed line is dropped
 *   IAC EL                       the same
 *   IAC EC                       its last character is dropped
 *   IAC AO, NOP, DM, GA, EOR, SUSP, EOF   nothing
 *
 * An IAC before any other byte is no command: both are the client's text, of which
 * the line reader's user will say that it is no UTF-8. So is what a subnegotiation
 * without end has beyond TELNET_SKIP_MAX, behind one byte 0xFF.
 *
 * This stands between the socket and a line reader. What comes is received into the
 * reader's memory, but the reader knows of it only piece by piece, so that a command
 * has its effect between the lines where it stands, in whatever pieces the bytes came:
 *
 *   reader's buffer:  | the reader's bytes | gap | received, not looked at |
 *                                               raw_begin                  raw_end
 *
 * While there are no commands (and none is under way) everything is handed over at
 * once, and one memchr(3) is all that it costs. One process and one thread. */
#ifndef HAUSKV_PROTOCOL_TELNET_H
#define HAUSKV_PROTOCOL_TELNET_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/buffer.h"
#include "protocol/line_reader.h"

/* Options that telnet programs negotiate about take some ten bytes, an environment some hundreds. */
#define TELNET_SKIP_MAX ((size_t)2048)

/* What TELNET_TEXT becomes with the bytes that have come. */
enum telnet_state {
    TELNET_TEXT,
    TELNET_COMMAND,  /* behind IAC */
    TELNET_OPTION,   /* behind DO, DONT, WILL, WONT */
    TELNET_SKIPPING, /* in a subnegotiation */
    TELNET_SKIPPING_COMMAND /* behind an IAC in it */
};

struct telnet {
    enum telnet_state state;
    unsigned char verb; /* DO, DONT, WILL or WONT, in TELNET_OPTION */
    size_t skipped;     /* of a subnegotiation */
    size_t raw_begin;   /* in the reader's buffer; equal to raw_end: nothing is there */
    size_t raw_end;
};

void telnet_init(struct telnet *telnet);

/* As line_reader_room. None while telnet_has_more. */
unsigned char *telnet_room(struct telnet *telnet, struct line_reader *reader, size_t *size);

/* size bytes were received there. */
void telnet_received(struct telnet *telnet, struct line_reader *reader, size_t size);

/* Whether a part of what was received was not looked at. */
static inline bool telnet_has_more(const struct telnet *telnet)
{
    return telnet->raw_begin != telnet->raw_end;
}

/* Looks at a part of it: hands text over to the reader, or obeys a command and appends its answer, at most
 * TELNET_ANSWER_BYTES. Only when the reader has no complete line any more. */
#define TELNET_ANSWER_BYTES 64u
void telnet_take(struct telnet *telnet, struct line_reader *reader, struct buffer *answers);

#endif
