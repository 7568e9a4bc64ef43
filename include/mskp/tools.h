/*
 * mskp/tools.h - inspection, masks as text, a report, index maps, undo, bare arrays
 *
 * Include this header if you write a bridge for a trainer, store masks in files, compare them
 * between ranks, gather tensors yourself, or want to know why channels cannot be removed. The rules
 * at the head of mskp.h hold here, too.
 */
#ifndef MSKP_TOOLS_H
#define MSKP_TOOLS_H

#include "../mskp.h"
#include "constants.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ============================================================================================== */
/*                                       Version and status                                       */
/* ============================================================================================== */

/* The version of the linked library, to compare with MSKP_VERSION of the header. */
MSKP_STABLE uint32_t mskp_version(void);
/* The text of a status; never NULL, also for numbers that are not in the table. */
MSKP_STABLE const char *mskp_status_text(mskp_status status);

/* ============================================================================================== */
/*                                       Memory and threads                                       */
/* ============================================================================================== */

/*
 * The caller's memory and threads. All zero, or NULL, means malloc, free and no threads. The
 * library calls the functions from the thread that called it.
 *   allocate      returns memory aligned for any object, or NULL. bytes is never 0.
 *   release       frees it; memory may be NULL. Set both functions or neither.
 *   parallel_for  runs work(work_context, i) once for each i in [0, n), in any order, on any
 *                 threads, and returns when all are done. Results do not depend on it.
 */
struct mskp_services {
    void *context;
    void *(*allocate)(void *context, size_t bytes);
    void (*release)(void *context, void *memory);
    void (*parallel_for)(void *context, size_t n, void (*work)(void *work_context, size_t i),
                         void *work_context);
};

/* ============================================================================================== */
/*                                      Looking into a graph                                      */
/* ============================================================================================== */

/* In this section output pointers (count, roles, shape, spatial, channels) may be NULL. Pointers
 * that the functions return live as long as the graph. Before mskp_graph_finish the functions
 * return 0, NULL or {0}, unless a comment says that they work while describing. */

/* In place of a unit's number: the channel is pinned, and never removed. */
#define MSKP_PINNED UINT32_MAX

/* A parameter or value by its name; {0} if there is none. Also while describing. */
MSKP_STABLE mskp_param mskp_param_find(const mskp_graph *graph, const char *name);
MSKP_STABLE mskp_value mskp_value_find(const mskp_graph *graph, const char *name);

/* Shapes, also while describing. They return the number of axes of a parameter, and of spatial axes
 * of a value. A handle that is not of this graph has no axes, and no channels. */
MSKP_STABLE uint32_t mskp_param_shape(const mskp_graph *graph, mskp_param param,
                                      size_t shape[MSKP_MAX_DIMS]);
MSKP_STABLE uint32_t mskp_value_shape(const mskp_graph *graph, mskp_value value, size_t *channels,
                                      size_t spatial[MSKP_MAX_SPATIAL]);

/* The unit of each channel of a value (*count of them); MSKP_PINNED for channels that are never
 * removed. NULL for a handle that is not of this graph. */
MSKP_STABLE const uint32_t *mskp_value_units(const mskp_graph *graph, mskp_value value,
                                             size_t *count);

/* The name of a parameter or value; NULL for a handle that is not of this graph. */
MSKP_STABLE const char *mskp_param_name(const mskp_graph *graph, mskp_param param);
MSKP_STABLE const char *mskp_value_name(const mskp_graph *graph, mskp_value value);

/* What limits the removal of a value's channels. Ties with channels of other values are not counted
 * here: units that several values share tell of them (mskp_value_units, mskp_unit_members). */
typedef struct mskp_coupling {
    const char *name;      /* the value's name */
    const char *op;        /* the operator that made the value: "conv", "relu", "add" ... */
    size_t channels;       /* all channels */
    size_t units;          /* different units among them */
    size_t pinned;         /* channels that are never removed */
    size_t tied;           /* joins, by the operator tied_by, of channels of this value */
    size_t inexact;        /* channels whose removal changes the statistics of others */
    mskp_value tied_by;    /* the operator with the most joins; {0}: none */
    mskp_value pinned_by;  /* the first operator that pinned one of them; {0}: none */
    mskp_value inexact_by; /* the first norm whose statistics mix one of them; {0}: none */
} mskp_coupling;
MSKP_STABLE mskp_status mskp_value_coupling(const mskp_graph *graph, mskp_value value,
                                            mskp_coupling *coupling, mskp_error *err);

