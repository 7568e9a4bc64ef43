/* A part of test_bare.c: REAL is float or double, BITS an integer of its size. Included twice. */

/* volatile: clang 19 turns a test of all bits but the sign into a comparison of numbers with 0,
 * which is another test where denormals count as zero. */
static BITS NAME(bits)(REAL x)
{
    BITS b;
    memcpy(&b, &x, sizeof b);
    volatile BITS seen = b;
    return seen;
}

static REAL NAME(real)(BITS b)
{
    REAL x;
    memcpy(&x, &b, sizeof x);
    return x;
}

static const BITS NAME(sign_bit) = (BITS)1 << (8 * sizeof(BITS) - 1);

/* Every kind of number, of both signs. */
static REAL NAME(kind)(rng *r, size_t kind)
{
    REAL x = 0;
    switch (kind / 2) {
    case 0:
        x = 0;
        break;
    case 1:
        x = TINIEST;
        break;
    case 2:
        x = TINIEST * 12345;
        break;
    case 3:
        x = SMALLEST - TINIEST;
        break;
    case 4:
        x = SMALLEST;
        break;
    case 5:
        x = (REAL)0.001;
        break;
    case 6:
        x = 1;
        break;
    case 7:
        x = LARGEST;
        break;
    case 8:
        x = (REAL)INFINITY;
        break;
    case 9:
        x = NAME(real)(kind % 2 ? SIGNALING : QUIET);
        break;
    default:
        x = (REAL)fabs(rng_real(r));
    }
    return NAME(real)(NAME(bits)(x) ^ (kind % 2 ? NAME(sign_bit) : 0));
}

/* The sign is read from its bit; of zeros alone it is 0. */
static int NAME(sign_of)(REAL w)
{
    BITS b = NAME(bits)(w);
    if ((BITS)(b << 1) == 0) return 0;
    return b & NAME(sign_bit) ? -1 : 1;
}

static bool NAME(same)(REAL a, REAL b)
{
    return NAME(bits)(a) == NAME(bits)(b);
}

static void NAME(gradients)(void)
{
    desk d = desk_open();
    rng r = {11};
    size_t rounds = scaled(300);
    const REAL alphas[] = {(REAL)5e-4, (REAL)-5e-4, 0, 1, -1024, LARGEST, TINIEST, SMALLEST};
    for (size_t round = 0; round < rounds; round++)
        for (size_t n = 0; n <= LONGEST; n++) {
            REAL w[LONGEST + 1], g[LONGEST + 1], alpha = alphas[rng_below(&r, 8)];
            uint8_t keep[LONGEST + 1];
            REAL *there = at_edge(&r, d.w, n * sizeof *w), *sums = at_edge(&r, d.g, n * sizeof *g);
            uint8_t *mask = at_edge(&r, d.keep, n);
            for (size_t i = 0; i < n; i++) {
                w[i] = NAME(kind)(&r, rng_below(&r, KINDS));
                g[i] = NAME(kind)(&r, rng_below(&r, KINDS));
            }
            random_keep(&r, keep, n);
            memcpy(there, w, n * sizeof *w);
            memcpy(sums, g, n * sizeof *g);
            memcpy(mask, keep, n);
            unsigned char outside[4096];
            memcpy(outside, d.g.start, sizeof outside);
            guarded_write(d.w, false);
            guarded_write(d.keep, false);
            bool masked = rng_chance(&r, 2);
            NAME(mskp_l1_gradient)(n, there, masked ? mask : NULL, alpha, sums);
            guarded_write(d.w, true);
            guarded_write(d.keep, true);
            for (size_t i = 0; i < n; i++) {
                int sign = NAME(sign_of)(w[i]);
                REAL expected = sign == 0 ? g[i] : g[i] + (sign < 0 ? -alpha : alpha);
                bool good = NAME(same)(sums[i], expected);
                if (masked && keep[i])
                    good = NAME(same)(sums[i], g[i]);
                else if (sign == 0)
                    good = isnan(g[i]) ? isnan(sums[i]) != 0 : sums[i] == g[i];
                else if (isnan(expected))
                    good = isnan(sums[i]) != 0;
                must(good, "n %zu, %zu: w %a, g %a, alpha %a: %a, not %a", n, i, (double)w[i],
                     (double)g[i], (double)alpha, (double)sums[i], (double)expected);
            }
            memcpy(outside + ((unsigned char *)sums - d.g.start), sums, n * sizeof *g);
            must(memcmp(outside, d.g.start, sizeof outside) == 0, "wrote beside the array");
        }
    desk_close(&d);
}

