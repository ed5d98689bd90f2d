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

/* The smallest of the sorted values that a share of them, up to 1, do not exceed; 0 if there are none. */
double spread_percentile(const double *sorted, unsigned count, double share);

#endif
