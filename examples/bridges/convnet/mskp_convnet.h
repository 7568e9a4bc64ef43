/*
 * mskp_convnet.h - the bridge between the small runtime, convnet.h, and mskp
 *
 * The network described, its tensors shown, a plan carried out: all that a training program must
 * add to use the library. convnet.h itself knows nothing of it. Compiled once for float and once,
 * with CN_DOUBLE defined, for double.
 *
 * The library may use the network's threads:
 *     mskp_graph_create(&(mskp_services){.context = net, .parallel_for = cn_parallel_for})
 */
#ifndef MSKP_CONVNET_H
#define MSKP_CONVNET_H

#include "convnet.h"
#include "mskp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a cn_real is to mskp. */
#ifdef CN_DOUBLE
#define CN_DTYPE MSKP_DTYPE_F64
#else
#define CN_DTYPE MSKP_DTYPE_F32
#endif

/*
 * Describes the network: parameter i of the net is parameter id i + 1 of the graph, every layer is
 * a value of the layer's name. The caller then calls mskp_graph_finish, which reports any error.
 */
void cn_describe(const cn_net *net, mskp_graph *graph);

/* Views of all parameters, set[0 ... param_count], entry 0 unused. Statistics have no gradient and
 * no momentum. */
void cn_values(const cn_net *net, mskp_tensor *set);
void cn_gradients(const cn_net *net, mskp_tensor *set);
void cn_momentum(const cn_net *net, mskp_tensor *set);

/*
 * Carries out a plan made for this network's graph: cuts values and momentum in place, takes over
 * the small shapes and paddings, and plans the memory again. On failure the network is as it was.
 */
bool cn_prune(cn_net *net, const mskp_graph *graph, const mskp_plan *plan, cn_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MSKP_CONVNET_H */
