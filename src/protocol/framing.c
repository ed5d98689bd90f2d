/* Lines or bursts. */
#include "protocol/framing.h"

#include "platform/contract.h"

#define LINES FRAMER_LINES
#define NEW FRAMER_NEW
#define LISTENING FRAMER_LISTENING
#define BURSTS FRAMER_BURSTS
#define CUT FRAMER_CUT
#define TO(state) (1u << (state))

static const unsigned allowed[FRAMER_STATE_COUNT] = {
    [LINES] = 0,
    [NEW] = TO(LINES) | TO(LISTENING),
    [LISTENING] = TO(LISTENING) | TO(LINES) | TO(BURSTS),
    [BURSTS] = TO(BURSTS) | TO(CUT),
    [CUT] = TO(CUT) | TO(BURSTS),
};

static void receive_first(struct framer *framer, struct bytes read);
static void receive_burst(struct framer *framer, struct bytes read, bool has_filled);
static void enter(struct framer *framer, enum framer_state next);

bool framer_is_valid(const struct framer *framer)
{
    bool state_exists = (unsigned)framer->state < FRAMER_STATE_COUNT;
    bool tail_belongs_to_a_burst = !framer->tail_is_due || framer->state == BURSTS;
    bool first_burst_is_small = framer->state == LINES || framer->first_bytes <= FRAMING_BURST_BYTES_MAX;

    return state_exists && tail_belongs_to_a_burst && first_burst_is_small;
}

void framer_init(struct framer *framer, enum framing framing)
{
    REQUIRE((unsigned)framing < FRAMING_COUNT);
    *framer = (struct framer){.state = framing == FRAMING_AUTO ? NEW : LINES};
}

void framer_received(struct framer *framer, struct bytes read, bool has_filled)
{
    if (framer->state == LINES)
        return;
    REQUIRE(read.size > 0 && !framer->tail_is_due);
    if (framer->state == NEW || framer->state == LISTENING)
        receive_first(framer, read);
    else
        receive_burst(framer, read, has_filled);
}

void framer_choose_lines(struct framer *framer)
{
    REQUIRE(framer_takes_telnet(framer));
    if (framer->state != LINES)
        enter(framer, LINES);
}

static bool ends_line(struct bytes read)
{
    return read.data[read.size - 1] == '\n';
}

static void receive_first(struct framer *framer, struct bytes read)
{
    framer->first_bytes += read.size;
    enter(framer, ends_line(read) || framer->first_bytes > FRAMING_BURST_BYTES_MAX ? LINES : LISTENING);
}

static void receive_burst(struct framer *framer, struct bytes read, bool has_filled)
{
    bool has_tail = !ends_line(read);

    enter(framer, has_tail && has_filled ? CUT : BURSTS);
    framer->tail_is_due = has_tail && !has_filled;
}

void framer_silence(struct framer *framer, bool tail_is_command)
{
    bool is_lines = framer->state == LISTENING && !tail_is_command;

    REQUIRE(framer_is_holding(framer));
    enter(framer, is_lines ? LINES : BURSTS);
    framer->tail_is_due = !is_lines;
}

void framer_tail_taken(struct framer *framer)
{
    REQUIRE(framer->tail_is_due);
    framer->tail_is_due = false;
}

static void enter(struct framer *framer, enum framer_state next)
{
    INVARIANT(allowed[framer->state] & TO(next));
    framer->state = next;
}
