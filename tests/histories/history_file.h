/* Histories as text that people write and read; see README.md. */
#ifndef HAUSKV_TESTS_HISTORY_FILE_H
#define HAUSKV_TESTS_HISTORY_FILE_H

#include <stdio.h>

#include "support/history.h"

/* Writes the history, transactions in the order of their invocation. */
void history_write(const struct history *history, FILE *file);

/* Writes it into a new file of that name, with these lines as comments at its head; false and errno: it cannot. */
bool history_write_file(const struct history *history, const char *path, const char *comment);

/* Reads one; false: *line is where it is wrong, and *what says how. In private memory: free its `transactions`. */
bool history_read(struct history *history, FILE *file, unsigned *line, const char **what);

#endif
