/* Pictures in rows and columns, written by libpng's simplified interface, which needs no setjmp. */
#include "sheet.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "files.h"

enum { STEP = CN_SIDE * SHEET_SCALE + SHEET_GAP, CELLS = CN_SIDE * CN_SIDE };

bool sheet_open(sheet *s, size_t rows, size_t columns, cn_error *err)
{
    *s = (sheet){.rows = rows,
                 .columns = columns,
                 .width = columns * STEP + SHEET_GAP,
                 .height = rows * STEP + SHEET_GAP};
    s->pixels = malloc(s->width * s->height * 3);
    if (!s->pixels)
        return args_refuse(sizeof err->text, err->text, "no memory for a picture of %zu x %zu",
                           s->width, s->height);
    memset(s->pixels, 255, s->width * s->height * 3);
    return true;
}

void sheet_free(sheet *s)
{
    free(s->pixels);
    *s = (sheet){0};
}

/* One pixel of a picture, as SHEET_SCALE x SHEET_SCALE pixels of the sheet. */
static void cell(sheet *s, size_t row, size_t column, size_t k, const uint8_t colour[3])
{
    const size_t top = row * STEP + SHEET_GAP + k / CN_SIDE * SHEET_SCALE,
                 left = column * STEP + SHEET_GAP + k % CN_SIDE * SHEET_SCALE;
    for (size_t y = top; y < top + SHEET_SCALE; y++)
        for (size_t x = left; x < left + SHEET_SCALE; x++)
            memcpy(s->pixels + (y * s->width + x) * 3, colour, 3);
}

static uint8_t byte_of(double part)
{
    return (uint8_t)lround(255 * fmin(fmax(part, 0), 1));
}

void sheet_image(sheet *s, size_t row, size_t column, const uint8_t *image)
{
    for (size_t k = 0; k < CELLS; k++)
        cell(s, row, column, k, (uint8_t[]){image[k], image[CELLS + k], image[2 * CELLS + k]});
}

void sheet_signed(sheet *s, size_t row, size_t column, const double *map)
{
    double most = 0;
    for (size_t k = 0; k < CELLS; k++) most = fmax(most, fabs(map[k]));
    for (size_t k = 0; k < CELLS; k++) {
        const double part = most > 0 ? map[k] / most : 0;
        cell(s, row, column, k,
             (uint8_t[]){byte_of(1 + part), byte_of(1 - fabs(part)), byte_of(1 - part)});
    }
}

void sheet_heat(sheet *s, size_t row, size_t column, const double *map)
{
    for (size_t k = 0; k < CELLS; k++)
        cell(s, row, column, k,
             (uint8_t[]){byte_of(3 * map[k]), byte_of(3 * map[k] - 1), byte_of(3 * map[k] - 2)});
}

bool sheet_write(const sheet *s, const char *path, cn_error *err)
{
    png_image picture = {.version = PNG_IMAGE_VERSION,
                         .width = (png_uint_32)s->width,
                         .height = (png_uint_32)s->height,
                         .format = PNG_FORMAT_RGB};
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(picture);
    void *bytes = malloc(size);
    file_output out = {0};
    file_error why;
    bool good = bytes && png_image_write_to_memory(&picture, bytes, &size, 0, s->pixels, 0, NULL);
    if (!good) {
        args_refuse(sizeof err->text, err->text, "%.120s: %.100s", path,
                    bytes ? picture.message : "no memory for the picture");
    } else {
        good = file_create(&out, path, &why);
        if (good) file_put(&out, bytes, size);
        good = good && file_commit(&out, &why);
        if (!good) args_refuse(sizeof err->text, err->text, "%.120s: %.120s", path, why.text);
        file_discard(&out);
    }
    png_image_free(&picture);
    free(bytes);
    return good;
}
