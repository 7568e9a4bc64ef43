/* Tensor views: completing and checking them, elements as numbers, runs of elements. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

size_t mskpi_element_size(mskp_dtype dtype)
{
    switch ((int)dtype) {
    case MSKP_BYTES_1:
        return 1;
    case MSKP_F16:
    case MSKP_BF16:
    case MSKP_BYTES_2:
        return 2;
    case MSKP_F32:
    case MSKP_BYTES_4:
        return 4;
    case MSKP_F64:
    case MSKP_BYTES_8:
        return 8;
    case MSKP_BYTES_16:
        return 16;
    default:
        return 0;
    }
}

const char *mskpi_dtype_name(mskp_dtype dtype)
{
    static const struct {
        mskp_dtype dtype;
        const char *name;
    } table[] = {{MSKP_F32, "F32"},         {MSKP_F64, "F64"},         {MSKP_F16, "F16"},
                 {MSKP_BF16, "BF16"},       {MSKP_BYTES_1, "BYTES_1"}, {MSKP_BYTES_2, "BYTES_2"},
                 {MSKP_BYTES_4, "BYTES_4"}, {MSKP_BYTES_8, "BYTES_8"}, {MSKP_BYTES_16, "BYTES_16"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].dtype == dtype) return table[i].name;
    return "unknown";
}

int mskpi_is_number(mskp_dtype dtype)
{
    return dtype == MSKP_F32 || dtype == MSKP_F64 || dtype == MSKP_F16 || dtype == MSKP_BF16;
}

static size_t distance(ptrdiff_t stride)
{
    return stride < 0 ? (size_t)0 - (size_t)stride : (size_t)stride;
}

/* Axes by |stride|, largest first; axes of length 1 do not matter and go last. */
static void sort_axes(tensor_view *v)
{
    for (uint32_t d = 0; d < v->ndim; d++) {
        uint32_t at = d;
        const size_t mine = v->shape[d] > 1 ? distance(v->stride[d]) : 0;
        for (; at > 0; at--) {
            const uint32_t other = v->order[at - 1];
            if ((v->shape[other] > 1 ? distance(v->stride[other]) : 0) >= mine) break;
            v->order[at] = other;
        }
        v->order[at] = d;
    }
}

mskp_status mskpi_view(const mskp_tensor *tensor, const char *name, uint32_t ndim,
                       const size_t *shape, tensor_view *out, mskp_error *err)
{
    char room[NAME_ROOM];
    tensor_view v = {.data = tensor->data, .dtype = tensor->dtype, .ndim = ndim};
    int packed = 1;
    size_t span = 1, below = 0;
    name = mskpi_short(name, room);
    v.element = mskpi_element_size(tensor->dtype);
    if (!v.element)
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "%s: %u is no dtype", name,
                          (unsigned)tensor->dtype);
    if (tensor->ndim && tensor->ndim != ndim)
        return mskpi_fail(err, MSKP_BAD_SHAPE, "%s: the tensor has %u axes, the parameter has %u",
                          name, tensor->ndim, ndim);
    for (uint32_t d = 0; !tensor->ndim && d < MSKP_MAX_DIMS; d++)
        if (tensor->shape[d] || tensor->stride[d])
            return mskpi_fail(err, MSKP_BAD_SHAPE,
                              "%s: a shape (%zu) or stride (%td) is set on axis %u, but ndim is 0",
                              name, tensor->shape[d], tensor->stride[d], d);
    for (uint32_t d = 0; d < ndim; d++) {
        v.shape[d] = shape[d];
        if (tensor->ndim && tensor->shape[d] != shape[d])
            return mskpi_fail(err, MSKP_BAD_SHAPE,
                              "%s: axis %u of the tensor has length %zu, %zu is expected", name, d,
                              tensor->shape[d], shape[d]);
        if (tensor->ndim && shape[d] > 1 && tensor->stride[d]) packed = 0;
    }
    for (uint32_t d = ndim; d-- > 0;) {
        v.stride[d] = packed ? (ptrdiff_t)span : shape[d] > 1 ? tensor->stride[d] : 0;
        span *= shape[d]; /* checked when the parameter was declared */
    }
    if ((uintptr_t)v.data % (v.element < 8 ? v.element : 8))
        return mskpi_fail(err, MSKP_BAD_ARGUMENT,
                          "%s: data is not aligned to its elements of %zu bytes", name, v.element);
    if (tensor->elements && tensor->elements != span)
        return mskpi_fail(err, MSKP_BAD_SHAPE,
                          "%s: the tensor has %zu elements, its shape asks for %zu", name,
                          tensor->elements, span);
    sort_axes(&v);
    /* From the smallest stride up: each must step over all that the smaller ones span. */
    for (uint32_t k = ndim; k-- > 0;) {
        const uint32_t d = v.order[k];
        size_t reach;
        if (v.shape[d] < 2) continue;
        if (distance(v.stride[d]) <= below)
            return mskpi_fail(err, MSKP_OVERLAP,
                              "%s: a stride of %td on axis %u does not step over the %zu elements "
                              "that the axes within it span",
                              name, v.stride[d], d, below + 1);
        if (mskpi_times(distance(v.stride[d]), v.shape[d] - 1, &reach) ||
            reach > (size_t)PTRDIFF_MAX / 16 - below)
            return mskpi_fail(err, MSKP_BAD_SHAPE,
                              "%s: axis %u of length %zu with stride %td is too long", name, d,
                              v.shape[d], v.stride[d]);
        below += reach;
    }
    v.extent = (below + 1) * v.element;
    v.low = v.data;
    for (uint32_t d = 0; d < ndim; d++)
        if (v.data && v.shape[d] > 1 && v.stride[d] < 0)
            v.low += v.stride[d] * (ptrdiff_t)((v.shape[d] - 1) * v.element);
    *out = v;
    return MSKP_OK;
}

