#define _POSIX_C_SOURCE 200809L
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_start(progress *p, double total)
{
    *p = (progress){.total = total, .started = seconds(), .terminal = isatty(STDOUT_FILENO)};
}

void progress_clear(progress *p)
{
    if (p->width) printf("\r%*s\r", (int)p->width, "");
    p->width = 0;
}

static size_t print_line(const progress *p, const char *text, bool left)
{
    char more[48] = "";
    if (left && p->done > 0) {
        const double rest = p->total > p->done ? p->total - p->done : 0;
        const unsigned long s = (unsigned long)((seconds() - p->started) / p->done * rest + 0.5);
        if (s < 3600)
            snprintf(more, sizeof more, "   left %lu:%02lu", s / 60, s % 60);
        else
            snprintf(more, sizeof more, "   left %lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    }
    printf("%s%s", text, more);
    return strlen(text) + strlen(more);
}

void progress_show(progress *p, const char *text)
{
    const double now = seconds();
    if (!p->terminal || (p->width && now - p->shown < 0.2)) return;
    progress_clear(p);
    p->shown = now;
    p->width = print_line(p, text, true);
    fflush(stdout);
}

void progress_print(progress *p, bool left, const char *text)
{
    progress_clear(p);
    print_line(p, text, left);
    putchar('\n');
    fflush(stdout);
}
