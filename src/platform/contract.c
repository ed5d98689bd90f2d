/* The end of a process that found itself broken. */
#include "platform/contract.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "platform/bytes.h"
#include "platform/decimal.h"
#include "platform/diagnostic.h"

_Noreturn void contract_failed(const char *kind, const char *condition, const char *file, int line)
{
    /* Telling, or a handler of SIGABRT, may itself break a contract: then there
     * is nothing left to say and nobody left to ask. */
    static atomic_flag telling = ATOMIC_FLAG_INIT;
    char digits[DECIMAL_BYTES_MAX];

    if (!atomic_flag_test_and_set(&telling)) {
        const struct bytes pieces[] = {
            bytes_from_string("broken contract: "),
            bytes_from_string(kind),
            bytes_from_string("("),
            bytes_from_string(condition),
            bytes_from_string(") at "),
            bytes_from_string(file),
            bytes_from_string(":"),
            decimal_write((unsigned)line, 1, digits),
        };

        diagnostic_write_pieces(DIAGNOSTIC_ERROR, pieces, sizeof pieces / sizeof *pieces);
    } else {
        (void)signal(SIGABRT, SIG_DFL);
    }
    abort();
}
