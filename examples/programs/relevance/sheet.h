/* sheet.h - pictures of 32 x 32 pixels in rows and columns, as one PNG file */
#ifndef RELEVANCE_SHEET_H
#define RELEVANCE_SHEET_H

#include "convnet.h"

typedef struct sheet {
    size_t rows, columns, width, height;
    uint8_t *pixels; /* [height][width][3] */
} sheet;

enum { SHEET_SCALE = 3, SHEET_GAP = 4 }; /* pixels for one of a picture; between pictures */

bool sheet_open(sheet *s, size_t rows, size_t columns, cn_error *err);
void sheet_free(sheet *s);

/* An image of cn_data: [3][32][32]. */
void sheet_image(sheet *s, size_t row, size_t column, const uint8_t *image);
/* Numbers over their largest magnitude: white is 0, red is above, blue below. */
void sheet_signed(sheet *s, size_t row, size_t column, const double *map);
/* Numbers in [0, 1]: black, red, yellow, white. */
void sheet_heat(sheet *s, size_t row, size_t column, const double *map);

/* A file that is there stays until the new one is complete. */
bool sheet_write(const sheet *s, const char *path, cn_error *err);

#endif
