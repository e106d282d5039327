// Nodes of a graph that our own code computes, on the CPU.
#pragma once

#include "ggml.h"

namespace fwdllm {

// The sources of such a node, whose places depend on which of them exist. All threads run it; it
// must give each element to one of them.
class Arguments {
  public:
    // Its index among the sources; −1: not there.
    int add(ggml_tensor * t) {
        if (t == nullptr) return -1;
        list_[size_t(count_)] = t;
        return count_++;
    }
    ggml_tensor * node(ggml_context * ctx, ggml_type type, int64_t ne0, int64_t ne1, int64_t ne2,
                       ggml_custom_op_t run, void * setting) {
        return ggml_custom_4d(ctx, type, ne0, ne1, ne2, 1, list_, count_, run, GGML_N_TASKS_MAX,
                              setting);
    }

    // The same with a result in place of `replaced`, which is its source 0; the others follow.
    ggml_tensor * node_in_place(ggml_context * ctx, ggml_tensor * replaced, ggml_custom_op_t run,
                                void * setting) {
        return ggml_custom_inplace(ctx, replaced, list_, count_, run, GGML_N_TASKS_MAX, setting);
    }

  private:
    ggml_tensor * list_[GGML_MAX_SRC] = {};
    int count_ = 0;
};

inline const float * data_of(const ggml_tensor * node, int source) {
    return source < 0 ? nullptr : static_cast<const float *>(node->src[source]->data);
}

inline float * data_of(ggml_tensor * node) { return static_cast<float *>(node->data); }

}  // namespace fwdllm
