/* The smallest, the middle and the largest of some figures. */
#ifndef HAUSKV_TESTS_LOAD_SPREAD_H
#define HAUSKV_TESTS_LOAD_SPREAD_H

struct spread {
    double minimum;
    double median;
    double maximum;
};

/* Sorts the values; all 0 if there are none. */
struct spread spread_of(double *values, unsigned count);

#endif