mskp_status mskpi_check_set(const mskp_tensor *set, const char *name, size_t params, size_t network,
                            mskp_error *err)
{
    if (!set) return mskpi_fail(err, MSKP_BAD_ARGUMENT, "%s is NULL", name);
    if (params != network)
        return mskpi_fail(err, MSKP_OTHER_NETWORK,
                          "%s: made for %zu parameters, the network has %zu", name, params,
                          network);
    if (set[0].data || set[0].ndim || set[0].elements)
        return mskpi_fail(err, MSKP_BAD_ARGUMENT,
                          "%s: entry 0 is set; parameters count from 1, entry 0 is not used", name);
    return MSKP_OK;
}

mskp_status mskpi_view_in(const mskp_tensor *tensor, const char *name, const char *set,
                          uint32_t ndim, const size_t *shape, tensor_view *view, mskp_error *err)
{
    char both[2 * NAME_ROOM], room[NAME_ROOM];
    const mskp_status status = mskpi_view(tensor, name, ndim, shape, view, NULL);
    if (!status || !err) return status;
    /* Once more, for the sentence: which tensor of the parameter is it? */
    snprintf(both, sizeof both, "%s (%s)", mskpi_short(name, room), set);
    return mskpi_view(tensor, both, ndim, shape, view, err);
}

mskp_status mskpi_check_said(const mskp_graph *graph, uint32_t id, const char *set,
                             const mskp_tensor *tensors, tensor_view *view, mskp_error *err)
{
    const mskp_tensor *tensor = &tensors[id];
    size_t shape[MSKP_MAX_DIMS];
    const char *name;
    if (!tensor->data && !tensor->ndim && !tensor->elements) return MSKP_OK;
    const uint32_t ndim = mskp_param_info(graph, (mskp_param){id}, &name, shape);
    return mskpi_view_in(tensor, name, set, ndim, shape, view, err);
}

