/* Processes of a dead server that still have its segment; private to this layer. */
#ifndef HAUSKV_SEGMENT_LEFTOVERS_H
#define HAUSKV_SEGMENT_LEFTOVERS_H

/* Kills the workers and housekeepers that have the file behind descriptor mapped; returns how many. Only when their master
 * is known to be dead. Nothing is taken on trust: a process must call itself one of ours and map this very file. */
unsigned leftovers_end(int descriptor);

#endif
