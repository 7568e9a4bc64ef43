/* The axes of pictures: where their ticks are, and where a number lies. */
#ifndef COMMON_AXIS_H
#define COMMON_AXIS_H

#include <stddef.h>

typedef struct axis {
    double low, high, step;
    double from, to; /* where low and high lie in the picture */
} axis;

/* 1, 2 or 5 times a power of 10, not below x > 0. */
double axis_round_up(double x);
/* An axis whose ends are ticks, for about so many steps. */
axis axis_over(double low, double high, double steps, double from, double to);
double axis_place(const axis *a, double x);
/* text <- the number at a tick, with as many digits behind the point as tell the ticks apart. */
void axis_tick(const axis *a, double at, const char *unit, size_t size, char *text);

#endif
