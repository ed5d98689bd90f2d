/* From a request to its reply: the dispatch. */
#ifndef HAUSKV_SESSION_EXECUTE_H
#define HAUSKV_SESSION_EXECUTE_H

#include "platform/status.h"
#include "protocol/message.h"
#include "protocol/request.h"
#include "session/session.h"
#include "session/session_transactions.h"

/* Executes a request in a transaction (the one it names, else START's, else
 * NULL: single) and appends the reply to session->output. On any outcome but
 * STATUS_OK what it appended must be cut off again, and message may say more
 * than the status does. Opens and ends transactions, but aborts none: that is
 * for the one rule in session.c. */
enum status execute(struct session *session, const struct request *request, struct session_transaction *transaction,
                    struct message *message);

#endif