/* The unit of each index of a parameter's axis, likewise, and the roles of the axis. NULL if the
 * axis is bound to no channels. A program spreads a mask over a tensor of its own, for instance on
 * a device, by keep.unit[units[i]]. */
MSKP_STABLE const uint32_t *mskp_param_units(const mskp_graph *graph, mskp_param param,
                                             uint32_t axis, uint32_t *roles, size_t *count);

/* All roles of the parameter's axes together: whether a score or penalty with these roles touches
 * the parameter. 0 for a handle that is not of this graph. */
MSKP_STABLE uint32_t mskp_param_roles(const mskp_graph *graph, mskp_param param);

/*
 * *view <- all of a parameter, packed, with its axes in another order in memory: order[0] is the
 * axis with the largest stride, order[ndim - 1] the axis whose neighbours are adjacent; NULL: as
 * declared. A linear weight [out][in] that lies in memory as [in][out] has the order {1, 0}, a
 * convolution weight in channels-last memory {0, 2, 3, 1}. With the graph after surgery it gives
 * the small view. data may be NULL. MSKP_ERROR_BAD_ARGUMENT: a parameter that is not of this graph,
 * an order that does not name each axis once, or no such dtype.
 */
MSKP_STABLE mskp_status mskp_param_view(const mskp_graph *graph, mskp_param param,
                                        const uint32_t *order, void *data, mskp_dtype dtype,
                                        mskp_tensor *view, mskp_error *err);

/* One slice of a parameter: everything with this index on this axis. */
typedef struct mskp_member {
    mskp_param param;
    uint32_t axis, index, roles;
} mskp_member;

/* The slices of a unit, sorted by parameter, axis and index. count may be NULL. */
MSKP_STABLE const mskp_member *mskp_unit_members(const mskp_graph *graph, size_t unit,
                                                 size_t *count);

/* The family of each unit; and the units of one family, ascending. count may be NULL. */
MSKP_STABLE const uint32_t *mskp_unit_families(const mskp_graph *graph, size_t *count);
MSKP_STABLE const uint32_t *mskp_family_units(const mskp_graph *graph, size_t family,
                                              size_t *count);

/* ============================================================================================== */
/*                                         Masks as text                                          */
/* ============================================================================================== */

/* A number that depends on everything that gives a mask its meaning: names and shapes of
 * parameters, names and lengths of values, and the unit of each channel and index; not on spatial
 * sizes, roles and costs. It is the same on every machine and in every build, so ranks can
 * compare it. 0 before finish and for NULL, never 0 after. */
MSKP_STABLE uint64_t mskp_fingerprint(const mskp_graph *graph);

/*
 * text <- the mask as lines of text for people, for diff, and for a file that the caller writes:
 * docs/mask-file.md. What is kept of every family and every value, by name, and the fingerprint.
 * Equal masks of equal networks are equal texts.
 *   capacity   bytes that text can hold, with the terminating 0; ignored if text is NULL
 *   text       NULL: only *length is computed
 *   length     receives the length without the terminating 0, also if the capacity is too small:
 *              that is MSKP_ERROR_BAD_ARGUMENT, and text is unchanged
 * Allocates nothing.
 */
MSKP_STABLE mskp_status mskp_mask_write(const mskp_graph *graph, mskp_mask keep, size_t capacity,
                                        char *text, size_t *length, mskp_error *err);

/*
 * keep.unit[u] <- 1 or 0, from such a text of `length` bytes, which need not end in 0. Lines may
 * end in \n or \r\n. The text may come from anywhere. A text that was cut short or that contradicts
 * itself is MSKP_ERROR_BAD_TEXT, with a sentence that names the line; one of another network is
 * MSKP_ERROR_OTHER_NETWORK, with the first name or length that differs; one of a later version of
 * the format is MSKP_ERROR_UNSUPPORTED.
 */
MSKP_STABLE mskp_status mskp_mask_read(const mskp_graph *graph, size_t length, const char *text,
                                       mskp_mask keep, mskp_error *err);

/* both.unit[u] <- 1 or 0: two rounds of pruning as one mask of the first network. `keep` is the
 * mask of the first round. `small_keep` is the mask of the second, over the units of the smaller
 * graph, which are as many as keep keeps. both may be keep, or small_keep if its array is long
 * enough. */
