/* What a command line asks for, on a page. */
#ifndef COMMON_ASKED_H
#define COMMON_ASKED_H

#include "args.h"
#include "page.h"

/* A section with each option of the table that was given or has a default; from: the struct that
 * args_read filled in. */
void asked_show(page *p, size_t n, const arg *table, const void *from);

#endif
