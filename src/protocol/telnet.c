/* IAC and what follows it. */
#include "protocol/telnet.h"

#include <string.h>

#include "platform/contract.h"
#include "protocol/reply.h"

/* RFC 854; ABORT, SUSP and EOF: RFC 1184; EOR: RFC 885. */
enum {
    COMMAND_EOF = 236,
    COMMAND_SUSP = 237,
    COMMAND_ABORT = 238,
    COMMAND_EOR = 239,
    COMMAND_SE = 240,
    COMMAND_NOP = 241,
    COMMAND_DM = 242,
    COMMAND_BRK = 243,
    COMMAND_IP = 244,
    COMMAND_AO = 245,
    COMMAND_AYT = 246,
    COMMAND_EC = 247,
    COMMAND_EL = 248,
    COMMAND_GA = 249,
    COMMAND_SB = 250,
    COMMAND_WILL = 251,
    COMMAND_WONT = 252,
    COMMAND_DO = 253,
    COMMAND_DONT = 254,
    IAC = 255
};

#define OPTION_TIMING_MARK 6

static void take_text(struct telnet *telnet, struct line_reader *reader);
static enum telnet_state take_command(struct telnet *telnet, struct line_reader *reader, struct buffer *answers);
static enum telnet_state obey(struct line_reader *reader, unsigned char command, struct buffer *answers);
static void answer_option(unsigned char verb, unsigned char option, struct buffer *answers);
static enum telnet_state skip(struct telnet *telnet, struct line_reader *reader);
static void hand_over_iac(struct telnet *telnet, struct line_reader *reader);

void telnet_init(struct telnet *telnet)
{
    *telnet = (struct telnet){.state = TELNET_TEXT};
}

/* Where an IAC may turn out to be text, there is a gap of one byte for it. */
static size_t gap_of(const struct telnet *telnet)
{
    return telnet->state != TELNET_TEXT;
}

unsigned char *telnet_room(struct telnet *telnet, struct line_reader *reader, size_t *size)
{
    size_t gap = gap_of(telnet);
    unsigned char *room;

    *size = 0;
    if (telnet_has_more(telnet))
        return NULL;
    room = line_reader_room(reader, size);
    if (*size <= gap) {
        *size = 0;
        return NULL;
    }
    *size -= gap;
    return room + gap;
}

void telnet_received(struct telnet *telnet, struct line_reader *reader, size_t size)
{
    const struct buffer *buffer = &reader->buffer;
    size_t gap = gap_of(telnet);

    REQUIRE(!telnet_has_more(telnet) && size <= buffer->capacity - buffer->size - gap);
    if (gap == 0 && (size == 0 || memchr(buffer->data + buffer->size, IAC, size) == NULL)) {
        line_reader_received(reader, size);
        return;
    }
    telnet->raw_begin = buffer->size + gap;
    telnet->raw_end = telnet->raw_begin + size;
}

void telnet_take(struct telnet *telnet, struct line_reader *reader, struct buffer *answers)
{
    unsigned char byte;

    REQUIRE(telnet_has_more(telnet));
    byte = reader->buffer.data[telnet->raw_begin];
    switch (telnet->state) {
    case TELNET_TEXT:
        take_text(telnet, reader);
        break;
    case TELNET_COMMAND:
        telnet->state = take_command(telnet, reader, answers);
        break;
    case TELNET_OPTION:
        answer_option(telnet->verb, byte, answers);
        telnet->raw_begin++;
        telnet->state = TELNET_TEXT;
        break;
    case TELNET_SKIPPING:
        telnet->state = skip(telnet, reader);
        break;
    case TELNET_SKIPPING_COMMAND:
        /* What is no end of it ends it all the same, by a mistake of the client. */
        telnet->raw_begin += byte == IAC || byte == COMMAND_SE;
        telnet->skipped++;
        telnet->state = byte == IAC ? TELNET_SKIPPING : byte == COMMAND_SE ? TELNET_TEXT : TELNET_COMMAND;
        break;
    }
}

/* Up to the next IAC, and that. */
static void take_text(struct telnet *telnet, struct line_reader *reader)
{
    struct buffer *buffer = &reader->buffer;
    unsigned char *begin = buffer->data + telnet->raw_begin;
    size_t left = telnet->raw_end - telnet->raw_begin;
    const unsigned char *end = memchr(begin, IAC, left);
    size_t size = end == NULL ? left : (size_t)(end - begin);

    memmove(buffer->data + buffer->size, begin, size);
    line_reader_received(reader, size);
    telnet->raw_begin += size;
    if (end == NULL)
        return;
    telnet->raw_begin++;
    telnet->state = TELNET_COMMAND;
}

static enum telnet_state take_command(struct telnet *telnet, struct line_reader *reader, struct buffer *answers)
{
    unsigned char command = reader->buffer.data[telnet->raw_begin];

    if (command < COMMAND_EOF || command == IAC) {
        telnet->raw_begin += command == IAC;
        hand_over_iac(telnet, reader);
        return TELNET_TEXT;
    }
    telnet->raw_begin++;
    if (command == COMMAND_SB) {
        telnet->skipped = 0;
        return TELNET_SKIPPING;
    }
    if (command >= COMMAND_WILL) {
        telnet->verb = command;
        return TELNET_OPTION;
    }
    return obey(reader, command, answers);
}

static enum telnet_state obey(struct line_reader *reader, unsigned char command, struct buffer *answers)
{
    switch (command) {
    case COMMAND_ABORT:
    case COMMAND_BRK:
    case COMMAND_IP:
    case COMMAND_EL:
        line_reader_drop_line(reader);
        break;
    case COMMAND_EC:
        line_reader_drop_character(reader);
        break;
    case COMMAND_AYT:
        reply_plain(answers, DIALECT_DEFAULT, REPLY_PONG); /* the same in all dialects */
        break;
    default:
        break;
    }
    return TELNET_TEXT;
}

static void answer_option(unsigned char verb, unsigned char option, struct buffer *answers)
{
    unsigned char answer[3] = {IAC, COMMAND_DONT, option};

    if (verb == COMMAND_DO)
        answer[1] = option == OPTION_TIMING_MARK ? COMMAND_WILL : COMMAND_WONT;
    if (verb == COMMAND_DO || verb == COMMAND_WILL)
        buffer_append(answers, bytes_from(answer, sizeof answer));
}

static enum telnet_state skip(struct telnet *telnet, struct line_reader *reader)
{
    unsigned char byte = reader->buffer.data[telnet->raw_begin];

    if (byte == IAC && telnet->skipped < TELNET_SKIP_MAX) {
        telnet->raw_begin++;
        return TELNET_SKIPPING_COMMAND;
    }
    if (telnet->skipped >= TELNET_SKIP_MAX) {
        hand_over_iac(telnet, reader);
        return TELNET_TEXT;
    }
    telnet->raw_begin++;
    telnet->skipped++;
    return TELNET_SKIPPING;
}

/* In the gap there is room for it. */
static void hand_over_iac(struct telnet *telnet, struct line_reader *reader)
{
    struct buffer *buffer = &reader->buffer;

    INVARIANT(buffer->size < telnet->raw_begin);
    buffer->data[buffer->size] = IAC;
    line_reader_received(reader, 1);
}
