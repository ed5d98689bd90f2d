/* Does what the transactions read fit together? For histories of many clients,
 * where searching for an order (search.h) takes too long: the versions of a key
 * are put in order by those who read one and write the next, and then each
 * transaction stands in a graph of dependencies, as in Adya's "Weak consistency"
 * (1999) and Kingsbury and Alvaro's "Elle" (2020):
 *
 *   ww   wrote a version that the other has overwritten
 *   wr   wrote a version that the other has read
 *   rw   read a version that the other has overwritten
 *   rt   had returned before the other was invoked
 *
 * It is strictly serializable if and only if nobody read what was never
 * committed, and the graph has no cycle. What is wrong is named:
 *
 *   internal     a transaction does not see its own write
 *   garbage      a value is read that nobody wrote
 *   G1a          a value is read that was not committed
 *   G1b          a value is read that its writer had overwritten before COMMIT
 *   lost update  two have read a version and written the next
 *   fractured read   see below
 *   G0           a cycle of ww
 *   G1c          a cycle of ww and wr
 *   G-single     a cycle of ww, wr and one rw
 *   G2           a cycle of ww, wr and several rw
 *   G0, G1c, G-single, G2 over real time   the same with rt, which is not serial but only its order is wrong
 *
 * What it takes, and is otherwise undecided:
 *   - every committed transaction that writes a key has read it before, from the
 *     store, once or several times;
 *   - nobody counts keys;
 *   - only keys with a stamp are deleted, since one absence cannot be told from
 *     another. In a history that has_stamps, every odd key has the even one
 *     before it for its stamp: whoever reads or writes the key does the same
 *     with the stamp, and a stamp is never deleted. So who reads an absent key
 *     says with its stamp which absence that is.
 *
 * An unknown outcome that was seen has happened; one that was not seen cannot
 * have mattered to anybody, since whoever writes has read. */
#ifndef HAUSKV_TESTS_CYCLES_H
#define HAUSKV_TESTS_CYCLES_H

#include "support/history.h"

/* A history_checker; its effort is the number of edges. */
enum history_verdict history_cycles(const struct history *history, struct history_opinion *opinion);

#endif
