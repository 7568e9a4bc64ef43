/* Curves of one line of text, for a terminal. */
#ifndef COMMON_SPARK_H
#define COMMON_SPARK_H

#include <stdbool.h>
#include <stddef.h>

/* Whether standard output is a terminal that shows UTF-8, as far as the locale says so. */
bool spark_wanted(void);

enum { SPARK_WIDTH = 60, SPARK_TEXT = 3 * SPARK_WIDTH + 1 };
/* text <- one block for each number, or, if there are more than SPARK_WIDTH, one for the last of
 * every few; a blank where a number is NaN. */
void spark_text(size_t n, const double *y, char text[SPARK_TEXT]);

#endif
