#include "batch_inputs.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace fwdllm {

BatchInputs::BatchInputs(const Model & model, const Batch & batch, const Labels & labels,
                         const Start & start, int64_t copies)
    : tokens(int64_t(batch.tokens.size())), loss_rows(int64_t(batch.targets.size())),
      shifts(nullptr), context_(new_context(5 + batch.groups.size())) {
    ggml_context * ctx = context_.get();
    states = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, model.shapes().width, tokens);
    positions = ggml_new_tensor_1d(ctx, GGML_TYPE_I32, copies * tokens);
    rows = ggml_new_tensor_1d(ctx, GGML_TYPE_I32, copies * loss_rows);
    targets = ggml_new_tensor_1d(ctx, GGML_TYPE_I32, copies * loss_rows);
    if (!labels.tokens.empty()) {
        shifts = ggml_new_tensor_1d(ctx, GGML_TYPE_F32, int64_t(labels.shifts.size()));
    }
    for (const Batch::Group & g : batch.groups) {
        masks[g.length] = ggml_new_tensor_2d(ctx, GGML_TYPE_F16, g.length, g.length);
    }
    buffer_ = allocate(ctx, ggml_backend_cpu_buffer_type());

    memcpy(states->data, start.states.data(), ggml_nbytes(states));
    if (shifts != nullptr) memcpy(shifts->data, labels.shifts.data(), ggml_nbytes(shifts));
    int32_t * position = static_cast<int32_t *>(positions->data);
    int32_t * row = static_cast<int32_t *>(rows->data);
    int32_t * target = static_cast<int32_t *>(targets->data);
    for (int64_t copy = 0; copy < copies; copy++) {
        for (int32_t p : batch.positions) *position++ = p;
        for (int32_t r : batch.loss_rows) *row++ = int32_t(copy * tokens) + r;
        for (int32_t t : batch.targets) *target++ = int32_t(labels.row_of(t));
    }
    const ggml_fp16_t open = ggml_fp32_to_fp16(0.0f), closed = ggml_fp32_to_fp16(-INFINITY);
    for (auto & [length, mask] : masks) {
        ggml_fp16_t * values = static_cast<ggml_fp16_t *>(mask->data);
        for (int64_t query = 0; query < length; query++) {
            for (int64_t key = 0; key < length; key++) {
                values[query * length + key] = key <= query ? open : closed;
            }
        }
    }
}

}  // namespace fwdllm
