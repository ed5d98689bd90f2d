#include "platform/progress.h"

static _Atomic uint64_t private_word;

_Atomic uint64_t *progress_word = &private_word;

void progress_show(_Atomic uint64_t *word)
{
    progress_word = word;
}
