/* Errors as sentences, and products that are checked. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>

#include "files.h"

bool cn_fail(cn_error *err, const char *format, ...)
{
    if (err) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(err->text, sizeof err->text, format, arguments);
        va_end(arguments);
        file_printable(err->text); /* names may come from a file */
    }
    return false;
}

bool cn_mul(size_t a, size_t b, size_t *product)
{
    if (b && a > SIZE_MAX / b) return false;
    *product = a * b;
    return true;
}
