/* A line that tells how far a long job has come, and the seconds that are left of it. */
#ifndef COMMON_PROGRESS_H
#define COMMON_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct progress {
    double total, done; /* work, in any unit; done is counted up by the job */
    double started, shown;
    size_t width; /* of the line on the terminal; 0: there is none */
    bool terminal;
} progress;

double seconds(void); /* since some moment in the past; never goes back */

void progress_start(progress *p, double total); /* on standard output */
/* On a terminal: shows the line in place of the last one, a few times a second. Else: nothing. */
void progress_show(progress *p, const char *text);
/* One line for good. left: with the time left. */
void progress_print(progress *p, bool left, const char *text);
void progress_clear(progress *p); /* before anything else is printed */

#endif