MSKP_STABLE mskp_status mskp_mask_compose(const mskp_graph *first, mskp_mask keep,
                                          mskp_mask small_keep, mskp_mask both, mskp_error *err);

/* ============================================================================================== */
/*                                     Penalties: to look at                                      */
/* ============================================================================================== */

/* values <- +0 in the targeted slices, for instance on a copy, to see what surgery will do. With
 * MSKP_ROLES_UNIT, surgery then changes no output of the network, unless inexact units are removed,
 * a branch vanishes (mskp_fate), or something is not finite. `penalty` as for
 * mskp_penalty_deadline. */
MSKP_STABLE mskp_status mskp_penalty_zero(const mskp_graph *graph, mskp_mask keep,
                                          const mskp_penalty *penalty, mskp_tensors values,
                                          mskp_error *err);
/* *result <- R, for logs. */
MSKP_STABLE mskp_status mskp_penalty_value(const mskp_graph *graph, mskp_mask keep,
                                           const mskp_penalty *penalty, mskp_tensors values,
                                           double *result, mskp_error *err);

/*
 *   elements       those of the targeted slices, each once
 *   zeros          those among them that are 0
 *   below[k]       those with |w| < 10^-k
 *   largest, mean  of |w|; 0 if there are no elements. largest is NaN if an element is, and so is
 *                  mean.
 */
#define MSKP_GAUGE_DECADES 8
typedef struct mskp_gauge {
    uint64_t elements, zeros, below[MSKP_GAUGE_DECADES];
    double largest, mean;
} mskp_gauge;
/* *gauge <- how far the targeted slices are from zero: of marked units, on their way there, or of
 * those that stay. Of `penalty`, target, roles and skip_missing count; NULL: gamma of removed
 * units. Allocates nothing. Uses one thread. */
MSKP_EXPERIMENTAL mskp_status mskp_penalty_gauge(const mskp_graph *graph, mskp_mask keep,
                                                 const mskp_penalty *penalty, mskp_tensors values,
                                                 mskp_gauge *gauge, mskp_error *err);

/* ============================================================================================== */
/*                                  Penalties in half precision                                   */
/* ============================================================================================== */

/* STOCHASTIC: up or down at random, such that the mean is the exact number (S. Gupta, A. Agrawal,
 * K. Gopalakrishnan, P. Narayanan, "Deep Learning with Limited Numerical Precision", ICML 2015,
 * section 3). F32 and F64 are rounded to nearest in any case. */
typedef enum mskp_rounding {
    MSKP_ROUNDING_NEAREST = 0,
    MSKP_ROUNDING_STOCHASTIC = 1
} mskp_rounding;

/*
 * What becomes of small steps, for mskp_penalty.low_precision. A number stays as it was if it is to
 * move by less than half of the distance to its neighbour. From 1 down to 1/2 that distance is 2^-8
 * in BF16 and 2^-11 in F16. So a proximal step of 0.001 never moves a BF16 gamma of 1, and the
 * first half of a deadline of 1000 steps moves nothing; a penalty of 0.0001 vanishes in a BF16
 * gradient of 0.05. What helps:
 *   - Master weights: pass the F32 numbers that the optimizer updates as values, and cast them
 *     afterwards. Nothing is lost.
 *   - start: a deadline that is computed from the values at its start, not from the last ones. It
 *     has no strength to choose, and ends at exactly 0.
 *   - rounding STOCHASTIC: each step arrives in the mean. After n steps of a proximal map the
 *     deviation is about sqrt(n x step x distance).
 *   - A larger step. If lost is equal to asked, nothing moves. A deadline from start values may
 *     lose half of its steps: where one is lost, the next one makes up for it.
 * All of this is about what the call itself stores. After mskp_penalty_gradient that is the
 * gradient: what your optimizer then loses in a half weight is not counted, and is not rounded at
 * random. Such an optimizer needs master weights; or use mskp_penalty_prox or _deadline after it.
 *
 *   rounding      of what the call stores
 *   seed          of STOCHASTIC: another number in each step, for instance the step's. The result
 *                 depends on the seed, the parameter's id and the element's indices alone, so
 *                 ranks with the same numbers and the same seed stay equal.
 *   start         of mskp_penalty_deadline and mskp_penalty_zero: a copy of the values at the start
 *                 of the deadline, in any dtype; only targeted slices are read. Then
 *                 values <- start * steps_left / start_steps, and what the optimizer added since
 *                 does not count. {0, NULL}: no start. A targeted tensor that has values but no
 *                 start is MSKP_ERROR_NO_DATA, also with skip_missing.
 *   start_steps   how many steps the whole deadline has. With a start, 0 here, or steps_left above
 *                 it, is MSKP_ERROR_BAD_ARGUMENT, and so is a number here without a start.
 *   asked, lost   NULL, or counters: *asked += the elements whose step is neither 0 nor infinite,
 *                 *lost += those of them that stayed as they were. Elements of any dtype count.
 *                 With STOCHASTIC some always stay, and others make up for them. A call with a
 *                 counter uses one thread.
 * mskp_penalty_value ignores all of it.
 */
