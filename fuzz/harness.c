/* The two mains of a fuzz target: AFL++'s, and the one that replays inputs. */
#include "harness.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef __AFL_HAVE_MANUAL_CONTROL

/* What a death leaves in private memory goes when the process is replaced. */
#define INPUTS_PER_PROCESS 1000

/* AFL++'s macros are not of this house. */
#pragma clang diagnostic ignored "-Wgnu-statement-expression"
#pragma clang diagnostic ignored "-Wshorten-64-to-32"
__AFL_FUZZ_INIT()

/* AFL++'s processes follow one another, with one parent. */
int fuzz_place(void)
{
    return (int)getppid();
}

int main(void)
{
    const uint8_t *data = (const uint8_t *)"";

    /* What only the first run of a process does is done before all that count. */
    (void)fuzz_one(data, 0);
    __AFL_INIT();
    data = __AFL_FUZZ_TESTCASE_BUF;
    while (__AFL_LOOP(INPUTS_PER_PROCESS))
        (void)fuzz_one(data, (size_t)__AFL_FUZZ_TESTCASE_LEN);
    return 0;
}

#else

#define INPUT_BYTES_MAX ((size_t)1 << 20)
#define PATH_BYTES 4096u
/* An input that takes longer hangs; sanitizers and Valgrind are slow. */
#define SECONDS_PER_INPUT 60u

static unsigned inputs;

int fuzz_place(void)
{
    return (int)getpid();
}

static void fail(const char *path, const char *what)
{
    (void)fprintf(stderr, "%s: %s\n", path, what);
    exit(2);
}

/* Runs a copy of exactly its size, so that whoever reads past its end is seen to. */
static void replay_bytes(const unsigned char *data, size_t size)
{
    unsigned char *exact = malloc(size == 0 ? 1 : size);

    if (exact == NULL)
        fail("replay", "out of memory");
    if (size > 0)
        memcpy(exact, data, size);
    (void)alarm(SECONDS_PER_INPUT);
    (void)fuzz_one(exact, size);
    (void)alarm(0);
    free(exact);
    inputs++;
}

/* The input that did not survive is the last one named. */
static void replay_file(const char *path)
{
    unsigned char *data = malloc(INPUT_BYTES_MAX);
    FILE *file = fopen(path, "rbe");
    size_t size;

    if (data == NULL || file == NULL)
        fail(path, "cannot be read");
    (void)fprintf(stderr, "%s\n", path);
    size = fread(data, 1, INPUT_BYTES_MAX, file);
    (void)fclose(file);
    replay_bytes(data, size);
    free(data);
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void replay_folder(const char *folder, struct dirent **entries, int count)
{
    char path[PATH_BYTES];

    for (int i = 0; i < count; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        replay_file(path);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char *argv[])
{
    for (int i = 1; i < argc; i++) {
        struct dirent **entries;
        int count = scandir(argv[i], &entries, is_input, alphasort);

        if (count < 0)
            replay_file(argv[i]);
        else
            replay_folder(argv[i], entries, count);
    }
    (void)printf("%u inputs\n", inputs);
    return 0;
}

#endif