mskp_status mskpi_number_view(const mskp_graph *graph, uint32_t id, const char *set,
                              const mskp_tensor *tensors, tensor_view *view, mskp_error *err)
{
    char room[NAME_ROOM];
    size_t shape[MSKP_MAX_DIMS];
    const char *name;
    const uint32_t ndim = mskp_param_info(graph, (mskp_param){id}, &name, shape);
    if (!tensors[id].data)
        return mskpi_fail(err, MSKP_NO_DATA, "%s: its tensor in %s has no data",
                          mskpi_short(name, room), set);
    if (mskpi_element_size(tensors[id].dtype) && !mskpi_is_number(tensors[id].dtype))
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "%s: dtype %s in %s holds no numbers",
                          mskpi_short(name, room), mskpi_dtype_name(tensors[id].dtype), set);
    return mskpi_view_in(&tensors[id], name, set, ndim, shape, view, err);
}

mskp_status mskp_param_view(const mskp_graph *graph, mskp_param param, const uint32_t *order,
                            void *data, mskp_dtype dtype, mskp_tensor *view, mskp_error *err)
{
    char room[NAME_ROOM];
    const char *name;
    uint32_t named = 0;
    mskp_tensor t = {.data = data, .dtype = dtype, .elements = 1};
    const mskp_status status = MSKPI_GIVEN(err, graph, view);
    if (status) return status;
    if (!graph->finished) return mskpi_fail(err, MSKP_BAD_STATE, "the graph is not finished");
    t.ndim = mskp_param_info(graph, param, &name, t.shape);
    if (!t.ndim)
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "no parameter has handle %u, there are %zu",
                          param.id, graph->nparams);
    name = mskpi_short(name, room);
    if (!mskpi_element_size(dtype))
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "%s: %u is no dtype", name, (unsigned)dtype);
    for (uint32_t k = t.ndim; k-- > 0;) {
        const uint32_t d = order ? order[k] : k;
        if (d >= t.ndim || named >> d & 1)
            return mskpi_fail(err, MSKP_BAD_ARGUMENT,
                              "%s: order[%u] is axis %u; the parameter has %u axes, each stands in "
                              "the order once",
                              name, k, d, t.ndim);
        named |= 1u << d;
        t.stride[d] = (ptrdiff_t)t.elements;
        t.elements *= t.shape[d];
    }
    *view = t;
    return MSKP_OK;
}

/* ---- elements as numbers ---- */

/* binary16 and bfloat16 go through bits, so that denormal numbers survive in every floating-point
 * mode; so do denormal floats. */
static double half_to_double(uint16_t h)
{
    const int exponent = (h >> 10) & 31;
    const double mantissa = (double)(h & 1023);
    double x;
    if (exponent == 31)
        x = mantissa != 0 ? (double)NAN : (double)INFINITY;
    else if (exponent)
        x = ldexp(1024 + mantissa, exponent - 25);
    else
        x = mantissa * 0x1p-24;
    return h & 0x8000 ? -x : x;
}

/* The bits of x, without its sign, in a format with `mantissa` bits and normal numbers from
 * 2^smallest: to nearest, ties to even. By arithmetic on normal doubles, so that the format's
 * denormal numbers survive in every floating-point mode. */
static uint32_t narrow(double x, int mantissa, int smallest, uint32_t infinity)
{
    const double a = fabs(x);
    int exponent;
    if (isnan(x)) return infinity | 1u << (mantissa - 1);
    if (isinf(x)) return infinity;
    const double fraction = frexp(a, &exponent); /* in [0.5, 1), or 0 */
    if (fraction <= 0 || exponent - 1 < smallest)
        return (uint32_t)nearbyint(ldexp(a, mantissa - smallest)); /* a carry makes it normal */
    const uint32_t bits = ((uint32_t)(exponent - 1 - smallest) << mantissa) +
                          (uint32_t)nearbyint(ldexp(fraction, mantissa + 1));
    return bits < infinity ? bits : infinity;
}