typedef struct mskp_low_precision {
    mskp_rounding rounding;
    uint64_t seed;
    mskp_tensors start;
    uint64_t start_steps;
    uint64_t *asked, *lost;
} mskp_low_precision;

/* ============================================================================================== */
/*                                            A report                                            */
/* ============================================================================================== */

/*
 *   scores      what the mask was chosen by, or {0, NULL}. NaN and -infinity are
 *               MSKP_ERROR_BAD_NUMBER; +infinity is written as null.
 *   constants   what becomes of constants, of this graph, or NULL. keep must then be the object's
 *               mask `kept`; another mask is MSKP_ERROR_BAD_ARGUMENT.
 */
typedef struct mskp_report_options {
    mskp_scores scores;
    const mskp_constants *constants;
} mskp_report_options;

/*
 * text <- what the mask does to the network, as JSON (RFC 8259, UTF-8): docs/report-schema.json.
 * Widths and costs before and after, kept indices and scores, of every family and every value, and
 * the consumers of constants. Numbers read back as the same doubles. Bytes of a name that are not
 * UTF-8 become U+FFFD. keep {0, NULL}: the whole network. options may be NULL. capacity, text and
 * length are those of mskp_mask_write.
 */
MSKP_STABLE mskp_status mskp_report_json(const mskp_graph *graph, mskp_mask keep,
                                         const mskp_report_options *options, size_t capacity,
                                         char *text, size_t *length, mskp_error *err);

/* ============================================================================================== */
/*                           Surgery: indices, views, and the way back                            */
/* ============================================================================================== */

/*
 * The indices that stay, ascending, of a parameter's axis or of a value's channels: for programs
 * that gather tensors themselves, and to correct what a network's file says of widths. NULL with
 * *count set: all of them stay. NULL with *count 0: no such axis or value. Not NULL with *count 0:
 * it vanishes (mskp_fate). count may be NULL.
 *   A grouped convolution then has in channels / length of weight axis 1 groups, a transposed one
 * out channels / length of that axis; a group norm whose groups are removed whole has as many
 * groups as stay, each as wide as before; MSKP_ATTENTION_HEADS leaves as many key and value heads
 * as NAME.heads has channels.
 */
MSKP_STABLE const uint32_t *mskp_plan_param_kept(const mskp_plan *plan, mskp_param param,
                                                 uint32_t axis, size_t *count);
MSKP_STABLE const uint32_t *mskp_plan_value_kept(const mskp_plan *plan, mskp_value value,
                                                 size_t *count);

/*
 * What becomes of the operator that makes a value, and of the value. A mask that removes all
 * channels of a value in a residual branch removes the branch: docs/guide.md, "Whole branches".
 *   STAYS     the operator stays, with the channels that stay
 *   VANISHES  nothing is left of it: the value has 0 channels after surgery. An addition, or a
 *             concatenation, does without it
 *   SHIFT     the value is an operand of an addition, and all that is left of its operator is the
 *             shift (of a norm) or bias: this vector is the operand, broadcast over all positions
 * Every axis of a parameter has length 0 after surgery if no operator that stays uses it.
 */
typedef enum mskp_fate {
    MSKP_FATE_STAYS = 0,
    MSKP_FATE_VANISHES = 1,
    MSKP_FATE_SHIFT = 2
} mskp_fate;
/* STAYS for a value that is not of the plan's graph, and for a plan that is NULL. */
MSKP_EXPERIMENTAL mskp_fate mskp_plan_fate(const mskp_plan *plan, mskp_value value);

/* map[i] <- the index that index i has after surgery, MSKP_REMOVED if it is removed. n must be the
 * full length of the axis or value, otherwise MSKP_ERROR_BAD_SHAPE. MSKP_ERROR_BAD_ARGUMENT: no
 * such axis or value. */
