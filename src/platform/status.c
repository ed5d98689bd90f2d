/* The outcomes' names and sentences, from the one list in status.def. */
#include "platform/status.h"

#include "platform/contract.h"

static const struct {
    const char *code;
    const char *message;
} descriptions[STATUS_COUNT] = {
#define STATUS(name, code, message) [STATUS_##name] = {code, message},
#include "platform/status.def"
#undef STATUS
};

bool status_is_valid(enum status status)
{
    return (unsigned)status < STATUS_COUNT;
}

const char *status_code(enum status status)
{
    REQUIRE(status_is_valid(status));
    return descriptions[status].code;
}

const char *status_message(enum status status)
{
    REQUIRE(status_is_valid(status));
    return descriptions[status].message;
}
