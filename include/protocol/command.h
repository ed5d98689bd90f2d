/* The verbs, from command.def. Any process, any thread. */
#ifndef HAUSKV_PROTOCOL_COMMAND_H
#define HAUSKV_PROTOCOL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/bytes.h"

/* The longest verbs are packed into one word. */
#define COMMAND_VERB_BYTES_MAX 8u

enum verb {
#define COMMAND(name, arguments, fields_min, usage) VERB_##name,
#include "protocol/command.def"
#undef COMMAND
    VERB_TOTAL,
    VERB_UNKNOWN = VERB_TOTAL
};

enum arguments {
    ARGUMENTS_NOTHING,
    ARGUMENTS_KEY,         /* a key, or {"key": "k"} */
    ARGUMENTS_KEY_VALUE,   /* a key and the rest of the line, or {"key": "k", "value": "v"} */
    ARGUMENTS_PREFIX,      /* nothing, a prefix, or {"prefix": "p"} */
    ARGUMENTS_SCAN,        /* a cursor, then perhaps a prefix, then perhaps a limit */
    ARGUMENTS_ISOLATION,   /* nothing, or the words of an isolation level */
    ARGUMENTS_TRANSACTION, /* nothing (but an id) */
    ARGUMENTS_TOTAL
};

struct command {
    char verb[COMMAND_VERB_BYTES_MAX + 1]; /* upper case, filled up with NUL */
    size_t verb_size;
    enum arguments arguments;
    unsigned fields_min; /* fields that must follow the verb in the text form */
    const char *usage;
};

/* The command that a verb in any case names; VERB_UNKNOWN if none. */
enum verb command_find(struct bytes verb);

/* Not for VERB_UNKNOWN. Static storage. */
const struct command *command_of(enum verb verb);

#endif
