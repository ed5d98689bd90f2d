/* Whose words the replies are in: --dialect. What a command does is the same in
 * all of them. spec/protocol.md has every text that differs. */
#ifndef HAUSKV_PROTOCOL_DIALECT_H
#define HAUSKV_PROTOCOL_DIALECT_H

enum dialect {
    DIALECT_DEFAULT,
    DIALECT_ECHO,     /* says what was done, and to which key and value; errors have "message" for "mesg" */
    DIALECT_MESSAGES, /* other words for a missing key and for DEL */
    DIALECT_COUNT
};

#endif
