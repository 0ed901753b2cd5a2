#include "tdrm/model/read_out.hpp"

#include "tdrm/model/transformer.hpp"

namespace tdrm::model {

void read_values(const Model& model, const ReadOut& read_out, const float* hidden, int rows, float* logits) {
    if (!read_out.reads_language_head()) return value_logits(model, hidden, rows, logits);
    const std::int64_t width = model.spec().width;
    const float* plus = model.at(model.layout().head + read_out.positive * width);
    const float* minus = model.at(model.layout().head + read_out.negative * width);
    for (int r = 0; r < rows; ++r, hidden += width) {
        double total = 0;
        for (std::int64_t i = 0; i < width; ++i)
            total += static_cast<double>(hidden[i]) * (static_cast<double>(plus[i]) - static_cast<double>(minus[i]));
        logits[r] = static_cast<float>(total);
    }
}

}  // namespace tdrm::model
