/* Fields, counted and forgotten. */
#include "protocol/line_outline.h"

#include <string.h>

static void begin_field(struct line_outline *outline, unsigned char first)
{
    outline->before_last = (unsigned char)(outline->last_eight & 0xff);
    outline->last_size = 0;
    outline->last_eight = 0;
    outline->field_count++;
    if (outline->field_count == 2)
        outline->has_form = first == '{';
}

static void feed_byte(struct line_outline *outline, unsigned char byte)
{
    bool is_white = byte == ' ' || byte == '\t';

    if (!is_white && !outline->inside)
        begin_field(outline, byte);
    outline->inside = !is_white;
    if (is_white)
        return;
    if (outline->field_count == 1) {
        if (outline->verb_size < sizeof outline->verb)
            outline->verb[outline->verb_size] = byte;
        outline->verb_size++;
    }
    if (outline->last_size < sizeof outline->last)
        outline->last[outline->last_size] = byte;
    outline->last_size++;
    outline->last_eight = outline->last_eight << 8 | byte;
}

void line_outline_init(struct line_outline *outline)
{
    memset(outline, 0, sizeof(*outline));
}

void line_outline_feed(struct line_outline *outline, struct bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        feed_byte(outline, bytes.data[i]);
}