#define MSKP_REMOVED UINT32_MAX
MSKP_STABLE mskp_status mskp_plan_param_map(const mskp_plan *plan, mskp_param param, uint32_t axis,
                                            size_t n, uint32_t *map, mskp_error *err);
MSKP_STABLE mskp_status mskp_plan_value_map(const mskp_plan *plan, mskp_value value, size_t n,
                                            uint32_t *map, mskp_error *err);

/* How many of the channels first .. first+count-1 of a value stay; channels beyond its end count as
 * none. A slice's new first channel is the number of kept channels before it; a padding's new
 * widths are the numbers of its kept zeros. 0 for a handle that is not of the plan's graph. */
MSKP_STABLE size_t mskp_plan_channels_kept(const mskp_plan *plan, mskp_value value, size_t first,
                                           size_t count);

/* small.view[] <- the views that full.view[] becomes when it is cut in place: dense tensors stay
 * dense in their own order of axes, tensors with gaps keep their strides, and the lowest address
 * stays (so data moves if a stride is negative). Views without data receive their new shapes, too.
 * small may be full. */
MSKP_STABLE mskp_status mskp_plan_views(const mskp_plan *plan, mskp_tensors full,
                                        mskp_tensors small, mskp_error *err);

/* Checks what mskp_plan_cut checks, with its statuses and sentences, and moves nothing: for a
 * program that cuts in several processes or networks, or in none of them. Allocates as the check of
 * the cut does; after MSKP_OK the cut of the same moves can fail for want of memory alone. */
MSKP_EXPERIMENTAL mskp_status mskp_plan_check(const mskp_plan *plan, size_t n,
                                              const mskp_move *moves, mskp_error *err);

/*
 * The inverse of mskp_plan_cut: to <- from in the full shape, with zeros (all bytes 0) where
 * something was removed. All sets or none; every view is checked before the first byte is written.
 *   from  has the small shapes ({.data = p} alone means packed). Tensors without data are skipped,
 *         and their `to` stays as it was.
 *   to    has the full shapes and from's dtype; not {0, NULL}. A tensor of it that shares a byte
 *         with another tensor of any set, or with its own source, is MSKP_ERROR_OVERLAP.
 * What vanished (mskp_fate) becomes zeros, too, whether or not `from` has data for it. Cutting the
 * result gives `from` again. As a network it computes what the small one does, unless inexact units
 * were removed, or a branch that ends in a function that is not 0 at 0: what reads a restored
 * channel has zeros for it (its running variance is 0, too, and epsilon keeps that finite).
 * Constants stay where they were moved; to restore the network before, keep a copy. Allocates only
 * while it checks.
 */
MSKP_STABLE mskp_status mskp_plan_restore(const mskp_plan *plan, size_t n, const mskp_move *moves,
                                          mskp_error *err);

/* ============================================================================================== */
/*                                  Bare arrays: no graph needed                                  */
/* ============================================================================================== */

/* In these functions only keep may be NULL, unless n is 0. */

/* g[i] += strength * sign(w[i]) where keep[i] == 0 (keep NULL: everywhere). The sign of +-0 is 0;
 * the sign is read from its bit, so denormal numbers count in every floating-point mode. */
MSKP_STABLE void mskp_l1_gradient_f32(size_t n, const float *w, const uint8_t *keep, float strength,
                                      float *g);
MSKP_STABLE void mskp_l1_gradient_f64(size_t n, const double *w, const uint8_t *keep,
                                      double strength, double *g);

/* w[i] <- sign(w[i]) * max(0, |w[i]| - step) where keep[i] == 0 (keep NULL: everywhere); step >=
 * 0. */
MSKP_STABLE void mskp_l1_prox_f32(size_t n, float *w, const uint8_t *keep, float step);
MSKP_STABLE void mskp_l1_prox_f64(size_t n, double *w, const uint8_t *keep, double step);

/* to[..., i, ...] <- from[..., index[i], ...] for i < n along one axis, in any order, with
 * repetitions. Both views must be complete (ndim set); to has length n on that axis and must not
 * overlap from. services may be NULL; the check of overlaps allocates from it. */
MSKP_STABLE mskp_status mskp_gather(const mskp_services *services, const mskp_tensor *from,
                                    uint32_t axis, size_t n, const uint32_t *index,
                                    const mskp_tensor *to, mskp_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MSKP_TOOLS_H */
