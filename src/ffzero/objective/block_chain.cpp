// Evaluation of a block.
// SPDX-License-Identifier: MIT
#include "ffzero/objective/block_chain.hpp"

#include "ffzero/base/error.hpp"

namespace ffzero {

template <class S>
BlockChain<S>::BlockChain(const Block<S>& block) {
  Index theta_begin = 0;
  const auto add_fixed = [&](const ForwardMap<S>& map, Index layer) { steps_.push_back(fixed_step<S>(map, layer)); };
  for (std::size_t l = 0; l < block.layers.size(); ++l) {
    const Layer<S>& layer = *block.layers[l];
    const Index index = block.first_layer + isize(l);
    last_map_ = steps_.size();
    steps_.push_back({.map = layer.map.get(),
                      .theta_begin = theta_begin,
                      .theta_size = layer.map->parameter_count(),
                      .outputs = layer.map->output_shape().size(),
                      .layer = index});
    theta_begin += layer.map->parameter_count();
    if (l + 1 == block.layers.size()) {
      if (block.end_to_end) {
        if (layer.readout) add_fixed(*layer.readout, index);
      } else {
        for (const ForwardMap<S>* map : layer.tail()) add_fixed(*map, index);
      }
      continue;
    }
    for (const auto& map : layer.passed_on) add_fixed(*map, index);
    if (layer.dropout > 0.0) {
      steps_.push_back({.outputs = steps_.back().outputs, .mask = isize(dropout_.size()), .layer = index});
      dropout_.push_back(layer.dropout);
    }
  }
  masks_.resize(dropout_.size());
  if (const auto* linear = dynamic_cast<const LinearMap<S>*>(steps_[0].map)) first_product_ = linear->stacked_product();
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const bool independent = steps_[i].map == nullptr || rows_apart<S>(*steps_[i].map, Phase::training);
    independent_rows_ = independent_rows_ && independent;
    if (i > last_map_) independent_tail_ = independent_tail_ && independent;
  }
  if (block.head->input_size() != output_size())
    throw ShapeError("block", "head input must be " + std::to_string(output_size()), std::to_string(block.head->input_size()));
}

template <class S>
void BlockChain<S>::draw_masks(const Batch<S>& batch) {
  for (const auto& step : steps_) {
    if (step.mask < 0) continue;
    Matrix<S>& mask = masks_[usize(step.mask)];
    mask.resize(batch.x.rows(), step.outputs);
    dropout_mask<S>(batch.dropout.of(static_cast<std::uint32_t>(step.layer)), dropout_[usize(step.mask)],
                    {mask.data(), usize(mask.size())});
  }
}

template <class S>
void BlockChain<S>::prepare(std::span<const S> theta, const ConstMatrixRef<S>& directions, const ConstMatrixRef<S>& x) const {
  if (first_product_) first_product_->prepare(theta.first(usize(steps_[0].theta_size)), directions, x);
}

template <class S>
const Matrix<S>& BlockChain<S>::forward(std::span<const S> theta, const ConstMatrixRef<S>& x, Index first_row,
                                        ChainWorkspace<S>& work) const {
  work.outputs.resize(steps_.size());
  const auto target = [&](std::size_t i) -> MatrixRef<S> {
    work.outputs[i].resize(x.rows(), steps_[i].outputs);
    return work.outputs[i];
  };
  const MaskRows<S> masks{.masks = masks_, .first_row = first_row};
  const auto nothing = [](std::size_t, const MatrixRef<S>&) {};
  if (!first_product_)
    run_steps<S>(steps_, Phase::training, theta, x, masks, target, nothing);
  else {
    first_product_->rows(first_row, target(0));
    run_steps<S>(
        std::span(steps_).subspan(1), Phase::training, theta, work.outputs[0], masks, [&](std::size_t i) { return target(i + 1); },
        nothing);
  }
  return work.outputs.back();
}

template <class S>
void BlockChain<S>::run_tail(const ConstMatrixRef<S>& z, std::vector<Matrix<S>>& buffers, const Matrix<S>*& result) const {
  const std::size_t first = last_map_ + 1;
  buffers.resize(std::max<std::size_t>(1, steps_.size() - first));
  if (first == steps_.size()) buffers[0] = z;
  run_steps<S>(
      std::span(steps_).subspan(first), Phase::training, {}, z, {},
      [&](std::size_t i) -> MatrixRef<S> {
        buffers[i].resize(z.rows(), steps_[first + i].outputs);
        return buffers[i];
      },
      [](std::size_t, const MatrixRef<S>&) {});
  result = &buffers.back();
}

template <class S>
void dropout_mask(const RandomStream& random, double share, std::span<S> mask, Index first) {
  random.fill_uniform(mask, first);
  const S keep = static_cast<S>(1.0 / (1.0 - share));
  for (S& m : mask) m = static_cast<double>(m) < share ? S{0} : keep;
}

template void dropout_mask<float>(const RandomStream&, double, std::span<float>, Index);
template void dropout_mask<double>(const RandomStream&, double, std::span<double>, Index);
template class BlockChain<float>;
template class BlockChain<double>;

}  // namespace ffzero
