/* A line that shows how much of a long job is done, and how many seconds are left. */
#ifndef COMMON_PROGRESS_H
#define COMMON_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct progress {
    double total, done; /* work in any unit; the job adds to `done` */
    double started, shown;
    size_t width; /* of the line on the terminal; 0 if there is none */
    bool terminal;
} progress;

double seconds(void); /* since some moment in the past; never goes back */

void progress_start(progress *p, double total); /* on standard output */
/* Replaces the line on a terminal, at most a few times per second. Elsewhere it does nothing. */
void progress_show(progress *p, const char *text);
/* Prints a line that stays, with the time that is left if `left` is set. */
void progress_print(progress *p, bool left, const char *text);
void progress_clear(progress *p); /* call it before printing anything else */

#endif
