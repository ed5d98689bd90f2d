/* The physical ceiling of one process per connection: the accept loop and the
 * scheduling class of hauskv's workers, one blocking read and one write for each
 * batch, replies as long as hauskv's, and nothing else. */
#ifndef HAUSKV_TESTS_LOAD_ECHO_H
#define HAUSKV_TESTS_LOAD_ECHO_H

#include <stddef.h>

#include "load/endpoint.h"

/* Forks worker_count workers, which answer each line with hauskv's reply to it: to a GET, with a value of that many
 * bytes. Returns at SIGTERM only. 1: it could not serve. */
int echo_serve(const struct endpoint *endpoint, unsigned worker_count, size_t value_bytes);

#endif