static void NAME(shrinks)(void)
{
    desk d = desk_open();
    rng r = {12};
    size_t rounds = scaled(300);
    const REAL steps[] = {0, TINIEST, SMALLEST, (REAL)0.001, (REAL)0.25, 1, LARGEST};
    for (size_t round = 0; round < rounds; round++)
        for (size_t n = 0; n <= LONGEST; n++) {
            REAL w[LONGEST + 1], step = steps[rng_below(&r, 7)];
            uint8_t keep[LONGEST + 1];
            REAL *there = at_edge(&r, d.w, n * sizeof *w);
            uint8_t *mask = at_edge(&r, d.keep, n);
            for (size_t i = 0; i < n; i++) w[i] = NAME(kind)(&r, rng_below(&r, KINDS));
            random_keep(&r, keep, n);
            memcpy(there, w, n * sizeof *w);
            memcpy(mask, keep, n);
            unsigned char outside[4096];
            memcpy(outside, d.w.start, sizeof outside);
            guarded_write(d.keep, false);
            bool masked = rng_chance(&r, 2);
            NAME(mskp_l1_prox)(n, there, masked ? mask : NULL, step);
            guarded_write(d.keep, true);
            for (size_t i = 0; i < n; i++) {
                REAL size = NAME(real)(NAME(bits)(w[i]) & ~NAME(sign_bit)), less = size - step;
                REAL expected = less > 0 ? less : 0;
                if (NAME(sign_of)(w[i]) < 0) expected = -expected;
                /* Which zero, and what becomes of NaN, the header leaves open. */
                bool good = NAME(same)(there[i], expected);
                if (masked && keep[i])
                    good = NAME(same)(there[i], w[i]);
                else if (isnan(w[i]))
                    good = isnan(there[i]) || there[i] == 0;
                else if (expected == 0)
                    good = there[i] == 0;
                must(good, "n %zu, %zu: w %a, step %a: %a, not %a", n, i, (double)w[i],
                     (double)step, (double)there[i], (double)expected);
            }
            memcpy(outside + ((unsigned char *)there - d.w.start), there, n * sizeof *w);
            must(memcmp(outside, d.w.start, sizeof outside) == 0, "wrote beside the array");
        }
    desk_close(&d);
}

#if defined __SSE2__
/* With denormals flushed: NULL, or what is wrong. Compares bits, since == would flush, too. */
static const char *NAME(flushed)(void)
{
    rng r = {13};
    for (size_t round = 0; round < 200; round++) {
        REAL w[LONGEST], g[LONGEST], sums[LONGEST];
        uint8_t keep[LONGEST];
        for (size_t i = 0; i < LONGEST; i++) {
            BITS mantissa = (BITS)(1 + rng_below(&r, 0x7ffffe));
            BITS sign = rng_chance(&r, 2) ? NAME(sign_bit) : 0;
            w[i] = NAME(real)(sign | (rng_chance(&r, 8) ? 0 : mantissa));
            sums[i] = g[i] = (REAL)(1 + rng_below(&r, 100));
        }
        random_keep(&r, keep, LONGEST);
        /* A kept element stays as it is, even one that the mode would flush. */
        for (size_t i = 0; i < LONGEST; i++)
            if (keep[i]) sums[i] = g[i] = w[i];
        NAME(mskp_l1_gradient)(LONGEST, w, keep, (REAL)0.5, sums);
        for (size_t i = 0; i < LONGEST; i++) {
            int sign = keep[i] ? 0 : NAME(sign_of)(w[i]);
            REAL moved = g[i] + (sign < 0 ? (REAL)-0.5 : (REAL)0.5);
            /* A choice between the two numbers could be compiled to an addition of 0, which the
             * mode flushes. */
            if (!(sign == 0 ? NAME(same)(sums[i], g[i]) : NAME(same)(sums[i], moved)))
                return keep[i] ? "kept, but changed" : "the sign of a denormal number was lost";
        }
        memcpy(sums, w, sizeof w);
        NAME(mskp_l1_prox)(LONGEST, sums, keep, (REAL)0.5);
        for (size_t i = 0; i < LONGEST; i++) {
            if (keep[i] && !NAME(same)(sums[i], w[i])) return "kept, but shrunk";
            if (!keep[i] && (BITS)(NAME(bits)(sums[i]) << 1) != 0) return "shrunk, but not zero";
        }
    }
    return NULL;
}
#endif

#undef REAL
#undef BITS
#undef NAME
#undef TINIEST
#undef SMALLEST
#undef LARGEST
#undef QUIET
#undef SIGNALING
