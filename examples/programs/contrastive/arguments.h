/* The command line of both programs, but for what only one of them has. */
#ifndef CONTRASTIVE_ARGUMENTS_H
#define CONTRASTIVE_ARGUMENTS_H

#include "common/args.h"
#include "session.h"

enum { ARGUMENTS_ROWS = 15 };

/* The first rows of a table for args_read, which fills in a struct whose first field is a
 * session_options. */
void arguments_rows(arg table[ARGUMENTS_ROWS]);

#endif
