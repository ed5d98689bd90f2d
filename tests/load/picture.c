#include "load/picture.h"

#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned count_columns(const struct picture *picture)
{
    unsigned count = 0;

    while (count < PICTURE_COLUMNS_MAX && picture->columns[count] != NULL)
        count++;
    return count;
}

static FILE *open_file(const struct picture *picture, const char *extension)
{
    char path[PICTURE_PATH_BYTES + 8];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s.%s", picture->path, extension);
    file = fopen(path, "we");
    if (file == NULL)
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
    return file;
}

bool picture_begin(struct picture *picture, const char *folder, const char *name)
{
    (void)mkdir(folder, 0777);
    (void)snprintf(picture->path, sizeof picture->path, "%s/%s", folder, name);
    picture->data = open_file(picture, "dat");
    if (picture->data == NULL)
        return false;
    (void)fprintf(picture->data, "x");
    for (unsigned i = 0; i < count_columns(picture); i++)
        (void)fprintf(picture->data, "\t%s", picture->columns[i]);
    (void)fprintf(picture->data, "\n");
    return true;
}

void picture_add(struct picture *picture, const char *x, const double *values)
{
    (void)fprintf(picture->data, "%s", x);
    for (unsigned i = 0; i < count_columns(picture); i++) {
        if (values[i] < 0)
            (void)fprintf(picture->data, "\t?");
        else
            (void)fprintf(picture->data, "\t%.6g", values[i]);
    }
    (void)fprintf(picture->data, "\n");
}

static const char *file_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* The script names its files without their folder, so that all can be moved together. */
static bool write_script(const struct picture *picture)
{
    const char *file_name = file_of(picture->path);
    unsigned count = count_columns(picture);
    FILE *script = open_file(picture, "gp");

    if (script == NULL)
        return false;
    (void)fprintf(script, "set terminal svg size 960,540 background 'white'\nset output '%s.svg'\n", file_name);
    (void)fprintf(script, "set datafile separator '\\t'\nset datafile missing '?'\n");
    (void)fprintf(script, "set title '%s'\nset xlabel '%s'\nset ylabel '%s'\nset grid\nset key outside right\n",
                  picture->title, picture->x_label, picture->y_label);
    if (picture->is_by_name)
        (void)fprintf(script, "set style data histograms\nset style fill solid 0.7\nset xtics rotate by -30\n"
                              "set yrange [0:*]\n");
    else
        (void)fprintf(script, "set style data linespoints\nset logscale x\nset logscale y\n");
    (void)fprintf(script, "plot for [i=2:%u] '%s.dat' using %s title columnheader(i)\n", count + 1, file_name,
                  picture->is_by_name ? "i:xtic(1)" : "1:i");
    return fclose(script) == 0;
}

static bool draw(const struct picture *picture)
{
    char script[PICTURE_PATH_BYTES + 8];
    char *arguments[] = {(char[]){"gnuplot"}, script, NULL};
    posix_spawn_file_actions_t actions;
    char folder[PICTURE_PATH_BYTES];
    int status = -1;
    pid_t child;

    (void)snprintf(script, sizeof script, "%s.gp", file_of(picture->path));
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(file_of(picture->path) - picture->path), picture->path);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addchdir_np(&actions, folder[0] == '\0' ? "." : folder);
    if (posix_spawnp(&child, "gnuplot", &actions, NULL, arguments, environ) == 0)
        (void)waitpid(child, &status, 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    return status == 0;
}

bool picture_end(struct picture *picture)
{
    if (fclose(picture->data) != 0 || !write_script(picture))
        return false;
    if (draw(picture))
        printf("Picture: %s.svg\n\n", picture->path);
    else
        printf("No picture without gnuplot; `gnuplot %s.gp` draws it.\n\n", file_of(picture->path));
    (void)fflush(stdout);
    return true;
}
