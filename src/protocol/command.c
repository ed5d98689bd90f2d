/* Verbs to commands. A verb is compared as one word: no letter of it has more
 * than one byte that differs from it only in the bit of the case. */
#include "protocol/command.h"

#include <stdint.h>
#include <string.h>

#define UPPER_CASE UINT64_C(0xdfdfdfdfdfdfdfdf)

static const struct command commands[VERB_TOTAL] = {
#define COMMAND(name, arguments, fields_min, usage) \
    [VERB_##name] = {#name, sizeof #name - 1, ARGUMENTS_##arguments, fields_min, usage},
#include "protocol/command.def"
#undef COMMAND
};

enum verb command_find(struct bytes verb)
{
    uint64_t wanted = 0;

    if (verb.size == 0 || verb.size > COMMAND_VERB_BYTES_MAX)
        return VERB_UNKNOWN;
    memcpy(&wanted, verb.data, verb.size);
    for (unsigned i = 0; i < VERB_TOTAL; i++) {
        uint64_t known;

        memcpy(&known, commands[i].verb, sizeof known);
        if (commands[i].verb_size == verb.size && (wanted & UPPER_CASE) == known)
            return (enum verb)i;
    }
    return VERB_UNKNOWN;
}

const struct command *command_of(enum verb verb)
{
    REQUIRE(verb < VERB_TOTAL);
    return &commands[verb];
}
