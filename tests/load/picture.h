/* Pictures of figures: NAME.dat with the figures, NAME.gp that draws them, and
 * NAME.svg where gnuplot is there. */
#ifndef HAUSKV_TESTS_LOAD_PICTURE_H
#define HAUSKV_TESTS_LOAD_PICTURE_H

#include <stdbool.h>
#include <stdio.h>

#define PICTURE_COLUMNS_MAX 12u
#define PICTURE_PATH_BYTES 512u

/* A line for each column after the first, which is the x axis. */
struct picture {
    FILE *data;
    char path[PICTURE_PATH_BYTES]; /* without its extension */
    const char *title;
    const char *x_label;
    const char *y_label;
    const char *columns[PICTURE_COLUMNS_MAX]; /* their names, x not counted; ends with NULL */
    bool is_by_name;                          /* bars over names in place of lines over numbers */
};

/* Opens PATH.dat; title, labels and columns are set by the caller before. False: standard error was told why not. */
bool picture_begin(struct picture *picture, const char *folder, const char *name);

/* One line of figures; `values` has as many as there are columns, a negative one is missing. */
void picture_add(struct picture *picture, const char *x, const double *values);

/* Writes PATH.gp and draws; says on standard output what there is. */
bool picture_end(struct picture *picture);

#endif
