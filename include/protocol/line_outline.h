/* What is left of a line that was too long to keep: just enough to know which
 * command it was, which transaction its last field could name, and whether a
 * browser sent it. Fed byte by byte, so it does not depend on how the line
 * arrived. */
#ifndef HAUSKV_PROTOCOL_LINE_OUTLINE_H
#define HAUSKV_PROTOCOL_LINE_OUTLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/bytes.h"
#include "platform/decimal.h"
#include "protocol/command.h"

struct line_outline {
    unsigned char verb[COMMAND_VERB_BYTES_MAX]; /* the first field's beginning */
    size_t verb_size;                           /* its whole size */
    unsigned char last[DECIMAL_BYTES_MAX];      /* the last field's beginning */
    size_t last_size;                           /* its whole size */
    uint64_t last_eight;                        /* the last field's last eight bytes, the last one lowest */
    unsigned char before_last;                  /* the last byte of the field before it; 0: there is none */
    bool has_form;                              /* the second field begins with { */
    bool inside;                                /* the last byte seen belongs to a field */
    size_t field_count;
};

void line_outline_init(struct line_outline *outline);
void line_outline_feed(struct line_outline *outline, struct bytes bytes);

#endif
