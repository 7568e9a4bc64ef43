/*
 * mskp_convnet.h - the bridge between the small runtime, convnet.h, and mskp
 *
 * The bridge describes a network to mskp, makes views of its tensors, and cuts it by a plan. That
 * is all that a training program needs of this runtime to use the library; convnet.h itself knows
 * nothing of mskp. The bridge is compiled once for float and once, with CN_DOUBLE defined, for
 * double.
 *
 * The library may use the threads of the network:
 *     mskp_graph_create(&(mskp_services){.context = net, .parallel_for = cn_parallel_for})
 */
#ifndef MSKP_CONVNET_H
#define MSKP_CONVNET_H

#include "convnet.h"
#include "mskp.h"
#include "mskp/operators.h"
#include "mskp/tools.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The dtype of a cn_real. */
#ifdef CN_DOUBLE
#define CN_DTYPE MSKP_DTYPE_F64
#else
#define CN_DTYPE MSKP_DTYPE_F32
#endif

/*
 * Describes the network: parameter i of the network becomes the parameter with id i + 1, and every
 * layer becomes a value with the name of the layer. The caller then calls mskp_graph_finish, which
 * reports any error.
 */
void cn_describe(const cn_net *net, mskp_graph *graph);

/* Fill a set of net->param_count views. Running statistics have no gradient and no momentum. */
void cn_values(const cn_net *net, mskp_tensors set);
void cn_gradients(const cn_net *net, mskp_tensors set);
void cn_momentum(const cn_net *net, mskp_tensors set);

/*
 * Carries out a plan of this network's graph: moves constants, cuts values and momentum in place,
 * takes over the smaller shapes and paddings, takes layers out that vanish, and plans the memory of
 * the network again. A call that fails leaves the network as it was. If layers were taken out, the
 * graph after surgery still has their values: describe the network again.
 *   constants   the object that made the plan, which the call applies to the network's values right
 *               before the cut; NULL for a plan of mskp_plan_create. The momentum of values that
 *               constants replaced is stale (cn_sgd_reset).
 */
bool cn_prune(cn_net *net, const mskp_graph *graph, mskp_plan *plan,
              const mskp_constants *constants, cn_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MSKP_CONVNET_H */