static double float_bits_to_double(uint32_t bits)
{
    float f;
    if (!(bits & 0x7f800000)) {
        const double x = (double)(bits & 0x7fffff) * 0x1p-149;
        return bits >> 31 ? -x : x;
    }
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

double mskpi_load_any(const char *from, mskp_dtype dtype)
{
    uint16_t h;
    uint32_t bits;
    double d;
    switch ((int)dtype) {
    case MSKP_F32:
        memcpy(&bits, from, sizeof bits);
        return float_bits_to_double(bits);
    case MSKP_F64:
        memcpy(&d, from, sizeof d);
        return d;
    case MSKP_F16:
        memcpy(&h, from, sizeof h);
        return half_to_double(h);
    default:
        memcpy(&h, from, sizeof h);
        return float_bits_to_double((uint32_t)h << 16);
    }
}

void mskpi_store_any(char *to, mskp_dtype dtype, double x)
{
    const uint32_t sign = signbit(x) ? 1 : 0;
    uint32_t bits;
    uint16_t half;
    float f;
    switch ((int)dtype) {
    case MSKP_F64:
        memcpy(to, &x, sizeof x);
        return;
    case MSKP_F32:
        f = (float)x;
        memcpy(&bits, &f, sizeof bits);
        if (fabs(x) < 0x1p-126) bits = sign << 31 | narrow(x, 23, -126, 0x7f800000u);
        memcpy(to, &bits, sizeof bits);
        return;
    case MSKP_F16:
        bits = sign << 15 | narrow(x, 10, -14, 0x7c00u);
        break;
    default:
        bits = sign << 15 | narrow(x, 7, -126, 0x7f80u);
        break;
    }
    half = (uint16_t)bits;
    memcpy(to, &half, sizeof half);
}

const char *mskpi_index_text(const tensor_view *v, const char *at, char room[INDEX_ROOM])
{
    size_t left = (size_t)(at - v->low) / v->element, index[MSKP_MAX_DIMS] = {0};
    int length = 0;
    for (uint32_t k = 0; k < v->ndim; k++) { /* axes nest */
        const uint32_t d = v->order[k];
        if (v->shape[d] < 2) continue;
        const size_t step = distance(v->stride[d]), i = left / step;
        index[d] = v->stride[d] < 0 ? v->shape[d] - 1 - i : i;
        left %= step;
    }
    for (uint32_t d = 0; d < v->ndim; d++)
        length +=
            snprintf(room + length, INDEX_ROOM - (size_t)length, "%s%zu", d ? "," : "", index[d]);
    return room;
}

mskp_status mskpi_not_finite(const mskp_graph *graph, uint32_t id, const tensor_view *v,
                             const char *at, mskp_error *err)
{
    char name[NAME_ROOM], index[INDEX_ROOM], number[32];
    return mskpi_fail(err, MSKP_BAD_NUMBER, "%s: element %s is %s",
                      mskpi_short(mskpi_param_name(graph, id), name),
                      mskpi_index_text(v, at, index),
                      mskpi_number(mskpi_load(at, v->dtype), number));
}

/* ---- runs ---- */

void mskpi_describe_view(const tensor_view *v, mskp_tensor *t)
{
    t->data = v->data;
    t->dtype = v->dtype;
    t->ndim = v->ndim;
    memcpy(t->shape, v->shape, sizeof t->shape);
    memcpy(t->stride, v->stride, sizeof t->stride);
    if (t->elements) t->elements = mskpi_elements(v);
}

size_t mskpi_elements(const tensor_view *v)
{
    size_t n = 1;
    for (uint32_t d = 0; d < v->ndim; d++) n *= v->shape[d];
    return n;
}

ptrdiff_t mskpi_run_step(const tensor_view *v, uint32_t axis)
{
    for (uint32_t d = v->ndim; d-- > axis;)
        if (v->shape[d] > 1) return v->stride[d];
    return 1;
}

void mskpi_runs(const tensor_view *const *views, size_t n, uint32_t ndim, uint8_t *run_axes)
{
    memset(run_axes, 1, ndim + 1);
    for (size_t k = 0; k < n; k++) {
        const tensor_view *v = views[k];
        ptrdiff_t next = 0; /* the stride that would continue the run; 0: none yet */
        for (uint32_t d = ndim; d-- > 0;) {
            if (v->shape[d] > 1) {
                if (next && v->stride[d] != next)
                    for (uint32_t e = 0; e <= d; e++) run_axes[e] = 0;
                if (next && v->stride[d] != next) break;
                next = v->stride[d] * (ptrdiff_t)v->shape[d];
            }
        }
    }
}
