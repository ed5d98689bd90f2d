#include "load/protocol.h"

#include "platform/decimal.h"

void batch_append(struct batch *batch, struct bytes piece)
{
    buffer_append(&batch->requests, piece);
    REQUIRE(!batch->requests.failed);
}

void batch_append_text(struct batch *batch, const char *text)
{
    batch_append(batch, bytes_from_string(text));
}

void batch_append_number(struct batch *batch, size_t number)
{
    char digits[DECIMAL_BYTES_MAX];

    batch_append(batch, decimal_write(number, 1, digits));
}

void batch_clear(struct batch *batch)
{
    buffer_truncate(&batch->requests, 0);
    batch->replies = 0;
}
