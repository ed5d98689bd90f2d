#include "load/spread.h"

#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    double first = *(const double *)left;
    double second = *(const double *)right;

    return (first > second) - (first < second);
}

struct spread spread_of(double *values, unsigned count)
{
    if (count == 0)
        return (struct spread){0};
    qsort(values, count, sizeof *values, compare);
    return (struct spread){values[0], (values[(count - 1) / 2] + values[count / 2]) / 2, values[count - 1]};
}

double spread_percentile(const double *sorted, unsigned count, double share)
{
    unsigned rank = 0;

    while (rank + 1 < count && (double)(rank + 1) < share * (double)count)
        rank++;
    return count == 0 ? 0 : sorted[rank];
}
