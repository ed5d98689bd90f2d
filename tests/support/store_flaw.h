/* A store with a mistake: it hands every call to another store, but for one
 * thing that it does wrong. Proof that tests of stores can fail. */
#ifndef HAUSKV_TESTS_STORE_FLAW_H
#define HAUSKV_TESTS_STORE_FLAW_H

#include "store/store.h"

enum store_flaw {
    STORE_FLAW_NONE,
#define FLAW(name, description) STORE_FLAW_##name,
#include "support/store_flaw.def"
#undef FLAW
    STORE_FLAW_COUNT
};

const char *store_flaw_description(enum store_flaw flaw);

/* Private memory; inner must stay open as long. */
struct store *store_flaw_create(struct store *inner, enum store_flaw flaw);
void store_flaw_destroy(struct store *store);

/* The session behind a session, for what goes beyond store.h. */
struct store_session *store_flaw_inner_session(struct store_session *session);

#endif
